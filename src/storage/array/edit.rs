//! Changing values in place, many at once.

use std::ops::Range;
use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::error::{Error, Result};
use crate::storage::threads::pool::Cancel;

/// How much of a range is filled before others have their turn, in bytes.
const FILLED_AT_ONCE: u64 = 1 << 20;

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
            let mut writer = self.writer()?;
            self.not_cancelled(cancel)?;
            let extent = writer.extent();
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
            writer.overwrite(next - extent.head, bytes)?;
            next += values;
            *filled += values;
            writer.state.unlock_fair();
            between()?;
        }
    }
}
