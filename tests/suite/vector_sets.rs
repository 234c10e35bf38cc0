//! The name VADD, which Redis 8 has already, for its vector sets.

use support::{Reply, Server};

fn array() -> Server {
    Server::with("MMAP db f")
}

/// Where the server has no vector sets there is nothing to share.
macro_rules! with_vector_sets {
    ($db:ident) => {
        if !$db.has_vector_sets() {
            assert!(
                $db.is_valkey() || $db.major_version() < 8,
                "this server should have vector sets"
            );
            return;
        }
    };
}

#[test]
fn the_module_loads_and_vadd_appends_on_every_server() {
    let db = array();
    for (command, count) in [("VADD db 1", 1), ("vadd db 2 3", 2), ("VaDd db 4 5 6", 3)] {
        assert_eq!(db.int(command), count);
    }
    assert_eq!(db.say("VALL db"), "[1, 2, 3, 4, 5, 6]");
    assert_eq!(db.file_len("f"), 48);
}

#[test]
fn vector_sets_work_as_without_the_module() {
    let db = array();
    with_vector_sets!(db);
    assert_eq!(db.say("VADD points VALUES 3 1 0 0 x"), "(integer) 1");
    assert_eq!(db.say("vadd points values 3 0 1 0 y"), "(integer) 1");
    assert_eq!(
        db.say("VADD points Values 3 0 1 1 z SETATTR {}"),
        "(integer) 1"
    );
    let blob: Vec<u8> = [0.0f32, 0.0, 1.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    assert_eq!(
        db.run(&[&b"VADD"[..], b"points", b"FP32", &blob, b"w"]),
        Reply::Int(1)
    );
    assert_eq!(
        db.say("VADD small REDUCE 2 VALUES 3 1 2 3 a"),
        "(integer) 1"
    );
    assert_eq!(db.say("VCARD points"), "(integer) 4");
    assert_eq!(db.say("VDIM points"), "(integer) 3");
    assert_eq!(db.say("VDIM small"), "(integer) 2");
    assert_eq!(db.say("VSIM points VALUES 3 1 0 0 COUNT 1"), "[x]");
    assert_eq!(db.say("VREM points x"), "(integer) 1");
    assert_eq!(db.say("TYPE points"), "vectorset");
}

#[test]
fn neither_kind_of_key_is_harmed_by_the_other_meaning() {
    let db = array();
    with_vector_sets!(db);
    db.say("VADD db 1");
    db.say("VADD points VALUES 2 1 0 x");
    assert!(db.error("VADD points 1").starts_with("WRONGTYPE "));
    assert!(db.error("VADD db VALUES 2 1 0 x").starts_with("WRONGTYPE "));
    for command in [
        "VGET points 0",
        "VALL points",
        "VPOP points",
        "VCLEAR points",
        "MMAP points f",
    ] {
        assert!(db.error(command).starts_with("WRONGTYPE "), "{command}");
    }
    assert!(db.error("VCARD db").starts_with("WRONGTYPE "));
    assert_eq!(db.say("VCARD points"), "(integer) 1");
    assert_eq!(db.say("VALL db"), "[1]");
}

#[test]
fn vadd_without_values_is_an_arity_error_on_every_server() {
    let db = array();
    for command in ["VADD", "VADD db"] {
        assert!(
            db.error(command)
                .starts_with("ERR wrong number of arguments"),
            "{command}"
        );
    }
}

#[test]
fn a_mistake_in_vadd_is_explained_in_terms_of_arrays() {
    let db = array();
    let error = db.error("VADD db 1 x");
    assert!(
        error.starts_with("ERR ") && error.contains("argument 3") && error.contains("'x'"),
        "{error}"
    );
    assert!(db.error("VADD missing 1").contains("MMAP"));
}

#[test]
fn both_meanings_work_in_a_transaction() {
    let db = array();
    let mut client = db.client();
    let vectors = db.has_vector_sets();
    client.say("MULTI");
    assert_eq!(client.say("VADD db 1 2"), "QUEUED");
    if vectors {
        assert_eq!(client.say("VADD points VALUES 2 1 0 x"), "QUEUED");
    }
    assert_eq!(client.say("VADD db 3"), "QUEUED");
    let expected = if vectors {
        "[(integer) 2, (integer) 1, (integer) 1]"
    } else {
        "[(integer) 2, (integer) 1]"
    };
    assert_eq!(client.say("EXEC"), expected);
    assert_eq!(db.say("VALL db"), "[1, 2, 3]");
    if vectors {
        assert_eq!(db.say("VCARD points"), "(integer) 1");
    }
}

#[test]
fn both_meanings_work_in_a_script() {
    let db = array();
    let script = "return redis.call('VADD', KEYS[1], ARGV[1], ARGV[2])";
    assert_eq!(
        db.run(&["EVAL", script, "1", "db", "1", "2.5"]),
        Reply::Int(2)
    );
    assert_eq!(db.say("VALL db"), "[1, 2.5]");
    let error = db.run(&["EVAL", script, "1", "db", "1", "x"]).error();
    assert!(error.contains("argument 3"), "{error}");
    assert_eq!(db.say("VALL db"), "[1, 2.5]");
    let library = "#!lua name=lib\nredis.register_function('add', function(keys, args) return redis.call('vadd', keys[1], \
                   args[1]) end)";
    assert_eq!(db.run(&["FUNCTION", "LOAD", library]).text(), "lib");
    assert_eq!(db.run(&["FCALL", "add", "1", "db", "3"]), Reply::Int(1));
    assert_eq!(db.say("VALL db"), "[1, 2.5, 3]");
    with_vector_sets!(db);
    let script = "return redis.call('VADD', KEYS[1], 'VALUES', '2', '1', '0', ARGV[1])";
    // A vector set's answer is a boolean in RESP3, and in a script therefore too.
    assert!(!db.run(&["EVAL", script, "1", "points", "x"]).is_error());
    assert_eq!(db.say("VCARD points"), "(integer) 1");
}

#[test]
fn a_user_with_both_permissions_can_use_vadd_on_every_server() {
    let db = array();
    db.say("ACL SETUSER writer on >secret ~db* +vadd +vpush +vall");
    let mut client = db.client();
    assert_eq!(client.say("AUTH writer secret"), "OK");
    assert_eq!(client.say("VADD db 1 2"), "(integer) 2");
    assert_eq!(client.say("VALL db"), "[1, 2]");
    assert!(client.error("VADD other 1").starts_with("NOPERM "));
    assert!(client.error("VPUSH other 1").starts_with("NOPERM "));
    assert!(client.error("VCLEAR db").starts_with("NOPERM "));
    client.say("MULTI");
    assert!(client.error("VADD other 1").starts_with("NOPERM "));
}

#[test]
fn a_user_who_may_write_nothing_cannot_use_vadd() {
    let db = array();
    db.say("ACL SETUSER reader on >secret ~* +@read -vadd -vpush");
    let mut client = db.client();
    client.say("AUTH reader secret");
    assert!(client.error("VADD db 1").starts_with("NOPERM "));
    assert!(client.error("VPUSH db 1").starts_with("NOPERM "));
    assert_eq!(db.say("VSIZE db"), "(integer) 0");
}

#[test]
fn a_user_who_may_only_read_keys_reads_arrays_and_cannot_write_them() {
    let db = array();
    db.say("VPUSH db 1");
    db.say("ACL SETUSER looker on >secret %R~* +@all");
    let mut client = db.client();
    client.say("AUTH looker secret");
    for command in [
        "VADD db 2",
        "VPUSH db 2",
        "VSET db 0 2",
        "VPOP db",
        "VCLEAR db",
    ] {
        assert!(client.error(command).starts_with("NOPERM "), "{command}");
    }
    assert_eq!(client.say("VALL db"), "[1]");
}

#[test]
fn a_user_of_vector_sets_alone_is_not_given_arrays() {
    let db = array();
    with_vector_sets!(db);
    db.say("ACL SETUSER vectors on >secret ~* +vadd +vcard -vpush");
    let mut client = db.client();
    client.say("AUTH vectors secret");
    assert_eq!(client.say("VADD points VALUES 2 1 0 x"), "(integer) 1");
    assert!(client.error("VADD db 1").starts_with("NOPERM "));
    db.say("ACL SETUSER arrays on >secret ~* +vpush -vadd");
    client.say("AUTH arrays secret");
    assert_eq!(client.say("VADD db 1"), "(integer) 1");
    assert!(
        client
            .error("VADD points VALUES 2 0 1 y")
            .starts_with("NOPERM ")
    );
}

#[test]
fn text_that_looks_like_a_vector_set_is_appended_with_vpush() {
    let db = array();
    db.say("MMAP words w string 8 WRITABLE");
    assert_eq!(db.say("VPUSH words VALUES REDUCE FP32"), "(integer) 3");
    assert_eq!(db.say("VADD words other VALUES"), "(integer) 2");
    assert_eq!(
        db.say("VALL words"),
        "[VALUES, REDUCE, FP32, other, VALUES]"
    );
}
