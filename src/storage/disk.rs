//! The system calls by which values, lengths and marks reach the disk. All of them are here, so that the tests can
//! tell what a power cut would leave after each.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memmap2::MmapRaw;
use rustix::fs::{XattrFlags, fremovexattr, fsetxattr};

#[cfg(test)]
use super::power_cut::{change, store, sync, touch};

/// `ftruncate`.
pub fn set_len(file: &File, len: u64) -> io::Result<()> {
    change(|| file.set_len(len))
}

/// `pwrite`, which may write less than all.
pub fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    change(|| file.write_at(bytes, at))
}

/// `pwrite` until all is written.
pub fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    change(|| file.write_all_at(bytes, at))
}

/// `fsetxattr`.
pub fn set_attribute(file: &File, name: &str, value: &[u8]) -> rustix::io::Result<()> {
    change(|| fsetxattr(file, name, value, XattrFlags::empty()))
}

/// `fremovexattr`.
pub fn remove_attribute(file: &File, name: &str) -> rustix::io::Result<()> {
    change(|| fremovexattr(file, name))
}

/// `fdatasync`: data and length.
pub fn sync_data(file: &File) -> io::Result<()> {
    sync(0..u64::MAX, false, || file.sync_data())
}

/// `fsync`: also attributes.
pub fn sync_all(file: &File) -> io::Result<()> {
    sync(0..u64::MAX, true, || file.sync_all())
}

/// `msync(MS_SYNC)` of `len` bytes, which Linux carries out as `fdatasync` of that range.
pub fn sync_mapped(map: &MmapRaw, from: u64, len: u64) -> io::Result<()> {
    sync(from..from + len, false, || {
        map.flush_range(from as usize, len as usize)
    })
}

/// Bytes of a mapping were stored to.
#[inline]
pub fn stored() {
    store();
}

/// Pages of a mapping were marked as changed.
pub fn touched(from: u64, to: u64) {
    touch(from..to);
}

#[cfg(not(test))]
use in_production::{change, store, sync, touch};

#[cfg(not(test))]
mod in_production {
    #[inline]
    pub fn change<T>(call: impl FnOnce() -> T) -> T {
        call()
    }

    #[inline]
    pub fn sync<T>(_: std::ops::Range<u64>, _: bool, call: impl FnOnce() -> T) -> T {
        call()
    }

    #[inline]
    pub fn store() {}

    #[inline]
    pub fn touch(_: std::ops::Range<u64>) {}
}
