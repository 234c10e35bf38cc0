//! Old values for those who read an array for longer than commands may wait: `scan/snapshot.rs` says how.
//!
//! **Invariant**: a reader that sees a new value of a snapshot in the file finds the old one here, or finds the snapshot broken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use crate::storage::lock_order::{OfLog, Ordered};
use crate::storage::memory::mapping::Mapping;

/// Most values of one write that are kept for a snapshot: more would cost the writer milliseconds.
const MOST_VALUES: u64 = 4096;
/// Most memory that a snapshot keeps, in bytes, and what one value costs beside its own size.
const MOST_BYTES: usize = 64 << 20;
const BYTES_PER_VALUE: usize = 64;

/// What was changed since a snapshot was taken.
#[derive(Debug)]
pub(in crate::storage) struct UndoLog {
    item_size: u64,
    /// Where the first value begins in the file, in bytes.
    data_at: u64,
    /// Number of values at the time of the snapshot.
    count: u64,
    /// The old values by index. The first that is kept of an index is the one of the snapshot.
    old: Ordered<OfLog, BTreeMap<u64, Box<[u8]>>>,
    /// Whether there are any, so that a reader need not look.
    changed: AtomicBool,
    /// The least number of values that the array had since: the file has what is before, `old` what is after.
    intact: AtomicU64,
    /// Too much was changed.
    broken: AtomicBool,
    /// The file is not this array's any more.
    closed: AtomicBool,
}

impl UndoLog {
    /// Of `count` values of `item_size` bytes that begin at `data_at` in the file.
    pub fn new(item_size: u64, data_at: u64, count: u64) -> Self {
        Self {
            item_size,
            data_at,
            count,
            old: Ordered::default(),
            changed: AtomicBool::new(false),
            intact: AtomicU64::new(count),
            broken: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Number of values at the time of the snapshot.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn item_size(&self) -> u64 {
        self.item_size
    }

    /// The least number of values that the array had since.
    pub fn intact(&self) -> u64 {
        self.intact.load(Ordering::Acquire)
    }

    /// Whether the file is not this array's any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn break_off(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Where the value at an index begins in the file, in bytes.
    pub fn offset(&self, index: u64) -> u64 {
        self.data_at + index * self.item_size
    }

    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Keeps the values from index `from` to `to`, which are about to change.
    fn keep(&self, map: &Mapping, from: u64, to: u64) {
        // What is after these was kept when the array was cut, and is not in the file any more.
        let to = to.min(self.intact());
        if from >= to || self.is_broken() {
            return;
        }
        let size = self.item_size as usize;
        let mut old = self.old.lock();
        let bytes = (old.len() + (to - from) as usize).saturating_mul(size + BYTES_PER_VALUE);
        let mut item = vec![0; size];
        if to - from > MOST_VALUES || bytes > MOST_BYTES {
            return self.break_off();
        }
        for index in from..to {
            if map.read(self.offset(index), &mut item).is_err() {
                return self.break_off();
            }
            old.entry(index).or_insert_with(|| item.as_slice().into());
        }
        self.changed.store(true, Ordering::Release);
    }

    /// Lays the old values over those that were read from index `from` on.
    pub fn restore(&self, from: u64, out: &mut [u8]) {
        if !self.changed.load(Ordering::Acquire) {
            return;
        }
        let size = self.item_size as usize;
        let to = from + (out.len() / size) as u64;
        for (index, item) in self.old.lock().range(from..to) {
            let at = (index - from) as usize * size;
            out[at..at + size].copy_from_slice(item);
        }
    }
}

/// The snapshots of one array that are being read.
#[derive(Debug, Default)]
pub(in crate::storage) struct Snapshots {
    undos: Vec<Arc<UndoLog>>,
    /// Whether the write that is being carried out has told us what it changes.
    announced: bool,
}

impl Snapshots {
    /// One more is read.
    pub fn add(&mut self, undo: &Arc<UndoLog>) {
        self.undos.push(Arc::clone(undo));
    }

    /// One is not read any more.
    pub fn remove(&mut self, undo: &Arc<UndoLog>) {
        self.undos.retain(|other| !Arc::ptr_eq(other, undo));
    }

    /// To be called when the file is about to be closed: none is read any more.
    pub fn close(&mut self) {
        for undo in self.undos.drain(..) {
            undo.closed.store(true, Ordering::SeqCst);
        }
    }

    /// Whether no long read is under way.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.undos.is_empty()
    }

    /// How many are being read.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.undos.len()
    }

    /// To be called before the values from index `from` to `to` are overwritten or removed.
    #[inline]
    pub fn before_change(&mut self, map: &Mapping, from: u64, to: u64) {
        if !self.undos.is_empty() {
            self.keep(map, from, to);
        }
    }

    #[cold]
    fn keep(&mut self, map: &Mapping, from: u64, to: u64) {
        for undo in &self.undos {
            undo.keep(map, from, to);
        }
        self.announced = true;
        // A reader that sees a new value must also see that the old one was kept.
        fence(Ordering::SeqCst);
    }

    /// To be called before the array is cut to `count` values.
    pub fn before_cut(&mut self, map: &Mapping, count: u64) {
        self.before_change(map, count, u64::MAX);
        for undo in &self.undos {
            undo.intact.fetch_min(count, Ordering::AcqRel);
        }
        fence(Ordering::SeqCst);
    }

    /// To be called when the file is another from now on.
    pub fn break_off(&mut self) {
        for undo in &self.undos {
            undo.break_off();
        }
    }

    /// To be called after every write, with the first byte that was written: one that did not tell before what it
    /// changes breaks the snapshots that had these values.
    #[inline]
    pub fn after_write(&mut self, from: u64) {
        if !self.undos.is_empty() {
            self.check(from);
        }
    }

    #[cold]
    fn check(&mut self, from: u64) {
        if std::mem::take(&mut self.announced) {
            return;
        }
        for undo in &self.undos {
            if from < undo.offset(undo.intact()) {
                undo.break_off();
            }
        }
    }
}
