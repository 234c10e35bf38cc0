//! An array among other keys: what the server does with keys of any type holds for arrays, too.

use rustix::process::{Pid, Signal, kill_process};

use support::{Client, Reply, Server, Setup, wait_until};

fn array(setup: Setup) -> Server {
    let db = setup.start();
    db.say("MMAP db f");
    db.say("VPUSH db 1 2 3");
    db
}

fn start() -> Server {
    array(Server::setup())
}

/// Each command that changes an array of three values, and the event that it emits.
const WRITES: [(&str, &str); 15] = [
    ("VPUSH db 4", "vadd"),
    ("VADD db 4", "vadd"),
    ("VADDRAW db 8__bytes", "vaddraw"),
    ("VSET db 0 9", "vset"),
    ("VSETRAW db 1 8__bytes", "vsetraw"),
    ("VINCRBY db 0 9", "vincrby"),
    ("VFILL db 0 1 9", "vfill"),
    ("VPOP db", "vpop"),
    ("VPOP db 2", "vpop"),
    ("VTRIM db 0 1", "vtrim"),
    ("VTRIM db 1 -1", "vtrim"),
    ("VTRIM db 1 1", "vtrim"),
    ("VTRIM db 5 9", "vtrim"),
    ("VCLEAR db", "vclear"),
    ("MMAP new g", "mmap"),
];

/// The commands of [`WRITES`] that write to the array that is there.
fn writes() -> impl Iterator<Item = &'static str> {
    WRITES
        .into_iter()
        .map(|(command, _)| command)
        .filter(|command| command.contains(" db"))
}

/// Commands that change nothing, though some could.
const READS: [&str; 27] = [
    "VGET db 0",
    "VMGET db 0 1",
    "VALL db",
    "VSIZE db",
    "VCOUNT db",
    "VTYPE db",
    "VITEMSIZE db",
    "VFILEPATH db",
    "VSTAT db",
    "VSYNC db",
    "VGETRAW db 0 -1",
    "VSLICE db 0 -1",
    "VLAST db 2",
    "VAGG db 0 -1 SUM",
    "VBUCKETS db 0 -1 2 MAX",
    "VFIND db 0 -1 > 1",
    "VSEARCH db 2",
    "MMAP db f",
    "VPOP db 0",
    "VTRIM db 0 -1",
    "VFILL db 2 1 9",
    "EXISTS db",
    "TTL db",
    "TYPE db",
    "OBJECT ENCODING db",
    "MEMORY USAGE db",
    "RANDOMKEY",
];

/// Commands that would write, and are refused.
const REFUSED: [&str; 9] = [
    "VPUSH db 4 bad",
    "VADDRAW db 9_bytes__",
    "VSET db 0 1 3 1",
    "VSETRAW db 3 8__bytes",
    "VINCRBY db 0 bad",
    "VFILL db 0 -1 bad",
    "VTRIM db 0 bad",
    "VPOP db -1",
    "MMAP db g",
];

#[test]
fn debug_reload_and_loadaof_bring_the_arrays_back_beside_other_keys() {
    let db = array(Server::setup().config("appendonly", "yes"));
    db.say("MMAP r g double WRITABLE");
    db.say("DEBUG POPULATE 1000");
    // What DEBUG POPULATE makes is not in the AOF.
    for (command, keys) in [
        ("DEBUG RELOAD", 1002),
        ("DEBUG RELOAD", 1002),
        ("DEBUG LOADAOF", 2),
        ("DEBUG RELOAD", 2),
    ] {
        assert_eq!(db.say(command), "OK", "{command}");
        assert_eq!(db.int("DBSIZE"), keys, "{command}");
        assert_eq!(db.say("VALL db"), "[1, 2, 3]", "{command}");
        assert_eq!(db.int("VPUSH db 4"), 1);
        assert_eq!(db.say("VPOP db"), "4");
        assert_eq!(db.stat("arrays"), 2);
        assert_eq!(db.file_len("f"), 24);
    }
}

#[test]
fn watch_notices_every_write_and_no_read() {
    let commands = writes().map(|write| (write, true));
    for (command, changes) in commands.chain(READS.map(|read| (read, false))) {
        let db = start();
        let mut watcher = db.client();
        watcher.say("WATCH db");
        watcher.say("MULTI");
        watcher.say("PING");
        let reply = db.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
        let expected = if changes { "(nil)" } else { "[PONG]" };
        assert_eq!(watcher.say("EXEC"), expected, "{command}");
    }
}

#[test]
fn a_transaction_goes_on_after_an_error_and_a_bad_command_aborts_it() {
    let db = start();
    let mut client = db.client();
    client.say("MULTI");
    for command in ["VPUSH db 4", "VPUSH db bad", "VPUSH db 5", "VALL db"] {
        assert_eq!(client.say(command), "QUEUED");
    }
    let replies = client.ask("EXEC").items();
    assert_eq!(replies[0], Reply::Int(1));
    assert!(replies[1].to_string().contains("bad"));
    assert_eq!(replies[3].to_string(), "[1, 2, 3, 4, 5]");

    client.say("MULTI");
    client.say("VPUSH db 6");
    assert!(client.error("VPUSH db").contains("wrong number"));
    assert!(client.error("EXEC").starts_with("EXECABORT"));
    assert_eq!(db.int("VSIZE db"), 5);
}

#[test]
fn scripts_see_replies_and_errors() {
    let db = start();
    let eval = |name: &str, script: &str| db.run(&[name, script, "1", "db"]).to_string();
    assert_eq!(
        eval("EVAL", "return redis.call('VMGET', KEYS[1], 2, 9)"),
        "[3, (nil)]"
    );
    let caught = eval("EVAL", "return redis.pcall('VPUSH', KEYS[1], 'bad').err");
    assert!(caught.contains("bad"), "{caught}");
    assert_eq!(
        eval("EVAL_RO", "return redis.call('VSIZE', KEYS[1])"),
        "(integer) 3"
    );
    for command in writes() {
        let words: Vec<_> = command
            .split(' ')
            .map(|word| match word {
                "db" => "KEYS[1]".to_owned(),
                word => format!("'{word}'"),
            })
            .collect();
        let script = format!("return redis.call({})", words.join(", "));
        let refused = eval("EVAL_RO", &script);
        assert!(
            refused.contains("Write commands are not allowed"),
            "{command}: {refused}"
        );
    }
    assert_eq!(db.say("VALL db"), "[1, 2, 3]");
}

#[test]
fn functions_append_and_read() {
    let db = start();
    let code = "#!lua name=series\n\
        redis.register_function('put', function(keys, args)\n\
          redis.call('VPUSH', keys[1], unpack(args))\n\
          return redis.call('VSIZE', keys[1])\n\
        end)\n\
        redis.register_function{function_name='last', flags={'no-writes'}, callback=function(keys)\n\
          return redis.call('VGET', keys[1], redis.call('VSIZE', keys[1]) - 1)\n\
        end}\n\
        redis.register_function{function_name='sneak', flags={'no-writes'}, callback=function(keys)\n\
          return redis.call('VPUSH', keys[1], 1)\n\
        end}";
    assert_eq!(db.run(&["FUNCTION", "LOAD", code]).to_string(), "series");
    assert_eq!(db.say("FCALL put 1 db 4 5.5"), "(integer) 5");
    assert_eq!(db.say("FCALL_RO last 1 db"), "5.5");
    assert!(db.error("FCALL_RO sneak 1 db").contains("Write commands"));
    assert_eq!(db.int("VSIZE db"), 5);
}

#[test]
fn no_client_stays_blocked_whatever_ends_its_wait() {
    let db = array(Server::setup().config("mmap.fsync", "always"));
    for round in 0..60 {
        let mut waiting = db.client();
        let id = waiting.int("CLIENT ID");
        let command = ["VPUSH db 1", "VSET db 0 1", "VPOP db", "VSYNC db"][round % 4];
        let words: Vec<_> = command.split(' ').collect();
        waiting.send(&words);
        match round % 3 {
            0 => drop(waiting),
            1 => drop(db.ask(&format!("CLIENT KILL ID {id}"))),
            _ => assert!(!waiting.receive().is_error()),
        }
    }
    wait_until("no client is blocked", || {
        db.info("clients", "blocked_clients") == "0"
    });
    wait_until("the clients are gone", || {
        db.info("clients", "connected_clients") == "1"
    });
    assert_eq!(db.say("VSYNC db"), "OK");
}

/// A command, and whether any client waits at that moment, in one step.
fn while_blocked(db: &Server, command: &str) -> (Reply, bool) {
    for command in ["MULTI", "INFO clients", command] {
        db.ask(command);
    }
    let mut replies = db.ask("EXEC").items();
    let was_waiting = !replies[0].to_string().contains("blocked_clients:0");
    (replies.remove(1), was_waiting)
}

/// Bytes that are summed by other threads for some milliseconds, under the key `long`.
fn map_many(db: &Server) {
    let file = std::fs::File::create(db.path("long")).unwrap();
    file.set_len(64 << 20).unwrap();
    db.say("MMAP long long uint8");
}

/// Commands that wait for the disk or for other threads, and what they answer.
const WAITING: [(&str, &str); 3] = [
    ("VSYNC db", "OK"),
    ("VPUSH db 1", "(integer) 1"),
    ("VAGG long 0 -1 SUM", "[(integer) 0]"),
];

/// The one of them that finds all on the disk already, most of the time.
const MAY_BE_OVER: &str = "VSYNC db";

#[test]
fn client_unblock_does_not_end_the_wait_of_a_command_of_the_module() {
    let db = array(Server::setup().config("mmap.fsync", "always"));
    map_many(&db);
    for (command, reply) in WAITING {
        let mut was_waiting = false;
        for round in 0..100 {
            let mut waiting = db.client();
            let id = waiting.int("CLIENT ID");
            waiting.send(&command.split(' ').collect::<Vec<_>>());
            let how = ["TIMEOUT", "ERROR"][round % 2];
            let (answer, waits) = while_blocked(&db, &format!("CLIENT UNBLOCK {id} {how}"));
            was_waiting |= waits;
            assert_eq!(answer, Reply::Int(0), "{command} {how}");
            assert_eq!(waiting.receive().to_string(), reply);
            assert_eq!(waiting.say("RESET"), "RESET");
        }
        assert!(was_waiting || MAY_BE_OVER == command, "{command}");
    }
    assert_eq!(db.int("VSIZE db"), 103);
}

#[test]
fn a_pause_begins_while_clients_wait_and_all_are_answered() {
    let db = array(Server::setup().config("mmap.fsync", "always"));
    map_many(&db);
    for mode in ["WRITE", "ALL"] {
        for (command, reply) in WAITING {
            let mut was_waiting = false;
            for _ in 0..30 {
                let mut clients = [db.client(), db.client(), db.client()];
                for client in &mut clients {
                    client.send(&command.split(' ').collect::<Vec<_>>());
                }
                let (answer, waits) = while_blocked(&db, &format!("CLIENT PAUSE 10 {mode}"));
                was_waiting |= waits;
                assert_eq!(answer.to_string(), "OK");
                for client in &mut clients {
                    assert_eq!(client.receive().to_string(), reply, "{command} {mode}");
                }
                assert_eq!(db.say("CLIENT UNPAUSE"), "OK");
            }
            assert!(was_waiting || MAY_BE_OVER == command, "{command} {mode}");
        }
    }
    assert_eq!(db.int("VSIZE db"), 3 + 2 * 90);
    assert_eq!(db.info("clients", "blocked_clients"), "0");
}

#[test]
fn wait_counts_the_replicas_that_have_a_write() {
    let db = array(Server::setup().config("repl-diskless-sync-delay", "0"));
    let replica = Server::start();
    replica.say(&format!("REPLICAOF 127.0.0.1 {}", db.port()));
    wait_until("the replica follows", || {
        replica.info("replication", "master_link_status") == "up"
    });
    let pid = Pid::from_raw(replica.pid().cast_signed()).unwrap();
    let mut count = 3;
    for fsync in ["no", "always"] {
        db.say(&format!("CONFIG SET mmap.fsync {fsync}"));
        for (command, added) in [
            ("VPUSH db 1 2", 2),
            ("VADDRAW db 8__bytes", 1),
            ("VSET db 0 1", 0),
        ] {
            kill_process(pid, Signal::STOP).unwrap();
            db.say(command);
            assert_eq!(db.int("WAIT 1 50"), 0, "{command} {fsync}");
            kill_process(pid, Signal::CONT).unwrap();
            assert_eq!(db.int("WAIT 1 20000"), 1, "{command} {fsync}");
            count += added;
            assert_eq!(replica.int("VSIZE db"), count, "{command} {fsync}");
        }
    }
}

#[test]
fn waitaof_does_not_wait_for_values_which_the_aof_never_gets() {
    let db = array(Server::setup().config("appendonly", "yes"));
    if db.ask("COMMAND INFO WAITAOF").items() == [Reply::Nil] {
        println!("this server has no WAITAOF");
        return;
    }
    // There, what only replicas are told is waited for until something else is written to the AOF (redis/redis#12622).
    let waits_for_the_aof = db.info("server", "redis_version").starts_with("7.2")
        && !(db.is_valkey() && db.major_version() > 7);
    let replica = Server::start();
    replica.say(&format!("REPLICAOF 127.0.0.1 {}", db.port()));
    wait_until("the replica follows", || {
        replica.info("replication", "master_link_status") == "up"
    });
    for command in ["MMAP other g", "VPUSH db 1", "VPUSH other 1", "DEL other"] {
        db.say(command);
        if waits_for_the_aof {
            db.say("SET something else");
        }
        let reply = db.say("WAITAOF 1 0 20000");
        assert_eq!(reply, "[(integer) 1, (integer) 0]", "{command}");
    }
}

#[test]
fn a_reply_of_other_threads_that_outgrows_the_output_buffer_ends_its_client_alone() {
    let db = start();
    map_many(&db);
    assert_eq!(
        db.run(&[
            "CONFIG",
            "SET",
            "client-output-buffer-limit",
            "normal 100000 0 0"
        ])
        .to_string(),
        "OK"
    );
    let mut client = db.client();
    client.send(&["VBUCKETS", "long", "0", "-1", "100000", "MIN", "MAX"]);
    assert!(client.try_receive().is_err());
    wait_until("its work has ended", || db.stat("threads_jobs") == 0);
    assert_eq!(db.say("VAGG long 0 -1 MAX"), "[(integer) 0]");
}

#[test]
fn memory_usage_does_not_grow_with_values() {
    let db = start();
    let before = db.int("MEMORY USAGE db");
    db.client().push_one_by_one("db", 0..100_000);
    assert_eq!(db.int("VSIZE db"), 100_003);
    assert!(db.int("MEMORY USAGE db") - before < 4096);
}

#[test]
fn a_client_whose_reply_is_too_large_is_evicted_unless_it_may_not_be() {
    let db = start();
    let mut push = vec!["VPUSH", "db"];
    push.extend(vec!["0.125"; 500_000]);
    db.say("CLIENT NO-EVICT on");
    db.run(&push);
    db.say("CONFIG SET maxmemory-clients 2mb");
    let ask_for_all = |mut client: Client| {
        client.send(&["VALL", "db"]);
        client.try_receive()
    };
    let mut spared = db.client();
    assert_eq!(spared.say("CLIENT NO-EVICT on"), "OK");
    assert_eq!(ask_for_all(spared).unwrap().items().len(), 500_003);
    assert!(ask_for_all(db.client()).is_err());
    assert_eq!(db.int("VSIZE db"), 500_003);
}

/// A server whose memory is full of strings, and one array with three values.
fn full(policy: &str, expiring: bool) -> Server {
    let db = array(Server::setup().config("maxmemory-policy", policy));
    if expiring {
        db.say("EXPIRE db 10000");
    }
    let used: u64 = db.info("memory", "used_memory").parse().unwrap();
    db.say(&format!("CONFIG SET maxmemory {}", used + 3_000_000));
    let value = "x".repeat(50_000);
    for i in 0..200 {
        let mut words = vec!["SET".to_owned(), format!("filler:{i}"), value.clone()];
        if policy.starts_with("volatile") {
            words.extend(["EX".to_owned(), "5000".to_owned()]);
        }
        db.run(&words);
    }
    db
}

/// Whatever was evicted, the file has all its values and can be mapped.
fn file_is_whole(db: &Server) {
    assert_eq!(db.file_len("f"), 24);
    db.say("CONFIG SET maxmemory 0");
    assert_eq!(db.int("MMAP db f"), 3);
    assert_eq!(db.say("VALL db"), "[1, 2, 3]");
}

#[test]
fn noeviction_refuses_new_arrays_and_lets_values_be_appended() {
    let db = full("noeviction", false);
    db.say("CONFIG SET maxmemory 1");
    assert!(db.error("SET other 1").starts_with("OOM"));
    assert!(db.error("MMAP other g").starts_with("OOM"));
    // Values are in the file and take nothing of what maxmemory counts.
    assert_eq!(db.int("VPUSH db 4"), 1);
    assert_eq!(db.int("VSET db 0 1"), 1);
    let script = "return redis.call('VPUSH', KEYS[1], 5)";
    assert_eq!(db.run(&["EVAL", script, "1", "db"]), Reply::Int(1));
    assert_eq!(db.say("VPOP db 2"), "[5, 4]");
    file_is_whole(&db);
}

#[test]
fn every_policy_evicts_without_touching_files() {
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        for expiring in [false, true] {
            let db = full(policy, expiring);
            let evicted: u64 = db.info("stats", "evicted_keys").parse().unwrap();
            assert!(evicted > 0, "{policy}");
            if policy.starts_with("volatile") && !expiring {
                assert_eq!(db.say("VALL db"), "[1, 2, 3]", "{policy}");
            }
            file_is_whole(&db);
        }
    }
}

#[test]
fn scan_finds_arrays_by_type() {
    let db = start();
    db.say("MMAP other g");
    db.say("DEBUG POPULATE 100");
    let mut found = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let mut reply = db
            .ask(&format!("SCAN {cursor} COUNT 50 TYPE mmaparray"))
            .items();
        found.extend(reply.remove(1).items().into_iter().map(Reply::text));
        cursor = reply.remove(0).text();
        if cursor == "0" {
            break;
        }
    }
    found.sort();
    assert_eq!(found, ["db", "other"]);
    assert_eq!(db.say("TYPE db"), "mmaparray");
}

#[test]
fn object_answers_as_for_any_key() {
    let db = start();
    assert_eq!(db.say("OBJECT ENCODING db"), "raw");
    assert_eq!(db.int("OBJECT REFCOUNT db"), 1);
    assert!(db.int("OBJECT IDLETIME db") >= 0);
    assert!(db.int("MEMORY USAGE db") > 0);
    db.say("CONFIG SET maxmemory-policy allkeys-lfu");
    db.say("VGET db 0");
    assert!(db.int("OBJECT FREQ db") > 0);
}

#[test]
fn a_time_to_live_is_kept_by_writes_and_restarts() {
    let mut db = start();
    db.say("EXPIRE db 10000");
    for command in writes() {
        db.say(command);
        assert!(db.int("TTL db") > 9000, "{command}");
    }
    db.restart();
    assert!(db.int("TTL db") > 9000);
    assert_eq!(db.int("PERSIST db"), 1);
    assert_eq!(db.int("TTL db"), -1);
}

#[test]
fn swapdb_takes_arrays_along() {
    let db = start();
    db.say("SWAPDB 0 7");
    assert_eq!(db.say("VSTAT db"), "(nil)");
    let mut other = db.client();
    other.say("SELECT 7");
    assert_eq!(other.say("VALL db"), "[1, 2, 3]");
    assert_eq!(other.int("VPUSH db 4"), 1);
    assert_eq!(db.file_len("f"), 32);
}

#[test]
fn renaming_over_an_array_leaves_its_file() {
    let db = start();
    db.say("MMAP other g");
    db.say("VPUSH other 9");
    assert_eq!(db.say("RENAME other db"), "OK");
    assert_eq!(db.say("VALL db"), "[9]");
    assert_eq!(db.file_len("f"), 24);
    assert_eq!(db.int("RENAMENX db other"), 1);
    assert_eq!(db.int("MMAP db f"), 3);
    assert_eq!(db.stat("arrays"), 2);
}

/// A client that is told of keys it has read.
fn tracking(db: &Server) -> Client {
    let mut client = db.client().resp3();
    assert_eq!(client.say("CLIENT TRACKING ON"), "OK");
    client
}

#[test]
fn caching_clients_are_told_of_every_write() {
    for command in writes().chain(["DEL db", "UNLINK db", "RENAME db x", "PEXPIRE db 1"]) {
        let db = start();
        let mut client = tracking(&db);
        assert_eq!(client.say("VGET db 0"), "(double) 1", "{command}");
        let reply = db.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
        assert_eq!(
            client.receive().to_string(),
            "[invalidate, [db]]",
            "{command}"
        );
    }
}

#[test]
fn caching_clients_are_not_told_of_reads() {
    let db = start();
    let mut client = tracking(&db);
    for command in READS {
        client.say("VGET db 0");
        db.say(command);
        assert_eq!(client.say("PING"), "PONG", "{command}");
    }
    db.say("FLUSHALL");
    assert_eq!(client.receive().to_string(), "[invalidate, (nil)]");
}

#[test]
fn a_read_only_user_of_the_keyspace_sees_arrays_as_keys() {
    let db = start();
    assert_eq!(db.say("KEYS *"), "[db]");
    assert_eq!(db.say("RANDOMKEY"), "db");
    assert_eq!(db.int("EXISTS db nokey"), 1);
    assert_eq!(db.int("TOUCH db nokey"), 1);
    assert_eq!(db.int("DBSIZE"), 1);
}

#[test]
fn every_write_emits_its_event_and_nothing_else_does() {
    for setting in ["everysec", "always"] {
        for (command, event) in WRITES {
            let db = array(Server::setup().config("mmap.fsync", setting));
            let mut listener = db.client();
            db.say("CONFIG SET notify-keyspace-events Kd");
            assert!(!listener.ask("PSUBSCRIBE __keyspace@0__:*").is_error());
            // What emits nothing comes first: an event of its own would be the first to be heard.
            for nothing in READS.iter().chain(&REFUSED) {
                let is_error = db.ask(nothing).is_error();
                assert_eq!(is_error, REFUSED.contains(nothing), "{nothing}");
            }
            let reply = db.ask(command);
            assert!(!reply.is_error(), "{command}: {reply}");
            let key = command.split(' ').nth(1).unwrap();
            let heard = |key: &str, event: &str| {
                format!("[pmessage, __keyspace@0__:*, __keyspace@0__:{key}, {event}]")
            };
            assert_eq!(
                listener.receive().to_string(),
                heard(key, event),
                "{command}"
            );
            // And then it comes no more, but for a trim at both ends, which are two.
            if command == "VTRIM db 1 1" {
                assert_eq!(
                    listener.receive().to_string(),
                    heard(key, event),
                    "{command}"
                );
            }
            db.say("MMAP last h");
            assert_eq!(
                listener.receive().to_string(),
                heard("last", "mmap"),
                "{command}"
            );
        }
    }
}

#[test]
fn a_long_fill_emits_its_event_when_it_is_done() {
    let db = Server::start();
    let file = std::fs::File::create(db.path("long")).unwrap();
    file.set_len(5 << 20).unwrap();
    db.say("MMAP long long uint8 WRITABLE");
    let mut listener = db.client();
    db.say("CONFIG SET notify-keyspace-events Ed");
    assert!(!listener.ask("SUBSCRIBE __keyevent@0__:vfill").is_error());
    assert_eq!(db.int("VFILL long 0 -1 7"), 5 << 20);
    assert_eq!(
        listener.receive().to_string(),
        "[message, __keyevent@0__:vfill, long]"
    );
    assert_eq!(db.say("VLAST long 1"), "[(integer) 7]");
}

#[test]
fn a_write_that_is_refused_later_emits_no_event() {
    let db = Server::with("MMAP db f");
    db.say("VPUSH db 1 2 3");
    let file = std::fs::File::create(db.path("long")).unwrap();
    file.set_len(5 << 20).unwrap();
    db.say("MMAP long long uint8 WRITABLE");
    std::fs::hard_link(db.path("f"), db.path("second")).unwrap();
    let mut listener = db.client();
    db.say("CONFIG SET notify-keyspace-events Kd");
    assert!(!listener.ask("PSUBSCRIBE __keyspace@0__:*").is_error());
    // At once, in the background, and in the server's own time.
    assert!(db.error("VTRIM db 1 -1").contains("several names"));
    db.say("MULTI");
    db.say("VTRIM db 1 -1");
    assert!(db.ask("EXEC").items()[0].is_error());
    // Another program makes it shorter: the fill finds out before it has filled anything.
    std::fs::File::options()
        .write(true)
        .open(db.path("long"))
        .unwrap()
        .set_len(0)
        .unwrap();
    assert!(db.ask("VFILL long 0 -1 7").is_error());
    db.say("MMAP last h");
    assert_eq!(
        listener.receive().to_string(),
        "[pmessage, __keyspace@0__:*, __keyspace@0__:last, mmap]"
    );
}
