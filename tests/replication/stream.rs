//! Writes reach replicas one by one, and reaching them twice does no harm.

use crate::incomplete::mark_as_of_another_boot;
use crate::pair::{
    Pair, arrays, assert_same, catch_up, follow, knows_it_has_caught_up, start_again_as_replica_of,
};
use support::{Server, doubles, wait_until};

#[test]
fn every_write_reaches_the_replica() {
    let pair = Pair::start();
    for command in [
        "MMAP d d.f64",
        "MMAP i deep/i.i32 int32 WRITABLE",
        "VPUSH d 1.5 2.5 nan -inf",
    ] {
        pair.primary.ask(command);
    }
    std::fs::create_dir(pair.primary.path("deep")).unwrap();
    for command in [
        "MMAP i deep/i.i32 int32 WRITABLE",
        "MMAP s s.str string 5 WRITABLE",
        "VPUSH i 1 2 3",
        "VPUSH s one two three",
        "VSET i 0 -7 2 9",
        "VPOP d",
        "VPOP s 2",
        "VPUSH s four",
        "MMAP other d.f64",
        "VPUSH other 7",
        "RENAME i j",
        "VPUSH j 4",
    ] {
        let reply = pair.primary.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
    }
    pair.assert_same();
    assert_eq!(
        pair.replica.say("VALL j"),
        "[(integer) -7, (integer) 2, (integer) 9, (integer) 4]"
    );
    assert_eq!(pair.replica.say("VALL d"), "[1.5, 2.5, nan, 7]");

    pair.primary.ask("VCLEAR j");
    pair.primary.ask("DEL s");
    pair.assert_same();
    assert_eq!(arrays(&pair.replica), ["d", "j", "other"]);
    assert_eq!(pair.replica.file_len("deep/i.i32"), 0);
    assert_eq!(pair.replica.file_len("s.str"), 10, "DEL leaves the file");
}

#[test]
fn transactions_and_scripts_reach_the_replica() {
    let pair = Pair::start();
    pair.primary.ask("MMAP k f int64 WRITABLE");
    for command in ["MULTI", "VPUSH k 1 2", "VSET k 0 5", "VPOP k", "EXEC"] {
        pair.primary.ask(command);
    }
    let script = "redis.call('VPUSH', KEYS[1], 8) return redis.call('VPUSH', KEYS[1], 9)";
    pair.primary.run(&["EVAL", script, "1", "k"]);
    pair.assert_same();
    assert_eq!(
        pair.replica.say("VALL k"),
        "[(integer) 5, (integer) 8, (integer) 9]"
    );
}

#[test]
fn a_write_that_failed_is_not_sent() {
    let pair = Pair::start();
    pair.primary.ask("MMAP k f int8 WRITABLE");
    pair.primary.ask("VPUSH k 1 2");
    let sent = || pair.primary.info("replication", "master_repl_offset");
    // Servers have words of their own for each other, which may come between, but not each time.
    wait_until("nothing is sent", || {
        let before = sent();
        for command in ["VPUSH k 300", "VSET k 9 1", "VSET k 0 x", "VPUSH none 1"] {
            assert!(pair.primary.ask(command).is_error(), "{command}");
        }
        for command in ["VGET k 0", "VALL k", "VSIZE k", "MMAP k f"] {
            assert!(!pair.primary.ask(command).is_error(), "{command}");
        }
        sent() == before
    });
    pair.assert_same();
}

#[test]
fn nothing_but_bindings_reaches_the_aof_of_either() {
    let with_aof = || Server::setup().config("appendonly", "yes");
    let mut pair = Pair::of(with_aof(), with_aof());
    for command in ["MMAP k f", "VPUSH k 1.25 2.25", "VSET k 0 3.25", "VPOP k"] {
        assert!(!pair.primary.ask(command).is_error());
    }
    pair.assert_same();
    for server in [&pair.primary, &pair.replica] {
        // A replica begins a new AOF after it was synchronised.
        server.wait_for_background_jobs();
        let mut text = String::new();
        for entry in std::fs::read_dir(server.path("appendonlydir")).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            text += &String::from_utf8_lossy(&bytes);
        }
        assert!(
            text.contains("REDIS") || text.contains("MMAP"),
            "the AOF: {text}"
        );
        for word in ["VREPLICATE", "VPUSH", "VSET", "VPOP"] {
            assert!(!text.contains(word), "{word} is in the AOF:\n{text}");
        }
    }
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    for server in [&mut pair.primary, &mut pair.replica] {
        server.kill_9();
        server.start_again();
        assert_eq!(server.say("VALL k"), "[3.25]");
    }
}

#[test]
fn a_file_that_was_there_before_it_was_bound_is_sent() {
    let pair = Pair::start();
    let numbers: Vec<u8> = (0..3_000_000_u32).flat_map(|i| i.to_le_bytes()).collect();
    pair.primary.write("big", &numbers);
    pair.primary.write("fixed", [1_u8, 2, 3]);
    // Another array has the name at the replica, from a time when it was none.
    pair.replica.ask("CONFIG SET replica-read-only no");
    pair.replica.ask("MMAP former fixed uint8 WRITABLE");
    pair.replica.ask("VPUSH former 9 9 9 9");
    pair.replica.ask("DEL former");
    pair.primary.ask("MMAP k big uint32 WRITABLE");
    pair.primary.ask("MMAP r fixed uint8");
    for command in [
        "VSET k 0 77 2999999 78",
        "VPUSH k 79",
        "VPOP k",
        "VPUSH k 80",
    ] {
        assert!(!pair.primary.ask(command).is_error());
    }
    pair.assert_same();
    assert_eq!(pair.replica.say("VGET k 0"), "(integer) 77");
    assert_eq!(pair.replica.say("VGET k 3000000"), "(integer) 80");
    assert_eq!(
        pair.replica.say("VALL r"),
        "[(integer) 1, (integer) 2, (integer) 3]"
    );
}

#[test]
fn a_restarted_replica_goes_on_where_it_was() {
    let mut pair = Pair::start();
    pair.primary.ask("MMAP k f int64 WRITABLE");
    pair.primary.ask("VPUSH k 1 2 3");
    pair.assert_same();
    let primary = format!("127.0.0.1 {}", pair.primary.port());
    // What comes after its snapshot reaches it a second time after a crash.
    pair.replica.save();
    for command in ["VPUSH k 4 5", "VPOP k 3", "VPUSH k 6 7 8", "VSET k 0 9"] {
        pair.primary.ask(command);
    }
    catch_up(&pair.primary, &pair.replica);
    pair.replica.kill_9();
    pair.primary.ask("VPUSH k 10");
    pair.replica.start_again();
    assert_eq!(pair.replica.say(&format!("REPLICAOF {primary}")), "OK");
    pair.assert_same();
    assert_eq!(
        pair.replica.say("VALL k"),
        "[(integer) 9, (integer) 2, (integer) 6, (integer) 7, (integer) 8, (integer) 10]"
    );
}

#[test]
fn a_replica_that_starts_with_its_primary_configured_takes_up_the_stream() {
    let primary = Server::setup()
        .config("repl-diskless-sync-delay", "0")
        .start();
    let mut replica = Server::setup()
        .config("replicaof", &format!("127.0.0.1 {}", primary.port()))
        .start();
    primary.ask("MMAP k f int64 WRITABLE");
    primary.ask("VPUSH k 1 2 3");
    assert_same(&primary, &replica);
    replica.save();
    for command in ["VPUSH k 4 5", "VPOP k 3", "VPUSH k 6 7 8", "VSET k 0 9"] {
        primary.ask(command);
    }
    catch_up(&primary, &replica);
    replica.kill_9();
    primary.ask("VPUSH k 10");
    let full_before = primary.info("stats", "sync_full");
    replica.start_again();
    assert_same(&primary, &replica);
    assert_eq!(
        primary.info("stats", "sync_full"),
        full_before,
        "the point is that it goes on from its old snapshot"
    );
    assert_eq!(
        replica.say("VALL k"),
        "[(integer) 9, (integer) 2, (integer) 6, (integer) 7, (integer) 8, (integer) 10]"
    );
}

/// What the primary says its files hold, whenever a replica joins, is in the stream, and comes again after a crash.
#[test]
fn what_files_held_at_an_earlier_moment_is_no_reason_to_synchronise_in_full() {
    let mut pair = Pair::start();
    pair.primary.ask("MMAP k f int64 WRITABLE");
    pair.primary.ask("VPUSH k 1 2 3");
    knows_it_has_caught_up(&pair.replica);
    pair.assert_same();
    pair.replica.save();
    pair.primary.ask("VPUSH k 4 5");
    let second = Server::start();
    follow(&second, &pair.primary);
    knows_it_has_caught_up(&second);
    pair.primary.ask("VPOP k 3");
    pair.assert_same();
    let full_before = pair.primary.info("stats", "sync_full");
    pair.replica.kill_9();
    pair.primary.ask("VPUSH k 6 7 8 9");
    start_again_as_replica_of(&mut pair.replica, &pair.primary);
    wait_until("the replica follows", || {
        pair.replica.info("replication", "master_link_status") == "up"
    });
    knows_it_has_caught_up(&pair.replica);
    pair.assert_same();
    assert_eq!(pair.primary.info("stats", "sync_full"), full_before);
    assert_eq!(pair.replica.stat("writes_not_applied"), 0);
    assert!(!pair.replica.log().contains("is incomplete"));
}

#[test]
fn a_promoted_replica_has_everything_and_takes_writes() {
    let mut pair = Pair::start();
    let second = Server::start();
    follow(&second, &pair.replica);
    pair.primary.ask("MMAP k f");
    pair.primary.ask("VPUSH k 1 2 3");
    pair.assert_same();
    assert_same(&pair.primary, &second);
    assert!(
        pair.replica.error("VPUSH k 4").starts_with("READONLY"),
        "a replica takes no writes of clients"
    );

    pair.primary.kill_9();
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    assert_eq!(pair.replica.say("VPUSH k 4"), "(integer) 1");
    assert_same(&pair.replica, &second);
    assert_eq!(second.say("VALL k"), "[1, 2, 3, 4]");
}

#[test]
fn a_primary_whose_files_are_ahead_of_its_snapshot_sends_them_again() {
    let mut pair = Pair::start();
    pair.primary.ask("MMAP k f");
    pair.primary.ask("VPUSH k 1 2 3");
    pair.assert_same();
    // The replica stays behind, at the moment of the primary's snapshot.
    pair.primary.save();
    pair.assert_same();
    assert_eq!(pair.replica.say("REPLICAOF 127.0.0.1 1"), "OK");
    pair.primary.ask("VPUSH k 4 5");
    pair.primary.ask("VSET k 0 9");
    pair.primary.kill_9();
    pair.primary.start_again();
    pair.connect();
    wait_until("the replica has what the snapshot did not know", || {
        pair.replica.say("VALL k") == "[9, 2, 3, 4, 5]"
    });
    pair.assert_same();
}

#[test]
fn what_a_former_primary_wrote_and_sent_to_nobody_is_gone_when_it_starts_as_a_replica() {
    let mut pair = Pair::start();
    pair.primary.ask("MMAP k f int64 WRITABLE");
    pair.primary.ask("VPUSH k 1 2 3");
    pair.assert_same();
    pair.primary.save();
    catch_up(&pair.primary, &pair.replica);
    assert_eq!(pair.replica.say("REPLICAOF 127.0.0.1 1"), "OK");
    pair.primary.ask("VSET k 0 99");
    pair.primary.ask("VPUSH k 4 5");
    pair.primary.kill_9();
    // The other takes over without that, and Redis lets the first go on from where its snapshot was.
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    pair.replica.ask("VPUSH k 6");
    start_again_as_replica_of(&mut pair.primary, &pair.replica);
    wait_until("the former primary has what the new one has", || {
        pair.primary.say("VALL k") == pair.replica.say("VALL k")
    });
    assert_same(&pair.replica, &pair.primary);
    assert_eq!(
        pair.primary.info("replication", "master_port"),
        pair.replica.port().to_string()
    );
}

#[test]
fn a_replica_whose_machine_went_down_is_synchronised_in_full() {
    let mut pair = Pair::start();
    pair.primary.ask("MMAP k f int64 WRITABLE");
    pair.primary.ask("VPUSH k 1 2 3 4");
    pair.primary.ask("VSET k 0 77");
    pair.assert_same();
    pair.replica.save();
    pair.replica.kill_9();
    // What a power cut leaves: a mark of another boot, and a value as it was before it was overwritten.
    let file = pair.replica.path("f");
    std::fs::write(&file, [1_i64, 2, 3, 4].map(i64::to_le_bytes).concat()).unwrap();
    mark_as_of_another_boot(&file, 4);
    start_again_as_replica_of(&mut pair.replica, &pair.primary);
    wait_until("the replica has all values again", || {
        let found = pair.replica.ask("VGET k 0");
        assert!(
            found.is_error() || found == support::Reply::Int(77),
            "{found}"
        );
        !found.is_error()
    });
    pair.assert_same();
}

#[test]
fn a_head_that_was_dropped_after_the_snapshot_is_dropped_at_the_replica() {
    let mut pair = Pair::start();
    pair.primary.ask("MMAP k f");
    pair.primary.ask("VPUSH k 1 2 3 4 5 6");
    pair.assert_same();
    pair.primary.save();
    pair.assert_same();
    assert_eq!(pair.replica.say("REPLICAOF 127.0.0.1 1"), "OK");
    pair.primary.ask("VTRIM k 2 -1");
    pair.primary.ask("VSET k 0 9");
    pair.primary.kill_9();
    pair.primary.start_again();
    pair.connect();
    wait_until("the replica has what the snapshot did not know", || {
        pair.replica.say("VALL k") == "[9, 4, 5, 6]"
    });
    pair.assert_same();
}

#[test]
fn work_in_the_background_and_what_goes_on_meanwhile_reaches_the_replica() {
    let pair = Pair::start();
    let numbers: Vec<u8> = (0..4_000_000_u32).flat_map(|i| i.to_le_bytes()).collect();
    pair.primary.ask("MMAP k big uint32 WRITABLE");
    for chunk in numbers.chunks(1 << 20) {
        pair.primary.run(&[b"VADDRAW".as_slice(), b"k", chunk]);
    }
    for work in ["VTRIM k 1000000 -1", "VFILL k 100 -100 5", "VTRIM k 7 -8"] {
        let mut worker = pair.primary.client();
        let words: Vec<_> = work.split_whitespace().collect();
        worker.send(&words);
        let mut client = pair.primary.client();
        for i in 0..300 {
            for command in [
                format!("VPUSH k {i} {i}"),
                format!("VSET k {} {i}", i * 7),
                format!("VSET k {} {i}", 2_000_000 + i * 100),
                "VPOP k".to_owned(),
                format!("VINCRBY k {} 1", i + 50),
            ] {
                assert!(!client.ask(&command).is_error(), "{command}");
            }
        }
        let mut reply = worker.receive();
        if reply.to_string().contains("faster than it can be copied") {
            // On a busy machine the writes may leave it no time; they are over.
            worker.send(&words);
            reply = worker.receive();
        }
        assert!(!reply.is_error(), "{work}: {reply}");
    }
    pair.assert_same();
}

#[test]
fn a_key_that_is_bound_again_before_the_old_binding_is_freed_gets_all_values() {
    let pair = Pair::start();
    // Freeing so many keys takes a while, and other threads do it.
    let numbers: Vec<u8> = (0..2_000_000_u32).flat_map(|i| i.to_le_bytes()).collect();
    for round in 0..5 {
        let name = format!("f{round}");
        pair.primary.write(&name, &numbers);
        pair.primary.ask(&format!("MMAP k {name} uint32 WRITABLE"));
        pair.primary.ask("DEBUG POPULATE 100000 filler 10");
        // Its contents are on their way.
        assert_eq!(pair.primary.say("FLUSHALL ASYNC"), "OK");
        let mapped = pair.primary.ask(&format!("MMAP k {name} uint32 WRITABLE"));
        assert_eq!(mapped.int(), 2_000_000);
        pair.primary.ask("VSET k 0 7");
        pair.assert_same();
        pair.primary.ask("DEL k");
    }
}

#[test]
fn npy_files_reach_the_replica_with_their_headers() {
    let pair = Pair::start();
    pair.primary.ask("MMAP before b.npy int16 WRITABLE");
    pair.primary.ask("VPUSH before 1 2 3");
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    pair.connect();
    pair.primary.ask("MMAP after a.npy double WRITABLE");
    pair.primary.ask("VPUSH after 0.5");
    pair.primary.ask("VPUSH before 4");
    pair.primary.ask("VTRIM before 1 -1");
    pair.assert_same();
    assert_eq!(pair.replica.say("VALL after"), "[0.5]");
    assert!(pair.replica.read("a.npy").starts_with(b"\x93NUMPY"));
}

#[test]
fn clients_cannot_speak_as_a_primary() {
    let db = Server::with("MMAP k f");
    db.ask("VPUSH k 1 2 3");
    let is_hidden = db.hides_internal_commands();
    for error in [
        db.error("VREPLICATE k LENGTH 0"),
        db.error("EVAL return(redis.call('VREPLICATE',KEYS[1],'LENGTH/2','0')) 1 k"),
    ] {
        let refused = if is_hidden {
            error.contains("unknown command") || error.contains("not allowed from script")
        } else {
            error.contains("what a primary sends")
        };
        assert!(refused, "{error}");
    }
    assert_eq!(db.int("VLEN k"), 3);
    // Neither help nor completion offers it where the server can hide it.
    let offered = !db.ask("COMMAND DOCS VREPLICATE").pairs().is_empty();
    assert_eq!(offered, !is_hidden);
}

#[test]
fn a_replica_in_the_directory_of_its_primary_touches_nothing() {
    let primary = Server::setup()
        .config("repl-diskless-sync-delay", "0")
        .start();
    primary.ask("MMAP before f");
    primary.ask("VPUSH before 1 2 3");
    primary.write("fixed", doubles([7.0]));
    primary.ask("MMAP fixed fixed double");
    let mut replica = Server::setup().sharing_files_of(&primary).start();
    follow(&replica, &primary);
    primary.ask("MMAP after g");
    primary.ask("VPUSH after 4");
    primary.ask("VPUSH before 5");
    catch_up(&primary, &replica);
    for key in ["before", "after", "fixed"] {
        let error = replica.error(&format!("VALL {key}"));
        assert!(error.contains("mmap.dir"), "{key}: {error}");
    }
    assert!(replica.is_running());
    assert_eq!(primary.say("VALL before"), "[1, 2, 3, 5]");
    assert_eq!(primary.say("VALL after"), "[4]");
    assert_eq!(primary.say("VALL fixed"), "[7]");
    let mut names: Vec<_> = std::fs::read_dir(primary.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".rdb"))
        .collect();
    names.sort();
    assert_eq!(names, ["f", "fixed", "g"]);
}
