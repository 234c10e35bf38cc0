//! A disk that is held up, and who waits for it. Needs root, FUSE and loop devices.

use std::path::PathBuf;

use support::cache::evict_all;
use support::disk::Disk;
use support::mounts::{self, Mounted, format_ext4};
use support::{Client, Server, cannot_run, doubles, wait_until};

const VALUES: u64 = 1_000_000;

/// A server whose arrays lie on a disk of the test's. Fields are dropped in this order.
struct OnDisk {
    db: Server,
    mount: Mounted,
    disk: Disk,
    _dir: tempfile::TempDir,
}

impl OnDisk {
    fn start() -> Result<OnDisk, String> {
        mounts::be_private()?;
        let dir = tempfile::tempdir().unwrap();
        let (image, copy): (PathBuf, PathBuf) = (dir.path().join("image"), dir.path().join("copy"));
        format_ext4(&image, 32)?;
        let disk = Disk::new(&image, &copy)?;
        let mount = Mounted::image(&disk.path())?;
        std::fs::write(mount.join("f"), doubles((0..VALUES).map(|i| i as f64))).unwrap();
        let db = Server::setup()
            .module_args(&format!("dir {}", mount.path().display()))
            .start();
        assert_eq!(db.say("MMAP db f double WRITABLE"), "(integer) 1000000");
        // What the file system needs to know of the file is to be in RAM.
        db.say("VALL db");
        Ok(OnDisk {
            db,
            mount,
            disk,
            _dir: dir,
        })
    }

    /// No value is in RAM, and the disk does not answer.
    fn freeze(&self) {
        assert_eq!(self.db.say("VADVISE db DONTNEED"), "OK");
        evict_all(&self.mount.join("f"));
        self.disk.hold_reads();
    }

    /// A client whose command waits for the disk.
    fn waiting(&self, command: &str) -> Client {
        let mut client = self.db.client();
        let words: Vec<_> = command.split(' ').collect();
        client.send(&words);
        wait_until("the disk is asked", || self.disk.holds_somebody());
        client
    }
}

/// Runs a test, unless this machine cannot.
fn on_disk(test: impl FnOnce(&OnDisk)) {
    match OnDisk::start() {
        Ok(on_disk) => test(&on_disk),
        Err(why) => cannot_run(&why),
    }
}

#[test]
fn the_server_answers_others_while_a_client_waits() {
    on_disk(|on| {
        on.freeze();
        let mut client = on.waiting("VGET db 50000");
        // The array itself can be asked for what is known of it, too.
        for _ in 0..100 {
            assert_eq!(on.db.say("PING"), "PONG");
            assert_eq!(on.db.say("VSIZE db"), "(integer) 1000000");
        }
        assert!(on.disk.holds_somebody());
        on.disk.let_go();
        assert_eq!(client.receive().to_string(), "50000");
    });
}

#[test]
fn with_inline_the_server_waits() {
    on_disk(|on| {
        on.db.say("CONFIG SET mmap.cold-reads inline");
        on.freeze();
        let mut other = on.db.client();
        let pid = on.db.pid();
        let mut client = on.waiting("VGET db 50000");
        other.send(&["PING"]);
        // Its main thread, which answers all clients.
        wait_until("the server waits for the disk", || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('D')
        });
        assert!(on.disk.holds_somebody());
        on.disk.let_go();
        assert_eq!(client.receive().to_string(), "50000");
        assert_eq!(other.receive().to_string(), "PONG");
    });
}

#[test]
fn a_value_is_that_of_the_moment_of_the_reply() {
    on_disk(|on| {
        on.db.say("VPUSH db 5");
        on.db.say("VSYNC db");
        // The end of the array is in RAM, and what is before it is not.
        assert_eq!(on.db.say("VADVISE db DONTNEED 0 400000"), "OK");
        on.disk.hold_reads();
        let mut reader = on.waiting("VSLICE db 100000 999999 STEP 400000");
        assert_eq!(on.db.say("VSET db 900000 -1"), "(integer) 1");
        assert_eq!(on.db.say("VMGET db 900000 1000000"), "[-1, 5]");
        assert!(on.disk.holds_somebody());
        on.disk.let_go();
        assert_eq!(reader.receive().to_string(), "[100000, 500000, -1]");
    });
}

#[test]
fn a_key_may_go_or_become_another_while_its_client_waits() {
    on_disk(|on| {
        on.freeze();
        let mut reader = on.waiting("VGET db 50000");
        let mut writer = on.db.client();
        writer.send(&["VSET", "db", "90000", "1"]);
        let mut slicer = on.db.client();
        slicer.send(&["VSLICE", "db", "10", "12"]);
        wait_until("all wait", || on.db.stat("cold_waits") == 3);
        // Unbinding waits for a read that is under way, so the disk has to answer.
        let mut deleter = on.db.client();
        for command in [
            &["MULTI"][..],
            &["DEL", "db"],
            &["SET", "db", "text"],
            &["EXEC"],
        ] {
            deleter.send(command);
        }
        on.disk.let_go();
        for reply in ["OK", "QUEUED", "QUEUED", "[(integer) 1, OK]"] {
            assert_eq!(deleter.receive().to_string(), reply);
        }
        // Each was answered of what the key held when its values were there.
        for (client, before) in [
            (&mut reader, "50000"),
            (&mut writer, "(integer) 1"),
            (&mut slicer, "[10, 11, 12]"),
        ] {
            let said = client.receive().to_string();
            let is_late = said.starts_with("(error) WRONGTYPE");
            assert!(is_late || said == before, "{said}");
        }
        assert_eq!(on.db.say("GET db"), "text");
    });
}

#[test]
fn a_client_may_go_away_while_it_waits() {
    on_disk(|on| {
        on.freeze();
        drop(on.waiting("VSET db 50000 1"));
        wait_until("the server has noticed", || {
            on.db.info("clients", "blocked_clients") == "0"
        });
        on.disk.let_go();
        assert_eq!(on.db.say("VGET db 50000"), "50000");
    });
}

#[test]
fn a_write_that_waited_into_a_pause_of_writes_is_carried_out_after_it() {
    on_disk(|on| {
        on.freeze();
        let mut writer = on.waiting("VSET db 50000 1");
        assert_eq!(on.db.say("CLIENT PAUSE 100000 WRITE"), "OK");
        on.disk.let_go();
        // The value is in RAM by now, and the write is not carried out.
        assert_eq!(on.db.say("VGET db 50000"), "50000");
        assert_eq!(on.db.info("clients", "blocked_clients"), "1");
        assert_eq!(on.db.say("VGET db 50000"), "50000");
        assert_eq!(on.db.say("CLIENT UNPAUSE"), "OK");
        assert_eq!(writer.receive().to_string(), "(integer) 1");
        assert_eq!(on.db.say("VGET db 50000"), "1");
    });
}

/// A disk that cannot keep up slows down the clients that write, and no others.
#[test]
fn clients_that_write_too_much_wait_for_the_disk_and_others_do_not() {
    on_disk(|on| {
        on.db.say("CONFIG SET mmap.max-dirty-bytes 64kb");
        on.disk.hold_writes();
        let mut writer = on.waiting(&format!("VADDRAW db {}", "12345678".repeat(16 * 1024)));
        assert_eq!(on.db.stat("paced_writes"), 1);
        assert_eq!(on.db.stat("dirty_bytes"), 128 * 1024);
        for _ in 0..100 {
            assert_eq!(on.db.say("PING"), "PONG");
            assert_eq!(on.db.say("VSIZE db"), "(integer) 1016384");
        }
        assert_eq!(on.db.info("clients", "blocked_clients"), "1");
        on.disk.let_go();
        assert_eq!(writer.receive().to_string(), "(integer) 16384");
        assert_eq!(on.db.stat("dirty_bytes"), 0);
    });
}
