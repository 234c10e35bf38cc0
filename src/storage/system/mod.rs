//! System calls that are help: which of them a machine, a sandbox or a file system refuses, and what is done without.
//!
//! A refusal is an error that says that the call is not available here ([`is_refusal`]), or the end of the process: the
//! stock units of Debian's Redis and Valkey have systemd's filter kill it (SIGSYS) for a call that is not on their list.
//! So where the process has such a filter, each call is tried once in a forked child when the module is loaded, and
//! those that ended it are not made. All such calls go through [`attempt`].
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the calls, and how one is made that may be refused |
//! | [`trials`] | how each is tried, and what is worse without it |
//! | [`subject`] | the file and the memory that they are tried on |
//! | [`probe`] | trying them all, in children where one could end the process |
//! | [`limits`] | how much the system allows this process |

pub(in crate::storage) mod limits;
mod probe;
mod subject;
mod trials;

use std::fs::{read, read_link};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, Result};

pub use probe::{Missing, check};

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

/// Whether an error says that a call, or this use of it, is not available here, rather than that it failed: old kernels and
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

/// A call must not be made any more.
fn forbid(call: Call) {
    DEADLY.fetch_or(1 << call as u32, Ordering::Relaxed);
}

/// The name by which this process reaches what it has open.
pub(in crate::storage) fn descriptor_link(open: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", open.as_raw_fd())
}

/// The path of what is at `path`, without links and dots.
///
/// # Errors
/// Any I/O error of the operating system.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    read_link(descriptor_link(&open(path, flags, Mode::empty())?))
}

/// The contents of a small file.
///
/// # Errors
/// Any I/O error of the operating system.
pub fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

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
