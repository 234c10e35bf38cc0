//! Files of raw values as arrays. This layer knows files, memory and threads, and nothing of Redis.
//!
//! | file | what it is about |
//! |---|---|
//! | [`types`] | the types of values: text to bytes and back |
//! | [`path`], [`root`] | which file a path names, how it is opened and locked |
//! | [`registry`] | each file is open at most once |
//! | [`array`] | what commands do with an open file |
//! | [`edit`] | many values changed in place |
//! | [`head`], [`replacement`] | values removed at the head, by a new file in the place of the old |
//! | [`growth`] | space ahead of the values, and back to the exact length |
//! | [`record`] | what a file with such space says of itself |
//! | [`mark`] | what survives a power cut |
//! | [`layout`], [`npy`] | where in a file the values lie, and what is before them |
//! | [`recovery`] | what a file holds when it is opened |
//! | [`lost`] | files that others truncate |
//! | [`sync`] | how values reach the disk |
//! | [`mapping`] | a file in memory: all access to mapped memory |
//! | [`sigbus`] | what happens when mapped memory is not to be had |
//! | [`worker`] | the thread that does what commands must not wait for |
//! | [`tasks`] | the thread of writes that take as long as an array is large |

mod array;
mod budget;
mod clock;
mod edit;
mod error;
mod growth;
mod head;
mod layout;
mod lost;
mod mapping;
mod mark;
mod npy;
mod path;
mod record;
mod recovery;
mod registry;
mod replacement;
mod root;
pub mod settings;
mod shared;
mod sigbus;
mod stats;
mod sync;
mod tasks;
pub mod types;
mod worker;

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
pub use tasks::{Task, TaskDone};
pub use worker::Done;

use registry::Registry;
use settings::Settings;
use shared::Shared;
use tasks::{TaskThread, Tasks};
use types::ItemType;
use worker::Job;

/// All arrays below one directory, and the worker that serves them.
pub struct Store {
    root: Arc<Root>,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    tasks: Tasks,
    task_thread: TaskThread,
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
        let root = Arc::new(root);
        let tasks = Tasks::new(&root, &registry);
        let task_thread = TaskThread::start(tasks.clone())?;
        Ok(Self {
            root,
            shared,
            registry,
            tasks,
            task_thread,
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

    /// The type of the values of a `.npy` file, as its header says.
    ///
    /// # Errors
    /// If there is no such file, or it is none that could be bound.
    pub fn npy_item(&self, path: &FilePath) -> Result<ItemType> {
        self.registry.npy_item(&self.root, path)
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

    /// Carries out a write that may take long, here and now; says how many values were set or removed.
    ///
    /// # Errors
    /// If the array cannot be written to, or as the task's own.
    pub fn carry_out(&self, bound: &Bound, task: Task) -> Result<u64> {
        self.tasks.carry_out(&bound.array, task)
    }

    /// Has a write that may take long carried out, after those that came before.
    pub fn carry_out_in_background(&self, bound: &Bound, task: Task, done: TaskDone) {
        self.task_thread.send(&bound.array, task, done);
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
    /// The array, for work that may outlive the binding.
    pub fn share(&self) -> Arc<Array> {
        Arc::clone(&self.array)
    }

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
