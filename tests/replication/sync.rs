//! Full synchronisations: a fresh replica gets the same files, whatever is written during the transfer.

use crate::incomplete::push;
use crate::pair::{Pair, arrays, assert_same, follow, knows_it_has_caught_up};
use support::random::Random;
use support::{Server, Setup, doubles, record_of, wait_until};

fn primary(diskless: &str) -> Setup {
    Server::setup()
        .config("repl-diskless-sync", diskless)
        .config("repl-diskless-sync-delay", "0")
}

fn replica(diskless_load: &str) -> Setup {
    Server::setup().config("repl-diskless-load", diskless_load)
}

#[test]
fn a_fresh_replica_gets_the_contents_by_disk_and_without() {
    for diskless in ["no", "yes"] {
        for load in ["disabled", "on-empty-db"] {
            let primary = primary(diskless).start();
            primary.write("fixed", [1_u8, 2, 3]);
            primary.write("odd", [1_u8; 11]);
            std::fs::create_dir_all(primary.path("a/b")).unwrap();
            for command in [
                "MMAP d a/b/d",
                "VPUSH d 1.5 2.5",
                "MMAP same a/b/d",
                "MMAP fixed fixed uint8",
                "MMAP odd odd double",
                "MMAP empty empty int8 WRITABLE",
                "MMAP s s string 3 WRITABLE",
                "VPUSH s abc d",
                "SET text value",
            ] {
                assert!(!primary.ask(command).is_error(), "{command}");
            }
            let replica = replica(load).start();
            // Arrays that are in the way are replaced: a replica's directory is its primary's.
            replica.ask("MMAP former fixed uint8 WRITABLE");
            replica.ask("VPUSH former 9 9 9 9");
            follow(&replica, &primary);
            assert_eq!(arrays(&replica), arrays(&primary));
            assert_eq!(replica.say("VALL d"), "[1.5, 2.5]");
            assert_eq!(replica.read("fixed"), [1, 2, 3]);
            assert_eq!(replica.read("odd"), [1; 8], "an odd tail holds no value");
            assert_eq!(replica.read("s"), b"abcd\0\0");
            assert_eq!(replica.say("GET text"), "value");
            assert_eq!(replica.file_len("empty"), 0);
            primary.ask("VPUSH same 3.5");
            primary.ask("DEL odd");
            assert_same(&primary, &replica);
            assert_eq!(replica.say("VALL d"), "[1.5, 2.5, 3.5]");
        }
    }
}

/// The child that saves for a replica reads the second key after values of both were replaced, and saves none of these: they come
/// by the stream, after which there is no gap and nothing to ask for.
#[test]
fn values_that_are_replaced_while_they_are_saved_come_by_the_stream() {
    for diskless in ["no", "yes"] {
        let primary = primary(diskless)
            .config("rdb-key-save-delay", "1000000")
            .start();
        for key in ["a", "b"] {
            assert_eq!(primary.int(&format!("MMAP {key} {key} int64 WRITABLE")), 0);
            push(&primary, key, 0..1000);
        }
        let replica = Server::start();
        let address = format!("REPLICAOF 127.0.0.1 {}", primary.port());
        assert_eq!(replica.say(&address), "OK");
        wait_until("the primary saves", || {
            primary.info("persistence", "rdb_bgsave_in_progress") == "1"
        });
        for key in ["a", "b"] {
            push(&primary, key, 1000..1010);
            primary.ask(&format!("VPOP {key} 910"));
            push(&primary, key, 5000..5950);
            primary.ask(&format!("VPOP {key} 40"));
        }
        wait_until("the replica follows", || {
            replica.info("replication", "master_link_status") == "up"
        });
        knows_it_has_caught_up(&replica);
        assert_same(&primary, &replica);
        assert_eq!(primary.info("stats", "sync_full"), "1");
        assert_eq!(replica.stat("arrays_incomplete"), 0);
        assert!(!replica.log().contains("incomplete"), "{}", replica.log());
    }
}

type Settings = &'static [(&'static str, &'static str)];

/// Settings of both servers that make one way to synchronise, on every server.
const MODES: [Settings; 4] = [
    &[("repl-diskless-sync", "no")],
    &[("repl-diskless-load", "disabled")],
    &[("repl-diskless-load", "on-empty-db")],
    &[("repl-diskless-load", "swapdb")],
];

/// And on some.
const MODES_OF_SOME: [Settings; 5] = [
    &[("repl-diskless-load", "flush-before-load")],
    &[
        ("repl-diskless-load", "flush-before-load"),
        ("dual-channel-replication-enabled", "yes"),
    ],
    &[
        ("repl-diskless-load", "on-empty-db"),
        ("dual-channel-replication-enabled", "yes"),
    ],
    // Redis 8.0 has the channel by default.
    &[
        ("repl-diskless-load", "on-empty-db"),
        ("repl-rdb-channel", "yes"),
    ],
    &[
        ("repl-diskless-load", "on-empty-db"),
        ("repl-rdb-channel", "no"),
    ],
];

/// Whether the server takes all these settings.
#[track_caller]
fn takes(server: &Server, settings: Settings) -> bool {
    settings.iter().all(|(name, value)| {
        let reply = server.say(&format!("CONFIG SET {name} {value}"));
        let is_unknown = reply.contains("Unknown option") || reply.contains("must be one of");
        assert!(reply == "OK" || is_unknown, "{name} {value}: {reply}");
        reply == "OK"
    })
}

/// Makes `replica` follow while arrays are written to, and gives the number of the last write. `next` is the first.
#[track_caller]
fn follow_meanwhile_writing(primary: &Server, replica: &Server, next: u64) -> u64 {
    replica.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    let mut client = primary.client();
    let mut i = next;
    let mut wrote_meanwhile = false;
    wait_until("the replica follows after writes", || {
        for command in [
            format!("VPUSH grows {i} {i}"),
            "VPOP shrinks 3".to_owned(),
            format!("VSET changes {} {i}", i % 20_000),
            "VCLEAR cleared".to_owned(),
            format!("VPUSH cleared {i} {i} {i}"),
        ] {
            assert!(!client.ask(&command).is_error(), "{command}");
        }
        i += 1;
        let replicas = primary.ask("INFO replication").text();
        let is_waiting = replicas.contains(",state=") && !replicas.contains(",state=online");
        // Where the snapshot has a connection of its own, the replica may count as online before it is there.
        let is_saving = primary.info("persistence", "rdb_bgsave_in_progress") == "1";
        wrote_meanwhile |= is_waiting || is_saving;
        // A replica that loads answers when it is done: to ask it sooner would be to write nothing until then.
        wrote_meanwhile && replica.info("replication", "master_link_status") == "up"
    });
    i
}

#[test]
fn writes_that_go_on_during_a_synchronisation_are_neither_lost_nor_doubled() {
    for mode in MODES.into_iter().chain(MODES_OF_SOME) {
        let primary = primary("yes").start();
        let replica = Server::start();
        if !takes(&primary, mode) || !takes(&replica, mode) {
            assert!(!MODES.contains(&mode), "{mode:?}");
            println!("not on this server: {mode:?}");
            continue;
        }
        println!("{mode:?}");
        for key in ["grows", "shrinks", "changes", "cleared"] {
            primary.ask(&format!("MMAP {key} {key} int64 WRITABLE"));
            let mut client = primary.client();
            client.push_one_by_one(key, 0..20_000);
        }
        // Makes the child slow, so that there is time to write.
        primary.ask("CONFIG SET rdb-key-save-delay 50000");
        for i in 0..25 {
            primary.ask(&format!("SET filler:{i} x"));
        }
        let next = follow_meanwhile_writing(&primary, &replica, 20_000);
        assert_same(&primary, &replica);

        // And again, where keys and files are in the way.
        assert_eq!(replica.say("REPLICAOF NO ONE"), "OK");
        replica.ask("VPUSH grows -1");
        replica.ask("VPOP changes 5");
        follow_meanwhile_writing(&primary, &replica, next);
        assert_same(&primary, &replica);
        assert_eq!(primary.info("stats", "sync_full"), "2");
    }
}

/// Memory of a process that is no file's page, in bytes; `None` once it has ended.
fn private_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

fn children(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children
        .split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

#[test]
fn a_large_array_passes_through_no_memory_of_either() {
    const FILE: usize = 256 << 20;
    const AIM: u64 = 64 << 20;
    let mut random = Random::new(1);
    let block: Vec<u8> = (0..1 << 17)
        .flat_map(|_| random.next().to_le_bytes())
        .collect();
    let file = block.repeat(FILE / block.len());
    for mode in [
        &[("repl-diskless-sync", "no")],
        &[("repl-diskless-load", "on-empty-db")],
    ] {
        let primary = primary("yes").write("big", &file).start();
        let replica = Server::start();
        assert!(takes(&primary, mode) && takes(&replica, mode), "{mode:?}");
        let mut client = primary.client();
        assert_eq!(client.int("MMAP big big int64 WRITABLE"), FILE as i64 / 8);
        let servers = [("primary", primary.pid()), ("replica", replica.pid())];
        let idle = servers.map(|(_, pid)| private_bytes(pid).unwrap());
        let mut child_was_seen = false;
        let check = |who: &str, pid: u32, idle: u64| {
            let taken = private_bytes(pid).map_or(0, |now| now.saturating_sub(idle));
            assert!(taken < AIM, "{mode:?}: the {who} took {taken} bytes");
            taken > 0
        };
        replica.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
        wait_until("the replica follows", || {
            let index = random.below(FILE as u64 / 8);
            assert_eq!(client.int(&format!("VSET big {index} {index}")), 1);
            assert_eq!(client.int(&format!("VPUSH big {index}")), 1);
            for ((who, pid), idle) in servers.into_iter().zip(idle) {
                check(who, pid, idle);
            }
            for child in children(primary.pid()) {
                child_was_seen |= check("child", child, idle[0]);
            }
            replica.info("replication", "master_link_status") == "up"
        });
        assert!(child_was_seen);
        assert_same(&primary, &replica);
    }
}

#[test]
fn a_replica_that_cannot_store_a_file_says_so_and_lives_on() {
    let primary = primary("yes").start();
    primary.ask("MMAP k taken/f");
    std::fs::create_dir(primary.path("taken")).unwrap();
    assert_eq!(primary.say("MMAP k taken/f"), "(integer) 0");
    primary.ask("MMAP other o");
    primary.ask("VPUSH k 1");
    primary.ask("VPUSH other 2");
    let mut replica = replica("disabled").start();
    // A file where a directory is needed.
    replica.write("taken", "");
    follow(&replica, &primary);
    primary.ask("VPUSH k 3");
    primary.ask("VPUSH other 4");
    wait_until("the other array goes on", || {
        replica.say("VALL other") == "[2, 4]"
    });
    let error = replica.error("VALL k");
    assert!(error.contains("taken/f"), "{error}");
    assert!(replica.is_running());
    assert_eq!(replica.read("taken"), b"");
}

#[test]
fn a_second_synchronisation_replaces_what_the_first_brought() {
    let pair = Pair::start();
    pair.primary.ask("MMAP k f");
    pair.primary.ask("VPUSH k 1 2 3");
    pair.assert_same();
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    pair.replica.ask("VPUSH k 99");
    pair.primary.ask("VSET k 0 5");
    pair.connect();
    pair.assert_same();
    assert_eq!(pair.replica.say("VALL k"), "[5, 2, 3]");
    assert_eq!(pair.replica.read("f"), doubles([5.0, 2.0, 3.0]));
}

/// They lie where the file of an array may not end, and this one does not.
#[test]
fn values_that_look_like_a_record_reach_a_replica() {
    let primary = primary("yes").start();
    // Where they are appended no page ends.
    primary.ask("MMAP v v");
    let append = |bytes: &[u8]| {
        primary
            .run(&[b"VADDRAW".as_slice(), b"v", bytes])
            .to_string()
    };
    assert_eq!(append(&[1; 4040]), "(integer) 505");
    assert_eq!(
        append(&[&record_of(4096)[..], &[1; 80]].concat()),
        "(integer) 18"
    );
    assert_eq!(primary.int("VTRIM v 1 -1"), 1);
    assert_eq!(primary.file_len("v"), 4176);
    let replica = replica("disabled").start();
    follow(&replica, &primary);
    assert_eq!(replica.int("VSIZE v"), 522);
    assert_same(&primary, &replica);
}
