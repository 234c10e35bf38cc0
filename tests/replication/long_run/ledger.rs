//! What was written to each array, so that it is known of any value that a server answers with whether it may be there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Arrays that are only appended to, and that lose values at the head: the values are consecutive numbers.
pub const LOGS: usize = 4;
/// Arrays of a fixed length, whose values are overwritten.
pub const TABLES: usize = 2;
/// Number of values of a table: enough for a `VFILL` that another thread carries out.
pub const SLOTS: u64 = 640_000;

const SLOT_BITS: u32 = 20;
const FILLED: u64 = 1 << 50;
/// What the values of a log count from, in each of its generations.
const GENERATION: u64 = 1 << 36;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Log,
    Table,
}

/// What the clients know of one array.
pub struct Ledger {
    pub kind: Kind,
    name: String,
    /// How often it was given up and begun again, under another name.
    generation: AtomicU64,
    /// The last number or version that any server may have got.
    attempted: AtomicU64,
}

/// What a value of a table says: who may have written it.
pub fn of_slot(slot: u64, version: u64) -> u64 {
    version << SLOT_BITS | slot
}

/// What `VFILL` writes.
pub fn of_fill(version: u64) -> u64 {
    FILLED | version << SLOT_BITS
}

/// The version of a value of a table.
pub fn version(value: u64) -> u64 {
    (value & (FILLED - 1)) >> SLOT_BITS
}

impl Ledger {
    pub fn all() -> Vec<Ledger> {
        let of = |kind, i| Ledger {
            kind,
            name: format!("{kind:?}{i}").to_lowercase(),
            generation: AtomicU64::new(0),
            attempted: AtomicU64::new(0),
        };
        let logs = (0..LOGS).map(|i| of(Kind::Log, i));
        logs.chain((0..TABLES).map(|i| of(Kind::Table, i)))
            .collect()
    }

    /// The key, and the name of its file.
    pub fn key(&self) -> String {
        // All in one slot of a Cluster.
        format!(
            "{{{}}}.{}",
            self.name,
            self.generation.load(Ordering::SeqCst)
        )
    }

    /// Whether it is a key that was given up.
    pub fn is_former(&self, key: &str) -> bool {
        let generation = key.strip_prefix(&format!("{{{}}}.", self.name));
        let generation = generation.and_then(|text| text.parse::<u64>().ok());
        generation.is_some_and(|number| number < self.generation.load(Ordering::SeqCst))
    }

    /// The number before the first of a log.
    pub fn base(&self) -> u64 {
        match self.kind {
            Kind::Log => self.generation.load(Ordering::SeqCst) * GENERATION,
            Kind::Table => 0,
        }
    }

    /// Begins again under another name.
    pub fn give_up(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.attempt(self.base());
    }

    /// Before it is sent: servers may have numbers or versions up to that.
    pub fn attempt(&self, last: u64) {
        self.attempted.fetch_max(last, Ordering::SeqCst);
    }

    /// What is wrong with values that a server answered with for `key`, from index `first` on, if anything is.
    pub fn check(&self, key: &str, first: u64, bytes: &[u8]) -> Result<u64, String> {
        if !bytes.len().is_multiple_of(8) {
            return Err(format!("{key}: {} bytes", bytes.len()));
        }
        let attempted = self.attempted.load(Ordering::SeqCst);
        let values = bytes
            .chunks_exact(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        let mut before = None;
        for (index, value) in (first..).zip(values) {
            let is_right = match self.kind {
                Kind::Log => {
                    value % GENERATION != 0
                        && value <= attempted
                        && before.is_none_or(|before: u64| value == before + 1)
                }
                Kind::Table => {
                    let slot = value & ((1 << SLOT_BITS) - 1);
                    let is_of_slot = value & FILLED == 0 && slot == index;
                    let is_of_fill = value & FILLED != 0 && slot == 0;
                    (is_of_slot || is_of_fill) && (1..=attempted).contains(&version(value))
                }
            };
            if !is_right {
                return Err(format!(
                    "{key}: index {index} holds {value}, after {before:?}; at most {attempted} was written"
                ));
            }
            before = Some(value);
        }
        Ok(bytes.len() as u64 / 8)
    }
}

/// What the run has seen.
#[derive(Default)]
pub struct Tally {
    pub compared: AtomicU64,
    pub writes: AtomicU64,
    pub acknowledged: AtomicU64,
    pub given_up: AtomicU64,
    differences: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<String, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Notes what must not be.
    pub fn differs(&self, what: String) {
        println!("DIFFERS: {what}");
        lock(&self.differences).push(what);
    }

    /// Counts something that happened.
    pub fn count(&self, what: &str) {
        *lock(&self.counts).entry(what.to_owned()).or_default() += 1;
    }

    pub fn has_differences(&self) -> bool {
        !lock(&self.differences).is_empty()
    }

    /// Prints all of it.
    pub fn print(&self, name: &str) {
        for (what, count) in &*lock(&self.counts) {
            println!("{name}: {count} x {what}");
        }
        let [compared, writes, acknowledged, given_up] = [
            &self.compared,
            &self.writes,
            &self.acknowledged,
            &self.given_up,
        ]
        .map(|number| number.load(Ordering::Relaxed));
        println!(
            "{name}: {writes} writes, {acknowledged} of them acknowledged by WAIT; {compared} values compared; \
             {given_up} arrays given up with an error; {} differences",
            lock(&self.differences).len()
        );
    }

    /// Prints all of it, and fails if anything differed.
    #[track_caller]
    pub fn report(&self, name: &str) {
        self.print(name);
        let differences = lock(&self.differences);
        assert!(differences.is_empty(), "{differences:#?}");
    }
}
