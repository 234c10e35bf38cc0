//! After a failed sync it is unknown what is on disk: writes are refused, with the reason, until a sync succeeds.

use std::time::Duration;

use crate::server_with;
use support::interposer::{Call, FOR_GOOD, Plan};
use support::{Server, doubles, wait_at_most, wait_until};

const REFUSED: &str = "ERR writes to file 'faulty' are refused: cannot sync 'faulty': Input/output error (os error 5)";

fn server(fsync: &str) -> (Server, Plan) {
    let (db, plan) = server_with(|setup| setup.config("mmap.fsync", fsync));
    db.say("MMAP db faulty");
    db.say("MMAP other other");
    (db, plan)
}

fn wait_until_refused(db: &Server) -> u64 {
    let mut count = db.int("VSIZE db") as u64;
    wait_until("writes are refused", || {
        let reply = db.say(&format!("VADD db {}", count + 1));
        count += u64::from(reply == "(integer) 1");
        reply == format!("(error) {REFUSED}")
    });
    count
}

/// Whether the values are 1, 2, 3 and so on.
fn assert_counts_up(db: &Server, count: u64) {
    assert_eq!(db.read("faulty"), doubles((1..=count).map(|n| n as f64)));
}

#[test]
fn writes_are_refused_until_a_sync_succeeds() {
    for call in [Call::Msync, Call::SyncFileRange, Call::Fsync] {
        let (db, plan) = server("everysec");
        plan.fail(call, libc::EIO, 0, FOR_GOOD);
        let mut count = wait_until_refused(&db);
        for write in ["VADD db 1", "VSET db 0 7", "VPOP db", "VCLEAR db"] {
            assert_eq!(db.error(write), REFUSED);
        }
        assert_eq!(db.say("VGET db 0"), "1", "reads go on");
        assert_eq!(db.int("VADD other 1"), 1, "other arrays go on");
        assert_eq!(db.stat("arrays_refused"), 1);
        assert!(db.stat("errors") > 0);
        assert!(db.error("VSYNC db").contains("cannot sync 'faulty'"));
        assert!(db.log().contains(
            "cannot sync 'faulty': Input/output error (os error 5); writes to it are refused"
        ));
        plan.heal();
        wait_until("writes are allowed", || {
            let reply = db.say(&format!("VADD db {}", count + 1));
            count += u64::from(reply == "(integer) 1");
            reply == "(integer) 1"
        });
        assert_eq!(db.stat("arrays_refused"), 0);
        assert!(db.log().contains("file 'faulty': sync succeeds again"));
        assert_eq!(db.say("VSYNC db"), "OK");
        assert_counts_up(&db, count);
    }
}

#[test]
fn without_fsync_a_failed_sync_is_tried_again_as_soon() {
    let (db, plan) = server("no");
    assert_eq!(db.int("VADD db 1 2"), 2);
    plan.fail(Call::Msync, libc::EIO, 0, 1);
    assert!(db.error("VSYNC db").contains("cannot sync 'faulty'"));
    // The next sync of this setting is 30 s away.
    wait_at_most(Duration::from_secs(25), "writes are allowed", || {
        db.say("VADD db 3") == "(integer) 1"
    });
    assert_counts_up(&db, 3);
}

#[test]
fn a_sync_that_failed_is_not_forgotten_with_the_key() {
    for call in [Call::Msync, Call::SyncFileRange, Call::Fsync] {
        let (db, plan) = server("everysec");
        plan.fail(call, libc::EIO, 0, FOR_GOOD);
        let count = wait_until_refused(&db);
        for _ in 0..3 {
            assert_eq!(db.int("DEL db"), 1);
            assert_eq!(db.int("MMAP db faulty") as u64, count);
            assert_eq!(db.error("VADD db 1"), REFUSED);
        }
        plan.heal();
        wait_until("writes are allowed", || {
            db.say(&format!("VADD db {}", count + 1)) == "(integer) 1"
        });
        assert_counts_up(&db, count + 1);
    }
}

#[test]
fn a_growth_whose_sync_failed_stops_writes_too() {
    // The kernel reports an error once: the sync that comes next would succeed, and the values be lost.
    let (db, plan) = server("no");
    let mut client = db.client();
    wait_until("the array has slack", || {
        client.push_one_by_one("db", 0..300);
        db.stat("slack_bytes") > 0
    });
    plan.fail(Call::Fdatasync, libc::EIO, 0, 1);
    let values = " 1".repeat(1000);
    let mut replies = Vec::new();
    wait_until("a growth fails", || {
        replies.push(db.say(&format!("VADD db{values}")));
        plan.hits() > 0
    });
    wait_until("the log says so", || {
        db.log().contains("writes to it are refused")
    });
    wait_until("writes are allowed", || {
        db.say(&format!("VADD db{values}")) == "(integer) 1000"
    });
    assert!(db.log().contains("sync succeeds again"));
}

#[test]
fn under_every_setting_a_sync_notes_what_is_on_disk() {
    for fsync in ["always", "everysec", "no"] {
        let (db, _) = server(fsync);
        assert_eq!(db.int("VADD db 1 2 3"), 3);
        assert_eq!(db.say("VSYNC db"), "OK");
        let mut mark = [0; 24];
        let len = rustix::fs::getxattr(db.path("faulty"), "user.mmap", &mut mark).unwrap();
        assert_eq!((len, &mark[16..]), (24, &3u64.to_le_bytes()[..]), "{fsync}");
    }
}
