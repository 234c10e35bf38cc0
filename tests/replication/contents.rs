//! Values in dumps and in RDB files.

use support::{Reply, Server, doubles};

fn with_contents(setting: &str) -> Server {
    Server::setup().config("mmap.rdb-contents", setting).start()
}

#[track_caller]
pub fn dump(db: &Server, key: &str) -> Vec<u8> {
    db.ask(&format!("DUMP {key}")).bytes()
}

#[track_caller]
pub fn restore(db: &Server, key: &str, payload: &[u8]) -> Reply {
    db.run(&[b"RESTORE".as_slice(), key.as_bytes(), b"0", payload])
}

pub fn names(db: &Server) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(db.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_dump_restores_the_array_on_another_server() {
    let db = Server::start();
    std::fs::create_dir(db.path("dir")).unwrap();
    db.ask("MMAP k dir/f");
    db.ask("VPUSH k 1.5 2.5");
    let payload = dump(&db, "k");
    let other = Server::start();
    // As MMAP, it makes no directories.
    assert!(restore(&other, "copy", &payload).is_error());
    assert_eq!(names(&other), [""; 0]);
    assert!(other.log().contains("create the directory first"));
    std::fs::create_dir(other.path("dir")).unwrap();
    assert_eq!(restore(&other, "copy", &payload).to_string(), "OK");
    assert_eq!(other.say("VALL copy"), "[1.5, 2.5]");
    assert_eq!(other.say("VPUSH copy 3.5"), "(integer) 1");
    assert_eq!(other.read("dir/f"), doubles([1.5, 2.5, 3.5]));
    assert_eq!(db.read("dir/f"), doubles([1.5, 2.5]));
}

#[test]
fn restore_never_overwrites_a_file_of_another_key() {
    let db = Server::with("MMAP k f");
    db.ask("VPUSH k 1");
    let payload = dump(&db, "k");
    assert!(restore(&db, "copy", &payload).is_error());
    db.ask("VPUSH k 2");
    assert_eq!(db.say("VALL k"), "[1, 2]");
    assert!(db.log().contains("bound to another key"), "{}", db.log());
    assert_eq!(names(&db), ["f"]);
}

#[test]
fn restore_never_overwrites_a_file_of_another_process() {
    let db = Server::with("MMAP k f");
    db.ask("VPUSH k 1");
    let payload = dump(&db, "k");
    let other = Server::setup().sharing_files_of(&db).start();
    assert!(restore(&other, "copy", &payload).is_error());
    assert_eq!(db.say("VALL k"), "[1]");
}

#[test]
fn restore_sets_a_file_aside_that_nobody_owns() {
    let db = Server::with("MMAP k f");
    db.ask("VPUSH k 1 2");
    let payload = dump(&db, "k");
    db.ask("DEL k");
    // The same contents: the file is taken as it is.
    assert_eq!(restore(&db, "k", &payload).to_string(), "OK");
    assert_eq!(names(&db), ["f"]);
    db.ask("VPUSH k 3");
    db.ask("DEL k");
    assert_eq!(restore(&db, "k", &payload).to_string(), "OK");
    assert_eq!(db.say("VALL k"), "[1, 2]");
    assert_eq!(db.read("f.replaced"), doubles([1.0, 2.0, 3.0]));
}

#[test]
fn a_damaged_dump_leaves_nothing_behind() {
    let db = Server::with("MMAP k f string 8 WRITABLE");
    db.ask("VPUSH k abcdefgh");
    let payload = dump(&db, "k");
    let other = Server::setup()
        .config("sanitize-dump-payload", "no")
        .start();
    let at = payload
        .windows(8)
        .position(|window| window == b"abcdefgh")
        .unwrap();
    let mut damaged = payload.clone();
    damaged[at] = b'X';
    // The server's own checksum is put right, so that it is ours that finds the damage.
    sign(&mut damaged);
    assert!(restore(&other, "k", &damaged).is_error());
    assert!(other.log().contains("checksum"), "{}", other.log());
    assert_eq!(names(&other), [""; 0]);
    assert_eq!(other.say("EXISTS k"), "(integer) 0");
    assert_eq!(restore(&other, "k", &payload).to_string(), "OK");
}

#[test]
fn a_dump_of_an_array_that_is_still_being_filled_is_refused() {
    let db = Server::with("MMAP k f");
    db.ask("VPUSH k 1 2 3");
    let mut payload = dump(&db, "k");
    // After the identity: no values dropped from the head, and the flag.
    let at = 2
        + payload
            .windows(2)
            .position(|window| window == [5, 40])
            .unwrap()
        + 40;
    assert_eq!(payload[at..at + 4], [2, 0, 2, 0]);
    payload[at + 3] = 1;
    sign(&mut payload);
    let other = Server::start();
    assert!(restore(&other, "k", &payload).is_error());
    assert!(other.log().contains("on their way"), "{}", other.log());
    assert_eq!(names(&other), [""; 0]);
}

/// Puts the checksum of a dump right that was changed.
pub fn sign(payload: &mut [u8]) {
    let (body, checksum) = payload.split_at_mut(payload.len() - 8);
    checksum.copy_from_slice(&crc64(body).to_le_bytes());
}

/// The checksum of `DUMP`: CRC-64 "Jones", as the server's src/crc64.c has it.
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |mut crc, &byte| {
        crc ^= u64::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1)
                ^ if crc & 1 == 1 {
                    0x95AC_9329_AC4B_C9B5
                } else {
                    0
                };
        }
        crc
    })
}

#[test]
fn without_contents_a_dump_holds_the_binding_alone() {
    let db = with_contents("no");
    db.ask("MMAP k f");
    db.ask("VPUSH k 1 2 3 4 5 6 7 8 9");
    let payload = dump(&db, "k");
    let other = Server::start();
    assert!(
        restore(&other, "k", &payload).is_error(),
        "the file is not there"
    );
    assert_eq!(names(&other), [""; 0]);
    db.ask("DEL k");
    assert_eq!(restore(&db, "k", &payload).to_string(), "OK");
    assert_eq!(db.say("VSIZE k"), "(integer) 9");
}

#[test]
fn an_ordinary_save_holds_the_binding_alone() {
    let mut db = Server::with("MMAP k f");
    db.ask("VPUSH k 1 2 3");
    db.shutdown("SAVE");
    std::fs::remove_file(db.path("f")).unwrap();
    db.start_again();
    let error = db.error("VALL k");
    assert!(error.contains("'f' does not exist"), "{error}");
    assert!(!db.path("f").exists());
}

#[test]
fn a_save_with_contents_is_a_backup() {
    for save in ["SAVE", "BGSAVE"] {
        let mut db = with_contents("yes");
        db.ask("MMAP k f");
        db.ask("MMAP same f");
        db.ask("VPUSH k 1 2 3");
        assert!(!db.ask(save).is_error());
        db.wait_for_background_jobs();
        // What comes after the backup is in the file: the file is the data, as long as it is there.
        db.ask("VPUSH k 4");
        db.kill_9();
        db.start_again();
        assert_eq!(db.say("VALL same"), "[1, 2, 3, 4]");
        db.kill_9();
        std::fs::remove_file(db.path("f")).unwrap();
        db.start_again();
        assert_eq!(db.say("VALL same"), "[1, 2, 3]");
        db.ask("VPUSH same 5");
        assert_eq!(db.say("VALL k"), "[1, 2, 3, 5]");
        assert!(db.log().contains("made again"), "{}", db.log());
    }
}

#[test]
fn a_write_is_a_reason_to_save_only_where_saves_hold_values() {
    for (setting, expected) in [("auto", "0"), ("yes", "3")] {
        let db = with_contents(setting);
        db.ask("MMAP k f");
        db.save();
        for command in ["VPUSH k 1 2", "VSET k 0 3", "VPOP k"] {
            db.ask(command);
        }
        assert_eq!(
            db.info("persistence", "rdb_changes_since_last_save"),
            expected
        );
    }
}

#[test]
fn a_restore_in_the_aof_does_not_bring_old_values_back() {
    let db = Server::with("MMAP k f");
    db.ask("VPUSH k 1 2 3");
    let payload = dump(&db, "k");
    let mut other = Server::setup()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .start();
    restore(&other, "k", &payload);
    other.ask("VPUSH k 4");
    other.kill_9();
    other.start_again();
    assert_eq!(other.say("VALL k"), "[1, 2, 3, 4]");
    other.kill_9();
    std::fs::remove_file(other.path("f")).unwrap();
    other.start_again();
    assert!(other.error("VALL k").contains("does not exist"));
}

#[test]
fn digests_are_of_the_contents() {
    let db = Server::start();
    for key in ["a", "b"] {
        db.ask(&format!("MMAP {key} {key}"));
        db.ask(&format!("VPUSH {key} 1 2 3"));
    }
    let digest = |key: &str| db.say(&format!("DEBUG DIGEST-VALUE {key}"));
    assert_eq!(digest("a"), digest("b"));
    db.ask("VSET b 1 7");
    assert_ne!(digest("a"), digest("b"));
}
