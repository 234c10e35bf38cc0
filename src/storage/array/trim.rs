//! Giving a file with slack its exact length again.

use std::sync::Arc;
use std::time::Instant;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::{Array, LONG_TRUNCATION};
use crate::storage::array::limit::len_with_record;
use crate::storage::array::state::State;
use crate::storage::array::state::burst_limiter::BurstLimiter;
use crate::storage::array::state::tail::LengthToken;
use crate::storage::error::Result;
use crate::storage::files::calls as disk;
use crate::storage::format::record;

impl Array {
    /// The right to set the length of the file.
    ///
    /// # Errors
    /// If the worker is at its end.
    pub(in crate::storage) fn may_set_length(&self, state: &State) -> Result<LengthToken> {
        state
            .may_set_length()
            .ok_or_else(|| self.failed("shorten", std::io::ErrorKind::ResourceBusy))
    }

    /// Cuts a file with slack to its exact length. The end of the file must not be the worker's.
    pub(in crate::storage) fn trim(&self, state: &mut State) -> Result<()> {
        if !state.extent.has_slack() || !state.usage.is_writable() {
            return Ok(());
        }
        let exact = state.extent.end();
        let file = self.file_as_left(state)?;
        let token = self.may_set_length(state)?;
        disk::set_len(&file, exact, token).map_err(|e| self.failed("shorten", e))?;
        state.extent.become_exact();
        self.write_header(state, state.extent.count())?;
        // The new length is to be on disk in time, too.
        state.durability.mark_dirty(exact);
        self.shared.stats.trims.add_one();
        Ok(())
    }

    /// As [`Self::trim`], after values were appended: should it fail, only the length is to be put right later.
    pub(in crate::storage) fn trim_now_or_later(self: &Arc<Self>, state: &mut State) {
        if let Err(error) = self.trim(state) {
            tracing::warn!("{error}; it is tried again");
            self.ask(Chore::Watch);
        }
    }

    /// The worker's trim: frees much space without keeping commands waiting.
    ///
    /// It is a growth in reverse. A record nearer to the values becomes the true one, the one at the end of
    /// the file points to it, and then the file is cut behind it with no lock held.
    ///
    /// # Errors
    /// Any I/O error of the operating system; the array stays as it is then, and can be trimmed later.
    pub(in crate::storage) fn trim_from_worker(&self) -> Result<()> {
        let mut state = self.state.lock();
        if !state.extent.has_slack() || state.file.is_none() || !state.usage.is_writable() {
            return Ok(());
        }
        let start = Instant::now();
        let file = self.file_as_left(&mut state)?;
        let near = len_with_record(self.end_of_values(&state) + LONG_TRUNCATION / 2);
        if near + LONG_TRUNCATION < state.extent.len() {
            let record = self.record(&state, near, 0);
            let far = state.extent.len() - record::SIZE;
            state
                .map
                .write(near - record::SIZE, &record.to_bytes())
                .and_then(|()| state.map.store(far + record::PREVIOUS_AT, near))
                .map_err(|fault| self.mark_lost(&mut state, fault))?;
            state.extent.move_record(near - record::SIZE);
            let token = state.tail.begin_cut();
            let result;
            (state, result) = state.unlocked(|| disk::set_len(&file, near, token));
            self.state.free_end(&mut state);
            if let Err(error) = result {
                // The record at the end must be the true one again.
                state.extent.move_record(far);
                self.reinstate_record(&mut state)?;
                return Err(self.failed("shorten", error));
            }
        }
        drop(file);
        self.trim(&mut state)?;
        self.shared.stats.trim_time.record_since(start);
        state.burst = BurstLimiter::full();
        Ok(())
    }

    /// Makes the record at the end of the file the true one again.
    fn reinstate_record(&self, state: &mut State) -> Result<()> {
        self.set_count(state, state.extent.count())?;
        self.publish_synced(state)?;
        self.store_in_record(state, record::PREVIOUS_AT, 0)
    }

    /// Gives back the blocks that a failed growth allocated behind the end of the file.
    pub(in crate::storage) fn free_unused(&self, state: &mut State) {
        if let Some(token) = state.may_set_length() {
            self.free_unused_by(state, token);
        }
    }

    /// As [`Self::free_unused`], by a right that was given for that.
    pub(in crate::storage) fn free_unused_by(&self, state: &mut State, token: LengthToken) {
        if !state.loss.is_lost()
            && let Err(error) = self.cut_overlong(state, token)
        {
            tracing::error!("{error}; it is tried again before the next write");
        }
    }

    /// Cuts what lies behind the end of the file.
    pub(in crate::storage) fn cut_overlong(
        &self,
        state: &mut State,
        token: LengthToken,
    ) -> Result<()> {
        let cut = disk::set_len(&*self.file(state)?, state.extent.len(), token);
        state.extent.set_overlong(cut.is_err());
        cut.map_err(|e| self.failed("shorten", e))
    }
}
