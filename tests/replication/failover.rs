//! Planned failovers between plain servers: primary and replica change places while clients write.

use crate::pair::{Pair, assert_same, follow};
use crate::writer::{LONG, Written, while_writing};
use support::{Reply, Server, wait_at_most, wait_until};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

#[track_caller]
fn map(primary: &Server) {
    for key in KEYS {
        let command = format!("MMAP {key} {key}.i64 int64 WRITABLE");
        assert_eq!(primary.int(&command), 0);
    }
}

/// Has the two change places, and waits until they have.
#[track_caller]
pub fn fail_over(from: &Server, to: &Server) {
    // Not before the primary knows that the replica is there.
    wait_at_most(LONG, "the replica may take over", || {
        from.say(&format!("FAILOVER TO 127.0.0.1 {}", to.port())) == "OK"
    });
    wait_at_most(LONG, "they have changed places", || {
        to.info("replication", "role") == "master"
            && from.info("replication", "role") == "slave"
            && from.info("replication", "master_link_status") == "up"
    });
}

#[track_caller]
fn assert_holds(server: &Server, written: &[Written]) {
    for Written { key, values } in written {
        let expected: Vec<_> = values.iter().copied().map(Reply::Int).collect();
        assert!(
            server.ask(&format!("VALL {key}")).items() == expected,
            "{key} does not hold what was acknowledged"
        );
    }
}

#[test]
fn a_failover_loses_nothing_and_the_old_primary_follows() {
    for fsync in ["everysec", "always"] {
        let setup = || Server::setup().config("mmap.fsync", fsync);
        let pair = Pair::of(setup(), setup().config("repl-diskless-sync-delay", "0"));
        let last = Server::start();
        follow(&last, &pair.replica);
        map(&pair.primary);
        let ports = [pair.primary.port(), pair.replica.port()];
        let written = while_writing(&KEYS, &ports, |wait_for_writes| {
            for [from, to] in [
                [&pair.primary, &pair.replica],
                [&pair.replica, &pair.primary],
                [&pair.primary, &pair.replica],
            ] {
                wait_for_writes();
                fail_over(from, to);
                wait_for_writes();
            }
        });
        let primary = &pair.replica;
        assert_holds(primary, &written);
        assert_same(primary, &pair.primary);
        assert_same(primary, &last);
        let full_syncs = pair.primary.info("stats", "sync_full");
        assert_eq!(full_syncs, "1", "each goes on where it was");
    }
}

#[test]
fn a_replica_that_restarts_by_its_aof_follows_again_and_passes_everything_on() {
    let primary = Server::setup()
        .config("repl-diskless-sync-delay", "0")
        .start();
    let mut middle = Server::setup()
        .config("repl-diskless-sync-delay", "0")
        .config("appendonly", "yes")
        .config("replicaof", &format!("127.0.0.1 {}", primary.port()))
        .start();
    let last = Server::start();
    follow(&last, &middle);
    map(&primary);
    let written = while_writing(&KEYS, &[primary.port()], |wait_for_writes| {
        wait_for_writes();
        wait_until("all keys have arrived", || {
            middle.int("DBSIZE") == KEYS.len() as i64
        });
        middle.wait_for_background_jobs();
        middle.kill_9();
        wait_for_writes();
        middle.start_again();
        follow(&last, &middle);
        wait_for_writes();
    });
    assert_holds(&primary, &written);
    assert_same(&primary, &middle);
    assert_same(&primary, &last);
    assert!(middle.log().contains("DB loaded from"), "{}", middle.log());

    // Then it takes over.
    let ports = [primary.port(), middle.port()];
    for key in KEYS {
        primary.ask(&format!("VCLEAR {key}"));
    }
    let written = while_writing(&KEYS, &ports, |wait_for_writes| {
        wait_for_writes();
        fail_over(&primary, &middle);
        wait_for_writes();
    });
    assert_holds(&middle, &written);
    assert_same(&middle, &primary);
    assert_same(&middle, &last);
    middle.kill_9();
    middle.start_again();
    // By its configuration it is a replica, which does not show what it wrote as a primary.
    let error = middle.error(&format!("VALL {}", KEYS[0]));
    assert!(error.contains("it was a primary"), "{error}");
    assert_eq!(middle.say("REPLICAOF NO ONE"), "OK");
    assert_holds(&middle, &written);
}
