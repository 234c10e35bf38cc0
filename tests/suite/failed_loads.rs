//! A module that the server could not load leaves nothing behind, and can be loaded rightly afterwards.

use std::path::Path;
use std::process::Command;

use crate::settings::{load, shows};
use support::{Server, wait_until};

/// What must not be left of a load that failed: threads, open files, settings, commands.
fn traces(db: &Server) -> String {
    let process = Path::new("/proc").join(db.pid().to_string());
    let list = |name: &str| -> Vec<_> {
        std::fs::read_dir(process.join(name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    let threads: Vec<_> = list("task")
        .iter()
        .filter_map(|task| std::fs::read_to_string(task.join("comm")).ok())
        .filter(|name| name.starts_with("mmap-"))
        .collect();
    let files = list("fd")
        .iter()
        .filter_map(|fd| std::fs::read_link(fd).ok())
        .filter(|file| file.starts_with(db.dir()))
        .count();
    let settings = db.say("CONFIG GET mmap.*");
    let commands = db.say("COMMAND LIST FILTERBY MODULE mmap");
    format!("threads {threads:?}, files {files}, settings {settings}, commands {commands}")
}

/// Has the server do what the module is told of.
fn stir(db: &Server) {
    assert_eq!(db.say("CONFIG SET maxmemory 1gb"), "OK");
    assert_eq!(db.say("SET key value"), "OK");
    db.save();
    assert_eq!(db.say("DEBUG RELOAD"), "OK");
    assert_eq!(db.say("REPLICAOF 127.0.0.1 1"), "OK");
    assert_eq!(db.say("REPLICAOF NO ONE"), "OK");
    assert_eq!(db.say("FLUSHALL"), "OK");
    assert!(db.ask("VADD key value").is_error());
    db.say("BGSAVE");
    wait_until("the child of BGSAVE is gone", || {
        db.info("persistence", "rdb_bgsave_in_progress") == "0"
    });
}

/// Another module, which takes the name of the last command that this one registers.
fn taker(db: &Server) -> String {
    let library = db.path("taker.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/taker.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-o"])
        .args([&library, &source])
        .status()
        .expect("cc runs");
    assert!(built.success(), "cc taker.c: {built}");
    library.to_str().unwrap().to_owned()
}

#[test]
fn twenty_failed_loads_leave_nothing_behind() {
    let db = Server::setup().without_module().start();
    let before = traces(&db);
    assert!(before.contains("threads []"), "{before}");
    let taken = format!("MODULE LOAD {} VSEARCH", taker(&db));
    let failures: [(&str, &[&str]); 5] = [
        // One early and one late: everything else is registered then.
        ("MODULE LOAD", &["dir", "missing"]),
        ("MODULE LOAD", &[]),
        ("MODULE LOAD", &["fsync", "sometimes"]),
        ("MODULE LOADEX", &["CONFIG", "mmap.fsync", "sometimes"]),
        ("MODULE LOAD", &["threads", "3"]),
    ];
    for round in 0..4 {
        assert_eq!(db.say(&taken), "OK");
        for (command, rest) in failures {
            let reply = load(&db, command, rest);
            assert!(reply.is_error(), "{command} {rest:?}: {reply}");
            assert_eq!(traces(&db), before, "round {round}: {command} {rest:?}");
            stir(&db);
        }
        assert_eq!(db.say("MODULE UNLOAD taker"), "OK");
    }
    assert!(
        db.log().contains("the command name VSEARCH is taken"),
        "{}",
        db.log()
    );
    assert_eq!(
        load(&db, "MODULE LOAD", &["fsync", "always", "threads", "2"]).to_string(),
        "OK"
    );
    shows(&db, &[("fsync", "always"), ("threads", "2")]);
    assert_eq!(db.int("MMAP k f"), 0);
    assert_eq!(db.int("VADD k 1 2 3"), 3);
    assert_eq!(db.int("VSEARCH k 3"), 2);
    assert_eq!(db.say("DEBUG RELOAD"), "OK");
    assert_eq!(db.say("VALL k"), "[1, 2, 3]");
    assert_eq!(db.say("FLUSHALL"), "OK");
    assert_eq!(db.int("MMAP k f"), 3);
    assert!(db.log().contains("<mmap> files are below"), "{}", db.log());
}
