//! What all arrays of a server share.

use std::sync::OnceLock;

use crate::storage::array::shortest::Shortest;
use crate::storage::array::state::pace::Dirty;
use crate::storage::error::{Error, Result};
use crate::storage::memory::window::Windows;
use crate::storage::settings::Settings;
use crate::storage::stats::Stats;

/// Settings, counters, windows into files, and whether the worker lives.
pub struct Shared {
    pub(in crate::storage) settings: Settings,
    pub(in crate::storage) stats: Stats,
    pub(in crate::storage) dirty: Dirty,
    pub(in crate::storage) windows: Windows,
    pub(in crate::storage) shortest: Shortest,
    /// The process that the threads are of.
    process: u32,
    death: OnceLock<String>,
}

impl Shared {
    pub(in crate::storage) fn new() -> Self {
        Self {
            settings: Settings::default(),
            stats: Stats::default(),
            dirty: Dirty::default(),
            windows: Windows::default(),
            shortest: Shortest::new(),
            process: std::process::id(),
            death: OnceLock::new(),
        }
    }

    /// Whether more waits for the disk than `mmap.max-dirty-bytes`.
    #[inline]
    pub(in crate::storage) fn is_behind(&self) -> bool {
        self.dirty.must_wait(&self.settings)
    }

    /// Whether this is a forked child: it has none of the threads, and locks may be held in it for ever.
    pub(in crate::storage) fn is_child(&self) -> bool {
        std::process::id() != self.process
    }

    /// Notes that the worker is gone, and why.
    pub(in crate::storage) fn worker_died(&self, reason: String) {
        tracing::error!("the mmap worker thread died: {reason}; writes are refused from now on");
        self.stats
            .note_error(Error::WorkerDead(reason.clone()).to_string());
        let _ = self.death.set(reason);
    }

    /// # Errors
    /// [`Error::WorkerDead`]: no thread would sync or trim what is written now.
    #[inline]
    pub(in crate::storage) fn worker_alive(&self) -> Result<()> {
        match self.death.get() {
            None => Ok(()),
            Some(reason) => Err(Error::WorkerDead(reason.clone())),
        }
    }
}
