//! Values as bytes, in and out.

use crate::types::NUMBERS;
use support::{Reply, Server, doubles};

/// Bytes in which no two neighbours are the same.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

fn raw(db: &Server, start: &str, stop: &str) -> Vec<u8> {
    db.run(&["VGETRAW", "db", start, stop]).bytes()
}

#[test]
fn bytes_of_every_type_come_back_as_they_were_sent_and_lie_so_in_the_file() {
    let db = Server::start();
    let types = NUMBERS.into_iter().chain([("string 5", 5)]);
    for (i, (words, size)) in types.enumerate() {
        let file = format!("f{i}");
        db.ask("DEL db");
        db.say(&format!("MMAP db {file} {words} WRITABLE"));
        let bytes = pattern(size * 1000);
        let reply = db.run(&[&b"VADDRAW"[..], b"db", &bytes]);
        assert_eq!(reply, Reply::Int(1000), "{words}");
        assert_eq!(db.read(&file), bytes, "{words}");
        assert_eq!(raw(&db, "0", "-1"), bytes, "{words}");
        assert_eq!(raw(&db, "10", "10"), bytes[10 * size..11 * size], "{words}");
        assert_eq!(raw(&db, "-2", "5000"), bytes[998 * size..], "{words}");
        let other = vec![0x41; size * 3];
        let reply = db.run(&[&b"VSETRAW"[..], b"db", b"4", &other]);
        assert_eq!(reply, Reply::Int(3), "{words}");
        let expected = [&bytes[..4 * size], &other, &bytes[7 * size..]].concat();
        assert_eq!(db.read(&file), expected, "{words}");
    }
}

#[test]
fn text_and_bytes_are_two_views_of_the_same_values() {
    let db = Server::with("MMAP db f");
    db.run(&[&b"VADDRAW"[..], b"db", &doubles([0.1, f64::INFINITY, -0.0])]);
    db.say("VPUSH db 2.5");
    assert_eq!(db.say("VALL db"), "[0.1, inf, -0, 2.5]");
    assert_eq!(
        raw(&db, "0", "-1"),
        doubles([0.1, f64::INFINITY, -0.0, 2.5])
    );
}

#[test]
fn bytes_that_are_not_whole_values_are_refused() {
    let db = Server::with("MMAP db f int32 WRITABLE");
    db.say("VPUSH db 1 2 3");
    for (command, argument) in [("VADDRAW db abcde", 2), ("VSETRAW db 0 abcde", 3)] {
        let error = db.error(command);
        let expected = format!("argument {argument} is 5 bytes long, which is not a multiple of 4");
        assert!(error.contains(&expected), "{error}");
    }
    assert_eq!(db.say("VALL db"), "[(integer) 1, (integer) 2, (integer) 3]");
}

#[test]
fn vsetraw_stays_within_the_array() {
    let db = Server::with("MMAP db f uint8 WRITABLE");
    db.say("VPUSH db 1 2 3");
    for command in [
        "VSETRAW db 3 x",
        "VSETRAW db 2 xy",
        "VSETRAW db -4 x",
        "VSETRAW db 9223372036854775807 x",
        "VSETRAW db 18446744073709551615 x",
    ] {
        let error = db.error(command);
        assert!(error.contains("is out of range"), "{command}: {error}");
    }
    assert!(db.error("VSETRAW db one x").contains("is not an integer"));
    assert_eq!(raw(&db, "0", "-1"), [1, 2, 3]);
    assert_eq!(db.say("VSETRAW db 0 abc"), "(integer) 3");
    assert_eq!(raw(&db, "0", "-1"), b"abc");
}

#[test]
fn no_bytes_are_no_values() {
    let db = Server::with("MMAP db f");
    assert_eq!(db.run(&["VADDRAW", "db", ""]), Reply::Int(0));
    assert_eq!(db.run(&["VSETRAW", "db", "0", ""]), Reply::Int(0));
    assert_eq!(db.file_len("f"), 0);
    assert_eq!(raw(&db, "0", "-1"), b"");
    assert_eq!(db.run(&["VGETRAW", "nokey", "0", "-1"]).bytes(), b"");
    assert!(db.error("VADDRAW nokey x").contains("no such key"));
    assert!(db.error("VSETRAW nokey 0 x").contains("no such key"));
}

#[test]
fn a_reply_longer_than_a_string_may_be_is_refused() {
    let db = Server::start();
    // Sparse: it takes no space.
    let file = std::fs::File::create(db.path("f")).unwrap();
    file.set_len(1 << 30).unwrap();
    db.say("MMAP db f uint8");
    let error = db.error("VGETRAW db 0 536870912");
    assert!(
        error.contains("at most 536870912 values") && error.contains("smaller range"),
        "{error}"
    );
    for command in ["VSLICE db 0 -1", "VALL db", "VLAST db 100000000"] {
        let error = db.error(command);
        assert!(error.contains("ask for a smaller range"), "{error}");
    }
    assert_eq!(raw(&db, "0", "9"), [0; 10]);
    assert_eq!(
        db.say("VSLICE db 0 -1 STEP 536870912"),
        "[(integer) 0, (integer) 0]"
    );
}

#[test]
fn many_large_appends_arrive_whole() {
    let db = Server::with("MMAP db f");
    let mut client = db.client();
    let block = pattern(64 * 1024);
    let commands: Vec<Vec<&[u8]>> = (0..200)
        .map(|_| vec![&b"VADDRAW"[..], b"db", &block])
        .collect();
    for reply in client.pipeline(&commands) {
        assert_eq!(reply, Reply::Int(8192));
    }
    let bytes = db.at_rest("f", 200 * 64 * 1024);
    assert!(bytes.chunks(block.len()).all(|chunk| chunk == block));
}
