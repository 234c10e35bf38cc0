//! What `WAIT` says: see "Replicas" in `docs/replication.md`.

use crate::incomplete::{heals, pair, send_beyond_a_gap};
use crate::pair::Pair;
use support::{Reply, Server};

/// The server counts what a replica has read, and asks no module whether that could be applied.
#[test]
fn a_replica_that_could_not_apply_a_write_is_counted() {
    let pair = pair();
    send_beyond_a_gap(&pair.primary);
    assert_eq!(pair.primary.int("WAIT 1 60000"), 1);
    assert!(pair.replica.stat("writes_not_applied") >= 1);
    assert!(pair.replica.log().contains("is incomplete"));
    heals(&pair.primary, &pair.replica, "k");
}

/// What a long write has done is sent while its client is blocked.
#[test]
fn a_long_write_is_waited_for_after_another_command() {
    let pair = Pair::start();
    pair.primary.write("f", vec![0; 8 << 20]);
    pair.primary.ask("MMAP k f int64 WRITABLE");
    heals(&pair.primary, &pair.replica, "k");
    for write in ["VFILL k 0 -1 7", "VTRIM k 1000 -1"] {
        pair.replica.stop();
        let mut client = pair.primary.client();
        let reply = client.ask(write);
        assert!(matches!(reply, Reply::Int(_)), "{reply}");
        client.ask("PING");
        assert_eq!(client.ask("WAIT 1 300"), Reply::Int(0), "{write}");
        pair.replica.go_on();
        assert_eq!(client.ask("WAIT 1 60000"), Reply::Int(1), "{write}");
        assert_eq!(pair.replica.int("VGET k -1"), 7);
        let count = pair.primary.int("VSIZE k");
        assert_eq!(pair.replica.int("VSIZE k"), count);
    }
}

/// With `mmap.fsync always` what a replica has read is on its disk.
#[test]
fn a_replica_syncs_each_write_that_it_acknowledges() {
    let pair = Pair::of(
        Server::setup(),
        Server::setup().config("mmap.fsync", "always"),
    );
    pair.primary.write("f", vec![0; 8 << 20]);
    pair.primary.ask("MMAP k f int64 WRITABLE");
    heals(&pair.primary, &pair.replica, "k");
    for (write, pieces) in [
        ("VPUSH k 1", 1),
        ("VSET k 0 5", 1),
        ("VINCRBY k 0 5", 1),
        ("VPOP k 3", 1),
        ("VFILL k 10 20 7", 1),
        // It is sent in pieces of 1 MiB.
        ("VFILL k 0 -1 7", 8),
        ("VTRIM k 0 -2", 1),
    ] {
        let syncs = pair.replica.stat("syncs");
        let mut client = pair.primary.client();
        let reply = client.ask(write);
        assert!(!reply.is_error(), "{write}: {reply}");
        client.ask("PING");
        assert_eq!(client.ask("WAIT 1 60000"), Reply::Int(1), "{write}");
        assert!(pair.replica.stat("syncs") >= syncs + pieces, "{write}");
    }
}
