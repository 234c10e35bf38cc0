//! Dropping pages from RAM.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};
use rustix::param::page_size;

use crate::storage::array::handle::Array;
use crate::storage::error::Result;
use crate::storage::system::{Call, attempt};
use crate::storage::threads::cancel::Cancel;
use crate::storage::threads::pool::Job;

/// How much is dropped at once, in bytes.
const DROPPED_AT_ONCE: u64 = 64 << 20;

impl Array {
    /// Takes clean pages of a range of bytes out of the page table and the page cache.
    fn drop_pages(self: &Arc<Self>, bytes: Range<u64>) -> io::Result<()> {
        self.cold_check.renew();
        let dropped = self.with_file(|file, map, _| {
            map.release(bytes.start, bytes.end);
            self.shared.windows.release(file, &bytes);
            let len = std::num::NonZeroU64::new(bytes.end.saturating_sub(bytes.start));
            if len.is_none() {
                return Ok(());
            }
            let dropped = attempt(Call::Fadvise, || {
                fadvise(file.as_fd(), bytes.start, len, Advice::DontNeed)
            });
            // Refused, it is advice that had no effect.
            dropped.map(drop).map_err(io::Error::from)
        });
        dropped.unwrap_or(Ok(()))
    }
}

/// Drops pages, and then says so, unless it is cancelled.
pub(in crate::storage) struct DropPages {
    array: Arc<Array>,
    bytes: Range<u64>,
    cancel: Cancel,
    done: Box<dyn FnOnce(Result<()>) + Send>,
}

impl DropPages {
    pub fn new(
        array: Arc<Array>,
        values: Range<u64>,
        cancel: Cancel,
        done: Box<dyn FnOnce(Result<()>) + Send>,
    ) -> Self {
        let offset = |index| array.layout.offset(index);
        let mut bytes = offset(values.start)..offset(values.end);
        let page = page_size() as u64;
        // The first and the last page have nothing but values of the range where it begins or ends with the array.
        if values.start == 0 {
            bytes.start = 0;
        }
        if values.end >= array.published_count() {
            bytes.end = bytes.end.next_multiple_of(page);
        }
        bytes.start = bytes.start.next_multiple_of(page);
        Self {
            array,
            bytes,
            cancel,
            done,
        }
    }

    /// Drops all of them, here and now.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn drop_all(&mut self) -> Result<()> {
        while self.drop_some()? {}
        Ok(())
    }

    /// Drops some; `false` if there are no more.
    fn drop_some(&mut self) -> Result<bool> {
        let end = self.bytes.end.min(self.bytes.start + DROPPED_AT_ONCE);
        self.array
            .drop_pages(self.bytes.start..end)
            .map_err(|error| self.array.failed("drop pages of", error))?;
        self.bytes.start = end;
        Ok(end < self.bytes.end)
    }
}

impl Job for DropPages {
    fn step(mut self: Box<Self>) -> Option<Box<dyn Job>> {
        if self.cancel.is_cancelled() {
            return None;
        }
        match self.drop_some() {
            Ok(true) => return Some(self),
            Ok(false) => (self.done)(Ok(())),
            Err(error) => (self.done)(Err(error)),
        }
        None
    }
}
