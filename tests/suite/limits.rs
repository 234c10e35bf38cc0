//! `mmap.max-arrays` and `mmap.max-file-bytes`.

use std::sync::atomic::{AtomicBool, Ordering};

use support::{Reply, Server, Setup, doubles, file_len, wait_until};

#[track_caller]
fn names(error: &str, parts: &[&str]) {
    assert!(error.starts_with("ERR "), "{error}");
    for part in parts {
        assert!(error.contains(part), "{part} is missing: {error}");
    }
}

#[test]
fn mmap_beyond_max_arrays_is_refused_and_makes_no_file() {
    let db = Server::setup().module_args("max-arrays 2").start();
    assert_eq!(db.int("MMAP a fa"), 0);
    assert_eq!(db.int("MMAP b fb"), 0);
    names(&db.error("MMAP c fc"), &["mmap.max-arrays is 2", "'fc'"]);
    assert!(!db.path("fc").exists());
    assert_eq!(db.int("EXISTS c"), 0);

    // A second key on a bound file takes nothing.
    assert_eq!(db.int("MMAP a2 fa"), 0);
    assert_eq!(db.int("MMAP a fa"), 0);

    db.say("DEL b");
    assert_eq!(db.int("MMAP c fc"), 0);
    names(&db.error("MMAP b fb"), &["mmap.max-arrays"]);
    db.say("CONFIG SET mmap.max-arrays 3");
    assert_eq!(db.int("MMAP b fb"), 0);
    names(&db.error("MMAP d fd double"), &["mmap.max-arrays is 3"]);
    db.say("CONFIG SET mmap.max-arrays 0");
    assert_eq!(db.int("MMAP d fd"), 0);
}

fn keeps_all_keys(setup: Setup) {
    let mut db = setup.start();
    for i in 0..5 {
        db.say(&format!("MMAP k{i} f{i}"));
        db.say(&format!("VPUSH k{i} 1 2 3"));
    }
    db.say("CONFIG SET mmap.max-arrays 2");
    db.say("CONFIG SET mmap.max-file-bytes 8");
    assert_eq!(db.say("CONFIG REWRITE"), "OK");
    db.shutdown("SAVE");
    db.start_again();
    for i in 0..5 {
        assert_eq!(db.say(&format!("VALL k{i}")), "[1, 2, 3]");
    }
    names(&db.error("MMAP k5 f5"), &["mmap.max-arrays is 2"]);
    names(&db.error("VPUSH k0 4"), &["mmap.max-file-bytes is 8"]);
}

#[test]
fn restore_beyond_max_arrays_is_refused_and_makes_no_file() {
    for contents in ["auto", "no"] {
        let db = Server::start();
        db.ask(&format!("CONFIG SET mmap.rdb-contents {contents}"));
        db.ask("MMAP a a");
        db.ask("VPUSH a 1");
        let dump = db.ask("DUMP a").bytes();
        db.ask("DEL a");
        if contents == "auto" {
            std::fs::remove_file(db.path("a")).unwrap();
        }
        db.ask("MMAP b b");
        db.ask("CONFIG SET mmap.max-arrays 1");
        let restore = |key: &str| db.run(&[b"RESTORE".as_slice(), key.as_bytes(), b"0", &dump]);
        assert!(restore("a").is_error(), "{contents}");
        assert!(db.log().contains("mmap.max-arrays is 1"), "{}", db.log());
        assert_eq!(db.path("a").exists(), contents == "no");
        db.ask("CONFIG SET mmap.max-arrays 2");
        assert_eq!(restore("a").to_string(), "OK", "{contents}");
    }
}

#[test]
fn a_restart_keeps_keys_beyond_the_limits_from_rdb() {
    keeps_all_keys(Server::setup());
}

#[test]
fn a_restart_keeps_keys_beyond_the_limits_from_aof() {
    keeps_all_keys(Server::setup().config("appendonly", "yes"));
}

#[test]
fn vadd_beyond_max_file_bytes_writes_nothing() {
    let db = Server::setup().module_args("max-file-bytes 80").start();
    db.say("MMAP db f");
    assert_eq!(db.int("VPUSH db 1 2 3 4 5 6 7 8 9"), 9);
    let error = db.error("VPUSH db 10 11");
    names(
        &error,
        &[
            "'f'",
            "11 values",
            "mmap.max-file-bytes is 80",
            "room for 10",
        ],
    );
    assert_eq!(db.file_len("f"), 72);
    assert_eq!(db.int("VPUSH db 10"), 1);
    names(&db.error("VPUSH db 11"), &["mmap.max-file-bytes"]);
    assert_eq!(db.file_len("f"), 80);

    // What does not make the file longer goes on.
    assert_eq!(db.int("VSET db 9 7"), 1);
    assert_eq!(db.say("VPOP db"), "7");
    assert_eq!(db.int("VPUSH db 11"), 1);

    db.say("CONFIG SET mmap.max-file-bytes 88");
    assert_eq!(db.int("VPUSH db 12"), 1);
    // A lower limit takes nothing away.
    db.say("CONFIG SET mmap.max-file-bytes 8");
    assert_eq!(db.int("VSIZE db"), 11);
    names(&db.error("VPUSH db 13"), &["mmap.max-file-bytes is 8"]);
    db.say("CONFIG SET mmap.max-file-bytes 0");
    assert_eq!(db.int("VPUSH db 13"), 1);
}

#[test]
fn a_longer_file_can_be_mapped_and_read() {
    let db = Server::setup()
        .module_args("max-file-bytes 8")
        .write("f", doubles([1.0, 2.0]))
        .start();
    assert_eq!(db.int("MMAP db f double WRITABLE"), 2);
    assert_eq!(db.say("VALL db"), "[1, 2]");
    names(&db.error("VPUSH db 3"), &["mmap.max-file-bytes"]);
}

#[test]
fn slack_does_not_pass_the_limit() {
    const LIMIT: u64 = 1_000_000;
    let db = Server::setup()
        .module_args(&format!("max-file-bytes {LIMIT}"))
        .start();
    db.say("MMAP db f");
    let path = db.path("f");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let longest = scope.spawn(|| {
            let mut longest = 0;
            loop {
                longest = longest.max(file_len(&path));
                if ended.load(Ordering::Relaxed) {
                    return longest;
                }
                std::thread::yield_now();
            }
        });
        let mut client = db.client();
        wait_until("the file is ahead of its values once", || {
            client.say("VCLEAR db");
            client.push_one_by_one("db", 0..LIMIT / 8);
            db.stat("growths_ahead") + db.stat("growths_inline") > 0
        });
        let replies = client.pipeline(&vec![vec!["VPUSH", "db", "1"]; 1000]);
        ended.store(true, Ordering::Relaxed);
        assert!(replies.iter().all(Reply::is_error));
        // The record that goes with slack takes one page more.
        let longest = longest.join().unwrap();
        assert!(longest <= LIMIT + 4096 + 64, "it was {longest} bytes long");
    });
    assert_eq!(
        db.at_rest("f", LIMIT),
        doubles((0..LIMIT / 8).map(|i| i as f64))
    );
}

#[test]
fn a_replica_has_the_limits_of_its_primary() {
    let db = Server::setup()
        .module_args("max-arrays 1 max-file-bytes 8kb")
        .start();
    let limits = || (db.stat("max_arrays"), db.stat("max_file_bytes"));
    assert_eq!(limits(), (1, 8192));
    assert_eq!(db.say("REPLICAOF 127.0.0.1 1"), "OK");
    assert_eq!(limits(), (0, 0));
    db.say("CONFIG SET mmap.max-arrays 2");
    assert_eq!(limits(), (0, 0));
    assert_eq!(db.say("REPLICAOF NO ONE"), "OK");
    assert_eq!(limits(), (2, 8192));

    let replica = Server::setup()
        .config("mmap.max-arrays", "1")
        .config("replicaof", "127.0.0.1 1")
        .start();
    assert_eq!(replica.stat("max_arrays"), 0);
}

/// The limit of `ulimit -f` is reached in every way in which a file becomes longer: by small appends to an exact file, by
/// large ones, in a burst, and where a file is copied.
#[test]
fn a_limit_on_file_sizes_is_an_error_and_ends_nothing() {
    const LIMIT: u64 = 3_000_000;
    let mut db = Server::setup()
        .launched_by(&["prlimit", &format!("--fsize={LIMIT}")])
        .start();
    let limit = format!("{LIMIT} bytes");
    for (key, values) in [("small", 400_u64), ("large", 5_000)] {
        db.say(&format!("MMAP {key} {key}"));
        let mut words = vec!["VPUSH".to_owned(), key.to_owned()];
        words.extend((0..values).map(|i| i.to_string()));
        let mut pushed = 0;
        let error = loop {
            match db.run(&words) {
                Reply::Error(error) => break error,
                _ => pushed += values,
            }
        };
        names(&error, &[&format!("'{key}'"), "ulimit -f", &limit]);
        assert!(pushed * 8 > LIMIT - 8 * values - 8192, "{pushed} values");
        assert_eq!(db.int(&format!("VSIZE {key}")) as u64, pushed);
        assert_eq!(db.say(&format!("VSYNC {key}")), "OK");
        assert_eq!(db.file_len(key), pushed * 8);
    }

    db.say("MMAP burst burst");
    let mut client = db.client();
    let replies = client.pipeline(&vec![
        vec!["VPUSH", "burst", "1"];
        LIMIT as usize / 8 + 1000
    ]);
    // With its slack gone, a file has room for some more.
    let pushed = replies.iter().filter(|reply| !reply.is_error()).count() as u64;
    assert!(pushed * 8 > LIMIT - 8192, "{pushed} values");
    let refused = replies.iter().filter(|reply| reply.is_error());
    refused.for_each(|reply| names(&reply.to_string()[8..], &["'burst'", "ulimit -f", &limit]));
    assert_eq!(db.int("VSIZE burst") as u64, pushed);
    assert_eq!(db.say("VPOP burst 2"), "[1, 1]");
    assert_eq!(db.int("VPUSH burst 2 3"), 2);
    db.settles_at("burst", pushed * 8);

    // A file that was longer before: its copy without the head must not be.
    let handle = std::fs::File::create(db.path("long")).unwrap();
    handle.set_len(2 * LIMIT).unwrap();
    db.say("MMAP long long uint8 WRITABLE");
    names(
        &db.error("VTRIM long 1 -1"),
        &["'long'", "ulimit -f", &limit],
    );
    names(&db.error("VPUSH long 1"), &["'long'", "ulimit -f", &limit]);
    assert_eq!(db.int("VSIZE long") as u64, 2 * LIMIT);
    assert!(db.is_running());
    assert_eq!(db.say("VSYNC small"), "OK");
}
