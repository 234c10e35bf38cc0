//! Keys, files, and which may be bound to which.

use std::io::Write as _;

use support::{Reply, Server, doubles, wait_until};

use crate::npy::has_longdouble;

#[test]
fn binding_the_same_file_again_answers_the_count() {
    let db = Server::with("MMAP db f");
    db.say("VPUSH db 1 2");
    for command in [
        "MMAP db f",
        "MMAP db f double",
        "MMAP db f float64",
        "MMAP db f double WRITABLE",
        "MMAP db ./f",
    ] {
        assert_eq!(db.say(command), "(integer) 2", "{command}");
    }
}

#[test]
fn binding_another_file_or_type_is_an_error_that_names_the_bound_file() {
    let db = Server::with("MMAP db bound.file");
    db.say("VPUSH db 1");
    for command in [
        "MMAP db other",
        "MMAP db other double WRITABLE",
        "MMAP db bound.file int64",
        "MMAP db bound.file string 8",
    ] {
        let error = db.error(command);
        assert!(
            error.starts_with("ERR ") && error.contains("bound.file"),
            "{command}: {error}"
        );
    }
    assert!(!db.path("other").exists());
    assert_eq!(db.say("VALL db"), "[1]");
}

#[test]
fn a_read_only_key_does_not_become_writable_by_binding_it_again() {
    let db = Server::setup().write("f", doubles([1.0])).start();
    assert_eq!(db.say("MMAP db f double"), "(integer) 1");
    assert_eq!(db.say("MMAP db f double"), "(integer) 1");
    let error = db.error("MMAP db f double WRITABLE");
    assert!(error.starts_with("ERR ") && error.contains('f'), "{error}");
    assert!(db.error("VPUSH db 2").starts_with("ERR "));
}

#[test]
fn del_and_mmap_in_one_pipeline_a_thousand_times() {
    let db = Server::with("MMAP k0 f");
    let mut client = db.client();
    let mut commands = Vec::new();
    for i in 0..1000 {
        commands.push(format!("VPUSH k{i} {i} {i}.5"));
        commands.push(format!("DEL k{i}"));
        commands.push(format!("MMAP k{} f", i + 1));
    }
    let words: Vec<Vec<&str>> = commands.iter().map(|c| c.split(' ').collect()).collect();
    for (i, round) in client.pipeline(&words).chunks(3).enumerate() {
        assert_eq!(
            round,
            [Reply::Int(2), Reply::Int(1), Reply::Int(2 * (i as i64 + 1))],
            "round {i}"
        );
    }
    assert_eq!(db.say("VMGET k1000 0 1 1998 1999"), "[0, 0.5, 999, 999.5]");
    db.settles_at("f", 16_000);
    assert_eq!(db.stat("arrays"), 1);
}

#[test]
fn a_burst_del_and_mmap_in_one_pipeline_a_hundred_times() {
    let db = Server::with("MMAP k0 f");
    let mut client = db.client();
    for i in 0..100u64 {
        let mut commands = vec![vec!["VPUSH".to_owned(), format!("k{i}"), "1.5".into()]; 2000];
        commands.push(vec!["UNLINK".into(), format!("k{i}")]);
        commands.push(vec!["MMAP".into(), format!("k{}", i + 1), "f".into()]);
        let replies = client.pipeline(&commands);
        assert_eq!(
            replies.last(),
            Some(&Reply::Int(2000 * (i as i64 + 1))),
            "round {i}"
        );
    }
    assert_eq!(
        db.at_rest("f", 200_000 * 8),
        doubles(std::iter::repeat_n(1.5, 200_000))
    );
}

#[test]
fn two_keys_on_one_file_are_one_array() {
    let db = Server::with("MMAP a f");
    assert_eq!(db.say("MMAP b f"), "(integer) 0");
    db.say("VPUSH a 1");
    db.say("VPUSH b 2 3");
    assert_eq!(db.say("VALL a"), "[1, 2, 3]");
    assert_eq!(db.say("VALL b"), "[1, 2, 3]");
    db.say("VSET b 0 9");
    assert_eq!(db.say("VPOP a"), "3");
    assert_eq!(db.say("VALL b"), "[9, 2]");
    assert_eq!(db.file_len("f"), 16);
    db.say("DEL a");
    assert_eq!(db.say("VPUSH b 4"), "(integer) 1");
    assert_eq!(db.say("VALL b"), "[9, 2, 4]");
    assert_eq!(db.file_len("f"), 24);
}

#[test]
fn two_keys_in_one_burst_lose_nothing() {
    let db = Server::with("MMAP a f");
    db.say("MMAP b f");
    let commands: Vec<_> = (0..100_000)
        .map(|i| {
            vec![
                "VPUSH".to_owned(),
                if i % 2 == 0 { "a" } else { "b" }.into(),
                i.to_string(),
            ]
        })
        .collect();
    assert!(
        db.client()
            .pipeline(&commands)
            .iter()
            .all(|reply| *reply == Reply::Int(1))
    );
    assert_eq!(
        db.at_rest("f", 800_000),
        doubles((0..100_000).map(f64::from))
    );
}

#[test]
fn keys_in_two_databases_on_one_file_are_one_array() {
    let db = Server::start();
    let mut other = db.client();
    other.say("SELECT 9");
    db.say("MMAP k f");
    assert_eq!(other.say("MMAP k f"), "(integer) 0");
    db.say("VPUSH k 1");
    other.say("VPUSH k 2");
    assert_eq!(db.say("VALL k"), "[1, 2]");
    assert_eq!(other.say("VALL k"), "[1, 2]");
    assert_eq!(db.say("FLUSHDB"), "OK");
    assert_eq!(other.say("VPUSH k 3"), "(integer) 1");
    assert_eq!(other.say("VALL k"), "[1, 2, 3]");
    assert_eq!(db.file_len("f"), 24);
}

#[test]
fn hard_links_to_one_file_are_one_array() {
    let db = Server::with("MMAP a f");
    std::fs::hard_link(db.path("f"), db.path("g")).unwrap();
    assert_eq!(db.say("MMAP b g"), "(integer) 0");
    db.say("VPUSH a 1");
    db.say("VPUSH b 2");
    assert_eq!(db.say("VALL a"), "[1, 2]");
}

#[test]
fn one_file_is_not_bound_as_two_types() {
    let db = Server::with("MMAP a f");
    db.say("VPUSH a 1");
    for rest in [
        "int64",
        "int64 WRITABLE",
        "uint8",
        "string 8",
        "string 4 WRITABLE",
    ] {
        let error = db.error(&format!("MMAP b f {rest}"));
        assert!(
            error.starts_with("ERR ") && error.contains('f'),
            "{rest}: {error}"
        );
    }
    assert_eq!(db.say("EXISTS b"), "(integer) 0");
    db.say("DEL a");
    assert_eq!(db.say("MMAP b f int64"), "(integer) 1");
    assert_eq!(db.say("VALL b"), format!("[(integer) {}]", 1f64.to_bits()));
}

#[test]
fn a_read_only_key_beside_a_writable_one_never_shows_another_view() {
    let db = Server::with("MMAP w f");
    db.say("VPUSH w 1");
    let reply = db.ask("MMAP r f double");
    if reply == Reply::Int(1) {
        db.client().push_one_by_one("w", 0..10_000);
        assert_eq!(db.say("VSIZE r"), "(integer) 10001");
        assert_eq!(db.say("VGET r 10000"), "9999");
        assert!(db.error("VPUSH r 1").starts_with("ERR "));
        db.say("DEL w");
        assert_eq!(db.say("VSIZE r"), "(integer) 10001");
        db.settles_at("f", 10_001 * 8);
    } else {
        let error = reply.error();
        assert!(error.starts_with("ERR ") && error.contains('f'), "{error}");
    }
}

#[test]
fn every_way_to_lose_a_key_leaves_the_file_and_frees_it() {
    let db = Server::start();
    for (i, command) in [
        "DEL k",
        "UNLINK k",
        "FLUSHALL",
        "FLUSHALL ASYNC",
        "FLUSHDB",
        "PEXPIRE k 1",
        "SET k text",
        "SWAPDB 0 1",
    ]
    .iter()
    .enumerate()
    {
        let file = format!("f{i}");
        db.say(&format!("MMAP k {file}"));
        db.say("VPUSH k 1 2 3");
        let reply = db.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
        wait_until("the key is gone", || {
            db.say("TYPE k") != db.say("TYPE other") || db.say("EXISTS k") == "(integer) 0"
        });
        assert_eq!(db.file_len(&file), 24, "{command}");
        assert_eq!(db.int(&format!("MMAP again{i} {file}")), 3, "{command}");
        assert_eq!(db.say(&format!("VALL again{i}")), "[1, 2, 3]");
        db.say("FLUSHALL");
    }
}

#[test]
fn eviction_leaves_the_file() {
    let db = Server::with("MMAP k f");
    db.say("VPUSH k 1 2 3");
    db.say("CONFIG SET maxmemory-policy allkeys-random");
    db.say("CONFIG SET maxmemory 1");
    let _ = db.ask("SET other 1");
    wait_until("the key is evicted", || db.say("EXISTS k") == "(integer) 0");
    db.say("CONFIG SET maxmemory 0");
    assert_eq!(db.file_len("f"), 24);
    assert_eq!(db.say("MMAP k f"), "(integer) 3");
}

#[test]
fn renaming_and_moving_keep_the_array() {
    let db = Server::with("MMAP a f");
    db.say("VPUSH a 1");
    assert_eq!(db.say("RENAME a b"), "OK");
    assert_eq!(db.say("VPUSH b 2"), "(integer) 1");
    assert_eq!(db.say("MOVE b 1"), "(integer) 1");
    let mut other = db.client();
    other.say("SELECT 1");
    assert_eq!(other.say("VPUSH b 3"), "(integer) 1");
    assert_eq!(other.say("VALL b"), "[1, 2, 3]");
    assert_eq!(db.file_len("f"), 24);
}

#[test]
fn copying_a_key_never_makes_a_second_view() {
    let db = Server::with("MMAP a f");
    db.say("VPUSH a 1");
    if db.ask("COPY a b") == Reply::Int(1) {
        db.say("VPUSH b 2");
        assert_eq!(db.say("VALL a"), "[1, 2]");
        db.say("DEL a");
        assert_eq!(db.say("VALL b"), "[1, 2]");
    }
    assert_eq!(db.say("PING"), "PONG");
}

#[test]
fn a_second_server_may_read_but_not_write() {
    let first = Server::with("MMAP db f");
    first.say("VPUSH db 1 2");
    let second = Server::setup().sharing_files_of(&first).start();
    for command in ["MMAP db f", "MMAP db f double WRITABLE"] {
        let error = second.error(command);
        assert!(error.starts_with("ERR ") && error.contains('f'), "{error}");
        assert!(
            error.contains("another process") || error.contains("lock"),
            "the reason is missing: {error}"
        );
    }
    assert_eq!(second.say("MMAP db f double"), "(integer) 2");
    assert_eq!(second.say("VALL db"), "[1, 2]");
    second.say("DEL db");

    first.say("DEL db");
    wait_until("the file is free", || {
        second.ask("MMAP db f") == Reply::Int(2)
    });
    assert_eq!(second.say("VPUSH db 3"), "(integer) 1");
    assert!(first.error("MMAP db f").starts_with("ERR "));
}

#[test]
fn a_writer_that_was_killed_leaves_no_lock_behind() {
    let mut first = Server::with("MMAP db f");
    first.say("VPUSH db 1");
    let second = Server::setup().sharing_files_of(&first).start();
    assert!(second.error("MMAP db f").starts_with("ERR "));
    first.kill_9();
    assert_eq!(second.say("MMAP db f"), "(integer) 1");
}

#[test]
fn a_background_save_does_not_keep_the_lock() {
    let first = Server::with("MMAP db f");
    let second = Server::setup().sharing_files_of(&first).start();
    first.say("CONFIG SET rdb-key-save-delay 1000000");
    assert!(!first.ask("BGSAVE").is_error());
    first.say("DEL db");
    wait_until("the second server gets the file", || {
        second.ask("MMAP db f") == Reply::Int(0)
    });
}

#[test]
fn a_file_of_another_program_is_bound_as_it_stands() {
    let db = Server::setup().write("f", [1u8, 2, 3, 255]).start();
    assert_eq!(db.say("MMAP db f uint8"), "(integer) 4");
    assert_eq!(
        db.say("VALL db"),
        "[(integer) 1, (integer) 2, (integer) 3, (integer) 255]"
    );
    db.say("DEL db");
    assert_eq!(db.say("MMAP db f int8 writable"), "(integer) 4");
    assert_eq!(db.say("VGET db 3"), "(integer) -1");
    assert_eq!(db.say("VPUSH db -128"), "(integer) 1");
    assert_eq!(db.read("f"), [1, 2, 3, 255, 128]);
}

fn ints(values: &[i64]) -> Reply {
    Reply::Array(values.iter().map(|&value| Reply::Int(value)).collect())
}

fn append(path: &std::path::Path, value: i32) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&value.to_le_bytes()).unwrap();
}

#[test]
fn a_read_only_key_stays_read_only_when_the_writable_key_is_gone() {
    for end in ["DEL a", "UNLINK a", "RENAME other a"] {
        let db = Server::with("MMAP a w int32 WRITABLE");
        db.say("VPUSH a 1");
        db.say("MMAP b w int32");
        db.say("SET other x");
        db.say(end);
        // Another program writes, before or after the worker has synced.
        append(&db.path("w"), 2);
        assert_eq!(db.ask("VALL b"), ints(&[1, 2]), "{end}");
        assert_eq!(db.say("VSIZE b"), "(integer) 2", "{end}");
        assert_eq!(
            db.error("VPUSH b 3"),
            "ERR file 'w' is bound read-only to key 'b': DEL the key and MMAP it again with WRITABLE"
        );
        append(&db.path("w"), 3);
        assert_eq!(db.ask("VSLICE b -1 -1"), ints(&[3]), "{end}");
        // And it can be written to again, from what the file holds by then.
        assert_eq!(db.say("MMAP c w int32 WRITABLE"), "(integer) 3", "{end}");
        db.say("VPUSH c 4");
        assert_eq!(db.ask("VALL b"), ints(&[1, 2, 3, 4]), "{end}");
    }
}

#[test]
fn a_burst_leaves_no_slack_to_the_key_that_only_reads() {
    let db = Server::with("MMAP a w int32 WRITABLE");
    db.say("MMAP b w int32");
    let mut client = db.client();
    client.push_one_by_one("a", 0..5000);
    db.say("DEL a");
    assert_eq!(db.file_len("w"), 20_000);
    append(&db.path("w"), 5000);
    assert_eq!(db.say("VSIZE b"), "(integer) 5001");
    assert_eq!(db.ask("VSLICE b 4999 -1"), ints(&[4999, 5000]));
}

#[test]
fn another_process_may_write_once_the_last_key_that_may_is_gone() {
    let db = Server::with("MMAP a w int32 WRITABLE");
    db.say("MMAP b w int32 WRITABLE");
    db.say("MMAP c w int32");
    db.say("VPUSH a 1");
    let other = Server::setup().sharing_files_of(&db).start();
    db.say("DEL a");
    let error = other.error("MMAP x w int32 WRITABLE");
    assert!(
        error.contains("is being written by another process"),
        "{error}"
    );
    db.say("DEL b");
    wait_until("the lock is given up", || {
        other.say("MMAP x w int32 WRITABLE") == "(integer) 1"
    });
    other.say("VPUSH x 2 3");
    assert_eq!(db.ask("VALL c"), ints(&[1, 2, 3]));
    let error = db.error("MMAP a w int32 WRITABLE");
    assert!(
        error.contains("is being written by another process"),
        "{error}"
    );
    // Now the other way round: the lock is taken again, and held whatever readers do.
    other.say("DEL x");
    wait_until("the lock is given up", || {
        db.say("MMAP a w int32 WRITABLE") == "(integer) 3"
    });
    db.say("DEL c");
    let error = other.error("MMAP x w int32 WRITABLE");
    assert!(
        error.contains("is being written by another process"),
        "{error}"
    );
}

#[test]
fn types_have_numpys_codes_too_and_writable_stands_where_it_likes() {
    let db = Server::start();
    for (i, (words, kind, dtype)) in [
        ("f8 WRITABLE", "double", "<f8"),
        ("WRITABLE <f8", "double", "<f8"),
        ("writable", "double", "<f8"),
        ("=i4 WRITABLE", "int32", "<i4"),
        ("|u1 WRITABLE", "uint8", "|u1"),
        (">u1 WRITABLE", "uint8", "|u1"),
        ("i8 WRITABLE", "int64", "<i8"),
        ("<f16 WRITABLE", "long_double", "<f16"),
        ("WRITABLE S16", "string", "|S16"),
        ("WRITABLE string 16", "string", "|S16"),
        ("string WRITABLE 16", "string", "|S16"),
    ]
    .into_iter()
    .enumerate()
    {
        if kind == "long_double" && !has_longdouble(&db) {
            let error = db.error(&format!("MMAP k{i} f{i} {words}"));
            assert!(error.contains("not x87's 80-bit number"), "{error}");
            continue;
        }
        assert_eq!(
            db.say(&format!("MMAP k{i} f{i} {words}")),
            "(integer) 0",
            "{words}"
        );
        assert_eq!(db.say(&format!("VTYPE k{i}")), kind);
        let stat = db.ask(&format!("VSTAT k{i}")).pairs();
        assert_eq!(stat["dtype"].to_string(), dtype);
        assert_eq!(stat["mode"].to_string(), "writable");
    }
    for (words, error) in [
        (
            ">f8",
            "ERR values of type '>f8' are big-endian: write the file again with .astype('<f8')",
        ),
        (
            "double WRITEABLE",
            "ERR syntax error at 'WRITEABLE': expected WRITABLE",
        ),
        (
            "string 8 writeable",
            "ERR syntax error at 'writeable': expected WRITABLE",
        ),
        (
            "double incompleted",
            "ERR syntax error at 'incompleted': expected INCOMPLETE",
        ),
        (
            "WRITABLE WRITABLE",
            "ERR syntax error at 'WRITABLE': expected WRITABLE",
        ),
        (
            "double 8 4",
            "ERR syntax error: expected MMAP key path [type [size]] [WRITABLE]",
        ),
    ] {
        assert_eq!(db.error(&format!("MMAP x x {words}")), error);
    }
    for code in ["f2", "S0", "S65536", "S", "f", "<", "U5", "c16", "<i3"] {
        let error = db.error(&format!("MMAP x x {code} WRITABLE"));
        assert!(
            error.starts_with(&format!("ERR unknown type '{code}': use int8, ")),
            "{error}"
        );
        assert!(
            error.ends_with(
                "or a dtype of numpy's: i1 to i8, u1 to u8, f4, f8, f16 and S1 to S65535"
            )
        );
    }
    assert!(!db.path("x").exists());
}
