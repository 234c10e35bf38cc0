//! `VSTAT`: everything about one array.

use std::collections::HashMap;
use std::fs::OpenOptions;

use support::{Reply, Server, doubles, wait_until};

const FIELDS: [&str; 15] = [
    "path",
    "type",
    "dtype",
    "item-size",
    "mode",
    "state",
    "why",
    "last-error",
    "keys",
    "count",
    "capacity",
    "bytes",
    "file-bytes",
    "synced",
    "resident",
];

#[track_caller]
fn stat(db: &Server, key: &str) -> HashMap<String, Reply> {
    let stat = db.ask(&format!("VSTAT {key}")).pairs();
    let mut names: Vec<_> = stat.keys().map(String::as_str).collect();
    let mut expected = FIELDS.to_vec();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    stat
}

#[track_caller]
fn shows(stat: &HashMap<String, Reply>, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        assert_eq!(stat[*name].to_string(), *value, "{name}");
    }
}

#[test]
fn vstat_of_an_exact_array() {
    let db = Server::with("MMAP db sub.f32 float WRITABLE");
    db.say("VPUSH db 1 2 3");
    db.say("VSYNC db");
    shows(
        &stat(&db, "db"),
        &[
            ("path", "sub.f32"),
            ("type", "float"),
            ("dtype", "<f4"),
            ("item-size", "(integer) 4"),
            ("mode", "writable"),
            ("state", "exact"),
            ("why", "(nil)"),
            ("last-error", "(nil)"),
            ("keys", "(integer) 1"),
            ("count", "(integer) 3"),
            ("capacity", "(integer) 3"),
            ("bytes", "(integer) 12"),
            ("file-bytes", "(integer) 12"),
            ("synced", "(integer) 3"),
            ("resident", "(integer) 4096"),
        ],
    );
}

#[test]
fn vstat_of_a_missing_key_is_nil_and_of_another_type_an_error() {
    let db = Server::start();
    assert_eq!(db.say("VSTAT nokey"), "(nil)");
    db.say("SET text 1");
    assert!(db.error("VSTAT text").starts_with("WRONGTYPE"));
}

#[test]
fn vstat_counts_the_keys_of_a_file() {
    let db = Server::with("MMAP a f");
    db.say("MMAP b f");
    shows(&stat(&db, "a"), &[("keys", "(integer) 2")]);
    db.say("DEL a");
    shows(&stat(&db, "b"), &[("keys", "(integer) 1")]);
}

#[test]
fn vstat_shows_slack_while_there_is_some() {
    let db = Server::with("MMAP db f");
    wait_until("a burst gave the array slack", || {
        db.client().push_one_by_one("db", 0..5000);
        let stat = stat(&db, "db");
        if stat["state"].to_string() != "slack" {
            return false;
        }
        let number = |name: &str| stat[name].clone().int();
        assert!(number("capacity") > number("count"));
        assert_eq!(number("bytes"), 8 * number("count"));
        // Behind them are the place of a note's header and the record.
        let tail = number("file-bytes") - number("capacity") * 8;
        assert!((16 + 64..16 + 64 + 8).contains(&tail), "{tail}");
        true
    });
    wait_until("the file is exact again", || {
        stat(&db, "db")["state"].to_string() == "exact"
    });
}

#[test]
fn vstat_of_what_another_program_writes_is_of_this_moment() {
    let db = Server::setup().write("f", doubles([1.0; 3])).start();
    db.say("MMAP db f double");
    db.write("f", doubles([1.0; 2000]));
    shows(
        &stat(&db, "db"),
        &[
            ("mode", "read-only"),
            ("count", "(integer) 2000"),
            ("synced", "(nil)"),
            ("resident", "(integer) 16384"),
        ],
    );
}

#[test]
fn vstat_of_a_lost_file_says_why() {
    let db = Server::with("MMAP db f");
    db.say("VPUSH db 1 2 3");
    let file = OpenOptions::new().write(true).open(db.path("f")).unwrap();
    file.set_len(8).unwrap();
    wait_until("the truncation is noticed", || {
        db.ask("VGET db 0").is_error()
    });
    let stat = stat(&db, "db");
    shows(&stat, &[("state", "lost")]);
    let why = stat["last-error"].clone().text();
    assert!(why.contains("'f' is 8 bytes long"), "{why}");
    assert_eq!(db.stat("arrays_lost"), 1);
    assert_eq!(db.info("mmap", "mmap_last_error"), why);

    assert_eq!(db.int("MMAP db f"), 1);
    assert_eq!(db.stat("arrays_lost"), 0);
    shows(&self::stat(&db, "db"), &[("state", "exact")]);
}

#[test]
fn vstat_of_a_file_missing_at_the_start_says_so() {
    let mut db = Server::with("MMAP db f");
    db.say("VPUSH db 1 2");
    db.shutdown("SAVE");
    std::fs::rename(db.path("f"), db.path("g")).unwrap();
    db.start_again();
    let stat = stat(&db, "db");
    shows(
        &stat,
        &[
            ("state", "unavailable"),
            ("count", "(integer) 2"),
            ("resident", "(nil)"),
        ],
    );
    assert!(stat["last-error"].to_string().contains("does not exist"));
    assert_eq!(db.stat("keys_unavailable"), 1);

    std::fs::rename(db.path("g"), db.path("f")).unwrap();
    assert_eq!(db.int("MMAP db f"), 2);
    assert_eq!(db.stat("keys_unavailable"), 0);
    shows(&self::stat(&db, "db"), &[("state", "exact")]);
}

/// Takes a file its name.
type Lose = fn(&Server);

/// A file loses its name, in each way, and a write is to be enough for that to be noticed.
#[test]
fn a_file_that_lost_its_name_is_noticed_after_a_write() {
    for fsync in ["everysec", "no", "always"] {
        let db = Server::setup()
            .module_args(&format!("fsync {fsync}"))
            .start();
        let ways: [(&str, Lose); 4] = [
            ("was deleted", |db| {
                std::fs::remove_file(db.path("f")).unwrap();
            }),
            ("was replaced", |db| {
                db.write("new", doubles([7.0]));
                std::fs::rename(db.path("new"), db.path("f")).unwrap();
            }),
            ("no file has its name", |db| {
                std::fs::rename(db.path("f"), db.path("away")).unwrap();
            }),
            ("another file has its name", |db| {
                std::fs::rename(db.path("f"), db.path("away")).unwrap();
                db.write("f", doubles([7.0]));
            }),
        ];
        for (what, lose) in ways {
            let log = db.log().len();
            db.say("MMAP db f");
            db.say("VPUSH db 1 2 3");
            assert_eq!(db.say("VSYNC db"), "OK");
            assert_eq!(db.stat("arrays_unlinked"), 0, "{what}");
            lose(&db);
            assert_eq!(db.int("VPUSH db 4"), 1);
            wait_until("it is noticed", || db.stat("arrays_unlinked") == 1);
            let error = db.error("VSYNC db");
            assert!(error.contains("'f'") && error.contains(what), "{error}");
            let transaction = db.run(&["EVAL", "return redis.pcall('VSYNC', 'db')", "0"]);
            assert!(transaction.is_error(), "{transaction}");
            let stat = stat(&db, "db");
            shows(&stat, &[("state", "unlinked"), ("count", "(integer) 4")]);
            assert!(stat["why"].to_string().contains(what), "{what}");
            // Values are there for as long as the key is.
            assert_eq!(db.say("VALL db"), "[1, 2, 3, 4]");
            assert_eq!(db.int("VPUSH db 5"), 1);
            assert!(db.error("VSYNC db").contains(what));
            let said = |text: &str| db.log()[log..].matches(text).count();
            assert_eq!(said(what), 1, "{}", db.log());
            db.say("DEL db");
            let is_gone = what.starts_with("was");
            assert_eq!(
                said("its 5 values are lost"),
                usize::from(is_gone),
                "{what}"
            );
            for name in ["f", "away"] {
                let _ = std::fs::remove_file(db.path(name));
            }
        }
    }
}

#[test]
fn a_file_that_has_its_name_again_is_no_more_unlinked() {
    let db = Server::with("MMAP db f");
    db.say("VPUSH db 1 2 3");
    std::fs::rename(db.path("f"), db.path("g")).unwrap();
    assert!(db.error("VSYNC db").contains("no file has its name"));
    std::fs::rename(db.path("g"), db.path("f")).unwrap();
    assert_eq!(db.say("VSYNC db"), "OK");
    shows(&stat(&db, "db"), &[("state", "exact")]);
    assert_eq!(db.stat("arrays_unlinked"), 0);
    // The copy that VTRIM puts in its place has the name, too.
    db.say("VTRIM db 1 -1");
    assert_eq!(db.say("VSYNC db"), "OK");
    assert_eq!(db.stat("arrays_unlinked"), 0);
}
