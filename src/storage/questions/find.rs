//! Which values fulfil conditions.

use std::cell::RefCell;
use std::collections::TryReserveError;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::questions::aggregate::Extended;
use crate::storage::questions::aggregate::kernel;
use crate::storage::questions::aggregate::kernel::{Comparison, CountOnes, Mask, Number};
use crate::storage::scan::background::Query;
use crate::storage::types::{ItemType, Kind};

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

/// A search for the first values that fulfil all conditions.
#[derive(Debug)]
pub struct Find {
    item: ItemType,
    conditions: Vec<Condition>,
    /// How many are wanted at most.
    limit: u64,
    /// Whether their number is enough.
    count_only: bool,
    /// How many were found, by all threads.
    found: AtomicU64,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matches {
    pub count: u64,
    /// Empty where only the number was asked for.
    pub indices: Vec<u64>,
}

impl Find {
    pub fn new(item: ItemType, conditions: Vec<Condition>, limit: u64, count_only: bool) -> Self {
        Self {
            item,
            conditions,
            limit,
            count_only,
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
            match self.item.kind() {
                Kind::Int8 => numbers!(i8),
                Kind::Int16 => numbers!(i16),
                Kind::Int32 => numbers!(i32),
                Kind::Int64 => numbers!(i64),
                Kind::Uint8 => numbers!(u8),
                Kind::Uint16 => numbers!(u16),
                Kind::Uint32 => numbers!(u32),
                Kind::Uint64 => numbers!(u64),
                Kind::Float => numbers!(f32),
                Kind::Double => numbers!(f64),
                Kind::LongDouble => {
                    let value = Extended::all(&condition.value)[0];
                    mark_numbers(condition.comparison, value, &Extended::all(bytes), mask);
                }
                Kind::String => {
                    for (keep, item) in mask.iter_mut().zip(bytes.chunks_exact(self.item.size())) {
                        *keep &= u8::from(condition.comparison.holds(item, &condition.value));
                    }
                }
            }
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
            if count > 0 && !self.count_only {
                let ones = (index..).zip(&*mask).filter(|&(_, &one)| one == 1);
                let missing = self.limit.saturating_sub(part.count).min(count);
                part.indices.try_reserve(missing as usize)?;
                part.indices
                    .extend(ones.map(|(index, _)| index).take(missing as usize));
            }
            part.count += count;
            self.found.fetch_add(count, Ordering::Relaxed);
            Ok(())
        })
    }

    fn has_enough(&self) -> bool {
        self.found.load(Ordering::Relaxed) >= self.limit
    }

    fn answer(&self, _: &Range<u64>, parts: Vec<Matches>) -> Result<Matches, TryReserveError> {
        let mut all = Matches::default();
        for part in parts {
            all.count += part.count;
            all.indices.try_reserve(part.indices.len())?;
            all.indices.extend(part.indices);
        }
        all.count = all.count.min(self.limit);
        all.indices.truncate(all.count as usize);
        Ok(all)
    }
}
