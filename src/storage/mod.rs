//! Files of raw values as arrays. This layer knows files, memory and threads, and nothing of Redis.
//!
//! | file | what it is about |
//! |---|---|
//! | [`types`] | the types of values: text to bytes and back |
//! | [`path`], [`root`] | which file a path names, how it is opened and locked |
//! | [`registry`] | each file is open at most once |
//! | [`array`] | what commands do with an open file |
//! | [`growth`] | space ahead of the values, and back to the exact length |
//! | [`record`] | what a file with such space says of itself |
//! | [`disk`] | the system calls by which all this reaches the disk |
//! | [`mark`] | what survives a power cut |
//! | [`recovery`] | what a file holds when it is opened |
//! | [`lost`] | files that others truncate |
//! | [`sync`] | how values reach the disk |
//! | [`mapping`] | a file in memory: all access to mapped memory |
//! | [`sigbus`] | what happens when mapped memory is not to be had |
//! | [`worker`] | the thread that does what commands must not wait for |

mod array;
mod budget;
mod clock;
mod disk;
mod error;
mod growth;
mod lost;
mod mapping;
mod mark;
mod path;
mod record;
mod recovery;
mod registry;
mod root;
pub mod settings;
mod shared;
mod sigbus;
mod stats;
mod sync;
pub mod types;
mod worker;

#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use array::{Array, View};
pub use error::{Error, Result};
pub use path::FilePath;
pub use root::{Access, FileId, Root};
pub use settings::Fsync;
pub use stats::{Stats, Totals};
pub use worker::Done;

use registry::Registry;
use settings::Settings;
use shared::Shared;
use types::ItemType;
use worker::Job;

/// All arrays below one directory, and the worker that serves them.
pub struct Store {
    root: Root,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    worker: Option<JoinHandle<()>>,
}

/// An array that is bound to a key. Dropping it unbinds; the file stays.
pub struct Bound {
    array: Arc<Array>,
    registry: Arc<Registry>,
}

impl Store {
    /// Starts the worker, and handles faults on mapped files from now on.
    ///
    /// # Errors
    /// The system's, if there can be no more threads.
    pub fn new(root: Root) -> io::Result<Self> {
        sigbus::install()?;
        let (sender, receiver) = crossbeam_channel::unbounded();
        let shared = Arc::new(Shared::new(sender));
        let registry = Arc::new(Registry::default());
        let worker = worker::start(receiver, Arc::clone(&shared), Arc::clone(&registry))?;
        Ok(Self {
            root,
            shared,
            registry,
            worker: Some(worker),
        })
    }

    /// The directory below which all files lie.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Binds a file; a missing one is created if it is to be writable and `create` says so.
    ///
    /// # Errors
    /// Whatever keeps the file from being an array of that type; then nothing is bound or created.
    pub fn bind(
        &self,
        path: &FilePath,
        item: ItemType,
        access: Access,
        create: bool,
    ) -> Result<Bound> {
        let array = self
            .registry
            .bind(&self.shared, &self.root, path, item, access, create)?;
        Ok(Bound {
            array,
            registry: Arc::clone(&self.registry),
        })
    }

    /// Looks afresh at the file of an array that was lost, for all keys that are bound to it.
    ///
    /// # Errors
    /// If it is not the same file any more, or cannot be opened as such an array.
    pub fn reopen(&self, bound: &Bound, path: &FilePath, access: Access) -> Result<()> {
        // The extra binding ends at once; what stays is the array, opened anew.
        self.bind(path, bound.item(), access, false).map(drop)
    }

    /// Which file a path names at this moment, if any.
    ///
    /// # Errors
    /// If it cannot be looked up or is no regular file.
    pub fn identify(&self, path: &FilePath) -> Result<Option<FileId>> {
        Ok(self.root.find(path)?.map(|found| found.id))
    }

    /// Handles faults on mapped files again, after others may have put their own handler in place.
    pub fn handle_faults_again(&self) {
        if let Err(error) = sigbus::install() {
            tracing::error!("cannot handle SIGBUS: {error}");
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Changes when values are synced; what was left to the system so far is synced in time.
    pub fn set_fsync(&self, fsync: Fsync) {
        self.shared.settings.set_fsync(fsync);
        if fsync != Fsync::No {
            for array in self.registry.arrays() {
                array.sync_in_time();
            }
        }
    }

    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Number of jobs that the worker has not begun yet.
    pub fn jobs_queued(&self) -> usize {
        self.shared.jobs_queued()
    }

    pub fn totals(&self) -> Totals {
        self.registry.totals()
    }

    /// Has the worker sync an array; with `exact` the file gets its exact length, too.
    pub fn sync_in_background(&self, bound: &Bound, exact: bool, done: Done) {
        self.shared.send(Job::Sync {
            array: Arc::clone(&bound.array),
            exact,
            done,
        });
    }

    /// Gives every file its exact length and syncs it, as the server is about to exit.
    pub fn settle_all(&self) {
        for array in self.registry.arrays() {
            if let Err(error) = array.settle() {
                tracing::error!("at shutdown: {error}");
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.send(Job::Stop);
        if let Some(worker) = self.worker.take() {
            // A worker that panicked has said so already.
            let _ = worker.join();
        }
    }
}

impl Bound {
    /// What a binding costs in memory, in bytes, whatever the length of the array.
    pub const fn memory_usage() -> usize {
        size_of::<Self>() + size_of::<Array>() + size_of::<mapping::Mapping>()
    }
}

impl Deref for Bound {
    type Target = Arc<Array>;

    fn deref(&self) -> &Arc<Array> {
        &self.array
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.registry.unbind(&self.array);
    }
}
