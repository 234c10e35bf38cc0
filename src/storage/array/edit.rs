//! Changing values in place, many at once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::array::writer::{Notes, Writer};
use crate::storage::error::{Error, Result};
use crate::storage::format::redo;
use crate::storage::memory::available::buffer;
use crate::storage::threads::cancel::Cancel;

/// How much of a range is filled before others have their turn, in bytes.
const FILLED_AT_ONCE: u64 = 1 << 20;

impl Writer<'_> {
    /// Sets values in place: the i-th of `indices` becomes the i-th of the encoded values.
    ///
    /// # Errors
    /// If an index is out of range; then nothing was set.
    #[inline]
    pub fn set(&mut self, indices: &[u64], bytes: &[u8]) -> Result<()> {
        if let [index] = *indices {
            return self.set_from(index, bytes);
        }
        let count = self.extent.count();
        if let Some(index) = indices.iter().find(|&&index| index >= count) {
            return Err(self.out_of_range(index));
        }
        self.store_at(indices, bytes)
    }

    /// Overwrites the values from `index` on with encoded ones.
    ///
    /// # Errors
    /// If they reach beyond the last value; then nothing was set.
    #[inline]
    pub fn set_from(&mut self, index: u64, bytes: &[u8]) -> Result<()> {
        let values = self.array.values_in(bytes);
        if index
            .checked_add(values)
            .is_none_or(|end| end > self.extent.count())
        {
            let last = index.saturating_add(values).saturating_sub(1);
            return Err(self.out_of_range(last));
        }
        let at = self.array.layout.offset(index);
        self.no_imitation_midway(at, bytes)?;
        self.overwrite(index, bytes)
    }

    /// Overwrites values that are there.
    #[inline]
    pub(in crate::storage) fn overwrite(&mut self, index: u64, bytes: &[u8]) -> Result<()> {
        if self.notes != Notes::None {
            return self.overwrite_noted(index, bytes);
        }
        self.replace(std::iter::once((index, bytes)))
    }

    #[inline(never)]
    fn overwrite_noted(&mut self, mut index: u64, bytes: &[u8]) -> Result<()> {
        let size = self.array.item().size();
        self.with_room_for_notes(1, bytes.len() / size, |writer| {
            for values in bytes.chunks(redo::most_values(size, true) * size) {
                writer.replace_noted(std::iter::once((index, values)))?;
                index += writer.array.values_in(values);
            }
            Ok(())
        })
    }

    /// Changes values in place: `change` gets the position in `indices` and the value's bytes. An index may come
    /// more than once. Returns the new values, one for each index.
    ///
    /// # Errors
    /// If an index is out of range, or as `change`; then nothing was set.
    pub fn update<E: From<Error>>(
        &mut self,
        indices: &[u64],
        mut change: impl FnMut(usize, &mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Vec<u8>, E> {
        let array = self.array;
        let size = array.item().size();
        let mut values = buffer(indices.len() * size).map_err(Error::from)?;
        let mut seen = HashMap::new();
        seen.try_reserve(indices.len()).map_err(Error::from)?;
        for (position, &index) in indices.iter().enumerate() {
            if index >= self.extent.count() {
                return Err(self.out_of_range(index).into());
            }
            let (before, rest) = values.split_at_mut(position * size);
            let value = &mut rest[..size];
            match seen.insert(index, position) {
                Some(earlier) => value.copy_from_slice(&before[earlier * size..][..size]),
                None => {
                    let read = self.open.map().read(array.layout.offset(index), value);
                    read.map_err(|fault| self.mark_lost(fault))?;
                }
            }
            change(position, value)?;
        }
        self.store_at(indices, &values)?;
        Ok(values)
    }
}

impl Writer<'_> {
    /// Writes values that are known to be there.
    pub(in crate::storage) fn store_at(&mut self, indices: &[u64], bytes: &[u8]) -> Result<()> {
        let layout = &self.array.layout;
        let size = layout.item.size();
        let run = |(&index, value)| (index, value);
        let placed = indices.iter().zip(bytes.chunks_exact(size));
        self.no_imitations(placed.map(|(&index, value)| (layout.offset(index), value)))?;
        if self.notes == Notes::None {
            return self.replace(indices.iter().zip(bytes.chunks_exact(size)).map(run));
        }
        let most = redo::most_values(size, false);
        self.with_room_for_notes(indices.len(), indices.len(), |writer| {
            for (indices, values) in indices.chunks(most).zip(bytes.chunks(most * size)) {
                writer.replace_noted(indices.iter().zip(values.chunks_exact(size)).map(run))?;
            }
            Ok(())
        })
    }

    /// Puts values in the place of others, from an index on each.
    #[inline]
    pub(in crate::storage) fn replace<'b>(
        &mut self,
        runs: impl Iterator<Item = (u64, &'b [u8])>,
    ) -> Result<()> {
        let (mut lowest, mut highest) = (u64::MAX, 0);
        for (index, values) in runs {
            let at = self.array.layout.offset(index);
            self.write(at, values)?;
            lowest = lowest.min(at);
            highest = highest.max(at + values.len() as u64);
        }
        self.wrote_between(lowest..highest);
        Ok(())
    }

    pub(in crate::storage) fn out_of_range(&self, index: impl std::fmt::Display) -> Error {
        Error::IndexOutOfRange {
            index: index.to_string(),
            path: self.array.path.to_string(),
            count: self.extent.count(),
        }
    }

    /// Overwrites whole values.
    #[inline]
    pub(in crate::storage) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.has_readers() {
            let from = self.array.layout.count_up_to(offset);
            let to = self.array.layout.count_up_to(offset + bytes.len() as u64);
            self.before_change(from, to);
        }
        let size = self.array.item().size();
        self.open
            .map()
            .overwrite(offset, bytes, size)
            .map_err(|fault| self.mark_lost(fault))
    }
}

impl Array {
    /// To be asked under the lock before each part of a long write: who cancels it and then takes the lock knows that
    /// nothing of it follows.
    pub(in crate::storage) fn not_cancelled(&self, cancel: &Cancel) -> Result<()> {
        if cancel.is_cancelled() {
            return Err(Error::Stopped {
                path: self.path.to_string(),
            });
        }
        Ok(())
    }

    /// Sets all values of a range of positions to one: those that are there when their turn comes. Between parts of a long
    /// range others have their turn, and `between` is done. `filled` counts the values that were set.
    ///
    /// # Errors
    /// If the array cannot be written to, it is cancelled, or as `between`; a long range may have been filled in part.
    pub(in crate::storage) fn fill(
        self: &Arc<Self>,
        positions: Range<u64>,
        value: &[u8],
        cancel: &Cancel,
        between: impl Fn() -> Result<()>,
        filled: &mut u64,
    ) -> Result<()> {
        let at_once = (FILLED_AT_ONCE / self.item_size())
            .max(1)
            .min(positions.end - positions.start);
        let block = value.repeat(at_once as usize);
        let mut next = positions.start;
        loop {
            // A page that has to come from the disk is not to come while others wait for the lock.
            let index = next.saturating_sub(self.head());
            self.warm_up(&(index..index + at_once));
            // Others see parts of a long range, and so does who finds it after a crash; of a value, no one does.
            let mut writer = if self.is_one_store(1) {
                self.writer()?
            } else {
                self.overwriter(1, at_once as usize)?
            };
            self.not_cancelled(cancel)?;
            let extent = writer.span();
            next = next.max(extent.head);
            let values = positions
                .end
                .min(extent.end())
                .saturating_sub(next)
                .min(at_once);
            if values == 0 {
                return Ok(());
            }
            let bytes = &block[..values as usize * value.len()];
            writer.set_from(next - extent.head, bytes)?;
            next += values;
            *filled += values;
            writer.unlock_fair();
            between()?;
        }
    }
}
