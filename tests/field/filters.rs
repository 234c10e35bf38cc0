//! Filters of system calls (seccomp), which answer a call with an error or end the process for it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::{does_its_work, here};
use support::{Server, Setup};

/// What the stock units of Debian's servers end the process for.
const STOCK: [&str; 5] = [
    "setpriority",
    "sched_setscheduler",
    "mincore",
    "cachestat",
    "fchown",
];

/// What the module can do without, beside [`STOCK`].
const OPTIONAL: [&str; 12] = [
    "copy_file_range",
    "fadvise64",
    "fallocate",
    "fgetxattr",
    "flistxattr",
    "fremovexattr",
    "fsetxattr",
    "fstatfs",
    "linkat",
    "preadv2",
    "renameat2",
    "sync_file_range",
];

static PROGRAM: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let temp = tempfile::tempdir().unwrap();
    let program = temp.path().join("filter");
    let built = Command::new("cc")
        .args(["-O1", "-Wall", "-o"])
        .args([&program, &here("filter.c")])
        .status()
        .expect("cc runs");
    assert!(built.success(), "cc filter.c: {built}");
    (temp, program)
});

fn under_filter(action: &str, calls: &[&str]) -> Setup {
    let program = PROGRAM.1.to_str().unwrap();
    Server::setup().launched_by(&[&[program, action], calls, &["--"]].concat())
}

#[track_caller]
fn log_names(db: &Server, calls: &[&str], reason: &str) {
    let log = db.log();
    for call in calls {
        let told = log
            .lines()
            .any(|line| line.contains(call) && line.contains(reason));
        assert!(told, "{call}: {reason}: not in the log:\n{log}");
    }
}

const DEADLY: &str = "a filter of system calls would end the server";

#[test]
fn the_calls_that_stock_units_kill_for_are_not_made() {
    let db = under_filter("kill", &STOCK).start();
    log_names(&db, &STOCK, DEADLY);
    does_its_work(db, "(nil)");
}

#[test]
fn no_optional_call_is_made_where_it_would_kill() {
    // The server itself makes two of them when it saves, and the launcher one.
    let all: Vec<_> = STOCK
        .iter()
        .chain(&OPTIONAL)
        .filter(|call| !["fadvise64", "sync_file_range", "fstatfs"].contains(*call))
        .copied()
        .collect();
    let db = under_filter("kill", &all).start();
    let told: Vec<_> = all
        .iter()
        // Setting an attribute and removing one are allowed together.
        .filter(|call| **call != "fremovexattr")
        .copied()
        .collect();
    log_names(&db, &told, DEADLY);
    does_its_work(db, "(nil)");
}

/// With `openat2`, without which paths are looked up step by step.
fn all_that_may_be_refused() -> Vec<&'static str> {
    STOCK
        .iter()
        .chain(&OPTIONAL)
        .chain(&["openat2"])
        .copied()
        .collect()
}

#[test]
fn optional_calls_may_be_answered_with_eperm() {
    let db = under_filter(&libc::EPERM.to_string(), &all_that_may_be_refused()).start();
    log_names(&db, &["fallocate", "cachestat"], "Operation not permitted");
    does_its_work(db, "(nil)");
}

#[test]
fn optional_calls_may_be_answered_with_enosys() {
    let db = under_filter(&libc::ENOSYS.to_string(), &all_that_may_be_refused()).start();
    log_names(&db, &["fallocate", "cachestat"], "Function not implemented");
    does_its_work(db, "(nil)");
}

#[test]
fn either_of_two_calls_tells_how_much_is_in_ram() {
    for call in ["cachestat", "mincore"] {
        for action in ["kill", "1", "38"] {
            does_its_work(under_filter(action, &[call]).start(), "(integer) 4096");
        }
    }
}

#[test]
fn a_filter_that_kills_for_what_is_needed_is_named_and_does_not_kill() {
    let log = under_filter("kill", &["openat2"])
        .try_start()
        .err()
        .unwrap();
    assert!(
        log.contains("cannot load: a filter of system calls (seccomp) would end the server at its first openat2: allow that call"),
        "{log}"
    );
}

#[test]
fn where_nothing_is_refused_the_log_says_nothing() {
    let db = under_filter("38", &[]).start();
    assert!(!db.log().contains(" here ("), "{}", db.log());
}
