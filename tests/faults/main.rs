//! System calls on an array's file fail, each at each of its turns: never a crash, never a wrong value, always an error
//! that names the file; other arrays go on, and once the fault is over everything works again.

#[path = "../support/mod.rs"]
mod support;

mod array;
mod interposer;

use array::Array;
use interposer::{Call, FOR_GOOD, Plan, SHORT};
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

/// Has the n-th call fail, for each n until there is no n-th call.
fn fail_each(call: Call, errno: i32, times: i64) {
    let (mut db, plan) = server();
    assert_eq!(db.int("MMAP other other"), 0);
    let mut hit = 0;
    for n in 0.. {
        let ending = ENDINGS[n as usize % ENDINGS.len()];
        let what = format!("{call:?} {n}, errno {errno}, {times} times, {ending:?}");
        let case = std::panic::AssertUnwindSafe(|| fail_once(&mut db, &plan, (call, errno, n, times), ending));
        match std::panic::catch_unwind(case) {
            Ok(true) => hit += 1,
            Ok(false) => break,
            Err(panic) => {
                eprintln!("in the case: {what}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{call:?}, errno {errno}, {times} times: failed at each of {hit} turns");
    assert!(hit > 0, "{call:?} was never called");
}

/// Whether the call came to its turn.
fn fail_once(
    db: &mut Server,
    plan: &Plan,
    (call, errno, skip, times): (Call, i32, i64, i64),
    ending: Ending,
) -> bool {
    let file = format!("faulty.{skip}");
    let log_before = db.log().len();
    let pid = db.pid();
    plan.fail(call, errno, skip, times);
    let mut array = Array::new(db, "db", file.clone());
    use_array(db, &mut array);
    assert_eq!(db.pid(), pid, "it is the same server");
    let was_hit = plan.hits() > 0;
    // A full disk makes a growth smaller before it makes it fail, a file system may not know `fallocate`, and what
    // is left of a short write can be written.
    let is_silent = call == Call::Fallocate && errno != EIO || errno == SHORT;
    if was_hit && !is_silent && array.errors.is_empty() {
        let told = format!("'{file}'");
        wait_until("the log names the file", || db.log()[log_before..].contains(&told));
    }
    assert_eq!(db.int("VPUSH other 1"), 1, "another array");

    let Array { values, .. } = array;
    match ending {
        Ending::Heals => {}
        Ending::Killed => {
            assert_eq!(db.say("SAVE"), "OK");
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
    let mut array = Array::new(db, "db", file.clone());
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
    ($($name:ident: $($call:ident $errno:ident $times:expr),+;)*) => {
        $(#[test]
        fn $name() {
            $(fail_each(Call::$call, $errno, $times);)+
        })*
    };
}

faults! {
    msync_fails: Msync EIO 1, Msync EIO FOR_GOOD;
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
    pread_fails: Pread EIO 1, Pread EIO FOR_GOOD;
    fsetxattr_fails: Fsetxattr EIO 1, Fsetxattr ENOSPC FOR_GOOD;
    fgetxattr_fails: Fgetxattr EIO 1, Fgetxattr EIO FOR_GOOD;
}
