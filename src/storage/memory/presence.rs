//! Whether bytes of a file are in RAM, found out without waiting for those that are not.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::fstat;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use rustix::param::page_size;
use rustix::process::geteuid;

use crate::storage::files::access::Access;
use crate::storage::memory::cachestat::cached_pages;
use crate::storage::memory::mapping::Mapping;
use crate::storage::system::{Call, attempt, may};

/// How to find out whether pages are in RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::storage) enum Look {
    /// By `mincore`, which reads nothing.
    Mincore,
    /// By reads that may not wait, or else by counting pages: `mincore` says of another user's file that all of it is in RAM.
    ReadNoWait,
}

impl Look {
    /// The way for a file: that of the kernel's `can_do_mincore`, as far as it is known for certain.
    pub fn at(file: &File, access: Access) -> Self {
        let euid = geteuid();
        let is_ours = || fstat(file).is_ok_and(|stat| stat.st_uid == euid.as_raw());
        if may(Call::Mincore) && (access == Access::Writable || euid.is_root() || is_ours()) {
            Self::Mincore
        } else {
            Self::ReadNoWait
        }
    }

    /// Whether the bytes of a range are in RAM; `None` where the system does not tell.
    pub fn finds(self, file: &File, map: &Mapping, bytes: Range<u64>) -> Option<bool> {
        if self == Self::Mincore
            && let Ok(found) = map.is_resident(bytes.start, bytes.end)
        {
            return Some(found);
        }
        // On overlayfs, tmpfs and FUSE no read does not wait.
        is_read_at_once(file, bytes.clone()).or_else(|| is_counted(file, bytes))
    }
}

/// Whether bytes are read without waiting; `None` where no read says so.
fn is_read_at_once(file: &File, bytes: Range<u64>) -> Option<bool> {
    let mut buffer = [0; 16 << 10];
    let mut at = bytes.start;
    while at < bytes.end {
        let len = (bytes.end - at).min(buffer.len() as u64) as usize;
        let mut out = [io::IoSliceMut::new(&mut buffer[..len])];
        let read = attempt(Call::ReadNoWait, || {
            preadv2(file, &mut out, at, ReadWriteFlags::NOWAIT)
        });
        match read {
            Ok(None) => return None,
            Ok(Some(0)) => return Some(true),
            Ok(Some(read)) => at += read as u64,
            Err(Errno::AGAIN) => return Some(false),
            // The reader of the bytes will meet the same error.
            Err(_) => return Some(true),
        }
    }
    Some(true)
}

fn is_counted(file: &File, bytes: Range<u64>) -> Option<bool> {
    let page = page_size() as u64;
    let pages = bytes.end.div_ceil(page) - bytes.start / page;
    let cached = cached_pages(file, bytes.start, bytes.end).ok()?;
    Some(cached >= pages)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::time::{Duration, Instant};

    use rustix::fs::{Advice, fadvise};

    use super::*;

    #[test]
    fn both_ways_of_looking_tell_a_hole_in_the_cache() {
        let page = page_size() as u64;
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![1; 64 * page as usize], 0).unwrap();
        file.sync_all().unwrap();
        let map = Mapping::covering(&file, 64 * page, Access::ReadOnly).unwrap();
        for look in [Look::ReadNoWait, Look::Mincore] {
            assert_eq!(
                look.finds(&file, &map, 0..64 * page),
                Some(true),
                "{look:?}"
            );
            let deadline = Instant::now() + Duration::from_secs(20);
            while look.finds(&file, &map, 3 * page..4 * page) == Some(true) {
                assert!(Instant::now() < deadline, "{look:?}: the pages stay");
                fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            }
            file.read_exact_at(&mut vec![0; 64 * page as usize], 0)
                .unwrap();
        }
    }

    #[test]
    fn where_reads_always_wait_pages_are_counted() {
        let page = page_size() as u64;
        // tmpfs does not support RWF_NOWAIT.
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.write_all_at(&vec![1; 4 * page as usize], 0).unwrap();
        file.set_len(64 * page).unwrap();
        assert_eq!(is_read_at_once(&file, 0..page), None);
        let map = Mapping::covering(&file, 64 * page, Access::ReadOnly).unwrap();
        let found = |bytes| Look::ReadNoWait.finds(&file, &map, bytes);
        if found(0..page).is_some() {
            assert_eq!(found(page + 1..4 * page - 1), Some(true));
            assert_eq!(found(4 * page - 1..4 * page + 1), Some(false));
        }
    }
}
