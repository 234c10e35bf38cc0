//! The module's settings: as arguments of `loadmodule`, in the configuration file, and while the server runs.

use crate::support::Server;

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
    assert!(db.say("CONFIG GET mmap.*").contains("mmap.dir"));
}

#[test]
fn loadmodule_takes_every_setting_as_an_argument() {
    let setup = Server::setup().module_args("dir sub fsync no max-slack 64mb");
    std::fs::create_dir(setup.dir().join("sub")).unwrap();
    let db = setup.start();
    assert_eq!(db.say("CONFIG GET mmap.fsync"), "[mmap.fsync, no]");
    assert_eq!(
        db.say("CONFIG GET mmap.max-slack"),
        "[mmap.max-slack, 67108864]"
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
        .config("mmap.max-slack", "32mb");
    std::fs::create_dir(setup.dir().join("sub")).unwrap();
    let db = setup.start();
    assert_eq!(db.say("CONFIG GET mmap.fsync"), "[mmap.fsync, no]");
    assert_eq!(
        db.say("CONFIG GET mmap.max-slack"),
        "[mmap.max-slack, 33554432]"
    );
    db.say("MMAP db f");
    assert!(db.path("sub/f").exists());
}

#[test]
fn a_wrong_argument_is_named_and_stops_the_module_from_loading() {
    refused("fsync sometimes", "sometimes");
    refused("max-slack lots", "lots");
    refused("max-slack -1", "-1");
    refused("colour blue", "colour");
    refused("fsync", "fsync");
    refused("fsync no dir", "dir");
}

#[test]
fn settings_change_while_the_server_runs() {
    let db = Server::start();
    for (name, value, shown) in [
        ("fsync", "no", "no"),
        ("fsync", "everysec", "everysec"),
        ("max-slack", "64mb", "67108864"),
        ("max-slack", "100k", "100000"),
    ] {
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
        "CONFIG SET mmap.nothing 1",
    ] {
        assert!(db.error(command).starts_with("ERR "), "{command}");
    }
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
    assert_eq!(db.say("CONFIG REWRITE"), "OK");
    db.shutdown("NOSAVE");
    db.start_again();
    assert_eq!(db.say("CONFIG GET mmap.fsync"), "[mmap.fsync, no]");
    assert_eq!(
        db.say("CONFIG GET mmap.max-slack"),
        "[mmap.max-slack, 67108864]"
    );
}
