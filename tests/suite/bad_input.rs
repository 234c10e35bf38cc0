//! Bad input gets a clear error, and nothing is written.

use std::os::unix::fs::PermissionsExt;

use rustix::fs::{CWD, FileType, Mode};

use support::{Server, cannot_run, doubles};

const WITH_ARRAY_KEY: [&str; 15] = [
    "MMAP s f",
    "VPUSH s 1",
    "VPUSH s 1 2",
    "VGET s 0",
    "VMGET s 0 1",
    "VALL s",
    "VSET s 0 1",
    "VPOP s",
    "VPOP s 2",
    "VCLEAR s",
    "VSIZE s",
    "VCOUNT s",
    "VITEMSIZE s",
    "VTYPE s",
    "VFILEPATH s",
];

#[test]
fn wrong_arity_is_an_error() {
    let db = Server::with("MMAP db f");
    db.say("VPUSH db 1 2");
    for command in [
        "MMAP",
        "MMAP k",
        "VADD",
        "VADD db",
        "VPUSH",
        "VPUSH db",
        "VGET",
        "VGET db",
        "VGET db 0 1",
        "VMGET",
        "VMGET db",
        "VALL",
        "VALL db 0",
        "VSET",
        "VSET db",
        "VSET db 0",
        "VSET db 0 1 1",
        "VPOP",
        "VPOP db 1 2",
        "VCLEAR",
        "VCLEAR db x",
        "VSIZE",
        "VSIZE db x",
        "VCOUNT",
        "VCOUNT db x",
        "VITEMSIZE",
        "VITEMSIZE db x",
        "VTYPE",
        "VTYPE db x",
        "VFILEPATH",
        "VFILEPATH db x",
        "VSYNC",
        "VSYNC db x",
    ] {
        let error = db.error(command);
        assert!(
            error.starts_with("ERR wrong number of arguments for"),
            "{command}: {error}"
        );
    }
    assert_eq!(db.say("VALL db"), "[1, 2]");
    assert_eq!(db.say("EXISTS k"), "(integer) 0");
}

#[test]
fn every_command_refuses_a_key_of_another_type() {
    let db = Server::start();
    db.say("SET s text");
    for command in WITH_ARRAY_KEY.iter().chain(&["VADD s 1", "VSYNC s"]) {
        let error = db.error(command);
        assert!(error.starts_with("WRONGTYPE "), "{command}: {error}");
    }
    assert_eq!(db.say("GET s"), "text");
    assert!(
        !db.path("f").exists(),
        "MMAP created a file for a key it refused"
    );
}

#[test]
fn commands_of_other_types_refuse_an_array() {
    let db = Server::with("MMAP db f");
    for command in ["GET db", "LPUSH db 1", "HGET db x", "INCR db"] {
        assert!(db.error(command).starts_with("WRONGTYPE "), "{command}");
    }
}

#[test]
fn text_that_is_no_double_is_refused() {
    let db = Server::with("MMAP db f");
    for value in [
        "", " ", "abc", "1,0", "1.2.3", "1 ", " 1", "1e", "e5", "--1", "+-1", "0x10", "1_000",
        "1\n", "1\0", "١", "infx", "nanx", "1e400", "-1e400",
    ] {
        let error = db.run(&["VPUSH", "db", value]).error();
        assert!(
            error.starts_with("ERR ") && error.contains("argument 2"),
            "{value:?}: {error}"
        );
        assert!(
            !error.chars().any(char::is_control),
            "{value:?}: raw control characters in {error:?}"
        );
    }
    assert!(db.run(&[&b"VPUSH"[..], b"db", b"\xff\xfe"]).is_error());
    assert_eq!(db.say("VSIZE db"), "(integer) 0");
    assert_eq!(db.file_len("f"), 0);
}

#[test]
fn a_long_argument_is_shortened_in_its_error() {
    let db = Server::with("MMAP db f");
    let error = db.run(&["VPUSH", "db", &"x".repeat(100_000)]).error();
    assert!(
        error.len() < 500 && error.contains("xxxx"),
        "{} bytes: {error}",
        error.len()
    );
    let error = db.run(&["MMAP", "k", "g", &"t".repeat(100_000)]).error();
    assert!(
        error.len() < 500 && error.contains("tttt"),
        "{} bytes: {error}",
        error.len()
    );
}

#[test]
fn an_unknown_type_is_named_and_no_file_is_made() {
    let db = Server::start();
    for kind in ["decimal", "int128", "doubles", "writeable", "8"] {
        let error = db.error(&format!("MMAP db f {kind}"));
        assert!(error.starts_with("ERR ") && error.contains(kind), "{error}");
    }
    let error = db.error("MMAP db f double readwrite");
    assert!(
        error.starts_with("ERR ") && error.contains("readwrite"),
        "{error}"
    );
    assert!(
        db.error("MMAP db f double WRITABLE more")
            .starts_with("ERR ")
    );
    assert!(!db.path("f").exists());
    assert_eq!(db.say("EXISTS db"), "(integer) 0");
}

#[test]
fn a_string_type_needs_a_size_from_1_to_65535() {
    let db = Server::start();
    for arguments in ["string", "string WRITABLE"] {
        let error = db.error(&format!("MMAP db f {arguments}"));
        assert!(
            error.starts_with("ERR ") && error.contains("size"),
            "{arguments}: {error}"
        );
    }
    for size in ["0", "-1", "65536", "99999999999999999999", "8.0", "x"] {
        let error = db.error(&format!("MMAP db f string {size} WRITABLE"));
        assert!(
            error.starts_with("ERR ") && error.contains(size),
            "{size}: {error}"
        );
    }
    assert!(!db.path("f").exists());
    assert_eq!(db.say("MMAP one f string 1 WRITABLE"), "(integer) 0");
    assert_eq!(db.say("MMAP most g string 65535 WRITABLE"), "(integer) 0");
}

#[test]
fn a_read_only_binding_never_creates_a_file() {
    let db = Server::start();
    let error = db.error("MMAP db nothing double");
    assert!(
        error.starts_with("ERR ") && error.contains("nothing"),
        "{error}"
    );
    assert!(!db.path("nothing").exists());
    assert_eq!(db.say("EXISTS db"), "(integer) 0");
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let db = Server::start();
    std::fs::create_dir(db.path("folder")).unwrap();
    rustix::fs::mkfifoat(CWD, db.path("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(db.path("socket")).unwrap();
    let mut names = vec!["folder", "fifo", "socket", "."];
    // 1:3 is the null device.
    let device = rustix::fs::makedev(1, 3);
    match rustix::fs::mknodat(
        CWD,
        db.path("device"),
        FileType::CharacterDevice,
        Mode::RUSR | Mode::WUSR,
        device,
    ) {
        Ok(()) => names.push("device"),
        Err(e) => cannot_run(&format!("no device node can be made: {e}")),
    }
    for name in names {
        for arguments in ["", "double", "double WRITABLE"] {
            let error = db.error(&format!("MMAP db {name} {arguments}"));
            assert!(
                error.starts_with("ERR ") && error.contains(name),
                "{name}: {error}"
            );
        }
    }
    assert_eq!(db.say("PING"), "PONG");
    assert_eq!(db.say("EXISTS db"), "(integer) 0");
}

#[test]
fn a_file_without_permission_is_refused_with_the_reason() {
    let db = Server::setup()
        .bound_by_permissions()
        .write("none", doubles([1.0]))
        .write("read", doubles([1.0]))
        .start();
    std::fs::set_permissions(db.path("none"), PermissionsExt::from_mode(0o000)).unwrap();
    std::fs::set_permissions(db.path("read"), PermissionsExt::from_mode(0o400)).unwrap();
    for command in [
        "MMAP db none",
        "MMAP db none double",
        "MMAP db read",
        "MMAP db read double WRITABLE",
    ] {
        let error = db.error(command);
        let name = command.split(' ').nth(2).unwrap();
        assert!(
            error.starts_with("ERR ") && error.contains(name),
            "{command}: {error}"
        );
        assert!(
            error.to_lowercase().contains("permission denied"),
            "{command}: {error}"
        );
    }
    assert_eq!(db.say("MMAP db read double"), "(integer) 1");
    assert_eq!(db.say("VALL db"), "[1]");
}

#[test]
fn a_folder_without_permission_is_refused_with_the_reason() {
    let db = Server::setup().bound_by_permissions().start();
    std::fs::create_dir(db.path("closed")).unwrap();
    std::fs::set_permissions(db.path("closed"), PermissionsExt::from_mode(0o555)).unwrap();
    let error = db.error("MMAP db closed/new");
    assert!(
        error.to_lowercase().contains("permission denied") && error.contains("closed/new"),
        "{error}"
    );
}

#[test]
fn a_read_only_file_system_allows_reading_only() {
    let setup = Server::setup();
    let mount = setup.dir().join("fixed");
    std::fs::create_dir(&mount).unwrap();
    std::fs::write(mount.join("f"), doubles([1.0, 2.0])).unwrap();
    let script = format!(
        "mount --bind {0} {0} && mount -o remount,bind,ro {0} && exec \"$@\"",
        mount.display()
    );
    let root = rustix::process::geteuid().is_root();
    let unshare = if root { "-m" } else { "-rm" };
    let probe = std::process::Command::new("unshare")
        .args([unshare, "sh", "-c", &script, "sh", "true"])
        .output()
        .unwrap();
    if !probe.status.success() {
        return cannot_run(&format!(
            "no private mount: {}",
            String::from_utf8_lossy(&probe.stderr)
        ));
    }
    let db = setup
        .launched_by(&["unshare", unshare, "sh", "-c", &script, "sh"])
        .start();
    for command in [
        "MMAP db fixed/f",
        "MMAP db fixed/f double WRITABLE",
        "MMAP db fixed/new",
    ] {
        let error = db.error(command);
        assert!(
            error.starts_with("ERR ") && error.contains("fixed/"),
            "{command}: {error}"
        );
        assert!(
            error.to_lowercase().contains("read-only file system"),
            "{command}: {error}"
        );
    }
    assert_eq!(db.say("EXISTS db"), "(integer) 0");
    assert_eq!(db.say("MMAP db fixed/f double"), "(integer) 2");
    assert_eq!(db.say("VALL db"), "[1, 2]");
}

#[test]
fn an_odd_length_is_refused_for_writing_and_ignored_for_reading() {
    let mut bytes = doubles([1.0, 2.0]);
    bytes.extend(b"tail");
    let db = Server::setup().write("f", &bytes).start();
    for command in [
        "MMAP db f",
        "MMAP db f double WRITABLE",
        "MMAP db f int64 WRITABLE",
    ] {
        let error = db.error(command);
        assert!(
            error.starts_with("ERR ") && error.contains('f') && error.contains("20"),
            "{error}"
        );
    }
    assert_eq!(db.read("f"), bytes);
    assert_eq!(db.say("MMAP db f double"), "(integer) 2");
    assert_eq!(db.say("VALL db"), "[1, 2]");
    assert_eq!(db.say("VGET db 2"), "(nil)");
    assert!(
        db.log()
            .lines()
            .any(|line| line.contains("mmap") && line.contains("4 ")),
        "the odd tail is not logged"
    );
    assert_eq!(db.read("f"), bytes);
}

#[test]
fn odd_paths_are_refused_without_harm() {
    let db = Server::start();
    let long = "x".repeat(10_000);
    let deep = "a/".repeat(5_000) + "f";
    let long_name = "n".repeat(300);
    for path in [
        "", "\0", "f\0", "f\0g", "f\n", "\n", "f\rg", "f\tg", "f\x1bg", "f\x7f", &long, &deep,
        &long_name,
    ] {
        for rest in [&[][..], &["double"], &["double", "WRITABLE"]] {
            let mut command = vec!["MMAP", "db", path];
            command.extend(rest);
            let error = db.run(&command).error();
            assert!(error.starts_with("ERR "), "{path:?}: {error}");
            assert!(
                !error.chars().any(char::is_control),
                "{path:?}: raw control characters in {error:?}"
            );
            assert!(error.len() < 1000, "{} bytes of error", error.len());
        }
    }
    assert_eq!(db.say("EXISTS db"), "(integer) 0");
    let left: Vec<_> = std::fs::read_dir(db.dir())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_path_in_a_missing_folder_is_an_error() {
    let db = Server::start();
    let error = db.error("MMAP db nowhere/f");
    assert!(
        error.starts_with("ERR ") && error.contains("nowhere/f"),
        "{error}"
    );
}

#[test]
fn paths_of_any_script_and_with_blanks_work() {
    let db = Server::start();
    for path in ["with blank", "データ", "quote'\"", "..."] {
        assert_eq!(db.run(&["MMAP", path, path]).int(), 0, "{path}");
        assert_eq!(db.run(&["VPUSH", path, "1"]).int(), 1);
        assert_eq!(db.run(&["VFILEPATH", path]).text(), path);
        assert_eq!(db.file_len(path), 8);
    }
}
