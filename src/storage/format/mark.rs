//! What survives a power cut of a file, noted beside its bytes: the extended attribute `user.mmap`.
//!
//! A file system may put a longer (or shorter) length of a file on disk before the values behind it. So before
//! the first write, and after each sync, the boot and the number of synced values are noted in an attribute of
//! the file. It goes through the same journal as the length, in order: no length is found after a power cut
//! without the mark that was set before. Opened under another boot, a file is cut to what its mark vouches for.
//!
//! A copy of a file does not take it along, and need not: what was copied was read from the page cache.

use std::fs::File;

use crate::storage::files::boot::{BootId, this_boot};
use crate::storage::files::calls as disk;

const NAME: &str = "user.mmap";
const SIZE: usize = 24;

/// The number of values that are on disk for certain, and the boot under which that was noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    pub boot_id: BootId,
    pub synced: u64,
}

/// Whether a file has got its mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marked {
    Yes,
    /// The file system has no extended attributes.
    CannotBe,
}

impl Mark {
    /// The mark of a file, if it has one.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn of(file: &File) -> rustix::io::Result<Option<Self>> {
        let mut bytes = [0_u8; SIZE];
        if disk::attribute(file, NAME, &mut bytes)? != Some(SIZE) {
            return Ok(None);
        }
        let (boot_id, synced) = bytes.split_at(16);
        Ok(Some(Self {
            boot_id: boot_id.try_into().expect("sixteen bytes"),
            synced: u64::from_le_bytes(synced.try_into().expect("eight bytes")),
        }))
    }

    /// Marks a file under this boot.
    ///
    /// # Errors
    /// Any I/O error of the operating system, but for file systems without extended attributes: what `docs/design.md` says of power cuts
    /// does not hold there for files of exact length.
    pub fn set(file: &File, synced: u64) -> rustix::io::Result<Marked> {
        let mut bytes = [0; SIZE];
        bytes[..16].copy_from_slice(&this_boot());
        bytes[16..].copy_from_slice(&synced.to_le_bytes());
        Ok(if disk::set_attribute(file, NAME, &bytes)? {
            Marked::Yes
        } else {
            Marked::CannotBe
        })
    }

    /// Takes the mark off a file of which everything is on disk.
    pub fn remove(file: &File) {
        // Without a mark there is nothing to remove; a stale one vouches for no more than is there.
        let _ = disk::remove_attribute(file, NAME);
    }

    /// Whether the machine has been up ever since the mark was set.
    pub fn is_of_this_boot(self) -> bool {
        self.boot_id == this_boot()
    }
}
