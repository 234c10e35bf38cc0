//! This version beside 0.1.0 and 0.2.0, in the order of `docs/upgrading.md`, and back. Builds of those are made by `.ci/old`.

use std::path::{Path, PathBuf};

use crate::pair::{Pair, catch_up, follow};
use support::{Server, Setup, module, wait_until};

/// The modules of older versions that are there.
fn old_modules() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".servers");
    let modules: Vec<_> = ["0.1.0", "0.2.0"]
        .iter()
        .map(|version| folder.join(format!("mmap-{version}.so")))
        .filter(|path| path.exists())
        .collect();
    if modules.len() < 2 {
        eprintln!(
            "SKIPPED: there are no builds of 0.1.0 and 0.2.0 in .servers; `.ci/old` makes them"
        );
    }
    modules
}

fn old(module: &Path) -> Setup {
    Server::setup().with_module(module)
}

fn ask(server: &Server, commands: &[&str]) {
    for command in commands {
        let reply = server.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
    }
}

const KEYS: [&str; 4] = ["d", "i", "s", "big"];

/// Arrays of several types.
fn map_and_write(server: &Server) {
    let big: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    server.write("big", big);
    ask(
        server,
        &[
            "MMAP d d.f64",
            "MMAP i i.i64 int64 WRITABLE",
            "MMAP s s.str string 5 WRITABLE",
            "MMAP big big uint8 WRITABLE",
            "VPUSH d 1.5 2.5 nan -inf",
            "VPUSH i 1 2 3 4 5 6 7 8",
            "VPUSH s one two three",
        ],
    );
}

/// All that is told to replicas in words of its own.
fn write_more(server: &Server) {
    ask(
        server,
        &[
            "VSET i 0 -7 2 9",
            "VPOP d",
            "VPUSH i 10 11",
            "VTRIM i 2 -1",
            "VPUSH i 12",
            "VFILL big 10 2000000 7",
            "VTRIM big 1000 -1",
            "VINCRBY i 0 5",
            "VPOP s 2",
            "VPUSH s four",
        ],
    );
}

/// Waits until both have the same values of all keys; what one answers in between is no matter here.
#[track_caller]
fn are_same(primary: &Server, replica: &Server) {
    for key in KEYS {
        wait_until(&format!("both have the same values of {key}"), || {
            catch_up(primary, replica);
            let values = |server: &Server| server.ask(&format!("VGETRAW {key} 0 -1"));
            let (ours, theirs) = (values(replica), values(primary));
            assert!(!theirs.is_error(), "{key}: {theirs}");
            ours == theirs
        });
    }
}

#[test]
fn replicas_are_upgraded_first_then_the_primary() {
    for path in old_modules() {
        println!("{}", path.display());
        let mut pair = Pair::of(old(&path), old(&path));
        map_and_write(&pair.primary);
        are_same(&pair.primary, &pair.replica);
        // The replica: its RDB file, its files, and what is sent to it from now on.
        pair.replica.wait_for_background_jobs();
        assert!(pair.replica.shutdown("SAVE").success());
        write_more(&pair.primary);
        pair.replica.start_again_with_module(&module());
        pair.connect();
        are_same(&pair.primary, &pair.replica);
        write_more(&pair.primary);
        are_same(&pair.primary, &pair.replica);
        // The failover, and the former primary.
        assert_eq!(pair.replica.say("REPLICAOF NO ONE"), "OK");
        write_more(&pair.replica);
        assert!(pair.primary.shutdown("SAVE").success());
        pair.primary.start_again_with_module(&module());
        follow(&pair.primary, &pair.replica);
        are_same(&pair.replica, &pair.primary);
        write_more(&pair.replica);
        are_same(&pair.replica, &pair.primary);
    }
}

#[test]
fn a_new_replica_of_an_old_primary_gets_all() {
    for path in old_modules() {
        println!("{}", path.display());
        for diskless in ["no", "yes"] {
            let old = old(&path).config("repl-diskless-sync", diskless);
            let primary = old.config("repl-diskless-sync-delay", "0").start();
            map_and_write(&primary);
            let replica = Server::start();
            follow(&replica, &primary);
            are_same(&primary, &replica);
            write_more(&primary);
            are_same(&primary, &replica);
            assert_eq!(replica.stat("arrays_incomplete"), 0);
        }
    }
}

/// An RDB file that an old primary has sent says not for whom it is. What was lost on a replica is not made of its values.
#[test]
fn a_file_that_is_lost_after_an_upgrade_is_not_made_of_old_values() {
    for path in old_modules() {
        println!("{}", path.display());
        let primary = old(&path).config("repl-diskless-sync-delay", "0").start();
        map_and_write(&primary);
        let mut replica = old(&path).start();
        follow(&replica, &primary);
        are_same(&primary, &replica);
        write_more(&primary);
        are_same(&primary, &replica);
        replica.kill_9();
        std::fs::remove_file(replica.path("i.i64")).unwrap();
        replica.start_again_with_module(&module());
        let found = replica.ask("VALL i");
        assert!(found.is_error(), "{found}");
        follow(&replica, &primary);
        are_same(&primary, &replica);
    }
}

#[test]
fn a_server_is_upgraded_in_place_and_goes_back() {
    for path in old_modules() {
        println!("{}", path.display());
        let mut db = old(&path).start();
        map_and_write(&db);
        db.save();
        let rdb = db.read("dump.rdb");
        let values = |db: &Server| KEYS.map(|key| db.ask(&format!("VGETRAW {key} 0 -1")).bytes());
        let before = values(&db);
        assert!(db.shutdown("SAVE").success());
        db.start_again_with_module(&module());
        assert!(values(&db) == before);
        write_more(&db);
        let after = values(&db);
        // Back, by the RDB file of before.
        assert!(db.shutdown("SAVE").success());
        std::fs::write(db.path("dump.rdb"), rdb).unwrap();
        db.start_again_with_module(&path);
        assert!(values(&db) == after);
        write_more(&db);
    }
}

#[test]
fn a_server_with_an_aof_without_preamble_goes_back_as_it_is() {
    for path in old_modules() {
        println!("{}", path.display());
        let mut db = old(&path)
            .config("appendonly", "yes")
            .config("aof-use-rdb-preamble", "no")
            .start();
        map_and_write(&db);
        assert!(db.shutdown("NOSAVE").success());
        db.start_again_with_module(&module());
        write_more(&db);
        ask(&db, &["BGREWRITEAOF"]);
        db.wait_for_background_jobs();
        let values = |db: &Server| KEYS.map(|key| db.ask(&format!("VGETRAW {key} 0 -1")).bytes());
        let after = values(&db);
        assert!(db.shutdown("NOSAVE").success());
        db.start_again_with_module(&path);
        assert!(values(&db) == after);
    }
}

#[test]
fn an_old_server_refuses_what_a_new_one_saved_and_sends() {
    for path in old_modules() {
        println!("{}", path.display());
        let primary = Server::setup()
            .config("repl-diskless-sync-delay", "0")
            .start();
        map_and_write(&primary);
        let replica = old(&path).start();
        replica.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
        wait_until("the log says why", || {
            replica
                .log()
                .contains("saved by a newer version of the module")
        });
    }
}
