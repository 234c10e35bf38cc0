//! Removing values at the end.

use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::{Array, LONG_TRUNCATION};
use crate::storage::array::state::State;
use crate::storage::array::state::tail::End;
use crate::storage::array::writer::Writer;
use crate::storage::error::Result;
use crate::storage::files::calls as disk;
use crate::storage::memory::available::buffer;
use crate::storage::settings::Fsync;

impl Writer<'_> {
    /// Removes up to `count` values at the end and returns them as they lay in the file: the last one last.
    ///
    /// # Errors
    /// Any I/O error of the operating system; then nothing was removed.
    pub fn pop(&mut self, count: u64) -> Result<Vec<u8>> {
        let (array, state) = (self.array, &mut *self.state);
        let count = count.min(state.extent.count());
        if count == 0 {
            return Ok(Vec::new());
        }
        let left = state.extent.count() - count;
        let mut popped = buffer((count * array.item_size()) as usize)?;
        state
            .map
            .read(array.layout.offset(left), &mut popped)
            .map_err(|fault| array.mark_lost(state, fault))?;
        array.shorten(state, left)?;
        Ok(popped)
    }

    /// Removes the values from index `count` on, where there are any.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn truncate(&mut self, count: u64) -> Result<()> {
        if count < self.state.extent.count() {
            self.array.shorten(&mut self.state, count)?;
        }
        Ok(())
    }

    /// Removes the values from a position on, where there are any.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn truncate_at(&mut self, position: u64) -> Result<()> {
        self.truncate(position.saturating_sub(self.state.extent.head()))
    }

    /// Removes all values and says how many there were.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn clear(&mut self) -> Result<u64> {
        let count = self.state.extent.count();
        if count > 0 || self.state.extent.has_slack() {
            self.array.shorten(&mut self.state, 0)?;
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

    /// Leaves only `left` values. It does not wait.
    ///
    /// # Errors
    /// If the lower mark or the shorter length cannot be set; then nothing was removed.
    pub(in crate::storage) fn shorten(
        self: &Arc<Self>,
        state: &mut State,
        left: u64,
    ) -> Result<()> {
        let State { snapshots, map, .. } = state;
        snapshots.before_cut(map, left);
        let len = self.layout.offset(left);
        let freed = state.extent.len() - len;
        // The worker may be allocating behind exact values, and a truncation would free that again.
        if !state.extent.has_slack() {
            self.call_off_growth(state);
        }
        // The kernel zeroes the rest of the page in which a file ends, and may write that page before the
        // length. So no page of values that were promised to survive is cut before it is on disk that they are gone.
        let promised = left > 0
            && state.durability.synced() > left
            && self.shared.settings.fsync() == Fsync::Always;
        self.lower_mark(state, left)?;
        let long = freed > LONG_TRUNCATION;
        let was_exact = !state.extent.has_slack();
        if was_exact && (long || promised) {
            // The record makes the values gone at once; the worker frees their space. On a full disk there
            // may be no room for a record; then it is done here and now.
            let end = self.end_of_values(state);
            if let Err(error) = self.make_momentary_room(state, end) {
                tracing::warn!("{error}; the command frees the space itself");
            }
        }
        if state.extent.header_count() > left {
            self.write_header(state, left)?;
        }
        if state.extent.has_slack() {
            self.set_count(state, left)?;
            if left == 0 && !long && state.tail.end() != End::Cutting {
                self.call_off_growth(state);
                if let Err(error) = self.trim(state) {
                    // The values are gone; only the length is to be put right later.
                    tracing::warn!("{error}; it is tried again");
                    self.ask(Chore::Trim);
                }
            } else if was_exact && !long {
                self.ask(Chore::Watch);
            } else if left == 0 || was_exact {
                self.ask(Chore::Trim);
            }
        } else {
            let file = self.file_as_left(state)?;
            let token = self.may_set_length(state)?;
            disk::set_len(&file, len, token).map_err(|e| self.failed("shorten", e))?;
            self.set_count(state, left)?;
        }
        state.watch.shortened(left);
        self.wrote(state, len);
        Ok(())
    }

    /// Vouches for no more than `left` values, before the others go.
    fn lower_mark(self: &Arc<Self>, state: &mut State, left: u64) -> Result<()> {
        if state.durability.mark().is_some_and(|mark| mark > left) {
            self.mark(state, left)?;
        }
        if state.durability.lower(left) {
            // Should the values stay after all, the next sync is to vouch for them again.
            self.mark_dirty_and_schedule(state, self.layout.offset(left));
            self.publish_synced(state)?;
        }
        Ok(())
    }
}
