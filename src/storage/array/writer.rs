//! Changing an array: what is decided and what is carried out under one hold of its lock.

use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
use crate::storage::array::peers::Completeness;
use crate::storage::array::state::span::Span;
use crate::storage::error::{Error, Result};
use crate::storage::format::mark::Mark;
use crate::storage::format::record;
use crate::storage::memory::mapping::Mapping;

/// The right to change the values of an array: its lock, held since the array was found fit to be written. What is read from it
/// is true as long as it lives.
///
/// What adds, changes or removes values is a method of it, and so cannot be called without that look. As with [`Locked`], a method
/// that may wait takes the writer by value and gives another back, for which the array was looked at again: what was known before
/// is void then.
pub struct Writer<'a> {
    locked: Locked<'a>,
    pub(in crate::storage) notes: Notes,
}

/// Whether a writer notes what it changes in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::storage) enum Notes {
    None,
    /// Where there is room for them.
    IfThereIsRoom,
    /// Room is made for them.
    Taken,
}

impl Array {
    /// Takes the lock, to change the array.
    ///
    /// # Errors
    /// If the array cannot be written to.
    #[inline(always)]
    pub fn writer(self: &Arc<Self>) -> Result<Writer<'_>> {
        self.shared.worker_alive()?;
        let locked = self.lock();
        // Under load one look is enough: this is the path of every append.
        if locked.is_plainly_writable() {
            return Ok(Writer {
                locked,
                notes: Notes::None,
            });
        }
        locked.into_writer()
    }
}

impl<'a> Writer<'a> {
    /// Which values there are.
    #[inline]
    pub fn span(&self) -> Span {
        self.extent.span()
    }

    /// Makes the end of the file the caller's. It may wait.
    pub(in crate::storage) fn claim_end(self) -> Result<Self> {
        self.locked.claim_end()?.into_writer()
    }

    /// Waits until the end of the file is free.
    pub(in crate::storage) fn wait_for_end(self) -> Result<Self> {
        self.locked.wait_for_end()?.into_writer()
    }

    /// Lets go of the lock, and those go first who wait for it.
    pub(in crate::storage) fn unlock_fair(self) {
        self.locked.unlock_fair();
    }
}

impl<'a> Deref for Writer<'a> {
    type Target = Locked<'a>;

    #[inline]
    fn deref(&self) -> &Locked<'a> {
        &self.locked
    }
}

impl<'a> DerefMut for Writer<'a> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Locked<'a> {
        &mut self.locked
    }
}

impl<'a> Locked<'a> {
    /// The right to change the array, as it is now.
    ///
    /// # Errors
    /// If the array cannot be written to.
    #[inline(never)]
    pub(in crate::storage) fn into_writer(mut self) -> Result<Writer<'a>> {
        self.check_writable()?;
        Ok(Writer {
            locked: self,
            notes: Notes::None,
        })
    }

    fn check_writable(&mut self) -> Result<()> {
        if !self.usage.is_writable() {
            return Err(Error::ReadOnly {
                path: self.array.path.to_string(),
            });
        }
        if let Some(reason) = self.durability.refusal() {
            return Err(Error::Refused {
                path: self.array.path.to_string(),
                reason: reason.to_owned(),
            });
        }
        if self.open.is_closed() {
            return Err(self.array.closed());
        }
        if self.extent.has_slack() {
            // The record is behind all values: storing to it finds out that the file was cut.
            self.not_lost()?;
        } else {
            self.check_now_and_then()?;
        }
        self.mark_if_unmarked()
    }

    /// Notes in the file what is on disk for certain, before it may change.
    #[inline]
    pub(in crate::storage) fn mark_if_unmarked(&mut self) -> Result<()> {
        if self.durability.is_marked() {
            return Ok(());
        }
        match self.mark(self.durability.synced()) {
            // Nothing vouches for what is there, whose room may be what the mark lacks.
            Err(error) if error.is_full() && self.array.completeness() == Completeness::Missed => {
                Ok(())
            }
            marked => marked,
        }
    }

    pub(in crate::storage) fn mark(&mut self, count: u64) -> Result<()> {
        let file = self.file()?;
        let _marking = self.marking();
        // Should it fail, what the mark says is not known.
        self.durability.set_mark(None);
        Mark::set(&file, count).map_err(|e| self.array.failed("mark", e))?;
        self.durability.set_mark(Some(count));
        Ok(())
    }

    /// Whether the header of a `.npy` file promises all values. Behind slack it promises less, and so it does after it could not
    /// be written.
    pub(in crate::storage) fn is_header_true(&self) -> bool {
        self.array.layout.npy.is_none() || self.extent.header_count() == self.extent.count()
    }

    /// Writes a number of values into the header of a `.npy` file.
    pub(in crate::storage) fn write_header(&mut self, count: u64) -> Result<()> {
        if let Some(header) = &self.array.layout.npy
            && self.extent.header_count() != count
        {
            header
                .write(&*self.file()?, count)
                .map_err(|e| self.array.failed("write the header of", e))?;
            self.extent.set_header_count(count);
        }
        Ok(())
    }

    /// Has the header promise all values, after some were appended: they are there, whether it can be written or not.
    pub(in crate::storage) fn write_header_now_or_later(&mut self) {
        if let Err(error) = self.write_header(self.extent.count()) {
            tracing::warn!("{error}; it will be retried");
            self.array.ask(Chore::Watch);
        }
    }

    /// Makes a count the count, for this process, its children and, with slack, for other processes.
    pub(in crate::storage) fn set_count(&mut self, count: u64) -> Result<()> {
        self.store_in_record(record::LIVE_AT, count)?;
        self.publish(count);
        Ok(())
    }

    pub(in crate::storage) fn publish_synced(&mut self) -> Result<()> {
        self.store_in_record(record::SYNCED_AT, self.durability.synced())
    }

    /// Stores a field of the record at the end of the file, where there is one.
    pub(in crate::storage) fn store_in_record(&mut self, field: u64, value: u64) -> Result<()> {
        // The record of a read-only file is another process'.
        let Some(record_at) = self.extent.record_at() else {
            return Ok(());
        };
        if !self.usage.is_writable() {
            return Ok(());
        }
        let stored = self.open.map().store(record_at + field, value);
        stored.map_err(|fault| self.mark_lost(fault))
    }

    /// Notes a write from a position in bytes to the last value, and has the worker sync it in time.
    #[inline(always)]
    pub(in crate::storage) fn wrote(&mut self, from: u64) {
        let end = self.extent.end();
        self.wrote_between(from..end);
    }

    /// Notes a write to a range of bytes, and has the worker sync it in time.
    #[inline(always)]
    pub(in crate::storage) fn wrote_between(&mut self, bytes: Range<u64>) {
        let settings = &self.array.shared.settings;
        self.load.wrote();
        if self.durability.wrote(bytes.clone(), settings) {
            self.array.ask(Chore::WriteBack);
        }
        self.snapshots.after_write(bytes.start);
        self.watch.wrote(bytes);
        self.schedule_sync();
    }

    /// Has what begins at a byte synced in time.
    pub(in crate::storage) fn mark_dirty_and_schedule(&mut self, from: u64) {
        self.durability.mark_dirty(from);
        self.schedule_sync();
    }

    /// Tells the worker of writes that are not on disk, unless it knows.
    #[inline]
    pub(in crate::storage) fn schedule_sync(&mut self) {
        if self.durability.schedule() {
            self.array.ask(Chore::SyncInTime);
        }
    }

    /// Puts another mapping in place. The worker unmaps the old one: that takes long where much is mapped.
    pub(in crate::storage) fn replace_map(&mut self, map: Arc<Mapping>) {
        let old = self.open.replace_map(map);
        self.array.attendant.unmap(old);
    }
}

#[cfg(test)]
impl Array {
    pub fn set(self: &Arc<Self>, indices: &[u64], bytes: &[u8]) -> Result<()> {
        self.overwriter(indices.len(), indices.len())?
            .set(indices, bytes)
    }

    pub fn pop(self: &Arc<Self>, count: u64) -> Result<Vec<u8>> {
        self.writer()?.pop(count)
    }

    pub fn clear(self: &Arc<Self>) -> Result<u64> {
        self.writer()?.clear()
    }
}
