//! Each command's replies, on arrays with and without values, and on keys that are missing.

use support::{Reply, Server, as_doubles, doubles};

const COMMANDS: [(&str, &str); 24] = [
    ("MMAP", "write"),
    ("VADD", "write"),
    ("VPUSH", "write"),
    ("VGET", "readonly"),
    ("VMGET", "readonly"),
    ("VALL", "readonly"),
    ("VSET", "write"),
    ("VPOP", "write"),
    ("VCLEAR", "write"),
    ("VSIZE", "readonly"),
    ("VCOUNT", "readonly"),
    ("VITEMSIZE", "readonly"),
    ("VTYPE", "readonly"),
    ("VFILEPATH", "readonly"),
    ("VADDRAW", "write"),
    ("VGETRAW", "readonly"),
    ("VSETRAW", "write"),
    ("VSLICE", "readonly"),
    ("VLAST", "readonly"),
    ("VFILL", "write"),
    ("VTRIM", "write"),
    ("VINCRBY", "write"),
    ("VSYNC", ""),
    ("INFO", ""),
];

fn array(values: &str) -> Server {
    let db = Server::with("MMAP db f");
    if !values.is_empty() {
        db.say(&format!("VPUSH db {values}"));
    }
    db
}

#[test]
fn every_command_exists_and_says_whether_it_writes() {
    let db = Server::start();
    for (name, flag) in COMMANDS {
        let info = db.ask(&format!("COMMAND INFO {name}")).items().remove(0);
        let Reply::Array(info) = info else {
            panic!("there is no command {name}")
        };
        let flags = info[2].to_string();
        // On Redis 8 this name is a built-in command's.
        if name != "VADD" || !db.has_vector_sets() {
            assert!(flags.contains(flag), "{name}: {flags}");
        }
    }
}

#[test]
fn the_key_is_the_first_argument_of_every_command() {
    let db = Server::start();
    for command in [
        "MMAP k f",
        "VPUSH k 1",
        "VGET k 1",
        "VMGET k 1",
        "VALL k",
        "VSET k 0 1",
        "VPOP k",
        "VCLEAR k",
        "VSIZE k",
        "VCOUNT k",
        "VITEMSIZE k",
        "VTYPE k",
        "VFILEPATH k",
        "VSYNC k",
        "VADDRAW k x",
        "VGETRAW k 0 1",
        "VSETRAW k 0 x",
        "VSLICE k 0 1",
        "VLAST k 1",
        "VFILL k 0 1 2",
        "VTRIM k 0 1",
        "VINCRBY k 0 1",
    ] {
        assert_eq!(
            db.say(&format!("COMMAND GETKEYS {command}")),
            "[k]",
            "{command}"
        );
    }
}

#[test]
fn names_are_case_insensitive() {
    let db = Server::start();
    assert_eq!(
        db.say("mmap db f DOUBLE writable"),
        db.say("MmAp db f double WRITABLE")
    );
    assert_eq!(db.say("vPuSh db 1"), "(integer) 1");
    assert_eq!(db.say("vCount db"), "(integer) 1");
}

#[test]
fn vadd_and_vpush_append_and_answer_the_number_added() {
    let db = array("");
    assert_eq!(db.say("VADD db 1"), "(integer) 1");
    assert_eq!(db.say("VADD db 2 3"), "(integer) 2");
    assert_eq!(db.say("VPUSH db 4 5 6"), "(integer) 3");
    assert_eq!(as_doubles(&db.read("f")), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn one_bad_value_among_many_means_that_none_is_added() {
    let db = array("1 2");
    for command in ["VADD", "VPUSH"] {
        let error = db.error(&format!("{command} db 3 4 five 6"));
        assert!(
            error.contains("five") && error.contains("argument 4"),
            "{error}"
        );
    }
    assert_eq!(db.say("VALL db"), "[1, 2]");
    assert_eq!(db.file_len("f"), 16);
}

#[test]
fn vget_answers_nil_outside_the_array() {
    let db = array("1 2 3");
    assert_eq!(db.say("VGET db 0"), "1");
    assert_eq!(db.say("VGET db 2"), "3");
    for index in [
        "3",
        "-4",
        "-5",
        "4611686018427387904",
        "2305843009213693952",
        "1152921504606846976",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551616",
        "-99999999999999999999999999",
        "99999999999999999999999999",
    ] {
        assert_eq!(db.say(&format!("VGET db {index}")), "(nil)", "{index}");
    }
}

#[test]
fn vmget_answers_in_the_order_asked_with_nil_outside() {
    let db = array("1 2 3");
    assert_eq!(db.say("VMGET db 2 0 2"), "[3, 1, 3]");
    assert_eq!(
        db.say("VMGET db 3 -4 1 9223372036854775808"),
        "[(nil), (nil), 2, (nil)]"
    );
}

#[test]
fn vmget_reads_indices_of_any_length_from_items_of_any_size() {
    let db = Server::start();
    for (key, kind, size) in [("bytes", "uint16", 2), ("words", "uint64", 8)] {
        db.say(&format!("MMAP {key} {key}.raw {kind} WRITABLE"));
        for first in (0..12_000_u64).step_by(1000) {
            let values: Vec<_> = (first..first + 1000).map(|i| i.to_string()).collect();
            db.say(&format!("VADD {key} {}", values.join(" ")));
        }
        assert_eq!(db.say(&format!("VSIZE {key}")), "(integer) 12000");
        assert_eq!(
            db.say(&format!("VITEMSIZE {key}")),
            format!("(integer) {size}")
        );
        let indices = "7 42 999 1234 11999 12000 00042 0000042 00000042 000000042 +9 -0 123456789";
        assert_eq!(
            db.say(&format!("VMGET {key} {indices}")),
            "[(integer) 7, (integer) 42, (integer) 999, (integer) 1234, (integer) 11999, (nil), (integer) 42, \
             (integer) 42, (integer) 42, (integer) 42, (integer) 9, (integer) 0, (nil)]"
        );
    }
}

#[test]
fn vmget_answers_doubles_as_vget_does() {
    let texts = ["0.1", "-0", "1e+22", "inf", "-inf", "nan", "5e-324", "3"];
    let db = array(&texts.join(" "));
    let indices: Vec<_> = (0..=texts.len()).map(|i| i.to_string()).collect();
    for mut client in [db.client(), db.client().resp3()] {
        let each: Vec<_> = indices
            .iter()
            .map(|index| client.say(&format!("VGET db {index}")))
            .collect();
        assert_eq!(
            client.say(&format!("VMGET db {}", indices.join(" "))),
            format!("[{}]", each.join(", "))
        );
    }
    assert_eq!(
        db.say("VALL db"),
        format!("[{}]", texts.join(", ")),
        "the shortest texts"
    );
}

#[test]
fn an_index_that_is_not_an_integer_is_an_error() {
    let db = array("1 2 3");
    let before = db.read("f");
    for index in ["abc", "1.5", "1e0", "0x1", "1a", "--1", "-"] {
        let error = db.error(&format!("VGET db {index}"));
        assert!(
            error.starts_with("ERR ") && error.contains(index) && error.contains("argument 2"),
            "{error}"
        );
        let error = db.error(&format!("VMGET db 0 {index}"));
        assert!(
            error.starts_with("ERR ") && error.contains(index) && error.contains("argument 3"),
            "{error}"
        );
        let error = db.error(&format!("VSET db 0 9 {index} 9"));
        assert!(
            error.starts_with("ERR ") && error.contains(index) && error.contains("argument 4"),
            "{error}"
        );
    }
    for index in ["", " 1", "1 ", "1\n", "1\0"] {
        assert!(db.run(&["VGET", "db", index]).is_error(), "{index:?}");
        assert!(db.run(&["VSET", "db", index, "9"]).is_error(), "{index:?}");
    }
    assert_eq!(db.read("f"), before);
}

#[test]
fn vall_answers_every_value() {
    let db = array("");
    assert_eq!(db.say("VALL db"), "[]");
    db.say("VPUSH db 1 2.5 -3");
    assert_eq!(db.say("VALL db"), "[1, 2.5, -3]");
}

#[test]
fn vset_outside_the_array_is_an_error_and_sets_nothing() {
    let db = array("1 2 3");
    let before = db.read("f");
    for index in [
        "3",
        "-4",
        "2305843009213693952",
        "1152921504606846976",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551616",
    ] {
        let error = db.error(&format!("VSET db {index} 9"));
        assert!(
            error.starts_with("ERR ") && error.contains(index),
            "{error}"
        );
        let error = db.error(&format!("VSET db 0 9 {index} 9"));
        assert!(
            error.starts_with("ERR ") && error.contains(index),
            "{error}"
        );
    }
    assert_eq!(db.read("f"), before);
    assert_eq!(db.say("VSET db 0 7 2 8"), "(integer) 2");
    assert_eq!(db.say("VALL db"), "[7, 2, 8]");
}

#[test]
fn vset_of_one_index_twice_keeps_the_later_value() {
    let db = array("1 2");
    assert_eq!(db.say("VSET db 0 5 0 6"), "(integer) 2");
    assert_eq!(db.say("VALL db"), "[6, 2]");
}

#[test]
fn vpop_takes_from_the_end() {
    let db = array("1 2 3 4 5");
    assert_eq!(db.say("VPOP db"), "5");
    assert_eq!(db.say("VPOP db 1"), "[4]");
    assert_eq!(db.say("VPOP db 0"), "[]");
    assert_eq!(db.say("VPOP db 2"), "[3, 2]");
    assert_eq!(db.file_len("f"), 8);
    assert_eq!(db.say("VPOP db 99"), "[1]");
    assert_eq!(db.file_len("f"), 0);
    assert_eq!(db.say("VPOP db"), "(nil)");
    assert_eq!(db.say("VPOP db 3"), "[]");
}

#[test]
fn vpop_takes_at_most_what_there_is_whatever_the_count() {
    let db = array("1 2");
    assert_eq!(db.say("VPOP db 9223372036854775807"), "[2, 1]");
    assert_eq!(db.say("VPUSH db 3"), "(integer) 1");
    for count in ["-1", "x", "1.5", "-9223372036854775808"] {
        let error = db.error(&format!("VPOP db {count}"));
        assert!(
            error.starts_with("ERR ") && error.contains(count),
            "{error}"
        );
    }
    assert_eq!(db.say("VALL db"), "[3]");
}

#[test]
fn vclear_answers_how_many_it_cleared() {
    let db = array("1 2 3");
    assert_eq!(db.say("VCLEAR db"), "(integer) 3");
    assert_eq!(db.say("VCLEAR db"), "(integer) 0");
    assert_eq!(db.say("VALL db"), "[]");
    assert_eq!(db.say("VGET db 0"), "(nil)");
}

#[test]
fn an_array_tells_about_itself() {
    let db = Server::start();
    std::fs::create_dir(db.path("sub")).unwrap();
    db.say("MMAP db sub/some.file int16 WRITABLE");
    db.say("VPUSH db 1 2 3");
    assert_eq!(db.say("VSIZE db"), "(integer) 3");
    assert_eq!(db.say("VCOUNT db"), "(integer) 3");
    assert_eq!(db.say("VITEMSIZE db"), "(integer) 2");
    assert_eq!(db.say("VTYPE db"), "int16");
    assert_eq!(db.say("VFILEPATH db"), "sub/some.file");
    assert_eq!(db.file_len("sub/some.file"), 6);
}

#[test]
fn vsync_answers_ok_when_the_file_has_its_exact_length() {
    let db = array("1");
    assert_eq!(db.say("VSYNC db"), "OK");
    let mut client = db.client();
    client.push_one_by_one("db", 0..50_000);
    assert_eq!(client.say("VSYNC db"), "OK");
    assert_eq!(db.file_len("f"), 50_001 * 8);
    assert!(db.stat("syncs") >= 1);
}

#[test]
fn vsync_works_where_blocking_is_not_allowed() {
    let db = array("1");
    let mut client = db.client();
    client.say("MULTI");
    client.say("VPUSH db 2");
    client.say("VSYNC db");
    assert_eq!(client.say("EXEC"), "[(integer) 1, OK]");
    assert_eq!(
        client
            .run(&["EVAL", "return redis.call('VSYNC', KEYS[1])", "1", "db"])
            .to_string(),
        "OK"
    );
}

#[test]
fn reading_a_missing_key_answers_as_an_empty_array_would() {
    let db = Server::start();
    assert_eq!(db.say("VGET no 0"), "(nil)");
    assert_eq!(db.say("VMGET no 0 1"), "[(nil), (nil)]");
    assert_eq!(db.say("VALL no"), "[]");
    assert_eq!(db.say("VSIZE no"), "(integer) 0");
    assert_eq!(db.say("VCOUNT no"), "(integer) 0");
    assert_eq!(db.say("VTYPE no"), "(nil)");
    assert_eq!(db.say("VFILEPATH no"), "(nil)");
    assert_eq!(db.say("VITEMSIZE no"), "(integer) 0");
    assert_eq!(db.say("EXISTS no"), "(integer) 0");
}

#[test]
fn writing_to_a_missing_key_says_to_map_a_file_first() {
    let db = Server::start();
    for command in ["VADD no 1", "VPUSH no 1", "VSET no 0 1"] {
        let error = db.error(command);
        assert!(
            error.starts_with("ERR ") && error.contains("MMAP"),
            "{command}: {error}"
        );
    }
    assert_eq!(
        db.error("VSYNC no"),
        "ERR no such key 'no': bind a file to it first, with MMAP no path"
    );
    assert_eq!(db.say("EXISTS no"), "(integer) 0");
}

#[test]
fn nothing_is_removed_from_a_missing_key() {
    let db = Server::start();
    for (command, as_redis) in [("VPOP no", "LPOP no"), ("VPOP no 2", "LPOP no 2")] {
        for mut client in [db.client(), db.client().resp3()] {
            let expected = client.ask(as_redis);
            assert_eq!(client.ask(command), expected, "{command}");
        }
    }
    assert_eq!(db.say("VPOP no"), "(nil)");
    assert_eq!(db.int("VTRIM no 0 -1"), 0);
    assert_eq!(db.int("VCLEAR no"), 0);
    assert!(db.error("VPOP no -1").contains("count '-1'"));
    assert!(db.error("VTRIM no x -1").contains("start 'x'"));
    assert_eq!(db.say("EXISTS no"), "(integer) 0");
}

#[test]
fn a_read_only_array_refuses_every_write() {
    let db = Server::setup().write("f", doubles([1.0, 2.0])).start();
    assert_eq!(db.say("MMAP db f double"), "(integer) 2");
    for command in [
        "VADD db 3",
        "VPUSH db 3",
        "VSET db 0 3",
        "VPOP db",
        "VPOP db 1",
        "VCLEAR db",
    ] {
        let error = db.error(command);
        assert!(
            error.starts_with("ERR ") && error.to_lowercase().contains("read-only"),
            "{command}: {error}"
        );
    }
    assert_eq!(db.say("VALL db"), "[1, 2]");
    assert_eq!(db.say("VSIZE db"), "(integer) 2");
    assert_eq!(as_doubles(&db.read("f")), [1.0, 2.0]);
}

#[test]
fn replies_keep_their_form_in_resp3() {
    let db = Server::with("MMAP db f");
    db.say("MMAP n g int32 WRITABLE");
    let mut client = db.client().resp3();
    assert_eq!(client.say("VPUSH db 1 2.5"), "(integer) 2");
    assert_eq!(client.say("VGET db 0"), "(double) 1");
    assert_eq!(client.say("VALL db"), "[(double) 1, (double) 2.5]");
    assert_eq!(client.say("VMGET db 1 7"), "[(double) 2.5, (nil)]");
    assert_eq!(client.say("VPOP db"), "(double) 2.5");
    assert_eq!(client.say("VPOP db 1"), "[(double) 1]");
    assert_eq!(client.say("VPOP db"), "(nil)");
    assert_eq!(client.say("VPUSH n -7"), "(integer) 1");
    assert_eq!(client.say("VGET n 0"), "(integer) -7");
    assert_eq!(client.say("VTYPE n"), "int32");
}

#[test]
fn commands_run_in_transactions_and_scripts() {
    let db = array("1");
    let mut client = db.client();
    client.say("MULTI");
    for command in [
        "MMAP other g",
        "VPUSH db 2 3",
        "VGET db 2",
        "VPOP db",
        "VPUSH other 9",
        "VALL other",
    ] {
        assert_eq!(client.say(command), "QUEUED");
    }
    assert_eq!(
        client.say("EXEC"),
        "[(integer) 0, (integer) 2, 3, 3, (integer) 1, [9]]"
    );
    let script =
        "redis.call('VPUSH', KEYS[1], ARGV[1], ARGV[2]); return redis.call('VALL', KEYS[1])";
    assert_eq!(
        client
            .run(&["EVAL", script, "1", "db", "4", "5.5"])
            .to_string(),
        "[1, 2, 4, 5.5]"
    );
    assert_eq!(db.file_len("f"), 32);
}

#[test]
fn an_array_costs_little_memory_whatever_its_length() {
    let db = Server::start();
    let mut client = db.client();
    let used = |client: &mut support::Client| -> i64 {
        let info = client.ask("INFO memory").text();
        info.lines()
            .find_map(|line| line.strip_prefix("used_memory:")?.parse().ok())
            .unwrap()
    };
    client.say("MMAP warm-up w");
    let before = used(&mut client);
    for i in 0..200 {
        client.say(&format!("MMAP k{i} f{i}"));
    }
    let each = (used(&mut client) - before) / 200;
    assert!(each < 4096, "an empty array takes {each} bytes");

    client.push_one_by_one("k0", 0..200_000);
    assert_eq!(client.say("VSYNC k0"), "OK");
    let grown = client.int("MEMORY USAGE k0");
    assert!(
        grown < 4096,
        "an array of 200 000 values takes {grown} bytes"
    );
}

#[test]
fn one_command_takes_a_million_arguments() {
    let db = array("");
    let numbers: Vec<String> = (0..1_000_000).map(|i| i.to_string()).collect();
    let mut command = vec!["VPUSH", "db"];
    command.extend(numbers.iter().map(String::as_str));
    assert_eq!(db.run(&command), Reply::Int(1_000_000));
    assert_eq!(
        as_doubles(&db.read("f")[..8_000_000]).last(),
        Some(&999_999.0)
    );
    db.settles_at("f", 8_000_000);

    command[0] = "VMGET";
    let values = db.run(&command).items();
    assert_eq!(values.len(), 1_000_000);
    assert_eq!(values[123_456], Reply::Bulk(b"123456".into()));

    command[0] = "VPUSH";
    *command.last_mut().unwrap() = "bad";
    let error = db.run(&command).error();
    assert!(
        error.contains("bad") && error.contains("argument 1000001"),
        "{error}"
    );
    assert_eq!(db.say("VSIZE db"), "(integer) 1000000");

    let mut command = vec!["VSET", "db"];
    for number in &numbers[..500_000] {
        command.extend([number.as_str(), "7"]);
    }
    assert_eq!(db.run(&command), Reply::Int(500_000));
    assert_eq!(db.say("VMGET db 0 499999 500000"), "[7, 7, 500000]");
    db.settles_at("f", 8_000_000);
}

#[test]
fn a_negative_index_counts_from_the_end_in_every_command() {
    for setting in ["everysec", "always"] {
        let db = Server::setup().config("mmap.fsync", setting).start();
        db.say("MMAP db f int32 WRITABLE");
        db.say("VPUSH db 10 20 30 40");
        assert_eq!(db.say("VGET db -1"), "(integer) 40");
        assert_eq!(db.say("VGET db -4"), "(integer) 10");
        for none in [
            "-5",
            "4",
            "-9223372036854775808",
            "-9223372036854775809",
            "9223372036854775807",
        ] {
            assert_eq!(db.say(&format!("VGET db {none}")), "(nil)", "{none}");
            for command in [
                "VSET db INDEX 1",
                "VINCRBY db INDEX 1",
                "VSET db 0 1 INDEX 1",
            ] {
                let position = command.split(' ').position(|word| word == "INDEX").unwrap();
                assert_eq!(
                    db.error(&command.replace("INDEX", none)),
                    format!(
                        "ERR index '{none}' (argument {position}) is out of range: 'f' holds 4 values, and VADD appends more"
                    )
                );
            }
        }
        assert_eq!(
            db.say("VMGET db -1 0 -5 -4 4"),
            "[(integer) 40, (integer) 10, (nil), (integer) 10, (nil)]"
        );
        assert_eq!(db.int("VSET db -1 41 -4 11 1 21 -3 22"), 4);
        assert_eq!(
            db.say("VALL db"),
            "[(integer) 11, (integer) 22, (integer) 30, (integer) 41]"
        );
        // One value under two indices.
        assert_eq!(
            db.say("VINCRBY db -1 1 3 1"),
            "[(integer) 42, (integer) 43]"
        );
        assert_eq!(
            db.run(&[&b"VSETRAW"[..], b"db", b"-2", &[1, 0, 0, 0, 2, 0, 0, 0]])
                .int(),
            2
        );
        assert_eq!(db.say("VLAST db 2"), "[(integer) 1, (integer) 2]");
        assert!(db.run(&[&b"VSETRAW"[..], b"db", b"-1", &[0; 8]]).is_error());
        db.say("VCLEAR db");
        assert_eq!(db.say("VGET db -1"), "(nil)");
        assert_eq!(db.say("VMGET db -1"), "[(nil)]");
        assert_eq!(db.say("VGET nokey -1"), "(nil)");
    }
}
