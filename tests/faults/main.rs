//! System calls on an array's file fail, each at each of its turns: never a crash, never a wrong value, always an error
//! that names the file; other arrays go on, and once the fault is over everything works again.

mod array;
mod header;
mod refusal;

use array::Array;
use support::interposer::{Call, FOR_GOOD, Plan, SHORT};
use support::{Server, Setup, wait_until};

const EIO: i32 = libc::EIO;
const ENOMEM: i32 = libc::ENOMEM;
const ENOSPC: i32 = libc::ENOSPC;
const EDQUOT: i32 = libc::EDQUOT;
const EOPNOTSUPP: i32 = libc::EOPNOTSUPP;

/// A server on whose files that begin with `faulty` calls can fail.
fn server_with(plan_of: impl FnOnce(Setup) -> Setup) -> (Server, Plan) {
    let setup = plan_of(Server::setup().config("mmap.max-slack", "65536"));
    let plan = Plan::new(setup.dir().join("plan"));
    let launcher = plan.launcher(&setup.dir().join("faulty"));
    let words: Vec<_> = launcher.iter().map(String::as_str).collect();
    (setup.launched_by(&words).start(), plan)
}

fn server() -> (Server, Plan) {
    server_with(|setup| setup)
}

/// All that a client can do with an array, in both forms and under each setting of `mmap.fsync`.
fn use_array(db: &Server, array: &mut Array) {
    array.mmap();
    (0..3).for_each(|_| array.push(1));
    array.look();
    // Across pages, in the exact form.
    array.push(600);
    array.set();
    array.look();
    array.pop(1);
    array.pop(300);
    array.look_at_all();
    // A burst, slack, growths.
    array.burst(40, 900);
    array.burst(20, 1000);
    array.look();
    array.set();
    array.pop(10);
    array.push(1);
    array.look_at_all();
    array.sync();
    array.look();
    assert_eq!(db.say("CONFIG SET mmap.fsync always"), "OK");
    array.push(1);
    array.push(700);
    array.set();
    array.pop(3);
    array.push_in_transaction(2);
    array.burst(40, 1);
    array.look_at_all();
    assert_eq!(db.say("CONFIG SET mmap.fsync everysec"), "OK");
    array.burst(20, 1000);
    array.clear();
    array.look();
    array.burst(30, 2);
    array.look_at_all();
    array.pop(100);
    array.del();
    array.mmap();
    array.look_at_all();
    array.burst(20, 400);
    array.look_at_all();
}

/// What needs long truncations, which are the worker's.
fn use_long_array(_: &Server, array: &mut Array) {
    array.mmap();
    array.burst(2, 280);
    array.look();
    array.pop(550);
    array.look();
    array.push(1);
    array.burst(2, 280);
    array.clear();
    array.look();
    array.push(5);
    array.del();
    array.mmap();
    array.look_at_all();
}

/// What is done with an array while a call fails, which array it is, and whether one append is many writes.
type Work = (
    fn(&Server, &mut Array),
    for<'a> fn(Array<'a>) -> Array<'a>,
    bool,
);

const ALL_KINDS: Work = (use_array, |array| array, false);
const LONG: Work = (use_long_array, |array| array.of_long_items(), true);

#[derive(Clone, Copy, Debug)]
enum Ending {
    /// The fault is over, and the server goes on.
    Heals,
    /// The server is killed in the middle of the fault.
    Killed,
    /// The server shuts down in the middle of the fault.
    ShutDown,
}

const ENDINGS: [Ending; 3] = [Ending::Heals, Ending::Killed, Ending::ShutDown];

/// The short run tries every fourth turn, and of faults that stay, and of calls that each command makes, every 13th. Of the writes
/// that one large append consists of, few are enough. None is a multiple of the number of endings.
fn stride(work: Work, call: Call, times: i64) -> usize {
    let is_long_run = std::env::var_os("MMAP_ROUNDS").is_some();
    if call == Call::Pwrite && work.2 {
        if is_long_run { 31 } else { 301 }
    } else if is_long_run {
        1
    } else if times == FOR_GOOD || call == Call::Fstat {
        13
    } else {
        4
    }
}

/// Has the n-th call fail, for each n until there is no n-th call.
fn fail_each(work: Work, call: Call, errno: i32, times: i64) {
    let (mut db, plan) = server();
    assert_eq!(db.int("MMAP other other"), 0);
    let mut hit = 0;
    for n in (0..).step_by(stride(work, call, times)) {
        let ending = ENDINGS[n as usize % ENDINGS.len()];
        let what = format!("{call:?} {n}, errno {errno}, {times} times, {ending:?}");
        let was_hit = named(&what, || {
            fail_once(&mut db, &plan, work, (call, errno, n, times), ending)
        });
        if !was_hit {
            break;
        }
        hit += 1;
    }
    println!("{call:?}, errno {errno}, {times} times: failed at each of {hit} turns");
    assert!(hit > 0, "{call:?} was never called");
}

/// Says in which case a test failed.
fn named<T>(case: &str, test: impl FnOnce() -> T) -> T {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)).unwrap_or_else(|panic| {
        eprintln!("in the case: {case}");
        std::panic::resume_unwind(panic)
    })
}

/// Whether the call came to its turn.
fn fail_once(
    db: &mut Server,
    plan: &Plan,
    (work, array_of, _): Work,
    (call, errno, skip, times): (Call, i32, i64, i64),
    ending: Ending,
) -> bool {
    let file = format!("faulty.{skip}");
    let log_before = db.log().len();
    let pid = db.pid();
    plan.fail(call, errno, skip, times);
    let mut array = array_of(Array::new(db, "db", file.clone()));
    work(db, &mut array);
    assert_eq!(db.pid(), pid, "it is the same server");
    let was_hit = plan.hits() > 0;
    // A full disk makes a growth smaller before it makes it fail, a file system may not know `fallocate`, and what
    // is left of a short write can be written.
    let is_silent = call == Call::Fallocate && errno != EIO || errno == SHORT;
    if was_hit && !is_silent && array.errors.is_empty() {
        let told = format!("'{file}'");
        wait_until("the log names the file", || {
            db.log()[log_before..].contains(&told)
        });
    }
    assert_eq!(db.int("VPUSH other 1"), 1, "another array");

    let Array { values, .. } = array;
    match ending {
        Ending::Heals => {}
        Ending::Killed => {
            db.save();
            db.kill_9();
        }
        Ending::ShutDown => {
            assert!(db.shutdown("SAVE").success());
        }
    }
    plan.heal();
    if !matches!(ending, Ending::Heals) {
        db.start_again();
    }
    let mut array = array_of(Array::new(db, "db", file.clone()));
    array.values = values;
    array.mmap();
    array.look_at_all();
    array.works_again(plan);
    array.del();
    wait_until("the file is closed", || !is_open(db, &file));
    std::fs::remove_file(db.path(&file)).unwrap();
    was_hit
}

fn is_open(db: &Server, file: &str) -> bool {
    let path = db.path(file);
    std::fs::read_dir(format!("/proc/{}/fd", db.pid()))
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .any(|open| open == path)
}

macro_rules! faults {
    ($work:expr; $($name:ident: $($call:ident $errno:ident $times:expr),+;)*) => {
        $(#[test]
        fn $name() {
            $(fail_each($work, Call::$call, $errno, $times);)+
        })*
    };
}

faults! {
    ALL_KINDS;
    msync_fails: Msync EIO 1, Msync EIO FOR_GOOD;
    sync_file_range_fails: SyncFileRange EIO 1, SyncFileRange EIO FOR_GOOD;
    fdatasync_fails: Fdatasync EIO 1, Fdatasync EIO FOR_GOOD;
    fsync_fails: Fsync EIO 1, Fsync EIO FOR_GOOD;
    ftruncate_fails: Ftruncate EIO 1, Ftruncate EIO FOR_GOOD;
    fallocate_fails: Fallocate EIO 1, Fallocate EIO FOR_GOOD;
    fallocate_finds_no_space: Fallocate ENOSPC 1, Fallocate EDQUOT FOR_GOOD;
    fallocate_is_not_supported: Fallocate EOPNOTSUPP 1, Fallocate EOPNOTSUPP FOR_GOOD;
    mmap_fails: Mmap ENOMEM 1, Mmap ENOMEM FOR_GOOD;
    fstat_fails: Fstat EIO 1, Fstat EIO FOR_GOOD;
    pwrite_fails: Pwrite EIO 1, Pwrite ENOSPC FOR_GOOD;
    pwrite_is_short: Pwrite SHORT 1, Pwrite SHORT FOR_GOOD;
    fsetxattr_fails: Fsetxattr EIO 1, Fsetxattr ENOSPC FOR_GOOD;
    fgetxattr_fails: Fgetxattr EIO 1, Fgetxattr EIO FOR_GOOD;
}

faults! {
    LONG;
    ftruncate_fails_where_much_is_freed: Ftruncate EIO 1, Ftruncate EIO FOR_GOOD;
    fallocate_fails_where_much_is_freed: Fallocate ENOSPC 1, Fallocate ENOSPC FOR_GOOD;
    pwrite_fails_where_much_is_freed: Pwrite EIO 1, Pwrite EIO FOR_GOOD;
    pwrite_is_short_where_much_is_written: Pwrite SHORT 1, Pwrite SHORT FOR_GOOD;
}

/// A server starts while the n-th call fails, for each n: with a file that a record might end, one with slack that a
/// killed server left, and one on which nothing fails.
fn fail_each_at_start(call: Call, errno: i32, times: i64) {
    let (mut db, plan) = server();
    let mut exact = Array::new(&db, "exact", "faulty.exact".to_owned());
    let mut slack = Array::new(&db, "slack", "faulty.slack".to_owned());
    let mut other = Array::new(&db, "other", "other".to_owned());
    exact.mmap();
    exact.push(512);
    slack.mmap();
    other.mmap();
    other.push(100);
    let mut contents = [exact.values, slack.values, other.values];
    db.save();
    let mut hit = 0;
    for n in 0.. {
        let what = format!("{call:?} {n} at the start, errno {errno}, {times} times");
        let was_hit = named(&what, || {
            start_once(&mut db, &plan, (call, errno, n, times), &mut contents)
        });
        if !was_hit {
            break;
        }
        hit += 1;
    }
    println!("{call:?} at the start, errno {errno}, {times} times: failed at each of {hit} turns");
    assert!(hit > 0, "{call:?} was never called");
}

fn start_once(
    db: &mut Server,
    plan: &Plan,
    (call, errno, skip, times): (Call, i32, i64, i64),
    contents: &mut [Vec<f64>; 3],
) -> bool {
    let keys = [
        ("exact", "faulty.exact"),
        ("slack", "faulty.slack"),
        ("other", "other"),
    ];
    let mut slack = Array::bound(db, keys[1], std::mem::take(&mut contents[1]));
    wait_until("the array has slack", || {
        slack.burst(40, 100);
        db.stat("slack_bytes") > 0
    });
    contents[1] = slack.values;
    db.kill_9();
    plan.fail(call, errno, skip, times);
    db.start_again();
    let mut errors = 0;
    for (key, values) in keys.into_iter().zip(&*contents) {
        let mut array = Array::bound(db, key, values.clone());
        array.look();
        array.look_at_all();
        assert!(key.0 != "other" || array.errors.is_empty(), "another array");
        errors += array.errors.len();
    }
    let was_hit = plan.hits() > 0;
    assert!(
        !was_hit || errors > 0 || db.log().contains("'faulty."),
        "the fault was neither answered nor logged"
    );
    plan.heal();
    // What could not be opened is neither dropped nor forgotten by another save.
    db.restart();
    for (key, values) in keys.into_iter().zip(contents) {
        let mut array = Array::bound(db, key, values.clone());
        array.look_at_all();
        array.push(1);
        array.pop(1);
        array.sync();
        assert_eq!(array.errors, [""; 0], "the fault is over");
    }
    was_hit
}

macro_rules! faults_at_start {
    ($($name:ident: $($call:ident $errno:ident $times:expr),+;)*) => {
        $(#[test]
        fn $name() {
            $(fail_each_at_start(Call::$call, $errno, $times);)+
        })*
    };
}

faults_at_start! {
    fstat_fails_at_the_start: Fstat EIO 1, Fstat EIO FOR_GOOD;
    pread_fails_at_the_start: Pread EIO 1, Pread EIO FOR_GOOD;
    fgetxattr_fails_at_the_start: Fgetxattr EIO 1, Fgetxattr EIO FOR_GOOD;
    ftruncate_fails_at_the_start: Ftruncate EIO 1, Ftruncate EIO FOR_GOOD;
    mmap_fails_at_the_start: Mmap ENOMEM 1, Mmap ENOMEM FOR_GOOD;
}
