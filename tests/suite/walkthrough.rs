//! The first session a user has with the module, file sizes included.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::Server;

fn ten_values() -> Server {
    let db = Server::with("MMAP db file.mmap");
    db.say("VADD db 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.0");
    db
}

#[test]
fn a_new_file_is_empty_and_private() {
    let db = Server::start();
    assert_eq!(db.redis_cli("MMAP db file.mmap\n"), "0\n");
    assert_eq!(db.file_len("file.mmap"), 0);
    let mode = std::fs::metadata(db.path("file.mmap"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn one_value_makes_eight_bytes() {
    let db = Server::with("MMAP db file.mmap");
    assert_eq!(db.redis_cli("VADD db 0.1\n"), "1\n");
    assert_eq!(db.file_len("file.mmap"), 8);
}

#[test]
fn eight_more_from_a_pipe_make_seventy_two() {
    let db = Server::with("MMAP db file.mmap");
    db.say("VADD db 0.1");
    let commands = "vadd db 0.2\nvadd db 0.3\nvadd db 0.4\nvadd db 0.5\nvadd db 0.6\nvadd db 0.7\nvadd db 0.8\nvadd db 0.9\n\
                    vsize db\n";
    assert_eq!(db.redis_cli(commands), "1\n1\n1\n1\n1\n1\n1\n1\n9\n");
    assert_eq!(db.file_len("file.mmap"), 72);
}

#[test]
fn every_length_on_the_way_to_ten_values_is_exact() {
    let db = Server::with("MMAP db file.mmap");
    for n in 1..=10 {
        assert_eq!(db.say("VADD db 0.1"), "(integer) 1");
        assert_eq!(db.file_len("file.mmap"), n * 8);
    }
}

#[test]
fn one_command_adds_six() {
    let db = ten_values();
    assert_eq!(db.redis_cli("VADD db 1.0 1.1 1.2 1.3 1.4 1.5\n"), "6\n");
    assert_eq!(db.say("VSIZE db"), "(integer) 16");
    assert_eq!(db.file_len("file.mmap"), 128);
}

#[test]
fn values_are_read_by_index() {
    let db = ten_values();
    assert_eq!(db.redis_cli("VGET db 5\n"), "0.6\n");
    assert_eq!(
        db.redis_cli("VMGET db 1 2 3 4 5\n"),
        "0.2\n0.3\n0.4\n0.5\n0.6\n"
    );
}

#[test]
fn several_values_are_set_at_once() {
    let db = ten_values();
    db.say("VADD db 1.0 1.1 1.2 1.3 1.4 1.5");
    assert_eq!(db.say("VSET db 5 1.0 10 2.0"), "(integer) 2");
    assert_eq!(db.say("VMGET db 1 5 10 15"), "[0.2, 1, 2, 1.5]");
    assert_eq!(db.file_len("file.mmap"), 128);
}

#[test]
fn a_decimal_comma_is_an_error_and_nothing_is_written() {
    let db = ten_values();
    let before = db.read("file.mmap");
    let error = db.error("VSET db 5 1,0 8 2,0");
    assert!(
        error.starts_with("ERR ") && error.contains("1,0") && error.contains("argument 3"),
        "{error}"
    );
    // The first pair is good; the second is not.
    let error = db.error("VSET db 5 1.0 8 2,0");
    assert!(
        error.contains("2,0") && error.contains("argument 5"),
        "{error}"
    );
    assert_eq!(db.read("file.mmap"), before);
}

#[test]
fn vpop_shortens_the_file() {
    let db = ten_values();
    assert_eq!(db.say("VPOP db"), "1");
    assert_eq!(db.say("VSIZE db"), "(integer) 9");
    assert_eq!(db.file_len("file.mmap"), 72);
}

#[test]
fn a_restart_keeps_the_values() {
    let mut db = ten_values();
    db.restart();
    assert_eq!(db.say("VSIZE db"), "(integer) 10");
    assert_eq!(db.say("VMGET db 0 9"), "[0.1, 1]");
    assert_eq!(db.file_len("file.mmap"), 80);
}

#[test]
fn a_deleted_key_leaves_the_file_which_another_key_can_map() {
    let db = ten_values();
    assert_eq!(db.say("KEYS *"), "[db]");
    assert_eq!(db.say("DEL db"), "(integer) 1");
    assert_eq!(db.say("KEYS *"), "[]");
    assert_eq!(db.file_len("file.mmap"), 80);
    assert_eq!(db.say("MMAP dba file.mmap"), "(integer) 10");
    assert_eq!(db.say("VSIZE dba"), "(integer) 10");
    assert_eq!(
        db.say("VALL dba"),
        "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]"
    );
}

#[test]
fn vclear_makes_the_file_empty() {
    let db = ten_values();
    assert_eq!(db.say("VCLEAR db"), "(integer) 10");
    assert_eq!(db.say("VSIZE db"), "(integer) 0");
    assert_eq!(db.file_len("file.mmap"), 0);
    assert_eq!(db.say("VADD db 7"), "(integer) 1");
    assert_eq!(db.file_len("file.mmap"), 8);
}

#[test]
fn a_file_written_by_python_is_mapped_as_it_is() {
    let db = Server::start();
    let script = "import struct, sys\n\
                  with open(sys.argv[1], 'wb') as f:\n\
                  \x20   for i in range(100):\n\
                  \x20       f.write(struct.pack('d', i))\n";
    let status = Command::new("python3")
        .args(["-c", script])
        .arg(db.path("file.mmap"))
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(db.redis_cli("mmap db file.mmap\nvsize db\n"), "100\n100\n");
    assert_eq!(db.redis_cli("vmget db 1 3 5 7 9\n"), "1\n3\n5\n7\n9\n");
    assert_eq!(db.file_len("file.mmap"), 800);
}

#[test]
fn the_file_remains_when_the_server_is_gone() {
    let mut db = ten_values();
    assert!(db.shutdown("NOSAVE").success());
    assert_eq!(db.file_len("file.mmap"), 80);
}
