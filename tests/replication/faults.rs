//! System calls on a replica's files fail, one kind for each way in which a word of the stream is applied: the replica answers
//! with an error, and with its primary's values once the fault is over. See "Incomplete arrays" in `docs/design.md`.

use crate::incomplete::{heals, push};
use crate::pair::{Pair, catch_up, start_again_as_replica_of};
use crate::writer::LONG;
use support::interposer::{Call, FOR_GOOD, Plan};
use support::{Reply, Server, wait_at_most, wait_until};

/// A pair on whose replica calls on files of arrays can fail; its array `k` holds 60,000 numbers.
#[track_caller]
fn pair() -> (Pair, Plan) {
    let setup = Server::setup();
    let dir = setup.dir().join("files");
    std::fs::create_dir(&dir).unwrap();
    let plan = Plan::new(setup.dir().join("plan"));
    let launcher = plan.launcher(&dir);
    let words: Vec<_> = launcher.iter().map(String::as_str).collect();
    let replica = setup
        .module_args(&format!("dir {}", dir.display()))
        .launched_by(&words);
    let pair = Pair::of(Server::setup(), replica);
    pair.primary.ask("MMAP k f int64 WRITABLE");
    for i in 0..6 {
        push(&pair.primary, "k", i * 10_000..(i + 1) * 10_000);
    }
    catch_up(&pair.primary, &pair.replica);
    assert_eq!(pair.replica.say("VSYNC k"), "OK");
    wait_until("the replica has caught up, and its file is exact", || {
        pair.replica.stat("catching_up") == 0
            && pair.replica.stat("slack_bytes") == 0
            && pair.primary.stat("slack_bytes") == 0
    });
    (pair, plan)
}

/// Does something at the primary while a call fails at the replica, which then has an error for the key, and heals.
#[track_caller]
fn fails(call: Call, errno: i32, key: &str, work: impl Fn(&Server)) {
    let (pair, plan) = pair();
    // The file is complete and not in use elsewhere.
    plan.fail(call, errno, 0, FOR_GOOD);
    work(&pair.primary);
    wait_until("the replica says what it lacks", || {
        pair.replica.ask(&format!("VGET {key} 0")).is_error()
    });
    assert!(plan.hits() > 0, "{call:?} was never called");
    let lacks = |field| pair.replica.stat(field);
    wait_until("and so do its statistics", || {
        lacks("arrays_incomplete") + lacks("keys_unavailable") > 0
    });
    assert!(pair.replica.stat("writes_not_applied") > 0);
    plan.heal();
    heals(&pair.primary, &pair.replica, key);
    push(&pair.primary, key, 1..2);
    heals(&pair.primary, &pair.replica, key);
}

fn ask(server: &Server, commands: &[&str]) {
    for command in commands {
        let reply = server.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
    }
}

#[test]
fn an_append_that_fails() {
    fails(Call::Pwrite, libc::EIO, "k", |primary| {
        push(primary, "k", 1..3)
    });
    fails(Call::Pwrite, libc::ENOSPC, "k", |primary| {
        push(primary, "k", 1..3)
    });
    fails(Call::Fallocate, libc::EIO, "k", |primary| {
        (0..400).for_each(|i| push(primary, "k", i * 300..(i + 1) * 300));
    });
}

#[test]
fn a_cut_that_fails() {
    fails(Call::Fsetxattr, libc::EIO, "k", |primary| {
        ask(primary, &["VPOP k 30000"])
    });
}

#[test]
fn a_fill_of_a_range_that_fails() {
    fails(Call::Mmap, libc::EIO, "k", |primary| {
        ask(primary, &["VPUSH k 1", "VFILL k 0 -1 5"]);
        (0..400).for_each(|i| push(primary, "k", i * 300..(i + 1) * 300));
    });
}

#[test]
fn a_head_that_cannot_be_copied() {
    fails(Call::Fdatasync, libc::EIO, "k", |primary| {
        ask(primary, &["VTRIM k 100 -1"])
    });
    fails(Call::Ftruncate, libc::EIO, "k", |primary| {
        ask(primary, &["VTRIM k 100 -1"])
    });
}

#[test]
fn a_key_whose_file_cannot_be_made() {
    fails(Call::Fallocate, libc::EIO, "n", |primary| {
        primary.write("f2", vec![7; 800_000]);
        ask(primary, &["MMAP n f2 int64 WRITABLE"]);
    });
    fails(Call::Fsetxattr, libc::EIO, "n", |primary| {
        ask(
            primary,
            &["MMAP n f2 int64 WRITABLE", "VPUSH n 1 2 3", "VTRIM n 1 -1"],
        );
    });
}

/// The file loses its pages, or its name, while contents are on their way to it.
#[test]
fn contents_that_cannot_be_written() {
    for is_deleted in [false, true] {
        let (pair, _) = pair();
        pair.primary.write("f2", vec![7; 24 << 20]);
        // Contents are not sent while writes are paused: the replica has the key, and none of them.
        let commands = [
            "MULTI",
            "MMAP n f2 int64 WRITABLE",
            "CLIENT PAUSE 1000000 WRITE",
            "EXEC",
        ];
        ask(&pair.primary, &commands);
        catch_up(&pair.primary, &pair.replica);
        assert!(pair.replica.ask("VGET n 0").is_error());
        let file = pair.replica.dir().join("files/f2");
        if is_deleted {
            std::fs::remove_file(&file).unwrap();
        } else {
            let file = std::fs::File::options().write(true).open(&file).unwrap();
            file.set_len(0).unwrap();
        }
        ask(&pair.primary, &["CLIENT UNPAUSE"]);
        wait_at_most(LONG, "the replica has the file again", || {
            file.metadata().is_ok_and(|found| found.len() == 24 << 20)
        });
        heals(&pair.primary, &pair.replica, "n");
        assert!(pair.replica.log().contains("is incomplete"));
    }
}

/// Neither the change nor that it is missing got into the file.
#[test]
fn a_crash_between_a_failure_and_its_mark() {
    let (mut pair, plan) = pair();
    pair.replica.save();
    plan.fail(Call::Fsetxattr, libc::EIO, 0, FOR_GOOD);
    ask(&pair.primary, &["VPOP k 30000", "VPUSH k 1 2 3"]);
    wait_until("the replica cannot apply it", || {
        pair.replica.stat("writes_not_applied") > 0
    });
    pair.replica.kill_9();
    plan.heal();
    start_again_as_replica_of(&mut pair.replica, &pair.primary);
    heals(&pair.primary, &pair.replica, "k");
}

#[test]
fn a_full_synchronisation_whose_files_cannot_be_made() {
    let (pair, plan) = pair();
    assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
    ask(&pair.primary, &["MMAP n f2 int64 WRITABLE", "VSET k 0 77"]);
    (0..6).for_each(|i| push(&pair.primary, "n", i * 10_000..(i + 1) * 10_000));
    plan.fail(Call::Fallocate, libc::EIO, 0, FOR_GOOD);
    pair.connect();
    wait_until("the replica has an error", || {
        pair.replica.ask("VGET n 0").is_error()
    });
    let found = pair.replica.ask("VGET k 0");
    assert!(found.is_error() || found == Reply::Int(77), "{found}");
    plan.heal();
    heals(&pair.primary, &pair.replica, "n");
    heals(&pair.primary, &pair.replica, "k");
}
