//! A few threads for work that would keep the server waiting.
//!
//! A job is done step by step, some milliseconds each, and goes to the back of the queue after every step, so that a
//! long one does not keep a short one waiting. The threads run at a low priority: where there are not enough CPUs,
//! it is the work of the pool that waits, not the server.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use rustix::process::setpriority_process;

use crate::storage::system::{Call, attempt, result_of};

/// How much less of a CPU the threads get than the server where both want it: see nice(1).
const NICE: i32 = 10;

/// Work in steps.
pub trait Job: Send {
    /// Does some milliseconds' worth, and gives back what is left to do. A job that panics is dropped: whoever
    /// waits for it has to find out by that.
    fn step(self: Box<Self>) -> Option<Box<dyn Job>>;
}

/// What the threads of a pool do besides its work.
#[derive(Clone, Default)]
pub struct Habits {
    /// The first that each does.
    pub first: Option<fn()>,
    /// What each does when it has had nothing to do for that long after some work.
    pub when_idle: Option<(Duration, Arc<dyn Fn() + Send + Sync>)>,
}

enum Message {
    Work(Box<dyn Job>),
    Stop,
}

/// The way to the threads.
#[derive(Clone)]
pub struct Queue {
    jobs: Sender<Message>,
    threads: usize,
    /// Jobs that are being done at this moment.
    busy: Arc<AtomicUsize>,
}

impl Queue {
    /// Has a job done.
    pub fn submit(&self, job: Box<dyn Job>) {
        // The threads take messages for as long as the pool is there.
        let _ = self.jobs.send(Message::Work(job));
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Jobs that are being done or wait for their next step.
    pub fn jobs(&self) -> usize {
        self.jobs.len() + self.busy.load(Ordering::Relaxed)
    }
}

/// The threads. Dropping the pool drops the jobs that are not done.
pub struct Pool {
    queue: Queue,
    messages: Receiver<Message>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts that many threads, at least one. `name` begins their names.
    ///
    /// # Errors
    /// Any I/O error of the operating system, if there can be no more threads.
    pub fn new(name: &str, threads: usize, habits: Habits) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let (jobs, messages) = crossbeam_channel::unbounded();
        let mut pool = Self {
            queue: Queue {
                jobs,
                threads,
                busy: Arc::default(),
            },
            messages,
            threads: Vec::new(),
        };
        for number in 0..threads {
            let (queue, messages) = (pool.queue.clone(), pool.messages.clone());
            let habits = habits.clone();
            let thread = std::thread::Builder::new()
                .name(format!("mmap-{name}-{number}"))
                .spawn(move || {
                    if let Some(first) = habits.first {
                        first();
                    }
                    work(&queue, &messages, &habits);
                })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for _ in &self.threads {
            let _ = self.queue.jobs.send(Message::Stop);
        }
        for thread in self.threads.drain(..) {
            // What panicked was a job, and has been logged.
            let _ = thread.join();
        }
        // Jobs hold the queue, and would keep it and themselves for ever.
        while self.messages.try_recv().is_ok() {}
    }
}

/// Lowers the priority of this thread. It is help: where the system refuses, the work is done all the same.
pub fn give_way() {
    let _ = attempt(Call::SetPriority, || {
        // A thread of its own is meant by 0, not its process.
        setpriority_process(None, NICE)
    });
    // The kernel's `struct sched_param`; those of C libraries differ.
    let priority: libc::c_int = 0;
    let _ = attempt(Call::SetScheduler, || {
        // SAFETY: the call is about the calling thread (0), and reads a number. musl has only the name of it.
        let status = unsafe {
            let batch = libc::SCHED_BATCH;
            libc::syscall(libc::SYS_sched_setscheduler, 0, batch, &raw const priority)
        };
        result_of(status)
    });
}

fn work(queue: &Queue, messages: &Receiver<Message>, habits: &Habits) {
    let next = || {
        if let Some((idle, rest)) = &habits.when_idle {
            match messages.recv_timeout(*idle) {
                Err(RecvTimeoutError::Timeout) => rest(),
                Err(RecvTimeoutError::Disconnected) => return None,
                Ok(message) => return Some(message),
            }
        }
        // Until there is something to do it sleeps without waking.
        messages.recv().ok()
    };
    while let Some(Message::Work(job)) = next() {
        queue.busy.fetch_add(1, Ordering::Relaxed);
        match catch_unwind(AssertUnwindSafe(|| job.step())) {
            Ok(Some(rest)) => queue.submit(rest),
            Ok(None) => {}
            Err(_) => {
                tracing::error!("a background job panicked: this is a bug in the mmap module")
            }
        }
        queue.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// Counts down, saying each number, and panics at 13.
    struct Countdown {
        number: u32,
        said: mpsc::Sender<u32>,
    }

    impl Job for Countdown {
        fn step(mut self: Box<Self>) -> Option<Box<dyn Job>> {
            assert_ne!(self.number, 13, "this job panics");
            let _ = self.said.send(self.number);
            self.number = self.number.checked_sub(1)?;
            Some(self)
        }
    }

    fn gives_way() -> Habits {
        Habits {
            first: Some(give_way),
            ..Habits::default()
        }
    }

    fn countdown(pool: &Pool, number: u32) -> mpsc::Receiver<u32> {
        let (said, hear) = mpsc::channel();
        pool.queue().submit(Box::new(Countdown { number, said }));
        hear
    }

    fn all(hear: &mpsc::Receiver<u32>) -> Vec<u32> {
        std::iter::from_fn(|| hear.recv_timeout(DEADLINE).ok()).collect()
    }

    #[test]
    fn a_job_is_done_step_by_step() {
        let pool = Pool::new("pool", 3, gives_way()).unwrap();
        assert_eq!(all(&countdown(&pool, 5)), [5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_short_job_does_not_wait_for_a_long_one() {
        let pool = Pool::new("pool", 1, gives_way()).unwrap();
        let long = countdown(&pool, u32::MAX);
        assert_eq!(all(&countdown(&pool, 1)), [1, 0]);
        let last = long.try_iter().last().unwrap();
        assert!(last > 13, "the long job was done before the short one");
    }

    #[test]
    fn a_panic_ends_the_job_and_not_the_thread() {
        let pool = Pool::new("pool", 1, gives_way()).unwrap();
        assert_eq!(all(&countdown(&pool, 15)), [15, 14]);
        assert_eq!(all(&countdown(&pool, 1)), [1, 0]);
    }

    #[test]
    fn a_thread_rests_once_after_its_work() {
        let (said, hear) = mpsc::channel();
        let rest = move || said.send(()).unwrap();
        let habits = Habits {
            when_idle: Some((Duration::from_millis(50), Arc::new(rest))),
            ..gives_way()
        };
        let pool = Pool::new("pool", 1, habits).unwrap();
        for _ in 0..2 {
            assert_eq!(all(&countdown(&pool, 1)), [1, 0]);
            assert_eq!(hear.recv_timeout(DEADLINE), Ok(()));
        }
        assert_eq!(hear.try_recv(), Err(mpsc::TryRecvError::Empty));
    }

    #[test]
    fn a_dropped_pool_drops_its_jobs() {
        let pool = Pool::new("pool", 2, gives_way()).unwrap();
        let hear = countdown(&pool, u32::MAX);
        assert_eq!(hear.recv_timeout(DEADLINE), Ok(u32::MAX));
        drop(pool);
        // The sender is gone with the job.
        while hear.recv_timeout(DEADLINE).is_ok() {}
        assert_eq!(hear.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
