//! How many values a file has lost at its head, as it says itself, and positions: the index that a value would have if none had
//! ever been lost. Each number of that kind that comes from a file, a dump or the network is checked here.

use std::fs::File;

use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::files::path::FilePath;
use crate::storage::types::ItemType;

/// The extended attribute with the number of values that were removed at the head of this file so far: 8 bytes,
/// little-endian. A file that never lost its head has none.
const ATTRIBUTE: &str = "user.mmap.head";
/// The most values that may be dropped from the head of a file, ever.
const MOST: u64 = 1 << 62;
/// The largest position of a value, and the largest length of a file in bytes: what is dropped and what a file has left for
/// values behind that. So two positions can be added without looking.
const LARGEST: u64 = i64::MAX.cast_unsigned();

/// A position or a number of values in a word of a primary; `None` if it cannot be one.
pub fn parse_position(word: &[u8]) -> Option<u64> {
    let position = std::str::from_utf8(word).ok()?.parse().ok()?;
    (position <= LARGEST).then_some(position)
}

/// Whether a file can hold `count` values at all.
pub fn can_hold(item: ItemType, count: u64) -> bool {
    count
        .checked_mul(item.size() as u64)
        .is_some_and(|bytes| bytes <= LARGEST)
}

/// Number of values that were removed at the head of a file.
///
/// # Errors
/// Any I/O error of the operating system, and [`Error::Head`].
pub(in crate::storage) fn of(file: &File, path: &FilePath) -> Result<u64> {
    let mut bytes = [0_u8; 8];
    let read = disk::attribute(file, ATTRIBUTE, &mut bytes)
        .map_err(|errno| Error::io("read the attributes of", path, errno))?;
    if read != Some(bytes.len()) {
        return Ok(0);
    }
    check(u64::from_le_bytes(bytes), path)
}

/// Checks a number of values dropped from the head of the file at `path` that comes from outside.
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
/// Any I/O error of the operating system.
pub(in crate::storage) fn note(file: &File, head: u64) -> rustix::io::Result<()> {
    // Where there are no attributes, the number starts at 0 again when the file is opened again.
    disk::set_attribute(file, ATTRIBUTE, &head.to_le_bytes()).map(drop)
}
