//! All arrays below one directory, and the threads that serve them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use crate::storage::array::advice::Advised;
use crate::storage::array::handle::Array;
use crate::storage::array::shared::Shared;
use crate::storage::array::status::Status;
use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::calls as disk;
use crate::storage::files::identity::FileId;
use crate::storage::files::path::FilePath;
use crate::storage::files::root::Root;
use crate::storage::memory::faults::major_faults;
use crate::storage::memory::guard;
use crate::storage::memory::window::KEPT_FOR;
use crate::storage::settings::{Fsync, Settings};
use crate::storage::stats::{Stats, Totals};
use crate::storage::store::bound::Bound;
use crate::storage::store::fillings::Fillings;
use crate::storage::store::post::{Done, WorkerMessage};
use crate::storage::store::registry::Registry;
use crate::storage::store::tasks::{Task, TaskDone, TaskEnd, TaskThreads, Tasks};
use crate::storage::store::worker;
use crate::storage::system::limits;
use crate::storage::threads::cancel::Cancel;
use crate::storage::threads::pool::{Habits, Pool, give_way};
use crate::storage::types::ItemType;

/// All arrays below one directory, and the worker that serves them.
pub struct Store {
    pub(in crate::storage) root: Arc<Root>,
    pub(in crate::storage) shared: Arc<Shared>,
    pub(in crate::storage) registry: Arc<Registry>,
    pub(in crate::storage) fillings: Fillings,
    pub(in crate::storage) tasks: Tasks,
    pub(in crate::storage) task_threads: TaskThreads,
    pub(in crate::storage) worker: Option<JoinHandle<()>>,
    pub(in crate::storage) pool: Pool,
    pub(in crate::storage) readers: Pool,
    pub(in crate::storage) advised: Advised,
    /// Page faults of the main thread that were noticed so far.
    pub(in crate::storage) faults: AtomicU64,
}

/// The extended attribute of the directory of the files: up to where this server has followed its primary.
const FOLLOWED: &str = "user.mmap.followed";

/// Threads that wait for the disk. They do little else, so a few more than a small machine has CPUs.
const READERS: usize = 8;

impl Store {
    /// Starts the worker and a pool of `threads`, and handles faults on mapped files from now on.
    ///
    /// # Errors
    /// Any I/O error of the operating system, if there can be no more threads.
    pub fn new(root: Root, threads: usize) -> io::Result<Self> {
        guard::install()?;
        limits::survive_file_size_limit()?;
        let (sender, receiver) = crossbeam_channel::unbounded();
        let shared = Arc::new(Shared::new());
        let registry = Registry::new(&shared, sender);
        let root = Arc::new(root);
        let tasks = Tasks::new(&root, &registry);
        let task_threads = TaskThreads::start(tasks.clone())?;
        let rest = {
            let (shared, post) = (Arc::clone(&shared), Arc::clone(registry.post()));
            move || {
                for map in shared.windows.take_unused() {
                    post.send(WorkerMessage::Unmap(map));
                }
            }
        };
        let habits = Habits {
            first: Some(give_way),
            when_idle: Some((KEPT_FOR, Arc::new(rest))),
        };
        let pool = Pool::new("pool", threads, habits)?;
        let readers = Pool::new("read", READERS, Habits::default())?;
        // The last: the others end when they are dropped, it only when it is told.
        let worker = worker::start(
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
        let array = self.registry.bind(&self.root, path, item, access, create)?;
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
        // The extra binding ends at once; what stays is the array, opened again.
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

    /// Whether a key is bound to this very array of the file.
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
        self.root.free_bytes()
    }

    /// Notes, in the directory of the files, up to where a replica is known to have followed its primary. Where that cannot be
    /// noted it is not known after a restart.
    pub fn note_followed(&self, followed: &[u8]) {
        if let Err(errno) = disk::set_attribute_at(&self.root.link(), FOLLOWED, followed) {
            tracing::debug!("{FOLLOWED} cannot be set on the directory of the files: {errno}");
        }
    }

    /// What was last noted by [`Self::note_followed`], of at most 256 bytes.
    pub fn followed(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 256];
        let len = disk::attribute_at(&self.root.link(), FOLLOWED, &mut bytes)
            .ok()
            .flatten()?;
        bytes.truncate(len);
        Some(bytes)
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
        if let Err(error) = guard::install() {
            tracing::error!("cannot handle SIGBUS: {error}");
        }
    }

    /// The process has forked, or a child has ended: a child that saves tells what happened to the files since then from what was before.
    pub fn note_fork(&self) {
        self.shared.shortest.forked();
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
        self.registry.post().queued()
    }

    pub fn totals(&self) -> Totals {
        self.registry.totals()
    }

    /// The threads for long work.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Has the worker sync an array; with `exact` the file gets its exact length, too. If the worker dies before, `done` is dropped.
    pub fn sync_in_background(&self, bound: &Bound, exact: bool, done: Done) {
        if let Err(dead) = self.shared.worker_alive() {
            return done(Err(&dead));
        }
        self.registry.post().send(WorkerMessage::Sync {
            array: Arc::clone(&bound.array),
            exact,
            done,
        });
    }

    /// Syncs an array, gives its file its exact length, and waits until that is on disk too, here and now.
    ///
    /// # Errors
    /// Any I/O error of the operating system, or that the file cannot be found by its name.
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

    /// Has a write that may take long carried out, after those that came before. Once it is cancelled and the lock
    /// of the array is free, it changes nothing more.
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

impl Drop for Store {
    fn drop(&mut self) {
        self.registry.post().send(WorkerMessage::Stop);
        if let Some(worker) = self.worker.take() {
            // A worker that panicked has said so already.
            let _ = worker.join();
        }
    }
}
