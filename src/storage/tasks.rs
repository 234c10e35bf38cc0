//! Writes that take as long as an array is large, on a thread of their own: the worker must stay free for what
//! commands may soon wait for.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::array::Array;
use super::error::{Error, Result};
use super::head::Trim;
use super::pool::Cancel;
use super::registry::Registry;
use super::root::Root;

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

/// Called when a task has ended, on the thread of the tasks.
pub type TaskDone = Box<dyn FnOnce(TaskEnd) + Send>;

/// What tasks need besides their array.
#[derive(Clone)]
pub(super) struct Tasks {
    root: Arc<Root>,
    registry: Arc<Registry>,
}

type Queued = (Arc<Array>, Task, Cancel, TaskDone);

/// The thread that carries out one task after the other.
pub(super) struct TaskThread {
    /// `None` when it is to end.
    queue: Option<Sender<Queued>>,
    thread: Option<JoinHandle<()>>,
}

impl Tasks {
    pub(super) fn new(root: &Arc<Root>, registry: &Arc<Registry>) -> Self {
        Self {
            root: Arc::clone(root),
            registry: Arc::clone(registry),
        }
    }

    /// Carries out a task here and now.
    pub(super) fn carry_out(&self, array: &Arc<Array>, task: Task) -> TaskEnd {
        self.carry_out_and(array, task, &Cancel::default(), || Ok(()))
    }

    fn carry_out_and(
        &self,
        array: &Arc<Array>,
        task: Task,
        cancel: &Cancel,
        between: impl Fn() -> Result<()>,
    ) -> TaskEnd {
        match task {
            Task::Fill { positions, value } => {
                let mut filled = 0;
                let result = array.fill(positions, &value, cancel, between, &mut filled);
                TaskEnd {
                    result: result.map(|()| filled),
                    has_written: filled > 0,
                }
            }
            Task::Trim(trim) => {
                let head = array.head();
                // It syncs its copy itself.
                let result = array.end_trim(trim, &self.root, &self.registry, cancel);
                TaskEnd {
                    result,
                    has_written: array.head() != head,
                }
            }
        }
    }

    fn serve(&self, queue: &Receiver<Queued>) {
        for (array, task, cancel, done) in queue {
            // Whoever waits must be told, and the next task be done.
            let end = catch_unwind(AssertUnwindSafe(|| {
                self.carry_out_and(&array, task, &cancel, || array.keep_pace())
            }));
            done(end.unwrap_or(TaskEnd {
                result: Err(Error::TaskPanicked),
                has_written: true,
            }));
        }
    }
}

impl TaskThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, if there can be no more threads.
    pub(super) fn start(tasks: Tasks) -> std::io::Result<Self> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let thread = std::thread::Builder::new()
            .name("mmap-tasks".to_owned())
            .spawn(move || tasks.serve(&receiver))?;
        Ok(Self {
            queue: Some(sender),
            thread: Some(thread),
        })
    }

    /// Has a task carried out after those that came before.
    pub(super) fn send(&self, array: &Arc<Array>, task: Task, cancel: Cancel, done: TaskDone) {
        let queued = (Arc::clone(array), task, cancel, done);
        if let Some(Err(error)) = self.queue.as_ref().map(|queue| queue.send(queued)) {
            let (.., done) = error.into_inner();
            done(TaskEnd {
                result: Err(Error::TaskPanicked),
                has_written: false,
            });
        }
    }
}

impl Drop for TaskThread {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
