//! `VTRIM`: a range stays, the rest goes, for the file as for those who look at it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::{Reply, Server, StopAtEnd, as_doubles, doubles, wait_until};

fn numbers(range: std::ops::Range<u64>) -> Vec<u8> {
    doubles(range.map(|i| i as f64))
}

fn array(count: u64) -> Server {
    let db = Server::start();
    db.write("f", numbers(0..count));
    db.say("MMAP db f double WRITABLE");
    db
}

#[test]
fn vtrim_keeps_what_ltrim_keeps() {
    for start in -6..=6_i64 {
        for stop in [-6, -5, -2, -1, 0, 1, 3, 4, 5, 9] {
            let db = array(5);
            db.say("RPUSH list 0 1 2 3 4");
            db.say(&format!("LTRIM list {start} {stop}"));
            let kept = db.ask("LRANGE list 0 -1").items();
            let removed = db.int(&format!("VTRIM db {start} {stop}"));
            assert_eq!(removed, 5 - kept.len() as i64, "{start} {stop}");
            assert_eq!(db.ask("VALL db").items(), kept, "{start} {stop}");
            assert_eq!(db.file_len("f"), kept.len() as u64 * 8, "{start} {stop}");
        }
    }
}

#[test]
fn after_a_trim_the_array_goes_on_as_ever() {
    let mut db = array(10_000);
    assert_eq!(db.say("VTRIM db 9000 -2"), "(integer) 9001");
    assert_eq!(db.read("f"), numbers(9000..9999));
    db.client().push_one_by_one("db", 9999..60_000);
    assert_eq!(db.say("VGET db 0"), "9000");
    assert_eq!(db.say("VPOP db"), "59999");
    assert_eq!(db.say("VSET db 0 9000"), "(integer) 1");
    assert_eq!(db.at_rest("f", (59_999 - 9000) * 8), numbers(9000..59_999));
    assert_eq!(db.say("VTRIM db -100 -1"), "(integer) 50899");
    assert_eq!(db.say("MMAP db f"), "(integer) 100");
    assert_eq!(db.say("MMAP again f"), "(integer) 100");
    db.restart();
    assert_eq!(db.say("MMAP db f"), "(integer) 100");
    assert_eq!(db.read("f"), numbers(59_899..59_999));
}

#[test]
fn all_keys_of_the_file_see_the_trim_and_its_name_leads_to_what_stayed() {
    let db = array(100);
    std::os::unix::fs::symlink("f", db.path("link")).unwrap();
    db.say("MMAP other link");
    assert_eq!(db.say("VTRIM other 90 -1"), "(integer) 90");
    assert_eq!(db.say("VSIZE db"), "(integer) 10");
    db.say("VPUSH db 100");
    assert_eq!(db.say("VGET other 10"), "100");
    assert!(db.path("link").is_symlink());
    assert_eq!(db.read("link"), numbers(90..101));
    assert_eq!(db.say("DEL db other"), "(integer) 2");
    assert_eq!(db.say("MMAP db f"), "(integer) 11");
}

#[test]
fn the_new_file_is_like_the_old_one_and_locked_like_it() {
    let db = array(100);
    std::fs::set_permissions(db.path("f"), PermissionsExt::from_mode(0o640)).unwrap();
    let before = std::fs::metadata(db.path("f")).unwrap();
    db.say("VTRIM db 1 -1");
    let after = std::fs::metadata(db.path("f")).unwrap();
    assert_eq!(after.mode(), before.mode());
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    let other = Server::setup().sharing_files_of(&db).start();
    let error = other.error("MMAP db f");
    assert!(
        error.contains("being written by another process"),
        "{error}"
    );
    assert_eq!(other.say("MMAP db f double"), "(integer) 99");
    let names: Vec<_> = std::fs::read_dir(db.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("mmap-"))
        .collect();
    assert!(names.is_empty(), "{names:?} is left over");
}

#[test]
fn others_who_have_the_file_open_keep_what_they_had() {
    let db = array(100);
    let open = std::fs::File::open(db.path("f")).unwrap();
    db.say("VTRIM db 50 -1");
    db.say("VSET db 0 -1");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut &open, &mut bytes).unwrap();
    assert_eq!(bytes, numbers(0..100));
}

#[test]
fn a_head_that_cannot_go_stays_and_says_why() {
    let db = array(10);
    std::fs::hard_link(db.path("f"), db.path("second")).unwrap();
    let error = db.error("VTRIM db 1 -1");
    assert!(error.contains("several names"), "{error}");
    assert_eq!(db.say("VTRIM db 0 -2"), "(integer) 1");
    std::fs::remove_file(db.path("second")).unwrap();
    std::fs::rename(db.path("f"), db.path("moved")).unwrap();
    assert_eq!(
        db.say("VTRIM db 1 -1"),
        "(integer) 1",
        "the file is found where it is now"
    );
    assert_eq!(db.read("moved"), numbers(1..9));
    std::fs::remove_file(db.path("moved")).unwrap();
    let error = db.error("VTRIM db 1 -1");
    assert!(error.contains("moved or removed"), "{error}");
    assert_eq!(db.say("VSIZE db"), "(integer) 8");
    assert_eq!(db.int("VTRIM nokey 1 -1"), 0);
}

#[test]
fn in_transactions_and_scripts_the_head_goes_at_once() {
    let db = array(10);
    db.say("MULTI");
    db.say("VTRIM db 2 -1");
    db.say("VGET db 0");
    assert_eq!(db.say("EXEC"), "[(integer) 2, 2]");
    let script = "redis.call('VTRIM', KEYS[1], 3, -1) return redis.call('VGET', KEYS[1], 0)";
    assert_eq!(db.run(&["EVAL", script, "1", "db"]).to_string(), "5");
    assert_eq!(db.read("f"), numbers(5..10));
}

#[test]
fn a_long_write_touches_watched_keys_even_when_its_client_is_gone() {
    let db = array(1_000_000);
    let mut watcher = db.client();
    watcher.say("WATCH db");
    let mut listener = db.client();
    db.say("CONFIG SET notify-keyspace-events Ed");
    assert!(!listener.ask("SUBSCRIBE __keyevent@0__:vfill").is_error());
    let mut filler = db.client();
    filler.send(&["VFILL", "db", "0", "-1", "7"]);
    // It ends with its client, but what is written by then is written.
    wait_until("it has begun", || db.say("VGET db 0") == "7");
    drop(filler);
    // The main thread hears of it from the thread that filled.
    let told = "[message, __keyevent@0__:vfill, db]";
    assert_eq!(listener.receive().to_string(), told);
    watcher.say("MULTI");
    watcher.say("PING");
    assert_eq!(watcher.say("EXEC"), "(nil)");
}

#[test]
fn what_is_written_during_a_trim_is_kept() {
    let count = 6_000_000;
    let db = array(count);
    let mut trimmer = db.client();
    let mut writer = db.client();
    trimmer.send(&["VTRIM", "db", "1000", "-1"]);
    let mut added = 0;
    let mut pinged = 0;
    trimmer_done(&db, || {
        writer.push_one_by_one("db", count + added..count + added + 200);
        added += 200;
        pinged += 1;
    });
    assert_eq!(trimmer.receive(), Reply::Int(1000));
    assert!(pinged > 0);
    assert_eq!(db.int("VSIZE db") as u64, count + added - 1000);
    // The worker may yet carry out a growth that was asked for; this comes after it.
    assert_eq!(db.say("VSYNC db"), "OK");
    assert_eq!(db.file_len("f"), (count + added - 1000) * 8);
    let found = as_doubles(&db.read("f"));
    let wrong: Vec<_> = (0..found.len())
        .filter(|&i| found[i] != (i + 1000) as f64)
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong, from {:?} to {:?}",
        wrong.len(),
        found.len(),
        wrong.first(),
        wrong.last()
    );
}

/// Does something until the first value is the one after the head.
fn trimmer_done(db: &Server, mut work: impl FnMut()) {
    wait_until("the head is gone", || {
        work();
        db.say("VGET db 0") == "1000"
    });
}

#[test]
fn sets_and_pops_during_a_trim_are_kept() {
    let count = 6_000_000_u64;
    let db = array(count);
    let mut trimmer = db.client();
    trimmer.send(&["VTRIM", "db", "1000", "-1"]);
    let mut left = count;
    trimmer_done(&db, || {
        db.say("VPOP db 3");
        left -= 3;
    });
    assert_eq!(trimmer.receive(), Reply::Int(1000));
    assert!(db.at_rest("f", (left - 1000) * 8) == numbers(1000..left));
}

#[test]
fn a_trim_whose_values_are_removed_meanwhile_changes_nothing_more() {
    let db = array(20_000_000);
    let mut trimmer = db.client();
    trimmer.send(&["VTRIM", "db", "1000", "-1"]);
    wait_until("the trim has begun", || {
        db.say("CLIENT LIST").contains("cmd=vtrim")
    });
    let cleared = db.int("VCLEAR db");
    db.say("VPUSH db 1 2 3");
    match trimmer.receive() {
        // The head went first.
        Reply::Int(1000) => assert_eq!(cleared, 19_999_000),
        Reply::Error(error) => assert!(error.contains("removed during the copy"), "{error}"),
        other => panic!("{other}"),
    }
    assert_eq!(db.say("VALL db"), "[1, 2, 3]");
    assert_eq!(as_doubles(&db.at_rest("f", 24)), [1.0, 2.0, 3.0]);
}

#[test]
fn a_key_that_is_deleted_during_a_trim_leaves_a_whole_file() {
    let db = array(10_000_000);
    let mut trimmer = db.client();
    trimmer.send(&["VTRIM", "db", "1000", "-1"]);
    db.say("DEL db");
    let reply = trimmer.receive();
    let kept = match reply {
        Reply::Int(1000) => 1000..10_000_000,
        // It was deleted before the trim, or during it.
        Reply::Int(0) | Reply::Error(_) => 0..10_000_000,
        other => panic!("{other}"),
    };
    assert!(db.read("f") == numbers(kept.clone()));
    assert_eq!(db.int("MMAP db f") as u64, kept.end - kept.start);
}

#[test]
fn a_file_that_was_restored_can_be_trimmed() {
    let db = array(100);
    let dump = db.ask("DUMP db").bytes();
    db.say("DEL db");
    std::fs::remove_file(db.path("f")).unwrap();
    let restore = [b"RESTORE".as_slice(), b"db", b"0", &dump];
    assert_eq!(db.run(&restore).to_string(), "OK");
    assert_eq!(db.say("VTRIM db 90 -1"), "(integer) 90");
    assert_eq!(db.say("VTRIM db 2 -1"), "(integer) 2");
    assert_eq!(db.read("f"), numbers(92..100));
}

#[test]
fn no_value_appears_that_nobody_appended_while_the_head_is_dropped() {
    for slack in ["64kb", "1mb", "1gb"] {
        let db = Server::start();
        assert_eq!(db.say(&format!("CONFIG SET mmap.max-slack {slack}")), "OK");
        for round in 0..2 {
            appends_and_trims(&db, &format!("{slack}-{round}"));
        }
    }
}

/// One client appends 1, 2, 3, ... while another drops the first value again and again: the last of them are left.
fn appends_and_trims(db: &Server, name: &str) {
    const COMMANDS: u64 = 2500;
    const VALUES: u64 = 600;
    /// So many at least are dropped during the appends.
    const TRIMS: u64 = 20;
    db.say(&format!("MMAP {name} {name} int64 WRITABLE"));
    let (mut writer, mut trimmer) = (db.client(), db.client());
    let trim = ["VTRIM", name, "1", "-1"];
    let (dropped, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut drop_one = || dropped.fetch_add(trimmer.run(&trim).int() as u64, Ordering::Relaxed);
    let commands = std::thread::scope(|scope| {
        // Where trims are slow, each further command waits for one: appends that outran them would fill reply and disk.
        let goes_on = |commands| {
            let before = dropped.load(Ordering::Relaxed);
            if commands < COMMANDS || before >= TRIMS {
                return commands < COMMANDS;
            }
            wait_until("a value was dropped", || {
                dropped.load(Ordering::Relaxed) > before || stop.load(Ordering::Relaxed)
            });
            !stop.load(Ordering::Relaxed)
        };
        let appending = scope.spawn(move || {
            let mut command = 0;
            while goes_on(command) {
                let first = command * VALUES + 1;
                let bytes: Vec<u8> = (first..first + VALUES).flat_map(u64::to_le_bytes).collect();
                let reply = writer.run(&[&b"VADDRAW"[..], name.as_bytes(), &bytes]);
                assert_eq!(reply, Reply::Int(VALUES as i64));
                command += 1;
            }
            command
        });
        let _stop = StopAtEnd(&stop);
        while !appending.is_finished() {
            drop_one();
        }
        appending.join().unwrap()
    });
    drop_one();
    let found = db.run(&["VGETRAW", name, "0", "-1"]).bytes();
    let dropped = dropped.into_inner();
    let expected = dropped + 1..commands * VALUES + 1;
    let wrong = found
        .chunks_exact(8)
        .zip(expected.clone())
        .position(|(found, expected)| found != expected.to_le_bytes());
    assert_eq!(wrong, None, "{name}: {dropped} were dropped");
    assert_eq!(found.len() as u64, (expected.end - expected.start) * 8);
}

/// The values of a dump are those of one moment, whatever other threads do to the file.
#[test]
fn a_dump_taken_while_the_head_goes_is_whole() {
    const COUNT: u64 = 1_000_000;
    const STEP: u64 = 1000;
    let db = Server::setup().config("rdbcompression", "no").start();
    let other = Server::start();
    db.write("f", numbers(0..COUNT));
    db.say("MMAP db f double WRITABLE");
    let (stop, trims) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (mut client, stop, trims) = (db.client(), &stop, &trims);
        let trimmer = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.int(&format!("VTRIM db {STEP} -1")), STEP as i64);
                let from = COUNT + trims.load(Ordering::Relaxed) * STEP;
                let mut words = vec![b"VADDRAW".to_vec(), b"db".to_vec()];
                words.push(numbers(from..from + STEP));
                assert_eq!(client.run(&words), Reply::Int(STEP as i64));
                trims.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _stop = StopAtEnd(stop);
        let mut client = db.client();
        let mut dumps = 0;
        while dumps < 40 || trims.load(Ordering::Relaxed) <= 10 && !trimmer.is_finished() {
            dumps += 1;
            let dump = client.ask("DUMP db").bytes();
            let restore = [b"RESTORE", &b"db"[..], b"0", &dump, b"REPLACE"];
            assert_eq!(other.run(&restore).to_string(), "OK");
            let [count, least, greatest] = ["COUNT", "MIN", "MAX"].map(|op| {
                let answer = other.say(&format!("VAGG db 0 -1 {op}"));
                let digits = answer.trim_matches(|c: char| !c.is_ascii_digit());
                digits.parse::<u64>().unwrap()
            });
            assert_eq!(count, greatest - least + 1, "from {least} to {greatest}");
            let _ = std::fs::remove_file(other.path("f.replaced"));
        }
    });
}
