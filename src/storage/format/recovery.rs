//! What a file holds when it is opened: after a clean stop, a crash of the server, or a power cut.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::fstat;

use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::calls as disk;
use crate::storage::files::path::FilePath;
use crate::storage::format::layout::Layout;
use crate::storage::format::mark::Mark;
use crate::storage::format::npy;
use crate::storage::format::npy::NpyHeader;
use crate::storage::format::record;
use crate::storage::format::record::Record;
use crate::storage::format::redo;

/// The form in which an open file was found.
pub(in crate::storage) struct Contents {
    pub count: u64,
    pub synced: u64,
    pub file_len: u64,
    pub slack: bool,
    /// Whether the machine went down while the file was in use.
    pub went_down: bool,
    /// How many values it had at least when the server was killed that wrote it last; `None` if it was closed.
    pub left: Option<u64>,
}

impl Contents {
    /// Finds out what a file holds and, if it is ours to write, gives it its exact length.
    pub(in crate::storage) fn recover(
        file: &File,
        path: &FilePath,
        layout: &Layout,
        access: Access,
    ) -> Result<Self> {
        let (mut contents, why) = Self::find(file, path, layout, access)?;
        if let (None, Some(header)) = (why, &layout.npy)
            && Mark::of(file)
                .map_err(|e| Error::io("read the mark of", path, e))?
                .is_none()
        {
            contents.agree_with(header, file, path, layout)?;
        }
        if access == Access::Writable {
            if let Some(header) = &layout.npy
                && header.count != contents.count
            {
                header
                    .write(file, contents.count)
                    .map_err(|e| Error::io("write the header of", path, e))?;
            }
            if let Some(why) = why {
                if contents.slack && !contents.went_down {
                    contents.finish_change(file, path, layout)?;
                }
                contents.slack = false;
                contents.cut(file, path, layout, why)?;
            } else if let Err(error) = contents.free_unused(file) {
                // It does no harm but for the room.
                tracing::warn!("{}", Error::io("free unused space of", path, error));
            }
        }
        Ok(contents)
    }

    /// Does what the server did not get done that was killed while it changed values.
    fn finish_change(&self, file: &File, path: &FilePath, layout: &Layout) -> Result<()> {
        let cannot = |e| Error::io("finish a change of", path, e);
        if redo::carry_out(file, layout, self.count).map_err(cannot)? {
            tracing::warn!("file '{path}': finished a change that an unclean stop had interrupted");
        }
        Ok(())
    }

    /// Frees the blocks behind the end that a server has left which was killed while it grew the file.
    fn free_unused(&self, file: &File) -> io::Result<()> {
        if disk::has_blocks_behind_end(file)? {
            disk::set_len(file, self.file_len, disk::NoArrayYet)?;
        }
        Ok(())
    }

    /// Finds out what a file that another process writes holds at this moment.
    pub(in crate::storage) fn look(file: &File, path: &FilePath, layout: &Layout) -> Result<Self> {
        Ok(Self::find(file, path, layout, Access::ReadOnly)?.0)
    }

    /// Whether its values are what binding it for writing would make them: no bytes are left over, and no change is noted.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_whole(&self, file: &File, path: &FilePath, layout: &Layout) -> Result<bool> {
        if !self.slack {
            return Ok(layout.offset(self.count) == self.file_len);
        }
        if self.went_down {
            return Ok(true);
        }
        let is_noted = redo::stands(file, layout, self.count);
        is_noted
            .map(|is_noted| !is_noted)
            .map_err(|e| Error::io("read", path, e))
    }

    /// What the file holds and, if that is not all it is long, why.
    fn find(
        file: &File,
        path: &FilePath,
        layout: &Layout,
        access: Access,
    ) -> Result<(Self, Option<&'static str>)> {
        let file_len = fstat(file)
            .map_err(|e| Error::io("look at", path, e))?
            .st_size
            .cast_unsigned();
        let mark = Mark::of(file).map_err(|e| Error::io("read the mark of", path, e))?;
        let record = Record::find(file, file_len)
            .map_err(|e| Error::io("read", path, e))?
            .filter(|record| record.file_len >= layout.data_at() + record::SIZE);
        match record {
            Some(record) => Self::with_slack(path, layout, file_len, mark, record),
            None => Self::exact(path, layout, file_len, mark, access),
        }
    }

    fn exact(
        path: &FilePath,
        layout: &Layout,
        file_len: u64,
        mark: Option<Mark>,
        access: Access,
    ) -> Result<(Self, Option<&'static str>)> {
        let item = layout.item;
        // A length that a power cut left says nothing: the mark does.
        let went_down = mark.is_some_and(|mark| !mark.is_of_this_boot());
        let values = file_len.saturating_sub(layout.data_at());
        let odd = values % item.size() as u64;
        if odd != 0 && !went_down {
            if access == Access::Writable {
                return Err(Error::OddLength {
                    path: path.to_string(),
                    len: values,
                    item_size: item.size(),
                    type_name: item.name(),
                });
            }
            tracing::warn!(
                "file '{path}': the last {odd} bytes are no whole value and are ignored"
            );
        }
        let count = values / item.size() as u64;
        let mut contents = Self {
            count,
            synced: mark.map_or(count, |mark| mark.synced.min(count)),
            file_len,
            slack: false,
            went_down,
            left: mark.filter(|_| !went_down).map(|mark| mark.synced),
        };
        if went_down {
            contents.count = contents.synced;
            return Ok((
                contents,
                Some("the machine went down; those that were synced"),
            ));
        }
        Ok((contents, None))
    }

    fn with_slack(
        path: &FilePath,
        layout: &Layout,
        file_len: u64,
        mark: Option<Mark>,
        record: Record,
    ) -> Result<(Self, Option<&'static str>)> {
        if record.item_size as usize != layout.item.size() {
            return Err(Error::ForeignSlack {
                path: path.to_string(),
                found: record.item_size,
            });
        }
        // The mark may be younger than the record: it is set for each sync, and by a recovery before that cuts the file.
        let vouched = mark
            .filter(|mark| !record.is_of_this_boot() || mark.is_of_this_boot())
            .map_or(0, |mark| mark.synced);
        let synced = vouched.max(record.synced);
        let trusted = if record.is_of_this_boot() {
            record.live
        } else {
            // Those are there, whatever the record says. It may be one of before a growth, or values that others have replaced since,
            // in the place of values that are not on disk.
            record.trusted_count().max(vouched)
        };
        let count = trusted.min(layout.count_up_to(file_len - record::SIZE));
        let contents = Self {
            count,
            synced: synced.min(count),
            file_len,
            slack: true,
            went_down: !record.is_of_this_boot(),
            left: Some(count),
        };
        let why = if contents.went_down {
            "the machine went down; those that were synced"
        } else {
            "an unclean stop left slack; all that were written"
        };
        Ok((contents, Some(why)))
    }

    /// The header of a `.npy` file and its length say the same, unless a server of ours was stopped between the
    /// two: then the file is longer.
    fn agree_with(
        &self,
        header: &NpyHeader,
        file: &File,
        path: &FilePath,
        layout: &Layout,
    ) -> Result<()> {
        let unusable = |why| {
            Err(Error::Npy {
                path: path.to_string(),
                why,
            })
        };
        if header.count > self.count {
            return unusable(format!(
                "its header says {} values, but the file ends after {}",
                header.count, self.count
            ));
        }
        let mut next = [0; npy::MAGIC.len()];
        let at = layout.offset(header.count);
        if file.read_exact_at(&mut next, at).is_ok() && next == npy::MAGIC {
            return unusable("it holds more than one array".to_owned());
        }
        Ok(())
    }

    /// Gives the file the length of its values, and says so where that changes it.
    fn cut(&mut self, file: &File, path: &FilePath, layout: &Layout, why: &str) -> Result<()> {
        let len = layout.offset(self.count);
        if len != self.file_len {
            // Should the power fail again, the shorter file has no record, and its mark may be older than that.
            Mark::set(file, self.synced).map_err(|e| Error::io("mark", path, e))?;
            disk::set_len(file, len, disk::NoArrayYet)
                .map_err(|e| Error::io("shorten", path, e))?;
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
