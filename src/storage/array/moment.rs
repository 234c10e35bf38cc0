//! The file of an array, how many values it has and had, all of one moment: for those who read it from beginning to end
//! while others go on, and for a forked child, which must not wait for a lock.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::FromRawFd;
use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
use crate::storage::array::state::span::Span;
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::files::identity;
use crate::storage::files::identity::Identity;
use crate::storage::files::path::FilePath;
use crate::storage::format::recovery::Contents;
use crate::storage::types::ItemType;

/// How much of a whole array is read at a time, in bytes.
const PIECE: usize = 1 << 20;

/// A file that is read: the array's own, or in a forked child the one that it inherited.
enum Source {
    Own(Arc<File>),
    Inherited(ManuallyDrop<File>),
}

impl Deref for Source {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::Own(file) => file,
            Self::Inherited(file) => file,
        }
    }
}

/// An array at one moment. Its values change afterwards, and may be cut off at the end; but they stay where they are, as the
/// file does, whatever another thread drops from the head.
pub struct Moment<'a> {
    array: &'a Array,
    file: Source,
    span: Span,
}

impl Array {
    /// What the array is now. A forked child may ask, and waits for no lock.
    ///
    /// # Errors
    /// If the file is closed.
    pub fn moment(self: &Arc<Self>) -> Result<Moment<'_>> {
        let (file, span) = if self.shared.is_child() {
            let (fd, span) = self.published.get();
            let fd = fd.ok_or_else(|| self.closed())?;
            // SAFETY: the descriptor was open when the child was forked, which has its own and no thread that closes it; and
            // it is not closed here.
            let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
            (Source::Inherited(file), span)
        } else {
            let locked = self.lock();
            (Source::Own(locked.file()?), locked.span())
        };
        Ok(Moment {
            array: self,
            file,
            span,
        })
    }

    pub(in crate::storage) fn closed(&self) -> Error {
        Error::Closed {
            path: self.path.to_string(),
        }
    }
}

impl Locked<'_> {
    /// Makes a count the count for this process and its children.
    #[inline]
    pub(in crate::storage) fn publish(&mut self, count: u64) {
        self.extent.set_count(count);
        self.array.published.set_count(count);
    }

    /// Makes a number of values dropped from the head the number for this process and its children.
    pub(in crate::storage) fn publish_head(&mut self, head: u64) {
        self.extent.set_head(head);
        self.array.published.set_head(head);
    }

    /// Makes a file, and which values it has, the array's for this process and its children, and returns the file before.
    pub(in crate::storage) fn publish_file(
        &mut self,
        file: Option<Arc<File>>,
        span: Span,
    ) -> Option<Arc<File>> {
        // No mark may come late to a file that others can have by then.
        let marking = self.marking();
        self.array.published.replace(file.as_deref(), span);
        let old = self.open.replace_file(file);
        drop(marking);
        let old = old?;
        self.array
            .unmap(self.array.shared.windows.take_those_of(&old));
        Some(old)
    }
}

impl Moment<'_> {
    /// Which values there were.
    pub fn span(&self) -> Span {
        self.span
    }

    pub(in crate::storage) fn item(&self) -> ItemType {
        self.array.item()
    }

    pub(in crate::storage) fn path(&self) -> &FilePath {
        &self.array.path
    }

    /// Which file it is, for other servers. All zeros, which no file has, if the system does not say.
    pub fn identity(&self) -> Identity {
        identity::identity(&*self.file).unwrap_or([0; 40])
    }

    /// Reads values from `index` on, as many of them as there are and `out` has room for, and says how many bytes.
    pub(in crate::storage) fn read(&self, index: u64, out: &mut [u8]) -> io::Result<usize> {
        let left = self.span.count.saturating_sub(index);
        let size = self.array.item_size();
        let len = (out.len() as u64).min(left.saturating_mul(size)) as usize;
        let at = self.array.layout.offset(index.min(self.span.count));
        disk::read_at(&*self.file, at, &mut out[..len])
    }

    /// Reads all values as the file has them by then, and hands `take` whole ones in pieces, with the index of the first
    /// of each, for as long as it wants more. Says how many of those that were read count: if the array becomes
    /// shorter during the read, what lies behind its end does not. After an error of the system's, which comes
    /// along, they are those before. If it became shorter and longer again, values behind the lowest end may be of either
    /// time, or 0. To a forked child these do not count; who reads beside writers in this process must be told of these writes afterwards.
    pub fn read_in_pieces(
        &self,
        mut take: impl FnMut(u64, &[u8]) -> bool,
    ) -> (u64, io::Result<()>) {
        let size = self.array.item().size();
        let mut buffer = vec![0; (PIECE / size).max(1) * size];
        let mut done = 0;
        let mut result = Ok(());
        loop {
            match self.read(done, &mut buffer) {
                Ok(read) if read >= size => {
                    let values = read / size;
                    let first = done;
                    done += values as u64;
                    if !take(first, &buffer[..values * size]) {
                        break;
                    }
                }
                Ok(_) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let counted = Contents::look(&self.file, &self.array.path, &self.array.layout)
            .map_or(done, |now| now.count.min(done));
        let untouched = self.array.shared.shortest.since_fork(self.array.number);
        let untouched = untouched.map_or(done, |end| end.saturating_sub(self.span.head));
        (counted.min(untouched), result)
    }
}
