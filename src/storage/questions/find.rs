//! Which values fulfil conditions.

use std::cell::RefCell;
use std::collections::TryReserveError;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::questions::aggregate::compare::{Comparison, CountOnes, Mask};
use crate::storage::questions::aggregate::kernel;
use crate::storage::questions::aggregate::number::Number;
use crate::storage::scan::background::Query;
use crate::storage::types::by_type;
use crate::storage::types::{ItemType, Kind, LongDouble, Place, ValueError};

thread_local! {
    /// One byte for each value of a chunk: 1 if it fulfils all conditions.
    static MASK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A comparison with a value, which is encoded as those of the array are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    pub comparison: Comparison,
    pub value: Box<[u8]>,
}

impl Condition {
    /// The condition that values compare so with what stands at a place; `None` if all do.
    ///
    /// # Errors
    /// Only where strings are compared with what has a place among numbers alone.
    pub fn new(
        comparison: Comparison,
        place: Place,
        item: ItemType,
    ) -> Result<Option<Self>, ValueError> {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let (comparison, value) = match (comparison, place) {
            (comparison, Place::At(value)) if item.kind() == Kind::String => {
                let mut padded = value.into_vec();
                padded.resize(padded.len().max(item.size()), 0);
                (comparison, padded.into())
            }
            (comparison, Place::At(value)) => (comparison, value),
            (NotEqual, _) => return Ok(None),
            // Nothing is below the least value.
            (Equal, _) => (Less, item.least()?),
            (Less | LessOrEqual, Place::After(value)) => (LessOrEqual, value),
            (Greater | GreaterOrEqual, Place::After(value)) => (Greater, value),
            (Less | LessOrEqual, Place::Before(value)) => (Less, value),
            (Greater | GreaterOrEqual, Place::Before(value)) => (GreaterOrEqual, value),
        };
        Ok(Some(Self { comparison, value }))
    }
}

/// What is wanted of the values that are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    Number,
    Indices,
    IndicesAndValues,
}

/// A search for the first values that fulfil all conditions.
#[derive(Debug)]
pub struct Find {
    item: ItemType,
    conditions: Vec<Condition>,
    /// How many are wanted at most.
    limit: u64,
    keep: Keep,
    /// How many were found, by all threads.
    found: AtomicU64,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matches {
    pub count: u64,
    /// Empty where only the number was asked for.
    pub indices: Vec<u64>,
    /// As they lie in the file, one after another; empty where they were not asked for.
    pub values: Vec<u8>,
    /// The index at which the range ended.
    pub end: u64,
}

impl Find {
    pub fn new(item: ItemType, conditions: Vec<Condition>, limit: u64, keep: Keep) -> Self {
        Self {
            item,
            conditions,
            limit,
            keep,
            found: AtomicU64::new(0),
        }
    }

    fn mark(&self, bytes: &[u8], mask: &mut [u8]) {
        for condition in &self.conditions {
            /// Compares numbers with the loops for their type.
            macro_rules! numbers {
                ($type:ty) => {
                    mark_numbers::<$type>(
                        condition.comparison,
                        bytemuck::pod_read_unaligned(&condition.value),
                        bytemuck::cast_slice(bytes),
                        mask,
                    )
                };
            }
            by_type!(self.item.kind(); numbers!, numbers!;
                LongDouble => {
                    let value = LongDouble::all(&condition.value)[0];
                    mark_numbers(condition.comparison, value, &LongDouble::all(bytes), mask);
                };
                String => {
                    for (keep, item) in mask.iter_mut().zip(bytes.chunks_exact(self.item.size())) {
                        *keep &= u8::from(condition.comparison.holds(item, &condition.value));
                    }
                }
            );
        }
    }
}

fn mark_numbers<T: Number>(comparison: Comparison, value: T, xs: &[T], mask: &mut [u8]) {
    let kernel = Mask {
        comparison,
        value,
        mask,
    };
    kernel::run(kernel, xs);
}

impl Query for Find {
    type Part = Matches;
    type Whole = Matches;
    type Answer = Matches;

    fn take_in(
        &self,
        _: &Range<u64>,
        part: &mut Matches,
        index: u64,
        bytes: &[u8],
    ) -> Result<(), TryReserveError> {
        MASK.with_borrow_mut(|mask| {
            mask.clear();
            mask.resize(bytes.len() / self.item.size(), 1);
            self.mark(bytes, mask);
            let count = kernel::run(CountOnes, mask) as u64;
            if count > 0 && self.keep != Keep::Number {
                let missing = self.limit.saturating_sub(part.count).min(count) as usize;
                let ones = (index..).zip(&*mask).filter(|&(_, &one)| one == 1);
                part.indices.try_reserve(missing)?;
                part.indices
                    .extend(ones.map(|(index, _)| index).take(missing));
                if self.keep == Keep::IndicesAndValues {
                    let items = bytes.chunks_exact(self.item.size()).zip(&*mask);
                    let ones = items.filter(|&(_, &one)| one == 1).take(missing);
                    part.values.try_reserve(missing * self.item.size())?;
                    ones.for_each(|(item, _)| part.values.extend_from_slice(item));
                }
            }
            part.count += count;
            self.found.fetch_add(count, Ordering::Relaxed);
            Ok(())
        })
    }

    fn has_enough(&self) -> bool {
        self.found.load(Ordering::Relaxed) >= self.limit
    }

    fn merge(&self, all: &mut Matches, part: Matches) -> Result<(), TryReserveError> {
        let missing = usize::try_from(self.limit - all.count).unwrap_or(usize::MAX);
        let indices = &part.indices[..part.indices.len().min(missing)];
        all.indices.try_reserve(indices.len())?;
        all.indices.extend(indices);
        let bytes = missing.saturating_mul(self.item.size());
        let values = &part.values[..part.values.len().min(bytes)];
        all.values.try_reserve(values.len())?;
        all.values.extend(values);
        all.count = all.count.saturating_add(part.count).min(self.limit);
        Ok(())
    }

    fn answer(&self, range: &Range<u64>, mut all: Matches) -> Result<Matches, TryReserveError> {
        all.end = range.end;
        Ok(all)
    }
}
