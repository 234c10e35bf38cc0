//! Removing values at the end.

use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::{Array, LONG_TRUNCATION};
use crate::storage::array::state::tail::End;
use crate::storage::array::writer::Writer;
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::memory::available::buffer;
use crate::storage::settings::Fsync;

impl Writer<'_> {
    /// Removes up to `count` values at the end and returns them as they lay in the file: the last one last.
    ///
    /// # Errors
    /// Any I/O error of the operating system; then nothing was removed.
    pub fn pop(&mut self, count: u64) -> Result<Vec<u8>> {
        let count = count.min(self.extent.count());
        if count == 0 {
            return Ok(Vec::new());
        }
        let left = self.extent.count() - count;
        let mut popped = buffer((count * self.array.item_size()) as usize)?;
        let at = self.array.layout.offset(left);
        let read = self.open.map().read(at, &mut popped);
        read.map_err(|fault| self.mark_lost(fault))?;
        self.shorten(left)?;
        Ok(popped)
    }

    /// Removes the values from index `count` on, where there are any.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn truncate(&mut self, count: u64) -> Result<()> {
        if count < self.extent.count() {
            self.shorten(count)?;
        }
        Ok(())
    }

    /// Removes the values from a position on, where there are any.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn truncate_at(&mut self, position: u64) -> Result<()> {
        self.truncate(position.saturating_sub(self.extent.head()))
    }

    /// Removes all values and says how many there were.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn clear(&mut self) -> Result<u64> {
        let count = self.extent.count();
        if count > 0 || self.extent.has_slack() {
            self.shorten(0)?;
        }
        Ok(count)
    }
}

impl Array {
    /// As [`Writer::truncate`].
    ///
    /// # Errors
    /// As [`Writer::truncate`].
    pub fn truncate(self: &Arc<Self>, count: u64) -> Result<()> {
        self.writer()?.truncate(count)
    }

    /// As [`Self::truncate`], where values were appended as they came.
    ///
    /// # Errors
    /// As [`Self::truncate`]; also if what is left ends in what looks like a record.
    pub fn end_at(self: &Arc<Self>, count: u64) -> Result<()> {
        let mut writer = self.writer()?;
        writer.truncate(count)?;
        writer.may_end()
    }
}

impl Writer<'_> {
    /// Leaves only `left` values. It does not wait.
    ///
    /// # Errors
    /// If the lower mark or the shorter length cannot be set, or what is left would end in what looks like a record; then nothing
    /// was removed.
    fn shorten(&mut self, left: u64) -> Result<()> {
        let len = self.array.layout.offset(left);
        self.may_keep(0..left)?;
        self.before_cut(left);
        let (array, end) = (self.array, self.extent.head() + left);
        array.shared.shortest.note(array.number, end);
        let freed = self.extent.len() - len;
        // The worker may be allocating behind exact values, and a truncation would free that again.
        if !self.extent.has_slack() {
            self.call_off_growth();
        }
        // The kernel zeroes the rest of the page in which a file ends, and may write that page before the
        // length. So no page of values that were promised to survive is cut before it is on disk that they are gone.
        let promised = left > 0
            && self.durability.synced() > left
            && self.array.shared.settings.fsync() == Fsync::Always;
        self.lower_mark(left)?;
        let long = freed > LONG_TRUNCATION;
        let was_exact = !self.extent.has_slack();
        if was_exact && (long || promised) {
            // The record makes the values gone at once; the worker frees their space. On a full disk there
            // may be no room for a record; then it is done here and now.
            let end = self.extent.end();
            if let Err(error) = self.make_momentary_room(end) {
                tracing::warn!("{error}; the command frees the space itself");
            }
        }
        // Where it goes no further, header and length are the worker's to put right.
        let give_up = |_: &Error| array.ask(Chore::Watch);
        if self.extent.header_count() > left {
            self.write_header(left).inspect_err(give_up)?;
        }
        if self.extent.has_slack() {
            self.set_count(left)?;
            if left == 0 && !long && self.tail.end() != End::Cutting {
                self.call_off_growth();
                if let Err(error) = self.trim() {
                    // The values are gone; only the length is to be put right later.
                    tracing::warn!("{error}; it will be retried");
                    self.array.ask(Chore::Trim);
                }
            } else if was_exact && !long {
                self.array.ask(Chore::Watch);
            } else if left == 0 || was_exact {
                self.array.ask(Chore::Trim);
            }
        } else {
            let file = self.file_as_left()?;
            let token = self.may_set_length()?;
            self.keeping(len, || disk::set_len(&file, len, token))?
                .map_err(|e| array.failed("shorten", e))
                .inspect_err(give_up)?;
            self.set_count(left)?;
        }
        self.watch.shortened(left);
        self.wrote(len);
        Ok(())
    }

    /// Vouches for no more than `left` values, before the others go.
    fn lower_mark(&mut self, left: u64) -> Result<()> {
        if self.durability.mark().is_some_and(|mark| mark > left) {
            self.mark(left)?;
        }
        if self.durability.lower(left) {
            // Should the values stay after all, the next sync is to vouch for them again.
            let end = self.array.layout.offset(left);
            self.mark_dirty_and_schedule(end);
            self.publish_synced()?;
        }
        Ok(())
    }
}
