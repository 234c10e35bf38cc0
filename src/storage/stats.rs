//! Counters of what the storage layer did since it started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::storage::lock_order::{OfMessage, Ordered};

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long one kind of work takes, in microseconds.
#[derive(Debug, Default)]
pub struct Latency {
    total: AtomicU64,
    last: AtomicU64,
    max: AtomicU64,
    unreported: AtomicU64,
}

impl Latency {
    /// Notes work that ends now.
    pub(in crate::storage) fn record_since(&self, start: Instant) {
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.total.fetch_add(micros, Ordering::Relaxed);
        self.last.store(micros, Ordering::Relaxed);
        self.max.fetch_max(micros, Ordering::Relaxed);
        self.unreported.fetch_max(micros, Ordering::Relaxed);
    }

    /// All of it since the start.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The latest.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// The longest since the start.
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// The longest since this was asked last; 0 if there was none.
    pub fn take_longest(&self) -> u64 {
        self.unreported.swap(0, Ordering::Relaxed)
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
    /// Writes whose client waited, as too much waited for the disk.
    pub paced_writes: Counter,
    /// Syncs that ended well.
    pub syncs: Counter,
    /// Syncs that failed.
    pub sync_errors: Counter,
    /// Scans on the pool that gave an answer, that began again because too much was changed, and that were cancelled
    /// because their client was gone.
    pub scans: Counter,
    pub scans_repeated: Counter,
    pub scans_cancelled: Counter,
    /// Commands that found values not in RAM, and those of them whose client waited for them.
    pub cold_reads: Counter,
    pub cold_waits: Counter,
    /// Page faults for which the main thread waited for a disk.
    pub cold_faults: Counter,
    /// System calls on files that failed, and files that others changed.
    pub errors: Counter,
    /// Syncs, by the worker or by commands.
    pub sync_time: Latency,
    /// Growths of the worker.
    pub growth_time: Latency,
    /// Trims of the worker.
    pub trim_time: Latency,
    /// Bringing in values for commands.
    pub cold_time: Latency,
    /// Commands that grew a file themselves or waited for the worker to do so.
    pub wait_time: Latency,
    last_error: Ordered<OfMessage, String>,
}

impl Stats {
    /// Counts an error and remembers its text.
    pub(in crate::storage) fn note_error(&self, text: String) {
        self.errors.add_one();
        *self.last_error.lock() = text;
    }

    /// The text of the latest error; empty if there was none.
    pub fn last_error(&self) -> String {
        self.last_error.lock().clone()
    }
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
    /// Arrays of which something is not on disk yet.
    pub unsynced: u64,
    /// Arrays that refuse writes after a failed sync.
    pub refused: u64,
    /// Arrays whose file was changed behind our back.
    pub lost: u64,
    /// Arrays whose file is not found by its name any more.
    pub unlinked: u64,
    /// Arrays that lack values, on their way or not.
    pub incomplete: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.arrays += other.arrays;
        self.values += other.values;
        self.bytes_used += other.bytes_used;
        self.bytes_mapped += other.bytes_mapped;
        self.slack_bytes += other.slack_bytes;
        self.unsynced += other.unsynced;
        self.refused += other.refused;
        self.lost += other.lost;
        self.unlinked += other.unlinked;
        self.incomplete += other.incomplete;
    }
}
