//! What tells a file from others, on this machine and between servers.

use std::fs::File;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Stat, StatxFlags, fstat, statx};

use crate::storage::error::{Error, Result};
use crate::storage::files::boot::this_boot;
use crate::storage::files::path::FilePath;

/// What makes a file that file, under whatever name: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    pub(in crate::storage) device: u64,
    pub(in crate::storage) inode: u64,
}

impl FileId {
    pub(in crate::storage) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }

    pub(in crate::storage) fn of_file(file: &File, path: &FilePath) -> Result<Self> {
        let stat = fstat(file).map_err(|errno| Error::io("look up", path, errno))?;
        Ok(Self::of(&stat))
    }
}

/// Tells a file from all others of a machine, in all processes and containers on it, and from those that had its inode
/// before: boot id, device, inode, time of birth in nanoseconds (0 where the file system does not keep it).
pub type Identity = [u8; 40];

/// The identity of an open file.
///
/// # Errors
/// Any I/O error of the operating system.
pub(in crate::storage) fn identity(file: impl AsFd) -> rustix::io::Result<Identity> {
    let FileId { device, inode } = FileId::of(&fstat(&file)?);
    let born = statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME)
        .ok()
        .filter(|stat| stat.stx_mask & StatxFlags::BTIME.bits() != 0)
        .map_or(0, |stat| {
            stat.stx_btime.tv_sec * 1_000_000_000 + i64::from(stat.stx_btime.tv_nsec)
        });
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&this_boot());
    bytes[16..24].copy_from_slice(&device.to_le_bytes());
    bytes[24..32].copy_from_slice(&inode.to_le_bytes());
    bytes[32..].copy_from_slice(&born.to_le_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_file_with_the_inode_of_a_former_one_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let make = || {
            let file = File::create(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            (file.metadata().unwrap().ino(), identity(&file).unwrap())
        };
        let (inode, former) = make();
        // The clock by which files are born ticks every few milliseconds.
        let start = Instant::now();
        loop {
            let (next, identity) = make();
            if next != inode || identity != former {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }
}
