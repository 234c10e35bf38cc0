//! Every kind of change by threads at once, and what must be true of the values then: each appended one is there, popped,
//! dropped or replaced, once, in the order in which its thread appended it, with all that was added to it; and none that
//! was not written. What is filled is filled from the first to the last. In between, the last key of the file goes, and another
//! comes, while the worker, a trim and a fill are at work.
//!
//! `MMAP_SEED` repeats the choices of an episode (the interleaving is the system's), `MMAP_ROUNDS` and `MMAP_SECONDS` set how
//! long it goes on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::storage::array::writer::Writer;
use crate::storage::questions::aggregate::compare::Comparison;
use crate::storage::questions::find::{Condition, Find, Keep};
use crate::storage::tests::{bind, contents, path, recovered, store_in};
use crate::storage::types::ItemType;
use crate::storage::*;
use support::ledger::{APPENDERS, FILLER, Ledger, ONE_MORE, SETTER, Tag, appended, check_order};
use support::random::{Episodes, Random};

/// How long threads go on before all is compared.
const ROUND: Duration = Duration::from_millis(600);
const ROUNDS: usize = 4;
/// With more values nothing is appended, so that time is not spent on counting them.
const ENOUGH: u64 = 400_000;
/// Length of a new `.npy` file's header.
const HEADER: usize = 128;

/// What is done in place in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum InPlace {
    Add,
    Set,
    Fill,
}

/// What threads do to one array, until it is over.
struct Round<'a> {
    store: &'a Store,
    dir: &'a Path,
    name: &'a str,
    item: ItemType,
    /// The key. A thread that closes it holds the write lock; long writes continue without it.
    bound: &'a RwLock<Option<Bound>>,
    over: &'a AtomicBool,
    in_place: InPlace,
    /// The least position at which the array ended since a fill began, and since a read in pieces did.
    lowest_end: &'a AtomicU64,
    lowest_end_of_read: &'a AtomicU64,
    /// How many values were dropped from the head in pauses of fills.
    dropped: &'a AtomicU64,
}

/// What was filled, with which number.
type Filled = HashMap<u32, Range<u64>>;

impl Round<'_> {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn with<T>(&self, work: impl FnOnce(&Bound) -> T) -> T {
        work(self.bound.read().as_ref().expect("it is bound"))
    }

    /// Notes where the array ends, under its lock.
    fn note_end(&self, writer: &Writer<'_>) {
        let end = writer.span().end();
        self.lowest_end.fetch_min(end, Ordering::Relaxed);
        self.lowest_end_of_read.fetch_min(end, Ordering::Relaxed);
    }

    /// Appends from a number on, at least once, and says the next one.
    fn append(&self, writer: u16, mut next: u32, mut random: Random) -> u32 {
        loop {
            if self.goes_on() && self.with(|bound| bound.published_count()) > ENOUGH {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let most = *random.pick(&[1, 8, 600, 4000]);
            let count = 1 + random.below(most) as u32;
            let bytes = appended(writer, next..next + count);
            self.with(|bound| bound.append(&bytes)).unwrap();
            next += count;
            if !self.goes_on() {
                return next;
            }
        }
    }

    fn pop(&self, mut random: Random) -> Vec<Tag> {
        let mut popped = Vec::new();
        while self.goes_on() {
            let most = *random.pick(&[1, 10, 2000]);
            self.with(|bound| {
                let mut writer = bound.writer().unwrap();
                let bytes = writer.pop(1 + random.below(most)).unwrap();
                self.note_end(&writer);
                popped.extend(Tag::all(&bytes));
            });
            match random.below(4) {
                0 => self.with(|bound| bound.sync_exact()).unwrap(),
                1 => self.with(|bound| bound.sync()).unwrap(),
                _ => {}
            }
        }
        popped
    }

    /// Has a long write of an array carried out: by this thread or, as a command does, by another one, so that the key may go
    /// before it ends.
    fn carry_out(&self, array: &Arc<Array>, task: Task, random: &mut Random) -> Result<u64> {
        if random.once_in(2) {
            return self.store.tasks.carry_out(array, task).result;
        }
        let (done, end) = mpsc::channel();
        let tell = Box::new(move |end: TaskEnd| done.send(end.result).unwrap());
        let cancel = Cancel::default();
        self.store.task_threads.send(array, task, cancel, tell);
        end.recv().unwrap()
    }

    /// Trims at both ends; says how many values went at the head, and at the end.
    fn trim(&self, mut random: Random) -> (u64, u64) {
        let (mut head, mut tail) = (0, 0);
        let at_end = random.once_in(2);
        while self.goes_on() {
            let trim = self.with(|bound| {
                let mut writer = bound.writer().unwrap();
                let count = writer.span().count;
                // Keeps nearly all, so that there is something to copy.
                let most = if count > 200_000 { 100_000 } else { 300 };
                let from = random.below(most).min(count);
                let last = if at_end { random.below(50) } else { 0 };
                let to = count - last.min(count - from);
                if from == to {
                    return None;
                }
                // It is refused while another trim is under way.
                let trim = writer.begin_trim(&(from..to)).ok()?;
                self.note_end(&writer);
                Some((bound.share(), trim))
            });
            let Some((array, trim)) = trim else {
                continue;
            };
            tail += trim.tail;
            let dropped = trim.head;
            match self.carry_out(&array, Task::Trim(trim), &mut random) {
                Ok(_) => head += dropped,
                // Values that were to stay were removed, or appended too fast; or the last key went.
                Err(Error::Trimming { .. } | Error::Closed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        (head, tail)
    }

    /// Adds 1 to values, and says to which how often.
    fn add(&self, mut random: Random) -> HashMap<(u16, u32), u16> {
        let mut added = HashMap::new();
        while self.goes_on() && self.in_place == InPlace::Add {
            let result = self.with(|bound| {
                let mut writer = bound.overwriter(MOST_INDICES, MOST_INDICES).unwrap();
                let indices = indices(&writer, &mut random);
                writer.update(&indices, |_, bytes| {
                    let value = u64::from_le_bytes((&*bytes).try_into().unwrap());
                    bytes.copy_from_slice(&(value + ONE_MORE).to_le_bytes());
                    Ok::<_, Error>(())
                })
            });
            for value in Tag::all(&result.unwrap()) {
                *added.entry(value.key()).or_default() += 1;
            }
        }
        added
    }

    /// Sets values, and says which others were there, and the next number.
    fn set(&self, mut next: u32, mut random: Random) -> (Vec<Tag>, u32) {
        let mut replaced = Vec::new();
        while self.goes_on() && self.in_place == InPlace::Set {
            self.with(|bound| {
                let mut writer = bound.overwriter(MOST_INDICES, MOST_INDICES).unwrap();
                let mut indices = indices(&writer, &mut random);
                indices.sort_unstable();
                indices.dedup();
                let old = writer.update(&indices, |_, _| Ok::<_, Error>(()));
                replaced.extend(Tag::all(&old.unwrap()));
                let new = appended(SETTER, next..next + indices.len() as u32);
                next += indices.len() as u32;
                match indices[..] {
                    [first, .., last] if last - first + 1 == indices.len() as u64 => {
                        writer.set_from(first, &new).unwrap();
                    }
                    _ => writer.set(&indices, &new).unwrap(),
                }
            });
        }
        (replaced, next)
    }

    /// Fills ranges one after the other, and looks at each when it is done.
    fn fill(&self, mut next: u32, mut random: Random, filled: &mut Filled) -> u32 {
        while self.goes_on() && self.in_place == InPlace::Fill {
            let positions = self.with(|bound| {
                let writer = bound.writer().unwrap();
                let Span { head, count } = writer.span();
                self.lowest_end.store(head + count, Ordering::Relaxed);
                let from = if random.once_in(2) {
                    0
                } else {
                    random.below(count + 1)
                };
                let to = if random.once_in(2) {
                    count
                } else {
                    from + random.below(count + 1 - from)
                };
                head + from..head + to
            });
            if positions.is_empty() {
                continue;
            }
            let value = Tag::new(FILLER, next);
            filled.insert(next, positions.clone());
            next += 1;
            let bytes = value.value().to_le_bytes();
            let result = if random.once_in(2) {
                self.fill_slowly(&positions, &bytes, &mut random)
            } else {
                let task = Task::Fill {
                    positions: positions.clone(),
                    value: bytes.into(),
                };
                let array = self.with(|bound| bound.share());
                self.carry_out(&array, task, &mut random)
            };
            match result {
                Ok(count) => self.check_filled(&positions, value, count),
                Err(Error::Closed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        next
    }

    /// With pauses, in some of which values go at the head.
    fn fill_slowly(
        &self,
        positions: &Range<u64>,
        value: &[u8],
        random: &mut Random,
    ) -> Result<u64> {
        let random = RefCell::new(random);
        let array = self.with(|bound| bound.share());
        let between = || {
            let random = &mut random.borrow_mut();
            if self.goes_on() && random.once_in(2) {
                self.drop_some(&array, random);
            }
            Ok(())
        };
        let (cancel, mut count) = (Cancel::default(), 0);
        array
            .fill(positions.clone(), value, &cancel, between, &mut count)
            .map(|()| count)
    }

    fn drop_some(&self, array: &Arc<Array>, random: &mut Random) {
        let begun = array.writer().and_then(|mut writer| {
            let count = writer.span().count;
            let dropped = count.min(1 + random.below(300));
            // All of them would go at once, as at the end.
            (dropped < count)
                .then(|| writer.begin_trim(&(dropped..count)))
                .transpose()
        });
        let done = begun.and_then(|trim| match trim {
            Some(trim) => self.store.tasks.carry_out(array, Task::Trim(trim)).result,
            None => Ok(0),
        });
        match done {
            Ok(dropped) => {
                self.dropped.fetch_add(dropped, Ordering::Relaxed);
            }
            Err(Error::Trimming { .. } | Error::Closed { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What was there all the time while it was filled is that value.
    fn check_filled(&self, positions: &Range<u64>, value: Tag, count: u64) {
        let (extent, values) = self.with(|bound| {
            let mut view = bound.view().unwrap();
            let mut bytes = vec![0; view.count() as usize * 8];
            view.read(0, &mut bytes).unwrap();
            (view.span(), Tag::all(&bytes))
        });
        let lowest = self.lowest_end.load(Ordering::Relaxed);
        let stayed = positions.start.max(extent.head)..positions.end.min(lowest);
        for position in stayed.clone() {
            let found = values[(position - extent.head) as usize];
            assert_eq!(
                found, value,
                "position {position} of {positions:?}, {extent:?}"
            );
        }
        let least = stayed.end.saturating_sub(stayed.start);
        let most = positions.end - positions.start;
        assert!(
            (least..=most).contains(&count),
            "{count} of {positions:?}, {stayed:?}"
        );
    }

    /// Looks at all values in each way there is.
    fn read(&self, mut random: Random) {
        while self.goes_on() {
            match random.below(4) {
                0 => check_order(&Tag::all(&self.with(contents))),
                1 => self.read_snapshot(),
                2 => self.scan(),
                // As a child that saves: values at the end may be removed while it reads, and others may come there. What it read of
                // those is of two times.
                _ => {
                    let mut read = Vec::new();
                    let bound = self.bound.read();
                    self.lowest_end_of_read.store(u64::MAX, Ordering::Relaxed);
                    let moment = bound.as_ref().expect("it is bound").moment().unwrap();
                    let (count, result) = moment.read_in_pieces(|_, bytes| {
                        read.extend(Tag::all(bytes));
                        true
                    });
                    result.unwrap();
                    assert!(count <= read.len() as u64);
                    let lowest = self.lowest_end_of_read.load(Ordering::Relaxed);
                    let stayed = count.min(lowest.saturating_sub(moment.span().head));
                    check_order(&read[..stayed as usize]);
                }
            }
        }
    }

    /// What is read of a snapshot stays what it was, whatever is changed.
    fn read_snapshot(&self) {
        let snapshot = self.with(|bound| bound.snapshot()).unwrap();
        let mut bytes = vec![0; snapshot.count() as usize * 8];
        let mut again = bytes.clone();
        let is_whole = snapshot.read(0, &mut bytes).is_ok();
        std::thread::sleep(Duration::from_millis(5));
        if is_whole && snapshot.read(0, &mut again).is_ok() && snapshot.check().is_ok() {
            assert!(bytes == again, "values of a snapshot became others");
            check_order(&Tag::all(&bytes));
        }
    }

    /// On the pool, like a command: there must be no value that was not written.
    fn scan(&self) {
        let (done, answer) = mpsc::channel();
        let item = self.item;
        let query = move || {
            let condition = Condition {
                comparison: Comparison::Equal,
                value: [0; 8].into(),
            };
            Find::new(item, vec![condition], u64::MAX, Keep::Number)
        };
        self.with(|bound| {
            let tell = move |answer| {
                let _ = done.send(answer);
            };
            let cancel = Cancel::default();
            self.store
                .scan_in_background(bound, |count| 0..count, query, cancel, tell);
        });
        // It may have been given up, since too much was changed or the key went.
        if let Ok(Ok(matches)) = answer.recv() {
            assert_eq!(matches.count, 0, "zeros that were not written");
        }
    }

    /// The last key goes, and another comes: before or after the worker has closed the array. Between the two the file is
    /// exact, and what it was but for what a long write does that is under way.
    fn close_and_open(&self, mut random: Random) {
        while self.goes_on() {
            std::thread::sleep(Duration::from_millis(1 + random.below(120)));
            let mut bound = self.bound.write();
            let mut before = contents(bound.as_ref().expect("it is bound"));
            drop(bound.take());
            for _ in 0..1 + random.below(2) {
                let now = self.file();
                check_unbound(&before, &now);
                before = now;
                std::thread::sleep(Duration::from_millis(random.below(20)));
            }
            let again = self
                .store
                .bind(&path(self.name), self.item, Access::Writable, false)
                .unwrap();
            check_unbound(&before, &contents(&again));
            *bound = Some(again);
        }
    }

    /// The values in the file, which no key is bound to.
    fn file(&self) -> Vec<u8> {
        let file = fs::read(self.dir.join(self.name)).unwrap();
        let header = if self.name.ends_with(".npy") {
            HEADER
        } else {
            0
        };
        file[header..].to_vec()
    }
}

/// Nothing but a long write that was under way has changed the values of a file: some are gone at the head, or filled.
fn check_unbound(before: &[u8], now: &[u8]) {
    assert!(
        now.len() <= before.len(),
        "{} bytes, {} before",
        now.len(),
        before.len()
    );
    assert_eq!(now.len() % 8, 0);
    let stayed = &before[before.len() - now.len()..];
    for (index, (was, is)) in Tag::all(stayed).into_iter().zip(Tag::all(now)).enumerate() {
        assert!(
            was == is || is.writer == FILLER,
            "{was:?} became {is:?} at {index}"
        );
    }
}

/// Some of the values there are.
/// Of so many values at most one command changes some.
const MOST_INDICES: usize = 20;

fn indices(writer: &Writer<'_>, random: &mut Random) -> Vec<u64> {
    let count = writer.span().count;
    let some = if count == 0 {
        0
    } else {
        1 + random.below(MOST_INDICES as u64)
    };
    let first = random.below(count.max(1));
    let in_a_row = random.once_in(3);
    (0..some)
        .map(|i| {
            if in_a_row {
                (first + i) % count
            } else {
                random.below(count)
            }
        })
        .collect()
}

/// The values of fills lie where they were to.
fn check_fills(found: &[Tag], head: u64, filled: &Filled) {
    for (position, value) in (head..).zip(found) {
        if value.writer == FILLER {
            let positions = &filled[&value.number];
            assert!(
                positions.contains(&position),
                "{value:?} at {position}, not in {positions:?}"
            );
        }
    }
}

/// Runs everything at once for a while, and records the results.
fn play(round: &Round<'_>, random: &mut Random, ledger: &mut Ledger, filled: &mut Filled) {
    let mut seeds = || Random::new(random.next());
    let next = ledger.next;
    std::thread::scope(|scope| {
        let appending: Vec<_> = (0..APPENDERS)
            .map(|writer| {
                let random = seeds();
                scope.spawn(move || round.append(writer, next[usize::from(writer)], random))
            })
            .collect();
        let random = seeds();
        let popping = scope.spawn(move || round.pop(random));
        let random = seeds();
        let trimming = scope.spawn(move || round.trim(random));
        let random = seeds();
        let adding = scope.spawn(move || round.add(random));
        let random = seeds();
        let setting = scope.spawn(move || round.set(next[usize::from(SETTER)], random));
        let random = seeds();
        let filling = scope.spawn(move || round.fill(next[usize::from(FILLER)], random, filled));
        let random = seeds();
        let reading = scope.spawn(move || round.read(random));
        let random = seeds();
        let closing = scope.spawn(move || round.close_and_open(random));
        // Not a wait for a condition: the whole time is spent looking for faults.
        std::thread::sleep(ROUND);
        round.over.store(true, Ordering::Relaxed);
        for (next, appending) in ledger.next.iter_mut().zip(appending) {
            *next = appending.join().unwrap();
        }
        ledger.popped = popping.join().unwrap();
        (ledger.dropped, ledger.trimmed) = trimming.join().unwrap();
        ledger.added = adding.join().unwrap();
        (ledger.replaced, ledger.next[usize::from(SETTER)]) = setting.join().unwrap();
        ledger.next[usize::from(FILLER)] = filling.join().unwrap();
        reading.join().unwrap();
        closing.join().unwrap();
    });
    ledger.dropped += round.dropped.load(Ordering::Relaxed);
    ledger.filled = round.in_place == InPlace::Fill;
}

/// Says how many values were compared with what they must be.
fn episode(random: &mut Random) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let name = if random.once_in(3) { "f.npy" } else { "f" };
    let slack = *random.pick(&[64 << 10, 1 << 20, 1 << 30]);
    store.settings().set_max_slack(slack);
    let fsync = *random.pick(&[Fsync::EverySecond, Fsync::No, Fsync::Always]);
    store.set_fsync(fsync);
    let item = ItemType::parse(b"uint64", None).unwrap();
    let bound = RwLock::new(Some(bind(&store, name, item)));
    let (mut ledger, mut filled) = (Ledger::new(), Filled::new());
    let (mut head, mut compared) = (0, 0);
    for _ in 0..ROUNDS {
        let in_place = *random.pick(&[InPlace::Add, InPlace::Set, InPlace::Fill]);
        println!("{name}, max-slack {slack}, {fsync:?}, {in_place:?}");
        let (over, lowest_end) = (AtomicBool::new(false), AtomicU64::new(0));
        let (lowest_end_of_read, dropped) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
        let round = Round {
            store: &store,
            dir: dir.path(),
            name,
            item,
            bound: &bound,
            over: &over,
            in_place,
            lowest_end: &lowest_end,
            lowest_end_of_read: &lowest_end_of_read,
            dropped: &dropped,
        };
        play(&round, random, &mut ledger, &mut filled);
        let bound = bound.read();
        let bound = bound.as_ref().expect("it is bound");
        let found = contents(bound);
        head += ledger.dropped;
        assert_eq!(bound.head(), head);
        let tags = Tag::all(&found);
        check_fills(&tags, head, &filled);
        compared += tags.len() + ledger.popped.len();
        ledger.settle(&tags);
        // By itself, after each kind of last write: the next one would set right what it left in the record.
        let left = match random.below(3) {
            0 => found,
            1 => {
                let left = found.len() - bound.pop(1 + random.below(9)).unwrap().len();
                found[..left].to_vec()
            }
            _ => {
                let left = tags.len() as u64 - random.below(tags.len() as u64 / 2 + 1);
                bound.truncate(left).unwrap();
                found[..left as usize * 8].to_vec()
            }
        };
        assert!(recovered(dir.path(), bound) == left, "after kill -9");
        assert!(contents(bound) == left);
        let gone = tags.len() - left.len() / 8;
        ledger.popped = tags[tags.len() - gone..].to_vec();
        ledger.settle(&tags[..tags.len() - gone]);
    }
    compared
}

#[test]
fn threads_that_change_an_array_at_once_lose_nothing_and_make_nothing_up() {
    let (mut episodes, mut compared) = (0, 0);
    for seed in Episodes::new(1) {
        compared += episode(&mut Random::new(seed));
        episodes += 1;
    }
    println!("threads at once: {episodes} episodes, {compared} values compared");
    assert!(compared > 0);
}
