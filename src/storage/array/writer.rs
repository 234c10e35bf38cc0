//! Changing an array: what is decided and what is carried out under one hold of its lock.

use std::ops::Range;
use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::lock::Locked;
use crate::storage::array::state::State;
use crate::storage::array::state::span::Span;
use crate::storage::error::{Error, Result};
use crate::storage::format::mark::Mark;
use crate::storage::format::record;
use crate::storage::memory::mapping::Mapping;

/// The right to change an array: its lock, held since the array was found fit to be written. What is read from it is true
/// as long as it lives. A method that may wait takes it and gives another back: what was known before is void then.
pub struct Writer<'a> {
    pub(in crate::storage) array: &'a Arc<Array>,
    pub(in crate::storage) state: Locked<'a>,
}

impl Array {
    /// Takes the lock, to change the array.
    ///
    /// # Errors
    /// If the array cannot be written to.
    #[inline]
    pub fn writer(self: &Arc<Self>) -> Result<Writer<'_>> {
        Ok(Writer {
            state: self.lock_for_writing()?,
            array: self,
        })
    }
}

impl<'a> Writer<'a> {
    /// Which values there are.
    #[inline]
    pub fn span(&self) -> Span {
        self.state.span()
    }

    /// Makes the end of the file the caller's. It may wait.
    pub(in crate::storage) fn claim_end(self) -> Result<Self> {
        let Self { array, state } = self;
        let mut state = array.claim_end(state)?;
        array.check_writable(&mut state)?;
        Ok(Self { array, state })
    }
}

impl Array {
    #[inline]
    pub(in crate::storage) fn lock_for_writing(&self) -> Result<Locked<'_>> {
        self.shared.worker_alive()?;
        let mut state = self.state.lock();
        // Under load one look is enough: this is the path of every append.
        if !state.is_plainly_writable() {
            self.check_writable(&mut state)?;
        }
        Ok(state)
    }

    /// Finds out whether the array can be written to, to be asked whenever the lock was taken, and after each wait.
    #[inline(never)]
    pub(in crate::storage) fn check_writable(&self, state: &mut State) -> Result<()> {
        if !state.usage.is_writable() {
            return Err(Error::ReadOnly {
                path: self.path.to_string(),
            });
        }
        if let Some(reason) = state.durability.refusal() {
            return Err(Error::Refused {
                path: self.path.to_string(),
                reason: reason.to_owned(),
            });
        }
        if state.file.is_none() {
            return Err(self.closed());
        }
        if state.extent.has_slack() {
            // The record is behind all values: storing to it finds out that the file was cut.
            self.not_lost(state)?;
        } else {
            self.check_now_and_then(state)?;
        }
        self.mark_if_unmarked(state)
    }

    /// Notes in the file what is on disk for certain, before it may change.
    #[inline]
    pub(in crate::storage) fn mark_if_unmarked(&self, state: &mut State) -> Result<()> {
        if state.durability.is_marked() {
            return Ok(());
        }
        self.mark(state, state.durability.synced())
    }

    pub(in crate::storage) fn mark(&self, state: &mut State, count: u64) -> Result<()> {
        let file = self.file(state)?;
        let _marking = self.state.marking(state);
        // Should it fail, what the mark says is not known.
        state.durability.set_mark(None);
        Mark::set(&file, count).map_err(|e| self.failed("mark", e))?;
        state.durability.set_mark(Some(count));
        Ok(())
    }

    /// Makes the header of a `.npy` file say so many values.
    pub(in crate::storage) fn write_header(&self, state: &mut State, count: u64) -> Result<()> {
        if let Some(header) = &self.layout.npy
            && state.extent.header_count() != count
        {
            self.overwrite(state, header.text_at(), &header.text(count))?;
            state.extent.set_header_count(count);
        }
        Ok(())
    }

    /// Makes a count the count, for this process, its children and, with slack, for other processes.
    pub(in crate::storage) fn set_count(&self, state: &mut State, count: u64) -> Result<()> {
        self.store_in_record(state, record::LIVE_AT, count)?;
        self.publish(state, count);
        Ok(())
    }

    pub(in crate::storage) fn publish_synced(&self, state: &mut State) -> Result<()> {
        self.store_in_record(state, record::SYNCED_AT, state.durability.synced())
    }

    /// Stores a field of the record at the end of the file, where there is one.
    pub(in crate::storage) fn store_in_record(
        &self,
        state: &mut State,
        field: u64,
        value: u64,
    ) -> Result<()> {
        // The record of a read-only file is another process'.
        let Some(record_at) = state.extent.record_at() else {
            return Ok(());
        };
        if !state.usage.is_writable() {
            return Ok(());
        }
        state
            .map
            .store(record_at + field, value)
            .map_err(|fault| self.mark_lost(state, fault))
    }

    /// Notes a write from a position in bytes to the last value, and has the worker sync it in time.
    #[inline]
    pub(in crate::storage) fn wrote(self: &Arc<Self>, state: &mut State, from: u64) {
        let end = self.end_of_values(state);
        self.wrote_between(state, from..end);
    }

    /// Notes a write to a range of bytes, and has the worker sync it in time.
    #[inline]
    pub(in crate::storage) fn wrote_between(
        self: &Arc<Self>,
        state: &mut State,
        bytes: Range<u64>,
    ) {
        state.writes += 1;
        if state.durability.wrote(bytes.clone(), &self.shared.settings) {
            self.ask(Chore::WriteBack);
        }
        state.snapshots.after_write(bytes.start);
        state.watch.wrote(bytes);
        self.schedule_sync(state);
    }

    /// Has what begins at a byte synced in time.
    pub(in crate::storage) fn mark_dirty_and_schedule(
        self: &Arc<Self>,
        state: &mut State,
        from: u64,
    ) {
        state.durability.mark_dirty(from);
        self.schedule_sync(state);
    }

    /// Tells the worker of writes that are not on disk, unless it knows.
    pub(in crate::storage) fn schedule_sync(self: &Arc<Self>, state: &mut State) {
        if state.durability.schedule() {
            self.ask(Chore::SyncInTime);
        }
    }

    /// Puts another mapping in place. The worker unmaps the old one: that takes long where much is mapped.
    pub(in crate::storage) fn replace_map(&self, state: &mut State, map: Arc<Mapping>) {
        let old = std::mem::replace(&mut state.map, map);
        state.advise_again();
        self.attendant.unmap(old);
    }
}

#[cfg(test)]
impl Array {
    pub fn set(self: &Arc<Self>, indices: &[u64], bytes: &[u8]) -> Result<()> {
        self.writer()?.set(indices, bytes)
    }

    pub fn pop(self: &Arc<Self>, count: u64) -> Result<Vec<u8>> {
        self.writer()?.pop(count)
    }

    pub fn clear(self: &Arc<Self>) -> Result<u64> {
        self.writer()?.clear()
    }
}
