//! How much may wait for the disk.
//!
//! Left to itself, the kernel lets changed pages pile up to a fifth of the RAM, and then stops any thread that changes another:
//! the main thread. So the bytes that arrays wrote and that are not on disk yet are counted. From half of
//! `mmap.max-dirty-bytes` on the worker syncs without waiting for its second; beyond all of it clients wait.
//!
//! **Invariant**: the bytes of all are the sum of those that each array has announced, and of the syncs under way. An array announces
//! its small writes together, as an addition that other threads see takes as long as a tenth of an append.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::settings::Settings;

/// Bytes of all arrays that wait for the disk.
#[derive(Default)]
pub(in crate::storage) struct Dirty(Arc<AtomicU64>);

/// What an array keeps to itself at most, in bytes.
const UNANNOUNCED: u64 = 4096;

/// How many of them belong to one array. Dropping it considers them written.
pub(in crate::storage) struct Share {
    all: Arc<AtomicU64>,
    announced: u64,
    /// Bytes that others do not know of yet.
    unannounced: u64,
}

impl Dirty {
    /// The share of an array that wrote nothing yet.
    pub fn share(&self) -> Share {
        Share {
            all: Arc::clone(&self.0),
            announced: 0,
            unannounced: 0,
        }
    }

    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the worker is to sync now.
    #[inline]
    pub fn should_sync(&self, settings: &Settings) -> bool {
        self.bytes() > settings.max_dirty_bytes() / 2
    }

    /// Whether no more should be written.
    #[inline]
    pub fn must_wait(&self, settings: &Settings) -> bool {
        self.bytes() > settings.max_dirty_bytes()
    }
}

impl Share {
    /// Counts bytes that were written; whether that made it much.
    #[inline]
    pub fn add(&mut self, bytes: u64, settings: &Settings) -> bool {
        self.unannounced += bytes;
        let much = settings.max_dirty_bytes() / 2;
        // Where little may wait, each byte counts.
        if self.unannounced < UNANNOUNCED.min(much / 64) {
            return false;
        }
        self.announce(much)
    }

    #[inline(never)]
    fn announce(&mut self, much: u64) -> bool {
        let bytes = std::mem::take(&mut self.unannounced);
        self.announced += bytes;
        let before = self.all.fetch_add(bytes, Ordering::Relaxed);
        before <= much && before + bytes > much
    }

    /// Counts what another array had counted, too.
    pub fn join(&mut self, mut other: Self) {
        self.announced += std::mem::take(&mut other.announced);
        self.unannounced += std::mem::take(&mut other.unannounced);
    }

    /// What was counted so far, to be dropped once it is on disk.
    pub fn take(&mut self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            announced: std::mem::take(&mut self.announced),
            // It is on its way to the disk, and need not be announced any more.
            unannounced: std::mem::take(&mut self.unannounced),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.announced, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_arrays_wrote_is_counted_until_it_is_dropped() {
        let (dirty, settings) = (Dirty::default(), Settings::default());
        settings.set_max_dirty_bytes(100);
        let (mut one, mut other) = (dirty.share(), dirty.share());
        assert!(!one.add(50, &settings));
        assert!(!dirty.should_sync(&settings));
        assert!(other.add(1, &settings), "it became much");
        assert!(!other.add(49, &settings), "it was much before");
        assert!(dirty.should_sync(&settings) && !dirty.must_wait(&settings));
        let synced = other.take();
        other.add(1, &settings);
        assert!(dirty.must_wait(&settings));
        drop(synced);
        assert_eq!(dirty.bytes(), 51);
        drop((one, other));
        assert_eq!(dirty.bytes(), 0);
    }

    #[test]
    fn small_writes_are_announced_together_where_much_may_wait() {
        let (dirty, settings) = (Dirty::default(), Settings::default());
        let mut share = dirty.share();
        for _ in 0..UNANNOUNCED / 8 - 1 {
            share.add(8, &settings);
        }
        assert_eq!(dirty.bytes(), 0);
        share.add(8, &settings);
        assert_eq!(dirty.bytes(), UNANNOUNCED);
        share.add(8, &settings);
        let synced = share.take();
        assert_eq!(dirty.bytes(), UNANNOUNCED);
        drop(synced);
        assert_eq!(dirty.bytes(), 0);
    }

    #[test]
    fn without_a_limit_nothing_should_sync() {
        let (dirty, settings) = (Dirty::default(), Settings::default());
        settings.set_max_dirty_bytes(0);
        assert!(!dirty.share().add(u64::MAX / 4, &settings));
        assert!(!dirty.should_sync(&settings));
    }
}
