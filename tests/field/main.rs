//! Where people run the module: under filters of system calls, in containers' file systems, without rights. All commands
//! work there (`session.txt`), what is written is there after a restart, and the log says what is missing.

mod filters;
mod overlay;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Server, doubles};

/// What the log says at load where files have no extended attributes.
const WITHOUT_ATTRIBUTES: &str = "files have no marks";

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/field")
        .join(name)
}

/// Each command once, with its reply.
#[track_caller]
fn replay_session(db: &Server) {
    let port = db.port().to_string();
    let output = Command::new(here("session"))
        .args(["redis-cli", "-p", &port])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}\nthe server's log:\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        db.log()
    );
}

/// Everything that a server must be able to do, whatever it is denied. `resident` is what `VSTAT` says of an array within a
/// page.
#[track_caller]
fn does_its_work(mut db: Server, resident: &str) {
    let pid = db.pid();
    replay_session(&db);
    let stat = db.ask("VSTAT db").pairs();
    assert_eq!(stat["resident"].to_string(), resident);
    // A burst, which grows the file ahead of its values.
    assert_eq!(db.int("MMAP many many.f64"), 0);
    let mut client = db.client();
    client.push_one_by_one("many", 0..5000);
    assert_eq!(db.say("VSYNC many"), "OK");
    assert_eq!(db.read("many.f64"), doubles((0..5000).map(f64::from)));
    assert_eq!(db.int("VTRIM many 4000 -1"), 4000);
    assert_eq!(
        db.say("VADVISE many DONTNEED"),
        db.say("VADVISE db DONTNEED")
    );
    assert_eq!(db.say("VGET many 0"), "4000");
    // A file that came from elsewhere, and one in the place of another.
    let dump = db.run(&["DUMP", "many"]).bytes();
    assert_eq!(db.int("VSET many 0 -1"), 1);
    assert_eq!(db.int("DEL many"), 1);
    let restored = db.run(&[&b"RESTORE"[..], b"many", b"0", &dump]);
    if db.log().contains(WITHOUT_ATTRIBUTES) {
        // Nothing says whose the file was that is in the way.
        assert_ne!(restored.to_string(), "OK");
        assert!(db.log().contains("it is not replaced"), "{}", db.log());
        assert_eq!(db.int("MMAP many many.f64"), 1000);
    } else {
        assert_eq!(restored.to_string(), "OK");
        assert_eq!(db.say("VGET many 0"), "4000");
        assert_eq!(db.read("many.f64.replaced").len(), 8000);
    }
    assert_eq!(db.pid(), pid, "it is the same server");

    db.restart();
    assert_eq!(db.say("VALL db"), "[7, 7, 8.5]");
    assert_eq!(db.int("VSIZE many"), 1000);
    assert_eq!(db.say("VGETRAW n 0 -1"), "Bbc");
    assert_eq!(db.int("VPUSH db 9"), 1);
    let left: Vec<_> = std::fs::read_dir(db.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(left, [""; 0], "nothing is left behind");
}
