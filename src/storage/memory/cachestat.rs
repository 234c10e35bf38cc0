//! What the page cache has of a file, by `cachestat(2)`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::storage::files::calls as disk;
use crate::storage::system::{Call, SYS_CACHESTAT, attempt, result_of};

/// `struct cachestat_range`
#[repr(C)]
struct CacheStatRange {
    offset: u64,
    len: u64,
}

/// `struct cachestat`, all in pages.
#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cache: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Number of pages of a range of bytes that are in the page cache, by `cachestat`.
///
/// # Errors
/// Any I/O error of the operating system, and where it does not know.
pub(in crate::storage) fn cached_pages(file: &File, from: u64, to: u64) -> io::Result<u64> {
    let range = CacheStatRange {
        offset: from,
        len: to - from,
    };
    let mut stat = CacheStat::default();
    let looked = attempt(Call::CacheStat, || {
        let file = file.as_raw_fd();
        // SAFETY: both structures are laid out as the kernel's and outlive the call; it writes to the second only.
        let status =
            unsafe { libc::syscall(SYS_CACHESTAT, file, &raw const range, &raw mut stat, 0) };
        result_of(status)
    })?;
    match looked {
        // The file that has the pages is another.
        Some(_) if stat.cache == 0 && disk::is_on_overlayfs(file) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        Some(_) => Ok(stat.cache),
        None => Err(io::ErrorKind::Unsupported.into()),
    }
}
