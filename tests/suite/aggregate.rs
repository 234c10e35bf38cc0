//! Queries: `VAGG`, `VBUCKETS`, `VFIND`, `VSEARCH`. Long ones keep no other client waiting.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::cache::{evict_all, resident_pages};
use support::{Client, Reply, Server, StopAtEnd, doubles, wait_until};

/// More than a command goes over while the server waits.
const MANY: u64 = 4_000_000;

fn server_with(values: &[f64]) -> Server {
    let db = Server::setup()
        .write("f", doubles(values.iter().copied()))
        .start();
    db.say("MMAP db f double WRITABLE");
    db
}

fn server_with_many() -> Server {
    let db = Server::setup()
        .write("f", doubles((0..MANY).map(|i| i as f64)))
        .start();
    db.say("MMAP db f double WRITABLE");
    db
}

#[test]
fn every_operation_answers_in_the_order_asked() {
    let db = server_with(&[3.0, 1.0, 2.0, 1.0, 3.0]);
    assert_eq!(
        db.say("VAGG db 0 -1 COUNT SUM MIN MAX AVG VAR STD ARGMIN ARGMAX"),
        "[(integer) 5, 10, 1, 3, 2, 0.8, 0.8944271909999159, (integer) 1, (integer) 0]"
    );
    assert_eq!(db.say("vagg db 1 2 max sum"), "[2, 3]");
    assert_eq!(
        db.say("VAGG db -2 100 ARGMAX COUNT"),
        "[(integer) 4, (integer) 2]"
    );
}

#[test]
fn an_empty_range_and_a_missing_key_have_a_count_and_a_sum() {
    let db = server_with(&[1.0]);
    let nothing = "[(integer) 0, 0, (nil), (nil), (nil)]";
    assert_eq!(db.say("VAGG db 5 9 COUNT SUM MIN AVG ARGMAX"), nothing);
    assert_eq!(db.say("VAGG nokey 0 -1 COUNT SUM MIN AVG ARGMAX"), nothing);
    assert_eq!(db.say("VFIND nokey 0 -1 > 1"), "[]");
    assert_eq!(db.int("VSEARCH nokey 1"), 0);
    assert_eq!(
        db.say("VBUCKETS nokey 0 -1 2 COUNT"),
        "[[(integer) 0], [(integer) 0]]"
    );
}

#[test]
fn a_nan_prevails_unless_it_is_skipped() {
    let db = server_with(&[2.0, f64::NAN, 1.0]);
    assert_eq!(
        db.say("VAGG db 0 -1 COUNT SUM MIN MAX AVG ARGMIN"),
        "[(integer) 3, nan, nan, nan, nan, (integer) 1]"
    );
    assert_eq!(
        db.say("VAGG db 0 -1 COUNT SUM MIN MAX AVG ARGMIN SKIPNAN"),
        "[(integer) 2, 3, 1, 2, 1.5, (integer) 2]"
    );
}

#[test]
fn integer_sums_are_exact_beyond_64_bits() {
    let db = Server::with("MMAP i i int64 WRITABLE");
    db.say("VPUSH i 9223372036854775807 9223372036854775807 -1");
    assert_eq!(
        db.say("VAGG i 0 -1 SUM MIN"),
        "[18446744073709551613, (integer) -1]"
    );
    assert_eq!(
        db.client().resp3().ask("VAGG i 0 -1 SUM"),
        Reply::Array(vec![Reply::BigNumber("18446744073709551613".into())])
    );
    assert_eq!(db.say("VAGG i 2 2 SUM"), "[(integer) -1]");
}

#[test]
fn parts_divide_the_range_evenly() {
    let db = server_with(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(
        db.say("VBUCKETS db 0 -1 3 COUNT SUM"),
        "[[(integer) 2, 1], [(integer) 2, 5], [(integer) 3, 15]]"
    );
    assert_eq!(
        db.say("VBUCKETS db 5 6 4 COUNT"),
        "[[(integer) 0], [(integer) 1], [(integer) 0], [(integer) 1]]"
    );
}

#[test]
fn values_are_found_by_one_or_two_conditions() {
    let db = server_with(&[1.0, 5.0, 3.0, f64::NAN, 5.0]);
    assert_eq!(db.say("VFIND db 0 -1 = 5"), "[(integer) 1, (integer) 4]");
    assert_eq!(
        db.say("VFIND db 0 -1 >= 1 < 5"),
        "[(integer) 0, (integer) 2]"
    );
    assert_eq!(
        db.say("VFIND db 0 -1 != 5"),
        "[(integer) 0, (integer) 2, (integer) 3]"
    );
    assert_eq!(
        db.say("VFIND db 1 -1 > 0 LIMIT 2"),
        "[(integer) 1, (integer) 2]"
    );
    assert_eq!(db.int("VFIND db 0 -1 > 0 COUNT"), 4);
    assert_eq!(db.int("VFIND db 0 -1 > 0 LIMIT 3 COUNT"), 3);
}

#[test]
fn a_list_of_matches_is_whole_or_says_where_to_go_on() {
    let db = Server::start();
    db.say("MMAP db f u1 WRITABLE");
    let words: Vec<String> = (0..2000).map(|i| (i % 10).to_string()).collect();
    db.say(&format!("VPUSH db {}", words.join(" ")));
    let all: Vec<i64> = (0..2000).filter(|i| i % 10 == 7).collect();
    let ints = |reply: Reply| -> Vec<i64> { reply.items().into_iter().map(Reply::int).collect() };
    assert_eq!(ints(db.ask("VFIND db 0 -1 = 7")), all);

    let (mut found, mut start, mut calls) = (Vec::new(), 0, 0);
    loop {
        let page = db
            .ask(&format!("VFIND db {start} -1 == 7 COUNT 33"))
            .items();
        found.extend(ints(page[1].clone()));
        start = page[0].clone().int();
        calls += 1;
        if start == 0 {
            break;
        }
    }
    assert_eq!((found, calls), (all.clone(), 7));

    assert_eq!(ints(db.ask("VFIND db 0 -1 = 7 LIMIT 10 5")), all[10..15]);
    assert_eq!(ints(db.ask("VFIND db 0 -1 = 7 LIMIT 190 -1")), all[190..]);
    assert_eq!(ints(db.ask("VFIND db 0 -1 = 7 LIMIT 200 5")), []);
    assert_eq!(db.int("VFIND db 0 -1 = 7 LIMIT 10 500 LEN"), 190);
    assert_eq!(db.int("VFIND db 0 -1 = 7 LEN"), 200);
    assert_eq!(db.say("VFIND nokey 0 -1 = 7 COUNT 5"), "[(integer) 0, []]");
    // The range is done when its last value was looked at.
    assert_eq!(
        db.say("VFIND db 0 7 = 7 COUNT 1"),
        "[(integer) 0, [(integer) 7]]"
    );
    assert_eq!(
        db.say("VFIND db 0 8 = 7 COUNT 1"),
        "[(integer) 8, [(integer) 7]]"
    );
    for (command, expected) in [
        (
            "VFIND db 0 -1 = 7 COUNT 0",
            "count '0' (argument 7) is not an integer from 1",
        ),
        (
            "VFIND db 0 -1 = 7 LIMIT -1 5",
            "offset '-1' (argument 7) is not an integer from 0",
        ),
        ("VFIND db 0 -1 = 7 COUNT 5 LIMIT 0 5", "exclude each other"),
        ("VFIND db 0 -1 = 7 COUNT 5 LEN", "LEN replies with a number"),
        (
            "VFIND db 0 -1 = 7 LEN WITHVALUES",
            "LEN replies with a number",
        ),
        (
            "VFIND db 0 -1 = 7 LIMIT",
            "syntax error at 'LIMIT' (argument 6)",
        ),
        ("VFIND db 0 -1 =", "wrong number of arguments"),
        ("VFIND db 0 -1 = 7 =", "syntax error at '=' (argument 6)"),
        ("VFIND db 0 -1 LEN 7", "syntax error at 'LEN' (argument 4)"),
    ] {
        let error = db.error(command);
        assert!(error.contains(expected), "{command}: {error}");
    }
}

#[test]
fn values_come_with_their_indices() {
    let db = server_with(&[1.0, 5.5, 3.0, f64::NAN, 5.0]);
    assert_eq!(
        db.say("VFIND db 0 -1 >= 5 WITHVALUES"),
        "[(integer) 1, 5.5, (integer) 4, 5]"
    );
    assert_eq!(
        db.say("VFIND db 0 -1 > 0 WITHVALUES LIMIT 1 2"),
        "[(integer) 1, 5.5, (integer) 2, 3]"
    );
    assert_eq!(
        db.say("VFIND db 0 -1 != 0 COUNT 4 WITHVALUES"),
        "[(integer) 4, [(integer) 0, 1, (integer) 1, 5.5, (integer) 2, 3, (integer) 3, nan]]"
    );
    let pair =
        |index, value: &str| Reply::Array(vec![Reply::Int(index), Reply::Double(value.into())]);
    assert_eq!(
        db.client().resp3().ask("VFIND db 0 -1 >= 5 WITHVALUES"),
        Reply::Array(vec![pair(1, "5.5"), pair(4, "5")])
    );
    assert_eq!(db.say("VFIND nokey 0 -1 > 0 WITHVALUES"), "[]");
    // The same on the pool, in many blocks.
    let db = server_with_many();
    let last = MANY - 1;
    let expected = format!("[(integer) 0, 0, (integer) {last}, {last}]");
    let command = format!("VFIND db 0 -1 != 1 != 2 LIMIT {} 1 WITHVALUES", MANY - 3);
    assert_eq!(db.say(&command), format!("[(integer) {last}, {last}]"));
    db.say(&format!("VFILL db 1 {} 7", last - 1));
    assert_eq!(db.say("VFIND db 0 -1 != 7 WITHVALUES"), expected);
    assert!(db.stat("scans") > 1);
}

#[test]
fn integers_compare_exactly_with_any_number() {
    let db = Server::start();
    db.say("MMAP i i int8 WRITABLE");
    db.say("VPUSH i -128 -2 -1 0 1 2 127");
    let at = |indices: std::ops::Range<i64>| {
        let words: Vec<_> = indices.map(|i| format!("(integer) {i}")).collect();
        format!("[{}]", words.join(", "))
    };
    for (condition, expected) in [
        ("> 1.5", at(5..7)),
        (">= 1.5", at(5..7)),
        ("< 1.5", at(0..5)),
        ("<= 1.5", at(0..5)),
        ("= 1.5", at(0..0)),
        ("== 1.5", at(0..0)),
        ("!= 1.5", at(0..7)),
        ("> -1.5", at(2..7)),
        ("< -1.5", at(0..2)),
        ("= 1.0", at(4..5)),
        (">= 12.7e1", at(6..7)),
        ("> 127.5", at(0..0)),
        ("< 1000", at(0..7)),
        ("> -1000", at(0..7)),
        ("<= -1000", at(0..0)),
        ("< inf", at(0..7)),
        ("> 0.5 < 1.5", at(4..5)),
    ] {
        assert_eq!(
            db.say(&format!("VFIND i 0 -1 {condition}")),
            expected,
            "{condition}"
        );
    }
    for (value, expected) in [
        ("1.5", 5),
        ("-1.5", 2),
        ("1000", 7),
        ("-1000", 0),
        ("2", 5),
        ("2.0", 5),
    ] {
        assert_eq!(db.int(&format!("VSEARCH i {value}")), expected, "{value}");
    }
    assert_eq!(db.int("VSEARCH i 1.5 RIGHT"), 5);
    assert_eq!(db.int("VSEARCH i 2.0 RIGHT"), 6);
    // Beyond the 53 bits of a double.
    db.say("MMAP u u uint64 WRITABLE");
    db.say("VPUSH u 18446744073709551614 18446744073709551615");
    assert_eq!(
        db.say("VFIND u 0 -1 > 18446744073709551614.5"),
        "[(integer) 1]"
    );
    assert_eq!(db.say("VFIND u 0 -1 > 18446744073709551615.5"), "[]");
    for value in ["five", "nan", "1,5"] {
        assert_eq!(
            db.error(&format!("VFIND i 0 -1 > {value}")),
            format!("ERR value '{value}' (argument 5) is not a number")
        );
    }
    // What is too large for a float, and what is too long for a string, compares all the same.
    db.say("MMAP f f float WRITABLE");
    db.say("VPUSH f -inf -1 3e38 inf nan");
    assert_eq!(db.say("VFIND f 0 -1 < 1e300"), at(0..3));
    assert_eq!(db.say("VFIND f 0 -1 >= 1e300"), at(3..4));
    assert_eq!(db.say("VFIND f 0 -1 = 1e300"), "[]");
    assert_eq!(db.say("VFIND f 0 -1 <= -1e300"), at(0..1));
    db.say("MMAP s s string 2 WRITABLE");
    db.say("VPUSH s a ab b");
    assert_eq!(db.say("VFIND s 0 -1 < abc"), at(0..2));
    assert_eq!(db.say("VFIND s 0 -1 = abc"), "[]");
    assert_eq!(db.int("VSEARCH s abc"), 2);
}

#[test]
fn several_values_are_searched_for_at_once() {
    let db = server_with(&[1.0, 2.0, 2.0, 3.0, f64::NAN]);
    let three = |a, b, c| format!("[(integer) {a}, (integer) {b}, (integer) {c}]");
    assert_eq!(db.say("VSEARCH db 2 0 nan"), three(1, 0, 4));
    assert_eq!(db.say("VSEARCH db 2 0 nan LEFT"), three(1, 0, 4));
    assert_eq!(db.say("VSEARCH db 2 0 nan right"), three(3, 0, 5));
    assert_eq!(db.say("VSEARCH nokey 2 0 nan RIGHT"), three(0, 0, 0));
    assert_eq!(
        db.error("VSEARCH db 2 x 3"),
        "ERR value 'x' (argument 3) is not a double"
    );
    db.say("MMAP s s string 8 WRITABLE");
    db.say("VPUSH s LEFT MIDDLE RIGHT");
    assert_eq!(db.int("VSEARCH s RIGHT"), 2);
    assert_eq!(db.int("VSEARCH s RIGHT RIGHT"), 3);
    assert_eq!(
        db.say("VSEARCH s LEFT RIGHT LEFT"),
        "[(integer) 0, (integer) 2]"
    );
}

#[test]
fn other_names_and_places_are_taken_as_well() {
    let db = server_with(&[2.0, f64::NAN, 1.0]);
    let expected = "[(integer) 2, 1.5, 1.5]";
    for ops in [
        "SKIPNAN COUNT AVG MEAN",
        "COUNT SKIPNAN AVG MEAN",
        "count mean avg skipnan",
    ] {
        assert_eq!(db.say(&format!("VAGG db 0 -1 {ops}")), expected, "{ops}");
        assert_eq!(
            db.say(&format!("VBUCKETS db 0 -1 1 {ops}")),
            format!("[{expected}]")
        );
    }
    assert_eq!(
        db.error("VAGG db 0 -1 SKIPNAN COUNT x").split(':').next(),
        Some("ERR unknown operation 'x' (argument 6)")
    );
    assert_eq!(db.int("VLEN db"), 3);
    assert_eq!(db.int("VLEN nokey"), 0);
}

#[test]
fn a_sorted_array_is_searched_from_either_side() {
    let db = server_with(&[1.0, 2.0, 2.0, 3.0, f64::NAN]);
    for (command, expected) in [
        ("VSEARCH db 2", 1),
        ("VSEARCH db 2 right", 3),
        ("VSEARCH db 0", 0),
        ("VSEARCH db inf", 4),
        ("VSEARCH db nan LEFT", 4),
        ("VSEARCH db nan RIGHT", 5),
    ] {
        assert_eq!(db.int(command), expected, "{command}");
    }
}

#[test]
fn strings_are_compared_byte_by_byte() {
    let db = Server::with("MMAP s s string 4 WRITABLE");
    db.say("VPUSH s bob al zoe al");
    assert_eq!(
        db.say("VAGG s 0 -1 MIN MAX ARGMIN"),
        "[al, zoe, (integer) 1]"
    );
    assert_eq!(db.say("VFIND s 0 -1 > al"), "[(integer) 0, (integer) 2]");
    assert_eq!(
        db.error("VAGG s 0 -1 MIN SUM"),
        "ERR operation 'SUM' (argument 5) is not possible for values of type string"
    );
}

#[test]
fn errors_name_the_argument() {
    let db = server_with(&[1.0]);
    for (command, expected) in [
        (
            "VAGG db x 1 SUM",
            "start 'x' (argument 2) is not an integer",
        ),
        (
            "VAGG db 0 1 SUM MEDIAN",
            "unknown operation 'MEDIAN' (argument 5)",
        ),
        (
            "VAGG db 0 1 SKIPNAN",
            "no operation is given beside SKIPNAN",
        ),
        (
            "VBUCKETS db 0 1 0 SUM",
            "number of parts '0' (argument 4) is not an integer from 1 to",
        ),
        ("VFIND db 0 1 ~ 5", "syntax error at '~' (argument 4)"),
        (
            "VFIND db 0 1 = five",
            "value 'five' (argument 5) is not a double",
        ),
        (
            "VFIND db 0 1 = 5 LIMIT x",
            "count 'x' (argument 7) is not an integer",
        ),
        (
            "VFIND db 0 1 = 5 = 6 = 7",
            "syntax error at '=' (argument 8)",
        ),
        (
            "VSEARCH db 1 MIDDLE",
            "value 'MIDDLE' (argument 3) is not a double, nor LEFT or RIGHT",
        ),
    ] {
        let error = db.error(command);
        assert!(error.contains(expected), "{command}: {error}");
    }
    db.say("SET text x");
    assert!(db.error("VAGG text 0 -1 SUM").starts_with("WRONGTYPE"));
}

#[test]
fn long_work_is_done_in_the_background_with_the_same_answer() {
    let db = server_with_many();
    let everything = "VAGG db 0 -1 COUNT SUM MIN MAX AVG ARGMIN ARGMAX VAR";
    let background = db.say(everything);
    assert_eq!(db.stat("scans"), 1);
    let inline = db.say(&format!(
        "EVAL return{{redis.call('{}')}} 0",
        everything.replace(' ', "','")
    ));
    assert_eq!(inline, format!("[{background}]"));
    assert_eq!(db.stat("scans"), 1, "a script cannot be kept waiting");
    assert!(background.starts_with(
        "[(integer) 4000000, 7999998000000, 0, 3999999, 1999999.5, (integer) 0, (integer) 3999999"
    ));

    let mut multi = db.client();
    multi.say("MULTI");
    multi.say("VFIND db 0 -1 >= 3999990 COUNT");
    assert_eq!(multi.say("EXEC"), "[(integer) 10]");
    assert_eq!(db.stat("scans"), 1, "MULTI cannot be kept waiting");
    assert_eq!(db.int("VFIND db 0 -1 >= 3999990 COUNT"), 10);
    assert_eq!(
        db.say("VFIND db 0 -1 >= 100 LIMIT 2"),
        "[(integer) 100, (integer) 101]"
    );
    assert_eq!(
        db.say("VBUCKETS db 0 -1 2 ARGMAX"),
        "[[(integer) 1999999], [(integer) 3999999]]"
    );
    assert_eq!(db.stat("scans"), 4);
}

/// Runs `write` over and over while another client asks, each at least 20 times; every answer must be one of the array at some
/// moment.
#[track_caller]
fn ask_while(db: &Server, mut write: impl FnMut(&mut Client) + Send, check: impl Fn(Reply)) {
    const TIMES: u64 = 20;
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut writer, mut reader) = (db.client(), db.client());
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                write(&mut writer);
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _stop = StopAtEnd(&stop);
        let mut asked = 0;
        while asked < TIMES || written.load(Ordering::Relaxed) < TIMES && !writing.is_finished() {
            check(reader.ask("VAGG db 0 -1 SUM COUNT"));
            asked += 1;
        }
    });
}

fn sum_and_count(reply: Reply) -> (f64, i64) {
    let mut items = reply.items().into_iter();
    let sum = items.next().unwrap().text().parse().unwrap();
    (sum, items.next().unwrap().int())
}

/// The one value of the head and the one of the tail always add up to the same, if both are of one moment.
#[test]
fn values_set_meanwhile_are_seen_all_or_none() {
    let db = Server::setup()
        .write("f", vec![0; 8 * MANY as usize])
        .start();
    db.say("MMAP db f double WRITABLE");
    let mut number = 0;
    let write = |client: &mut Client| {
        number += 1;
        // Two commands: between them the sum is 1 more.
        assert_eq!(client.int(&format!("VSET db 0 {number}")), 1);
        assert_eq!(client.int(&format!("VSET db {} -{number}", MANY - 1)), 1);
    };
    let check = |reply| {
        let (sum, _) = sum_and_count(reply);
        assert!(sum == 0.0 || sum == 1.0, "a sum of {sum} was never there");
    };
    ask_while(&db, write, check);
    assert!(db.stat("scans") > 0);
}

#[test]
fn values_appended_and_removed_meanwhile_are_seen_in_order() {
    let db = Server::setup()
        .write("f", vec![0; 8 * MANY as usize])
        .start();
    db.say("MMAP db f double WRITABLE");
    let write = |client: &mut Client| {
        client.ask("VPUSH db 1 1 1");
        client.ask("VPOP db 2");
        client.ask("VPUSH db 0");
        client.ask("VPOP db 2");
    };
    let check = |reply| {
        let (sum, count) = sum_and_count(reply);
        let more = count - MANY as i64;
        let there = [(0, 0.0), (3, 3.0), (1, 1.0), (2, 1.0)];
        assert!(
            there.contains(&(more, sum)),
            "{more} values more with a sum of {sum}"
        );
    };
    ask_while(&db, write, check);
}

#[test]
fn an_array_cleared_and_filled_meanwhile_is_seen_whole_or_it_is_an_error() {
    let db = Server::setup()
        .write("f", vec![0; 8 * MANY as usize])
        .start();
    db.say("MMAP db f double WRITABLE");
    let values = vec!["1"; 200_000];
    let write = |client: &mut Client| {
        client.ask("VCLEAR db");
        let command = ["VPUSH", "db"].into_iter().chain(values.iter().copied());
        client.run(&command.collect::<Vec<_>>());
    };
    let check = |reply: Reply| match reply {
        Reply::Error(error) => assert!(
            error.contains("was changed while it was being read"),
            "{error}"
        ),
        reply => {
            let (sum, count) = sum_and_count(reply);
            let there = [(MANY as i64, 0.0), (0, 0.0), (200_000, 200_000.0)];
            assert!(
                there.contains(&(count, sum)),
                "{count} values with a sum of {sum}"
            );
        }
    };
    ask_while(&db, write, check);
}

#[test]
fn a_key_deleted_and_bound_again_meanwhile_is_seen_whole_or_it_is_an_error() {
    let db = server_with_many();
    let write = |client: &mut Client| {
        client.ask("DEL db");
        client.ask("MMAP db f double WRITABLE");
    };
    let sum = (0..MANY).sum::<u64>() as f64;
    let check = |reply: Reply| match reply {
        Reply::Error(error) => assert!(error.contains("while it was being read"), "{error}"),
        reply => {
            let there = [(sum, MANY as i64), (0.0, 0)];
            let got = sum_and_count(reply);
            assert!(there.contains(&got), "{got:?}");
        }
    };
    ask_while(&db, write, check);
    assert_eq!(db.int("VSIZE db"), MANY as i64);
}

#[test]
fn a_file_truncated_by_another_process_is_an_error_and_the_server_lives() {
    let mut db = server_with_many();
    let mut client = db.client();
    let mut command = Vec::new();
    for _ in 0..20 {
        Client::encode(&mut command, &["VAGG", "db", "0", "-1", "SUM"]);
    }
    client.try_send(&command).unwrap();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(db.path("f"))
        .unwrap();
    file.set_len(8 * MANY / 2).unwrap();
    let replies: Vec<Reply> = (0..20).map(|_| client.receive()).collect();
    for reply in &replies {
        if let Reply::Error(error) = reply {
            assert!(error.contains("MMAP the key again"), "{error}");
        }
    }
    assert!(
        replies.last().unwrap().is_error(),
        "the file is half as long"
    );
    assert!(db.is_running());
    assert_eq!(db.int("MMAP db f double WRITABLE"), MANY as i64 / 2);
    assert_eq!(
        db.say("VAGG db 0 -1 COUNT"),
        format!("[(integer) {}]", MANY / 2)
    );
}

/// How often the server has the file mapped.
fn mappings(db: &Server) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", db.pid())).unwrap();
    let path = db.path("f");
    maps.lines()
        .filter(|line| line.ends_with(path.to_str().unwrap()))
        .count()
}

#[test]
fn a_file_is_not_mapped_for_longer_than_it_is_asked() {
    let db = server_with_many();
    let before = mappings(&db);
    db.say("VAGG db 0 -1 SUM");
    wait_until("the window is gone", || mappings(&db) == before);
    db.say("VAGG db 0 -1 SUM");
    db.say("DEL db");
    wait_until("nothing is mapped", || mappings(&db) == 0);
}

#[test]
fn values_that_were_just_asked_can_be_dropped_from_ram() {
    let db = server_with_many();
    // What was just written is not dropped at the first word.
    db.say("VADVISE db DONTNEED");
    evict_all(&db.path("f"));
    db.say("VAGG db 0 -1 SUM");
    assert!(resident_pages(&db.path("f")) > 0);
    assert_eq!(db.say("VADVISE db DONTNEED"), "OK");
    assert_eq!(resident_pages(&db.path("f")), 0);
}

#[test]
fn a_client_that_goes_away_takes_its_work_with_it() {
    let db = server_with_many();
    let mut command = Vec::new();
    Client::encode(
        &mut command,
        &["VBUCKETS", "db", "0", "-1", "1000", "STD", "MIN", "MAX"],
    );
    wait_until("work was cancelled", || {
        let mut client = db.client();
        client.try_send(&command).unwrap();
        wait_until("the work has begun or is done", || {
            db.stat("threads_jobs") > 0 || db.stat("scans") > 0
        });
        drop(client);
        db.stat("scans_cancelled") > 0
    });
    wait_until("nothing is left to do", || db.stat("threads_jobs") == 0);
    assert_eq!(db.say("VAGG db 0 -1 COUNT"), format!("[(integer) {MANY}]"));
}

#[test]
fn the_number_of_threads_is_a_setting() {
    let db = Server::setup().module_args("threads 3").start();
    assert_eq!(db.stat("threads"), 3);
    assert_eq!(db.say("CONFIG GET mmap.threads"), "[mmap.threads, 3]");
    assert!(db.error("CONFIG SET mmap.threads 5").contains("immutable"));
    let log = Server::setup()
        .module_args("threads 0")
        .try_start()
        .err()
        .unwrap();
    assert!(
        log.contains("'0' is not a value of threads: use 1 to 128"),
        "{log}"
    );
}

#[test]
fn strings_of_every_length_are_gone_over() {
    let db = Server::start();
    for size in [1, 8191, 8192, 8193, 16384, 65535] {
        // At once, and on the pool.
        for count in [3, 600_000 / size + 2] {
            let (key, last) = (format!("k{size}.{count}"), count - 1);
            let value = |i: usize| [b"bac"[i % 3], b'x'];
            let bytes: Vec<u8> = (0..count)
                .flat_map(|i| {
                    let mut item = vec![0; size];
                    item[..size.min(2)].copy_from_slice(&value(i)[..size.min(2)]);
                    item
                })
                .collect();
            db.write(&key, bytes);
            db.say(&format!("MMAP {key} {key} string {size}"));
            let [a, b] = [1, 0].map(|i| String::from_utf8(value(i)[..size.min(2)].into()).unwrap());
            let found: Vec<_> = (0..count)
                .filter(|i| i % 3 == 1)
                .map(|i| format!("(integer) {i}"))
                .collect();
            let ask = |rest: &str| db.say(&rest.replace("KEY", &key));
            assert_eq!(
                ask("VAGG KEY 0 -1 COUNT MIN ARGMIN"),
                format!("[(integer) {count}, {a}, (integer) 1]"),
                "{key}"
            );
            let buckets = ask(&format!("VBUCKETS KEY 0 -1 {count} MAX"));
            assert!(
                buckets.starts_with(&format!("[[{b}], [{a}], ")),
                "{buckets}"
            );
            assert_eq!(buckets.matches("], [").count(), last, "{key}");
            assert_eq!(
                ask(&format!("VFIND KEY 0 -1 = {a}")),
                format!("[{}]", found.join(", "))
            );
        }
    }
    assert!(!db.log().contains("panicked"), "{}", db.log());
}

/// `statistics.pvariance` and `statistics.pstdev` of Python say the same.
#[test]
fn variances_of_integers_are_exact_far_from_zero_and_over_many_values() {
    let db = Server::with("MMAP db i int64 WRITABLE");
    let far = 1_i64 << 53;
    let words: Vec<String> = (0..5).map(|i| (far + i).to_string()).collect();
    db.say(&format!("VPUSH db {}", words.join(" ")));
    assert_eq!(
        db.say("VAGG db 0 -1 AVG VAR STD"),
        "[9007199254740994, 2, 1.4142135623730951]"
    );
    assert_eq!(
        db.say("VBUCKETS db 0 -1 2 VAR"),
        "[[0.25], [0.6666666666666666]]"
    );
    // On the pool, in many blocks: pairs that are 2 apart, at both ends of the range.
    let pairs: Vec<u8> = (0..2_000_000_i64)
        .map(|i| if i % 2 == 0 { i64::MAX } else { i64::MAX - 2 })
        .flat_map(i64::to_le_bytes)
        .collect();
    db.write("pairs", pairs);
    db.say("MMAP pairs pairs int64");
    assert_eq!(
        db.say("VAGG pairs 0 -1 VAR STD AVG"),
        "[1, 1, 9.223372036854776e+18]"
    );
}

#[test]
fn least_and_greatest_are_replied_with_as_vget_replies_with_them() {
    let db = Server::start();
    for (kind, value) in [
        ("float", "nan"),
        ("double", "nan"),
        ("long_double", "nan"),
        ("long_double", "0.1"),
        ("uint64", "18446744073709551615"),
        ("int8", "-128"),
        ("string", "nan"),
    ] {
        let size = if kind == "string" { "3" } else { "" };
        db.say(&format!(
            "MMAP {kind}{value} {kind}{value} {kind} {size} WRITABLE"
        ));
        db.say(&format!("VPUSH {kind}{value} {value}"));
        for mut client in [db.client(), db.client().resp3()] {
            let plain = client.ask(&format!("VGET {kind}{value} 0"));
            let ends = client.ask(&format!("VAGG {kind}{value} 0 -1 MIN MAX"));
            assert_eq!(ends, Reply::Array(vec![plain.clone(), plain]), "{kind}");
        }
    }
}
