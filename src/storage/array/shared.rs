//! What all arrays of a server share.

use std::sync::{Arc, OnceLock, Weak};

use crossbeam_channel::Sender;

use crate::storage::array::handle::Array;
use crate::storage::array::state::pace::Dirty;
use crate::storage::error::{Error, Result};
use crate::storage::memory::mapping::Mapping;
use crate::storage::memory::window::Windows;
use crate::storage::settings::Settings;
use crate::storage::stats::Stats;
use crate::storage::store::registry::Registry;
use crate::storage::store::worker::Job;

/// Settings, counters, windows into files, and the way to the worker.
pub struct Shared {
    pub(in crate::storage) settings: Settings,
    pub(in crate::storage) stats: Stats,
    pub(in crate::storage) dirty: Dirty,
    pub(in crate::storage) windows: Windows,
    jobs: Sender<Job>,
    /// The arrays that share all this.
    registry: OnceLock<Weak<Registry>>,
    /// The process that the threads are of.
    process: u32,
    death: OnceLock<String>,
}

impl Shared {
    pub(in crate::storage) fn new(jobs: Sender<Job>) -> Self {
        Self {
            settings: Settings::default(),
            stats: Stats::default(),
            dirty: Dirty::default(),
            windows: Windows::default(),
            jobs,
            registry: OnceLock::new(),
            process: std::process::id(),
            death: OnceLock::new(),
        }
    }

    /// Says which arrays share all this, once.
    pub(in crate::storage) fn set_registry(&self, registry: &Arc<Registry>) {
        let _ = self.registry.set(Arc::downgrade(registry));
    }

    /// All open arrays. No lock of one may be held.
    pub(in crate::storage) fn arrays(&self) -> Vec<Arc<Array>> {
        let registry = self.registry.get().and_then(Weak::upgrade);
        registry.map_or_else(Vec::new, |registry| registry.arrays())
    }

    /// Hands a job to the worker. Where it died, the job is dropped: writes are refused then anyway.
    pub(in crate::storage) fn send(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Whether more waits for the disk than `mmap.max-dirty-bytes`.
    #[inline]
    pub(in crate::storage) fn is_behind(&self) -> bool {
        self.dirty.is_too_much(&self.settings)
    }

    /// Has the worker let go of mappings: that takes long where much is mapped.
    pub(in crate::storage) fn unmap(&self, maps: Vec<Arc<Mapping>>) {
        for map in maps {
            self.send(Job::Unmap(map));
        }
    }

    /// Whether this is a forked child: it has none of the threads, and locks may be held in it for ever.
    pub(in crate::storage) fn is_child(&self) -> bool {
        std::process::id() != self.process
    }

    pub(in crate::storage) fn jobs_queued(&self) -> usize {
        self.jobs.len()
    }

    /// Notes that the worker is gone, and why.
    pub(in crate::storage) fn worker_died(&self, reason: String) {
        tracing::error!("the mmap worker thread died: {reason}; writes are refused from now on");
        self.stats
            .note_error(Error::WorkerDead(reason.clone()).to_string());
        let _ = self.death.set(reason);
    }

    /// # Errors
    /// [`Error::WorkerDead`]: nobody would sync or trim what is written now.
    #[inline]
    pub(in crate::storage) fn worker_alive(&self) -> Result<()> {
        match self.death.get() {
            None => Ok(()),
            Some(reason) => Err(Error::WorkerDead(reason.clone())),
        }
    }
}
