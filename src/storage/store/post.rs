//! What the worker is asked to do, and how the requests reach it.

use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::storage::array::attendant::{Attendant, Chore};
use crate::storage::array::handle::Array;
use crate::storage::error::Error;
use crate::storage::memory::mapping::Mapping;

/// Called on the worker's thread with the outcome of a sync that a client waits for.
pub type Done = Box<dyn FnOnce(Result<(), &Error>) + Send>;

/// What the worker is asked to do.
pub(in crate::storage) enum WorkerMessage {
    /// What an array asks for.
    Chore(Arc<Array>, Chore),
    /// Sync, and say so. With `exact`, the file gets its exact length, too.
    Sync {
        array: Arc<Array>,
        exact: bool,
        done: Done,
    },
    /// Unmap what is not used any more.
    Unmap(Arc<Mapping>),
    /// Close, before long, files that no array has and others still used.
    LetGo,
    /// End.
    Stop,
}

/// The way to the worker.
pub(in crate::storage) struct Post {
    jobs: Sender<WorkerMessage>,
    /// The arrays that it is for.
    arrays: Box<dyn Fn() -> Vec<Arc<Array>> + Send + Sync>,
}

impl Post {
    pub fn new(
        jobs: Sender<WorkerMessage>,
        arrays: impl Fn() -> Vec<Arc<Array>> + Send + Sync + 'static,
    ) -> Self {
        let arrays = Box::new(arrays);
        Self { jobs, arrays }
    }

    /// Hands a job to the worker. Where it died, the job is dropped: writes are refused then anyway, and whoever waits for it
    /// finds out by that.
    pub fn send(&self, job: WorkerMessage) {
        let _ = self.jobs.send(job);
    }

    /// Number of jobs that the worker has not begun yet.
    pub fn queued(&self) -> usize {
        self.jobs.len()
    }
}

impl Attendant<Array> for Post {
    fn ask(&self, array: &Arc<Array>, chore: Chore) {
        self.send(WorkerMessage::Chore(Arc::clone(array), chore));
    }

    fn unmap(&self, map: Arc<Mapping>) {
        self.send(WorkerMessage::Unmap(map));
    }

    fn arrays(&self) -> Vec<Arc<Array>> {
        (self.arrays)()
    }
}
