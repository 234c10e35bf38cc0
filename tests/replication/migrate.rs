//! `MIGRATE` between two servers without a Cluster.

use crate::contents::names;
use crate::support::{Reply, Server, doubles};

/// `MIGRATE` of one key, or with `KEYS` of those named last.
#[track_caller]
fn migrate(from: &Server, to: &Server, key: &str, options: &str) -> Reply {
    let port = to.port().to_string();
    let mut words = vec!["MIGRATE", "127.0.0.1", &port, key, "0", "20000"];
    words.extend(options.split_whitespace());
    from.run(&words)
}

fn pair() -> (Server, Server) {
    let from = Server::start();
    from.ask("MMAP k f");
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
