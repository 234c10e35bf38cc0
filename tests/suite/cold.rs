//! Values that are not in RAM. `tests/cold` shows who waits for a disk.

use support::cache::{evict, evict_all, resident_pages};
use support::{Client, Server, as_doubles, doubles, wait_until};

const VALUES: u64 = 1_000_000;

fn numbers() -> Vec<u8> {
    doubles((0..VALUES).map(|i| i as f64))
}

/// A server with an array of ascending numbers, none of which is in RAM.
fn with_cold_array() -> Server {
    let db = Server::setup().write("f", numbers()).start();
    evict_all(&db.path("f"));
    assert_eq!(db.say("MMAP db f double WRITABLE"), "(integer) 1000000");
    make_cold(&db);
    db
}

#[track_caller]
fn make_cold(db: &Server) {
    wait_until("the file is not in RAM", || {
        assert_eq!(db.say("VADVISE db DONTNEED"), "OK");
        resident_pages(&db.path("f")) == 0
    });
}

/// Cold reads so far, and those that waited.
fn counted(db: &Server) -> (u64, u64) {
    (db.stat("cold_reads"), db.stat("cold_waits"))
}

#[track_caller]
fn waits_and_says(db: &Server, command: &str, reply: &str) {
    make_cold(db);
    let (reads, waits) = counted(db);
    assert_eq!(db.say(command), reply, "{command}");
    assert_eq!(counted(db), (reads + 1, waits + 1), "{command}");
}

#[test]
fn reads_of_cold_values_wait_for_them_and_answer_right() {
    let db = with_cold_array();
    for (command, reply) in [
        ("VGET db 500000", "500000"),
        (
            "VMGET db 999999 1 500000 1000000 -1 1",
            "[999999, 1, 500000, (nil), 999999, 1]",
        ),
        ("VSLICE db 123456 123458", "[123456, 123457, 123458]"),
        ("VSLICE db 0 -1 STEP 400000", "[0, 400000, 800000]"),
        ("VLAST db 2", "[999998, 999999]"),
        ("VSEARCH db 777777.5", "(integer) 777778"),
        ("VAGG db 300000 300003 SUM MAX", "[1200006, 300003]"),
        ("VBUCKETS db 10 13 2 SUM", "[[21], [25]]"),
        (
            "VFIND db 400000 400010 > 400008",
            "[(integer) 400009, (integer) 400010]",
        ),
    ] {
        waits_and_says(&db, command, reply);
    }
    make_cold(&db);
    let (_, waits) = counted(&db);
    let bytes = db.ask("VGETRAW db 700000 700001").bytes();
    assert_eq!(as_doubles(&bytes), [700_000.0, 700_001.0]);
    make_cold(&db);
    assert_eq!(db.ask("VALL db").items().len(), VALUES as usize);
    assert_eq!(counted(&db).1, waits + 2);
}

#[test]
fn writes_in_place_of_cold_values_wait_for_them() {
    let db = with_cold_array();
    for (command, reply) in [
        ("VSET db 500000 1 700000 2", "(integer) 2"),
        ("VINCRBY db 500000 0.5", "[1.5]"),
        ("VSETRAW db 500001 12345678", "(integer) 1"),
        ("VFILL db 600000 600001 -1", "(integer) 2"),
        ("VPOP db", "999999"),
        ("VPOP db 2", "[999998, 999997]"),
    ] {
        waits_and_says(&db, command, reply);
    }
    assert_eq!(
        db.say("VMGET db 500000 700000 600001 600002"),
        "[1.5, 2, -1, 600002]"
    );
    assert_eq!(db.say("VSIZE db"), "(integer) 999997");
    let file = db.read("f");
    assert_eq!(&file[500_001 * 8..][..8], b"12345678");
}

#[test]
fn errors_of_a_command_that_waited_are_those_of_any() {
    let db = with_cold_array();
    make_cold(&db);
    let error = db.error("VSET db 500000 x");
    assert!(
        error.contains("'x' (argument 3) is not a double"),
        "{error}"
    );
    make_cold(&db);
    let error = db.error("VINCRBY db 0 inf");
    assert!(error.contains("argument"), "{error}");
}

#[test]
fn values_that_are_in_ram_wait_for_nothing() {
    let db = with_cold_array();
    db.say("VGET db 500000");
    let before = counted(&db);
    for _ in 0..3 {
        assert_eq!(db.say("VGET db 500000"), "500000");
        assert_eq!(db.say("VGET db 1000000"), "(nil)");
        assert_eq!(db.say("VSET db 500000 500000"), "(integer) 1");
    }
    assert_eq!(counted(&db), before);
}

#[test]
fn the_replies_of_a_client_keep_their_order() {
    let db = with_cold_array();
    let commands: Vec<Vec<String>> = (0..200)
        .flat_map(|i| {
            let index = (i * 4999).to_string();
            [
                vec!["VGET".into(), "db".into(), index.clone()],
                vec!["PING".into(), format!("p{i}")],
                vec!["VINCRBY".into(), "db".into(), index.clone(), "0.5".into()],
                vec!["VGET".into(), "db".into(), index],
            ]
        })
        .collect();
    make_cold(&db);
    let replies = db.client().pipeline(&commands);
    for (i, replies) in replies.chunks(4).enumerate() {
        let said: Vec<_> = replies.iter().map(ToString::to_string).collect();
        let value = i * 4999;
        assert_eq!(
            said,
            [
                format!("{value}"),
                format!("p{i}"),
                format!("[{value}.5]"),
                format!("{value}.5")
            ]
        );
    }
    assert!(counted(&db).1 > 50, "{:?}", counted(&db));
}

#[test]
fn multi_and_scripts_read_inline() {
    let db = with_cold_array();
    // Else one fault reads the whole file, where the disk is read far ahead.
    db.say("VADVISE db RANDOM");
    let (reads, waits) = counted(&db);
    let mut client = db.client();
    client.say("MULTI");
    client.say("VGET db 500000");
    client.say("VINCRBY db 700000 1");
    assert_eq!(client.say("EXEC"), "[500000, [700001]]");
    make_cold(&db);
    let script = "return redis.call('VGET', 'db', 300000)";
    assert_eq!(db.run(&["EVAL", script, "0"]).to_string(), "300000");
    assert_eq!(counted(&db), (reads + 3, waits));
}

#[test]
fn with_inline_nobody_but_the_server_waits() {
    let db = with_cold_array();
    assert_eq!(
        db.say("CONFIG GET mmap.cold-reads"),
        "[mmap.cold-reads, async]"
    );
    assert_eq!(db.say("CONFIG SET mmap.cold-reads inline"), "OK");
    let before = counted(&db);
    assert_eq!(db.say("VGET db 500000"), "500000");
    assert_eq!(counted(&db), before);
    wait_until("the fault is noticed", || db.stat("cold_faults") > 0);
    assert_eq!(db.say("CONFIG SET mmap.cold-reads async"), "OK");
    waits_and_says(&db, "VGET db 500000", "500000");
    assert!(
        db.error("CONFIG SET mmap.cold-reads maybe")
            .contains("argument")
    );
}

#[test]
fn cold_reads_is_a_word_of_loadmodule() {
    let db = Server::setup().module_args("cold-reads inline").start();
    assert_eq!(
        db.say("CONFIG GET mmap.cold-reads"),
        "[mmap.cold-reads, inline]"
    );
    let log = Server::setup()
        .module_args("cold-reads no")
        .try_start()
        .err()
        .unwrap();
    assert!(log.contains("use async or inline"), "{log}");
}

/// Reads one value so often that the array is taken to be in RAM.
fn gain_trust(db: &Server, client: &mut Client) {
    let commands = vec![vec!["VGET", "db", "0"]; 1100];
    client.pipeline(&commands);
    assert_eq!(db.say("VGET db 0"), "0");
}

#[test]
fn an_array_that_was_in_ram_is_looked_at_again_after_a_page_fault_that_waited() {
    let db = with_cold_array();
    // Else one fault reads the whole file, where the disk is read far ahead.
    db.say("VADVISE db RANDOM");
    gain_trust(&db, &mut db.client());
    evict(&db.path("f"));
    let before = counted(&db);
    let faults = db.stat("cold_faults");
    assert_eq!(db.say("VGET db 500000"), "500000");
    assert_eq!(counted(&db), before, "the look-up was skipped");
    wait_until("the fault is noticed", || db.stat("cold_faults") > faults);
    assert_eq!(db.say("VGET db 900000"), "900000");
    assert_eq!(counted(&db), (before.0 + 1, before.1 + 1));
}

#[test]
fn with_fsync_always_a_cold_write_is_acknowledged_when_it_is_on_disk() {
    let db = with_cold_array();
    db.say("CONFIG SET mmap.fsync always");
    make_cold(&db);
    let syncs = db.stat("syncs");
    assert_eq!(db.say("VSET db 500000 7"), "(integer) 1");
    assert!(db.stat("syncs") > syncs);
    waits_and_says(&db, "VGET db 400000", "400000");
}

#[test]
fn vadvise_willneed_brings_values_in_and_dontneed_drops_them() {
    let db = with_cold_array();
    let pages = db.read("f").len().div_ceil(4096);
    make_cold(&db);
    assert_eq!(db.say("VADVISE db willneed 0 511"), "OK");
    wait_until("some are in RAM", || resident_pages(&db.path("f")) > 0);
    assert_eq!(db.say("VADVISE db WILLNEED"), "OK");
    wait_until("all are in RAM", || resident_pages(&db.path("f")) == pages);
    assert_eq!(db.say("VADVISE db DONTNEED 500000 -1"), "OK");
    let left = resident_pages(&db.path("f"));
    // The kernel keeps and drops up to 512 pages together.
    assert!((pages / 2..=pages / 2 + 512).contains(&left), "{left}");
    assert_eq!(db.say("VMGET db 0 999999"), "[0, 999999]");
}

#[test]
fn vadvise_dontneed_loses_nothing_that_was_just_written() {
    let db = Server::with("MMAP db f");
    db.client().push_one_by_one("db", 0..5000);
    db.say("VSET db 77 0.5");
    make_cold(&db);
    assert_eq!(db.say("VMGET db 77 4999"), "[0.5, 4999]");
    assert_eq!(db.say("VSIZE db"), "(integer) 5000");
}

#[test]
fn vadvise_of_a_pattern_is_for_a_whole_array() {
    let db = with_cold_array();
    for pattern in ["RANDOM", "sequential", "NORMAL"] {
        assert_eq!(db.say(&format!("VADVISE db {pattern}")), "OK");
        assert_eq!(db.say("VGET db 500000"), "500000");
    }
    let error = db.error("VADVISE db RANDOM 0 5");
    assert!(error.contains("leave out start and stop"), "{error}");
    let error = db.error("VADVISE db PLEASE");
    assert!(
        error.contains("unknown advice 'PLEASE' (argument 2)"),
        "{error}"
    );
    let error = db.error("VADVISE db WILLNEED 0 x");
    assert!(error.contains("'x' (argument 4)"), "{error}");
    assert!(db.error("VADVISE db WILLNEED 0").contains("wrong number"));
    assert!(db.error("VADVISE nokey NORMAL").contains("no such key"));
}

#[test]
fn vadvise_in_multi() {
    let db = with_cold_array();
    db.say("VALL db");
    let mut client = db.client();
    client.say("MULTI");
    client.say("VSET db 3 4");
    client.say("VADVISE db DONTNEED");
    assert_eq!(client.say("EXEC"), "[(integer) 1, OK]");
    assert_eq!(resident_pages(&db.path("f")), 0);
    assert_eq!(db.say("VGET db 3"), "4");
}
