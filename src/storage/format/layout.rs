//! Where the values of an array lie in its file.

use std::fs::File;

use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::path::FilePath;
use crate::storage::format::npy::NpyHeader;
use crate::storage::format::record;
use crate::storage::types::ItemType;

/// The type of the values, and what comes before them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    pub item: ItemType,
    /// The header of a `.npy` file.
    pub npy: Option<NpyHeader>,
}

impl Layout {
    /// The layout of an open file; an empty `.npy` file that is to be written gets its header.
    ///
    /// # Errors
    /// If the file is called `.npy` and is none, or holds values of another type.
    pub fn of(file: &File, path: &FilePath, item: ItemType, access: Access) -> Result<Self> {
        let npy = if path.is_npy() {
            Some(npy_header(file, path, item, access)?)
        } else {
            None
        };
        Ok(Self { item, npy })
    }

    /// Where the value at `index` begins, in bytes.
    #[inline]
    pub fn offset(&self, index: u64) -> u64 {
        self.data_at() + index * self.item.size() as u64
    }

    /// Where the last of `count` values would end, in bytes, if a file could be as long: with its record, that is.
    pub fn end_of(&self, count: u64) -> Option<u64> {
        let longest = i64::MAX.cast_unsigned() - 2 * record::ALIGNMENT;
        count
            .checked_mul(self.item.size() as u64)?
            .checked_add(self.data_at())
            .filter(|end| *end <= longest)
    }

    /// Where the first value begins, in bytes.
    #[inline]
    pub fn data_at(&self) -> u64 {
        self.npy.as_ref().map_or(0, |header| header.data_at)
    }

    /// How many whole values end at `end`, a position in bytes behind the first value.
    #[inline]
    pub fn count_up_to(&self, end: u64) -> u64 {
        (end - self.data_at()) / self.item.size() as u64
    }
}

fn npy_header(file: &File, path: &FilePath, item: ItemType, access: Access) -> Result<NpyHeader> {
    let writable = access == Access::Writable;
    let is_empty = file
        .metadata()
        .map_err(|e| Error::io("look at", path, e))?
        .len()
        == 0;
    if is_empty && writable {
        return NpyHeader::create(file, path, item);
    }
    let header = NpyHeader::read(file, path)?;
    if header.item != item {
        return Err(Error::NpyType {
            path: path.to_string(),
            found: header.item.to_string(),
            asked: item.to_string(),
        });
    }
    if writable && !header.has_room() {
        return Err(Error::Npy {
            path: path.to_string(),
            why: "its header has no room for a larger number of values: write it again with numpy 1.23 or newer, \
                  or map it read-only"
                .to_owned(),
        });
    }
    Ok(header)
}
