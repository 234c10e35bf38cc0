//! Counters of what the storage layer did since it started.

use std::sync::atomic::{AtomicU64, Ordering};

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters.
#[derive(Debug, Default)]
pub struct Stats {
    /// Growths that the worker finished before they were needed.
    pub growths_ahead: Counter,
    /// Growths that a command had to carry out itself.
    pub growths_inline: Counter,
    /// Commands that waited for a growth of the worker to end.
    pub growth_waits: Counter,
    /// Files cut back to their exact length.
    pub trims: Counter,
    /// Syncs that ended well.
    pub syncs: Counter,
    /// System calls on files that failed.
    pub errors: Counter,
}

/// What the arrays hold at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    pub arrays: u64,
    pub values: u64,
    /// Bytes of values.
    pub bytes_used: u64,
    /// Bytes of address space.
    pub bytes_mapped: u64,
    /// Bytes that files are longer than their values.
    pub slack_bytes: u64,
    /// Arrays whose writes are refused after a failed sync.
    pub arrays_refusing_writes: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.arrays += other.arrays;
        self.values += other.values;
        self.bytes_used += other.bytes_used;
        self.bytes_mapped += other.bytes_mapped;
        self.slack_bytes += other.slack_bytes;
        self.arrays_refusing_writes += other.arrays_refusing_writes;
    }
}
