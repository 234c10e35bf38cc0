//! Every kind of change by threads at once, and what must be true of the values then: each appended one is there, popped or
//! dropped, once, in the order in which its thread appended it, with all that was added to it; and none that nobody appended.
//! `MMAP_SEED` repeats the choices (the interleaving is the system's), `MMAP_ROUNDS` sets how long it goes on.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::random::{Random, rounds, seed};

use crate::storage::tests::{bind, contents, path, recovered, store_in};
use crate::storage::types::ItemType;
use crate::storage::*;

const WRITERS: u64 = 2;
/// How long threads go on before all is compared.
const ROUND: Duration = Duration::from_millis(600);

/// A value: how often 1 was added to it, who appended it, and its number among those of that thread, from 1 on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Value {
    added: u16,
    writer: u16,
    number: u32,
}

impl Value {
    fn of(bytes: &[u8]) -> Self {
        let value = u64::from_le_bytes(bytes.try_into().unwrap());
        Self {
            added: (value >> 48) as u16,
            writer: (value >> 32) as u16,
            number: value as u32,
        }
    }

    fn all(bytes: &[u8]) -> Vec<Self> {
        bytes.chunks_exact(8).map(Self::of).collect()
    }

    fn bytes(self) -> [u8; 8] {
        let value = u64::from(self.added) << 48 | u64::from(self.writer) << 32;
        (value | u64::from(self.number)).to_le_bytes()
    }
}

/// The values of one moment: nobody else's, and each thread's in its order.
fn check_order(values: &[Value]) {
    let mut last = [0; WRITERS as usize];
    for (index, value) in values.iter().enumerate() {
        let last = last
            .get_mut(usize::from(value.writer))
            .unwrap_or_else(|| panic!("{value:?} at {index}: nobody appended it"));
        assert!(value.number > *last, "{value:?} at {index}, after {last}");
        *last = value.number;
    }
}

/// What threads do to one array, until it is over.
struct Round<'a> {
    store: &'a Store,
    bound: &'a Bound,
    over: &'a AtomicBool,
}

impl Round<'_> {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Appends from a number on, and says the next one.
    fn append(&self, writer: u16, mut next: u32, mut random: Random) -> u32 {
        while self.goes_on() {
            let most = *random.pick(&[1, 8, 600, 4000]);
            let count = 1 + random.below(most) as u32;
            let value = |number| Value {
                added: 0,
                writer,
                number,
            };
            let bytes: Vec<u8> = (next..next + count)
                .flat_map(|number| value(number).bytes())
                .collect();
            self.bound.append(&bytes).unwrap();
            next += count;
        }
        next
    }

    fn pop(&self, mut random: Random) -> Vec<Value> {
        let mut popped = Vec::new();
        while self.goes_on() {
            let most = *random.pick(&[1, 10, 2000]);
            let bytes = self.bound.pop(1 + random.below(most)).unwrap();
            popped.extend(Value::all(&bytes));
            if random.once_in(3) {
                self.bound.sync_exact().unwrap();
            }
        }
        popped
    }

    /// Trims at both ends; says how many values went at the head, and at the end.
    fn trim(&self, mut random: Random) -> (u64, u64) {
        let (mut head, mut tail) = (0, 0);
        while self.goes_on() {
            let trim = {
                let mut writer = self.bound.writer().unwrap();
                let count = writer.span().count;
                // Keeps nearly all, so that there is something to copy.
                let from = random.below(*random_limit(count)).min(count);
                let to = count - random.below(50).min(count - from);
                if from == to {
                    continue;
                }
                writer.begin_trim(&(from..to)).unwrap()
            };
            tail += trim.tail;
            let dropped = trim.head;
            match self.store.carry_out(self.bound, Task::Trim(trim)).result {
                Ok(_) => head += dropped,
                // Values that were to stay were removed, or appended too fast.
                Err(error) => assert!(matches!(error, Error::Trimming { .. }), "{error}"),
            }
        }
        (head, tail)
    }

    /// Adds 1 to values, and says to which how often.
    fn add(&self, mut random: Random) -> HashMap<(u16, u32), u16> {
        let mut added = HashMap::new();
        while self.goes_on() {
            let mut writer = self.bound.writer().unwrap();
            let count = writer.span().count;
            if count == 0 {
                continue;
            }
            let indices: Vec<u64> = (0..1 + random.below(20))
                .map(|_| random.below(count))
                .collect();
            let result: Result<Vec<u8>> = writer.update(&indices, |_, bytes| {
                let mut value = Value::of(bytes);
                value.added += 1;
                bytes.copy_from_slice(&value.bytes());
                Ok(())
            });
            for value in Value::all(&result.unwrap()) {
                *added.entry((value.writer, value.number)).or_default() += 1;
            }
        }
        added
    }

    /// Looks at all values in each way there is.
    fn read(&self, mut random: Random) {
        while self.goes_on() {
            match random.below(3) {
                0 => check_order(&Value::all(&contents(self.bound))),
                1 => self.scan(),
                // As a command that saves: values at the end may be removed while it reads.
                _ => {
                    let mut read = Vec::new();
                    let moment = self.bound.moment().unwrap();
                    let (count, result) = moment.read_in_pieces(|_, bytes| {
                        read.extend(Value::all(bytes));
                        true
                    });
                    result.unwrap();
                    assert!(count <= read.len() as u64);
                }
            }
        }
    }

    /// The least value of one moment is one that somebody appended.
    fn scan(&self) {
        let snapshot = self.bound.snapshot().unwrap();
        let mut bytes = vec![0; snapshot.count() as usize * 8];
        if snapshot.read(0, &mut bytes).is_ok() && snapshot.check().is_ok() {
            check_order(&Value::all(&bytes));
        }
    }
}

fn random_limit(count: u64) -> &'static u64 {
    if count > 200_000 { &100_000 } else { &300 }
}

/// What is known of all rounds so far.
struct Model {
    next: [u32; WRITERS as usize],
    /// How many values are not there any more, and not known one by one: dropped and trimmed.
    dropped: u64,
    trimmed: u64,
    popped: Vec<Value>,
    added: HashMap<(u16, u32), u16>,
}

impl Model {
    fn round(&mut self, store: &Store, bound: &Bound, random: &mut Random) {
        let over = AtomicBool::new(false);
        let round = Round {
            store,
            bound,
            over: &over,
        };
        let mut seeds = || Random::new(random.next());
        std::thread::scope(|scope| {
            let round = &round;
            let appending: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (random, next) = (seeds(), self.next[writer as usize]);
                    scope.spawn(move || round.append(writer as u16, next, random))
                })
                .collect();
            let random = seeds();
            let popping = scope.spawn(move || round.pop(random));
            let random = seeds();
            let trimming = scope.spawn(move || round.trim(random));
            let random = seeds();
            let adding = scope.spawn(move || round.add(random));
            let random = seeds();
            let reading = scope.spawn(move || round.read(random));
            // A length of time, and no condition: all of it is spent on looking for faults.
            std::thread::sleep(ROUND);
            over.store(true, Ordering::Relaxed);
            for (next, appending) in self.next.iter_mut().zip(appending) {
                *next = appending.join().unwrap();
            }
            self.popped.extend(popping.join().unwrap());
            let (head, tail) = trimming.join().unwrap();
            self.dropped += head;
            self.trimmed += tail;
            for (value, times) in adding.join().unwrap() {
                *self.added.entry(value).or_default() += times;
            }
            reading.join().unwrap();
        });
    }

    fn check(&self, found: &[u8]) {
        let found = Value::all(found);
        check_order(&found);
        let appended: u64 = self.next.iter().map(|&next| u64::from(next) - 1).sum();
        let gone = self.dropped + self.trimmed + self.popped.len() as u64;
        assert_eq!(found.len() as u64, appended - gone, "number of values");
        let mut seen: HashMap<(u16, u32), u16> = HashMap::new();
        for value in found.iter().chain(&self.popped) {
            let key = (value.writer, value.number);
            let others = seen.insert(key, value.added);
            assert_eq!(
                others, None,
                "{value:?} is there twice, or popped and there"
            );
            let added = self.added.get(&key).copied().unwrap_or(0);
            assert_eq!(value.added, added, "{value:?} lost an increment");
            assert!(
                value.number < self.next[usize::from(value.writer)],
                "{value:?}"
            );
        }
    }
}

#[test]
fn threads_that_change_an_array_at_once_lose_nothing_and_make_nothing_up() {
    let (seed, rounds) = (seed(), rounds(8));
    println!("{rounds} rounds, MMAP_SEED={seed}");
    let mut random = Random::new(seed);
    for case in 0..rounds.div_ceil(4) {
        let dir = tempfile::tempdir().unwrap();
        let store = store_in(dir.path());
        let name = if random.once_in(3) { "f.npy" } else { "f" };
        let slack = *random.pick(&[64 << 10, 1 << 20, 1 << 30]);
        store.settings().set_max_slack(slack);
        println!("case {case}: {name}, max-slack {slack}");
        let item = ItemType::parse(b"uint64", None).unwrap();
        let mut bound = bind(&store, name, item);
        let mut model = Model {
            next: [1; WRITERS as usize],
            dropped: 0,
            trimmed: 0,
            popped: Vec::new(),
            added: HashMap::new(),
        };
        for _ in 0..4 {
            model.round(&store, &bound, &mut random);
            let found = contents(&bound);
            model.check(&found);
            assert_eq!(bound.head(), model.dropped);
            if random.once_in(2) {
                assert!(recovered(dir.path(), &bound) == found, "after kill -9");
            }
            // Closed, it is exact at once; opened again, before or after the worker has closed it, it is the same.
            drop(bound);
            let len = fs::metadata(dir.path().join(name)).unwrap().len();
            assert_eq!(len % 128, (found.len() % 128) as u64, "{len} bytes");
            bound = store
                .bind(&path(name), item, Access::Writable, false)
                .unwrap();
            assert!(contents(&bound) == found, "after it was opened again");
        }
    }
}
