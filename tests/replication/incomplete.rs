//! Whatever a replica cannot apply: it answers with the primary's values or with an error, and has them by itself once the
//! cause is gone. A test for each row of the table in `docs/design.md`, "Incomplete arrays".

use std::path::Path;
use std::time::Duration;

use crate::pair::{Pair, catch_up, follow, knows_it_has_caught_up, start_again_as_replica_of};
use support::mounts::{self, Mounted, format_ext4};
use support::{Reply, Server, Setup, cannot_run, record_of, wait_at_most, wait_until};

pub const HEALED: Duration = Duration::from_secs(180);

/// The fields of `VSTAT`.
pub fn vstat(server: &Server, key: &str, field: &str) -> String {
    let items = server.ask(&format!("VSTAT {key}")).items();
    items
        .chunks(2)
        .find(|pair| pair[0].clone().text() == field)
        .unwrap_or_else(|| panic!("VSTAT has no {field}"))[1]
        .to_string()
}

/// Waits until a replica answers with what its primary has. Until then it may answer with errors only.
#[track_caller]
pub fn heals(primary: &Server, replica: &Server, key: &str) {
    let values = format!("VGETRAW {key} 0 -1");
    wait_at_most(HEALED, &format!("the replica has {key} again"), || {
        // While more is sent, both may be right though they differ.
        let offset = primary.info("replication", "master_repl_offset");
        if offset != replica.info("replication", "slave_repl_offset")
            || replica.info("replication", "master_link_status") != "up"
        {
            return false;
        }
        let found = replica.ask(&values);
        if found.is_error() {
            return false;
        }
        let expected = primary.ask(&values);
        let is_same = found == expected;
        // What another thread wrote is told of later.
        let may_differ = primary.stat("fills") > 0
            || primary.info("replication", "master_repl_offset") != offset;
        assert!(
            is_same || may_differ,
            "{key} is not what the primary has: {} and {}",
            excerpt(&found),
            excerpt(&expected)
        );
        is_same
    });
    // A file that no key is bound to any more is closed by another thread.
    wait_until("nothing is said to be missing", || {
        replica.stat("arrays_incomplete") == 0 && replica.stat("keys_unavailable") == 0
    });
}

fn excerpt(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => format!("{} bytes", bytes.len()),
        other => other.to_string(),
    }
}

/// Waits until a replica says that it lacks values of an array, in all the places where it says so.
#[track_caller]
pub fn is_told_of(replica: &Server, key: &str, why: &str) {
    wait_until("the replica knows that it lacks values", || {
        replica.ask(&format!("VGET {key} 0")).is_error()
    });
    let error = replica.error(&format!("VGET {key} 0"));
    assert!(error.contains("incomplete"), "{error}");
    assert_eq!(vstat(replica, key, "state"), "incomplete");
    let told = vstat(replica, key, "why");
    assert!(told.contains(why), "{told}");
    assert!(replica.stat("arrays_incomplete") >= 1);
    assert!(replica.log().contains("is incomplete"), "{}", replica.log());
}

/// A pair whose replica has its files on a file system of its own.
pub fn pair_on(mount: &Mounted) -> Pair {
    let replica = Server::setup().module_args(&format!("dir {}", mount.path().display()));
    Pair::of(Server::setup(), replica)
}

/// The same, with the values 1 to 5000 under the key `k`.
fn filled_pair_on(mount: &Mounted) -> Pair {
    let pair = pair_on(mount);
    pair.primary.ask("MMAP k f int64 WRITABLE");
    push(&pair.primary, "k", 1..5001);
    catch_up(&pair.primary, &pair.replica);
    pair
}

pub fn on_small_disks(mib: u64, test: impl Fn(&Mounted)) {
    if let Err(why) = mounts::be_private() {
        return cannot_run(&why);
    }
    match Mounted::tmpfs(mib) {
        Ok(mount) => test(&mount),
        Err(why) => return cannot_run(&why),
    }
    let temp = tempfile::tempdir().unwrap();
    let image = temp.path().join("image");
    format_ext4(&image, mib + 16).unwrap();
    match Mounted::image(&image) {
        Ok(mount) => test(&mount),
        Err(why) => cannot_run(&why),
    }
}

/// Leaves no room on a file system.
pub fn fill_up(mount: &Mounted) -> std::path::PathBuf {
    use std::io::Write;
    let path = mount.join("ballast");
    let mut file = std::fs::File::create(&path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let block = vec![1; size];
        while file.write(&block).is_ok_and(|written| written > 0) {}
    }
    path
}

pub fn push(server: &Server, key: &str, values: std::ops::Range<u64>) {
    let mut words = vec!["VPUSH".to_owned(), key.to_owned()];
    words.extend(values.map(|value| value.to_string()));
    let reply = server.run(&words);
    assert!(matches!(reply, Reply::Int(_)), "{reply}");
}

#[test]
fn appends_to_a_full_disk_are_no_zeros_later() {
    on_small_disks(24, |mount| {
        let pair = filled_pair_on(mount);
        let ballast = fill_up(mount);
        push(&pair.primary, "k", 5001..10_000);
        is_told_of(&pair.replica, "k", "No space left");
        assert!(pair.replica.stat("writes_not_applied") >= 1);
        std::fs::remove_file(ballast).unwrap();
        push(&pair.primary, "k", 10_000..10_010);
        heals(&pair.primary, &pair.replica, "k");
        assert_eq!(pair.replica.say("VGET k 5500"), "(integer) 5501");
        assert_eq!(vstat(&pair.replica, "k", "why"), "(nil)");
    });
}

/// "No space left" is no reason while other arrays hold space ahead of need.
#[test]
fn a_replica_has_its_other_arrays_give_back_their_slack_before_it_misses_a_write() {
    const ARRAYS: u64 = 4;
    on_small_disks(24, |mount| {
        let pair = pair_on(mount);
        for k in 0..ARRAYS {
            pair.primary.ask(&format!("MMAP k{k} f{k} int64 WRITABLE"));
        }
        catch_up(&pair.primary, &pair.replica);
        let stat = rustix::fs::statvfs(mount.path()).unwrap();
        let room = stat.f_bavail * stat.f_frsize / 10 * 9;
        // In turns, each as a burst, so that each of them has slack.
        let values = (0..1000).map(|_| "1".to_owned());
        let values: Vec<String> = values.collect();
        let mut client = pair.primary.client();
        for turn in 0..room / (10 * 8000) {
            let words = ["VPUSH".to_owned(), format!("k{}", turn % ARRAYS)];
            let words: Vec<String> = words.into_iter().chain(values.iter().cloned()).collect();
            for reply in client.pipeline(&vec![words; 10]) {
                assert_eq!(reply, Reply::Int(1000));
            }
        }
        catch_up(&pair.primary, &pair.replica);
        assert_eq!(pair.replica.stat("writes_not_applied"), 0);
        for k in 0..ARRAYS {
            heals(&pair.primary, &pair.replica, &format!("k{k}"));
        }
    });
}

#[test]
fn a_head_that_cannot_be_dropped_is_not_shown() {
    on_small_disks(24, |mount| {
        let pair = pair_on(mount);
        pair.primary.ask("MMAP k f int64 WRITABLE");
        for i in 0..20 {
            push(&pair.primary, "k", i * 10_000..(i + 1) * 10_000);
        }
        catch_up(&pair.primary, &pair.replica);
        let ballast = fill_up(mount);
        assert_eq!(pair.primary.int("VTRIM k 100 -1"), 100);
        is_told_of(&pair.replica, "k", "No space left");
        std::fs::remove_file(ballast).unwrap();
        heals(&pair.primary, &pair.replica, "k");
        assert_eq!(pair.replica.say("VGET k 0"), "(integer) 100");
    });
}

#[test]
fn a_key_for_which_a_full_disk_has_no_room_is_made_when_it_has() {
    on_small_disks(24, |mount| {
        let pair = pair_on(mount);
        catch_up(&pair.primary, &pair.replica);
        pair.primary.write("f", vec![7; 6 << 20]);
        let ballast = fill_up(mount);
        assert_eq!(pair.primary.int("MMAP k f uint8 WRITABLE"), 6 << 20);
        wait_until("the replica has the key", || {
            pair.replica.ask("EXISTS k") == Reply::Int(1)
        });
        wait_until("the key says why", || {
            pair.replica
                .ask("VGET k 0")
                .to_string()
                .contains("No space left")
        });
        assert_eq!(pair.replica.stat("keys_unavailable"), 1);
        std::fs::remove_file(ballast).unwrap();
        heals(&pair.primary, &pair.replica, "k");
    });
}

/// The contents that the primary has now had no room; the file that is there is of an earlier key.
#[test]
fn a_former_file_is_not_bound_where_a_full_disk_had_no_room_for_the_new_one() {
    on_small_disks(24, |mount| {
        let pair = filled_pair_on(mount);
        let ballast = fill_up(mount);
        assert_eq!(pair.primary.int("VSET k 0 77"), 1);
        assert_eq!(pair.primary.int("DEL k"), 1);
        assert_eq!(pair.primary.int("MMAP k f int64 WRITABLE"), 5000);
        wait_until("the replica has no room for it", || {
            pair.replica.stat("keys_unavailable") == 1
        });
        assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
        std::fs::remove_file(ballast).unwrap();
        let error = pair.replica.error("MMAP k f int64 WRITABLE");
        assert!(error.contains("incomplete"), "{error}");
    });
}

#[test]
fn contents_that_a_full_disk_cannot_take_are_asked_for_again() {
    on_small_disks(24, |mount| {
        let pair = pair_on(mount);
        pair.primary.write("f", vec![7; 6 << 20]);
        assert_eq!(pair.primary.int("MMAP k f uint8 WRITABLE"), 6 << 20);
        heals(&pair.primary, &pair.replica, "k");
        let ballast = fill_up(mount);
        // The same contents again: they need room, as the former ones stay until they are there.
        assert_eq!(pair.primary.int("DEL k"), 1);
        assert_eq!(pair.primary.int("MMAP k f uint8 WRITABLE"), 6 << 20);
        wait_until("the replica has an error", || {
            pair.replica.ask("VGET k 0").is_error()
        });
        std::fs::remove_file(ballast).unwrap();
        heals(&pair.primary, &pair.replica, "k");
    });
}

/// A pair that has caught up, with the values 1 to 3000 under the key `k`.
pub fn pair() -> Pair {
    let pair = Pair::start();
    pair.primary.ask("MMAP k f int64 WRITABLE");
    push(&pair.primary, "k", 1..3001);
    catch_up(&pair.primary, &pair.replica);
    knows_it_has_caught_up(&pair.replica);
    pair
}

/// Leaves a file as a machine does that goes down: its mark is of another boot, and says how many values were synced.
pub fn mark_as_of_another_boot(path: &Path, synced: u64) {
    let mark = [&[7_u8; 16][..], &synced.to_le_bytes()].concat();
    rustix::fs::setxattr(path, "user.mmap", &mark, rustix::fs::XattrFlags::empty()).unwrap();
}

pub fn cut_file(server: &Server, bytes: u64) {
    let file = std::fs::File::options()
        .write(true)
        .open(server.path("f"))
        .unwrap();
    file.set_len(bytes).unwrap();
}

#[test]
fn a_file_that_was_cut_is_found_out_by_the_next_write() {
    for write in [
        "VPUSH k 1 2 3",
        "VSET k 2000 7",
        "VPOP k 2",
        "VFILL k 1000 2000 7",
        "VTRIM k 10 -1",
    ] {
        println!("{write}");
        let pair = pair();
        assert_eq!(pair.replica.say("VSYNC k"), "OK");
        cut_file(&pair.replica, 800);
        assert!(!pair.primary.ask(write).is_error());
        heals(&pair.primary, &pair.replica, "k");
        assert!(pair.replica.log().contains("is incomplete"));
    }
}

#[test]
fn a_file_that_was_deleted_is_made_again() {
    let pair = pair();
    std::fs::remove_file(pair.replica.path("f")).unwrap();
    // What it answers is right until then.
    push(&pair.primary, "k", 3001..3010);
    wait_at_most(HEALED, "the file is there again", || {
        pair.replica.path("f").exists()
    });
    heals(&pair.primary, &pair.replica, "k");
    assert_eq!(pair.replica.say("VSYNC k"), "OK");
    assert!(pair.replica.read("f") == pair.primary.read("f"));
    assert!(pair.replica.log().contains("was deleted while it is open"));
}

/// Gaps may be closed by what comes while a replica catches up; one that is left when it has, stays.
#[test]
fn a_gap_that_is_left_when_a_replica_has_caught_up_is_no_zeros() {
    let mut pair = pair();
    pair.replica.save();
    pair.replica.kill_9();
    // Nothing tells that it was cut.
    let bytes = pair.replica.read("f");
    std::fs::remove_file(pair.replica.path("f")).unwrap();
    pair.replica.write("f", &bytes[..800]);
    push(&pair.primary, "k", 3001..3010);
    start_again_as_replica_of(&mut pair.replica, &pair.primary);
    heals(&pair.primary, &pair.replica, "k");
    assert!(pair.replica.log().contains("is incomplete"));
}

#[test]
fn a_file_that_was_cut_is_found_out_by_a_reader() {
    let pair = pair();
    assert_eq!(pair.replica.say("VSYNC k"), "OK");
    cut_file(&pair.replica, 800);
    wait_until("it is noticed", || {
        pair.replica.ask("VGET k 2000").is_error()
    });
    heals(&pair.primary, &pair.replica, "k");
}

#[test]
fn a_file_that_was_cut_while_the_replica_was_down_is_found_out_when_it_comes_back() {
    for writes in [true, false] {
        let mut pair = pair();
        pair.replica.save();
        assert_eq!(pair.replica.say("VSYNC k"), "OK");
        pair.replica.kill_9();
        cut_file(&pair.replica, 800);
        if writes {
            push(&pair.primary, "k", 3001..3010);
        }
        // It goes on from its RDB file, which says nothing of that.
        start_again_as_replica_of(&mut pair.replica, &pair.primary);
        // Nor are those few values shown before its primary has told of them.
        heals(&pair.primary, &pair.replica, "k");
    }
}

#[test]
fn a_lost_file_is_made_of_the_primarys_values() {
    let mut pair = pair();
    pair.replica.wait_for_background_jobs();
    // Its RDB file is what the primary sent, and holds the values of that moment.
    for save in [false, true] {
        if save {
            pair.replica.save();
        }
        pair.replica.kill_9();
        std::fs::remove_file(pair.replica.path("f")).unwrap();
        push(&pair.primary, "k", 1..2);
        start_again_as_replica_of(&mut pair.replica, &pair.primary);
        heals(&pair.primary, &pair.replica, "k");
    }
}

/// Has a primary send a value that stands far behind the last one of `k`.
pub fn send_beyond_a_gap(primary: &Server) {
    primary.run(&[
        b"DEBUG".as_slice(),
        b"REPLICATE",
        b"VREPLICATE",
        b"k",
        b"APPEND/2",
        b"4000",
        &[1; 8],
    ]);
}

#[test]
fn a_gap_is_no_zeros() {
    let pair = pair();
    send_beyond_a_gap(&pair.primary);
    is_told_of(&pair.replica, "k", "were never received");
    heals(&pair.primary, &pair.replica, "k");
    // What comes is applied again.
    push(&pair.primary, "k", 1..100);
    heals(&pair.primary, &pair.replica, "k");
}

#[test]
fn a_word_that_is_not_known_or_malformed_is_refused_and_what_it_is_about_is_asked_for() {
    for words in [
        &["k", "APPEND/3", "3000", "12345678"][..],
        &["k", "APPEND/2", "3000", "1234567"],
        &["k", "APPEND/2", "-1", "12345678"],
        &["k", "APPEND/2", "18446744073709551615", "12345678"],
        &["k", "APPEND/2", "9223372036854775800", "12345678"],
        &["k", "APPEND/2"],
        &["k", "REPEAT/2", "0", "9223372036854775807", "12345678"],
        &["k", "REPEAT/2", "0", "1099511627776", "12345678"],
        &["k", "REPEAT/2", "0", "5", ""],
        &["k", "REPEAT/2", "0", "5", "1234567"],
        &["k", "FROB/2", "1"],
        &["k", "FROB", "1"],
        &["x", "FILL/3", "f", "0", "12345678"],
        &["x", "HEAD", "f", "10"],
        &["x", "FILL", "f", "0", "12345678"],
        &["x", "REFILL", "f", "0", "0"],
        &["k", "LENGTH/2", "5000"],
        &["x", "FILLED/2", "f", "5000"],
        &["mmap", "HOLDS/2", "f", "0", "5000"],
    ] {
        println!("{words:?}");
        let pair = pair();
        let sent = [&["DEBUG", "REPLICATE", "VREPLICATE"], words].concat();
        pair.primary.run(&sent);
        is_told_of(&pair.replica, "k", "");
        heals(&pair.primary, &pair.replica, "k");
    }
}

#[test]
fn a_key_that_cannot_be_bound_does_not_look_like_an_empty_array() {
    let pair = pair();
    for words in [
        &["n", "BIND/3", "f2", "int64"][..],
        &[
            "n",
            "BIND/2",
            "f2",
            "int64",
            "8",
            "WRITABLE",
            "9223372036854775807",
            "0",
            "FILLING",
            "i",
        ],
        &[
            "n", "BIND/2", "f2", "frob", "8", "WRITABLE", "0", "0", "EMPTY", "i",
        ],
        &[
            "n", "BIND/2", "f2", "int64", "8", "WRITABLE", "0", "0", "FROB", "i",
        ],
    ] {
        println!("{words:?}");
        pair.primary
            .run(&[&["DEBUG", "REPLICATE", "VREPLICATE"], words].concat());
        wait_until("it answers with an error", || {
            pair.replica.ask("VSIZE n").is_error()
        });
        // The primary has no such key.
        wait_at_most(HEALED, "the replica has what the primary has", || {
            pair.replica.ask("EXISTS n") == Reply::Int(0)
                && pair.replica.info("replication", "master_link_status") == "up"
        });
    }
    heals(&pair.primary, &pair.replica, "k");
}

/// The header of the primary's file is longer than that of its copy: no page ends there behind these values.
#[test]
fn values_that_look_like_a_record_in_the_copy_alone_do_not_pass_for_one() {
    let mut pair = Pair::start();
    let dictionary = "{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }";
    let header = format!("{dictionary:<181}\n");
    let header = [b"\x93NUMPY\x01\0\xb6\0", header.as_bytes()].concat();
    pair.primary.write("f.npy", header);
    pair.primary.ask("MMAP k f.npy double WRITABLE");
    let append = |bytes: &[u8]| pair.primary.run(&[b"VADDRAW", b"k".as_slice(), bytes]);
    assert_eq!(append(&[1; 4032 - 128]), Reply::Int(488));
    heals(&pair.primary, &pair.replica, "k");
    assert_eq!(append(&record_of(4096)), Reply::Int(8));
    catch_up(&pair.primary, &pair.replica);
    pair.replica.save();
    pair.replica.kill_9();
    // On its own it has no primary to ask.
    pair.replica.start_again();
    let found = pair.replica.ask("VSIZE k");
    assert!(found.is_error() || found == Reply::Int(496), "{found}");
    pair.primary.ask("VPUSH k 1");
    pair.connect();
    heals(&pair.primary, &pair.replica, "k");
}

#[test]
fn a_replica_that_crashes_while_it_lacks_values_knows_so_afterwards() {
    let mut pair = pair();
    send_beyond_a_gap(&pair.primary);
    wait_until("the replica knows", || {
        pair.replica.stat("arrays_incomplete") == 1
    });
    pair.replica.kill_9();
    // On its own it has no primary to ask.
    pair.replica.start_again();
    pair.replica.ask("DEL k");
    let error = pair.replica.error("MMAP k f int64 WRITABLE");
    assert!(error.contains("is incomplete"), "{error}");
    assert!(error.contains("were never received"), "{error}");
    // Taken on purpose it is what is there.
    assert_eq!(pair.replica.int("MMAP k f int64 WRITABLE INCOMPLETE"), 3000);
    pair.connect();
    heals(&pair.primary, &pair.replica, "k");
}

#[test]
fn a_copy_is_given_up_only_when_the_new_contents_are_whole() {
    let mut pair = Pair::of(
        Server::setup().config("repl-backlog-size", "200mb"),
        Server::setup(),
    );
    let bytes: Vec<u8> = (0..100_u32 << 20).map(|i| (i % 251) as u8).collect();
    pair.primary.write("f", &bytes);
    pair.primary.ask("MMAP k f uint8 WRITABLE");
    heals(&pair.primary, &pair.replica, "k");
    // The contents are held back, and then never come.
    pair.primary.ask("DEL k");
    pair.primary.ask("MMAP k f uint8 WRITABLE");
    assert_eq!(pair.primary.int("WAIT 1 5000"), 1);
    pair.primary.kill_9();
    assert!(pair.replica.read("f") == bytes, "the copy is gone");
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    match pair.replica.ask("VSIZE k") {
        Reply::Error(text) => {
            assert!(text.contains("incomplete"), "{text}");
            pair.replica.ask("DEL k");
            // What a former key left may be out of date, and is not taken for what the primary had.
            let error = pair.replica.error("MMAP k f uint8 WRITABLE");
            assert!(error.contains("INCOMPLETE"), "{error}");
            pair.replica.int("MMAP k f uint8 WRITABLE INCOMPLETE");
        }
        Reply::Int(_) => {}
        other => panic!("{other}"),
    }
    assert!(pair.replica.read("f") == bytes);
    let digest = pair.replica.say("DEBUG DIGEST-VALUE k");
    pair.primary.start_again();
    follow(&pair.primary, &pair.replica);
    heals(&pair.replica, &pair.primary, "k");
    assert_eq!(pair.primary.say("DEBUG DIGEST-VALUE k"), digest);
}

#[test]
fn an_array_that_was_deleted_while_its_values_were_on_their_way_is_not_bound_as_zeros() {
    let pair = Pair::start();
    let bytes: Vec<u8> = (0..8_u32 << 20).map(|i| (i % 251) as u8 + 1).collect();
    pair.primary.write("f", &bytes);
    pair.primary.ask("MULTI");
    for command in [
        "MMAP k f uint8 WRITABLE",
        "DEL k",
        "MMAP k f uint8 WRITABLE",
        "DEL k",
    ] {
        pair.primary.ask(command);
    }
    pair.primary.ask("EXEC");
    catch_up(&pair.primary, &pair.replica);
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    let reply = pair.replica.ask("MMAP k f uint8 WRITABLE");
    if let Reply::Int(count) = reply {
        assert_eq!(count, 0, "zeros that were never written");
    }
}

#[test]
fn a_full_synchronisation_keeps_copies_that_are_the_same() {
    use std::os::unix::fs::MetadataExt;
    let pair = Pair::of(
        Server::setup().config("repl-diskless-sync", "yes"),
        Server::setup(),
    );
    for key in ["same", "longer", "shorter", "changed"] {
        pair.primary
            .ask(&format!("MMAP {key} {key} int64 WRITABLE"));
        for i in 0..30 {
            push(&pair.primary, key, i * 10_000..(i + 1) * 10_000);
        }
    }
    catch_up(&pair.primary, &pair.replica);
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    let inode = |key: &str| std::fs::metadata(pair.replica.path(key)).unwrap().ino();
    let keys = ["same", "longer", "shorter", "changed"];
    let before = keys.map(inode);
    push(&pair.primary, "longer", 0..1000);
    pair.primary.ask("VPOP shorter 1000");
    pair.primary.ask("VSET changed 200000 -1");
    pair.connect();
    for key in keys {
        heals(&pair.primary, &pair.replica, key);
        assert_eq!(pair.replica.say(&format!("VSYNC {key}")), "OK");
        assert_eq!(pair.primary.say(&format!("VSYNC {key}")), "OK");
        assert!(
            pair.primary.read(key) == pair.replica.read(key),
            "the files of {key} differ"
        );
    }
    let after = keys.map(inode);
    assert_eq!(before[..3], after[..3]);
    assert_ne!(
        before[3], after[3],
        "a changed copy is replaced by a new file"
    );
}

/// An RDB file that a primary sent holds the values of that moment, from which the replica has gone on.
#[test]
fn a_lost_file_is_not_made_of_the_values_that_the_primary_once_sent() {
    let primary = server().start();
    primary.ask("MMAP k f int64 WRITABLE");
    push(&primary, "k", 1..4);
    let mut replica = server().start();
    follow(&replica, &primary);
    catch_up(&primary, &replica);
    primary.ask("VSET k 0 77");
    catch_up(&primary, &replica);
    replica.kill_9();
    std::fs::remove_file(replica.path("f")).unwrap();
    // On its own it has no primary to ask.
    replica.start_again();
    let error = replica.error("VALL k");
    assert!(error.contains("does not exist"), "{error}");
    follow(&replica, &primary);
    heals(&primary, &replica, "k");
}

#[test]
fn the_values_that_a_primary_sent_do_not_stay_in_the_rdb_file() {
    let primary = server().start();
    let mut random = support::random::Random::new(1);
    let bytes: Vec<u8> = (0..3 << 20)
        .flat_map(|_| random.next().to_le_bytes())
        .collect();
    primary.write("f", &bytes);
    primary.ask("MMAP k f uint8 WRITABLE");
    let mut replica = server().start();
    follow(&replica, &primary);
    heals(&primary, &replica, "k");
    wait_until("the RDB file holds no values", || {
        replica.file_len("dump.rdb") < 1 << 20
    });
    assert!(replica.log().contains("saved again without them"));
    replica.wait_for_background_jobs();
    replica.kill_9();
    primary.ask("VSET k 0 7");
    start_again_as_replica_of(&mut replica, &primary);
    heals(&primary, &replica, "k");
    assert_eq!(
        primary.info("stats", "sync_full"),
        "1",
        "it goes on from there"
    );
}

fn server() -> Setup {
    Server::setup().config("repl-diskless-sync-delay", "0")
}

#[test]
fn a_replica_that_restarts_with_what_it_was_sent_goes_on_from_there() {
    let primary = server().start();
    primary.ask("MMAP k f int64 WRITABLE");
    push(&primary, "k", 1..3001);
    let mut replica = server().start();
    follow(&replica, &primary);
    catch_up(&primary, &replica);
    replica.kill_9();
    push(&primary, "k", 3001..3100);
    start_again_as_replica_of(&mut replica, &primary);
    heals(&primary, &replica, "k");
    assert_eq!(primary.info("stats", "sync_full"), "1");
    assert_eq!(primary.info("stats", "sync_partial_ok"), "1");
}
