//! How many values a file has lost at its head, as it says itself.

use std::fs::File;

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

/// Notes in a file how many values were removed at its head.
///
/// # Errors
/// The system's.
pub(in crate::storage) fn note(file: &File, head: u64) -> rustix::io::Result<()> {
    // Where there are no attributes, the number starts at 0 again when the file is opened anew.
    disk::set_attribute(file, ATTRIBUTE, &head.to_le_bytes()).map(drop)
}
