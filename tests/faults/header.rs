//! The header of a `.npy` file repeats how many values there are, for other programs. Where it cannot be written the values are
//! there all the same; it lags behind until it can.

use crate::server_with;
use support::interposer::{Call, FOR_GOOD, Plan};
use support::{Server, doubles, wait_until};

const FILE: &str = "faulty.npy";
const FAILED: &str = "cannot write the header of 'faulty.npy'";

fn server() -> (Server, Plan) {
    let (db, plan) = server_with(|setup| setup.config("mmap.fsync", "no"));
    db.say(&format!("MMAP db {FILE} double WRITABLE"));
    (db, plan)
}

/// A server with an array of two values, of which the header promises one.
fn server_with_header_that_lags() -> (Server, Plan) {
    let (db, plan) = server();
    assert_eq!(db.int("VADD db 1"), 1);
    // That of the value succeeds, and that of the header fails.
    plan.fail(Call::Pwrite, libc::EIO, 1, FOR_GOOD);
    assert_eq!(db.int("VADD db 2"), 1);
    (db, plan)
}

/// How many values numpy finds in the file.
fn promised(db: &Server) -> u64 {
    let bytes = db.read(FILE);
    let text = String::from_utf8_lossy(&bytes[..128]).into_owned();
    let count = text.split(['(', ',']).rev().nth(2).unwrap();
    count.parse().unwrap_or_else(|_| panic!("{text}"))
}

/// Whether the file is whole for numpy, too.
fn assert_is_exact(db: &Server, count: u64) {
    assert_eq!(promised(db), count);
    assert_eq!(db.read(FILE).len() as u64, 128 + 8 * count);
}

#[test]
fn values_are_appended_where_the_header_cannot_be_written() {
    let (db, plan) = server_with_header_that_lags();
    assert_eq!(db.int("VSIZE db"), 2);
    assert!(db.log().contains(FAILED));
    assert_eq!(promised(&db), 1);
    assert!(db.error("VSYNC db").contains(FAILED));
    plan.heal();
    wait_until("the worker has written it", || promised(&db) == 2);
    assert_eq!(db.int("VADD db 3"), 1);
    assert_is_exact(&db, 3);
    assert_eq!(db.read(FILE)[128..], doubles([1.0, 2.0, 3.0]));
}

#[test]
fn an_array_is_not_called_exact_while_its_header_lacks_values() {
    let (db, plan) = server();
    let mut client = db.client();
    let mut count = 0;
    // Where this test is kept waiting, the worker ends a burst meanwhile.
    wait_until("the array has slack, and its header lags", || {
        plan.heal();
        client.push_one_by_one("db", count..count + 300);
        count += 300;
        plan.fail(Call::Pwrite, libc::EIO, 0, FOR_GOOD);
        db.stat("slack_bytes") > 0 && promised(&db) < count
    });
    for _ in 0..3 {
        assert!(db.error("VSYNC db").contains(FAILED));
    }
    plan.heal();
    assert_eq!(db.say("VSYNC db"), "OK");
    assert_is_exact(&db, count);
}

#[test]
fn a_file_is_not_closed_before_its_header_is_true() {
    let (db, plan) = server_with_header_that_lags();
    assert_eq!(db.int("DEL db"), 1);
    plan.heal();
    wait_until("it is written", || promised(&db) == 2);
    assert_eq!(db.int(&format!("MMAP db {FILE}")), 2);
}

/// The header goes down before the length does.
#[test]
fn values_that_cannot_be_removed_are_promised_again() {
    let (db, plan) = server();
    assert_eq!(db.int("VADD db 1 2 3"), 3);
    plan.fail(Call::Ftruncate, libc::EIO, 0, FOR_GOOD);
    assert!(db.error("VPOP db").contains("cannot shorten"));
    plan.heal();
    assert_eq!(db.int("VSIZE db"), 3);
    wait_until("the header is written", || promised(&db) == 3);
    assert_eq!(db.int("VADD db 4"), 1);
    assert_is_exact(&db, 4);
}
