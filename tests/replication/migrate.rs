//! `MIGRATE` between two servers without a Cluster.

use crate::contents::names;
use support::{Reply, Server, doubles};

/// `MIGRATE` of one key, or with `KEYS` of those named last.
#[track_caller]
fn migrate(from: &Server, to: &Server, key: &str, options: &str) -> Reply {
    let port = to.port().to_string();
    let mut words = vec!["MIGRATE", "127.0.0.1", &port, key, "0", "20000"];
    words.extend(options.split_whitespace());
    from.run(&words)
}

fn pair() -> (Server, Server) {
    let from = Server::with("MMAP k f");
    from.ask("VPUSH k 1 2 3");
    (from, Server::start())
}

#[test]
fn migrate_moves_the_key_and_leaves_the_file() {
    let (from, to) = pair();
    assert_eq!(migrate(&from, &to, "k", "").to_string(), "OK");
    assert_eq!(to.say("VALL k"), "[1, 2, 3]");
    assert_eq!(from.say("EXISTS k"), "(integer) 0");
    assert_eq!(from.read("f"), doubles([1.0, 2.0, 3.0]));
    // And back, where the file that stayed behind is older by now.
    to.ask("VPUSH k 4");
    assert_eq!(migrate(&to, &from, "k", "").to_string(), "OK");
    assert_eq!(from.say("VALL k"), "[1, 2, 3, 4]");
    assert_eq!(from.read("f.replaced"), doubles([1.0, 2.0, 3.0]));
}

#[test]
fn migrate_copy_keeps_the_key_and_replace_brings_the_other_up_to_date() {
    let (from, to) = pair();
    assert_eq!(migrate(&from, &to, "k", "COPY").to_string(), "OK");
    from.ask("VPUSH k 4");
    let error = migrate(&from, &to, "k", "COPY").error();
    assert!(error.contains("BUSYKEY"), "{error}");
    assert_eq!(to.say("VALL k"), "[1, 2, 3]");
    assert_eq!(migrate(&from, &to, "k", "COPY REPLACE").to_string(), "OK");
    for server in [&from, &to] {
        assert_eq!(server.say("VALL k"), "[1, 2, 3, 4]");
        assert_eq!(server.say("VPUSH k 5"), "(integer) 1");
    }
    assert_eq!(to.read("f.replaced"), doubles([1.0, 2.0, 3.0]));
}

#[test]
fn migrate_moves_keys_of_other_types_beside() {
    let (from, to) = pair();
    from.ask("SET s text");
    assert_eq!(migrate(&from, &to, "", "KEYS k s").to_string(), "OK");
    assert_eq!(to.say("VALL k"), "[1, 2, 3]");
    assert_eq!(to.say("GET s"), "text");
    assert_eq!(from.say("EXISTS k s"), "(integer) 0");
}

#[test]
fn a_target_whose_file_is_taken_refuses_and_the_source_keeps_key_and_file() {
    let (from, to) = pair();
    to.ask("MMAP other f");
    to.ask("VPUSH other 9");
    from.ask("SET s text");
    for options in ["", "REPLACE"] {
        let error = migrate(&from, &to, "k", options).error();
        assert!(error.contains("Bad data format"), "{error}");
    }
    let log = to.log();
    assert!(log.contains("'f' is bound to another key"), "{log}");
    // Of several keys, those move that can.
    assert!(migrate(&from, &to, "", "KEYS k s").is_error());
    assert_eq!(to.say("GET s"), "text");
    assert_eq!(from.say("EXISTS s"), "(integer) 0");
    assert_eq!(from.say("VALL k"), "[1, 2, 3]");
    assert_eq!(from.say("VPUSH k 4"), "(integer) 1");
    assert_eq!(to.say("VALL other"), "[9]");
    assert_eq!(names(&to), ["f"]);
}

/// A server with a read-only file of zeros, which takes no space on the disk, but for the last value.
#[track_caller]
fn with_long_file(bytes: u64) -> Server {
    let setup = Server::setup().config("rdbcompression", "no");
    let file = std::fs::File::create(setup.dir().join("f")).unwrap();
    file.set_len(bytes).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &7_f64.to_le_bytes(), bytes - 8).unwrap();
    let db = setup.start();
    let values = (bytes / 8).cast_signed();
    assert_eq!(db.int("MMAP k f double"), values);
    db
}

#[track_caller]
fn allow_arguments(server: &Server, bytes: &str) {
    for setting in ["proto-max-bulk-len", "client-query-buffer-limit"] {
        assert_eq!(server.say(&format!("CONFIG SET {setting} {bytes}")), "OK");
    }
}

#[test]
fn what_goes_along_follows_the_longest_argument_that_the_server_takes() {
    let from = with_long_file(530 << 20);
    let to = Server::start();
    assert!(migrate(&from, &to, "k", "COPY").is_error());
    let log = to.log();
    assert!(log.contains("raise proto-max-bulk-len"), "{log}");
    assert_eq!(names(&to), [""; 0]);

    for server in [&from, &to] {
        allow_arguments(server, "700mb");
    }
    assert_eq!(migrate(&from, &to, "k", "COPY").to_string(), "OK");
    assert_eq!(to.say("VGET k 69468159"), "7");
    let digest = |db: &Server| db.say("DEBUG DIGEST-VALUE k");
    assert_eq!(digest(&from), digest(&to));
    assert_eq!(to.file_len("f"), 530 << 20);
}

#[test]
fn either_limit_of_the_server_is_enough_to_refuse_a_dump() {
    for setting in ["proto-max-bulk-len", "client-query-buffer-limit"] {
        let from = with_long_file(3 << 20);
        let to = Server::start();
        from.ask(&format!("CONFIG SET {setting} 2mb"));
        assert!(migrate(&from, &to, "k", "").is_error());
        let log = to.log();
        assert!(log.contains("more than the 1048576 that DUMP"), "{log}");
        from.ask(&format!("CONFIG SET {setting} 5mb"));
        assert_eq!(migrate(&from, &to, "k", "").to_string(), "OK");
    }
}

#[test]
fn a_dump_for_which_there_is_no_memory_is_refused() {
    let from = with_long_file(1 << 40);
    let to = Server::start();
    allow_arguments(&from, "8192gb");
    assert!(migrate(&from, &to, "k", "").is_error());
    for log in [from.log(), to.log()] {
        assert!(log.contains("bytes of memory, and"), "{log}");
    }
    assert_eq!(from.int("VSIZE k"), 1 << 37);
}
