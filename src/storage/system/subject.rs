//! What calls are tried on.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Result;
use rustix::param::page_size;

use crate::storage::system::descriptor_link;

/// What a call is tried on: an empty file without a name in the root, if one can be made, and memory.
pub(super) struct Subject {
    pub dir: libc::c_int,
    /// -1 where there is no file: what only a file system refuses is not found out then.
    pub file: libc::c_int,
    /// Where /proc shows the file.
    pub link: CString,
    /// A name that nothing has.
    pub name: CString,
    /// A page of the file, or else of memory.
    pub page: *mut libc::c_void,
}

/// A file that never has a name.
pub(super) fn unnamed_file(dir: &Dir) -> Result<Option<OwnedFd>> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    openat(dir, c".", flags, Mode::RUSR | Mode::WUSR).map(Some)
}

/// A file that has lost its name, if one can be made.
pub(super) fn unlinked_file(dir: &Dir) -> Option<OwnedFd> {
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
    pub fn new(dir: &Dir, file: Option<&OwnedFd>) -> Self {
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
