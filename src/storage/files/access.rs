//! What a file is opened for, and the lock that keeps a second writer away.

use std::fs::File;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::storage::error::{Error, Result};
use crate::storage::files::path::FilePath;

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading; the file must exist.
    ReadOnly,
    /// Reading and appending, as the only writer.
    Writable,
}

/// Takes the advisory lock that keeps a second writer away, or says who holds it.
///
/// A POSIX lock rather than `flock`: a child of `fork` does not inherit it, so a background save that
/// outlives a killed server does not keep the next server out. Its known flaw, that closing *any*
/// descriptor of the file drops it, is why each file is open at most once (`store/registry.rs` sees to that).
///
/// # Errors
/// [`Error::Locked`] if another process holds it.
pub fn lock(file: &File, path: &FilePath) -> Result<()> {
    match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::AGAIN | Errno::ACCESS) => {
            let asked = Flock::from(FlockType::WriteLock);
            let holder = match fcntl_getlk(file, &asked) {
                Ok(Some(Flock { pid: Some(pid), .. })) => format!("pid {}", pid.as_raw_nonzero()),
                _ => "unknown pid".to_owned(),
            };
            Err(Error::Locked {
                path: path.to_string(),
                holder,
            })
        }
        Err(errno) => Err(Error::io("lock", path, errno)),
    }
}

/// Gives up the lock that [`lock`] took, and keeps the file open.
///
/// # Errors
/// Any I/O error of the operating system.
pub fn unlock(file: &File, path: &FilePath) -> Result<()> {
    fcntl_lock(file, FlockOperation::NonBlockingUnlock)
        .map_err(|errno| Error::io("unlock", path, errno))
}
