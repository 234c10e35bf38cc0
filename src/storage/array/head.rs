//! How many values were removed at the head of an array, ever: a position counts from the first value that there was.

use std::fs::File;

use crate::storage::array::handle::{Array, State};
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::files::path::FilePath;

/// The extended attribute with the number of values that were removed at the head of this file so far: 8 bytes,
/// little-endian. A file that never lost its head has none.
const ATTRIBUTE: &str = "user.mmap.head";
/// The most values that may be dropped from the head of a file, ever. A position is that number and an index, and an index is
/// below 2^63, as the length of a file is: so a position always fits into 64 bits, wherever the number comes from.
const MOST: u64 = 1 << 62;
/// Number of values that were removed at the head of a file.
///
/// # Errors
/// The system's, and [`Error::Head`].
pub(in crate::storage) fn of(file: &File, path: &FilePath) -> Result<u64> {
    let mut bytes = [0_u8; 8];
    let read = disk::attribute(file, ATTRIBUTE, &mut bytes)
        .map_err(|errno| Error::io("read the attributes of", path, errno))?;
    if read != Some(bytes.len()) {
        return Ok(0);
    }
    check(u64::from_le_bytes(bytes), path)
}

/// A number of values dropped from the head of the file at `path`, as somebody else says, if it is possible.
///
/// # Errors
/// [`Error::Head`].
pub fn check(head: u64, path: &FilePath) -> Result<u64> {
    if head > MOST {
        return Err(Error::Head {
            path: path.to_string(),
            head,
            most: MOST,
        });
    }
    Ok(head)
}

pub(in crate::storage) fn note(file: &File, head: u64) -> rustix::io::Result<()> {
    // Where there are no attributes, the number starts at 0 again when the file is opened anew.
    disk::set_attribute(file, ATTRIBUTE, &head.to_le_bytes()).map(drop)
}

impl Array {
    /// Number of values that were removed at the head so far, ever: index 0 was at this index once. It is known
    /// without waiting for anyone, also to a forked child.
    pub fn head(&self) -> u64 {
        self.published.head()
    }

    /// Says how many values were removed at the head, of an array that is made as a copy of another.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn set_head(&self, head: u64) -> Result<()> {
        let mut state = self.state.lock();
        if head != state.head {
            self.note_head(&mut state, head)?;
        }
        Ok(())
    }

    /// Says how many they are, in the file, too.
    ///
    /// # Errors
    /// If they cannot be so many, or it cannot be noted.
    pub(in crate::storage) fn note_head(&self, state: &mut State, head: u64) -> Result<()> {
        check(head, &self.path)?;
        let file = self.file(state)?;
        note(&file, head).map_err(|e| self.failed("mark", e))?;
        self.publish_head(state, head);
        Ok(())
    }
}
