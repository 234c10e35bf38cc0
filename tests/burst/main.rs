//! Measurements that need a machine with nothing else to do. Cargo runs them after the suite.

use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::{Server, file_len, wait_at_most};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(|failed_test| failed_test.into_inner())
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// Lines of `strace -f -ttt` that begin a call between two moments.
fn calls_between(trace: &str, from: f64, to: f64) -> Vec<&str> {
    trace
        .lines()
        .filter(|line| {
            let mut words = line.split_whitespace();
            let time = words.nth(1).and_then(|word| word.parse::<f64>().ok());
            time.is_some_and(|time| (from..=to).contains(&time))
                && words
                    .next()
                    .is_some_and(|call| call.contains('(') && !call.starts_with('<'))
        })
        .collect()
}

#[test]
fn fifty_million_appends_take_at_most_a_hundred_calls_of_the_kernel_for_memory_and_files() {
    let _alone = alone();
    const COUNT: u64 = 50_000_000;
    let traces = tempfile::tempdir().unwrap();
    let trace = traces.path().join("trace");
    // Only the traced calls stop the server; without --seccomp-bpf every call would.
    let mut db = Server::setup()
        .launched_by(&[
            "strace",
            "-f",
            "--seccomp-bpf",
            "-ttt",
            "-e",
            "trace=ftruncate,fallocate,mmap,mremap",
            "-o",
            trace.to_str().unwrap(),
        ])
        .start();
    db.say("MMAP db f");
    let begin = now();
    let output = Command::new("redis-benchmark")
        .args([
            "-p",
            &db.port().to_string(),
            "-c",
            "4",
            "-P",
            "512",
            "-n",
            &COUNT.to_string(),
            "-q",
        ])
        .args(["VADD", "db", "0.1"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // redis-benchmark sends whole pipelines.
    let count = db.int("VSIZE db") as u64;
    assert!((COUNT..COUNT + 4 * 512).contains(&count), "{count} values");
    wait_at_most(Duration::from_secs(10), "the file is exact", || {
        db.file_len("f") == count * 8
    });
    let end = now();
    assert_eq!(
        db.say(&format!("VMGET db 0 {} {} {count}", COUNT / 2, count - 1)),
        "[0.1, 0.1, 0.1, (nil)]"
    );
    assert!(db.shutdown("NOSAVE").success());
    assert_eq!(db.file_len("f"), count * 8);

    let trace = std::fs::read_to_string(&trace).unwrap();
    assert!(trace.contains("mmap("), "strace saw nothing:\n{trace}");
    let calls = calls_between(&trace, begin, end);
    println!("{} calls for {count} values", calls.len());
    assert!(
        calls.len() <= 100,
        "{} calls:\n{}",
        calls.len(),
        calls.join("\n")
    );
    assert!(
        calls.iter().any(|call| call.contains("fallocate(")),
        "nothing was allocated:\n{}",
        calls.join("\n")
    );
}

#[test]
fn the_file_is_exact_soon_after_a_burst() {
    let _alone = alone();
    let db = Server::with("MMAP db f");
    for round in 1..=3 {
        db.client().push_one_by_one("db", 0..1_000_000);
        let path = db.path("f");
        wait_at_most(Duration::from_secs(10), "the file is exact", || {
            file_len(&path) == round * 8_000_000
        });
    }
}

#[test]
fn the_worker_grows_the_file_ahead_of_most_appends() {
    let _alone = alone();
    let db = Server::with("MMAP db f");
    db.client().push_one_by_one("db", 0..2_000_000);
    let (ahead, inline) = (db.stat("growths_ahead"), db.stat("growths_inline"));
    assert!(ahead > 0, "no growth was ahead, {inline} were inline");
    assert!(
        ahead + inline < 100,
        "{ahead} growths ahead and {inline} inline are not geometric"
    );
}
