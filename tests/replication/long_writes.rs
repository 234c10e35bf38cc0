//! Long writes, which other threads do: what becomes of them while writes are paused, and when another server takes over.

use crate::pair::{Pair, assert_same, follow, start_again_as_replica_of};
use support::{Client, Reply, Server, wait_until};

/// Number of values of the array `k`, of one byte each.
const VALUES: u64 = 64 << 20;

/// A primary with the array `k` and a replica that has it, too.
#[track_caller]
fn pair() -> Pair {
    let backlog = |setup: support::Setup| setup.config("repl-backlog-size", "512mb");
    let pair = Pair::of(backlog(Server::setup()), backlog(Server::setup()));
    sparse_file(&pair.primary, "f");
    pair.primary.ask("MMAP k f uint8 WRITABLE");
    pair.assert_same();
    pair
}

fn sparse_file(server: &Server, name: &str) {
    let file = std::fs::File::create(server.path(name)).unwrap();
    file.set_len(VALUES).unwrap();
}

/// Clients whose long writes have begun, one after the other.
#[track_caller]
fn begin(server: &Server, commands: &[&str]) -> Vec<Client> {
    let words = |command: &&str| command.split_whitespace().map(str::to_owned).collect();
    let words: Vec<Vec<String>> = commands.iter().map(words).collect();
    let send = |words: &Vec<String>| {
        let mut client = server.client();
        client.set_patience(None);
        client.send(words);
        client
    };
    let clients = words.iter().map(send).collect();
    wait_until("the server has got the long writes", || {
        let list = server.ask("CLIENT LIST").text();
        list.matches("cmd=vfill").count() + list.matches("cmd=vtrim").count() >= commands.len()
    });
    clients
}

const FILLS: [&str; 8] = [
    "VFILL k 0 -1 1",
    "VFILL k 0 -1 2",
    "VFILL k 0 -1 3",
    "VFILL k 0 -1 4",
    "VFILL k 0 -1 5",
    "VFILL k 0 -1 6",
    "VFILL k 0 -1 7",
    "VFILL k 0 -1 8",
];

/// Waits for so long that the server's clock has gone on, by its own account.
fn let_the_clock_tick(server: &Server) {
    let uptime = || {
        server
            .info("server", "uptime_in_seconds")
            .parse::<u64>()
            .unwrap()
    };
    let start = uptime();
    wait_until("the server's clock goes on", || uptime() >= start + 2);
}

#[test]
fn what_ends_while_writes_are_paused_is_sent_and_answered_afterwards() {
    for last_command in [FILLS[7], "VTRIM k 1000 -1"] {
        let mut pair = pair();
        let commands = [&FILLS[..7], &[last_command]].concat();
        let values = |server: &Server| server.int("VSIZE k");
        // They may end before the pause begins: then there is another try.
        let mut before = values(&pair.primary);
        let mut clients = begin(&pair.primary, &commands);
        assert_eq!(pair.primary.say("CLIENT PAUSE 100000 WRITE"), "OK");
        while pair.primary.info("clients", "blocked_clients") == "0" {
            assert_eq!(pair.primary.say("CLIENT UNPAUSE"), "OK");
            before = values(&pair.primary);
            drop(clients);
            clients = begin(&pair.primary, &commands);
            assert_eq!(pair.primary.say("CLIENT PAUSE 100000 WRITE"), "OK");
        }
        // Reading goes on, and shows when the last of them has ended. A head stays until replicas can be told that it goes.
        if last_command == FILLS[7] {
            wait_until("the last long write is carried out", || {
                pair.primary.int(&format!("VGET k {}", before - 1001)) == 8
            });
        }
        let_the_clock_tick(&pair.primary);
        assert!(pair.primary.is_running(), "{}", pair.primary.log());
        let sent = offset(&pair.primary, "master_repl_offset");
        let_the_clock_tick(&pair.primary);
        // Of the server itself there may be a PING.
        let more = offset(&pair.primary, "master_repl_offset") - sent;
        assert!(
            more < 100,
            "nothing is sent during a pause, and {more} bytes were"
        );
        assert_eq!(values(&pair.primary), before);
        assert_eq!(pair.primary.say("CLIENT UNPAUSE"), "OK");
        for client in &mut clients {
            assert!(matches!(client.receive(), Reply::Int(_)));
        }
        pair.assert_same();
        assert!(pair.primary.is_running());
    }
}

#[test]
fn contents_wait_for_the_end_of_a_pause() {
    let mut pair = Pair::start();
    sparse_file(&pair.primary, "big");
    pair.primary.ask("MMAP big big uint8 WRITABLE");
    assert_eq!(pair.primary.say("CLIENT PAUSE 100000 WRITE"), "OK");
    let_the_clock_tick(&pair.primary);
    assert!(pair.primary.is_running(), "{}", pair.primary.log());
    assert!(pair.replica.error("VSIZE big").contains("on their way"));
    assert_eq!(pair.primary.say("CLIENT UNPAUSE"), "OK");
    pair.assert_same();
}

/// Has the replica take over, by `FAILOVER`.
#[track_caller]
fn fail_over(pair: &Pair) {
    assert_eq!(pair.primary.say("FAILOVER"), "OK");
    wait_until("they have changed places", || {
        pair.replica.info("replication", "role") == "master"
            && pair.primary.info("replication", "role") == "slave"
            && pair.primary.info("replication", "master_link_status") == "up"
    });
}

#[test]
fn a_failover_during_long_writes_leaves_both_the_same() {
    for commands in [
        &FILLS[..],
        &["VFILL k 0 -1 1", "VFILL k 0 -1 2", "VTRIM k 1000 -1"],
        &["VTRIM k 1000 -1"],
    ] {
        let mut pair = pair();
        let clients = begin(&pair.primary, commands);
        let full_syncs = pair.replica.info("stats", "sync_full");
        fail_over(&pair);
        assert!(pair.primary.is_running() && pair.replica.is_running());
        assert_same(&pair.replica, &pair.primary);
        assert_eq!(pair.replica.info("stats", "sync_full"), full_syncs);
        drop(clients);
        pair.replica.ask("VPUSH k 9");
        assert_same(&pair.replica, &pair.primary);
    }
}

/// The head goes only where replicas can be told of it. Else the former primary would be ahead of the new one, whose contents
/// would have to take the place of its array: and until they were whole, it could not take over again.
#[test]
fn a_primary_that_is_back_while_its_array_is_sent_again_answers() {
    let mut pair = pair();
    let size = |server: &Server| server.ask("VSIZE k");
    // Writes are paused for as long as the replica does not say how far it is.
    pair.replica.stop();
    let mut clients = begin(&pair.primary, &["VTRIM k 1000 -1"]);
    assert_eq!(pair.primary.say("FAILOVER"), "OK");
    let_the_clock_tick(&pair.primary);
    let_the_clock_tick(&pair.primary);
    pair.replica.go_on();
    wait_until("they have changed places", || {
        pair.replica.info("replication", "role") == "master"
            && pair.primary.info("replication", "master_link_status") == "up"
    });
    std::mem::swap(&mut pair.primary, &mut pair.replica);
    wait_until("the former primary may take over", || {
        pair.primary.say("FAILOVER") == "OK"
    });
    wait_until("it has", || {
        pair.replica.info("replication", "role") == "master"
    });
    assert_eq!(size(&pair.replica), size(&pair.primary));
    let count = size(&pair.replica).int() as u64;
    match clients[0].try_receive() {
        Ok(Reply::Int(1000)) => assert_eq!(count, VALUES - 1000),
        _ => assert!(count == VALUES || count == VALUES - 1000),
    }
    assert_same(&pair.replica, &pair.primary);
}

/// A position in the stream, as `INFO replication` gives it.
#[track_caller]
fn offset(server: &Server, field: &str) -> u64 {
    server.info("replication", field).parse().unwrap()
}

/// The new primary has sent what was uncertain, but not what it has been told to write since, when it is replaced in turn.
#[test]
fn long_writes_that_begin_right_after_a_failover_survive_the_next_one() {
    let mut pair = pair();
    // It is to wait for the disk after each piece of a long write.
    pair.replica.ask("CONFIG SET mmap.max-dirty-bytes 1mb");
    let clients = begin(&pair.primary, &FILLS);
    assert_eq!(pair.primary.say("FAILOVER"), "OK");
    wait_until("the replica takes over", || {
        pair.replica.info("replication", "role") == "master"
    });
    std::mem::swap(&mut pair.primary, &mut pair.replica);
    let sent = || offset(&pair.primary, "master_repl_offset");
    let before = sent();
    let more_clients = begin(&pair.primary, &FILLS.repeat(5));
    // And perhaps what the first of these has written.
    wait_until("the array was sent again", || sent() > before + 2 * VALUES);
    fail_over(&pair);
    assert_same(&pair.replica, &pair.primary);
    drop((clients, more_clients));
}

/// Kills the replica after it has saved its RDB file, and starts it again: it goes on with the stream from there.
#[track_caller]
fn restart_replica(pair: &mut Pair) {
    let full_syncs = pair.primary.info("stats", "sync_full");
    pair.replica.save();
    pair.replica.kill_9();
    start_again_as_replica_of(&mut pair.replica, &pair.primary);
    wait_until("the replica is back", || {
        pair.replica.info("replication", "master_link_status") == "up"
    });
    assert_eq!(pair.primary.info("stats", "sync_full"), full_syncs);
}

#[test]
fn a_replica_that_restarts_during_long_writes_can_take_over() {
    let mut pair = pair();
    // It is to wait for the disk after each piece of a long write.
    pair.primary.ask("CONFIG SET mmap.max-dirty-bytes 1mb");
    let clients = begin(&pair.primary, &FILLS.repeat(5));
    let sent = offset(&pair.primary, "master_repl_offset");
    wait_until("the replica knows that they have begun", || {
        offset(&pair.replica, "slave_repl_offset") >= sent
    });
    restart_replica(&mut pair);
    fail_over(&pair);
    assert_same(&pair.replica, &pair.primary);
    drop(clients);
}

/// A replica to which no value of the array `k` has come yet.
#[track_caller]
fn pair_with_values_on_their_way(bytes: &[u8]) -> Pair {
    let pair = Pair::start();
    pair.primary.write("f", bytes);
    pair.primary.ask("MMAP k f uint8 WRITABLE");
    assert_eq!(pair.primary.say("CLIENT PAUSE 100000 WRITE"), "OK");
    wait_until("the replica has the key", || {
        pair.replica.ask("EXISTS k") == Reply::Int(1)
    });
    assert!(pair.replica.error("VGET k 0").contains("on their way"));
    pair
}

#[test]
fn a_replica_that_restarts_knows_that_values_are_on_their_way() {
    let mut pair = pair_with_values_on_their_way(&vec![7; VALUES as usize]);
    restart_replica(&mut pair);
    assert!(pair.replica.error("VGET k 0").contains("on their way"));
    assert_eq!(pair.primary.say("CLIENT UNPAUSE"), "OK");
    pair.assert_same();
    restart_replica(&mut pair);
    assert_eq!(pair.replica.int("VGET k 0"), 7);
}

#[test]
fn values_that_never_came_are_no_zeros_after_a_restart_either() {
    let bytes = vec![7; VALUES as usize];
    let mut pair = pair_with_values_on_their_way(&bytes);
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    pair.replica.save();
    pair.replica.kill_9();
    pair.replica.start_again();
    let advice = "replace the file by a copy";
    assert!(pair.replica.error("VGET k 0").contains(advice));
    let again = pair.replica.error("MMAP k f uint8 WRITABLE");
    assert!(again.contains(advice), "{again}");
    // As it says, and in place, where the file still says that it is incomplete.
    pair.replica.ask("DEL k");
    pair.replica.write("f", &bytes);
    let refused = pair.replica.error("MMAP k f uint8 WRITABLE");
    assert!(refused.contains("INCOMPLETE"), "{refused}");
    let mapped = pair.replica.int("MMAP k f uint8 WRITABLE INCOMPLETE");
    assert_eq!(mapped.cast_unsigned(), VALUES);
    pair.replica.save();
    pair.replica.kill_9();
    pair.replica.start_again();
    assert_eq!(pair.replica.int("VGET k 0"), 7);
}

#[test]
fn a_primary_that_is_made_a_replica_by_hand_ends_like_the_new_one() {
    let pair = pair();
    let clients = begin(
        &pair.primary,
        &["VFILL k 0 -1 1", "VTRIM k 10 -1", FILLS[2], FILLS[3]],
    );
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    follow(&pair.primary, &pair.replica);
    assert_same(&pair.replica, &pair.primary);
    drop(clients);
}

#[test]
fn values_that_the_new_primary_never_got_are_not_overwritten_at_the_old_one() {
    let pair = Pair::start();
    let bytes: Vec<u8> = (0..VALUES).map(|i| (i % 251) as u8).collect();
    pair.primary.write("precious", &bytes);
    pair.primary.ask("MMAP k precious uint8 WRITABLE");
    wait_until("the replica has begun", || {
        pair.replica.ask("EXISTS k") == Reply::Int(1)
    });
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    let error = pair.replica.ask("VSIZE k");
    if error.is_error() {
        let error = error.error();
        assert!(error.contains("replace the file by a copy"), "{error}");
        follow(&pair.primary, &pair.replica);
        assert!(
            pair.primary.read("precious") == bytes,
            "the values are nowhere any more"
        );
        // As the error says.
        pair.replica.ask("DEL k");
        std::fs::remove_file(pair.replica.path("precious")).unwrap();
        pair.replica.write("precious", &bytes);
        assert_eq!(
            pair.replica.ask("MMAP k precious uint8 WRITABLE"),
            Reply::Int(VALUES as i64)
        );
        assert_same(&pair.replica, &pair.primary);
    }
}
