//! Slots that move with their arrays all at once, by `CLUSTER MIGRATESLOTS` of Valkey 9.

use crate::cluster::{
    Cluster, ClusterNode, Router, SLOTS, assert_numbers, keys_in_first_slots, map_and_push,
    numbers, while_pushing,
};
use crate::writer::LONG;
use support::{Reply, Server, wait_at_most, wait_until};

/// A cluster of servers that can do it, and the keys of arrays in the slots that are to move.
fn cluster_with_keys() -> Option<(Cluster, Vec<String>)> {
    let probe = Server::start();
    if probe.ask("COMMAND INFO cluster|migrateslots").items() == [Reply::Nil] {
        // Only Valkey has this command.
        return None;
    }
    let cluster = Cluster::steady();
    let keys = keys_in_first_slots(&cluster);
    Some((cluster, keys))
}

/// Moves the first slots, and says how that ended.
#[track_caller]
fn migrate(from: &Server, to: &Server) -> (String, String) {
    begin_migration(from, to);
    end_of_migration(from)
}

#[track_caller]
fn begin_migration(from: &Server, to: &Server) {
    let command = format!(
        "CLUSTER MIGRATESLOTS SLOTSRANGE 0 {} NODE {}",
        SLOTS - 1,
        to.id()
    );
    assert_eq!(from.say(&command), "OK", "{}", from.log());
}

#[track_caller]
fn end_of_migration(from: &Server) -> (String, String) {
    let mut end = None;
    wait_at_most(LONG, "the migration ends", || {
        let migrations = from.ask("CLUSTER GETSLOTMIGRATIONS").items();
        let mut latest = migrations[0].clone().pairs();
        let mut text = |field| latest.remove(field).unwrap().text();
        let state = text("state");
        if ["success", "failed", "cancelled"].contains(&state.as_str()) {
            end = Some((state, text("message")));
        }
        end.is_some()
    });
    end.unwrap()
}

/// The primary of the first slots, and another one.
fn ends<'a>(cluster: &'a Cluster, key: &str) -> (&'a Server, &'a Server) {
    let from = cluster.primary_of(key);
    let mut others = cluster.primaries().into_iter();
    (
        from,
        others.find(|node| node.port() != from.port()).unwrap(),
    )
}

#[test]
fn slots_move_at_once_with_their_arrays_while_these_are_written_to() {
    let Some((cluster, keys)) = cluster_with_keys() else {
        return;
    };
    map_and_push(&cluster, &keys, 5);
    let counts = while_pushing(&cluster, &keys, || {
        // To another primary and back, where the files were left behind.
        for _ in 0..2 {
            let (from, to) = ends(&cluster, &keys[0]);
            let end = migrate(from, to);
            assert_eq!(end.0, "success", "{end:?} {}{}", from.log(), to.log());
            wait_until("the slots are where they should be", || {
                cluster.primary_of(&keys[0]).port() == to.port()
            });
        }
    });
    assert_numbers(&cluster, &keys, &counts);
}

#[test]
fn slots_stay_where_they_are_if_a_file_is_in_the_way_of_another_key() {
    let Some((cluster, keys)) = cluster_with_keys() else {
        return;
    };
    map_and_push(&cluster, &keys[..1], 5);
    let (from, to) = ends(&cluster, &keys[0]);
    let file = format!("dir/{}.i64", keys[0]);
    // A key of the other node's own that leads to a file of that name.
    let own = (0..)
        .map(|i| format!("own:{i}"))
        .find(|key| cluster.primary_of(key).port() == to.port())
        .unwrap();
    assert_eq!(
        to.ask(&format!("MMAP {own} {file} int64 WRITABLE")),
        Reply::Int(0)
    );
    to.ask(&format!("VPUSH {own} 77"));
    let (state, _) = migrate(from, to);
    assert_eq!(state, "failed");
    assert!(to.log().contains("bound to another key"), "{}", to.log());
    assert_eq!(to.ask(&format!("VALL {own}")).items(), [Reply::Int(77)]);
    let mut client = Router::new(from.port());
    assert_eq!(client.ask(&format!("VALL {}", keys[0])).items(), numbers(5));
    assert_eq!(cluster.primary_of(&keys[0]).port(), from.port());

    // Without it, the next try succeeds; what is left of the first is set aside.
    to.ask(&format!("DEL {own}"));
    let end = migrate(from, to);
    assert_eq!(end.0, "success", "{end:?} {}", to.log());
    assert_eq!(client.ask(&format!("VALL {}", keys[0])).items(), numbers(5));
    assert_eq!(to.file_len(&format!("{file}.replaced")), 8);
}

#[test]
fn long_writes_and_files_that_come_meanwhile_move_along() {
    let Some((cluster, keys)) = cluster_with_keys() else {
        return;
    };
    map_and_push(&cluster, &keys, 5);
    let (from, to) = ends(&cluster, &keys[0]);
    let mut client = Router::new(from.port());
    let big = vec![7_u8; 24 << 20];
    from.write("dir/big", &big);
    // The test is about writes after the fork, so the child must take its time.
    from.ask("CONFIG SET rdb-key-save-delay 300000");
    let file = |key: &str| format!("{{{key}}}:big");
    let key = file(&keys[0]);
    begin_migration(from, to);
    wait_until("the child sends", || {
        from.log().contains("Started child process")
    });
    let mapped = client.ask(&format!("MMAP {key} dir/big uint8 WRITABLE"));
    assert_eq!(mapped, Reply::Int(big.len() as i64));
    for command in [
        format!("VFILL {key} 1000 -1 9"),
        format!("VTRIM {key} 10 -1"),
    ] {
        assert!(matches!(client.ask(&command), Reply::Int(_)), "{command}");
    }
    let end = end_of_migration(from);
    assert_eq!(end.0, "success", "{end:?} {}{}", from.log(), to.log());
    let count = (big.len() - 10) as i64;
    wait_at_most(LONG, "the values are there", || {
        client.ask(&format!("VSIZE {key}")) == Reply::Int(count)
    });
    assert_eq!(cluster.primary_of(&key).port(), to.port());
    let expected = [vec![7; 990], vec![9; big.len() - 1000]].concat();
    to.ask("VSIZE any");
    assert!(
        to.at_rest("dir/big", count as u64) == expected,
        "the values differ"
    );
}
