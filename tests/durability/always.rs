//! `mmap.fsync always`: the client waits, the server does not, and one sync answers many.

use support::{Client, Reply, Server, as_doubles, wait_until};

fn server() -> Server {
    Server::setup().config("mmap.fsync", "always").start()
}

fn client_id(client: &mut Client) -> i64 {
    client.int("CLIENT ID")
}

#[test]
fn no_waiting_client_is_forgotten() {
    // A write that arrives while the worker looks after slack or old writes must not wait for the next one.
    let db = server();
    std::thread::scope(|scope| {
        for k in 0..4 {
            let mut client = db.client();
            scope.spawn(move || {
                let key = format!("k{k}");
                client.say(&format!("MMAP {key} {key}"));
                for round in 0..40 {
                    client.push_one_by_one(&key, round * 60..(round + 1) * 60);
                }
            });
        }
    });
    for k in 0..4 {
        assert_eq!(db.int(&format!("VSIZE k{k}")), 2400);
    }
}

#[test]
fn one_sync_answers_many_clients() {
    let db = server();
    db.say("MMAP db f");
    let before = db.stat("syncs");
    std::thread::scope(|scope| {
        for _ in 0..50 {
            let mut client = db.client();
            scope.spawn(move || {
                for _ in 0..100 {
                    assert_eq!(client.int("VPUSH db 1"), 1);
                }
            });
        }
    });
    let syncs = db.stat("syncs") - before;
    println!("{syncs} syncs for 5000 acknowledged writes of 50 clients");
    assert!(syncs < 5000 / 4, "{syncs} syncs");
    assert_eq!(db.int("VSIZE db"), 5000);
}

#[test]
fn a_client_that_leaves_while_it_waits_harms_nothing() {
    let db = server();
    db.say("MMAP db f");
    for round in 1..=200u64 {
        let mut leaving = db.client();
        leaving.send(&["VPUSH", "db", "1"]);
        if round % 2 == 0 {
            // Its write may come or not; the server must not care.
            drop(leaving);
            continue;
        }
        assert_eq!(leaving.receive(), Reply::Int(1));
    }
    let mut last = 0;
    wait_until("the writes of those who left have ended", || {
        let now = db.int("VSIZE db");
        std::mem::replace(&mut last, now) == now && now >= 100
    });
    assert_eq!(db.int("VPUSH db 2"), 1);
    assert_eq!(db.say("VGET db -1"), "2");
    assert_eq!(db.say("VSYNC db"), "OK");
    let values = as_doubles(&db.read("f"));
    assert!((101..=201).contains(&values.len()));
    assert!(values[..values.len() - 1].iter().all(|&value| value == 1.0));
}

#[test]
fn killing_and_unblocking_waiting_clients_harms_nothing() {
    let db = server();
    db.say("MMAP db f");
    let mut written = 0;
    for round in 0..300 {
        let mut waiting = db.client();
        let id = client_id(&mut waiting);
        waiting.send(&["VPUSH", "db", "1"]);
        let command = match round % 3 {
            0 => format!("CLIENT UNBLOCK {id}"),
            1 => format!("CLIENT UNBLOCK {id} ERROR"),
            _ => format!("CLIENT KILL ID {id}"),
        };
        let reply = db.ask(&command);
        if round % 3 == 2 {
            continue;
        }
        // A module's client can be unblocked from outside only if it has a timeout; ours gets its answer.
        assert_eq!(reply, Reply::Int(0), "{command}");
        assert_eq!(waiting.receive(), Reply::Int(1));
        written += 1;
    }
    assert!(db.int("VSIZE db") >= written);
    assert_eq!(db.say("PING"), "PONG");
    assert_eq!(db.say("VSYNC db"), "OK");
}

#[test]
fn transactions_and_scripts_sync_themselves() {
    let db = server();
    db.say("MMAP db f");
    let mut client = db.client();
    for round in 1..=50 {
        let before = db.stat("syncs");
        assert_eq!(client.say("MULTI"), "OK");
        assert_eq!(client.say("VPUSH db 1 2"), "QUEUED");
        assert_eq!(client.say("VSET db 0 7"), "QUEUED");
        assert_eq!(client.say("VSYNC db"), "QUEUED");
        assert_eq!(client.say("EXEC"), "[(integer) 2, (integer) 1, OK]");
        let script = "return redis.call('VPUSH', KEYS[1], 3)";
        assert_eq!(client.run(&["EVAL", script, "1", "db"]), Reply::Int(1));
        assert!(db.stat("syncs") >= before + 3, "each command syncs");
        assert_eq!(db.int("VSIZE db"), round * 3);
    }
}
