//! `BGSAVE` and `BGREWRITEAOF` fork while the worker may hold any lock: each child must end, and nothing may hang.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::random::rounds;
use support::{Client, Reply, Server, StopAtEnd, wait_until};

/// Bursts with growths, pauses with trims, pops and clears, until told to stop; says how many values there are. Counts its rounds.
fn load(mut client: Client, key: &str, stop: &AtomicBool, rounds: &AtomicU64) -> i64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let round = rounds.fetch_add(1, Ordering::Relaxed) + 1;
        client.push_one_by_one(key, 0..5000);
        count += 5000;
        if round.is_multiple_of(5) {
            assert_eq!(client.int(&format!("VCLEAR {key}")), count);
            count = 0;
        } else if round.is_multiple_of(3) {
            assert_eq!(client.ask(&format!("VPOP {key} 1000")).items().len(), 1000);
            count -= 1000;
        } else if round.is_multiple_of(4) {
            assert_eq!(client.int(&format!("VTRIM {key} 10 -1")), 10);
            count -= 10;
        }
    }
    count
}

fn fork_again_and_again(command: &str, times: u64, (setting, value): (&str, &str), status: &str) {
    let db = Server::setup()
        .config(setting, value)
        .config("mmap.max-slack", "65536")
        .start();
    for k in 0..3 {
        db.say(&format!("MMAP k{k} f{k}"));
    }
    let stop = AtomicBool::new(false);
    let rounds = [const { AtomicU64::new(0) }; 3];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .zip(&rounds)
            .map(|(k, rounds)| {
                let (client, stop) = (db.client(), &stop);
                scope.spawn(move || load(client, &format!("k{k}"), stop, rounds))
            })
            .collect();
        let _stop = StopAtEnd(&stop);
        wait_until("all keys are under load", || {
            rounds
                .iter()
                .all(|rounds| rounds.load(Ordering::Relaxed) > 0)
        });
        for _ in 0..times {
            let reply = db.ask(command);
            assert!(!reply.is_error(), "{command}: {reply}");
            db.wait_for_background_jobs();
            assert_eq!(db.info("persistence", status), "ok");
        }
        stop.store(true, Ordering::Relaxed);
        for (k, thread) in threads.into_iter().enumerate() {
            let count = thread.join().unwrap();
            assert_eq!(db.ask(&format!("VSIZE k{k}")), Reply::Int(count));
            db.settles_at(&format!("f{k}"), count as u64 * 8);
        }
    });
    println!("{times} × {command}: every child ended");
}

/// How often: in CI, and in the long run, which is 200 rounds elsewhere.
fn times(in_ci: u64, long: u64) -> u64 {
    if rounds(0) > 0 { long } else { in_ci }
}

#[test]
fn every_background_save_ends_under_load() {
    let status = "rdb_last_bgsave_status";
    fork_again_and_again("BGSAVE", times(20, 500), ("mmap.fsync", "everysec"), status);
}

#[test]
fn every_background_save_ends_without_fsync() {
    let status = "rdb_last_bgsave_status";
    fork_again_and_again("BGSAVE", times(5, 50), ("mmap.fsync", "no"), status);
}

#[test]
fn every_background_save_with_contents_ends_under_load() {
    let status = "rdb_last_bgsave_status";
    let contents = ("mmap.rdb-contents", "yes");
    fork_again_and_again("BGSAVE", times(20, 200), contents, status);
}

#[test]
fn every_rewrite_of_the_aof_ends_under_load() {
    let status = "aof_last_bgrewrite_status";
    fork_again_and_again(
        "BGREWRITEAOF",
        times(10, 100),
        ("mmap.fsync", "everysec"),
        status,
    );
}

/// A child reads the file of the second key after values of both were cut off and others appended in their place. They are not
/// of the moment of the snapshot, and neither are the zeros that a file may have there in between.
#[test]
fn values_that_replaced_others_during_a_save_are_not_saved() {
    const KEYS: [&str; 2] = ["a", "b"];
    let setup = Server::setup()
        .config("mmap.rdb-contents", "yes")
        .config("rdb-key-save-delay", "3000000");
    let mut db = setup.start();
    for key in KEYS {
        assert_eq!(db.int(&format!("MMAP {key} {key} int64 WRITABLE")), 0);
        db.client().push_one_by_one(key, 0..1000);
    }
    db.ask("BGSAVE");
    for key in KEYS {
        assert_eq!(db.ask(&format!("VPOP {key} 900")).items().len(), 900);
        db.client().push_one_by_one(key, 5000..5900);
        assert_eq!(db.ask(&format!("VPOP {key} 100")).items().len(), 100);
    }
    assert_eq!(
        db.info("persistence", "rdb_bgsave_in_progress"),
        "1",
        "the child reads only then"
    );
    db.wait_for_background_jobs();
    assert_eq!(db.info("persistence", "rdb_last_bgsave_status"), "ok");
    db.kill_9();
    for key in KEYS {
        std::fs::remove_file(db.path(key)).unwrap();
    }
    db.start_again();
    let old = |count: i64| (0..count).map(Reply::Int).collect::<Vec<_>>();
    let found = KEYS.map(|key| db.ask(&format!("VALL {key}")).items());
    for (key, found) in KEYS.iter().zip(&found) {
        let is_right = *found == old(1000) || *found == old(100);
        assert!(is_right, "{key} has {} values: {found:?}", found.len());
    }
    assert!(found.contains(&old(100)), "both were read before");
}
