//! What can be set while the server runs. The Redis layer writes it, the storage layer reads it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::storage::system::limits;

/// Default and bounds of `mmap.max-slack`, in bytes.
pub const MAX_SLACK_DEFAULT: u64 = 1 << 30;
pub const MAX_SLACK_MIN: u64 = 64 * 1024;
pub const MAX_SLACK_MAX: u64 = 1 << 40;

/// Default of `mmap.max-dirty-bytes`.
pub const MAX_DIRTY_BYTES_DEFAULT: u64 = 256 << 20;

/// When appended values are written to disk: the `appendfsync` of this module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Fsync {
    /// Before the client gets its reply.
    Always,
    /// Once a second, by the worker.
    EverySecond,
    /// When the system sees fit; `VSYNC` still syncs.
    No,
}

/// Who waits for values that are not in RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColdReads {
    /// Their client.
    Async,
    /// The server.
    Inline,
}

/// Settings that take effect at once.
#[derive(Debug)]
pub struct Settings {
    fsync: AtomicU8,
    max_slack: AtomicU64,
    max_arrays: AtomicU64,
    max_file_bytes: AtomicU64,
    /// `u64::MAX` is no limit.
    max_dirty_bytes: AtomicU64,
    cold_inline: AtomicBool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fsync: AtomicU8::new(Fsync::EverySecond as u8),
            max_slack: AtomicU64::new(MAX_SLACK_DEFAULT),
            max_arrays: AtomicU64::new(0),
            max_file_bytes: AtomicU64::new(0),
            max_dirty_bytes: AtomicU64::new(MAX_DIRTY_BYTES_DEFAULT),
            cold_inline: AtomicBool::new(false),
        }
    }
}

impl Settings {
    pub fn fsync(&self) -> Fsync {
        match self.fsync.load(Ordering::Relaxed) {
            fsync if fsync == Fsync::Always as u8 => Fsync::Always,
            fsync if fsync == Fsync::No as u8 => Fsync::No,
            _ => Fsync::EverySecond,
        }
    }

    pub fn set_fsync(&self, fsync: Fsync) {
        self.fsync.store(fsync as u8, Ordering::Relaxed);
    }

    /// Who waits for values that are not in RAM.
    pub fn cold_reads(&self) -> ColdReads {
        if self.cold_inline.load(Ordering::Relaxed) {
            ColdReads::Inline
        } else {
            ColdReads::Async
        }
    }

    pub fn set_cold_reads(&self, cold_reads: ColdReads) {
        self.cold_inline
            .store(cold_reads == ColdReads::Inline, Ordering::Relaxed);
    }

    /// The most a file grows in one step, in bytes.
    pub fn max_slack(&self) -> u64 {
        self.max_slack.load(Ordering::Relaxed)
    }

    pub fn set_max_slack(&self, bytes: u64) {
        self.max_slack
            .store(bytes.clamp(MAX_SLACK_MIN, MAX_SLACK_MAX), Ordering::Relaxed);
    }

    /// How many bytes may wait for the disk before clients do.
    #[inline]
    pub fn max_dirty_bytes(&self) -> u64 {
        self.max_dirty_bytes.load(Ordering::Relaxed)
    }

    /// Sets the limit; 0 means none.
    pub fn set_max_dirty_bytes(&self, bytes: u64) {
        let limit = if bytes == 0 { u64::MAX } else { bytes };
        self.max_dirty_bytes.store(limit, Ordering::Relaxed);
    }

    /// How many files may be bound at once, if there is a limit.
    pub fn max_arrays(&self) -> Option<u64> {
        limit(&self.max_arrays)
    }

    /// Sets the limit; 0 means none.
    pub fn set_max_arrays(&self, count: u64) {
        self.max_arrays.store(count, Ordering::Relaxed);
    }

    /// Sets the limit to half of the files that the process may have open: the rest is for clients and saves.
    pub fn limit_arrays_by_open_files(&self) {
        self.set_max_arrays(limits::open_files().map_or(0, |files| files / 2));
    }

    /// How many bytes of values a file may hold, if there is a limit.
    #[inline]
    pub fn max_file_bytes(&self) -> Option<u64> {
        limit(&self.max_file_bytes)
    }

    /// Sets the limit; 0 means none.
    pub fn set_max_file_bytes(&self, bytes: u64) {
        self.max_file_bytes.store(bytes, Ordering::Relaxed);
    }
}

#[inline]
fn limit(setting: &AtomicU64) -> Option<u64> {
    Some(setting.load(Ordering::Relaxed)).filter(|&limit| limit != 0)
}
