//! How much may wait for the disk.
//!
//! Left to itself, the kernel lets changed pages pile up to a fifth of the RAM, and then stops any thread that changes another:
//! the main thread. So the bytes that arrays wrote and that are not on disk yet are counted. From half of
//! `mmap.max-dirty-bytes` on the worker syncs without waiting for its second; beyond all of it clients wait.
//!
//! **Invariant**: the bytes of all are the sum of those of each array, and of the syncs under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::settings::Settings;

/// Bytes of all arrays that wait for the disk.
#[derive(Default)]
pub(in crate::storage) struct Dirty(Arc<AtomicU64>);

/// How many of them belong to one array. Dropping it considers them written.
pub(in crate::storage) struct Share {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Dirty {
    /// The share of an array that wrote nothing yet.
    pub fn share(&self) -> Share {
        Share {
            all: Arc::clone(&self.0),
            bytes: 0,
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
        self.bytes += bytes;
        let before = self.all.fetch_add(bytes, Ordering::Relaxed);
        let much = settings.max_dirty_bytes() / 2;
        before <= much && before + bytes > much
    }

    /// What was counted so far, to be dropped once it is on disk.
    pub fn take(&mut self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            bytes: std::mem::take(&mut self.bytes),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
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
    fn without_a_limit_nothing_should_sync() {
        let (dirty, settings) = (Dirty::default(), Settings::default());
        settings.set_max_dirty_bytes(0);
        assert!(!dirty.share().add(u64::MAX / 4, &settings));
        assert!(!dirty.should_sync(&settings));
    }
}
