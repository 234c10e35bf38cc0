//! What a replica shows after it has started again, before its primary has told what is right: its files may be older than what it
//! knew of them, newer than what any other server has, or other files.

use crate::incomplete::{HEALED, cut_file, heals, mark_as_of_another_boot, pair, push, vstat};
use crate::pair::{Pair, catch_up, follow, start_again_as_replica_of};
use support::{Reply, Server, Setup, wait_at_most};

/// Has a primary put off full synchronisations, so that what a replica lacks does not come.
fn hold_back(primary: &Server) {
    let reply = primary.say("CONFIG SET repl-diskless-sync yes repl-diskless-sync-delay 100000");
    assert_eq!(reply, "OK");
}

fn hold_back_no_longer(primary: &Server) {
    assert_eq!(primary.say("CONFIG SET repl-diskless-sync-delay 0"), "OK");
}

/// What a server is started with that keeps its data in a certain way, and the command by which it saves.
fn ways_to_save() -> [(Setup, &'static str); 3] {
    let with_aof = || Server::setup().config("appendonly", "yes");
    [
        (Server::setup(), "SAVE"),
        (
            with_aof().config("aof-use-rdb-preamble", "yes"),
            "BGREWRITEAOF",
        ),
        (
            with_aof().config("aof-use-rdb-preamble", "no"),
            "BGREWRITEAOF",
        ),
    ]
}

/// A pair with 1 to 3000 under `k`, whose replica is of some kind.
fn pair_of(replica: Setup) -> Pair {
    let pair = Pair::of(Server::setup(), replica);
    pair.primary.ask("MMAP k f int64 WRITABLE");
    push(&pair.primary, "k", 1..3001);
    catch_up(&pair.primary, &pair.replica);
    heals(&pair.primary, &pair.replica, "k");
    pair
}

/// A replica that has `k` without a file, of which the primary wrote in that time, and has saved that. Then the file that it had is
/// back.
fn saved_while_unavailable(replica: Setup, command: &str) -> Pair {
    let mut pair = pair_of(replica);
    pair.replica.save_by(command);
    pair.replica.kill_9();
    let (file, elsewhere) = (pair.replica.path("f"), pair.replica.path("elsewhere"));
    std::fs::rename(&file, &elsewhere).unwrap();
    hold_back(&pair.primary);
    assert_eq!(pair.primary.int("VSET k 0 77"), 1);
    start_again_as_replica_of(&mut pair.replica, &pair.primary);
    assert!(pair.replica.ask("VGET k 0").is_error());
    pair.replica.save_by(command);
    assert_eq!(pair.replica.stat("keys_unavailable"), 1);
    std::fs::rename(elsewhere, file).unwrap();
    pair
}

#[test]
fn a_key_that_was_unavailable_is_not_bound_to_an_older_file_by_a_restart() {
    for (setup, command) in ways_to_save() {
        println!("{command}");
        let mut pair = saved_while_unavailable(setup, command);
        for _ in 0..2 {
            pair.replica.kill_9();
            start_again_as_replica_of(&mut pair.replica, &pair.primary);
            let error = pair.replica.error("VGET k 0");
            assert!(error.contains("not what the primary had"), "{error}");
            pair.replica.save_by(command);
        }
        hold_back_no_longer(&pair.primary);
        heals(&pair.primary, &pair.replica, "k");
        assert_eq!(pair.replica.int("VGET k 0"), 77);
        // That is over after a restart, too.
        pair.replica.save_by(command);
        pair.replica.kill_9();
        pair.replica.start_again();
        assert_eq!(pair.replica.int("VGET k 0"), 77);
    }
}

#[test]
fn nor_by_a_server_that_starts_as_a_primary() {
    for (setup, command) in ways_to_save() {
        println!("{command}");
        let mut pair = saved_while_unavailable(setup, command);
        pair.replica.kill_9();
        pair.replica.start_again();
        for ask in ["VGET k 0", "MMAP k f", "VPUSH k 1"] {
            assert!(pair.replica.ask(ask).is_error(), "{ask}");
        }
        assert_eq!(pair.replica.int("MMAP k f int64 WRITABLE INCOMPLETE"), 3000);
        assert_eq!(pair.replica.int("VGET k 0"), 1);
        // What was accepted stays so.
        pair.replica.save_by(command);
        pair.replica.kill_9();
        pair.replica.start_again();
        assert_eq!(pair.replica.int("VGET k 0"), 1);
    }
}

#[test]
fn nor_by_a_dump_or_a_synchronisation_without_values() {
    let setup = Server::setup().config("mmap.rdb-contents", "no");
    let pair = saved_while_unavailable(setup, "SAVE");
    let older = pair.replica.read("f");
    let dump = pair.replica.ask("DUMP k").bytes();
    let other = Server::setup().write("f", &older).start();
    let reply = other.run(&[b"RESTORE".as_slice(), b"k", b"0", &dump]);
    assert!(reply.is_error(), "{reply}");
    assert!(other.read("f") == older);
    // As a primary it still lacks the values, and so does whoever follows it.
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    follow(&other, &pair.replica);
    assert!(other.ask("VGET k 0").is_error());
}

/// A change that comes by a key which is unavailable is of a file that another key may have.
#[test]
fn a_change_that_comes_by_an_unavailable_key_is_missing_in_others_of_its_file() {
    let pair = pair();
    assert_eq!(pair.primary.int("MMAP k2 f int64 WRITABLE"), 3000);
    pair.primary.run(&[
        "DEBUG",
        "REPLICATE",
        "VREPLICATE",
        "k",
        "BIND/2",
        "f",
        "int64",
        "8",
        "WRITABLE",
        "100000000000000",
        "0",
        "FILLING",
        "i",
    ]);
    assert_eq!(pair.primary.int("VSET k 0 77"), 1);
    catch_up(&pair.primary, &pair.replica);
    let found = pair.replica.ask("VGET k2 0");
    assert!(found.is_error() || found == Reply::Int(77), "{found}");
    heals(&pair.primary, &pair.replica, "k2");
    heals(&pair.primary, &pair.replica, "k");
}

/// It wrote as a primary after its RDB file was saved, and no other server has that.
#[test]
fn what_a_former_primary_wrote_after_its_rdb_file_was_saved_is_not_shown_when_it_follows_again() {
    for (setup, command) in ways_to_save() {
        println!("{command}");
        let mut pair = pair_of(setup);
        pair.replica.save_by(command);
        assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
        assert_eq!(pair.replica.int("VSET k 0 77"), 1);
        pair.replica.kill_9();
        // Until it has its link, and then.
        pair.primary.stop();
        start_again_as_replica_of(&mut pair.replica, &pair.primary);
        let found = pair.replica.ask("VGET k 0");
        assert!(found.is_error(), "{found}");
        pair.primary.go_on();
        heals(&pair.primary, &pair.replica, "k");
        assert_eq!(pair.replica.int("VGET k 0"), 1);
    }
}

#[test]
fn what_is_in_doubt_stays_so_when_it_is_saved() {
    let mut pair = pair();
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    assert_eq!(pair.replica.int("VSET k 0 77"), 1);
    pair.replica.save();
    pair.replica.kill_9();
    pair.primary.stop();
    for _ in 0..3 {
        start_again_as_replica_of(&mut pair.replica, &pair.primary);
        let found = pair.replica.ask("VGET k 0");
        assert!(found.is_error(), "{found}");
        pair.replica.save();
        pair.replica.kill_9();
    }
    // On its own it has what it has.
    pair.replica.start_again();
    assert_eq!(pair.replica.int("VGET k 0"), 77);
    pair.primary.go_on();
    follow(&pair.replica, &pair.primary);
    heals(&pair.primary, &pair.replica, "k");
}

/// Values that were changed and not synced are gone after a power cut.
#[test]
fn a_replica_with_an_aof_whose_machine_went_down_shows_nothing_until_it_is_synchronised() {
    for (setup, command) in ways_to_save() {
        println!("{command}");
        let mut pair = pair_of(setup);
        pair.replica.save_by(command);
        assert_eq!(pair.primary.int("VSET k 0 77"), 1);
        catch_up(&pair.primary, &pair.replica);
        pair.replica.kill_9();
        let path = pair.replica.path("f");
        let mut bytes = pair.replica.read("f");
        bytes[..8].copy_from_slice(&1_u64.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        mark_as_of_another_boot(&path, 3000);
        pair.primary.stop();
        start_again_as_replica_of(&mut pair.replica, &pair.primary);
        let found = pair.replica.ask("VGET k 0");
        assert!(found.is_error(), "{found}");
        pair.primary.go_on();
        heals(&pair.primary, &pair.replica, "k");
    }
}

#[test]
fn a_file_that_was_cut_is_no_shorter_array_after_a_reload() {
    let pair = pair();
    pair.replica.save();
    assert_eq!(pair.replica.say("VSYNC k"), "OK");
    cut_file(&pair.replica, 800);
    // Which would send what is missing at once.
    pair.primary.stop();
    // Without having been looked at since.
    assert_eq!(pair.replica.say("DEBUG RELOAD"), "OK");
    let found = pair.replica.ask("VSIZE k");
    assert!(found.is_error(), "{found}");
    pair.primary.go_on();
    heals(&pair.primary, &pair.replica, "k");
}

/// Nothing but the number in the RDB file tells that it was cut.
#[test]
fn a_file_that_is_shorter_than_the_rdb_file_says_is_not_shown_until_the_primary_says_so() {
    for is_cut in [true, false] {
        let mut pair = pair();
        pair.replica.save();
        if !is_cut {
            // The primary's is as short.
            assert!(!pair.primary.ask("VPOP k 2900").is_error());
            catch_up(&pair.primary, &pair.replica);
        }
        pair.replica.kill_9();
        let bytes = pair.replica.read("f");
        std::fs::remove_file(pair.replica.path("f")).unwrap();
        pair.replica.write("f", &bytes[..800]);
        pair.primary.stop();
        start_again_as_replica_of(&mut pair.replica, &pair.primary);
        let found = pair.replica.ask("VSIZE k");
        assert!(found.is_error(), "{found}");
        assert_eq!(vstat(&pair.replica, "k", "state"), "incomplete");
        pair.primary.go_on();
        heals(&pair.primary, &pair.replica, "k");
        let full = pair.primary.info("stats", "sync_full");
        assert_eq!(full == "1", !is_cut, "synchronised in full: {full}");
    }
}

#[test]
fn a_replica_that_takes_over_has_the_values_that_it_has() {
    let mut pair = pair();
    pair.replica.save();
    assert!(!pair.primary.ask("VPOP k 2900").is_error());
    catch_up(&pair.primary, &pair.replica);
    pair.replica.kill_9();
    pair.primary.kill_9();
    start_again_as_replica_of(&mut pair.replica, &pair.primary);
    assert!(pair.replica.ask("VSIZE k").is_error());
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    assert_eq!(pair.replica.int("VSIZE k"), 100);
}

/// In the file of an array that has two names its values are once, whatever name a key has.
#[test]
fn keys_of_two_names_of_one_file_are_one_array_at_replicas_too() {
    let mut pair = Pair::start();
    let primary = &pair.primary;
    primary.ask("MMAP a a int64 WRITABLE");
    assert_eq!(primary.int("VPUSH a 1 2 3"), 3);
    assert_eq!(primary.say("VSYNC a"), "OK");
    std::fs::hard_link(primary.path("a"), primary.path("b")).unwrap();
    std::fs::create_dir(primary.path("dir")).unwrap();
    std::os::unix::fs::symlink("dir", primary.path("link")).unwrap();
    primary.ask("MMAP c dir/c int64 WRITABLE");
    assert_eq!(primary.int("MMAP b b int64 WRITABLE"), 3);
    assert_eq!(primary.int("MMAP d link/c int64 WRITABLE"), 0);
    let write = |primary: &Server| {
        for key in ["a", "b", "c", "d"] {
            push(primary, key, 10..12);
            assert_eq!(
                primary.int(&format!("VSET {key} 0 {}", key.as_bytes()[0])),
                1
            );
        }
    };
    let check = |primary: &Server, replica: &Server| {
        for key in ["a", "b", "c", "d"] {
            heals(primary, replica, key);
        }
    };
    write(primary);
    check(primary, &pair.replica);
    let asked = pair.replica.stat("contents_asked_for");
    assert_eq!(asked, 0);
    // And those that come later.
    let other = Server::start();
    follow(&other, primary);
    check(primary, &other);
    write(primary);
    for key in ["a", "b", "c", "d"] {
        primary.ask(&format!("VTRIM {key} 1 -1"));
    }
    check(primary, &other);
    check(primary, &pair.replica);
    assert_eq!(other.stat("contents_asked_for"), 0);
    // A primary may know a file by its other name when it has started again.
    assert_eq!(primary.int("DEL a"), 1);
    assert_eq!(primary.int("DEL c"), 1);
    catch_up(primary, &other);
    pair.primary.shutdown("SAVE");
    pair.primary.start_again_at_its_port();
    let primary = &pair.primary;
    for key in ["b", "d"] {
        assert_eq!(primary.int(&format!("VSET {key} 0 99")), 1);
        primary.ask(&format!("VTRIM {key} 2 -1"));
        push(primary, key, 10..20);
    }
    for replica in [&pair.replica, &other] {
        // Until both of them are there, one of them may be and the other not.
        wait_at_most(HEALED, "both are there", || {
            ["b", "d"]
                .iter()
                .all(|key| !replica.ask(&format!("VSIZE {key}")).is_error())
        });
        heals(primary, replica, "b");
        heals(primary, replica, "d");
    }
}
