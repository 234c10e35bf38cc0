//! The thread that does what commands must not wait for: growing, taking page faults, syncing, trimming,
//! closing and unmapping files.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::shared::Shared;
use crate::storage::error::{Error, Result};
use crate::storage::files::root::Root;
use crate::storage::settings::Fsync;
use crate::storage::store::post::{Done, WorkerMessage};
use crate::storage::store::registry::Registry;
use crate::storage::store::slow::{Retry, Slow};

/// How often arrays that are to be trimmed are looked at.
const TICK: Duration = Duration::from_millis(100);
/// An array with at most this many writes in a tick is calm: exact appends can keep up with that.
const CALM_WRITES: u64 = 50;
/// How often the names of files that are written are looked at: a lost one is to be noticed within a second.
const NAME_CHECK: Duration = Duration::from_millis(500);
/// When a job that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often values are synced.
const fn sync_interval(fsync: Fsync) -> Duration {
    match fsync {
        Fsync::Always | Fsync::EverySecond => Duration::from_secs(1),
        // The kernel has written them by then (`vm.dirty_expire_centisecs`); this is how it becomes known.
        Fsync::No => Duration::from_secs(30),
    }
}

/// Starts the thread.
///
/// # Errors
/// Any I/O error of the operating system, if there can be no more threads.
pub(in crate::storage) fn start(
    jobs: Receiver<WorkerMessage>,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    root: Arc<Root>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("mmap-worker".to_owned())
        .spawn(move || {
            let worker = Worker {
                jobs,
                shared: Arc::clone(&shared),
                registry,
                root,
                watched: Vec::new(),
                dirty: Vec::new(),
                written: Vec::new(),
                slow: VecDeque::new(),
                failed: Vec::new(),
                next_retry: Instant::now(),
                lingers: false,
                next_tick: Instant::now(),
                next_name_check: Instant::now(),
                last_sync: Instant::now(),
                stopping: false,
            };
            // A panic must reach neither the server nor go unnoticed: the arrays stop taking writes.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run())) {
                let reason = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("panic");
                shared.worker_died(reason.to_owned());
            }
        })
}

struct Worker {
    jobs: Receiver<WorkerMessage>,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    root: Arc<Root>,
    /// Arrays that are to be trimmed, and how many writes each had seen at the last tick.
    watched: Vec<(Arc<Array>, u64)>,
    /// Arrays written to since their last sync.
    dirty: Vec<Arc<Array>>,
    /// Arrays written to since their names were looked at.
    written: Vec<Arc<Array>>,
    /// Jobs that may wait for the disk: they come after all that commands may soon wait for.
    slow: VecDeque<Slow>,
    /// What is to be tried again, all at once.
    failed: Vec<(Arc<Array>, Retry)>,
    next_retry: Instant,
    /// Whether files that no array has were still used when they were to be closed.
    lingers: bool,
    next_tick: Instant,
    next_name_check: Instant,
    last_sync: Instant,
    stopping: bool,
}

impl Worker {
    fn run(mut self) {
        while !self.stopping {
            self.wait();
            // More of them may come than a slow disk can do: what is due is done in between.
            for _ in 0..self.slow.len() {
                self.take_batch();
                self.do_slow_job();
            }
            self.tick();
            self.check_names();
            self.sync_dirty();
            self.retry();
        }
    }

    /// Waits for a job or for something to be due.
    fn wait(&mut self) {
        if !self.slow.is_empty() {
            // They came while arrays were trimmed or synced.
            return self.take_batch();
        }
        let due = [
            (!self.watched.is_empty()).then_some(self.next_tick),
            (!self.dirty.is_empty()).then_some(self.next_sync()),
            (!self.written.is_empty()).then_some(self.next_name_check),
            (!self.failed.is_empty() || self.lingers).then_some(self.next_retry),
        ];
        let job = match due.into_iter().flatten().min() {
            Some(due) => match self.jobs.recv_deadline(due) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => WorkerMessage::Stop,
            },
            None => self.jobs.recv().unwrap_or(WorkerMessage::Stop),
        };
        self.accept(job);
        self.take_batch();
    }

    /// Takes all jobs that are there: the urgent ones are done at once.
    fn take_batch(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            self.accept(job);
        }
    }

    fn accept(&mut self, job: WorkerMessage) {
        match job {
            WorkerMessage::Chore(array, chore) => self.accept_chore(array, chore),
            WorkerMessage::Sync { array, exact, done } => {
                self.slow.push_back(Slow::Sync { array, exact, done })
            }
            WorkerMessage::Unmap(map) => self.slow.push_back(Slow::Unmap(map)),
            WorkerMessage::LetGo => self.let_go_later(),
            WorkerMessage::Stop => self.stopping = true,
        }
    }

    fn accept_chore(&mut self, array: Arc<Array>, chore: Chore) {
        match chore {
            Chore::Grow => {
                array.grow_ahead();
                array.prefault();
                self.watch(array);
            }
            Chore::Prefault => array.prefault(),
            Chore::Watch => {
                self.watch(Arc::clone(&array));
                // A command gave the array slack, and could not wait for what its record vouches for.
                self.slow.push_back(Slow::SyncSoon(array));
            }
            Chore::SyncInTime => {
                if self.written.is_empty() {
                    self.next_name_check = Instant::now() + NAME_CHECK;
                }
                self.written.push(Arc::clone(&array));
                self.dirty.push(array);
            }
            Chore::SyncAgain => self.try_again(array, Retry::Sync),
            // What is to be done is seen when all jobs are taken.
            Chore::WriteBack => {}
            Chore::Trim => self.slow.push_back(Slow::Trim(array)),
            Chore::Retire => self.slow.push_back(Slow::Retire(array)),
        }
    }

    /// Does the next of them, if one before has not done it, too.
    fn do_slow_job(&mut self) {
        let Some(job) = self.slow.pop_front() else {
            return;
        };
        match job {
            Slow::SyncSoon(array) => self.sync(array),
            Slow::Trim(array) => {
                if !trim(&array) {
                    self.try_again(array, Retry::Watch);
                }
            }
            Slow::Sync { array, exact, done } => self.sync_for_all(&array, exact, done),
            Slow::Retire(array) => self.retire(&array),
            Slow::Unmap(map) => drop(map),
        }
    }

    /// Group commit: one sync answers all who wait for the same array.
    fn sync_for_all(&mut self, array: &Arc<Array>, exact: bool, done: Done) {
        let mut waiting = vec![done];
        self.slow = std::mem::take(&mut self.slow)
            .into_iter()
            .filter_map(|job| match job {
                Slow::Sync {
                    array: other,
                    exact: other_exact,
                    done,
                } if Arc::ptr_eq(&other, array) && exact >= other_exact => {
                    waiting.push(done);
                    None
                }
                other => Some(other),
            })
            .collect();
        let outcome = if exact {
            array
                .sync_exact()
                .and_then(|()| array.check_name(&self.root))
        } else {
            array.sync()
        };
        let outcome = outcome.and_then(|()| self.sync_what_was_left(array));
        for done in waiting {
            done(outcome.as_ref().map(|&()| ()));
        }
    }

    /// The file of an array that was closed before all was on disk is another array's by now, and so is what is left to be synced.
    fn sync_what_was_left(&self, array: &Arc<Array>) -> Result<()> {
        let mut array = Arc::clone(array);
        while array.has_left_unsynced() {
            let next = self.registry.find(array.id());
            let next = next.filter(|next| !Arc::ptr_eq(next, &array));
            array = next.ok_or_else(|| array.closed())?;
            array.sync()?;
        }
        Ok(())
    }

    fn retire(&mut self, array: &Arc<Array>) {
        let settled = array.sync_and_trim(self.registry.is_bound(array.id()));
        self.watched.retain(|(other, _)| !Arc::ptr_eq(other, array));
        // A lost file is not ours to settle; any other is not let go of before all of it is on disk.
        let closed = match settled {
            Ok(()) | Err(Error::Lost { .. }) => self.registry.retire(array),
            Err(error) => Err(error),
        };
        if let Err(error) = closed {
            tracing::error!("while closing: {error}; it will be retried");
            self.try_again(Arc::clone(array), Retry::Retire);
        } else if self.registry.bindings_of(array) == 0 {
            // It is closed, even where another array has its file by now. Its mapping, and so the room of a file without a
            // name, goes with it.
            self.dirty.retain(|other| !Arc::ptr_eq(other, array));
            self.written.retain(|other| !Arc::ptr_eq(other, array));
        }
    }

    /// Syncs an array, now and then again until it succeeds.
    fn sync(&mut self, array: Arc<Array>) {
        match array.sync() {
            // The next command finds out, and says so.
            Ok(()) | Err(Error::Lost { .. }) => {}
            Err(_) => self.try_again(array, Retry::Sync),
        }
    }

    /// Does something for an array again in a while.
    fn try_again(&mut self, array: Arc<Array>, what: Retry) {
        let is_same =
            |(other, kind): &(Arc<Array>, Retry)| *kind == what && Arc::ptr_eq(other, &array);
        if self.failed.iter().any(is_same) {
            return;
        }
        if self.failed.is_empty() {
            self.next_retry = Instant::now() + RETRY;
        }
        self.failed.push((array, what));
    }

    fn let_go_later(&mut self) {
        (self.lingers, self.next_retry) = (true, Instant::now() + RETRY);
    }

    fn retry(&mut self) {
        if self.failed.is_empty() && !self.lingers || Instant::now() < self.next_retry {
            return;
        }
        if std::mem::take(&mut self.lingers) && !self.registry.let_go() {
            self.let_go_later();
        }
        for (array, what) in std::mem::take(&mut self.failed) {
            match what {
                Retry::Sync => self.slow.push_back(Slow::SyncSoon(array)),
                Retry::Watch => self.accept_chore(array, Chore::Watch),
                Retry::Retire => self.slow.push_back(Slow::Retire(array)),
            }
        }
    }

    fn watch(&mut self, array: Arc<Array>) {
        if self
            .watched
            .iter()
            .any(|(other, _)| Arc::ptr_eq(other, &array))
        {
            return;
        }
        if self.watched.is_empty() {
            self.next_tick = Instant::now() + TICK;
        }
        let writes = array.writes();
        self.watched.push((array, writes));
    }

    /// Trims the arrays whose load has paused.
    fn tick(&mut self) {
        if self.watched.is_empty() || Instant::now() < self.next_tick {
            return;
        }
        for (array, seen) in std::mem::take(&mut self.watched) {
            let writes = array.writes();
            let calm = writes - seen <= CALM_WRITES;
            // What is cut to its exact length must be on disk first: see "Write-back" in docs/design.md.
            if calm && !(array.sync().is_ok() && trim(&array)) {
                self.try_again(array, Retry::Watch);
            } else if array.is_to_be_trimmed() {
                self.watched.push((array, writes));
            }
            self.take_batch();
        }
        self.next_tick = Instant::now() + TICK;
    }

    /// Looks whether the files that were written are still found by their names.
    fn check_names(&mut self) {
        if self.written.is_empty() || Instant::now() < self.next_name_check {
            return;
        }
        for array in std::mem::take(&mut self.written) {
            if self.registry.bindings_of(&array) > 0 {
                // It is logged, and a part of the array's status.
                let _ = array.check_name(&self.root);
            }
            self.take_batch();
        }
        // An array that is not synced yet does not report further writes.
        for array in &self.dirty {
            if !self.written.iter().any(|other| Arc::ptr_eq(other, array)) {
                self.written.push(Arc::clone(array));
            }
        }
        self.next_name_check = Instant::now() + NAME_CHECK;
    }

    /// When arrays are synced next. That is past where so much waits for the disk that they are to be at once.
    fn next_sync(&self) -> Instant {
        if self.shared.dirty.should_sync(&self.shared.settings) {
            return self.last_sync;
        }
        self.last_sync + sync_interval(self.shared.settings.fsync())
    }

    /// Syncs what was written, once in an interval.
    fn sync_dirty(&mut self) {
        if self.dirty.is_empty() || Instant::now() < self.next_sync() {
            return;
        }
        self.last_sync = Instant::now();
        for array in std::mem::take(&mut self.dirty) {
            array.begin_scheduled_sync();
            self.sync(array);
            self.take_batch();
        }
    }
}

/// Gives an array its exact length; `false` if that is to be tried again.
fn trim(array: &Arc<Array>) -> bool {
    match array.trim_from_worker() {
        // A lost file is not ours to cut; the next command says so.
        Ok(()) | Err(Error::Lost { .. }) => true,
        Err(error) => {
            tracing::error!("{error}; it will be retried");
            false
        }
    }
}
