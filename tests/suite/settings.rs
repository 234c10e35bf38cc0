//! The module's settings: as arguments of `loadmodule`, in the configuration file, and while the server runs.

use support::{Reply, Server, module};

/// Each setting that can be changed, a value, and how it is shown.
const CHANGES: [(&str, &str, &str); 10] = [
    ("fsync", "no", "no"),
    ("fsync", "EVERYSEC", "everysec"),
    ("max-slack", "64mb", "67108864"),
    ("max-slack", "100k", "100000"),
    ("max-dirty-bytes", "64mb", "67108864"),
    ("max-dirty-bytes", "0", "0"),
    ("max-arrays", "100", "100"),
    ("max-arrays", "0", "0"),
    ("max-file-bytes", "1024gb", "1099511627776"),
    ("max-file-bytes", "0", "0"),
];

#[track_caller]
pub fn shows(db: &Server, settings: &[(&str, &str)]) {
    for (name, value) in settings {
        assert_eq!(
            db.say(&format!("CONFIG GET mmap.{name}")),
            format!("[mmap.{name}, {value}]")
        );
    }
}

#[track_caller]
fn refused(args: &str, culprit: &str) {
    let Err(log) = Server::setup().module_args(args).try_start() else {
        panic!("loadmodule … {args}: it started")
    };
    let told = log
        .lines()
        .any(|line| line.contains(culprit) && !line.contains("loadmodule "));
    assert!(
        told,
        "the log of loadmodule … {args} does not name {culprit}:\n{log}"
    );
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let db = Server::start();
    assert_eq!(db.say("CONFIG GET mmap.fsync"), "[mmap.fsync, everysec]");
    assert_eq!(
        db.say("CONFIG GET mmap.max-slack"),
        "[mmap.max-slack, 1073741824]"
    );
    let limits = [
        ("max-dirty-bytes", "268435456"),
        ("max-arrays", "0"),
        ("max-file-bytes", "0"),
    ];
    shows(&db, &limits);
    assert!(db.say("CONFIG GET mmap.*").contains("mmap.dir"));
}

#[test]
fn loadmodule_takes_every_setting_as_an_argument() {
    let setup = Server::setup().module_args(
        "dir sub fsync no max-slack 64mb max-dirty-bytes 32mb max-arrays 5 max-file-bytes 1gb",
    );
    std::fs::create_dir(setup.dir().join("sub")).unwrap();
    let db = setup.start();
    assert_eq!(db.say("CONFIG GET mmap.fsync"), "[mmap.fsync, no]");
    assert_eq!(
        db.say("CONFIG GET mmap.max-slack"),
        "[mmap.max-slack, 67108864]"
    );
    shows(
        &db,
        &[("max-arrays", "5"), ("max-file-bytes", "1073741824")],
    );
    assert!(db.say("CONFIG GET mmap.dir").contains("sub"));
    db.say("MMAP db f");
    assert!(db.path("sub/f").exists());
}

#[test]
fn the_configuration_file_takes_every_setting() {
    let setup = Server::setup()
        .config("mmap.dir", "sub")
        .config("mmap.fsync", "no")
        .config("mmap.max-slack", "32mb")
        .config("mmap.max-arrays", "6")
        .config("mmap.max-file-bytes", "2mb");
    std::fs::create_dir(setup.dir().join("sub")).unwrap();
    let db = setup.start();
    assert_eq!(db.say("CONFIG GET mmap.fsync"), "[mmap.fsync, no]");
    assert_eq!(
        db.say("CONFIG GET mmap.max-slack"),
        "[mmap.max-slack, 33554432]"
    );
    shows(&db, &[("max-arrays", "6"), ("max-file-bytes", "2097152")]);
    db.say("MMAP db f");
    assert!(db.path("sub/f").exists());
}

#[test]
fn a_wrong_argument_is_named_and_stops_the_module_from_loading() {
    refused("fsync sometimes", "sometimes");
    refused("max-slack lots", "lots");
    refused("max-slack -1", "-1");
    refused("max-arrays many", "many");
    refused("max-arrays -1", "-1");
    refused("max-arrays 4294967296", "4294967296");
    refused("max-file-bytes huge", "huge");
    refused("max-file-bytes -1", "-1");
    refused("colour blue", "colour");
    refused("fsync", "fsync");
    refused("fsync no dir", "dir");
}

#[test]
fn settings_change_while_the_server_runs() {
    let db = Server::start();
    for (name, value, shown) in CHANGES {
        assert_eq!(db.say(&format!("CONFIG SET mmap.{name} {value}")), "OK");
        assert_eq!(
            db.say(&format!("CONFIG GET mmap.{name}")),
            format!("[mmap.{name}, {shown}]")
        );
    }
}

#[test]
fn a_wrong_setting_changes_nothing() {
    let db = Server::start();
    for command in [
        "CONFIG SET mmap.fsync sometimes",
        "CONFIG SET mmap.max-slack lots",
        "CONFIG SET mmap.max-slack 1kb",
        "CONFIG SET mmap.max-slack 2tb",
        "CONFIG SET mmap.max-arrays many",
        "CONFIG SET mmap.max-arrays -1",
        "CONFIG SET mmap.max-arrays 4294967296",
        "CONFIG SET mmap.max-file-bytes huge",
        "CONFIG SET mmap.max-file-bytes -1",
        "CONFIG SET mmap.dir /tmp",
        "CONFIG SET mmap.max-arrays 5 mmap.fsync sometimes",
        "CONFIG SET mmap.nothing 1",
    ] {
        let error = db.error(command);
        let setting = command.split(' ').nth_back(1).unwrap();
        assert!(
            error.starts_with("ERR ") && error.contains(setting),
            "{command}: {error}"
        );
    }
    let limits = [
        ("max-dirty-bytes", "268435456"),
        ("max-arrays", "0"),
        ("max-file-bytes", "0"),
    ];
    shows(&db, &limits);
    assert_eq!(db.say("CONFIG GET mmap.fsync"), "[mmap.fsync, everysec]");
    assert_eq!(
        db.say("CONFIG GET mmap.max-slack"),
        "[mmap.max-slack, 1073741824]"
    );
}

#[test]
fn a_rewritten_configuration_keeps_the_settings() {
    let mut db = Server::start();
    db.say("CONFIG SET mmap.fsync no");
    db.say("CONFIG SET mmap.max-slack 64mb");
    db.say("CONFIG SET mmap.max-arrays 7 mmap.max-file-bytes 3gb");
    assert_eq!(db.say("CONFIG REWRITE"), "OK");
    db.shutdown("NOSAVE");
    db.start_again();
    assert_eq!(db.say("CONFIG GET mmap.fsync"), "[mmap.fsync, no]");
    assert_eq!(
        db.say("CONFIG GET mmap.max-slack"),
        "[mmap.max-slack, 67108864]"
    );
    shows(
        &db,
        &[("max-arrays", "7"), ("max-file-bytes", "3221225472")],
    );
}

pub fn load(db: &Server, command: &str, rest: &[&str]) -> Reply {
    let module = module();
    let mut words: Vec<&str> = command.split(' ').collect();
    words.push(module.to_str().unwrap());
    words.extend(rest);
    db.run(&words)
}

#[test]
fn module_load_takes_the_words_of_loadmodule() {
    let db = Server::setup().without_module().start();
    assert!(db.error("MMAP k f").contains("unknown command"));
    let words = ["fsync", "always", "max-arrays", "3"];
    assert_eq!(load(&db, "MODULE LOAD", &words).to_string(), "OK");
    shows(&db, &[("fsync", "always"), ("max-arrays", "3")]);
    assert_eq!(db.int("MMAP k f"), 0);
    assert_eq!(db.int("VPUSH k 1 2"), 2);
    // A module with a data type stays; nor is it loaded twice.
    assert!(db.ask("MODULE UNLOAD mmap").is_error());
    assert!(load(&db, "MODULE LOAD", &[]).is_error());
    assert_eq!(db.say("VALL k"), "[1, 2]");
}

#[test]
fn module_loadex_takes_settings_and_words() {
    let db = Server::setup().without_module().start();
    std::fs::create_dir(db.path("sub")).unwrap();
    let rest = [
        "CONFIG",
        "mmap.fsync",
        "no",
        "CONFIG",
        "mmap.max-file-bytes",
        "1mb",
        "ARGS",
        "dir",
        "sub",
        "fsync",
        "always",
    ];
    assert_eq!(load(&db, "MODULE LOADEX", &rest).to_string(), "OK");
    // CONFIG says more than ARGS, as lines of redis.conf do.
    shows(&db, &[("fsync", "no"), ("max-file-bytes", "1048576")]);
    db.say("MMAP k f");
    assert!(db.path("sub/f").exists());
}

#[test]
fn a_module_that_cannot_be_loaded_can_be_loaded_rightly_afterwards() {
    let db = Server::setup().without_module().start();
    for (command, rest) in [
        ("MODULE LOAD", &["fsync", "sometimes"][..]),
        ("MODULE LOAD", &["dir", "missing"]),
        ("MODULE LOAD", &["colour", "blue"]),
        ("MODULE LOAD", &["max-arrays", "many"]),
        ("MODULE LOADEX", &["CONFIG", "mmap.fsync", "sometimes"]),
        ("MODULE LOADEX", &["CONFIG", "mmap.max-slack", "1"]),
        ("MODULE LOADEX", &["CONFIG", "mmap.dir", "missing"]),
    ] {
        let reply = load(&db, command, rest);
        assert!(reply.is_error(), "{command} {rest:?}: {reply}");
        let culprit = rest[rest.len() - 2..]
            .iter()
            .find(|word| db.log().lines().any(|line| line.contains(*word)));
        assert!(
            culprit.is_some(),
            "the log names neither of {rest:?}:\n{}",
            db.log()
        );
    }
    assert_eq!(load(&db, "MODULE LOAD", &["fsync", "no"]).to_string(), "OK");
    shows(&db, &[("fsync", "no")]);
    assert_eq!(db.int("MMAP k f"), 0);
    assert_eq!(db.int("VPUSH k 1"), 1);
}
