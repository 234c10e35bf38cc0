//! Values that name their writer, and an account of each. After several writers have worked on an array, each value must be
//! there, or have been removed once, with all increments; and there must be none that was not appended.

use std::collections::{HashMap, HashSet};

/// A value of 8 bytes: how often 1 was added to its upper 16 bits, who appended it, and its number among those of that
/// writer, from 1 on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tag {
    pub added: u16,
    pub writer: u16,
    pub number: u32,
}

/// What `VINCRBY` adds.
pub const ONE_MORE: u64 = 1 << 48;

type Key = (u16, u32);

impl Tag {
    pub fn new(writer: u16, number: u32) -> Tag {
        Tag {
            added: 0,
            writer,
            number,
        }
    }

    pub fn of(value: u64) -> Tag {
        Tag {
            added: (value >> 48) as u16,
            writer: (value >> 32) as u16,
            number: value as u32,
        }
    }

    pub fn all(bytes: &[u8]) -> Vec<Tag> {
        let value = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        bytes
            .chunks_exact(8)
            .map(|bytes| Tag::of(value(bytes)))
            .collect()
    }

    pub fn value(self) -> u64 {
        u64::from(self.added) << 48 | u64::from(self.writer) << 32 | u64::from(self.number)
    }

    pub fn key(self) -> Key {
        (self.writer, self.number)
    }
}

/// The bytes of values that one writer appends from a number on.
pub fn appended(writer: u16, numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers
        .flat_map(|number| Tag::new(writer, number).value().to_le_bytes())
        .collect()
}

/// Those that append: they count from 0 on, and the values of each stand in its order.
pub const APPENDERS: u16 = 2;
/// Who sets values in place, in any order.
pub const SETTER: u16 = APPENDERS;
/// Who sets ranges to one value each.
pub const FILLER: u16 = APPENDERS + 1;

/// Checks the values of one moment: all are from known writers, and those of each writer are in its order.
pub fn check_order(values: &[Tag]) {
    let mut last = [0; APPENDERS as usize];
    for (index, value) in values.iter().enumerate() {
        assert!(
            value.writer <= FILLER && value.number > 0,
            "{value:?} at {index}: it was never written"
        );
        if let Some(last) = last.get_mut(usize::from(value.writer)) {
            assert!(value.number > *last, "{value:?} at {index}, after {last}");
            *last = value.number;
        }
    }
}

/// What was done since the values were known last. *Perhaps* is what was not acknowledged: it may have been done or not.
#[derive(Default)]
pub struct Ledger {
    before: HashMap<Key, u16>,
    /// How many values there were then.
    count: u64,
    /// The next number of each writer, at the time and now.
    first: [u32; FILLER as usize + 1],
    pub next: [u32; FILLER as usize + 1],
    pub perhaps_appended: [u32; APPENDERS as usize],
    /// Values that were removed, as they were then.
    pub popped: Vec<Tag>,
    /// Values that were there when others were set in their place.
    pub replaced: Vec<Tag>,
    /// How many were removed that are not known one by one: at the head, and at the end.
    pub dropped: u64,
    pub trimmed: u64,
    pub perhaps_removed: u64,
    /// How often 1 was added to which.
    pub added: HashMap<Key, u16>,
    pub perhaps_added: u64,
    /// Whether ranges were filled: what was there before is not known then.
    pub filled: bool,
}

impl Ledger {
    /// An empty array.
    pub fn new() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.first.fill(1);
        ledger.next.fill(1);
        ledger
    }

    /// Compares what is there with what may be, and begins again from that.
    pub fn settle(&mut self, found: &[Tag]) {
        self.check(found);
        let perhaps = |writer: usize| self.perhaps_appended.get(writer).copied().unwrap_or(0);
        let next = std::array::from_fn(|writer| self.next[writer] + perhaps(writer));
        *self = Ledger {
            before: found.iter().map(|tag| (tag.key(), tag.added)).collect(),
            count: found.len() as u64,
            first: next,
            next,
            ..Ledger::default()
        };
    }

    fn check(&self, found: &[Tag]) {
        check_order(found);
        self.check_number(found.len() as u64);
        let is_fill = |tag: &&Tag| tag.writer == FILLER;
        let mut seen = HashSet::new();
        let mut excess = 0;
        for tag in found.iter().chain(&self.popped).chain(&self.replaced) {
            let key = tag.key();
            assert!(
                seen.insert(key) || is_fill(&tag),
                "{tag:?} is there twice, or removed and there"
            );
            let writer = usize::from(tag.writer);
            let perhaps = self.perhaps_appended.get(writer).copied().unwrap_or(0);
            let is_new = (self.first[writer]..self.next[writer] + perhaps).contains(&tag.number);
            assert!(
                is_new || self.before.contains_key(&key),
                "{tag:?} was not there, and was not written since"
            );
            if is_fill(&tag) {
                continue;
            }
            let before = self.before.get(&key).copied().unwrap_or(0);
            let least = before + self.added.get(&key).copied().unwrap_or(0);
            assert!(tag.added >= least, "{tag:?} lost an increment: {least}");
            excess += u64::from(tag.added - least);
        }
        assert!(
            excess <= self.perhaps_added,
            "{excess} increments too many, at most {} may be",
            self.perhaps_added
        );
        if self.trimmed == 0 && self.perhaps_removed == 0 && !self.filled {
            self.check_missing(found, &seen);
        }
    }

    /// Values leave at the head, unless they are known one by one.
    fn check_missing(&self, found: &[Tag], seen: &HashSet<Key>) {
        for writer in 0..APPENDERS {
            let of_writer = |&&(by, _): &&Key| by == writer;
            let least = found
                .iter()
                .filter(|tag| tag.writer == writer)
                .map(|tag| tag.number)
                .min();
            let before = self
                .before
                .keys()
                .filter(of_writer)
                .map(|&(_, number)| number);
            let new = self.first[usize::from(writer)]..self.next[usize::from(writer)];
            let hole = before.chain(new).find(|&number| {
                least.is_some_and(|least| number > least) && !seen.contains(&(writer, number))
            });
            assert_eq!(
                hole, None,
                "a value of writer {writer} is gone from the middle"
            );
        }
    }

    fn check_number(&self, found: u64) {
        let appended: u64 = (0..usize::from(APPENDERS))
            .map(|writer| u64::from(self.next[writer] - self.first[writer]))
            .sum();
        let perhaps: u64 = self.perhaps_appended.iter().map(|&n| u64::from(n)).sum();
        let removed = self.dropped + self.trimmed + self.popped.len() as u64;
        let there = self.count + appended;
        assert!(
            found + removed <= there + perhaps && found + removed + self.perhaps_removed >= there,
            "{found} values: of {there} and perhaps {perhaps}, {removed} and perhaps {} were removed",
            self.perhaps_removed
        );
    }
}
