//! How an array is going to be read, as the kernel is told.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::array::handle::Array;
use crate::storage::memory::pattern::Pattern;

impl Array {
    /// Says in which order values are going to be read, until the next advice or until the file is closed.
    pub fn advise(self: &Arc<Self>, pattern: Pattern) {
        self.lock().open.advise(pattern);
    }
}

/// So many ranges of one array are brought in at the same time; more are not worth their while.
const MOST_RANGES: usize = 8;

/// The ranges that are being brought in ahead of need, by the address of their array. Whoever asks for one of them again, or
/// for many, gets nothing by that.
#[derive(Default)]
pub(in crate::storage) struct Advised(Arc<Mutex<HashMap<usize, Vec<Range<u64>>>>>);

/// The place of a range among those, until it is dropped.
pub(in crate::storage) struct AdvisedRange {
    all: Arc<Mutex<HashMap<usize, Vec<Range<u64>>>>>,
    array: Arc<Array>,
    range: Range<u64>,
}

impl Advised {
    /// A place for a range; `None` if it is there already, or there are too many.
    pub fn begin(&self, array: &Arc<Array>, range: &Range<u64>) -> Option<AdvisedRange> {
        let mut all = self.0.lock();
        let ranges = all.entry(Arc::as_ptr(array).addr()).or_default();
        let is_within = |other: &Range<u64>| other.start <= range.start && range.end <= other.end;
        if ranges.len() >= MOST_RANGES || ranges.iter().any(is_within) {
            return None;
        }
        ranges.push(range.clone());
        Some(AdvisedRange {
            all: Arc::clone(&self.0),
            array: Arc::clone(array),
            range: range.clone(),
        })
    }
}

impl Drop for AdvisedRange {
    fn drop(&mut self) {
        let address = Arc::as_ptr(&self.array).addr();
        let mut all = self.all.lock();
        if let Some(ranges) = all.get_mut(&address) {
            if let Some(own) = ranges.iter().position(|range| *range == self.range) {
                ranges.swap_remove(own);
            }
            if ranges.is_empty() {
                all.remove(&address);
            }
        }
    }
}
