//! `VINCRBY`: numbers in place.

use support::{Client, Server};

fn array(words: &str, values: &str) -> Server {
    let db = Server::start();
    db.say(&format!("MMAP db f {words} WRITABLE"));
    db.say(&format!("VPUSH db {values}"));
    db
}

#[test]
fn vincrby_adds_and_answers_the_new_values() {
    let db = array("int64", "10 20 30");
    assert_eq!(
        db.say("VINCRBY db 0 5 2 -31"),
        "[(integer) 15, (integer) -1]"
    );
    assert_eq!(
        db.say("VALL db"),
        "[(integer) 15, (integer) 20, (integer) -1]"
    );
}

#[test]
fn an_index_that_comes_twice_is_added_to_twice() {
    let db = array("int64", "10 20");
    assert_eq!(
        db.say("VINCRBY db 0 1 1 1 0 1 0 1"),
        "[(integer) 11, (integer) 21, (integer) 12, (integer) 13]"
    );
    assert_eq!(db.say("VALL db"), "[(integer) 13, (integer) 21]");
}

#[test]
fn one_bad_pair_means_that_nothing_is_changed() {
    let db = array("int8", "100 0");
    for (pairs, expected) in [
        (
            "1 5 0 28",
            "index 0 (argument 4): the new value is out of range for int8 (-128 to 127); nothing was changed",
        ),
        ("1 5 0 x", "increment 'x' (argument 5) is not an integer"),
        (
            "1 5 0 1.5",
            "increment '1.5' (argument 5) is not an integer",
        ),
        (
            "1 5 2 1",
            "index '2' (argument 4) is out of range: 'f' holds 2 values",
        ),
        ("1 5 -9 1", "index '-9' (argument 4) is out of range"),
        ("1 5 x 1", "index 'x' (argument 4) is not an integer"),
        ("1 5 0", "wrong number of arguments"),
        ("1 99999999999999999999", "out of range for int8"),
    ] {
        let error = db.error(&format!("VINCRBY db {pairs}"));
        assert!(error.contains(expected), "{pairs}: {error}");
        assert_eq!(db.say("VALL db"), "[(integer) 100, (integer) 0]", "{pairs}");
    }
}

#[test]
fn the_ends_of_the_range_can_be_reached() {
    let db = array("uint64", "18446744073709551614");
    assert_eq!(db.say("VINCRBY db 0 1"), "[18446744073709551615]");
    assert!(
        db.error("VINCRBY db 0 1")
            .contains("out of range for uint64")
    );
    assert_eq!(
        db.say("VINCRBY db 0 -18446744073709551615"),
        "[(integer) 0]"
    );
    assert!(
        db.error("VINCRBY db 0 -1")
            .contains("out of range for uint64")
    );
}

#[test]
fn floats_add_as_ieee_says_and_never_become_nan_or_infinite() {
    let db = array("double", "0.1 1e308 inf nan");
    assert_eq!(db.say("VINCRBY db 0 0.2"), "[0.30000000000000004]");
    for pair in ["1 1e308", "2 1", "3 1", "0 inf", "0 nan", "2 -inf"] {
        let error = db.error(&format!("VINCRBY db {pair}"));
        assert!(
            error.contains("would be NaN or infinite"),
            "{pair}: {error}"
        );
    }
    assert_eq!(db.say("VALL db"), "[0.30000000000000004, 1e+308, inf, nan]");
    let db = array("float", "0.1");
    assert_eq!(db.say("VINCRBY db 0 0.2"), "[0.3]");
    let db = array("long_double", "9223372036854775807");
    assert_eq!(db.say("VINCRBY db 0 0.5"), "[9223372036854775807.5]");
}

#[test]
fn strings_have_no_sums() {
    let db = array("string 4", "1");
    assert!(
        db.error("VINCRBY db 0 1")
            .contains("the values of 'f' are strings")
    );
    assert!(db.error("VINCRBY nokey 0 1").contains("no such key"));
}

#[test]
fn the_new_values_are_doubles_in_resp3() {
    let db = array("double", "1");
    let mut client: Client = db.client().resp3();
    assert_eq!(client.say("VINCRBY db 0 0.5"), "[(double) 1.5]");
}
