//! Every type: what is written reads back, by command and from the raw file, over its whole range and not beyond it.

use std::cell::{Cell, RefCell};
use std::fmt::{Debug, Display};
use std::process::Command;

/// The types of numbers, and bytes per value.
pub const NUMBERS: [(&str, usize); 11] = [
    ("int8", 1),
    ("uint8", 1),
    ("int16", 2),
    ("uint16", 2),
    ("int32", 4),
    ("uint32", 4),
    ("int64", 8),
    ("uint64", 8),
    ("float", 4),
    ("double", 8),
    ("long_double", 16),
];

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use support::{Reply, Server, piped};

fn runner() -> TestRunner {
    TestRunner::new(Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    })
}

fn push(db: &Server, values: &[impl AsRef<[u8]>]) -> Reply {
    let mut command: Vec<&[u8]> = vec![b"VPUSH", b"db"];
    command.extend(values.iter().map(AsRef::as_ref));
    db.run(&command)
}

/// Writes values by command and by hand, and reads them back in both ways.
fn reads_back<T: Clone + Debug>(
    kind: &str,
    strategy: impl Strategy<Value = T>,
    text: impl Fn(&T) -> Vec<u8>,
    raw: impl Fn(&T) -> Vec<u8>,
    expected: impl Fn(&T, &Reply) -> bool,
) {
    let db = Server::start();
    assert_eq!(db.say(&format!("MMAP db f {kind} WRITABLE")), "(integer) 0");
    let case = Cell::new(0);
    runner()
        .run(&vec(strategy, 1..40), |values| {
            db.ask("VCLEAR db");
            let texts: Vec<_> = values.iter().map(&text).collect();
            let bytes: Vec<u8> = values.iter().flat_map(&raw).collect();
            prop_assert_eq!(push(&db, &texts), Reply::Int(values.len() as i64));
            prop_assert_eq!(db.ask("VSYNC db"), Reply::Status("OK".into()));
            prop_assert_eq!(db.read("f"), &bytes[..]);
            let replies = db.ask("VALL db").items();
            for (value, reply) in values.iter().zip(&replies) {
                prop_assert!(
                    expected(value, reply),
                    "{:?} is answered as {}",
                    value,
                    reply
                );
            }

            // VSET in reverse order, through the same values.
            let mut set = vec![b"VSET".to_vec(), b"db".to_vec()];
            for (index, text) in texts.iter().rev().enumerate() {
                set.extend([index.to_string().into_bytes(), text.clone()]);
            }
            prop_assert_eq!(db.run(&set), Reply::Int(values.len() as i64));
            let reversed: Vec<u8> = values.iter().rev().flat_map(&raw).collect();
            prop_assert_eq!(db.read("f"), reversed);
            let popped = db.ask(&format!("VPOP db {}", values.len())).items();
            prop_assert_eq!(popped, replies);

            // The same values in a file that another program wrote.
            case.set(case.get() + 1);
            let name = format!("external{}", case.get());
            db.write(&name, &bytes);
            prop_assert_eq!(
                db.ask(&format!("MMAP {name} {name} {kind}")),
                Reply::Int(values.len() as i64)
            );
            for (index, value) in values.iter().enumerate() {
                let reply = db.ask(&format!("VGET {name} {index}"));
                prop_assert!(expected(value, &reply), "{:?} is read as {}", value, reply);
            }
            db.ask(&format!("DEL {name}"));
            std::fs::remove_file(db.path(&name)).unwrap();
            Ok(())
        })
        .unwrap();
}

fn refuses(kind: &str, values: &[&str], hint: &[&str]) {
    let db = Server::start();
    db.say(&format!("MMAP db f {kind} WRITABLE"));
    for value in values {
        let error = db.run(&["VPUSH", "db", value]).error();
        assert!(
            error.starts_with("ERR ") && error.contains("argument 2"),
            "{kind} {value}: {error}"
        );
        for hint in hint {
            assert!(
                error.contains(hint),
                "{kind} {value}: {hint} is not in: {error}"
            );
        }
    }
    assert_eq!(db.file_len("f"), 0);
}

macro_rules! integers {
    ($($kind:ident: $rust:ty),*) => {
        $(
            mod $kind {
                use super::*;

                #[test]
                fn any_value_reads_back() {
                    let edges = prop_oneof![Just(<$rust>::MIN), Just(<$rust>::MAX), Just(0), Just(1)];
                    reads_back(
                        stringify!($kind),
                        prop_oneof![3 => any::<$rust>(), 1 => edges],
                        |v| v.to_string().into_bytes(),
                        |v| v.to_le_bytes().to_vec(),
                        |v, reply| match i64::try_from(*v) {
                            Ok(n) => *reply == Reply::Int(n),
                            Err(_) => *reply == Reply::Bulk(v.to_string().into_bytes()),
                        },
                    );
                }

                #[test]
                fn one_beyond_each_bound_is_refused_with_the_range() {
                    let (min, max) = (<$rust>::MIN.to_string(), <$rust>::MAX.to_string());
                    let below = (<$rust>::MIN as i128 - 1).to_string();
                    let above = (<$rust>::MAX as i128 + 1).to_string();
                    refuses(
                        stringify!($kind),
                        &[&below, &above, "99999999999999999999999999999999999999999", "-99999999999999999999999999999"],
                        &[&min, &max],
                    );
                }

                #[test]
                fn text_that_is_no_integer_is_refused() {
                    refuses(
                        stringify!($kind),
                        &["", "-", "+", "1.0", "1e2", "0x10", " 1", "1 ", "1,0", "nan", "inf", "1\0", "abc"],
                        &[],
                    );
                }
            }
        )*
    };
}

integers!(int8: i8, uint8: u8, int16: i16, uint16: u16, int32: i32, uint32: u32, int64: i64, uint64: u64);

#[test]
fn a_large_uint64_is_a_bulk_string_in_resp2_and_a_big_number_in_resp3() {
    let db = Server::with("MMAP db f uint64 WRITABLE");
    db.say("VPUSH db 18446744073709551615 9223372036854775808 9223372036854775807");
    let mut client = db.client();
    assert_eq!(
        client.say("VALL db"),
        "[18446744073709551615, 9223372036854775808, (integer) 9223372036854775807]"
    );
    let mut client = client.resp3();
    assert_eq!(
        client.say("VALL db"),
        "[(big number) 18446744073709551615, (big number) 9223372036854775808, (integer) 9223372036854775807]"
    );
    assert_eq!(db.read("f")[..8], [0xff; 8]);
}

/// Sign and significant digits, by which the length of a text is compared without regard to its notation.
fn digits(text: &str) -> (bool, String) {
    let mantissa = text.split(['e', 'E']).next().unwrap();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    (
        text.starts_with('-'),
        digits.trim_start_matches('0').trim_end_matches('0').into(),
    )
}

fn is_shortest<T: Display>(
    reply: &Reply,
    value: T,
    exponent_form: &str,
    same: impl Fn(&str) -> bool,
) -> bool {
    let Reply::Bulk(bytes) = reply else {
        return false;
    };
    let text = std::str::from_utf8(bytes).unwrap();
    match value.to_string().as_str() {
        "NaN" => text == "nan",
        "inf" | "-inf" => text == value.to_string(),
        // Of two texts equally short and equally near, either will do.
        _ => same(text) && digits(text).1.len() == digits(exponent_form).1.len(),
    }
}

fn any_double() -> impl Strategy<Value = f64> {
    let edges = [
        0.0,
        -0.0,
        0.1,
        0.2 + 0.1,
        1.0 / 3.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        2.225073858507201e-308,
        f64::INFINITY,
        f64::NEG_INFINITY,
        9007199254740993.0,
        1e21,
        1e22,
        1e23,
        123456789012345680.0,
        4.35,
        0.5,
    ];
    prop_oneof![
        4 => any::<u64>().prop_map(f64::from_bits).prop_filter("payloads are not text", |v| !v.is_nan()),
        2 => (-1000i32..1000).prop_map(|n| f64::from(n) / 100.0),
        1 => Just(f64::NAN),
        2 => prop::sample::select(edges.to_vec()),
    ]
}

#[test]
fn any_double_reads_back_as_its_shortest_text() {
    for exponent in [false, true] {
        reads_back(
            "double",
            any_double(),
            |v| {
                if exponent {
                    format!("{v:e}")
                } else {
                    v.to_string()
                }
                .into_bytes()
            },
            |v| v.to_le_bytes().to_vec(),
            |v, reply| {
                is_shortest(reply, v, &format!("{v:e}"), |text| {
                    text.parse::<f64>().unwrap().to_bits() == v.to_bits()
                })
            },
        );
    }
}

#[test]
fn any_float_reads_back_as_its_shortest_text() {
    let edges = [
        0.0,
        -0.0,
        0.1,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-45,
        16777217.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    let any_float = prop_oneof![
        4 => any::<u32>().prop_map(f32::from_bits).prop_filter("payloads are not text", |v| !v.is_nan()),
        1 => Just(f32::NAN),
        2 => prop::sample::select(edges.to_vec()),
    ];
    reads_back(
        "float",
        any_float,
        |v| v.to_string().into_bytes(),
        |v| v.to_le_bytes().to_vec(),
        |v, reply| {
            is_shortest(reply, v, &format!("{v:e}"), |text| {
                text.parse::<f32>().unwrap().to_bits() == v.to_bits()
            })
        },
    );
}

#[test]
fn a_double_in_resp3_is_the_same_value() {
    let db = Server::with("MMAP db f");
    let client = RefCell::new(db.client().resp3());
    runner()
        .run(&any_double(), |value| {
            let mut client = client.borrow_mut();
            client.ask("VCLEAR db");
            prop_assert_eq!(
                client.run(&["VPUSH", "db", &value.to_string()]),
                Reply::Int(1)
            );
            let reply = client.ask("VGET db 0");
            let Reply::Double(text) = &reply else {
                panic!("not a double: {reply}")
            };
            let read: f64 = text.parse().unwrap();
            prop_assert!(
                read.to_bits() == value.to_bits() || read.is_nan() && value.is_nan(),
                "{} as {}",
                value,
                text
            );
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_float_in_resp3_is_the_double_of_its_shortest_text() {
    let db = Server::with("MMAP db f float WRITABLE");
    let mut client = db.client().resp3();
    for value in ["0.1", "3.4028235e38", "1e-45", "-0.3", "16777216", "2.5"] {
        client.ask("VCLEAR db");
        client.ask(&format!("VPUSH db {value}"));
        let Reply::Double(text) = client.ask("VGET db 0") else {
            panic!("not a double")
        };
        assert_eq!(text.parse::<f64>().unwrap(), value.parse::<f64>().unwrap());
    }
}

#[test]
fn doubles_are_written_as_a_reader_expects() {
    let db = Server::with("MMAP db f");
    for (given, answered) in [
        ("1", "1"),
        ("1.0", "1"),
        ("0.1", "0.1"),
        ("-0.0", "-0"),
        ("0", "0"),
        ("100", "100"),
        ("1e2", "100"),
        ("1E2", "100"),
        (".5", "0.5"),
        ("5.", "5"),
        ("0.10000000000000001", "0.1"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("nan", "nan"),
        ("123456.789", "123456.789"),
        ("1e-3", "0.001"),
        ("4.9e-324", "5e-324"),
    ] {
        db.say("VCLEAR db");
        assert_eq!(
            db.say(&format!("VPUSH db {given}")),
            "(integer) 1",
            "{given}"
        );
        assert_eq!(db.say("VGET db 0"), answered, "{given}");
    }
}

#[test]
fn a_finite_number_beyond_the_type_is_refused() {
    refuses(
        "float",
        &[
            "3.5e38",
            "-3.5e38",
            "1e39",
            "1e400",
            "340282356779733661637539395458142568448",
        ],
        &[],
    );
    refuses("double", &["1.8e308", "-1.8e308", "1e400"], &[]);
    refuses("long_double", &["1.2e4932", "-1.2e4932", "1e5000"], &[]);
}

#[test]
fn the_largest_finite_numbers_are_accepted() {
    let db = Server::start();
    for (kind, value) in [
        ("float", "3.4028235e38"),
        // Rounds down to the largest float.
        ("float", "340282356779733661637539395458142568447"),
        ("double", "1.7976931348623157e308"),
        ("long_double", "1.18973149535723176502e4932"),
        ("long_double", "3.6451995318824746025e-4951"),
    ] {
        db.say(&format!("MMAP db {kind} {kind} WRITABLE"));
        assert_eq!(
            db.say(&format!("VPUSH db {value}")),
            "(integer) 1",
            "{kind} {value}"
        );
        assert_ne!(db.say("VGET db 0"), "inf");
        db.say("DEL db");
    }
}

#[test]
fn a_number_too_small_for_its_type_becomes_zero_or_denormal() {
    let db = Server::start();
    for (kind, value, answered) in [
        ("float", "1e-46", "0"),
        ("float", "-1e-60", "-0"),
        ("double", "1e-400", "0"),
        ("double", "3e-324", "5e-324"),
    ] {
        db.say(&format!("MMAP db {kind} {kind} WRITABLE"));
        db.say("VCLEAR db");
        db.say(&format!("VPUSH db {value}"));
        assert_eq!(db.say("VGET db 0"), answered, "{kind} {value}");
        db.say("DEL db");
    }
}

#[test]
fn a_text_halfway_between_two_doubles_rounds_to_even() {
    let db = Server::with("MMAP db f");
    for text in [
        "9007199254740993",
        "9007199254740993.00000000000000000000000000000000000001",
        "9007199254740995",
        "2.4703282292062327208299439613e-324",
        "2.47032822920623272e-324",
        "1.7976931348623158079372897140530341507e308",
        "0.1000000000000000055511151231257827021181583404541015625",
        "0.10000000000000001248900020277966687221",
        "6.9294956446009195e15",
    ] {
        db.say("VCLEAR db");
        db.say(&format!("VPUSH db {text}"));
        let bits = u64::from_le_bytes(db.read("f").try_into().unwrap());
        assert_eq!(bits, text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
}

/// The C library's `strtold` rounds correctly; it is the judge here.
struct Judge(tempfile::TempDir);

impl Judge {
    fn new() -> Judge {
        let dir = tempfile::tempdir().unwrap();
        let source = r#"
            #include <stdio.h>
            #include <stdlib.h>
            int main(void) {
                static char line[1 << 16];
                while (fgets(line, sizeof line, stdin)) {
                    union { long double value; unsigned char bytes[16]; } u = {0};
                    u.value = strtold(line, NULL);
                    for (int i = 0; i < 10; i++) printf("%02x", u.bytes[i]);
                    puts("");
                }
            }"#;
        std::fs::write(dir.path().join("judge.c"), source).unwrap();
        let status = Command::new("cc")
            .current_dir(&dir)
            .args(["-o", "judge", "judge.c"])
            .status()
            .unwrap();
        assert!(status.success());
        Judge(dir)
    }

    /// The ten bytes of each text as a long double, in hexadecimal.
    fn bytes_of(&self, texts: &[String]) -> Vec<String> {
        let input = texts
            .iter()
            .fold(String::new(), |all, text| all + text + "\n");
        piped(&mut Command::new(self.0.path().join("judge")), &input)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn any_long_double_text_rounds_correctly_and_reads_back() {
    let judge = Judge::new();
    let db = Server::start();
    assert_eq!(db.say("MMAP db f long_double WRITABLE"), "(integer) 0");
    let number = (any::<bool>(), "[0-9]{1,30}", "[0-9]{0,30}", -4990i32..4900).prop_map(
        |(minus, whole, part, exponent)| {
            format!("{}{whole}.{part}e{exponent}", if minus { "-" } else { "" })
        },
    );
    let near_double = any::<u64>()
        .prop_map(f64::from_bits)
        .prop_filter("finite", |v| v.is_finite())
        .prop_map(|v| format!("{v:e}"));
    let plain = "-?[0-9]{1,25}(\\.[0-9]{1,25})?";
    runner()
        .run(
            &vec(prop_oneof![number, near_double, plain], 1..40),
            |texts| {
                db.ask("VCLEAR db");
                prop_assert_eq!(push(&db, &texts), Reply::Int(texts.len() as i64));
                let file = db.read("f");
                prop_assert_eq!(file.len(), texts.len() * 16);
                let judged = judge.bytes_of(&texts);
                let replies: Vec<String> = db
                    .ask("VALL db")
                    .items()
                    .into_iter()
                    .map(Reply::text)
                    .collect();
                let judged_again = judge.bytes_of(&replies);
                for (i, item) in file.chunks(16).enumerate() {
                    prop_assert_eq!(&hex(&item[..10]), &judged[i], "{}", &texts[i]);
                    prop_assert_eq!(
                        &judged_again[i],
                        &judged[i],
                        "{} is answered as {}",
                        &texts[i],
                        &replies[i]
                    );
                    prop_assert!(digits(&replies[i]).1.len() <= 21, "{}", &replies[i]);
                }
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn any_ten_bytes_of_a_long_double_are_read_without_harm() {
    let judge = Judge::new();
    let db = Server::start();
    let case = Cell::new(0);
    runner()
        .run(&vec((any::<u64>(), any::<u16>()), 1..40), |items| {
            let bytes: Vec<u8> = items
                .iter()
                .flat_map(|(mantissa, exponent)| {
                    // The explicit leading bit, without which these would be no numbers.
                    let leading = if exponent & 0x7fff == 0 { 0 } else { 1 << 63 };
                    let mantissa = if leading == 0 {
                        mantissa & !(1 << 63)
                    } else {
                        mantissa | leading
                    };
                    let mut item = [0; 16];
                    item[..8].copy_from_slice(&mantissa.to_le_bytes());
                    item[8..10].copy_from_slice(&exponent.to_le_bytes());
                    item
                })
                .collect();
            case.set(case.get() + 1);
            let name = format!("f{}", case.get());
            db.write(&name, &bytes);
            prop_assert_eq!(
                db.ask(&format!("MMAP db {name} long_double")),
                Reply::Int(items.len() as i64)
            );
            let texts: Vec<String> = db
                .ask("VALL db")
                .items()
                .into_iter()
                .map(Reply::text)
                .collect();
            for ((text, judged), item) in texts
                .iter()
                .zip(judge.bytes_of(&texts))
                .zip(bytes.chunks(16))
            {
                prop_assert!(
                    text == "nan" || judged == hex(&item[..10]),
                    "{} is answered as {}",
                    hex(item),
                    text
                );
            }
            db.ask("DEL db");
            std::fs::remove_file(db.path(&name)).unwrap();
            Ok(())
        })
        .unwrap();

    // Bit patterns that the processor itself refuses to use.
    db.write(
        "invalid",
        [
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0],
            [0xff; 16],
        ]
        .concat(),
    );
    assert_eq!(db.say("MMAP invalid invalid long_double"), "(integer) 2");
    assert_eq!(db.ask("VALL invalid").items().len(), 2);
}

#[test]
fn a_long_double_is_a_bulk_string_in_both_protocols() {
    let db = Server::with("MMAP db f long_double WRITABLE");
    let values = [
        "0.1",
        "1",
        "-0",
        "inf",
        "-inf",
        "nan",
        "0.3333333333333333333",
        "18446744073709551615",
    ];
    assert_eq!(push(&db, &values), Reply::Int(values.len() as i64));
    for mut client in [db.client(), db.client().resp3()] {
        let replies: Vec<String> = client
            .ask("VALL db")
            .items()
            .into_iter()
            .map(Reply::text)
            .collect();
        assert_eq!(replies, values);
    }
    assert_eq!(db.say("VITEMSIZE db"), "(integer) 16");
    assert_eq!(db.file_len("f"), 16 * values.len() as u64);
}

#[test]
fn any_string_that_fits_reads_back_without_its_trailing_nuls() {
    for size in [1, 7, 300] {
        reads_back(
            &format!("string {size}"),
            vec(any::<u8>(), 0..=size),
            |v| v.clone(),
            |v| {
                let mut padded = v.clone();
                padded.resize(size, 0);
                padded
            },
            |v, reply| {
                let end = v.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                *reply == Reply::Bulk(v[..end].to_vec())
            },
        );
    }
}

#[test]
fn a_string_longer_than_its_size_is_refused() {
    let db = Server::with("MMAP db f string 4 WRITABLE");
    assert_eq!(db.say("VPUSH db abcd"), "(integer) 1");
    for command in ["VPUSH db ok abcde", "VSET db 0 abcde"] {
        let error = db.error(command);
        assert!(
            error.starts_with("ERR ") && error.contains("abcde") && error.contains("argument 3"),
            "{error}"
        );
        assert!(error.contains('4'), "the size is not named: {error}");
    }
    assert_eq!(db.say("VALL db"), "[abcd]");
    assert_eq!(db.say("VITEMSIZE db"), "(integer) 4");
    assert_eq!(db.say("VTYPE db"), "string");
    assert_eq!(db.file_len("f"), 4);
}

#[test]
fn numpy_names_mean_the_same_types() {
    let db = Server::with("MMAP a fa float32 WRITABLE");
    db.say("MMAP b fb float64 WRITABLE");
    assert_eq!(db.say("VTYPE a"), "float");
    assert_eq!(db.say("VITEMSIZE a"), "(integer) 4");
    assert_eq!(db.say("VTYPE b"), "double");
    assert_eq!(db.say("VITEMSIZE b"), "(integer) 8");
    assert_eq!(db.say("MMAP b fb double"), "(integer) 0");
}

#[test]
fn every_type_has_its_width() {
    let db = Server::start();
    for (kind, size) in NUMBERS {
        assert_eq!(
            db.say(&format!("MMAP {kind} {kind} {kind} WRITABLE")),
            "(integer) 0"
        );
        assert_eq!(
            db.say(&format!("VITEMSIZE {kind}")),
            format!("(integer) {size}")
        );
        assert_eq!(db.say(&format!("VTYPE {kind}")), kind);
        assert_eq!(db.say(&format!("VPUSH {kind} 1 2 3")), "(integer) 3");
        assert_eq!(db.file_len(kind), 3 * size as u64);
    }
}
