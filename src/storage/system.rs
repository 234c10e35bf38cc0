//! System calls that are help: which of them a machine, a sandbox or a file system refuses, and what is done without.
//!
//! A refusal is an error that says that there is no such thing to be had ([`is_refusal`]), or the end of the process: the
//! stock units of Debian's Redis and Valkey have systemd's filter kill it (SIGSYS) for a call that is not on their list.
//! So where the process has such a filter, each call is tried once in a forked child when the module is loaded, and
//! those that ended it are not made. All such calls go through [`attempt`].

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::{Errno, Result};
use rustix::param::page_size;

use crate::storage::files::root::descriptor_link;

/// A system call that the module can do without, or is told of by name if it cannot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    CacheStat,
    CopyFileRange,
    Fadvise,
    Fallocate,
    Fchown,
    GetAttribute,
    Linkat,
    ListAttributes,
    Mincore,
    OpenAt2,
    PopulateWrite,
    ReadNoWait,
    RenameNoReplace,
    SetAttribute,
    SetPriority,
    SetScheduler,
    Statfs,
    Statx,
    SyncFileRange,
}

/// Calls that ended a child.
static DEADLY: AtomicU32 = AtomicU32::new(0);

/// `false` if a call would end the process.
#[inline]
pub fn may(call: Call) -> bool {
    DEADLY.load(Ordering::Relaxed) & (1 << call as u32) == 0
}

/// Whether an error says that a call, or this use of it, is not to be had here, and not that it failed: old kernels and
/// some sandboxes answer `ENOSYS`, others `EPERM`, file systems `EOPNOTSUPP` or `EINVAL`.
pub fn is_refusal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL
    )
}

/// Makes a call that can be done without; `None` if it is refused.
///
/// # Errors
/// What the call says when it is there, and fails.
#[inline]
pub fn attempt<T>(call: Call, make: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    if !may(call) {
        return Ok(None);
    }
    match make() {
        Ok(value) => Ok(Some(value)),
        Err(errno) if is_refusal(errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What a system call answers by way of the C library.
///
/// # Errors
/// `errno`, if it is negative.
pub fn result_of(answer: libc::c_long) -> Result<libc::c_long> {
    if answer >= 0 {
        return Ok(answer);
    }
    // SAFETY: the address of this thread's errno.
    Err(Errno::from_raw_os_error(unsafe {
        *libc::__errno_location()
    }))
}

/// `cachestat(2)` has one number on all architectures; it is in Linux from 6.5 on.
pub const SYS_CACHESTAT: libc::c_long = 451;
/// `openat2(2)`, too; from 5.6 on.
const SYS_OPENAT2: libc::c_long = 437;
/// `include/uapi/linux/fs.h`
const RWF_NOWAIT: libc::c_int = 8;
/// `include/uapi/asm-generic/mman-common.h`; from 5.14 on.
const MADV_POPULATE_WRITE: libc::c_int = 23;

/// What a call is tried on: an empty file in the root that nobody sees, where one can be made, and memory.
struct Subject {
    dir: libc::c_int,
    /// -1 where there is no file: what only a file system refuses is not found out then.
    file: libc::c_int,
    /// Where /proc shows the file.
    link: CString,
    /// A name that nothing has.
    name: CString,
    /// A page of the file, or else of memory.
    page: *mut libc::c_void,
}

/// How a call is tried. It may do nothing that a child of `fork` may not do: no memory is allocated, no lock taken.
type Trial = fn(&Subject) -> libc::c_long;

/// A call, its name, how it is tried and what is worse without it.
struct Row {
    call: Call,
    name: &'static str,
    trial: Trial,
    cost: Cost,
}

enum Cost {
    /// What is slower or less exact.
    Minor(&'static str),
    /// What a user has to know.
    Warned(&'static str),
    /// The module, or a library of its, makes this call without asking: if the process would end, it cannot be loaded. If it
    /// is refused by an error, this is the cost.
    NotIfDeadly(&'static str),
}

// SAFETY (of all trials): the pointers are to structures of a trial's own, or to the subject's page, and as long as the
// kernel takes them to be; each call leaves the process, and the file but for its space, as they were.
const ROWS: [Row; 19] = [
    Row {
        call: Call::CacheStat,
        name: "cachestat",
        trial: |subject| {
            let (range, mut stat) = ([0_u64, 1], [0_u64; 5]);
            // SAFETY: see above.
            unsafe {
                libc::syscall(
                    SYS_CACHESTAT,
                    subject.file,
                    range.as_ptr(),
                    stat.as_mut_ptr(),
                    0,
                )
            }
        },
        cost: Cost::Minor("VSTAT counts resident pages by mincore, which takes longer"),
    },
    Row {
        call: Call::CopyFileRange,
        name: "copy_file_range",
        trial: |subject| {
            let (mut from, mut to) = (0_i64, page_size() as i64);
            // SAFETY: see above.
            unsafe {
                libc::syscall(
                    libc::SYS_copy_file_range,
                    subject.file,
                    &raw mut from,
                    subject.file,
                    &raw mut to,
                    1_usize,
                    0,
                )
            }
        },
        cost: Cost::Minor("VTRIM copies through memory"),
    },
    Row {
        call: Call::Fadvise,
        name: "fadvise64",
        trial: |subject| {
            // SAFETY: see above. The call gives back the error instead of setting errno.
            let errno = unsafe { libc::posix_fadvise(subject.file, 0, 0, libc::POSIX_FADV_NORMAL) };
            answer_of(errno)
        },
        cost: Cost::Minor("VADVISE has no effect on the page cache"),
    },
    Row {
        call: Call::Fallocate,
        name: "fallocate",
        trial: |subject| {
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                libc::fallocate(
                    subject.file,
                    libc::FALLOC_FL_KEEP_SIZE,
                    0,
                    page_size() as libc::off_t,
                )
            })
        },
        cost: Cost::Warned(
            "space is not allocated ahead: a full disk is found out only when values reach it, and makes the array unavailable",
        ),
    },
    Row {
        call: Call::Fchown,
        name: "fchown",
        trial: |subject| {
            // SAFETY: see above; -1 is for no change.
            unsafe {
                libc::syscall(
                    libc::SYS_fchown,
                    subject.file,
                    libc::uid_t::MAX,
                    libc::gid_t::MAX,
                )
            }
        },
        cost: Cost::Minor("VTRIM cannot drop the head of another user's file"),
    },
    Row {
        call: Call::GetAttribute,
        name: "fgetxattr",
        trial: |subject| {
            // SAFETY: see above.
            let len =
                unsafe { libc::fgetxattr(subject.file, c"user.mmap".as_ptr(), ptr::null_mut(), 0) };
            len as libc::c_long
        },
        cost: ATTRIBUTES,
    },
    Row {
        call: Call::Linkat,
        name: "linkat",
        trial: |subject| {
            // SAFETY: see above.
            unsafe {
                let (link, name) = (subject.link.as_ptr(), subject.name.as_ptr());
                let (dir, flags) = (subject.dir, libc::AT_SYMLINK_FOLLOW);
                let status = libc::linkat(libc::AT_FDCWD, link, dir, name, flags);
                if status == 0 {
                    libc::unlinkat(dir, name, 0);
                }
                libc::c_long::from(status)
            }
        },
        cost: Cost::Minor(NO_UNNAMED_FILES),
    },
    Row {
        call: Call::ListAttributes,
        name: "flistxattr",
        trial: |subject| {
            // SAFETY: see above.
            unsafe { libc::flistxattr(subject.file, ptr::null_mut(), 0) as libc::c_long }
        },
        cost: Cost::Minor("VTRIM drops extended attributes that others have set"),
    },
    Row {
        call: Call::Mincore,
        name: "mincore",
        trial: |subject| {
            let mut resident = 0_u8;
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                libc::mincore(subject.page, page_size(), (&raw mut resident).cast())
            })
        },
        cost: Cost::Minor(
            "reads that do not wait find out whether values are in RAM; without cachestat, too, VSTAT says nil for `resident`",
        ),
    },
    Row {
        call: Call::OpenAt2,
        name: "openat2",
        trial: |subject| {
            let how = [libc::O_PATH as u64, 0, 0];
            // SAFETY: see above. `how` is as the kernel's `struct open_how`.
            unsafe {
                let (path, size) = (c".".as_ptr(), size_of_val(&how));
                let fd = libc::syscall(SYS_OPENAT2, subject.dir, path, how.as_ptr(), size);
                if fd >= 0 {
                    libc::close(fd as libc::c_int);
                }
                fd
            }
        },
        cost: Cost::NotIfDeadly("paths are looked up one directory after the other"),
    },
    Row {
        call: Call::PopulateWrite,
        name: "madvise(MADV_POPULATE_WRITE)",
        trial: |subject| {
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                libc::madvise(subject.page, page_size(), MADV_POPULATE_WRITE)
            })
        },
        cost: Cost::Minor("appends in bursts take page faults, and more time"),
    },
    Row {
        call: Call::ReadNoWait,
        name: "preadv2(RWF_NOWAIT)",
        trial: |subject| {
            let mut byte = 0_u8;
            let out = libc::iovec {
                iov_base: (&raw mut byte).cast(),
                iov_len: 1,
            };
            // SAFETY: see above. The offset is in two words.
            unsafe {
                libc::syscall(
                    libc::SYS_preadv2,
                    subject.file,
                    &raw const out,
                    1_usize,
                    0_usize,
                    0_usize,
                    RWF_NOWAIT,
                )
            }
        },
        cost: Cost::Minor(
            "whether values of files that are not the server's user's are in RAM cannot be told: their first readers wait for a thread",
        ),
    },
    Row {
        call: Call::RenameNoReplace,
        name: "renameat2",
        trial: |subject| {
            // SAFETY: see above. Nothing has that name, so nothing is renamed.
            unsafe {
                let (dir, name) = (subject.dir, subject.name.as_ptr());
                let noreplace = libc::RENAME_NOREPLACE;
                libc::syscall(libc::SYS_renameat2, dir, name, dir, name, noreplace)
            }
        },
        cost: Cost::Minor("a file that is set aside gets its new name in two steps"),
    },
    Row {
        call: Call::SetAttribute,
        name: "fsetxattr",
        trial: |subject| {
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                let name = c"user.mmap".as_ptr();
                libc::fsetxattr(subject.file, name, ptr::null(), 0, 0)
            })
        },
        cost: ATTRIBUTES,
    },
    Row {
        call: Call::SetPriority,
        name: "setpriority",
        trial: |_| {
            // SAFETY: see above. The call for the kernel's own number, 20 less the nice value, which stays as it is.
            unsafe {
                let nice = 20 - libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0);
                libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice)
            }
        },
        cost: NO_PRIORITY,
    },
    Row {
        call: Call::SetScheduler,
        name: "sched_setscheduler",
        trial: |_| {
            let mut priority: libc::c_int = 0;
            // SAFETY: see above. The kernel's `struct sched_param` is one number; both stay as they are.
            unsafe {
                libc::syscall(libc::SYS_sched_getparam, 0, &raw mut priority);
                let policy = libc::syscall(libc::SYS_sched_getscheduler, 0);
                libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const priority)
            }
        },
        cost: NO_PRIORITY,
    },
    Row {
        call: Call::Statfs,
        name: "fstatfs",
        trial: |subject| {
            let mut stat = [0_u64; 64];
            // SAFETY: see above.
            unsafe { libc::syscall(libc::SYS_fstatfs, subject.dir, stat.as_mut_ptr()) }
        },
        cost: Cost::Minor("each sync waits for the disk's own cache"),
    },
    Row {
        call: Call::Statx,
        name: "statx",
        trial: |subject| {
            let mut stat = [0_u64; 64];
            // SAFETY: see above.
            unsafe {
                libc::syscall(
                    libc::SYS_statx,
                    subject.dir,
                    c"".as_ptr(),
                    libc::AT_EMPTY_PATH,
                    libc::STATX_BTIME,
                    stat.as_mut_ptr(),
                )
            }
        },
        cost: Cost::NotIfDeadly("a file is not told from one that had its inode before"),
    },
    Row {
        call: Call::SyncFileRange,
        name: "sync_file_range",
        trial: |subject| {
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                libc::sync_file_range(subject.file, 0, 1, libc::SYNC_FILE_RANGE_WRITE)
            })
        },
        cost: Cost::Minor("each sync waits for the disk's own cache"),
    },
];

const ATTRIBUTES: Cost = Cost::Warned(
    "files have no marks: after a power cut an array is as long as its file says, after a restart VTRIM counts from 0 again, \
     a copy that a replica had not got whole is not known for one, and RESTORE puts nothing in the place of a file",
);
const NO_UNNAMED_FILES: &str =
    "new files have names (.mmap-PID-N) before they are whole, which a crash leaves behind";
const NO_PRIORITY: Cost =
    Cost::Minor("threads of the module and the server share the CPUs as equals");

/// Calls that are not to be had, for one reason and with one consequence.
#[derive(Debug)]
pub struct Missing {
    names: Vec<&'static str>,
    /// `None` if they would end the process.
    errno: Option<Errno>,
    cost: &'static str,
    /// Whether a user has to know.
    pub is_grave: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} here (", self.names.join(", "))?;
        match self.errno {
            Some(errno) => write!(f, "{}", io::Error::from(errno))?,
            None => f.write_str("a filter of system calls would end the server")?,
        }
        write!(f, "): {}", self.cost)
    }
}

/// Tries all calls, in `dir`, and remembers those that must not be made. Says which are not to be had.
///
/// # Errors
/// If a call that cannot be done without would end the process; the text says which.
pub fn check(dir: &Dir) -> std::result::Result<Vec<Missing>, String> {
    let mut list = Vec::new();
    let file = unnamed_file(dir).unwrap_or_else(|errno| {
        if is_refusal(errno) {
            add(&mut list, "O_TMPFILE", Some(errno), NO_UNNAMED_FILES, false);
        }
        unlinked_file(dir)
    });
    let subject = Subject::new(dir, file.as_ref());
    let answers = if is_filtered() {
        try_in_children(&subject)
    } else {
        ROWS.iter()
            .map(|row| Answer::of(try_here(row.trial, &subject)))
            .collect()
    };
    for (row, answer) in ROWS.iter().zip(answers) {
        let errno = match answer {
            Answer::Deadly | Answer::Unknown => None,
            Answer::Failed(errno) if is_refusal(errno) => Some(errno),
            Answer::Succeeded | Answer::Failed(_) => continue,
        };
        match (&row.cost, answer) {
            (Cost::NotIfDeadly(_), Answer::Unknown) => continue,
            (Cost::NotIfDeadly(_), Answer::Deadly) => {
                return Err(format!(
                    "a filter of system calls (seccomp) would end the server at its first {}: allow that call",
                    row.name
                ));
            }
            _ if errno.is_none() => {
                DEADLY.fetch_or(1 << row.call as u32, Ordering::Relaxed);
            }
            _ => {}
        }
        let (cost, is_grave) = match row.cost {
            Cost::Minor(cost) | Cost::NotIfDeadly(cost) => (cost, false),
            Cost::Warned(cost) => (cost, true),
        };
        add(&mut list, row.name, errno, cost, is_grave);
    }
    Ok(list)
}

fn add(
    list: &mut Vec<Missing>,
    name: &'static str,
    errno: Option<Errno>,
    cost: &'static str,
    is_grave: bool,
) {
    match list
        .iter_mut()
        .find(|missing| missing.errno == errno && missing.cost == cost)
    {
        Some(missing) => missing.names.push(name),
        None => list.push(Missing {
            names: vec![name],
            errno,
            cost,
            is_grave,
        }),
    }
}

/// Whether this process may have a filter of system calls: see `Seccomp` in `proc_pid_status(5)`.
fn is_filtered() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return true;
    };
    // A kernel that knows no filters says nothing of them.
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() != "0")
}

/// A file that never has a name.
fn unnamed_file(dir: &Dir) -> Result<Option<OwnedFd>> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    openat(dir, c".", flags, Mode::RUSR | Mode::WUSR).map(Some)
}

/// A file that has lost its name, if one can be made.
fn unlinked_file(dir: &Dir) -> Option<OwnedFd> {
    let name = trial_name();
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let file = openat(dir, &*name, flags, Mode::RUSR | Mode::WUSR).ok()?;
    unlinkat(dir, &*name, AtFlags::empty()).ok()?;
    Some(file)
}

fn trial_name() -> String {
    format!(".mmap-check-{}", std::process::id())
}

impl Subject {
    fn new(dir: &Dir, file: Option<&OwnedFd>) -> Self {
        // One byte that is there and in RAM.
        if let Some(file) = file {
            let _ = rustix::io::pwrite(file, &[0], 0);
        }
        let map = |flags, fd| {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: a new mapping, at an address that the kernel chooses.
            let page =
                unsafe { libc::mmap(ptr::null_mut(), page_size(), protection, flags, fd, 0) };
            (page != libc::MAP_FAILED).then_some(page)
        };
        let page = file
            .and_then(|file| map(libc::MAP_SHARED, file.as_raw_fd()))
            .or_else(|| map(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1));
        let c_string = |text: String| CString::new(text).unwrap_or_default();
        Self {
            dir: dir.as_raw_fd(),
            file: file.map_or(-1, AsRawFd::as_raw_fd),
            link: c_string(file.map_or_else(String::new, descriptor_link)),
            name: c_string(trial_name()),
            page: page.unwrap_or(ptr::null_mut()),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if !self.page.is_null() {
            // SAFETY: the mapping that was made for it.
            unsafe { libc::munmap(self.page, page_size()) };
        }
        // A child that was ended between the two calls of its trial left it behind.
        // SAFETY: the name ends in NUL.
        unsafe { libc::unlinkat(self.dir, self.name.as_ptr(), 0) };
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Succeeded,
    Failed(Errno),
    Deadly,
    /// It could not be tried.
    Unknown,
}

impl Answer {
    /// 0 for success, or else errno.
    fn of(errno: i32) -> Self {
        match errno {
            0 => Self::Succeeded,
            errno => Self::Failed(Errno::from_raw_os_error(errno)),
        }
    }
}

/// As a system call answers by the C library: -1 and errno.
fn answer_of(errno: libc::c_int) -> libc::c_long {
    if errno == 0 {
        return 0;
    }
    set_errno(errno);
    -1
}

fn set_errno(errno: libc::c_int) {
    // SAFETY: the address of this thread's errno.
    unsafe { *libc::__errno_location() = errno };
}

/// 0, or errno.
fn try_here(trial: Trial, subject: &Subject) -> i32 {
    result_of(trial(subject)).map_or_else(Errno::raw_os_error, |_| 0)
}

/// What a child says of a call that it has not begun, and of one that it has not ended.
const NOT_BEGUN: i32 = -1;
const BEGUN: i32 = -2;

/// Tries all calls in children of their own memory: one goes from call to call, and after its end the next goes on
/// behind the call that ended it.
fn try_in_children(subject: &Subject) -> Vec<Answer> {
    let Some(said) = SharedPage::new() else {
        return vec![Answer::Unknown; ROWS.len()];
    };
    for answer in said.answers() {
        answer.store(NOT_BEGUN, Ordering::Relaxed);
    }
    // Each child gets further than the one before it.
    for _ in 0..=ROWS.len() {
        let Some(first) = said.answers().iter().position(is(NOT_BEGUN)) else {
            break;
        };
        // SAFETY: the child makes system calls, stores to a page that is shared, and ends without returning.
        match unsafe { libc::fork() } {
            -1 => break,
            0 => try_as_child(subject, said.answers(), first),
            child => wait_for(child),
        }
    }
    said.answers()
        .iter()
        .map(|answer| match answer.load(Ordering::Relaxed) {
            NOT_BEGUN => Answer::Unknown,
            BEGUN => Answer::Deadly,
            errno => Answer::of(errno),
        })
        .collect()
}

fn is(value: i32) -> impl Fn(&AtomicI32) -> bool {
    move |answer| answer.load(Ordering::Relaxed) == value
}

/// The rest of a child's life.
fn try_as_child(subject: &Subject, answers: &[AtomicI32], first: usize) -> ! {
    // Its end is no reason to write the server's memory to a file.
    // SAFETY: the call takes numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    for (row, answer) in ROWS.iter().zip(answers).skip(first) {
        answer.store(BEGUN, Ordering::Relaxed);
        answer.store(try_here(row.trial, subject), Ordering::Relaxed);
    }
    // SAFETY: ends the child without running what the server registered for its own end.
    unsafe { libc::_exit(0) }
}

fn wait_for(child: libc::pid_t) {
    // Where the server ignores SIGCHLD the call waits as well, and then knows no child: what it said is what counts.
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(child, ptr::null_mut(), 0) } == -1
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// Memory that a child shares with its parent.
struct SharedPage(*mut libc::c_void);

impl SharedPage {
    fn new() -> Option<Self> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let page = unsafe { libc::mmap(ptr::null_mut(), page_size(), protection, flags, -1, 0) };
        (page != libc::MAP_FAILED).then_some(Self(page))
    }

    fn answers(&self) -> &[AtomicI32; ROWS.len()] {
        // SAFETY: a page is longer than that, aligned, and all who have it use atomics.
        unsafe { &*self.0.cast() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, into which no reference is left.
        unsafe { libc::munmap(self.0, page_size()) };
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn with_subject<R>(work: impl FnOnce(&Subject) -> R) -> R {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        let file = unnamed_file(&dir).unwrap();
        let result = work(&Subject::new(&dir, file.as_ref()));
        assert_eq!(dir.entries().unwrap().count(), 0, "nothing is left behind");
        result
    }

    #[test]
    fn each_call_has_a_row_and_a_bit_of_its_own() {
        let mut bits: Vec<_> = ROWS.iter().map(|row| row.call as u32).collect();
        bits.sort_unstable();
        bits.dedup();
        assert_eq!(bits.len(), ROWS.len());
        assert!(bits.iter().all(|bit| *bit < u32::BITS));
    }

    #[test]
    fn a_child_and_this_process_get_the_same_answers() {
        let here: Vec<_> = with_subject(|subject| {
            ROWS.iter()
                .map(|row| Answer::of(try_here(row.trial, subject)))
                .collect()
        });
        assert_eq!(with_subject(try_in_children), here);
        for (row, answer) in ROWS.iter().zip(here) {
            assert_ne!(answer, Answer::Failed(Errno::BADF), "{}", row.name);
            assert_ne!(answer, Answer::Failed(Errno::FAULT), "{}", row.name);
        }
    }

    #[test]
    fn an_attempt_tells_a_refusal_from_a_failure() {
        let say = |errno| attempt(Call::Statfs, || Err::<(), _>(errno));
        for refusal in [Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP, Errno::INVAL] {
            assert_eq!(say(refusal), Ok(None));
        }
        assert_eq!(say(Errno::IO), Err(Errno::IO));
        assert_eq!(say(Errno::NOSPC), Err(Errno::NOSPC));
        assert_eq!(attempt(Call::Statfs, || Ok(7)), Ok(Some(7)));
    }
}
