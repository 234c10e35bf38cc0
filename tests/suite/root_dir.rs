//! No way leads out of the root directory.

use std::os::unix::fs::symlink;

use support::{Server, doubles};

/// A server whose root has a neighbour with a secret in it.
fn with_neighbour() -> Server {
    let db = Server::setup().module_args("dir root");
    std::fs::create_dir(db.dir().join("root")).unwrap();
    std::fs::create_dir(db.dir().join("outside")).unwrap();
    std::fs::write(db.dir().join("outside/secret"), doubles([42.0])).unwrap();
    db.start()
}

fn refused(db: &Server, path: &str) {
    for rest in ["", "double", "double WRITABLE"] {
        let error = db.error(&format!("MMAP db {path} {rest}"));
        assert!(
            error.starts_with("ERR ") && error.contains(path),
            "{path} {rest}: {error}"
        );
    }
    assert_eq!(db.say("EXISTS db"), "(integer) 0");
}

#[test]
fn dots_do_not_lead_out() {
    let db = with_neighbour();
    std::fs::create_dir(db.path("root/sub")).unwrap();
    for path in [
        "../outside/secret",
        "../outside/new",
        "sub/../../outside/secret",
        "./../outside/secret",
        "..",
        "sub/../..",
        "../root/../outside/secret",
        "sub/../../outside/new",
    ] {
        refused(&db, path);
    }
    assert!(!db.path("outside/new").exists());
}

#[test]
fn absolute_paths_that_lie_elsewhere_are_refused_with_what_to_type() {
    let db = with_neighbour();
    for path in ["outside/secret", "outside/new", "rootless"] {
        refused(&db, db.path(path).to_str().unwrap());
    }
    refused(&db, "/");
    refused(&db, "/etc/passwd");
    refused(&db, "/proc/self/mem");
    assert_eq!(
        db.error(&format!("MMAP db {}", db.path("root").display())),
        "ERR '.' is a directory, not a regular file: give the path of a file"
    );
    assert!(!db.path("outside/new").exists());
    let root = db.path("root");
    let error = db.error(&format!("MMAP db {}/../outside/secret", root.display()));
    assert!(
        error.starts_with("ERR path '../outside/secret' leads out of mmap.dir"),
        "{error}"
    );
    assert_eq!(
        db.error("MMAP db /etc/hostname"),
        format!(
            "ERR path '/etc/hostname' leads out of mmap.dir, '{}': put the file there, and type its path from there, 'hostname'",
            root.display()
        )
    );
}

#[test]
fn an_absolute_path_below_the_root_is_the_same_file() {
    let mut db = with_neighbour();
    std::fs::create_dir(db.path("root/sub")).unwrap();
    let root = db.path("root");
    let absolute = |name: &str| format!("{}/{name}", root.display());
    assert_eq!(
        db.say(&format!("MMAP a {}", absolute("sub/f"))),
        "(integer) 0"
    );
    db.say("VPUSH a 1");
    for (key, path) in [
        ("b", "sub/f".to_owned()),
        ("c", absolute("./sub//f")),
        ("d", absolute("sub/../sub/f")),
        ("a", absolute("sub/f")),
        ("a", "sub/f".to_owned()),
    ] {
        assert_eq!(
            db.say(&format!("MMAP {key} {path}")),
            "(integer) 1",
            "{path}"
        );
    }
    // What is kept is relative to the root.
    assert_eq!(db.say("VFILEPATH a"), "sub/f");
    assert_eq!(db.say("VFILEPATH b"), "sub/f");
    db.restart();
    assert_eq!(db.say("VFILEPATH a"), "sub/f");
    assert_eq!(db.say("VALL a"), "[1]");
}

#[test]
fn an_absolute_path_may_lead_to_the_root_by_a_symbolic_link() {
    let db = Server::setup();
    std::fs::create_dir(db.dir().join("real")).unwrap();
    symlink("real", db.dir().join("root")).unwrap();
    let dir = db.dir();
    let db = db
        .module_args(&format!("dir {}/root", dir.display()))
        .start();
    for (key, way) in [("a", "root"), ("b", "real")] {
        assert_eq!(
            db.say(&format!("MMAP {key} {}/{way}/f", dir.display())),
            "(integer) 0"
        );
        assert_eq!(db.say(&format!("VFILEPATH {key}")), "f");
    }
}

#[test]
fn symbolic_links_do_not_lead_out() {
    let db = with_neighbour();
    symlink("../outside/secret", db.path("root/relative")).unwrap();
    symlink(db.path("outside/secret"), db.path("root/absolute")).unwrap();
    symlink("../outside", db.path("root/folder")).unwrap();
    symlink("../outside/new", db.path("root/dangling")).unwrap();
    symlink("relative", db.path("root/chain")).unwrap();
    symlink("loop", db.path("root/loop")).unwrap();
    symlink("/proc/self/root", db.path("root/magic")).unwrap();
    for path in [
        "relative",
        "absolute",
        "folder/secret",
        "folder/new",
        "dangling",
        "chain",
        "loop",
        "magic/etc/passwd",
    ] {
        refused(&db, path);
    }
    assert!(!db.path("outside/new").exists());
    assert_eq!(db.read("outside/secret"), doubles([42.0]));
}

#[test]
fn links_and_dots_that_stay_inside_work() {
    let db = with_neighbour();
    std::fs::create_dir(db.path("root/sub")).unwrap();
    db.write("root/sub/f", doubles([1.0]));
    symlink("sub/f", db.path("root/link")).unwrap();
    assert_eq!(db.say("MMAP a sub/f"), "(integer) 1");
    assert_eq!(db.say("MMAP b link"), "(integer) 1");
    assert_eq!(db.say("MMAP c sub/../sub/./f"), "(integer) 1");
    db.say("VPUSH a 2");
    for key in ["a", "b", "c"] {
        assert_eq!(db.say(&format!("VALL {key}")), "[1, 2]");
    }
}

#[test]
fn the_root_is_the_servers_directory_unless_told_otherwise() {
    let db = Server::with("MMAP db f");
    assert!(db.path("f").exists());
    let db = with_neighbour();
    db.say("MMAP db f");
    assert!(db.path("root/f").exists() && !db.path("f").exists());
}

#[test]
fn the_root_stays_where_it_is_when_the_servers_directory_changes() {
    let db = Server::start();
    std::fs::create_dir(db.path("elsewhere")).unwrap();
    let reply = db.ask("CONFIG SET dir elsewhere");
    db.say("MMAP db f");
    assert!(
        db.path("f").exists(),
        "CONFIG SET dir ({reply}) moved the root"
    );
}

#[test]
fn the_root_cannot_be_changed_while_the_server_runs() {
    let db = Server::start();
    assert!(db.error("CONFIG SET mmap.dir /").starts_with("ERR "));
    assert!(db.error("MMAP db /etc/passwd").starts_with("ERR "));
}

#[test]
fn a_root_that_is_not_there_stops_the_module_from_loading() {
    let Err(log) = Server::setup().module_args("dir nowhere").try_start() else {
        panic!("it started")
    };
    assert!(log.contains("nowhere"), "{log}");
}

#[test]
fn a_link_put_there_while_the_server_was_down_does_not_lead_out() {
    let mut db = with_neighbour();
    db.say("MMAP db f");
    db.shutdown("SAVE");
    std::fs::remove_file(db.path("root/f")).unwrap();
    symlink("../outside/secret", db.path("root/f")).unwrap();
    db.start_again();
    assert!(db.error("VGET db 0").starts_with("ERR "));
    assert!(db.error("MMAP db f").starts_with("ERR "));
}
