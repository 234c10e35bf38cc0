//! Room for values behind the last one, and whose the end of the file is meanwhile.

use std::sync::Arc;
use std::time::Instant;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::limit::len_with_record;
use crate::storage::array::lock::Locked;
use crate::storage::array::state::State;
use crate::storage::array::state::burst_limiter::BurstLimiter;
use crate::storage::array::state::tail::End;
use crate::storage::error::Result;

impl Array {
    /// Whether so many bytes more can be appended to slack.
    #[inline]
    pub(in crate::storage) fn has_room(&self, state: &State, bytes: u64) -> bool {
        state.extent.room_for(bytes).is_some()
    }

    /// Makes room for so many bytes more, growing the file here and now if the worker has not done so. While it waits,
    /// others may do anything to the array, even give it another file: what the caller knew of it is void, and whether
    /// it may be written to is found out afresh.
    #[cold]
    pub(in crate::storage) fn wait_for_room<'a>(
        self: &Arc<Self>,
        mut state: Locked<'a>,
        bytes: u64,
    ) -> Result<Locked<'a>> {
        let start = Instant::now();
        while !self.has_room(&state, bytes) {
            if !state.tail.is_free() {
                self.shared.stats.growth_waits.add_one();
                state = self.wait_for_end(state)?;
                self.check_writable(&mut state)?;
                continue;
            }
            let end = self.end_of_values(&state) + bytes;
            self.may_hold(end)?;
            let wanted = len_with_record(end + self.step(&state, end));
            self.grow_now(&mut state, len_with_record(end), wanted)?;
            self.shared.stats.growths_inline.add_one();
            self.ask(Chore::Watch);
        }
        self.shared.stats.wait_time.record_since(start);
        self.may_hold(self.end_of_values(&state) + bytes)?;
        Ok(state)
    }

    /// Gives an exact file slack for values up to `end` and no more, to be trimmed again soon. Says where its record is.
    pub(in crate::storage) fn make_momentary_room(
        self: &Arc<Self>,
        state: &mut State,
        end: u64,
    ) -> Result<u64> {
        let start = Instant::now();
        self.call_off_growth(state);
        let needed = len_with_record(end);
        self.grow_now(state, needed, needed)?;
        self.shared.stats.wait_time.record_since(start);
        Ok(state.extent.room_to())
    }

    /// Makes the end of the file the caller's: a growth is called off, a cut is waited for. While it waits, others may
    /// do anything to the array, even close it or give it another file.
    pub(in crate::storage) fn claim_end<'a>(&self, mut state: Locked<'a>) -> Result<Locked<'a>> {
        self.call_off_growth(&mut state);
        self.wait_for_end(state)
    }

    /// Makes the end of the file the caller's, unless it is being cut: a file of exact length never is.
    pub(in crate::storage) fn call_off_growth(&self, state: &mut State) {
        debug_assert!(state.extent.has_slack() || state.tail.end() != End::Cutting);
        if let Some(token) = state.tail.call_off_growth() {
            state.extent.growth_answered();
            // A record that announces the growth may stand behind the true one already.
            self.free_unused_by(state, token);
            self.state.free_end(state);
        }
    }

    fn wait_for_end<'a>(&self, state: Locked<'a>) -> Result<Locked<'a>> {
        state.wait_for_end(|| self.shared.worker_alive())
    }

    /// Has the other arrays on the same file system give back what they hold ahead of need; whether there was anything. To be
    /// called without any lock.
    #[cold]
    pub(in crate::storage) fn have_slack_given_back(&self) -> bool {
        let mut any = false;
        for other in self.attendant.arrays() {
            if !std::ptr::eq(&*other, self) && other.id().device == self.id().device {
                any |= other.give_back_slack();
            }
        }
        any
    }

    /// Gives the file its exact length, calling off a growth; whether there was anything to give back.
    fn give_back_slack(&self) -> bool {
        let state = self.state.lock();
        let has_some = state.extent.has_slack() || !state.tail.is_free();
        if !has_some || !state.usage.is_writable() || state.loss.is_lost() {
            return false;
        }
        let given = self.claim_end(state).and_then(|mut state| {
            // It is the worker's again when the next values come.
            state.burst = BurstLimiter::full();
            self.trim(&mut state)
        });
        given
            .inspect_err(|error| tracing::warn!("while making room for another file: {error}"))
            .is_ok()
    }
}
