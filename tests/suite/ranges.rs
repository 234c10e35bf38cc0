//! Ranges of values. Each is compared with what `LRANGE` answers on a list of the same values.

use support::{Reply, Server};

fn array(count: u64) -> Server {
    let db = Server::with("MMAP db f int32 WRITABLE");
    for i in 0..count {
        db.say(&format!("VPUSH db {i}"));
        db.say(&format!("RPUSH list {i}"));
    }
    db
}

fn as_text(reply: Reply) -> Vec<String> {
    reply
        .items()
        .into_iter()
        .map(|item| item.to_string().replace("(integer) ", ""))
        .collect()
}

#[test]
fn vslice_answers_what_lrange_does() {
    for count in [0, 1, 5] {
        let db = array(count);
        for start in -7..=7 {
            for stop in -7..=7 {
                assert_eq!(
                    as_text(db.ask(&format!("VSLICE db {start} {stop}"))),
                    as_text(db.ask(&format!("LRANGE list {start} {stop}"))),
                    "{start} to {stop} of {count}"
                );
            }
        }
    }
}

#[test]
fn vslice_takes_every_nth_value_from_the_start_on() {
    let db = array(10);
    for (words, expected) in [
        ("0 -1 STEP 1", "0 1 2 3 4 5 6 7 8 9"),
        ("0 -1 step 3", "0 3 6 9"),
        ("1 8 STEP 3", "1 4 7"),
        ("1 6 STEP 3", "1 4"),
        ("-3 -1 STEP 2", "7 9"),
        ("5 5 STEP 100", "5"),
        ("0 -1 STEP 9223372036854775807", "0"),
        ("5 2 STEP 2", ""),
    ] {
        let values = as_text(db.ask(&format!("VSLICE db {words}")));
        assert_eq!(values.join(" "), expected, "{words}");
    }
}

#[test]
fn a_long_slice_is_complete() {
    let db = Server::with("MMAP db f int32 WRITABLE");
    let numbers: Vec<i32> = (0..100_000).collect();
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    db.run(&[&b"VADDRAW"[..], b"db", &bytes]);
    for (step, words) in [
        (1, "VSLICE db 0 -1"),
        (7, "VSLICE db 0 -1 STEP 7"),
        (1, "VALL db"),
    ] {
        let expected: Vec<_> = numbers
            .iter()
            .step_by(step)
            .map(|&n| Reply::Int(n.into()))
            .collect();
        assert!(db.ask(words).items() == expected, "{words}");
    }
}

#[test]
fn vlast_answers_the_last_values_in_their_order() {
    let db = array(5);
    for (count, expected) in [
        ("0", ""),
        ("1", "4"),
        ("3", "2 3 4"),
        ("5", "0 1 2 3 4"),
        ("99", "0 1 2 3 4"),
    ] {
        let values = as_text(db.ask(&format!("VLAST db {count}")));
        assert_eq!(values.join(" "), expected, "{count}");
    }
    assert!(db.error("VLAST db -1").contains("count '-1' (argument 2)"));
    assert_eq!(db.say("VLAST nokey 3"), "[]");
    assert_eq!(db.say("VSLICE nokey 0 -1"), "[]");
}

#[test]
fn numbers_beyond_64_bits_are_clipped_and_words_refused() {
    let db = array(3);
    assert_eq!(
        as_text(db.ask("VSLICE db -99999999999999999999 99999999999999999999")),
        ["0", "1", "2"]
    );
    for (command, expected) in [
        ("VSLICE db x 1", "start 'x' (argument 2) is not an integer"),
        (
            "VSLICE db 0 1.5",
            "stop '1.5' (argument 3) is not an integer",
        ),
        ("VGETRAW db 0 x", "stop 'x' (argument 3)"),
        ("VFILL db x 1 1", "start 'x' (argument 2)"),
        ("VTRIM db 0 x", "stop 'x' (argument 3)"),
        (
            "VSLICE db 0 1 STEP 0",
            "step '0' (argument 5) is not an integer from 1",
        ),
        ("VSLICE db 0 1 STEP -1", "step '-1' (argument 5)"),
        ("VSLICE db 0 1 STEP", "syntax error at 'STEP' (argument 4)"),
        (
            "VSLICE db 0 1 EACH 2",
            "syntax error at 'EACH' (argument 4)",
        ),
        ("VSLICE db 0 1 STEP 1 2", "wrong number of arguments"),
    ] {
        let error = db.error(command);
        assert!(error.contains(expected), "{command}: {error}");
    }
}

#[test]
fn vfill_sets_a_range_and_says_how_many() {
    let db = array(6);
    assert_eq!(db.say("VFILL db 1 -2 -7"), "(integer) 4");
    assert_eq!(as_text(db.ask("VALL db")).join(" "), "0 -7 -7 -7 -7 5");
    assert_eq!(db.say("VFILL db 4 2 1"), "(integer) 0");
    assert_eq!(db.say("VFILL db 100 200 1"), "(integer) 0");
    assert!(
        db.error("VFILL db 0 1 x")
            .contains("value 'x' (argument 4)")
    );
    assert!(db.error("VFILL nokey 0 1 1").contains("no such key"));
    assert_eq!(as_text(db.ask("VALL db")).join(" "), "0 -7 -7 -7 -7 5");
}

#[test]
fn a_long_vfill_runs_in_the_background_and_is_complete() {
    let db = Server::start();
    db.write("f", vec![1; 48 << 20]);
    db.say("MMAP db f uint64 WRITABLE");
    let mut watcher = db.client();
    watcher.say("WATCH db");
    let mut filler = db.client();
    filler.send(&["VFILL", "db", "1", "-2", "7"]);
    // The server answers other clients during the fill.
    assert_eq!(db.say("PING"), "PONG");
    let values = (48 << 20) / 8;
    assert_eq!(filler.receive(), Reply::Int(values - 2));
    let bytes = db.read("f");
    let expected = [
        vec![1; 8],
        7_u64.to_le_bytes().repeat(values as usize - 2),
        vec![1; 8],
    ]
    .concat();
    assert!(bytes == expected);
    watcher.say("MULTI");
    watcher.say("PING");
    assert_eq!(watcher.say("EXEC"), "(nil)", "who watches the key is told");
}

#[test]
fn a_long_vfill_in_a_transaction_is_done_at_once() {
    let db = Server::start();
    db.write("f", vec![1; 8 << 20]);
    db.say("MMAP db f uint8 WRITABLE");
    db.say("MULTI");
    db.say("VFILL db 0 -1 9");
    db.say("VGET db 8388608");
    db.say("VGET db 8388607");
    assert_eq!(db.say("EXEC"), "[(integer) 8388608, (nil), (integer) 9]");
}
