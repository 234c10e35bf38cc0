//! Writes that take as long as an array is large, on threads of their own: the worker must stay free for what commands
//! may soon wait for.
//!
//! The tasks of one array are carried out one after the other. Arrays take turns, so that those who write much to one
//! do not keep those waiting who write to others.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::array::handle::Array;
use crate::storage::array::head::Trim;
use crate::storage::error::{Error, Result};
use crate::storage::files::root::Root;
use crate::storage::store::drop_head::HeadDrop;
use crate::storage::store::registry::Registry;
use crate::storage::threads::cancel::Cancel;
use crate::storage::threads::pool::{Habits, Job, Pool};

/// How many tasks are carried out side by side. They wait for the disk, mostly.
const THREADS: usize = 4;
/// How much is filled before other arrays have their turn, in bytes.
const FILLED_IN_TURN: u64 = 32 << 20;

/// A write that may take long.
pub enum Task {
    /// Sets all values of a range of positions to one.
    Fill {
        positions: Range<u64>,
        value: Box<[u8]>,
    },
    /// Ends a trim that has begun.
    Trim(Trim),
}

/// How a task ended.
pub struct TaskEnd {
    /// The number of values that were set or removed.
    pub result: Result<u64>,
    /// Whether anything in the array was changed; a task that failed may have done a part of its work.
    pub has_written: bool,
}

/// Called when a task has ended, on a thread of the tasks.
pub type TaskDone = Box<dyn FnOnce(TaskEnd) + Send>;

/// What tasks need besides their array.
#[derive(Clone)]
pub(in crate::storage) struct Tasks {
    root: Arc<Root>,
    registry: Arc<Registry>,
}

/// What is left to do of a task.
enum TaskWork {
    Fill {
        positions: Range<u64>,
        value: Box<[u8]>,
        /// So many values were set so far.
        filled: u64,
    },
    Trim(Trim),
    /// A trim that has begun to copy, and what it answers in the end.
    HeadDrop(HeadDrop, u64),
}

/// A task that waits, or is carried out in part.
struct Queued {
    work: TaskWork,
    /// Number of values that had been dropped from the head when it was sent.
    head: u64,
    cancel: Cancel,
    done: TaskDone,
}

/// The tasks of each array that has some, by its address.
type Queues = Arc<Mutex<HashMap<usize, VecDeque<Queued>>>>;

/// The threads that carry out tasks.
pub(in crate::storage) struct TaskThreads {
    tasks: Tasks,
    queues: Queues,
    pool: Pool,
}

impl Tasks {
    pub(in crate::storage) fn new(root: &Arc<Root>, registry: &Arc<Registry>) -> Self {
        Self {
            root: Arc::clone(root),
            registry: Arc::clone(registry),
        }
    }

    /// Carries out a task here and now.
    pub(in crate::storage) fn carry_out(&self, array: &Arc<Array>, task: Task) -> TaskEnd {
        let cancel = Cancel::default();
        match task {
            Task::Fill { positions, value } => {
                let mut filled = 0;
                let result = array.fill(positions, &value, &cancel, || Ok(()), &mut filled);
                TaskEnd::of_fill(result, filled)
            }
            Task::Trim(trim) => {
                let head = array.head();
                let result = array.end_trim(trim, &self.root, &self.registry);
                TaskEnd::of_trim(array, head, result)
            }
        }
    }

    /// Carries out a part of a task; gives it back if there is more of it. The waiting client must be told, and the next task be
    /// done, also if it panics.
    fn carry_out_part(&self, array: &Arc<Array>, queued: Queued) -> Option<Queued> {
        let Queued {
            work,
            head,
            cancel,
            done,
        } = queued;
        let part = AssertUnwindSafe(|| self.do_part(array, head, work, &cancel));
        let work = catch_unwind(part).unwrap_or(Err(TaskEnd {
            result: Err(Error::TaskPanicked),
            has_written: true,
        }));
        match work {
            Ok(work) => Some(Queued {
                work,
                head,
                cancel,
                done,
            }),
            Err(end) => {
                done(end);
                None
            }
        }
    }

    /// Does a part of the work, and answers what is left of it, or how it ended.
    fn do_part(
        &self,
        array: &Arc<Array>,
        head: u64,
        work: TaskWork,
        cancel: &Cancel,
    ) -> std::result::Result<TaskWork, TaskEnd> {
        let trimmed = |result| TaskEnd::of_trim(array, head, result);
        match work {
            TaskWork::Fill {
                positions,
                value,
                mut filled,
            } => {
                let in_turn = (FILLED_IN_TURN / array.item_size()).max(1);
                let end = positions.end.min(positions.start.saturating_add(in_turn));
                let part = positions.start..end;
                let result = array.not_cancelled(cancel).and_then(|()| {
                    array.fill(part, &value, cancel, || array.keep_pace(), &mut filled)
                });
                match result {
                    Ok(()) if end < positions.end => Ok(TaskWork::Fill {
                        positions: end..positions.end,
                        value,
                        filled,
                    }),
                    result => Err(TaskEnd::of_fill(result, filled)),
                }
            }
            TaskWork::Trim(trim) => {
                let values = trim.values();
                let copy = array.begin_head_drop(trim, &self.root, cancel.clone());
                let copy = copy.map_err(|error| trimmed(Err(error)))?;
                self.do_part(array, head, TaskWork::HeadDrop(copy, values), cancel)
            }
            TaskWork::HeadDrop(mut copy, values) => match copy.take_turn(&self.registry) {
                Ok(false) => Ok(TaskWork::HeadDrop(copy, values)),
                Ok(true) => Err(trimmed(Ok(values))),
                Err(error) => Err(trimmed(Err(error))),
            },
        }
    }
}

impl TaskEnd {
    fn of_fill(result: Result<()>, filled: u64) -> Self {
        Self {
            has_written: filled > 0 || matches!(result, Err(Error::TaskPanicked)),
            result: result.map(|()| filled),
        }
    }

    /// `head` is the number of values that had been dropped before. A trim syncs its copy itself.
    fn of_trim(array: &Array, head: u64, result: Result<u64>) -> Self {
        Self {
            result,
            has_written: array.head() != head,
        }
    }
}

impl TaskThreads {
    /// Starts the threads.
    ///
    /// # Errors
    /// Any I/O error of the operating system, if there can be no more threads.
    pub(in crate::storage) fn start(tasks: Tasks) -> std::io::Result<Self> {
        Ok(Self {
            tasks,
            queues: Queues::default(),
            pool: Pool::new("tasks", THREADS, Habits::default())?,
        })
    }

    /// Has a task carried out after those of the same array that came before.
    pub(in crate::storage) fn send(
        &self,
        array: &Arc<Array>,
        task: Task,
        cancel: Cancel,
        done: TaskDone,
    ) {
        let work = match task {
            Task::Fill { positions, value } => TaskWork::Fill {
                positions,
                value,
                filled: 0,
            },
            Task::Trim(trim) => TaskWork::Trim(trim),
        };
        let queued = Queued {
            work,
            head: array.head(),
            cancel,
            done,
        };
        let mut queues = self.queues.lock();
        let is_first = !queues.contains_key(&address(array));
        queues.entry(address(array)).or_default().push_back(queued);
        if is_first {
            self.pool.queue().submit(Box::new(Turn {
                array: Arc::clone(array),
                tasks: self.tasks.clone(),
                queues: Arc::clone(&self.queues),
            }));
        }
    }
}

fn address(array: &Arc<Array>) -> usize {
    Arc::as_ptr(array).addr()
}

/// The turns of one array, which it keeps alive.
struct Turn {
    array: Arc<Array>,
    tasks: Tasks,
    queues: Queues,
}

impl Job for Turn {
    fn step(self: Box<Self>) -> Option<Box<dyn Job>> {
        let queued = {
            let mut queues = self.queues.lock();
            let queue = queues.get_mut(&address(&self.array))?;
            let Some(queued) = queue.pop_front() else {
                queues.remove(&address(&self.array));
                return None;
            };
            queued
        };
        if let Some(rest) = self.tasks.carry_out_part(&self.array, queued) {
            let mut queues = self.queues.lock();
            queues
                .entry(address(&self.array))
                .or_default()
                .push_front(rest);
        }
        Some(self)
    }
}
