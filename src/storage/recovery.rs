//! What a file holds when it is opened: after a clean stop, a crash of the server, or a power cut.

use std::fs::File;

use rustix::fs::fstat;

use super::disk;
use super::error::{Error, Result};
use super::mark::Mark;
use super::path::FilePath;
use super::record::Record;
use super::root::Access;
use super::types::ItemType;

/// The form in which an open file was found.
pub(super) struct Contents {
    pub count: u64,
    pub synced: u64,
    pub file_len: u64,
    pub slack: bool,
}

impl Contents {
    /// Finds out what a file holds and, if it is ours to write, gives it its exact length.
    pub(super) fn recover(
        file: &File,
        path: &FilePath,
        item: ItemType,
        access: Access,
    ) -> Result<Self> {
        let read_error = |e| Error::io("read", path, e);
        let item_size = item.size() as u64;
        let file_len = fstat(file)
            .map_err(|e| Error::io("look at", path, e))?
            .st_size
            .cast_unsigned();
        let mark = Mark::of(file).map_err(|e| Error::io("read the mark of", path, e))?;
        let Some(record) = Record::find(file, file_len).map_err(read_error)? else {
            // A length that a power cut left says nothing: the mark does.
            let went_down = mark.is_some_and(|mark| !mark.is_of_this_boot());
            let odd = file_len % item_size;
            if odd != 0 && !went_down {
                if access == Access::Writable {
                    return Err(Error::OddLength {
                        path: path.to_string(),
                        len: file_len,
                        item_size: item.size(),
                        type_name: item.name(),
                    });
                }
                tracing::warn!(
                    "file '{path}': the last {odd} bytes are no whole value and are ignored"
                );
            }
            let count = file_len / item_size;
            let mut contents = Self {
                count,
                synced: mark.map_or(count, |mark| mark.synced.min(count)),
                file_len,
                slack: false,
            };
            if went_down {
                contents.count = contents.synced;
                if access == Access::Writable {
                    contents.cut(
                        file,
                        path,
                        item_size,
                        "the machine went down; those that were synced",
                    )?;
                }
            }
            return Ok(contents);
        };
        if u64::from(record.item_size) != item_size {
            return Err(Error::ForeignSlack {
                path: path.to_string(),
                found: record.item_size,
            });
        }
        // The mark may be younger than the record: a length can reach the disk before the pages.
        let synced = mark
            .filter(|mark| mark.boot_id == record.boot_id)
            .map_or(record.synced, |mark| mark.synced.max(record.synced));
        let count = Record { synced, ..record }.trusted_count();
        let mut contents = Self {
            count,
            synced: synced.min(count),
            file_len,
            slack: true,
        };
        if access == Access::Writable {
            contents.slack = false;
            let why = if record.is_of_this_boot() {
                "an unclean stop left slack; all that were written"
            } else {
                "the machine went down; those that were synced"
            };
            contents.cut(file, path, item_size, why)?;
        }
        Ok(contents)
    }

    /// Gives the file the length of its values, and says so where that changes it.
    fn cut(&mut self, file: &File, path: &FilePath, item_size: u64, why: &str) -> Result<()> {
        let len = self.count * item_size;
        if len != self.file_len {
            // Should the power fail again, the shorter file has no record, and its mark may be older than that.
            Mark::set(file, self.synced).map_err(|e| Error::io("mark", path, e))?;
            disk::set_len(file, len).map_err(|e| Error::io("shorten", path, e))?;
            tracing::warn!(
                "file '{path}': recovered {} values ({why}), and cut it from {} to {len} bytes",
                self.count,
                self.file_len
            );
            self.file_len = len;
        }
        if self.synced == self.count {
            Mark::remove(file);
        }
        Ok(())
    }
}
