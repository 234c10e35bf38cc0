//! The system calls by which values, lengths and marks reach the disk. All of them are here, so that the tests can
//! tell what a power cut would leave after each.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

use memmap2::MmapRaw;
use rustix::fs::{
    XattrFlags, fgetxattr, fremovexattr, fsetxattr, fstat, fstatfs, fstatvfs, getxattr, setxattr,
};
use rustix::io::{Errno, pread};

use crate::storage::system::{Call, attempt, result_of};

#[cfg(test)]
use crate::storage::power_cut::{change, give, in_order, store, sync, touch};

/// `linux/magic.h`. ext2 and ext3 have the same; the former orders nothing.
const EXT4_SUPER_MAGIC: u64 = 0xef53;
const XFS_SUPER_MAGIC: u64 = 0x5846_5342;
const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Unit of `st_blocks`, in bytes (inode(7)).
const SECTOR: u64 = 512;

/// The right to set the length of a file. What implements it says why no other thread is at the file's end.
pub trait MaySetLength {}

/// The token for a file that no array has: no other thread knows it yet.
pub struct NoArrayYet;

impl MaySetLength for NoArrayYet {}

/// `ftruncate` of a file that is not shorter than that. What another process has cut stays cut: it would come back as zeros.
///
/// # Errors
/// Any I/O error of the operating system, and if the file is shorter.
pub fn set_len(file: &File, len: u64, _: impl MaySetLength) -> io::Result<()> {
    let found = file.metadata()?.len();
    if found < len {
        return Err(io::Error::other(format!(
            "it is {found} bytes long where it should be {len} or more: another process changed its length"
        )));
    }
    change(|| file.set_len(len))
}

/// `pread` of as many bytes as there are and fit. It changes nothing on the disk, and takes no lock.
pub fn read_at(file: impl AsFd + Copy, at: u64, out: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < out.len() {
        match pread(file, &mut out[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(done)
}

/// `pwrite`, which may write less than all.
pub fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    change(|| file.write_at(bytes, at))
}

/// `pwrite` until all is written.
pub fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    change(|| file.write_all_at(bytes, at))
}

/// `fsetxattr`; `false` if there are no attributes here.
pub fn set_attribute(file: &File, name: &str, value: &[u8]) -> rustix::io::Result<bool> {
    set_by(|| fsetxattr(file, name, value, XattrFlags::empty()))
}

/// `setxattr`, as [`set_attribute`], for what is not open (`O_PATH`): opening and closing a file would drop locks on it.
pub fn set_attribute_at(path: &str, name: &str, value: &[u8]) -> rustix::io::Result<bool> {
    set_by(|| setxattr(path, name, value, XattrFlags::empty()))
}

fn set_by(call: impl Fn() -> rustix::io::Result<()>) -> rustix::io::Result<bool> {
    attempt(Call::SetAttribute, || change(&call)).map(|set| set.is_some())
}

/// `fgetxattr`: the length of an extended attribute that was read into `value`; `None` if the file has none that fits
/// there, or there are no attributes here.
///
/// # Errors
/// Any I/O error of the operating system: what cannot be read must not be taken for missing.
pub fn attribute(file: &File, name: &str, value: &mut [u8]) -> rustix::io::Result<Option<usize>> {
    get_by(|| fgetxattr(file, name, value))
}

/// `getxattr`, as [`attribute`].
///
/// # Errors
/// Any I/O error of the operating system.
pub fn attribute_at(path: &str, name: &str, value: &mut [u8]) -> rustix::io::Result<Option<usize>> {
    get_by(|| getxattr(path, name, value))
}

fn get_by(call: impl FnOnce() -> rustix::io::Result<usize>) -> rustix::io::Result<Option<usize>> {
    match attempt(Call::GetAttribute, call) {
        Err(Errno::NODATA | Errno::RANGE) => Ok(None),
        result => result,
    }
}

/// `fremovexattr`, where there is such an attribute.
pub fn remove_attribute(file: &File, name: &str) -> rustix::io::Result<()> {
    match attempt(Call::SetAttribute, || change(|| fremovexattr(file, name))) {
        Err(Errno::NODATA) => Ok(()),
        result => result.map(drop),
    }
}

/// How many bytes are free on the file system of a file, for those without privileges; `None` if it does not say.
pub fn free_bytes(file: impl AsFd) -> Option<u64> {
    let system = attempt(Call::Statfs, || fstatvfs(file)).ok().flatten()?;
    system.f_bavail.checked_mul(system.f_frsize)
}

/// How many bytes a file takes on its file system, those behind its end included; 0 if that is not known.
pub fn allocated_bytes(file: &File) -> u64 {
    fstat(file).map_or(0, |stat| stat.st_blocks.cast_unsigned() * SECTOR)
}

/// Whether a file has blocks behind its end. Attributes and lists of blocks take some, too.
pub fn has_blocks_behind_end(file: &File) -> rustix::io::Result<bool> {
    const BESIDE: u64 = 64 << 10;
    let stat = fstat(file)?;
    Ok(stat.st_blocks.cast_unsigned() * SECTOR > stat.st_size.cast_unsigned() + BESIDE)
}

/// Whether a file is another one's, that another file system has, and only that one's pages are in RAM.
pub fn is_on_overlayfs(file: &File) -> bool {
    kind_of(file) == Some(OVERLAYFS_SUPER_MAGIC)
}

fn kind_of(file: &File) -> Option<u64> {
    attempt(Call::Statfs, || fstatfs(file))
        .ok()
        .flatten()
        .map(|system| system.f_type as u64)
}

/// Whether a copy of a file may share its blocks, and so take no room.
pub fn may_share_blocks(file: &File) -> bool {
    !matches!(kind_of(file), Some(EXT4_SUPER_MAGIC | TMPFS_MAGIC))
}

/// Whether values that [`write_back`] has returned for are on disk before any length or mark that is set later.
///
/// ext4 and XFS write metadata in the order in which it was changed, through a journal; before each entry becomes valid they
/// have the disk put all that it was given on stable storage (`REQ_PREFLUSH`: jbd2's `journal_submit_commit_record`,
/// XFS' `xlog_write_iclog`). A page counts as written only once the extent that holds it is in the journal too.
pub fn orders_data_before_metadata(file: &File) -> bool {
    in_order(|| matches!(kind_of(file), Some(EXT4_SUPER_MAGIC | XFS_SUPER_MAGIC)))
}

/// Gives bytes of the page cache to the disk, and waits until it has them: they are not on stable storage yet.
pub fn write_back(file: &File, bytes: Range<u64>) -> io::Result<()> {
    give(bytes.clone(), || {
        let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        // A length of 0 would mean all that follows.
        let len = (bytes.end - bytes.start).max(1);
        let given = attempt(Call::SyncFileRange, || {
            // SAFETY: the call takes no pointers.
            let status = unsafe {
                libc::sync_file_range(file.as_raw_fd(), bytes.start as i64, len as i64, flags)
            };
            result_of(status.into())
        })?;
        match given {
            Some(_) => Ok(()),
            None => file.sync_data(),
        }
    })
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
use in_production::{change, give, in_order, store, sync, touch};

#[cfg(not(test))]
mod in_production {
    use std::io;

    #[inline]
    pub fn change<T>(call: impl FnOnce() -> T) -> T {
        call()
    }

    #[inline]
    pub fn sync<T>(_: std::ops::Range<u64>, _: bool, call: impl FnOnce() -> T) -> T {
        call()
    }

    #[inline]
    pub fn give(_: std::ops::Range<u64>, call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        call()
    }

    #[inline]
    pub fn in_order(ask: impl FnOnce() -> bool) -> bool {
        ask()
    }

    #[inline]
    pub fn store() {}

    #[inline]
    pub fn touch(_: std::ops::Range<u64>) {}
}
