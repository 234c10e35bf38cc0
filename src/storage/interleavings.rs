//! Growth, cuts, syncs, and the replacement of the file, while other threads append and remove values: the code of the
//! storage layer itself, with real files, under schedules that `shuttle` chooses. `make test` runs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Receiver;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};
use support::random::{rounds, seed};
use tempfile::TempDir;

use crate::storage::FilePath;
use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::shared::Shared;
use crate::storage::files::access::Access;
use crate::storage::files::root::Root;
use crate::storage::memory::guard;
use crate::storage::store::post::WorkerMessage;
use crate::storage::store::registry::Registry;
use crate::storage::types::ItemType;

/// Values that one command appends: more than a page of them, so that it needs slack.
const AT_ONCE: u32 = 1200;

/// A store without threads of its own.
struct World {
    _dir: TempDir,
    root: Root,
    registry: Arc<Registry>,
    jobs: Receiver<WorkerMessage>,
    array: Arc<Array>,
}

impl World {
    /// An array of `AT_ONCE` values 1, 2, 3, ..., as in the middle of a burst.
    fn new() -> Self {
        guard::install().unwrap();
        let dir = TempDir::new_in("/dev/shm").unwrap();
        let root = Root::open(dir.path()).unwrap();
        let (sender, jobs) = crossbeam_channel::unbounded();
        let shared = Arc::new(Shared::new());
        shared.settings.set_max_slack(64 << 10);
        let registry = Registry::new(&shared, sender);
        let item = ItemType::parse(b"uint32", None).unwrap();
        let path = FilePath::new(b"f").unwrap();
        let array = registry
            .bind(&root, &path, item, Access::Writable, true)
            .unwrap();
        array.append(&numbers(1, AT_ONCE)).unwrap();
        Self {
            _dir: dir,
            root,
            registry,
            jobs,
            array,
        }
    }

    /// What the worker does about the array until `over`: what it is asked for, and in between what is due each 100 ms.
    fn work(&self, over: &AtomicBool) {
        for turn in 0_u32.. {
            let last = over.load(Ordering::SeqCst);
            while let Ok(job) = self.jobs.try_recv() {
                match job {
                    WorkerMessage::Chore(array, Chore::Grow) => {
                        array.grow_ahead();
                        array.prefault();
                    }
                    WorkerMessage::Chore(array, Chore::Prefault) => array.prefault(),
                    _ => {}
                }
            }
            if last {
                return;
            }
            // Not each time, or there would hardly ever be slack.
            if turn.is_multiple_of(4) && self.array.sync().is_ok() {
                self.array.trim_from_worker().unwrap();
            }
            thread::yield_now();
        }
    }

    /// Drops values from the head, one command after the other, and says how many.
    fn drop_heads(&self, commands: u32) -> u64 {
        let mut dropped = 0;
        for _ in 0..commands {
            let trim = {
                let mut writer = self.array.writer().unwrap();
                let count = writer.span().count;
                let head = 700.min(count / 2);
                if head == 0 {
                    continue;
                }
                writer.begin_trim(&(head..count)).unwrap()
            };
            // Values that were to stay may be removed: then the head stays.
            if let Ok(values) = self.array.end_trim(trim, &self.root, &self.registry) {
                dropped += values;
            }
        }
        dropped
    }

    fn contents(&self) -> Vec<u32> {
        let mut view = self.array.view().unwrap();
        let mut bytes = vec![0; view.count() as usize * 4];
        view.read(0, &mut bytes).unwrap();
        values(&bytes)
    }
}

fn numbers(from: u32, count: u32) -> Vec<u8> {
    (from..from + count).flat_map(u32::to_le_bytes).collect()
}

fn values(bytes: &[u8]) -> Vec<u32> {
    let value = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    bytes.chunks_exact(4).map(value).collect()
}

/// Appends in one thread, drops heads in another, and, with `pops`, removes values at the end in a third, while the worker
/// grows, cuts and syncs the file. Then each value is where it belongs, once.
fn everything_at_once(pops: bool) {
    let world = Arc::new(World::new());
    let over = Arc::new(AtomicBool::new(false));
    let worker = {
        let (world, over) = (Arc::clone(&world), Arc::clone(&over));
        thread::spawn(move || world.work(&over))
    };
    let appending = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let mut next = AT_ONCE + 1;
            for _ in 0..3 {
                // One that fits in a page asks the worker for slack, and one that does not waits for it.
                for count in [1, AT_ONCE] {
                    world.array.lock().load.bursts();
                    world.array.append(&numbers(next, count)).unwrap();
                    next += count;
                }
            }
            next
        })
    };
    let dropping = {
        let world = Arc::clone(&world);
        thread::spawn(move || world.drop_heads(2))
    };
    let popping = pops.then(|| {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let mut popped = Vec::new();
            for count in [1, 900, 1] {
                popped.extend(values(&world.array.pop(count).unwrap()));
            }
            world.array.sync_exact().unwrap();
            popped
        })
    });
    let end = appending.join().unwrap();
    let dropped = dropping.join().unwrap();
    let popped = popping.map_or_else(Vec::new, |popping| popping.join().unwrap());
    over.store(true, Ordering::SeqCst);
    worker.join().unwrap();

    let found = world.contents();
    let appended = u64::from(end - 1);
    let expected = appended - dropped - popped.len() as u64;
    assert_eq!(found.len() as u64, expected, "{dropped} dropped");
    assert!(found.iter().all(|&value| value > 0 && value < end));
    assert!(found.is_sorted_by(|a, b| a < b), "some appear twice");
    assert!(!popped.iter().any(|value| found.contains(value)));
    if popped.is_empty() {
        assert_eq!(
            found.first().map(|&first| u64::from(first)),
            Some(dropped + 1)
        );
    }
    assert_eq!(world.array.writer().unwrap().span().head, dropped);
    // As another server would find it.
    world.array.make_exact_now().unwrap();
    let mut moment = Vec::new();
    let (_, read) = world.array.moment().unwrap().read_in_pieces(|_, bytes| {
        moment.extend(values(bytes));
        true
    });
    read.unwrap();
    assert_eq!(moment, found);
}

fn explore(scheduler: impl Scheduler + 'static, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = shuttle::MaxSteps::FailAfter(100_000);
    Runner::new(scheduler, config).run(scenario);
}

/// A failure prints a schedule, which `shuttle::replay` repeats, and the seed is set by `MMAP_SEED`.
fn explore_all(scenario: fn()) {
    let (seed, rounds) = (seed(), rounds(300) as usize);
    eprintln!("{rounds} schedules of each kind, MMAP_SEED={seed}");
    explore(RandomScheduler::new_from_seed(seed, rounds), scenario);
    explore(PctScheduler::new_from_seed(seed, 3, rounds), scenario);
}

#[test]
fn appends_and_dropped_heads_leave_each_value_in_its_place() {
    explore_all(|| everything_at_once(false));
}

#[test]
fn appends_pops_and_dropped_heads_leave_each_value_once() {
    explore_all(|| everything_at_once(true));
}
