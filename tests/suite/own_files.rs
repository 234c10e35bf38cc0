//! No command reaches the files of the server itself.

use std::os::unix::fs::symlink;

use support::{Server, Setup, module, wait_until};

const USERS: &str = "user default on nopass ~* &* +@all\n";

/// A server that keeps all its files in the directory of its arrays.
fn mixed() -> Setup {
    let setup = Server::setup()
        .config("appendonly", "yes")
        .config("dbfilename", "saved.rdb")
        .config("pidfile", "own.pid")
        .config("unixsocket", "own.sock")
        .write("users.acl", USERS)
        .write("part.conf", "")
        .write("tls.pem", "");
    let included = setup.dir().join("part.conf");
    setup
        .config("aclfile", "users.acl")
        .config("include", included.to_str().unwrap())
}

/// Whether no form of `MMAP` binds the file, or makes one.
#[track_caller]
fn assert_out_of_reach(db: &Server, path: &str) {
    let before = std::fs::read(db.path(path)).ok();
    for rest in ["", "uint8", "uint8 WRITABLE", "string 7 WRITABLE"] {
        let error = db.error(&format!("MMAP stolen {path} {rest}"));
        assert!(
            error.contains("one of the server's own"),
            "{path} {rest}: {error}"
        );
    }
    assert_eq!(db.say("EXISTS stolen"), "(integer) 0", "{path}");
    assert_eq!(std::fs::read(db.path(path)).ok(), before, "{path}");
}

fn aof_files(db: &Server) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(db.path("appendonlydir"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 3, "{names:?}");
    names
}

#[test]
fn files_of_the_server_are_refused_by_name_whether_they_exist_or_not() {
    let db = mixed().start();
    // Not yet saved: it must not be made either.
    assert!(!db.path("saved.rdb").exists());
    assert_out_of_reach(&db, "saved.rdb");
    db.save();
    for path in [
        "saved.rdb",
        "./saved.rdb",
        "appendonlydir/../saved.rdb",
        "users.acl",
        "users.acl.tmp-1-2",
        "part.conf",
        "own.pid",
        "temp-1.rdb",
        "temp-rewriteaof-bg-1.aof",
        "nodes.conf",
        "appendonlydir/anything",
    ] {
        assert_out_of_reach(&db, path);
    }
    for name in aof_files(&db) {
        assert_out_of_reach(&db, &format!("appendonlydir/{name}"));
    }
    assert_eq!(db.read("users.acl"), USERS.as_bytes());
    // Names that only look alike are arrays.
    for path in ["temp-1.f64", "asaved.rdb", "f"] {
        assert_eq!(db.say(&format!("MMAP {path} {path}")), "(integer) 0");
    }
}

#[test]
fn links_to_files_of_the_server_are_refused() {
    let db = mixed().start();
    db.save();
    let aof = format!("appendonlydir/{}", aof_files(&db)[0]);
    for (number, own) in ["saved.rdb", "users.acl", &aof].into_iter().enumerate() {
        std::fs::hard_link(db.path(own), db.path(&format!("hard{number}"))).unwrap();
        assert_out_of_reach(&db, &format!("hard{number}"));
        symlink(own, db.path(&format!("soft{number}"))).unwrap();
        assert_out_of_reach(&db, &format!("soft{number}"));
    }
    symlink("appendonlydir", db.path("folder")).unwrap();
    assert_out_of_reach(&db, "folder/anything");
    std::fs::write(db.path("temp-7.rdb"), "abc").unwrap();
    symlink("temp-7.rdb", db.path("soft")).unwrap();
    assert_out_of_reach(&db, "soft");
}

#[test]
fn a_hard_link_into_a_directory_of_arrays_is_refused_too() {
    let setup = Server::setup()
        .module_args("dir arrays")
        .write("users.acl", USERS)
        .config("aclfile", "users.acl");
    std::fs::create_dir(setup.dir().join("arrays")).unwrap();
    let db = setup.start();
    assert!(!db.log().contains("arrays should have"), "{}", db.log());
    std::fs::hard_link(db.path("users.acl"), db.path("arrays/f")).unwrap();
    let error = db.error("MMAP k f uint8 WRITABLE");
    assert!(error.contains("one of the server's own"), "{error}");
    // What is one of ours may have several names.
    assert_eq!(db.say("MMAP k g"), "(integer) 0");
    std::fs::hard_link(db.path("arrays/g"), db.path("arrays/h")).unwrap();
    assert_eq!(db.say("MMAP l h"), "(integer) 0");
}

#[test]
fn configuration_and_module_are_refused_where_the_root_is_above_them() {
    let db = Server::start();
    // The configuration lies beside the server's directory.
    let above = db.dir().parent().unwrap().to_owned();
    drop(db);
    assert!(!above.exists());
    let setup = Server::setup();
    let above = setup.dir().parent().unwrap().to_owned();
    let db = setup
        .module_args(&format!("dir {}", above.display()))
        .start();
    for path in ["redis.conf", "redis.conf.aBcDeF", "data/dump.rdb"] {
        let error = db.error(&format!("MMAP k {path} uint8"));
        assert!(error.contains("one of the server's own"), "{path}: {error}");
    }
    let module = module();
    let dir = module.parent().unwrap().display();
    let db = Server::setup().module_args(&format!("dir {dir}")).start();
    let error = db.error("MMAP k libredis_mmap.so uint8");
    assert!(error.contains("one of the server's own"), "{error}");
}

#[test]
fn what_the_server_owns_is_asked_for_again_when_its_configuration_changes() {
    let db = Server::setup()
        .config("enable-protected-configs", "yes")
        .start();
    assert_eq!(db.say("MMAP k later.rdb"), "(integer) 0");
    assert_eq!(db.say("DEL k"), "(integer) 1");
    assert_eq!(db.say("CONFIG SET dbfilename later.rdb"), "OK");
    assert_out_of_reach(&db, "later.rdb");
    assert_eq!(db.say("MMAP k dump.rdb"), "(integer) 0");
    std::fs::create_dir(db.path("elsewhere")).unwrap();
    assert_eq!(db.say("CONFIG SET dir elsewhere"), "OK");
    assert_eq!(db.say("MMAP l later.rdb"), "(integer) 0");
    assert_out_of_reach(&db, "elsewhere/later.rdb");
}

#[test]
fn the_log_warns_where_arrays_lie_among_the_servers_own_files() {
    let db = Server::start();
    wait_until("the log says so", || {
        db.log()
            .contains("arrays should have a directory of their own")
    });
}

#[test]
fn a_user_who_may_bind_files_gets_no_nearer_to_the_servers_secrets() {
    let mut db = mixed().start();
    db.say("SET secret swordfish");
    db.save();
    let rules = "ACL SETUSER app on >pw ~app:* +@all -@dangerous -@admin +mmap";
    assert_eq!(db.say(rules), "OK");
    assert_eq!(db.say("ACL SAVE"), "OK");
    let users = db.read("users.acl");
    let mut client = db.client();
    assert_eq!(client.say("AUTH app pw"), "OK");
    for path in ["users.acl", "saved.rdb"] {
        for command in [
            format!("MMAP app:x {path} uint8 WRITABLE"),
            format!("MMAP app:x {path} uint8"),
        ] {
            assert!(client.ask(&command).is_error(), "{command}");
        }
    }
    db.restart();
    assert_eq!(db.read("users.acl"), users);
}
