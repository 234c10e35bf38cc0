//! A replica takes over while the contents of an array are on their way to it: it answers with an error until it has them
//! all, and has them once it can get them.
//!
//! `MMAP_MIB` says how large the array is.

use crate::cluster::{Cluster, ClusterNode, follows, is_primary};
use crate::failover::fail_over;
use crate::incomplete::heals;
use crate::pair::{Pair, catch_up, follow, start_again_as_replica_of};
use crate::writer::LONG;
use support::{Reply, Server, wait_at_most, wait_until};

const DEFAULT_MIB: u64 = 100;
/// So much is sent ahead of what the replica has acknowledged (`WINDOW` in `src/redis/replication/fill.rs`), and no less than half of
/// this is left when the primary goes.
const AHEAD: u64 = 32 << 20;

fn bytes() -> Vec<u8> {
    let mib = std::env::var("MMAP_MIB").ok();
    let mib = mib.map_or(DEFAULT_MIB, |text| text.parse().unwrap());
    assert!(mib << 20 > AHEAD + (16 << 20), "MMAP_MIB is too small");
    (0..mib << 20).map(|i| (i % 251) as u8).collect()
}

/// Binds a file of these bytes to `k` at the primary, and has it pause when the replica has got a part of them. What is written
/// then is acknowledged by `WAIT`, as the replica has that, too.
#[track_caller]
fn bind_and_hold(primary: &Server, replica: &Server, bytes: &[u8]) {
    primary.write("f", bytes);
    primary.ask("MULTI");
    primary.ask("MMAP k f uint8 WRITABLE");
    primary.ask("VSET k 0 77 1 78");
    // Contents are not sent while writes are paused.
    primary.ask("CLIENT PAUSE 1000000 WRITE");
    let replies = primary.ask("EXEC").items();
    assert_eq!(replies[0], Reply::Int(bytes.len() as i64), "{replies:?}");
    assert_eq!(replies[1], Reply::Int(2));
    assert_eq!(primary.int("WAIT 1 60000"), 1);
    is_refused(replica);
    // The replica does not acknowledge anything, so that the primary waits for it after a part.
    replica.stop();
    assert_eq!(primary.say("CLIENT UNPAUSE"), "OK");
    wait_until("a part of the contents is sent", || {
        primary.stat("fill_bytes_left") <= bytes.len() as u64 - AHEAD
    });
    assert_eq!(primary.say("CLIENT PAUSE 1000000 WRITE"), "OK");
    replica.go_on();
    catch_up(primary, replica);
    assert_eq!(primary.stat("fills"), 1);
    is_refused(replica);
}

#[track_caller]
fn is_refused(server: &Server) {
    for command in ["VGET k 0", "VSIZE k", "VGETRAW k -10 -1"] {
        let error = server.error(command);
        assert!(error.contains("incomplete"), "{error}");
    }
    assert_eq!(server.stat("arrays_incomplete"), 1);
}

/// What the array holds, with what was written when it was bound.
fn written(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[..2].copy_from_slice(&[77, 78]);
    bytes
}

#[track_caller]
fn has(server: &Server, expected: &[u8]) {
    let Reply::Bulk(found) = server.ask("VGETRAW k 0 -1") else {
        panic!("{}", server.ask("VSIZE k"));
    };
    assert!(found == expected, "other values");
}

#[test]
fn a_primary_that_dies_while_its_replica_is_filled() {
    let mut pair = Pair::start();
    let bytes = bytes();
    bind_and_hold(&pair.primary, &pair.replica, &bytes);
    let bytes = written(bytes);
    pair.primary.kill_9();
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    is_refused(&pair.replica);
    // Nothing may be added to what lacks values, and WAIT does not count it.
    assert!(pair.replica.ask("VPUSH k 1").is_error());
    // The former primary follows it, and does not give its good copy up for one that lacks values.
    start_again_as_replica_of(&mut pair.primary, &pair.replica);
    wait_until("the former primary follows", || {
        pair.primary.info("replication", "master_link_status") == "up"
    });
    wait_until("it says what its primary says", || {
        pair.primary.ask("VSIZE k").is_error()
    });
    assert!(pair.primary.read("f") == bytes, "the good copy is gone");
    is_refused(&pair.replica);
    // An operator makes it the primary again, and takes the good copy.
    assert_eq!(pair.primary.say("REPLICAOF NO ONE"), "OK");
    assert_eq!(pair.primary.int("DEL k"), 1);
    let count = pair.primary.int("MMAP k f uint8 WRITABLE INCOMPLETE");
    assert_eq!(count, bytes.len() as i64);
    follow(&pair.replica, &pair.primary);
    heals(&pair.primary, &pair.replica, "k");
    has(&pair.replica, &bytes);
}

#[test]
fn a_replica_that_took_over_while_it_was_filled_heals_when_its_primary_is_back() {
    let mut pair = Pair::start();
    let bytes = bytes();
    bind_and_hold(&pair.primary, &pair.replica, &bytes);
    pair.primary.kill_9();
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    is_refused(&pair.replica);
    pair.primary.start_again();
    pair.primary.ask("MMAP k f uint8 WRITABLE");
    follow(&pair.replica, &pair.primary);
    heals(&pair.primary, &pair.replica, "k");
    has(&pair.replica, &written(bytes));
}

/// Has the two change places while the replica is filled, and back again.
fn change_places_and_back(former: &Server, new: &Server, change_places: impl Fn(&Server, &Server)) {
    let bytes = bytes();
    bind_and_hold(former, new, &bytes);
    let bytes = written(bytes);
    change_places(former, new);
    assert_eq!(former.say("CLIENT UNPAUSE"), "OK");
    is_refused(new);
    assert!(new.ask("VPUSH k 1").is_error());
    // The former primary answers with what it has, or with an error.
    catch_up(new, former);
    match former.ask("VSIZE k") {
        Reply::Error(_) => {}
        _ => has(former, &bytes),
    }
    assert!(former.read("f") == bytes, "the good copy is gone");
    change_places(new, former);
    heals(former, new, "k");
    has(new, &bytes);
}

#[test]
fn a_planned_failover_while_the_replica_is_filled() {
    let pair = Pair::start();
    change_places_and_back(&pair.primary, &pair.replica, fail_over);
    assert_eq!(pair.primary.int("VPUSH k 5"), 1);
    assert_eq!(pair.primary.int("WAIT 1 60000"), 1);
    heals(&pair.primary, &pair.replica, "k");
}

#[test]
fn a_failover_in_a_cluster_while_the_replica_is_filled() {
    let cluster = Cluster::start();
    let former = cluster.primary_of("k");
    let new = cluster.replica_of(former);
    former.say("READONLY");
    change_places_and_back(former, new, |from, to| {
        wait_at_most(LONG, "they have changed places", || {
            // One that takes more than five seconds is given up by the server.
            if !is_primary(to) {
                to.say("CLUSTER FAILOVER");
            }
            is_primary(to) && follows(from, to) && to.info_of_cluster("cluster_state") == "ok"
        });
    });
}

/// The array that was being sent is another one then.
#[test]
fn a_primary_that_reloads_its_data_goes_on_to_send_it() {
    let pair = Pair::start();
    let bytes = bytes();
    bind_and_hold(&pair.primary, &pair.replica, &bytes);
    assert_eq!(pair.primary.say("CLIENT UNPAUSE"), "OK");
    // The replica cannot have all of it by now.
    pair.replica.stop();
    assert_eq!(pair.primary.say("DEBUG RELOAD"), "OK");
    pair.replica.go_on();
    heals(&pair.primary, &pair.replica, "k");
    has(&pair.replica, &written(bytes));
}
