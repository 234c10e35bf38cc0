//! One client cannot exhaust what the server and other clients need.

use std::fs::File;

use support::{Client, Server, wait_until};

fn zeros(db: &Server, name: &str, bytes: u64) {
    let file = File::create(db.path(name)).unwrap();
    file.set_len(bytes).unwrap();
}

#[test]
fn descriptors_are_left_for_clients_and_saves() {
    let db = Server::setup()
        .config("maxclients", "100")
        .launched_by(&["prlimit", "--nofile=160:160"])
        .start();
    let bound = (0..200)
        .take_while(|i| !db.ask(&format!("MMAP k{i} f{i}")).is_error())
        .count();
    let most = db.stat("max_arrays") as usize;
    assert_eq!(bound, most);
    assert!(most < 100, "{most} arrays");
    let error = db.error("MMAP more more");
    assert!(
        error.contains("mmap.max-arrays is") && error.contains("ulimit -n"),
        "{error}"
    );
    let clients: Vec<_> = (0..30).map(|_| db.client()).collect();
    for mut client in clients {
        assert_eq!(client.say("VPUSH k0 1"), "(integer) 1");
    }
    db.save();
    db.say("CONFIG SET mmap.max-arrays 1000");
    assert_eq!(db.int("MMAP more more"), 0);
}

#[test]
fn long_files_do_not_fill_the_address_space() {
    // As long as any file on ext4 with blocks of 4 KiB; and a server that may have little.
    for (limit, bytes) in [("unlimited", 15_u64 << 40), ("4294967296", 700 << 20)] {
        let mut db = Server::setup()
            .launched_by(&["prlimit", &format!("--as={limit}")])
            .start();
        let bound = (0..20)
            .take_while(|i| {
                zeros(&db, &format!("f{i}"), bytes);
                let reply = db.ask(&format!("MMAP k{i} f{i} uint8 WRITABLE"));
                let text = reply.to_string();
                assert!(
                    !reply.is_error() || text.contains("address space"),
                    "{text}"
                );
                !reply.is_error()
            })
            .count();
        assert!((2..20).contains(&bound), "{bound} files of {bytes} bytes");
        // There is memory for everything else.
        assert_eq!(db.say(&format!("VGET k0 {}", bytes - 1)), "(integer) 0");
        assert_eq!(db.ask("VGETRAW k0 0 100000000").bytes().len(), 100_000_001);
        assert_eq!(db.say("VAGG k0 0 50000000 SUM"), "[(integer) 0]");
        let long = "x".repeat(50_000_000);
        assert_eq!(db.run(&["SET", "s", &long]).to_string(), "OK");
        assert!(db.is_running());
        // Files that are let go of make room for others.
        db.say("DEL k0");
        wait_until("there is room", || {
            !db.ask("MMAP again f1 uint8 WRITABLE").is_error()
        });
    }
}

/// A long write to `long`, whose client does not wait for it.
fn fill(db: &Server, value: usize) -> Client {
    let mut client = db.client();
    client.send(&["VFILL", "long", "0", "-1", &value.to_string()]);
    client
}

#[test]
fn long_writes_end_with_their_clients_and_delay_nobody_else() {
    const QUEUED: i64 = 60;
    const LAST: u64 = (128 << 20) - 1;
    let db = Server::start();
    zeros(&db, "long", LAST + 1);
    zeros(&db, "other", 8 << 20);
    db.say("MMAP long long uint8 WRITABLE");
    db.say("MMAP other other uint8 WRITABLE");
    let first = fill(&db, 1);
    wait_until("it has begun", || db.int("VGET long 0") == 1);
    let queued: Vec<_> = (0..QUEUED).map(|i| fill(&db, 2 + i as usize)).collect();
    // While they wait, another array has its turn.
    assert_eq!(db.int("VTRIM other 1000000 -1"), 1_000_000);
    let ended = db.int(&format!("VGET long {LAST}"));
    assert!(ended < QUEUED, "{ended} fills came first");
    drop(queued);
    drop(first);
    assert_eq!(db.int("VTRIM long 1 -1"), 1);
    let ended = db.int(&format!("VGET long {}", LAST - 1));
    assert!(
        ended < QUEUED,
        "{ended} fills ended though their clients were gone"
    );
}

/// Each of the threads that copy has a long trim, and yet another array has its turn.
#[test]
fn long_trims_take_turns_with_those_of_other_arrays() {
    const LONG: u64 = 1 << 30;
    let db = Server::start();
    zeros(&db, "other", 8 << 20);
    db.say("MMAP other other uint8 WRITABLE");
    let names = ["a", "b", "c", "d"];
    let mut blocked = 0;
    let long = names.map(|name| {
        zeros(&db, name, LONG);
        db.say(&format!("MMAP {name} {name} uint8 WRITABLE"));
        let mut client = db.client();
        client.send(&["VTRIM", name, "1", "-1"]);
        blocked += 1;
        wait_until("it is under way", || {
            db.info("clients", "blocked_clients") == blocked.to_string()
        });
        client
    });
    assert_eq!(db.int("VTRIM other 1000000 -1"), 1_000_000);
    for name in names {
        let count = db.int(&format!("VSIZE {name}")) as u64;
        assert_eq!(count, LONG, "{name} was trimmed first");
    }
    drop(long);
    // They end with their clients, and others can trim these arrays.
    for name in names {
        let last = format!("VTRIM {name} -1 -1");
        wait_until("its trim is given up", || !db.ask(&last).is_error());
        assert_eq!(db.int(&format!("VSIZE {name}")), 1);
    }
}

#[test]
fn advice_is_not_queued_twice_and_ends_with_its_client() {
    let db = Server::start();
    zeros(&db, "f", 512 << 20);
    db.say("MMAP db f uint8");
    let mut client = db.client();
    let advice = vec![vec!["VADVISE", "db", "WILLNEED"]; 3000];
    for reply in client.pipeline(&advice) {
        assert_eq!(reply.to_string(), "OK");
    }
    drop(client);
    let mut client = db.client();
    for _ in 0..3000 {
        client.send(&["VADVISE", "db", "DONTNEED"]);
    }
    drop(client);
    // What is left for the threads is one array's worth.
    let (left, threads) = (db.stat("threads_jobs"), db.stat("threads"));
    assert!(left <= threads + 1, "{left} jobs for {threads} threads");
    wait_until("the threads rest", || db.stat("threads_jobs") == 0);
}
