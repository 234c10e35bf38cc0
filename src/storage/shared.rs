//! What all arrays of a server share.

use std::sync::{Arc, OnceLock, Weak};

use crossbeam_channel::Sender;

use super::array::Array;
use super::error::{Error, Result};
use super::mapping::Mapping;
use super::pace::Dirty;
use super::registry::Registry;
use super::settings::Settings;
use super::stats::Stats;
use super::window::Windows;
use super::worker::Job;

/// Settings, counters, windows into files, and the way to the worker.
pub struct Shared {
    pub(super) settings: Settings,
    pub(super) stats: Stats,
    pub(super) dirty: Dirty,
    pub(super) windows: Windows,
    jobs: Sender<Job>,
    /// The arrays that share all this.
    registry: OnceLock<Weak<Registry>>,
    /// The process that the threads are of.
    process: u32,
    death: OnceLock<String>,
}

impl Shared {
    pub(super) fn new(jobs: Sender<Job>) -> Self {
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
    pub(super) fn set_registry(&self, registry: &Arc<Registry>) {
        let _ = self.registry.set(Arc::downgrade(registry));
    }

    /// All open arrays. No lock of one may be held.
    pub(super) fn arrays(&self) -> Vec<Arc<Array>> {
        let registry = self.registry.get().and_then(Weak::upgrade);
        registry.map_or_else(Vec::new, |registry| registry.arrays())
    }

    /// Hands a job to the worker. Where it died, the job is dropped: writes are refused then anyway.
    pub(super) fn send(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Whether more waits for the disk than `mmap.max-dirty-bytes`.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.dirty.is_too_much(&self.settings)
    }

    /// Has the worker let go of mappings: that takes long where much is mapped.
    pub(super) fn unmap(&self, maps: Vec<Arc<Mapping>>) {
        for map in maps {
            self.send(Job::Unmap(map));
        }
    }

    /// Whether this is a forked child: it has none of the threads, and locks may be held in it for ever.
    pub(super) fn is_child(&self) -> bool {
        std::process::id() != self.process
    }

    pub(super) fn jobs_queued(&self) -> usize {
        self.jobs.len()
    }

    /// Notes that the worker is gone, and why.
    pub(super) fn worker_died(&self, reason: String) {
        tracing::error!("the mmap worker thread died: {reason}; writes are refused from now on");
        self.stats
            .note_error(Error::WorkerDead(reason.clone()).to_string());
        let _ = self.death.set(reason);
    }

    /// # Errors
    /// [`Error::WorkerDead`]: nobody would sync or trim what is written now.
    #[inline]
    pub(super) fn worker_alive(&self) -> Result<()> {
        match self.death.get() {
            None => Ok(()),
            Some(reason) => Err(Error::WorkerDead(reason.clone())),
        }
    }
}
