//! Changing values in place, many at once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::array::Array;
use super::error::{Error, Result};
use super::pool::Cancel;

/// How much of a range is filled before others have their turn, in bytes.
const FILLED_AT_ONCE: u64 = 1 << 20;

impl Array {
    /// Overwrites the values from `index` on with encoded ones.
    ///
    /// # Errors
    /// If the array cannot be written to, or they reach beyond its last value; then nothing was set.
    pub fn set_from(self: &Arc<Self>, index: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.lock_for_writing()?;
        let values = bytes.len() as u64 / self.item_size();
        if index
            .checked_add(values)
            .is_none_or(|end| end > state.count)
        {
            let last = index.saturating_add(values).saturating_sub(1);
            return Err(self.out_of_range(&state, last));
        }
        let at = self.layout.offset(index);
        self.write(&mut state, at, bytes)?;
        self.wrote_between(&mut state, at..at + bytes.len() as u64);
        Ok(())
    }

    /// Changes values in place: `change` gets the position in `indices` and the value's bytes. An index may come
    /// more than once. Returns the new values, one for each index.
    ///
    /// # Errors
    /// If the array cannot be written to, an index is out of range, or as `change`; then nothing was set.
    pub fn update<E: From<Error>>(
        self: &Arc<Self>,
        indices: &[u64],
        mut change: impl FnMut(usize, &mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Vec<u8>, E> {
        let mut state = self.lock_for_writing()?;
        let size = self.item().size();
        let mut values = vec![0; indices.len() * size];
        let mut seen = HashMap::with_capacity(indices.len());
        for (position, &index) in indices.iter().enumerate() {
            if index >= state.count {
                return Err(self.out_of_range(&state, index).into());
            }
            let (before, rest) = values.split_at_mut(position * size);
            let value = &mut rest[..size];
            match seen.insert(index, position) {
                Some(earlier) => value.copy_from_slice(&before[earlier * size..][..size]),
                None => state
                    .map
                    .read(self.layout.offset(index), value)
                    .map_err(|fault| self.lose(&mut state, fault))?,
            }
            change(position, value)?;
        }
        self.store_at(&mut state, indices, &values)?;
        Ok(values)
    }

    /// To be asked under the lock before each part of a long write: who cancels it and then takes the lock knows that
    /// nothing of it follows.
    pub(super) fn not_cancelled(&self, cancel: &Cancel) -> Result<()> {
        if cancel.is_cancelled() {
            return Err(Error::Stopped {
                path: self.path.to_string(),
            });
        }
        Ok(())
    }

    /// Sets all values of a range to one, and says how many: those that are there when their turn comes. Between
    /// parts of a long range others have their turn, and `between` is done.
    ///
    /// # Errors
    /// If the array cannot be written to, it is cancelled, or as `between`; a long range may have been filled in part.
    pub(super) fn fill(
        self: &Arc<Self>,
        range: Range<u64>,
        value: &[u8],
        cancel: &Cancel,
        between: impl Fn() -> Result<()>,
    ) -> Result<u64> {
        let size = self.item_size();
        let at_once = (FILLED_AT_ONCE / size).max(1).min(range.end - range.start);
        let block = value.repeat(at_once as usize);
        let mut index = range.start;
        loop {
            // A page that has to come from the disk is not to come while others wait for the lock.
            self.warm_up(&(index..range.end.min(index + at_once)));
            let mut state = self.lock_for_writing()?;
            self.not_cancelled(cancel)?;
            let values = range
                .end
                .min(state.count)
                .saturating_sub(index)
                .min(at_once);
            if values == 0 {
                return Ok(index - range.start);
            }
            let at = self.layout.offset(index);
            let bytes = &block[..(values * size) as usize];
            self.write(&mut state, at, bytes)?;
            self.wrote_between(&mut state, at..at + bytes.len() as u64);
            index += values;
            MutexGuard::unlock_fair(state);
            between()?;
        }
    }
}
