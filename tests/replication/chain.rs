//! The replica of a replica: what it shows when the one in the middle lacks values.

use std::time::Duration;

use crate::incomplete::{cut_file, heals, push};
use crate::pair::{catch_up, follow, knows_it_has_caught_up, start_again_as_replica_of};
use support::{Reply, Server, Setup, wait_at_most, wait_until};

struct Chain {
    primary: Server,
    middle: Server,
    last: Server,
}

fn setup() -> Setup {
    Server::setup().config("repl-diskless-sync-delay", "0")
}

/// Three servers in a row, with 1 to 3000 under `k`.
fn chain() -> Chain {
    let [primary, middle, last] = [setup(), setup(), setup()].map(Setup::start);
    follow(&middle, &primary);
    primary.ask("MMAP k f int64 WRITABLE");
    push(&primary, "k", 1..3001);
    catch_up(&primary, &middle);
    knows_it_has_caught_up(&middle);
    follow(&last, &middle);
    heals(&primary, &last, "k");
    Chain {
        primary,
        middle,
        last,
    }
}

impl Chain {
    /// Waits until both replicas have what the primary has. Until then they answer with errors, or with what it had in that time.
    #[track_caller]
    fn heal(&self, had: &[&str]) {
        for server in [&self.middle, &self.last] {
            wait_at_most(Duration::from_secs(180), "it has the values", || {
                let found = server.ask("VAGG k COUNT SUM");
                let is_right = had.contains(&&*found.to_string());
                assert!(found.is_error() || is_right, "{found}");
                found == self.primary.ask("VAGG k COUNT SUM")
                    && server.info("replication", "master_link_status") == "up"
            });
        }
        heals(&self.primary, &self.middle, "k");
        heals(&self.primary, &self.last, "k");
    }
}

#[test]
fn a_middle_whose_file_was_cut_passes_on_what_it_cannot_apply_itself() {
    let chain = chain();
    assert_eq!(chain.middle.say("VSYNC k"), "OK");
    let before = chain.primary.say("VAGG k COUNT SUM");
    cut_file(&chain.middle, 800);
    push(&chain.primary, "k", 3001..3010);
    let after = chain.primary.say("VAGG k COUNT SUM");
    chain.heal(&[&before, &after]);
}

#[test]
fn a_replica_of_one_that_lacks_values_has_an_error() {
    let chain = chain();
    let other = setup().start();
    // The middle is not synchronised for now.
    chain
        .primary
        .ask("CONFIG SET repl-diskless-sync yes repl-diskless-sync-delay 100000");
    cut_file(&chain.middle, 800);
    wait_until("the middle knows", || {
        chain.middle.ask("VGET k 2000").is_error()
    });
    assert_eq!(chain.primary.int("VSET k 0 77"), 1);
    other.ask(&format!("REPLICAOF 127.0.0.1 {}", chain.middle.port()));
    wait_until("it has the key, or waits for its primary", || {
        let found = other.ask("VGET k 0");
        assert!(found.is_error() || found == Reply::Nil, "{found}");
        found.is_error() || chain.middle.info("replication", "master_link_status") == "down"
    });
    chain.primary.ask("CONFIG SET repl-diskless-sync-delay 0");
    heals(&chain.primary, &other, "k");
    heals(&chain.primary, &chain.last, "k");
    assert_eq!(other.int("VGET k 0"), 77);
}

/// It has restarted, and does not know whether its files are what its primary has.
#[test]
fn a_middle_that_is_in_doubt_hands_nothing_on_as_whole() {
    let mut chain = chain();
    chain.last.shutdown("NOSAVE");
    assert_eq!(chain.middle.say("REPLICAOF NO ONE"), "OK");
    assert_eq!(chain.middle.int("VSET k 0 77"), 1);
    chain.middle.save();
    chain.middle.kill_9();
    chain.primary.stop();
    start_again_as_replica_of(&mut chain.middle, &chain.primary);
    assert!(chain.middle.ask("VGET k 0").is_error());
    let last = setup().start();
    last.ask(&format!("REPLICAOF 127.0.0.1 {}", chain.middle.port()));
    // A replica without a link accepts none of its own.
    wait_until("it was asked often", || {
        let found = last.ask("VGET k 0");
        assert!(found.is_error() || found == Reply::Nil, "{found}");
        last.info("stats", "total_commands_processed")
            .parse::<u64>()
            .unwrap()
            > 100
    });
    chain.primary.go_on();
    heals(&chain.primary, &last, "k");
    heals(&chain.primary, &chain.middle, "k");
}

#[test]
fn a_middle_that_takes_over_refuses_what_it_lacks_and_its_replica_keeps_what_it_has() {
    let chain = chain();
    cut_file(&chain.middle, 800);
    wait_until("the middle knows", || {
        chain.middle.ask("VGET k 2000").is_error()
    });
    assert_eq!(chain.middle.say("REPLICAOF NO ONE"), "OK");
    for write in [
        "VPUSH k 1",
        "VSET k 0 1",
        "VPOP k",
        "VCLEAR k",
        "VTRIM k 1 -1",
    ] {
        let error = chain.middle.error(write);
        assert!(error.contains("incomplete"), "{write}: {error}");
    }
    catch_up(&chain.middle, &chain.last);
    let found = chain.last.ask("VSIZE k");
    assert!(found.is_error() || found == Reply::Int(3000), "{found}");
    // What the middle is made to accept is what its replica has, too.
    assert_eq!(chain.middle.int("MMAP k f int64 WRITABLE INCOMPLETE"), 100);
    push(&chain.middle, "k", 1..3);
    heals(&chain.middle, &chain.last, "k");
    assert_eq!(chain.last.int("VSIZE k"), 102);
}

/// What is accepted as it is may lack what a replica of it has.
#[test]
fn what_is_accepted_as_incomplete_is_what_replicas_have_too() {
    let primary = setup().start();
    let middle = setup().launched_by(&["prlimit", "--fsize=1048576"]).start();
    let last = setup().start();
    follow(&middle, &primary);
    follow(&last, &middle);
    primary.ask("MMAP k f int64 WRITABLE");
    primary.ask("MMAP k2 f int64 WRITABLE");
    catch_up(&primary, &middle);
    knows_it_has_caught_up(&middle);
    primary.ask("CONFIG SET repl-diskless-sync yes repl-diskless-sync-delay 100000");
    for i in 0..15 {
        push(&primary, "k", i * 10_000..(i + 1) * 10_000);
    }
    catch_up(&primary, &middle);
    catch_up(&middle, &last);
    assert!(middle.ask("VSIZE k").is_error());
    assert_eq!(last.int("VSIZE k"), 150_000);
    assert_eq!(middle.say("REPLICAOF NO ONE"), "OK");
    catch_up(&middle, &last);
    wait_until("what the middle has to tell is told", || {
        last.stat("catching_up") == 0
    });
    let count = middle.int("MMAP k f int64 WRITABLE INCOMPLETE");
    assert!((1..150_000).contains(&count), "{count}");
    assert_eq!(middle.int("VSET k 0 77"), 1);
    heals(&middle, &last, "k");
    heals(&middle, &last, "k2");
}
