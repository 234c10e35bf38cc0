//! A replica whose disk is full of values that its primary has removed: it gives their room back, and has the primary's values
//! without anybody's help. Nobody makes room in these tests but the replica itself.

use std::path::Path;

use crate::incomplete::{fill_up, heals, is_told_of, on_small_disks, pair_on, push};
use crate::pair::{Pair, catch_up, start_again_as_replica_of};
use support::mounts::Mounted;
use support::{Reply, wait_until};

/// Number of values that replicas have when their disk is full.
const VALUES: u64 = 1_500_000;
/// Number of values that stay, of those that are kept at the tail or at the head.
const LEFT: u64 = 300_000;

fn push_many(pair: &Pair, values: std::ops::Range<u64>) {
    let firsts = values.clone().step_by(10_000);
    firsts.for_each(|first| push(&pair.primary, "k", first..first + 10_000));
}

/// A pair whose replica has the values from 0 on, and no room for more on its disk.
fn pair_on_full(mount: &Mounted) -> Pair {
    let pair = pair_on(mount);
    pair.primary.ask("MMAP k f int64 WRITABLE");
    push_many(&pair, 0..VALUES);
    catch_up(&pair.primary, &pair.replica);
    wait_until("the file of the replica is exact", || {
        pair.replica.stat("slack_bytes") == 0
    });
    fill_up(mount);
    pair
}

/// The same, whose replica has missed a write for that.
fn pair_that_misses_on(mount: &Mounted) -> Pair {
    let pair = pair_on_full(mount);
    push_many(&pair, VALUES..VALUES + 400_000);
    is_told_of(&pair.replica, "k", "No space left");
    catch_up(&pair.primary, &pair.replica);
    pair
}

fn len(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}

#[track_caller]
fn heals_alone(pair: &Pair, mount: &Mounted) {
    let ballast = len(&mount.join("ballast"));
    heals(&pair.primary, &pair.replica, "k");
    assert_eq!(len(&mount.join("ballast")), ballast);
}

#[test]
fn an_array_that_shrank_has_room_for_itself() {
    let head_is_gone = format!("VTRIM k -{LEFT} -1");
    for shrink in ["VTRIM k 0 299999", "VCLEAR k", &head_is_gone] {
        println!("{shrink}");
        on_small_disks(24, |mount| {
            let pair = pair_that_misses_on(mount);
            assert!(!pair.primary.ask(shrink).is_error());
            heals_alone(&pair, mount);
            push(&pair.primary, "k", 1..10);
            heals_alone(&pair, mount);
        });
    }
}

/// Where attributes have room in the inode alone, that it is incomplete has taken that of another mark.
#[test]
fn an_array_that_shrank_has_room_for_itself_after_a_restart_too() {
    on_small_disks(24, |mount| {
        let mut pair = pair_that_misses_on(mount);
        pair.replica.shutdown("SAVE");
        start_again_as_replica_of(&mut pair.replica, &pair.primary);
        catch_up(&pair.primary, &pair.replica);
        assert!(pair.replica.ask("VGET k 0").is_error());
        assert!(!pair.primary.ask("VTRIM k 0 299999").is_error());
        heals_alone(&pair, mount);
    });
}

/// What is left of the file is not taken for the array by whoever starts with it.
#[test]
fn a_replica_that_crashes_after_it_gave_room_back_shows_none_of_what_is_left() {
    on_small_disks(24, |mount| {
        let mut pair = pair_on_full(mount);
        pair.replica.save();
        push_many(&pair, VALUES..VALUES + 400_000);
        is_told_of(&pair.replica, "k", "No space left");
        assert_eq!(pair.primary.ask("VSET k 0 77"), Reply::Int(1));
        assert!(!pair.primary.ask("VTRIM k 0 299999").is_error());
        wait_until("the replica has given room back", || {
            len(&mount.join("f")) == LEFT * 8
        });
        pair.replica.kill_9();
        start_again_as_replica_of(&mut pair.replica, &pair.primary);
        heals_alone(&pair, mount);
        assert_eq!(pair.replica.ask("VGET k 0"), Reply::Int(77));
    });
}

#[test]
fn a_replica_that_is_made_a_primary_does_not_show_what_is_left_either() {
    on_small_disks(24, |mount| {
        let pair = pair_that_misses_on(mount);
        assert!(!pair.primary.ask("VSET k 0 77").is_error());
        assert!(!pair.primary.ask("VTRIM k 0 299999").is_error());
        wait_until("the replica has given room back", || {
            len(&mount.join("f")) == LEFT * 8
        });
        assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
        let found = pair.replica.ask("VGET k 0");
        assert!(found.is_error() || found == Reply::Int(77), "{found}");
    });
}

#[test]
fn a_file_that_has_another_name_by_then_is_not_cut() {
    on_small_disks(24, |mount| {
        let pair = pair_that_misses_on(mount);
        let (file, kept) = (mount.join("f"), mount.join("kept"));
        let before = len(&file);
        std::fs::rename(&file, &kept).unwrap();
        let passed_over = pair.replica.stat("writes_not_applied");
        assert!(!pair.primary.ask("VTRIM k 0 299999").is_error());
        wait_until("the replica knows of it", || {
            pair.replica.stat("writes_not_applied") > passed_over
        });
        assert_eq!(len(&kept), before);
        assert!(pair.replica.ask("VGET k 0").is_error());
    });
}
