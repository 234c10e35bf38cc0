//! Files of raw values as arrays. This layer knows files, memory and threads, and nothing of Redis.
//!
//! | folder | what lives there |
//! |---|---|
//! | [`types`] | values: text to bytes and back |
//! | [`threads`] | the pool, and how long work is cancelled |
//! | [`files`] | paths, the root, opening and locking, unnamed and replacement files, the system calls |
//! | [`format`] | the bytes on disk: record, mark, layout, `.npy`, recovery |
//! | [`memory`] | mappings, the guard against SIGBUS, windows, what is in RAM |
//! | [`array`] | one file as an array: its lock, append, edit, growth, sync, status |
//! | [`scan`] | going over many values, here and now or on the pool |
//! | [`questions`] | aggregates, comparisons, search |
//! | [`cold`] | values that are not in RAM, and who waits for them |
//! | [`store`] | all arrays: registry, worker, long writes, the head, import |
//!
//! A folder uses those above it in this table; `.ci/layers` looks after that. Beside them: [`primitives`] (mutexes and condition
//! variables), [`system`] (which system calls are refused here), [`settings`], [`stats`], [`error`].

pub mod array;
mod clock;
pub mod cold;
mod error;
pub mod files;
pub mod format;
pub mod memory;
mod primitives;
pub mod questions;
pub mod scan;
pub mod settings;
mod stats;
pub mod store;
pub mod system;
pub mod threads;
pub mod types;

#[cfg(all(test, shuttle))]
mod interleavings;
#[cfg(test)]
mod model;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
#[allow(dead_code, reason = "the integration tests use the rest")]
#[path = "../../tests/support/random.rs"]
mod random;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waits;

use std::io;
use std::mem::MaybeUninit;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

pub use crate::storage::array::handle::{Array, View};
pub use crate::storage::array::head::check as check_head;
pub use crate::storage::array::moment::Moment;
pub use crate::storage::array::peers::Completeness;
pub use crate::storage::array::status::{State as ArrayState, Status};
pub use crate::storage::array::writer::{Extent, Writer};
pub use crate::storage::files::path::FilePath;
pub use crate::storage::files::reserved::Reserved;
pub use crate::storage::files::root::{Above, Access, FileId, Root, Undo, real_path};
pub use crate::storage::store::import::{Former, Import, MayBecome};
pub use crate::storage::store::tasks::{MayGo, Task, TaskDone, TaskEnd};
pub use crate::storage::store::worker::Done;
pub use error::{Error, Result};
pub use settings::Fsync;
pub use stats::{Latency, Stats, Totals};

use crate::storage::array::advice::Advised;
use crate::storage::array::shared::Shared;
use crate::storage::cold::touched::{BringIn, Cold, DropPages, Touched};
use crate::storage::scan::background::{Query, Request};
use crate::storage::store::filling::Fillings;
use crate::storage::store::registry::Registry;
use crate::storage::store::tasks::{TaskThreads, Tasks};
use crate::storage::store::worker::Job;
pub use crate::storage::threads::pool::Cancel;
use crate::storage::threads::pool::Pool;
use settings::Settings;
use types::ItemType;

/// All arrays below one directory, and the worker that serves them.
pub struct Store {
    root: Arc<Root>,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    fillings: Fillings,
    tasks: Tasks,
    task_threads: TaskThreads,
    worker: Option<JoinHandle<()>>,
    pool: Pool,
    readers: Pool,
    advised: Advised,
    /// Page faults of the main thread that were noticed so far.
    faults: AtomicU64,
}

/// Threads that wait for the disk. They do little else, so a few more than a small machine has CPUs.
const READERS: usize = 8;

/// An array that is bound to a key. Dropping it unbinds; the file stays.
pub struct Bound {
    array: Arc<Array>,
    registry: Arc<Registry>,
    access: Access,
}

impl Store {
    /// Starts the worker and a pool of `threads`, and handles faults on mapped files from now on.
    ///
    /// # Errors
    /// The system's, if there can be no more threads.
    pub fn new(root: Root, threads: usize) -> io::Result<Self> {
        crate::storage::memory::guard::install()?;
        crate::storage::files::limits::survive_file_size_limit()?;
        let (sender, receiver) = crossbeam_channel::unbounded();
        let shared = Arc::new(Shared::new(sender));
        let registry = Arc::new(Registry::default());
        shared.set_registry(&registry);
        let root = Arc::new(root);
        let tasks = Tasks::new(&root, &registry);
        let task_threads = TaskThreads::start(tasks.clone())?;
        let rest = {
            let shared = Arc::clone(&shared);
            move || shared.unmap(shared.windows.take_unused())
        };
        let give_way = crate::storage::threads::pool::give_way;
        let pool = Pool::new("pool", threads, give_way, rest)?;
        let readers = Pool::new("read", READERS, || (), || ())?;
        // The last: the others end when they are dropped, it only when it is told.
        let worker = crate::storage::store::worker::start(
            receiver,
            Arc::clone(&shared),
            Arc::clone(&registry),
            Arc::clone(&root),
        )?;
        Ok(Self {
            root,
            shared,
            registry,
            fillings: Fillings::default(),
            tasks,
            task_threads,
            worker: Some(worker),
            pool,
            readers,
            advised: Advised::default(),
            faults: AtomicU64::new(major_faults()),
        })
    }

    /// The directory below which all files lie.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Tells this server from others, whenever it runs: its directory's inode and time of birth.
    pub fn identity(&self) -> [u8; 16] {
        self.root.identity().unwrap_or_default()
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
        if let Some(bound) = self.bind_filling(path, item, access)? {
            return Ok(bound);
        }
        let array = self
            .registry
            .bind(&self.shared, &self.root, path, item, access, create)?;
        Ok(Bound {
            array,
            registry: Arc::clone(&self.registry),
            access,
        })
    }

    /// Opens a file that is bound read-only for writing, without a key that may write: it stays so until its last key, or
    /// the last that may write, is gone.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn make_writable(&self, path: &FilePath, item: ItemType) -> Result<()> {
        let mut bound = self.bind(path, item, Access::Writable, false)?;
        self.registry.count_as_reader(&bound.array);
        bound.access = Access::ReadOnly;
        Ok(())
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

    /// The array of the file at `path`, if it is bound to a key. Unlike a binding, holding it keeps nothing open.
    ///
    /// # Errors
    /// If the path cannot be looked up.
    pub fn find(&self, path: &FilePath) -> Result<Option<Arc<Array>>> {
        let found = self.root.find(path)?;
        Ok(found.and_then(|found| self.registry.find(found.id)))
    }

    /// Whether a key is bound to an array, and not to another one of the same file.
    pub fn is_bound(&self, array: &Arc<Array>) -> bool {
        self.registry.bindings_of(array) > 0
    }

    /// All arrays that are open.
    pub fn arrays(&self) -> Vec<Arc<Array>> {
        self.registry.arrays()
    }

    /// Whether one more file may be bound. A file that is bound already counts once.
    ///
    /// # Errors
    /// If there are as many as [`Settings::max_arrays`] allows, or the file cannot be looked up.
    pub fn has_room_for(&self, path: &FilePath) -> Result<()> {
        let Some(limit) = self.settings().max_arrays() else {
            return Ok(());
        };
        let bound = self.registry.bound();
        let is_bound = |id: FileId| self.registry.is_bound(id);
        if bound < limit || self.identify(path)?.is_some_and(is_bound) {
            return Ok(());
        }
        Err(Error::TooManyArrays {
            path: path.to_string(),
            limit,
            bound,
        })
    }

    /// How many bytes there is room for where the files are; `None` if the system does not say.
    pub fn free_bytes(&self) -> Option<u64> {
        self.root.free_bytes().ok()
    }

    /// Whether the worker lives; where it died, writes are refused.
    pub fn worker_is_alive(&self) -> bool {
        self.shared.worker_alive().is_ok()
    }

    /// Which file a path names at this moment, if any.
    ///
    /// # Errors
    /// If it cannot be looked up or is no regular file.
    pub fn identify(&self, path: &FilePath) -> Result<Option<FileId>> {
        Ok(self.root.find(path)?.map(|found| found.id))
    }

    /// Whether a path names a file that another server has told of, by its [`Array::identity`], at this moment.
    pub fn is_that_file(&self, path: &FilePath, identity: &[u8]) -> bool {
        matches!(self.root.find(path), Ok(Some(found)) if found.is(identity))
    }

    /// Handles faults on mapped files again, after others may have put their own handler in place.
    pub fn handle_faults_again(&self) {
        if let Err(error) = crate::storage::memory::guard::install() {
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

    /// Bytes that were written and are not on disk yet.
    pub fn dirty_bytes(&self) -> u64 {
        self.shared.dirty.bytes()
    }

    /// Whether these are more than `mmap.max-dirty-bytes`.
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.shared.is_behind()
    }

    /// Number of jobs that the worker has not begun yet.
    pub fn jobs_queued(&self) -> usize {
        self.shared.jobs_queued()
    }

    pub fn totals(&self) -> Totals {
        self.registry.totals()
    }

    /// The threads for long work.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Goes over the values of an array on the pool. `range` is asked for the range once their number is known, and
    /// `query` for a query, both anew for each attempt; `done` is called on one of the pool's threads with an answer
    /// that is right for one moment after now. It is dropped uncalled if the scan is cancelled, or panics.
    pub fn scan_in_background<Q: Query>(
        &self,
        bound: &Bound,
        range: impl Fn(u64) -> Range<u64> + Send + 'static,
        query: impl Fn() -> Q + Send + 'static,
        cancel: Cancel,
        done: impl FnOnce(Result<Q::Answer>) + Send + 'static,
    ) {
        let request = Request {
            array: Arc::clone(&bound.array),
            range: Box::new(range),
            query: Box::new(query),
            cancel,
            done: Box::new(done),
        };
        request.submit(self.pool.queue());
    }

    /// Brings values in that are not in RAM; `done` is called on a thread of the store's when that is done, as far as it
    /// can be. It is dropped uncalled if that is cancelled, or panics.
    pub fn bring_in(&self, cold: Cold, cancel: Cancel, done: impl FnOnce() + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        let done = move |began| {
            shared.stats.cold_time.record_since(began);
            done();
        };
        let job = BringIn::new(cold, cancel, Box::new(done));
        self.readers.queue().submit(Box::new(job));
    }

    /// Brings values of an array in before the main thread comes to them; `done` as in [`Self::bring_in`].
    pub fn read_ahead(
        &self,
        array: &Arc<Array>,
        values: Range<u64>,
        done: impl FnOnce() + Send + 'static,
    ) {
        let cold = Cold {
            array: Arc::clone(array),
            touched: Touched::Range(values),
        };
        let job = BringIn::new(cold, Cancel::default(), Box::new(|_| done()));
        self.readers.queue().submit(Box::new(job));
    }

    /// Brings values of a range in that nobody waits for yet: as many as the memory that could be had may keep, and unless that is
    /// being done already, or much else for the same array.
    pub fn bring_in_ahead_of_need(&self, array: Arc<Array>, values: Range<u64>) {
        let kept = crate::storage::memory::available::available()
            .map_or(u64::MAX, |bytes| bytes / 2 / array.item_size());
        let values = values.start..values.end.min(values.start.saturating_add(kept));
        if let Some(place) = self.advised.begin(&array, &values) {
            let touched = Touched::Range(values);
            let job = BringIn::ahead_of_need(Cold { array, touched }, place);
            self.readers.queue().submit(Box::new(job));
        }
    }

    /// Drops the pages of values from RAM, as far as they are on disk and nobody else uses them; `done` is called on a
    /// thread of the store's.
    pub fn drop_pages_in_background(
        &self,
        array: Arc<Array>,
        values: Range<u64>,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        let job = DropPages::new(array, values, Box::new(done));
        self.readers.queue().submit(Box::new(job));
    }

    /// [`Self::drop_pages_in_background`], here and now.
    ///
    /// # Errors
    /// The system's.
    pub fn drop_pages(&self, array: Arc<Array>, values: Range<u64>) -> Result<()> {
        DropPages::new(array, values, Box::new(|_| ())).drop_all()
    }

    /// Looks whether the main thread, which calls it now and then, had to wait for pages: then there may be more that
    /// are not in RAM.
    pub fn notice_faults(&self) {
        let faults = major_faults();
        let before = self.faults.swap(faults, Ordering::Relaxed);
        if faults != before {
            self.shared.stats.cold_faults.add(faults - before);
            for array in self.registry.arrays() {
                array.doubt.renew();
            }
        }
    }

    /// Has the worker sync an array; with `exact` the file gets its exact length, too.
    pub fn sync_in_background(&self, bound: &Bound, exact: bool, done: Done) {
        self.shared.send(Job::Sync {
            array: Arc::clone(&bound.array),
            exact,
            done,
        });
    }

    /// Syncs an array, gives its file its exact length, and waits until that is on disk too, here and now.
    ///
    /// # Errors
    /// The system's, or that nobody will find the file by its name.
    pub fn sync_exact(&self, bound: &Bound) -> Result<()> {
        bound.array.sync_exact()?;
        bound.array.check_name(&self.root)
    }

    /// Looks at the array, at its name and at the page cache. That is bounded work, whatever the length of the file.
    pub fn status(&self, bound: &Bound) -> Status {
        // What is found out is a part of the status.
        let _ = bound.array.check_name(&self.root);
        bound.array.status()
    }

    /// Carries out a write that may take long, here and now.
    pub fn carry_out(&self, bound: &Bound, task: Task) -> TaskEnd {
        self.tasks.carry_out(&bound.array, task)
    }

    /// Removes the values before a position at the head of an array, here and now.
    ///
    /// # Errors
    /// If it cannot be written to, or a new file cannot take the place of its file.
    pub fn drop_head(&self, array: &Arc<Array>, position: u64) -> Result<()> {
        array.drop_head(position, &self.root, &self.registry)
    }

    /// Has a write that may take long carried out, after those that came before. Once it is cancelled, and nobody holds
    /// the lock of the array, it changes nothing more.
    pub fn carry_out_in_background(
        &self,
        bound: &Bound,
        task: Task,
        cancel: Cancel,
        done: TaskDone,
    ) {
        self.task_threads.send(&bound.array, task, cancel, done);
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

/// Page faults for which this thread waited for a disk.
fn major_faults() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it points at a structure of the right type, of integers, for which zero is a value.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_majflt.cast_unsigned()
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
    /// Whether no other key is bound to the same file.
    pub fn is_alone(&self) -> bool {
        self.keys() == 1
    }

    /// The array, for work that may outlive the binding.
    pub fn share(&self) -> Arc<Array> {
        Arc::clone(&self.array)
    }

    /// What a binding costs in memory, in bytes, whatever the length of the array.
    pub const fn memory_usage() -> usize {
        size_of::<Self>()
            + size_of::<Array>()
            + size_of::<crate::storage::memory::mapping::Mapping>()
    }

    /// Number of keys that are bound to the same array, this one included.
    pub fn keys(&self) -> usize {
        self.registry.bindings_of(&self.array)
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
        self.registry.unbind(&self.array, self.access);
    }
}
