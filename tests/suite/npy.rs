//! `.npy` files: a header, and values behind it.

use support::{Reply, Server, doubles};

/// What `numpy.save` of numpy 1.23 and later writes for a 1-D array.
fn npy(descr: &str, count: u64, values: &[u8]) -> Vec<u8> {
    let dictionary =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({count},), }}");
    let spare = 21 - count.to_string().len();
    with_header(&format!("{dictionary}{:spare$}", ""), values)
}

fn with_header(dictionary: &str, values: &[u8]) -> Vec<u8> {
    let len = (10 + dictionary.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((len as u16).to_le_bytes());
    bytes.extend(format!("{dictionary:<width$}\n", width = len - 1).bytes());
    bytes.extend(values);
    bytes
}

fn numbers(range: std::ops::Range<u64>) -> Vec<u8> {
    doubles(range.map(|i| i as f64))
}

#[track_caller]
fn assert_is(db: &Server, name: &str, expected: &[u8]) {
    let found = db.read(name);
    assert_eq!(
        String::from_utf8_lossy(&found[..found.len().min(128)]),
        String::from_utf8_lossy(&expected[..expected.len().min(128)])
    );
    assert!(found == expected);
}

#[test]
fn the_header_says_the_type_and_is_kept_true() {
    let setup = Server::setup().write("f.npy", npy("<f8", 3, &numbers(0..3)));
    let mut db = setup.start();
    assert_eq!(db.say("MMAP db f.npy WRITABLE"), "(integer) 3");
    assert_eq!(db.say("VTYPE db"), "double");
    assert_eq!(db.say("VALL db"), "[0, 1, 2]");
    for count in 4..=12 {
        db.say(&format!("VPUSH db {}", count - 1));
        assert_is(&db, "f.npy", &npy("<f8", count, &numbers(0..count)));
    }
    db.say("VPOP db 5");
    assert_is(&db, "f.npy", &npy("<f8", 7, &numbers(0..7)));
    db.say("VSET db 0 100");
    assert_eq!(db.say("VGET db 0"), "100");
    db.say("VCLEAR db");
    assert_is(&db, "f.npy", &npy("<f8", 0, &[]));
    db.say("VPUSH db 0 1");
    db.restart();
    assert_eq!(db.say("MMAP db f.npy"), "(integer) 2");
    assert_is(&db, "f.npy", &npy("<f8", 2, &numbers(0..2)));
}

#[test]
fn a_burst_and_what_follows_leave_a_true_header() {
    let db = Server::with("MMAP db f.npy double WRITABLE");
    db.client().push_one_by_one("db", 0..100_000);
    assert_eq!(db.say("VSYNC db"), "OK");
    assert_is(&db, "f.npy", &npy("<f8", 100_000, &numbers(0..100_000)));
    db.say("VTRIM db 10000 -1");
    assert_is(&db, "f.npy", &npy("<f8", 90_000, &numbers(10_000..100_000)));
    db.say("VTRIM db 0 8");
    assert_is(&db, "f.npy", &npy("<f8", 9, &numbers(10_000..10_009)));
}

#[test]
fn while_there_is_slack_the_header_promises_no_more_than_is_there() {
    let db = Server::with("MMAP db f.npy double WRITABLE");
    let mut client = db.client();
    let promised = || {
        let text = String::from_utf8_lossy(&db.read("f.npy")[..128]).into_owned();
        let (_, shape) = text.split_once("'shape': (").unwrap();
        shape.split(',').next().unwrap().parse::<u64>().unwrap()
    };
    for round in 0..20 {
        client.push_one_by_one("db", round * 2000..(round + 1) * 2000);
        assert!(promised() <= db.int("VSIZE db") as u64);
        db.say("VPOP db 1900");
        assert!(promised() <= db.int("VSIZE db") as u64);
    }
}

/// Whether `long_double` is what numpy calls longdouble on the server's machine.
pub fn has_longdouble(db: &Server) -> bool {
    db.info("server", "os").ends_with("x86_64")
}

#[test]
fn every_type_can_be_created_and_is_read_back() {
    let db = Server::start();
    for (i, (words, descr, size)) in [
        ("int8", "|i1", 1),
        ("uint8", "|u1", 1),
        ("int16", "<i2", 2),
        ("uint16", "<u2", 2),
        ("int32", "<i4", 4),
        ("uint32", "<u4", 4),
        ("int64", "<i8", 8),
        ("uint64", "<u8", 8),
        ("float", "<f4", 4),
        ("double", "<f8", 8),
        ("long_double", "<f16", 16),
        ("string 5", "|S5", 5),
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!("f{i}.npy");
        if words == "long_double" && !has_longdouble(&db) {
            let error = db.error(&format!("MMAP k{i} {file} {words} WRITABLE"));
            assert!(error.contains("not x87's 80-bit number"), "{error}");
            assert!(!db.path(&file).exists());
            continue;
        }
        assert_eq!(
            db.say(&format!("MMAP k{i} {file} {words} WRITABLE")),
            "(integer) 0"
        );
        db.say(&format!("VPUSH k{i} 1 2"));
        let bytes = db.read(&file);
        let values = &bytes[bytes.len() - 2 * size..];
        assert_is(&db, &file, &npy(descr, 2, values));
        db.say(&format!("DEL k{i}"));
        assert_eq!(db.say(&format!("MMAP k{i} {file}")), "(integer) 2");
        let word = words.split(' ').next().unwrap();
        assert_eq!(db.say(&format!("VTYPE k{i}")), word);
    }
}

#[test]
fn without_writable_it_is_read_only_and_nothing_is_created() {
    let setup = Server::setup().write("f.npy", npy("<i4", 2, &[1, 0, 0, 0, 2, 0, 0, 0]));
    let db = setup.start();
    assert_eq!(db.say("MMAP db f.npy"), "(integer) 2");
    assert_eq!(db.say("VALL db"), "[(integer) 1, (integer) 2]");
    assert!(db.error("VPUSH db 3").contains("read-only"));
    for words in ["", " WRITABLE", " double"] {
        let error = db.error(&format!("MMAP new new.npy{words}"));
        assert!(error.contains("does not exist"), "{error}");
        assert!(!db.path("new.npy").exists());
    }
    assert!(db.error("MMAP other f.npy double").contains("as int32"));
    db.say("DEL db");
    let error = db.error("MMAP db f.npy double WRITABLE");
    assert!(error.contains("holds values of type int32"), "{error}");
}

#[test]
fn what_cannot_be_bound_is_refused_and_left_alone() {
    let shape = |shape: &str| {
        with_header(
            &format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"),
            &numbers(0..6),
        )
    };
    let two = [npy("<f8", 2, &numbers(0..2)), npy("<f8", 2, &numbers(0..2))].concat();
    let db = Server::start();
    for (bytes, expected) in [
        (npy(">f8", 1, &numbers(0..1)), "big-endian"),
        (npy("<c16", 1, &[0; 16]), "dtype '<c16'"),
        (shape("(2, 3)"), "2 dimensions"),
        (shape("()"), "0 dimensions"),
        (shape("(7,)"), "says 7 values, but the file ends after 6"),
        (numbers(0..20), "does not begin as such a file does"),
        (two, "more than one array"),
    ] {
        db.write("f.npy", &bytes);
        for words in [
            "MMAP db f.npy",
            "MMAP db f.npy WRITABLE",
            "MMAP db f.npy double WRITABLE",
        ] {
            let error = db.error(words);
            let other_type = words.contains("double") && expected.contains("dtype");
            assert!(other_type || error.contains(expected), "{words}: {error}");
            assert!(error.contains("'f.npy'"), "{error}");
            assert!(db.read("f.npy") == bytes);
        }
    }
    let tight = {
        let dictionary = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((dictionary.len() as u16 + 1).to_le_bytes());
        bytes.extend(format!("{dictionary}\n").bytes());
        bytes.extend(numbers(0..1));
        bytes
    };
    db.write("f.npy", tight);
    let error = db.error("MMAP db f.npy WRITABLE");
    assert!(error.contains("has no room"), "{error}");
    assert_eq!(db.say("MMAP db f.npy"), "(integer) 1");
}

#[test]
fn one_file_is_not_both_raw_and_npy() {
    let db = Server::with("MMAP db f.npy double WRITABLE");
    std::fs::hard_link(db.path("f.npy"), db.path("raw")).unwrap();
    let error = db.error("MMAP other raw");
    assert!(error.contains("under the name 'f.npy'"), "{error}");
}

#[test]
fn after_a_crash_the_header_is_put_right() {
    let mut db = Server::setup().config("appendonly", "yes").start();
    db.say("MMAP db f.npy double WRITABLE");
    db.client().push_one_by_one("db", 0..50_000);
    db.kill_9();
    // As an editor or `cp` leaves it: no attributes, and a header of the last exact moment.
    std::fs::copy(db.path("f.npy"), db.path("g.npy")).unwrap();
    db.start_again();
    assert_eq!(db.int("VSIZE db"), 50_000);
    assert_is(&db, "f.npy", &npy("<f8", 50_000, &numbers(0..50_000)));
    assert_eq!(db.say("MMAP copy g.npy WRITABLE"), "(integer) 50000");
    assert_is(&db, "g.npy", &npy("<f8", 50_000, &numbers(0..50_000)));
}

#[test]
fn a_length_that_the_header_has_not_followed_yet_counts() {
    // The server was killed between the append and the header.
    let setup = Server::setup().write("f.npy", npy("<f8", 2, &numbers(0..5)));
    let db = setup.start();
    assert_eq!(db.say("MMAP db f.npy WRITABLE"), "(integer) 5");
    assert_is(&db, "f.npy", &npy("<f8", 5, &numbers(0..5)));
}

#[test]
fn a_binding_without_a_type_survives_every_kind_of_restart() {
    for aof in ["yes", "no"] {
        let mut db = Server::setup()
            .config("appendonly", aof)
            .write("f.npy", npy("<f4", 1, &1.5_f32.to_le_bytes()))
            .start();
        db.say("MMAP db f.npy WRITABLE");
        db.say("MMAP ro f.npy");
        if aof == "no" {
            db.save();
        }
        db.kill_9();
        let elsewhere = db.path("elsewhere");
        std::fs::rename(db.path("f.npy"), &elsewhere).unwrap();
        db.start_again();
        let error = db.error("VGET db 0");
        assert!(error.contains("does not exist"), "{error}");
        std::fs::rename(&elsewhere, db.path("f.npy")).unwrap();
        assert_eq!(db.say("MMAP db f.npy WRITABLE"), "(integer) 1");
        assert_eq!(db.say("VPUSH db 2.5"), "(integer) 1");
        assert_eq!(db.say("VALL db"), "[1.5, 2.5]");
    }
}

#[test]
fn a_header_is_no_value() {
    let db = Server::setup().module_args("max-file-bytes 100").start();
    db.say("MMAP a a.npy int8 WRITABLE");
    assert_eq!(db.stat("bytes_used"), 0);
    let full: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    assert_eq!(db.int(&format!("VPUSH a {}", full.join(" "))), 100);
    assert_eq!(
        db.error("VPUSH a 1"),
        "ERR file 'a.npy' would hold 101 values, and mmap.max-file-bytes is 100, which is room for 100: nothing was written"
    );
    db.say("VSYNC a");
    assert_eq!(db.stat("bytes_used"), 100);
    let stat = db.ask("VSTAT a").pairs();
    assert_eq!(stat["capacity"], Reply::Int(100));
    assert_eq!(stat["bytes"], Reply::Int(100));
}

#[test]
fn a_header_takes_nothing_of_the_limit_under_load_either() {
    let db = Server::setup().module_args("max-file-bytes 40000").start();
    db.say("MMAP a a.npy int32 WRITABLE");
    let mut client = db.client();
    client.push_one_by_one("a", 0..10_000);
    assert!(db.error("VPUSH a 1").contains("room for 10000"));
    assert_eq!(db.int("VSIZE a"), 10_000);
    assert_eq!(db.stat("slack_bytes") % 4, 0);
}
