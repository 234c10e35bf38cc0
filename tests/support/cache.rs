//! The page cache, as a test sees and empties it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::wait_until;

/// How many pages of a file are in RAM.
pub fn resident_pages(path: &Path) -> usize {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    let mut pages = vec![0_u8; len.div_ceil(4096)];
    // SAFETY: the mapping is as long as the file and ends here; `pages` has a byte for each page.
    unsafe {
        let (prot, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        let at = libc::mmap(std::ptr::null_mut(), len, prot, flags, file.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED);
        assert_eq!(libc::mincore(at, len, pages.as_mut_ptr().cast()), 0);
        libc::munmap(at, len);
    }
    pages.iter().filter(|page| **page & 1 == 1).count()
}

/// Has the kernel evict all pages of a file that no process has mapped.
pub fn evict(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: the call takes no pointers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// [`evict`], until nothing is left.
#[track_caller]
pub fn evict_all(path: &Path) {
    wait_until("the file is not in RAM", || {
        evict(path);
        resident_pages(path) == 0
    });
}
