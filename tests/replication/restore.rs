//! `RESTORE ... REPLACE` of a key whose file the dump is about.

use crate::contents::{dump, names, restore, sign};
use crate::pair::Pair;
use support::{Reply, Server, doubles, wait_until};

#[track_caller]
fn replace(db: &Server, key: &str, payload: &[u8]) -> Reply {
    db.run(&[
        b"RESTORE".as_slice(),
        key.as_bytes(),
        b"0",
        payload,
        b"REPLACE",
    ])
}

/// A server with `1 2 3` under `k`, and a dump of that.
fn with_dump() -> (Server, Vec<u8>) {
    let db = Server::with("MMAP k f");
    db.ask("VPUSH k 1 2 3");
    let payload = dump(&db, "k");
    (db, payload)
}

#[test]
fn an_older_dump_can_be_restored_over_its_own_key() {
    let (db, payload) = with_dump();
    db.ask("VSET k 0 9");
    db.ask("VPUSH k 4 5");
    assert_eq!(replace(&db, "k", &payload).to_string(), "OK");
    assert_eq!(db.say("VALL k"), "[1, 2, 3]");
    assert_eq!(db.say("VPUSH k 6"), "(integer) 1");
    assert_eq!(db.read("f"), doubles([1.0, 2.0, 3.0, 6.0]));
    assert_eq!(db.read("f.replaced"), doubles([9.0, 2.0, 3.0, 4.0, 5.0]));
    assert!(db.log().contains("'f.replaced'"), "{}", db.log());
    // No key owns it, so it can be bound.
    assert_eq!(db.say("MMAP old f.replaced"), "(integer) 5");
    assert_eq!(db.say("VPUSH old 7"), "(integer) 1");
    assert_eq!(db.say("VALL k"), "[1, 2, 3, 6]");
}

#[test]
fn one_file_is_set_aside_and_none_that_is_not_the_keys_gives_way() {
    let (db, payload) = with_dump();
    for number in 1..=3 {
        db.ask(&format!("VPUSH k {number}00"));
        assert_eq!(replace(&db, "k", &payload).to_string(), "OK");
        assert_eq!(names(&db), ["f", "f.replaced"]);
        let last = f64::from(number) * 100.0;
        assert_eq!(db.read("f.replaced"), doubles([1.0, 2.0, 3.0, last]));
    }
    let is_refused = |aside: &[f64]| {
        db.ask("VPUSH k 4");
        let before = db.say("VALL k");
        assert!(replace(&db, "k", &payload).is_error());
        assert!(db.log().contains("would be set aside"), "{}", db.log());
        assert_eq!(db.say("VALL k"), before);
        assert_eq!(db.read("f.replaced"), doubles(aside.iter().copied()));
        assert_eq!(names(&db), ["f", "f.replaced"]);
    };
    // Another key's now, bound or not.
    db.ask("MMAP old f.replaced");
    is_refused(&[1.0, 2.0, 3.0, 300.0]);
    db.ask("DEL old");
    is_refused(&[1.0, 2.0, 3.0, 300.0]);
    std::fs::remove_file(db.path("f.replaced")).unwrap();
    db.write("f.replaced", doubles([7.0]));
    is_refused(&[7.0]);
    std::fs::remove_file(db.path("f.replaced")).unwrap();
    assert_eq!(replace(&db, "k", &payload).to_string(), "OK");
}

#[test]
fn a_dump_of_what_the_file_holds_leaves_it_as_it_is() {
    let (db, payload) = with_dump();
    let inode = || std::os::unix::fs::MetadataExt::ino(&db.path("f").metadata().unwrap());
    let before = inode();
    for _ in 0..2 {
        assert_eq!(replace(&db, "k", &payload).to_string(), "OK");
    }
    assert_eq!(inode(), before);
    assert_eq!(names(&db), ["f"]);
    assert_eq!(db.say("VPUSH k 4"), "(integer) 1");
    assert_eq!(db.read("f"), doubles([1.0, 2.0, 3.0, 4.0]));
    // The lock is still ours.
    let other = Server::setup().sharing_files_of(&db).start();
    let error = other.error("MMAP k f");
    assert!(error.contains("another process"), "{error}");
}

#[test]
fn a_file_of_the_same_bytes_counts_positions_as_the_dump_does() {
    let (db, _) = with_dump();
    db.ask("VPUSH k 4");
    db.ask("VTRIM k 1 -1");
    let payload = dump(&db, "k");
    db.ask("DEL k");
    // The same bytes, by another way: there no value was ever dropped.
    std::fs::remove_file(db.path("f")).unwrap();
    db.ask("MMAP k f");
    db.ask("VPUSH k 2 3 4");
    assert_eq!(replace(&db, "k", &payload).to_string(), "OK");
    assert_eq!(names(&db), ["f", "f.replaced"]);
    let head = |db: &Server| {
        let file = std::fs::File::open(db.path("f")).unwrap();
        let mut bytes = [0; 8];
        match rustix::fs::fgetxattr(&file, "user.mmap.head", &mut bytes) {
            Ok(8) => Some(u64::from_le_bytes(bytes)),
            Err(rustix::io::Errno::OPNOTSUPP) => Some(1),
            _ => None,
        }
    };
    assert_eq!(head(&db), Some(1));
}

#[test]
fn a_file_that_a_second_key_is_bound_to_is_not_replaced() {
    let (db, payload) = with_dump();
    db.ask("VPUSH k 4");
    db.ask("MMAP second f");
    assert!(replace(&db, "k", &payload).is_error());
    db.ask("SELECT 1");
    assert!(replace(&db, "k", &payload).is_error());
    db.ask("SELECT 0");
    for key in ["k", "second"] {
        assert_eq!(db.say(&format!("VALL {key}")), "[1, 2, 3, 4]");
    }
    assert_eq!(names(&db), ["f"]);
    db.ask("DEL second");
    // A key of the same name in another database is another key.
    db.ask("SELECT 1");
    assert!(replace(&db, "k", &payload).is_error());
    db.ask("SET other x");
    assert!(replace(&db, "other", &payload).is_error());
    assert_eq!(db.say("GET other"), "x");
    db.ask("SELECT 0");
    assert_eq!(replace(&db, "k", &payload).to_string(), "OK");
    assert_eq!(db.say("VALL k"), "[1, 2, 3]");
}

#[test]
fn a_file_that_another_process_writes_is_not_replaced() {
    let (db, payload) = with_dump();
    let other = Server::setup().sharing_files_of(&db).start();
    other.ask("MMAP k f double");
    assert_eq!(other.say("VALL k"), "[1, 2, 3]");
    db.ask("VPUSH k 4");
    assert!(replace(&other, "k", &payload).is_error());
    assert_eq!(db.say("VPUSH k 5"), "(integer) 1");
    assert_eq!(names(&db), ["f"]);
}

#[test]
fn a_dump_of_another_type_replaces_the_key_and_the_aof_is_replayed_right() {
    let (source, _) = with_dump();
    source.ask("DEL k");
    source.ask("MMAP k f int32 WRITABLE");
    source.ask("VCLEAR k");
    source.ask("VPUSH k 1 2 3 4");
    let payload = dump(&source, "k");
    for rewrite in [false, true] {
        let mut db = Server::setup()
            .config("appendonly", "yes")
            .config("appendfsync", "always")
            .start();
        db.ask("MMAP k f");
        db.ask("VPUSH k 0.5 0.25 7");
        assert_eq!(replace(&db, "k", &payload).to_string(), "OK");
        assert_eq!(db.int("VSIZE k"), 4);
        // As many bytes as doubles could be, too.
        db.ask("VPUSH k 5 6");
        if rewrite {
            db.ask("BGREWRITEAOF");
            db.wait_for_background_jobs();
        }
        db.kill_9();
        db.start_again();
        assert_eq!(db.say("VTYPE k"), "int32");
        assert_eq!(db.int("VSIZE k"), 6);
        assert_eq!(db.read("f.replaced"), doubles([0.5, 0.25, 7.0]));
        assert_eq!(db.say("VPUSH k 7"), "(integer) 1");
    }
}

#[test]
fn a_refused_dump_leaves_key_and_file_as_they_were() {
    let (db, payload) = with_dump();
    db.ask("VPUSH k 4");
    let at = payload
        .windows(8)
        .position(|window| window == 2_f64.to_le_bytes())
        .unwrap();
    let mut damaged = payload.clone();
    damaged[at] ^= 1;
    sign(&mut damaged);
    assert!(replace(&db, "k", &damaged).is_error());
    assert!(db.log().contains("checksum"), "{}", db.log());
    assert_eq!(db.say("VALL k"), "[1, 2, 3, 4]");
    assert_eq!(db.say("VPUSH k 5"), "(integer) 1");
    assert_eq!(names(&db), ["f"]);
    assert_eq!(db.read("f"), doubles([1.0, 2.0, 3.0, 4.0, 5.0]));
}

#[test]
fn what_the_server_refuses_after_the_values_is_taken_back() {
    let (db, payload) = with_dump();
    // Behind the value stand its end, the version and the checksum.
    let mut unended = payload.clone();
    let end = payload.len() - 11;
    assert_eq!(unended[end], 0);
    unended[end] = 5;
    sign(&mut unended);
    db.ask("VPUSH k 4");
    assert!(replace(&db, "k", &unended).is_error());
    assert_eq!(db.say("VALL k"), "[1, 2, 3, 4]");
    assert_eq!(db.say("VPUSH k 5"), "(integer) 1");
    assert_eq!(names(&db), ["f"]);
    assert_eq!(db.read("f"), doubles([1.0, 2.0, 3.0, 4.0, 5.0]));

    db.ask("DEL k");
    std::fs::remove_file(db.path("f")).unwrap();
    assert!(restore(&db, "k", &unended).is_error());
    assert_eq!(names(&db), [""; 0]);
    // A key that has expired by now is not there, and neither is its file.
    let expired = [b"RESTORE".as_slice(), b"k", b"1", &payload, b"ABSTTL"];
    assert_eq!(db.run(&expired).to_string(), "OK");
    assert_eq!(names(&db), [""; 0]);
    // What was restored stays, whatever becomes of the key.
    for command in [
        "DEL k",
        "UNLINK k",
        "FLUSHALL",
        "FLUSHDB ASYNC",
        "SET k 1",
        "RENAME k l",
        "MOVE k 1",
        "PEXPIREAT k 1",
        "REPLICAOF NO ONE",
    ] {
        let mut client = db.client();
        let reply = client.pipeline(&[
            vec![
                b"RESTORE".to_vec(),
                b"k".to_vec(),
                b"0".to_vec(),
                payload.clone(),
            ],
            command
                .split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect(),
        ]);
        assert_eq!(reply[0].to_string(), "OK", "{command}");
        // What is freed by another thread has its file until then.
        wait_until("no key is about to be freed", || {
            db.info("memory", "lazyfree_pending_objects") == "0"
        });
        db.ask("FLUSHALL SYNC");
        assert_eq!(db.read("f"), doubles([1.0, 2.0, 3.0]), "{command}");
        assert_eq!(names(&db), ["f"], "{command}");
    }
}

#[test]
fn replicas_replace_it_too_and_all_survives_a_crash() {
    let aof = || {
        Server::setup()
            .config("appendonly", "yes")
            .config("appendfsync", "always")
    };
    let mut pair = Pair::of(aof(), aof());
    // The replica rewrites its AOF after a synchronisation.
    pair.replica.wait_for_background_jobs();
    pair.primary.ask("MMAP k f");
    pair.primary.ask("VPUSH k 1 2 3");
    let payload = dump(&pair.primary, "k");
    pair.primary.ask("VPUSH k 4");
    pair.assert_same();
    assert_eq!(replace(&pair.primary, "k", &payload).to_string(), "OK");
    pair.primary.ask("VPUSH k 5");
    pair.assert_same();
    for server in [&mut pair.primary, &mut pair.replica] {
        server.kill_9();
        server.start_again();
        assert_eq!(server.say("VALL k"), "[1, 2, 3, 5]");
    }
    assert_eq!(
        pair.primary.read("f.replaced"),
        doubles([1.0, 2.0, 3.0, 4.0])
    );
    assert!(!pair.replica.path("f.replaced").exists());
}

#[test]
fn what_a_replica_cannot_restore_it_says_and_keeps_the_key() {
    let (source, payload) = with_dump();
    drop(source);
    let pair = Pair::start();
    // A directory is in the way.
    std::fs::create_dir(pair.replica.path("f")).unwrap();
    assert_eq!(restore(&pair.primary, "k", &payload).to_string(), "OK");
    crate::pair::catch_up(&pair.primary, &pair.replica);
    let error = pair.replica.error("VALL k");
    assert!(error.contains("is a directory"), "{error}");
    pair.primary.ask("VPUSH k 4");
    pair.primary.ask("SET x 1");
    crate::pair::catch_up(&pair.primary, &pair.replica);
    assert_eq!(pair.replica.say("GET x"), "1");
}

#[test]
fn a_dump_under_load_replaces_a_file_with_slack() {
    let (db, payload) = with_dump();
    let mut client = db.client();
    client.push_one_by_one("k", 0..20_000);
    assert_eq!(replace(&db, "k", &payload).to_string(), "OK");
    client.push_one_by_one("k", 0..10);
    assert_eq!(db.int("VSIZE k"), 13);
    db.settles_at("f", 13 * 8);
    db.settles_at("f.replaced", 20_003 * 8);
}

#[test]
fn what_a_restored_dump_replaces_on_a_replica_is_not_said_to_be_lost() {
    let pair = Pair::start();
    pair.primary.ask("MMAP k f");
    pair.primary.ask("VPUSH k 1 2 3");
    let payload = dump(&pair.primary, "k");
    pair.primary.ask("VPUSH k 4");
    pair.assert_same();
    assert_eq!(replace(&pair.primary, "k", &payload).to_string(), "OK");
    pair.assert_same();
    for server in [&pair.primary, &pair.replica] {
        let log = server.log();
        assert!(!log.contains("was deleted while it was bound"), "{log}");
        assert!(!log.contains("was replaced by another file"), "{log}");
    }
    // What others delete is lost.
    std::fs::remove_file(pair.replica.path("f")).unwrap();
    pair.primary.ask("DEL k");
    crate::pair::catch_up(&pair.primary, &pair.replica);
    let log = pair.replica.log();
    assert!(log.contains("its 3 values are lost"), "{log}");
}
