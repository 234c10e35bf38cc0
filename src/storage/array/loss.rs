//! Files that change behind our back: truncated by another process, or unreadable. Such an array is *lost* until
//! it is opened again.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use rustix::fs::fstat;

use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
use crate::storage::array::state::extent::Length;
use crate::storage::clock;
use crate::storage::error::{Error, Result};
use crate::storage::memory::guard::Fault;

impl Array {
    /// Whether the file was changed behind our back and must be opened again. It is looked at.
    pub fn is_lost(self: &Arc<Self>) -> bool {
        let mut locked = self.lock();
        locked.usage.is_writable() && locked.file_as_left().is_err() || locked.loss.is_lost()
    }

    /// What was done to the file behind our back, as far as that was noticed; nothing is looked at.
    pub fn why_lost(self: &Arc<Self>) -> Option<String> {
        let locked = self.lock();
        let lost = locked.not_lost().and_then(|()| locked.not_unlinked());
        lost.err().map(|error| error.to_string())
    }

    pub(in crate::storage) fn len_of(&self, file: &File) -> Result<u64> {
        let stat = fstat(file).map_err(|e| self.failed("look at", e))?;
        Ok(stat.st_size.cast_unsigned())
    }
}

impl Locked<'_> {
    /// The file turned out not to be what it was left as: from now on every command on it says so.
    #[cold]
    pub(in crate::storage) fn mark_lost(&mut self, _: Fault) -> Error {
        self.mark_lost_because(
            "was truncated by another process, or its disk failed, while it was mapped".to_owned(),
        )
    }

    #[cold]
    fn mark_lost_because(&mut self, reason: String) -> Error {
        let error = self.array.noted(Error::Lost {
            path: self.array.path.to_string(),
            reason: reason.clone(),
        });
        tracing::error!("{error}");
        self.loss.mark_lost(reason);
        error
    }

    /// Makes a call that sets the length of the file, whose bytes before `end` stay what they are. If another process cuts it after
    /// the last look at it, its length is right again and zeros are in the place of values: the last byte that is not zero tells.
    pub(in crate::storage) fn keeping<T>(
        &mut self,
        end: u64,
        call: impl FnOnce() -> T,
    ) -> Result<T> {
        let before = self.last_byte(end)?;
        let result = call();
        if let Some((at, byte)) = before {
            let mut now = [0];
            let read = self.open.map().read(at, &mut now);
            read.map_err(|fault| self.mark_lost(fault))?;
            if now != [byte] {
                let reason = "was cut by another process while its length was changed";
                return Err(self.mark_lost_because(reason.to_owned()));
            }
        }
        Ok(result)
    }

    /// The last byte before `end` that is not zero, if one of the nearest 4 KiB is not, and where it is.
    fn last_byte(&mut self, end: u64) -> Result<Option<(u64, u8)>> {
        let near = end.saturating_sub(64);
        match self.last_byte_of::<64>(near..end)? {
            None => self.last_byte_of::<4032>(near.saturating_sub(4032)..near),
            found => Ok(found),
        }
    }

    fn last_byte_of<const MOST: usize>(&mut self, place: Range<u64>) -> Result<Option<(u64, u8)>> {
        if place.is_empty() {
            return Ok(None);
        }
        let mut bytes = [0; MOST];
        let bytes = &mut bytes[..(place.end - place.start) as usize];
        let read = self.open.map().read(place.start, bytes);
        read.map_err(|fault| self.mark_lost(fault))?;
        let at = bytes.iter().rposition(|&byte| byte != 0);
        Ok(at.map(|at| (place.start + at as u64, bytes[at])))
    }

    pub(in crate::storage) fn not_lost(&self) -> Result<()> {
        match self.loss.lost() {
            None => Ok(()),
            Some(reason) => Err(Error::Lost {
                path: self.array.path.to_string(),
                reason: reason.to_owned(),
            }),
        }
    }

    /// Compares the file's length with what it should be, unless that was done a moment ago: a truncation
    /// within a page raises no signal, and zeros would be read for values.
    #[inline]
    pub(in crate::storage) fn check_now_and_then(&mut self) -> Result<()> {
        let now = clock::now_ns();
        if self.loss.is_check_due(now) {
            self.file_as_left()?;
        }
        Ok(())
    }

    /// The file, if it has the length that it was left with.
    pub(in crate::storage) fn file_as_left(&mut self) -> Result<Arc<File>> {
        self.not_lost()?;
        let file = self.file()?;
        // While the worker cuts the file, or has announced a growth, its length is not that of the self.
        if self.length_token().is_some() {
            self.check_length()?;
        }
        Ok(file)
    }

    /// Fails if the file has not the length that the state says.
    pub(in crate::storage) fn check_length(&mut self) -> Result<()> {
        let len = self.array.len_of(&*self.file()?)?;
        match self.extent.compare(len) {
            Length::AsLeft => return Ok(()),
            Length::Overlong => {
                let token = self.may_set_length()?;
                return self.cut_overlong(token);
            }
            Length::Changed => {}
        }
        let reason = format!(
            "is {len} bytes long where it should be {}: another process changed its length",
            self.extent.len()
        );
        Err(self.mark_lost_because(reason))
    }
}
