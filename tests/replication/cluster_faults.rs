//! What becomes of arrays on a Cluster whose nodes lack values: there a node asks its primary by a message.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Router, is_primary};
use crate::incomplete::{cut_file, mark_as_of_another_boot, push};
use crate::pair::catch_up;
use crate::writer::LONG;
use support::{Reply, Server, wait_at_most};

/// The primary of the key `k`, and its replica, by their numbers; the key holds 1 to 3000.
#[track_caller]
fn ends(cluster: &Cluster) -> (usize, usize) {
    let mut router = Router::new(cluster.nodes[0].port());
    assert_eq!(router.ask("MMAP k f int64 WRITABLE"), Reply::Int(0));
    let primary = cluster.primary_of("k").port();
    let at = |port| cluster.nodes.iter().position(|n| n.port() == port).unwrap();
    let primary = at(primary);
    push(&cluster.nodes[primary], "k", 1..3001);
    let replica = at(cluster.replica_of(&cluster.nodes[primary]).port());
    catch_up(&cluster.nodes[primary], &cluster.nodes[replica]);
    (primary, replica)
}

/// Waits until a node answers what its primary does. Until then it may answer with errors only.
#[track_caller]
fn heals(primary: &Server, replica: &Server) {
    key_heals(primary, replica, "k");
}

#[track_caller]
fn key_heals(primary: &Server, replica: &Server, key: &str) {
    let values = format!("VALL {key}");
    replica.say("READONLY");
    wait_at_most(LONG, "the replica answers", || {
        catch_up(primary, replica);
        match replica.ask(&values) {
            Reply::Error(_) => false,
            found => {
                let (found, expected) = (found.items(), primary.ask(&values).items());
                let first = found.iter().zip(&expected).position(|(a, b)| a != b);
                assert!(
                    found == expected,
                    "{} values, and {} at the primary; the first that differs is at {first:?}",
                    found.len(),
                    expected.len()
                );
                true
            }
        }
    });
    assert_eq!(replica.stat("arrays_incomplete"), 0);
    assert_eq!(replica.stat("keys_unavailable"), 0);
}

#[test]
fn a_node_asks_its_primary_for_an_array_of_which_it_lacks_values() {
    let cluster = Cluster::start();
    let (primary, replica) = ends(&cluster);
    let (primary, replica) = (&cluster.nodes[primary], &cluster.nodes[replica]);
    let full_syncs = primary.info("stats", "sync_full");
    assert_eq!(replica.say("VSYNC k"), "OK");
    cut_file(replica, 800);
    push(primary, "k", 3001..3010);
    wait_at_most(LONG, "the replica knows", || {
        replica.ask("VGET k 0").is_error()
    });
    heals(primary, replica);
    assert_eq!(
        primary.info("stats", "sync_full"),
        full_syncs,
        "only that array is sent"
    );
}

fn save_and_kill(node: &mut Server) {
    node.save();
    node.kill_9();
}

fn save_and_lose_file(node: &mut Server) {
    save_and_kill(node);
    std::fs::remove_file(node.path("f")).unwrap();
}

#[test]
fn a_node_asks_its_primary_for_a_key_whose_file_is_gone() {
    let mut cluster = Cluster::start();
    let (primary, replica) = ends(&cluster);
    save_and_lose_file(&mut cluster.nodes[replica]);
    cluster.nodes[replica].start_again_at_its_port();
    heals(&cluster.nodes[primary], &cluster.nodes[replica]);
}

#[test]
fn a_node_asks_for_a_key_by_the_name_that_it_has_by_then() {
    let mut cluster = Cluster::start();
    let (primary, replica) = ends(&cluster);
    save_and_lose_file(&mut cluster.nodes[replica]);
    assert_eq!(cluster.nodes[primary].say("RENAME k {k}2"), "OK");
    cluster.nodes[replica].start_again_at_its_port();
    key_heals(&cluster.nodes[primary], &cluster.nodes[replica], "{k}2");
}

/// What was overwritten and not synced is gone after a power cut, while the RDB file says that it was there.
#[test]
fn a_node_whose_machine_went_down_shows_nothing_that_its_primary_does_not_have() {
    let mut cluster = Cluster::start();
    let (primary, replica) = ends(&cluster);
    assert_eq!(cluster.nodes[primary].int("VSET k 0 77 1 78"), 2);
    catch_up(&cluster.nodes[primary], &cluster.nodes[replica]);
    let node = &mut cluster.nodes[replica];
    save_and_kill(node);
    let path = node.path("f");
    let mut bytes = node.read("f");
    bytes[..16].copy_from_slice(&[1_u64.to_le_bytes(), 2_u64.to_le_bytes()].concat());
    std::fs::write(&path, bytes).unwrap();
    mark_as_of_another_boot(&path, 3000);
    node.start_again_at_its_port();
    let (primary, replica) = (&cluster.nodes[primary], &cluster.nodes[replica]);
    wait_at_most(LONG, "the node follows again", || {
        replica.info("replication", "master_link_status") == "up"
    });
    heals(primary, replica);
    assert_eq!(replica.int("VGET k 0"), 77);
}

/// How often a node was asked to pause, so that its replica can take over.
fn times_asked(primary: &Server) -> usize {
    let log = primary.log();
    log.matches("Manual failover requested by replica").count()
}

/// What a demotion gives up is answered by an error; what is answered is done, at the new primary.
#[test]
fn a_trim_during_a_failover_is_done_or_answered_by_an_error() {
    const BYTES: i64 = 96 << 20;
    let cluster = Cluster::start();
    let mut router = Router::new(cluster.nodes[0].port());
    for primary in cluster.primaries() {
        let file = std::fs::File::create(primary.path("big")).unwrap();
        file.set_len(BYTES as u64).unwrap();
    }
    assert_eq!(router.ask("MMAP k big uint8 WRITABLE"), Reply::Int(BYTES));
    let mut given_up = 0;
    for round in 0..6 {
        let primary = cluster.primary_of("k");
        let replica = cluster.replica_of(primary);
        wait_at_most(LONG, "the replica has all of it", || {
            replica.say("READONLY");
            primary.stat("fills") == 0 && !replica.ask("VSIZE k").is_error()
        });
        let before = primary.int("VSIZE k");
        let mut clients: Vec<_> = ["VFILL k 0 -1 1", "VFILL k 0 -1 2", "VTRIM k 1000 -1"]
            .iter()
            .map(|command| {
                let mut client = primary.client();
                client.send(&command.split(' ').collect::<Vec<_>>());
                client
            })
            .collect();
        let mut asked: Option<Instant> = None;
        let mut paused = times_asked(primary);
        wait_at_most(LONG, "they have changed places", || {
            // A failover that takes more than five seconds is given up by the server.
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(6)) {
                asked = (replica.say("CLUSTER FAILOVER") == "OK").then(Instant::now);
            }
            // Its primary pauses, and it is slow to follow, so that the trim may end during the pause.
            if times_asked(primary) > paused {
                paused = times_asked(primary);
                replica.client().send(&["DEBUG", "SLEEP", "1"]);
            }
            is_primary(replica) && !is_primary(primary)
        });
        let reply = clients.pop().unwrap().receive();
        println!("round {round}: {reply}");
        wait_at_most(LONG, "the new primary answers", || {
            !router.ask("VSIZE k").is_error()
        });
        let after = replica.int("VSIZE k");
        match reply {
            Reply::Int(1000) => assert_eq!(after, before - 1000, "answered and not done"),
            Reply::Error(_) => given_up += 1,
            other => panic!("{other}"),
        }
        assert!(after == before || after == before - 1000);
    }
    println!("{given_up} of 6 were given up");
}
