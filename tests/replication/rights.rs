//! Neither a dump nor a primary gives anybody a file that is not theirs.

use crate::contents::{dump, names, restore};
use crate::pair::{Pair, catch_up, follow};
use support::{Client, Reply, Server, doubles, wait_until};

/// A dump of that array under `k`.
fn dump_of(mapping: &str, values: &str) -> Vec<u8> {
    let db = Server::start();
    std::fs::create_dir(db.path("dir")).unwrap();
    assert!(!db.ask(&format!("MMAP k {mapping}")).is_error());
    assert!(!db.ask(&format!("VPUSH k {values}")).is_error());
    dump(&db, "k")
}

/// A dump that names a file and holds no values.
fn dump_without_values(mapping: &str) -> Vec<u8> {
    let db = Server::setup().config("mmap.rdb-contents", "no").start();
    assert!(!db.ask(&format!("MMAP k {mapping}")).is_error());
    dump(&db, "k")
}

/// A client that may restore keys of its own and look at them, and no more.
fn restorer(db: &Server) -> Client {
    let rules = "ACL SETUSER restorer on >pw ~x:* -@all +restore +dump +del +set";
    assert_eq!(db.say(rules), "OK");
    let mut client = db.client();
    assert_eq!(client.say("AUTH restorer pw"), "OK");
    client
}

fn hand_in(client: &mut Client, key: &str, payload: &[u8]) -> Reply {
    let words = [
        b"RESTORE".as_slice(),
        key.as_bytes(),
        b"0",
        payload,
        b"REPLACE",
    ];
    client.run(&words)
}

#[test]
fn a_dump_comes_to_no_file_that_was_there_before() {
    let db = Server::start();
    db.write("notes", "a file of another program");
    db.ask("MMAP array secrets");
    db.ask("VPUSH array 1 2 3");
    db.ask("DEL array");
    db.write("empty", "");
    let before = names(&db);
    let mut client = restorer(&db);
    for payload in [
        dump_of("notes uint8 WRITABLE", "1"),
        dump_of("secrets", "1"),
        dump_of("empty uint8 WRITABLE", "1"),
        dump_of("dir/new", "1"),
        dump_without_values("notes uint8 WRITABLE"),
        dump_without_values("secrets"),
        dump_without_values("empty uint8 WRITABLE"),
    ] {
        let reply = hand_in(&mut client, "x:1", &payload);
        assert!(reply.is_error(), "{reply}: {}", payload.escape_ascii());
        assert_eq!(client.say("DUMP x:1"), "(nil)");
        assert_eq!(names(&db), before);
    }
    assert_eq!(db.read("notes"), b"a file of another program");
    assert_eq!(db.read("secrets"), doubles([1.0, 2.0, 3.0]));
    // An empty dump is just what an empty file holds; but that is no array.
    let empty = Server::with("MMAP k empty uint8 WRITABLE");
    assert!(hand_in(&mut client, "x:1", &dump(&empty, "k")).is_error());
    // A file of its own it may have.
    let payload = dump_of("fresh", "7");
    assert_eq!(hand_in(&mut client, "x:1", &payload).to_string(), "OK");
    assert_eq!(db.read("fresh"), doubles([7.0]));
}

#[test]
fn a_dump_comes_to_no_file_of_the_server() {
    let users = "user default on nopass ~* &* +@all\n";
    let db = Server::setup()
        .write("users.acl", users)
        .config("aclfile", "users.acl")
        .start();
    let mut client = restorer(&db);
    for path in ["users.acl", "dump.rdb", "temp-1.rdb", "appendonlydir/x"] {
        // The name is written over another of the same length: there the server would refuse it, too.
        let stand_in = "y".repeat(path.len());
        for payload in [
            dump_of(&format!("{stand_in} uint8 WRITABLE"), "65 66"),
            dump_without_values(&format!("{stand_in} uint8 WRITABLE")),
        ] {
            let at = payload
                .windows(path.len())
                .position(|window| window == stand_in.as_bytes())
                .unwrap();
            let mut named = payload;
            named[at..at + path.len()].copy_from_slice(path.as_bytes());
            crate::contents::sign(&mut named);
            let reply = hand_in(&mut client, "x:1", &named);
            assert!(reply.is_error(), "{path}: {reply}");
        }
    }
    assert_eq!(names(&db), ["users.acl"]);
    assert_eq!(db.read("users.acl"), users.as_bytes());
    assert!(db.log().contains("one of the server's own"), "{}", db.log());
}

#[test]
fn what_a_key_only_reads_a_dump_does_not_make_it_write() {
    let db = Server::start();
    db.write("readings", doubles([1.0, 2.0]));
    db.ask("MMAP x:r readings double");
    let mut client = restorer(&db);
    let payloads = [
        dump_of("readings", "1 2"),
        dump_of("readings", "9"),
        dump_without_values("readings double WRITABLE"),
    ];
    for payload in &payloads {
        assert!(hand_in(&mut client, "x:r", payload).is_error());
        assert_eq!(db.say("VALL x:r"), "[1, 2]");
    }
    // Nor once the key is gone.
    assert_eq!(client.say("DEL x:r"), "(integer) 1");
    for payload in &payloads {
        assert!(hand_in(&mut client, "x:r", payload).is_error());
    }
    // Even if it was bound for writing once.
    db.ask("MMAP x:r readings");
    db.ask("DEL x:r");
    db.ask("MMAP x:r readings double");
    assert_eq!(client.say("DEL x:r"), "(integer) 1");
    assert!(hand_in(&mut client, "x:r", &payloads[1]).is_error());
    assert_eq!(names(&db), ["readings"]);
    assert_eq!(db.read("readings"), doubles([1.0, 2.0]));
}

#[test]
fn who_may_write_a_key_may_put_back_what_it_held() {
    let db = Server::with("MMAP x:k f");
    db.ask("VPUSH x:k 1 2");
    let payload = dump(&db, "x:k");
    let mut client = restorer(&db);
    db.ask("VPUSH x:k 3");
    assert_eq!(hand_in(&mut client, "x:k", &payload).to_string(), "OK");
    db.ask("VPUSH x:k 4");
    assert_eq!(client.say("DEL x:k"), "(integer) 1");
    // Another key of the same user has no claim to the file.
    assert!(hand_in(&mut client, "x:other", &payload).is_error());
    assert_eq!(hand_in(&mut client, "x:k", &payload).to_string(), "OK");
    assert_eq!(db.say("VALL x:k"), "[1, 2]");
    assert_eq!(db.read("f.replaced"), doubles([1.0, 2.0, 4.0]));
    // Neither has the key of that name in another database.
    assert_eq!(client.say("DEL x:k"), "(integer) 1");
    db.ask("SELECT 1");
    db.ask("SET x:k 1");
    let changed = dump_of("f", "5");
    let reply = db.run(&[b"RESTORE".as_slice(), b"x:k", b"0", &changed, b"REPLACE"]);
    assert!(reply.is_error());
    // An array that is as the dump has it is taken.
    assert_eq!(restore(&db, "x:same", &payload).to_string(), "OK");
    assert_eq!(db.say("VALL x:same"), "[1, 2]");
}

#[test]
fn a_primary_does_not_come_to_files_of_its_replica() {
    let users = "user default on nopass ~* &* +@all\n";
    // The primary has such names for arrays: its own files are elsewhere.
    let primary = Server::setup().module_args("dir root");
    std::fs::create_dir(primary.dir().join("root")).unwrap();
    let primary = primary.start();
    let replica = Server::setup()
        .write("users.acl", users)
        .write("notes", "a file of another program")
        .config("aclfile", "users.acl")
        .start();
    let paths = ["users.acl", "dump.rdb", "notes"];
    for path in paths {
        primary.ask(&format!("MMAP early:{path} {path} uint8 WRITABLE"));
        primary.ask(&format!("VPUSH early:{path} 65 66 67"));
        primary.ask("MMAP array array");
    }
    let check = |replica: &Server, key: &str| {
        for path in paths {
            let error = replica.error(&format!("VALL {key}:{path}"));
            assert!(error.contains(path), "{error}");
        }
        assert_eq!(replica.read("users.acl"), users.as_bytes());
        assert_eq!(replica.read("notes"), b"a file of another program");
        let notes = replica.path("notes");
        let marked = rustix::fs::getxattr(&notes, "user.mmap.incomplete", &mut [0; 256]);
        assert!(marked.is_err(), "it was marked");
        assert!(!replica.path("dump.rdb").exists() || replica.file_len("dump.rdb") != 3);
    };
    // By the full synchronisation, and by the stream.
    follow(&replica, &primary);
    check(&replica, "early");
    for path in paths {
        primary.ask(&format!("DEL early:{path}"));
        primary.ask(&format!("MMAP late:{path} {path} uint8 WRITABLE"));
        primary.ask(&format!("VPUSH late:{path} 68"));
    }
    primary.ask("VPUSH array 1");
    catch_up(&primary, &replica);
    check(&replica, "late");
    wait_until("the array goes on", || replica.say("VALL array") == "[1]");
}

#[test]
fn a_dump_in_the_stream_does_not_come_to_files_of_the_replica_either() {
    let pair = Pair::start();
    pair.replica.write("notes", "a file of another program");
    let payload = dump_of("notes uint8 WRITABLE", "65");
    assert_eq!(restore(&pair.primary, "k", &payload).to_string(), "OK");
    catch_up(&pair.primary, &pair.replica);
    let error = pair.replica.error("VALL k");
    assert!(error.contains("not an array of this server"), "{error}");
    assert_eq!(pair.replica.read("notes"), b"a file of another program");
}

#[test]
fn a_key_of_another_name_is_noted_when_it_is_mapped_again() {
    let db = Server::start();
    db.ask("MMAP x:former f");
    db.ask("VPUSH x:former 1 2");
    assert_eq!(db.say("RENAME x:former y:latter"), "OK");
    assert_eq!(db.say("MMAP y:latter f"), "(integer) 2");
    db.ask("DEL y:latter");
    let mut client = restorer(&db);
    assert!(hand_in(&mut client, "x:former", &dump_of("f", "5")).is_error());
    assert_eq!(db.read("f"), doubles([1.0, 2.0]));
    assert_eq!(names(&db), ["f"]);
}

/// After a restart the file would be both keys'.
#[test]
fn a_dump_makes_no_file_where_another_keys_file_is_away() {
    let mut db = Server::start();
    std::fs::create_dir(db.path("dir")).unwrap();
    std::os::unix::fs::symlink("dir", db.path("link")).unwrap();
    db.ask("MMAP y:1 f");
    db.ask("MMAP y:2 dir/g");
    db.ask("VPUSH y:1 1 2 3");
    db.ask("VPUSH y:2 1 2 3");
    let payload = dump(&db, "y:1");
    let paths = ["f", "./f", "dir/../f", "dir/g", "link/g", "dir/../link/g"];
    let payloads = paths.map(|path| {
        let other = Server::start();
        for dir in ["dir", "link"] {
            std::fs::create_dir(other.path(dir)).unwrap();
        }
        assert!(!other.ask(&format!("MMAP k {path}")).is_error());
        other.ask("VPUSH k 7");
        dump(&other, "k")
    });
    let is_refused = |db: &Server| {
        let mut client = restorer(db);
        for payload in &payloads {
            let reply = hand_in(&mut client, "x:1", payload);
            assert!(reply.is_error(), "{reply}: {}", payload.escape_ascii());
        }
        assert!(db.log().contains("bound to another key"), "{}", db.log());
        assert!(!db.path("f").exists() && !db.path("dir/g").exists());
    };
    db.save();
    // While the arrays are open, and when their files were not found.
    for file in ["f", "dir/g"] {
        std::fs::rename(db.path(file), db.path(&format!("{file}.away"))).unwrap();
    }
    is_refused(&db);
    db.kill_9();
    db.start_again();
    assert!(db.error("VALL y:1").contains("'f'"));
    is_refused(&db);
    // It is the right of the key itself.
    assert_eq!(hand_in(&mut db.client(), "y:1", &payload).to_string(), "OK");
    assert_eq!(db.say("VALL y:1"), "[1, 2, 3]");
}

#[test]
fn nor_is_a_file_set_aside_there() {
    let mut db = Server::with("MMAP x:1 f");
    db.ask("VPUSH x:1 1 2");
    let payload = dump(&db, "x:1");
    db.ask("VPUSH x:1 3");
    db.ask("MMAP y:1 f.replaced");
    db.ask("VPUSH y:1 4 5");
    db.save();
    std::fs::rename(db.path("f.replaced"), db.path("away")).unwrap();
    let is_refused = |db: &Server| {
        assert!(hand_in(&mut restorer(db), "x:1", &payload).is_error());
        assert_eq!(names(db), ["away", "dump.rdb", "f"]);
        assert_eq!(db.say("VALL x:1"), "[1, 2, 3]");
    };
    is_refused(&db);
    db.kill_9();
    db.start_again();
    is_refused(&db);
    std::fs::rename(db.path("away"), db.path("f.replaced")).unwrap();
    db.restart();
    assert_eq!(db.say("VALL y:1"), "[4, 5]");
}
