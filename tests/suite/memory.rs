//! Small requests for much memory: what takes too much is an error that tells the limit, and never the end of the server.

use support::{Reply, Server};

const MOST: u64 = i64::MAX as u64;

/// What the server may compute for a reply, in seconds, however busy the machine is; minutes if something is wrong.
const BOUND: f64 = 20.0;

/// What the server has computed since its start, in seconds of all its threads.
fn cpu_seconds(db: &Server) -> f64 {
    ["used_cpu_user", "used_cpu_sys"]
        .map(|field| db.info("cpu", field).parse::<f64>().unwrap())
        .iter()
        .sum()
}

/// A server that cannot have more than 4 GiB.
fn server() -> Server {
    Server::setup()
        .launched_by(&["prlimit", "--as=4294967296"])
        .start()
}

/// Binds a file of zeros that takes no space.
fn bind_zeros(db: &Server, key: &str, bytes: u64, item: &str) {
    let file = std::fs::File::create(db.path(key)).unwrap();
    file.set_len(bytes).unwrap();
    let reply = db.ask(&format!("MMAP {key} {key} {item} WRITABLE"));
    assert!(!reply.is_error(), "{reply}");
}

#[track_caller]
fn refused(db: &Server, words: &[String], limit: &str) {
    let before = cpu_seconds(db);
    let error = db.run(words).error();
    let taken = cpu_seconds(db) - before;
    let what = words[..words.len().min(5)].join(" ");
    assert!(error.contains(limit), "{what}: {error}");
    assert!(taken < BOUND, "{what}: {taken} s");
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn many_values_of_a_long_type_in_one_command_are_refused() {
    const MANY: usize = 70_000;
    let mut db = server();
    bind_zeros(&db, "s", 10 * 65535, "string 65535");
    let with = |command: &str, each: &[&str]| {
        let each = each.iter().map(|&word| word.to_owned());
        [words(command), each.cycle().take(2 * MANY).collect()].concat()
    };
    refused(&db, &with("VPUSH s", &["a"]), "at most 8192 values");
    refused(&db, &with("VSET s", &["1", "a"]), "at most 8192 values");
    refused(&db, &with("VMGET s", &["1"]), "at most 8190 values");
    refused(&db, &with("VINCRBY s", &["1", "1"]), "are strings");
    assert_eq!(db.int("VSIZE s"), 10);
    let most = [words("VMGET s"), vec!["1".to_owned(); 8190]].concat();
    assert_eq!(db.run(&most).items(), vec![Reply::Bulk(Vec::new()); 8190]);
    assert!(db.is_running());
}

#[test]
fn replies_that_would_be_too_long_are_refused() {
    let mut db = server();
    bind_zeros(&db, "z", 1 << 30, "uint8");
    for (command, limit) in [
        ("VALL z", "at most 16777216 values"),
        ("VSLICE z 0 -1 STEP 2", "at most 16777216 values"),
        ("VGETRAW z 0 -1", "at most 536870912 values"),
        (&format!("VLAST z {MOST}"), "at most 16777216 values"),
        (&format!("VPOP z {MOST}"), "at most 16777216 values"),
        (
            &format!("VFIND z 0 -1 = 0 LIMIT {MOST}"),
            "more than 16777216 values were found",
        ),
        ("VFIND z 0 -1 = 0", "more than 16777216 values were found"),
        (
            "VFIND z 0 -1 = 0 LIMIT 16777210 10",
            "more than 16777216 values were found",
        ),
        (
            "VFIND z 0 -1 = 0 WITHVALUES",
            "more than 8388608 values were found",
        ),
        (
            "VFIND z 0 -1 = 0 LIMIT 16777217",
            "more than 16777216 values were found",
        ),
        ("DUMP z", "z"),
    ] {
        if command != "DUMP z" {
            refused(&db, &words(command), limit);
        } else {
            let _ = db.ask(command);
        }
        assert!(db.is_running(), "{command}");
    }
    assert_eq!(db.int("VSIZE z"), 1 << 30);
    assert_eq!(
        db.int(&format!("VFIND z 0 -1 = 0 LIMIT {MOST} COUNT")),
        1 << 30
    );
    assert_eq!(db.say(&format!("VFIND z 0 -1 != 0 LIMIT {MOST}")), "[]");
    let page = db.ask(&format!("VFIND z 0 -1 = 0 COUNT {MOST}")).items();
    assert_eq!(page[0], Reply::Int(16_777_216));
    assert_eq!(page[1].clone().items().len(), 16_777_216);
    assert_eq!(
        db.say("VFIND z 0 -1 = 0 LIMIT 16777210 3"),
        "[(integer) 16777210, (integer) 16777211, (integer) 16777212]"
    );
}

/// Each would take 64 KiB if it were padded as values are.
#[test]
fn many_texts_that_are_searched_for_take_no_more_than_they_are_long() {
    let mut db = server();
    bind_zeros(&db, "s", 10 * 65_535, "string 65535");
    let mut search = words("VSEARCH s");
    search.resize(2 + 4096, "x".to_owned());
    search.push("LEFT".to_owned());
    let found = db.run(&search).items();
    assert_eq!(found, vec![Reply::Int(10); 4096]);
    search.insert(2, "x".to_owned());
    refused(
        &db,
        &search,
        "at most 4096 values, not 4097: send them in parts",
    );
    search.resize(100_000, "x".to_owned());
    refused(&db, &search, "send them in parts");
    assert!(db.is_running());
}

#[test]
fn many_answers_are_refused_or_keep_only_their_client_waiting() {
    let mut db = server();
    bind_zeros(&db, "z", 1 << 20, "uint8");
    bind_zeros(&db, "s", 100_000_000, "string 1000");
    for key in ["nokey", "z"] {
        let ops = vec!["COUNT".to_owned(); 1000];
        let many = [words(&format!("VBUCKETS {key} 0 -1 1000000")), ops].concat();
        refused(&db, &many, "a reply has at most");
    }
    refused(
        &db,
        &words("VBUCKETS s 0 -1 1000000 MIN MAX"),
        "a reply has at most",
    );
    for key in ["nokey", "z"] {
        let command = format!("VBUCKETS {key} 0 -1 1000000 COUNT SUM MAX");
        let mut client = db.client();
        let before = cpu_seconds(&db);
        client.send(&words(&command));
        assert_eq!(db.say("PING"), "PONG");
        assert!(cpu_seconds(&db) - before < BOUND, "{key}");
        let replies = client.receive().items();
        assert_eq!(replies.len(), 1_000_000);
        let script = format!("return #redis.call('{}')", words(&command).join("','"));
        refused(
            &db,
            &["EVAL".to_owned(), script, "0".to_owned()],
            "in MULTI or a script",
        );
    }
    assert!(db.is_running());
}

#[test]
fn long_work_is_refused_where_the_server_would_have_to_wait() {
    let db = server();
    bind_zeros(&db, "z", (1 << 30) + 1, "uint8");
    for command in [
        "VAGG z 0 -1 SUM",
        "VFIND z 0 -1 > 1 COUNT",
        "VFILL z 0 -1 1",
    ] {
        let script = format!("return redis.call('{}')", words(command).join("','"));
        refused(
            &db,
            &["EVAL".to_owned(), script, "0".to_owned()],
            "in MULTI or a script",
        );
    }
    assert_eq!(db.say("VAGG z 0 -1 SUM"), "[(integer) 0]");
}

/// The server keeps all replies of a transaction until it ends.
#[test]
fn replies_that_together_take_all_memory_are_errors() {
    let mut db = server();
    bind_zeros(&db, "z", 500 << 20, "uint8");
    let mut client = db.client();
    assert_eq!(client.say("MULTI"), "OK");
    for _ in 0..10 {
        assert_eq!(client.say("VGETRAW z 0 -1"), "QUEUED");
        assert_eq!(client.say("VLAST z 15000000"), "QUEUED");
    }
    let replies = client.ask("EXEC").items();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.is_error()).collect();
    assert!((1..20).contains(&refused.len()), "{} errors", refused.len());
    for reply in refused {
        assert!(reply.to_string().contains("there is no memory"), "{reply}");
    }
    assert!(db.is_running());
}
