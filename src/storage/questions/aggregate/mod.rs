//! Aggregates of an array's values: their sum, least, mean. Semantics and accuracy are those of numpy or better;
//! docs/commands/queries.md states them.
//!
//! Values are taken in chunk by chunk into a [`Partial`]; the partials of chunks, of threads and of parts of an array
//! are merged in their order, and give the same answer however the array was divided.

pub mod buckets;
pub mod compare;
mod doubles;
mod exact;
pub mod kernel;
mod loops;
pub mod number;
mod op;
mod sum;
#[cfg(test)]
mod tests;

use crate::storage::questions::aggregate::loops::{
    CountNan, Deviation, Extremes, ExtremesOfNumbers, Squares, Total,
};
use crate::storage::questions::aggregate::number::Number;
pub use crate::storage::questions::aggregate::op::Op;
use crate::storage::questions::aggregate::sum::Sum;
use ethnum::U256;

use crate::storage::types::by_type;
use crate::storage::types::{ItemType, Kind, LongDouble};

/// What is asked of values of one type.
#[derive(Clone, Debug)]
pub struct Question {
    item: ItemType,
    ops: Vec<Op>,
    skip_nan: bool,
    needs_sum: bool,
    needs_deviation: bool,
    needs_least: bool,
    needs_greatest: bool,
}

/// The answer to one [`Op`].
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// There are no values for it.
    Nothing,
    /// A number or an index of values.
    Count(u64),
    Integer(i128),
    Double(f64),
    /// A value, as it lies in the file.
    Item(Box<[u8]>),
}

/// A value and where it was found.
#[derive(Clone, Debug)]
struct Extreme {
    item: Box<[u8]>,
    index: u64,
}

/// What is known of some values of an array.
#[derive(Clone, Debug, Default)]
pub struct Partial {
    values: u64,
    /// Number of NaN, where that matters.
    nans: u64,
    /// Known where least or greatest are.
    first_nan: Option<u64>,
    integers: i128,
    /// Sum of the squares of integers.
    squares: U256,
    floats: Sum,
    /// Sum of the squares of the distances from the mean, of what is no integer.
    deviation: Sum,
    least: Option<Extreme>,
    greatest: Option<Extreme>,
}

impl Question {
    /// `ops` must be [possible](Op::is_possible) for the type. With `skip_nan`, NaN is treated as if it were not there.
    pub fn new(item: ItemType, ops: Vec<Op>, skip_nan: bool) -> Self {
        let any = |wanted: &[Op]| ops.iter().any(|op| wanted.contains(op));
        let needs_deviation = any(&[Op::Var, Op::Std]);
        Self {
            item,
            skip_nan,
            needs_sum: needs_deviation || any(&[Op::Sum, Op::Avg]),
            needs_deviation,
            needs_least: any(&[Op::Min, Op::ArgMin]),
            needs_greatest: any(&[Op::Max, Op::ArgMax]),
            ops,
        }
    }

    /// Takes in values that follow those that `partial` has. `bytes` must be aligned for their type.
    pub fn take_in(&self, partial: &mut Partial, index: u64, bytes: &[u8]) {
        /// Looks at numbers with the loops for their type.
        macro_rules! numbers {
            ($type:ty) => {{
                let xs: &[$type] = bytemuck::cast_slice(bytes);
                if self.is_only_summed() {
                    return self.add_up(partial, xs);
                }
                self.look_at(partial, index, xs)
            }};
        }
        let chunk = by_type!(self.item.kind(); numbers!, numbers!;
            LongDouble => self.look_at(partial, index, &LongDouble::all(bytes));
            String => self.look_at_strings(index, bytes)
        );
        self.merge(partial, chunk);
    }

    fn is_only_summed(&self) -> bool {
        self.needs_sum && !self.needs_deviation && !self.needs_least && !self.needs_greatest
    }

    /// [`Self::look_at`] and [`Self::merge`] at once, where no more is asked than sums: the rest would take as long as they do.
    fn add_up<T: Number>(&self, partial: &mut Partial, xs: &[T]) {
        let (integers, floats) = if self.skip_nan {
            partial.nans += kernel::run(CountNan, xs) as u64;
            kernel::run(Total::<true>, xs)
        } else {
            kernel::run(Total::<false>, xs)
        };
        partial.values += xs.len() as u64;
        partial.integers += integers;
        partial.floats.merge(floats);
    }

    /// What is to be known of numbers, where `before` is known of those before them.
    fn look_at<T: Number>(&self, before: &Partial, index: u64, xs: &[T]) -> Partial {
        let mut partial = Partial {
            values: xs.len() as u64,
            ..Partial::default()
        };
        if self.needs_least || self.needs_greatest {
            self.look_for_extremes(&mut partial, before, index, xs);
        } else if self.skip_nan {
            partial.nans = kernel::run(CountNan, xs) as u64;
        }
        if self.needs_sum {
            (partial.integers, partial.floats) = if self.skip_nan {
                kernel::run(Total::<true>, xs)
            } else {
                kernel::run(Total::<false>, xs)
            };
        }
        if self.needs_deviation && self.is_integer() {
            partial.squares = kernel::run(Squares, xs);
        } else if self.needs_deviation {
            let (mean, _) = self.mean(&partial).unwrap_or_default();
            let deviation = if self.skip_nan {
                kernel::run(Deviation::<true> { mean }, xs)
            } else {
                kernel::run(Deviation::<false> { mean }, xs)
            };
            partial.deviation.add(deviation);
        }
        partial
    }

    /// Finds what is less or greater than all before, and NaN.
    fn look_for_extremes<T: Number>(
        &self,
        partial: &mut Partial,
        before: &Partial,
        index: u64,
        xs: &[T],
    ) {
        let first = |wanted: &dyn Fn(&T) -> bool| {
            let position = xs.iter().position(wanted)?;
            Some((index + position as u64, xs[position]))
        };
        let (least, greatest) = kernel::run(Extremes, xs).unwrap_or_else(|| {
            partial.nans = kernel::run(CountNan, xs) as u64;
            partial.first_nan = first(&|x| x.is_nan()).map(|(index, _)| index);
            kernel::run(ExtremesOfNumbers, xs)
        });
        if partial.nans == partial.values {
            return;
        }
        // Looking for its position is worth the time only where the value is better than all before.
        let found = |value: T| {
            let (index, item) = first(&|&x| x == value)?;
            let item = item.to_item().as_ref().into();
            Some(Extreme { item, index })
        };
        let is_best = |old: &Option<Extreme>, is_better: &dyn Fn(&[u8]) -> bool| {
            old.as_ref().is_none_or(|old| is_better(&old.item))
        };
        if self.needs_least
            && is_best(&before.least, &|old| {
                self.is_less(least.to_item().as_ref(), old)
            })
        {
            partial.least = found(least);
        }
        if self.needs_greatest
            && is_best(&before.greatest, &|old| {
                self.is_less(old, greatest.to_item().as_ref())
            })
        {
            partial.greatest = found(greatest);
        }
    }

    fn look_at_strings(&self, index: u64, bytes: &[u8]) -> Partial {
        // The first of those than which none is better.
        let first_best = |better: fn(&[u8], &[u8]) -> bool| {
            let items = (index..).zip(bytes.chunks_exact(self.item.size()));
            let best = items.reduce(|best, new| if better(new.1, best.1) { new } else { best });
            best.map(|(index, item)| Extreme {
                item: item.into(),
                index,
            })
        };
        let mut partial = Partial {
            values: (bytes.len() / self.item.size()) as u64,
            ..Partial::default()
        };
        if self.needs_least {
            partial.least = first_best(|new, old| new < old);
        }
        if self.needs_greatest {
            partial.greatest = first_best(|new, old| new > old);
        }
        partial
    }

    /// Number of values that count.
    fn count(&self, partial: &Partial) -> u64 {
        if self.skip_nan {
            partial.values - partial.nans
        } else {
            partial.values
        }
    }

    /// The mean of floats, if there are any, and about what it lacks for being rounded.
    fn mean(&self, partial: &Partial) -> Option<(f64, f64)> {
        let count = self.count(partial);
        (count > 0).then(|| partial.floats.mean(count))
    }

    fn is_integer(&self) -> bool {
        !matches!(
            self.item.kind(),
            Kind::Float | Kind::Double | Kind::LongDouble | Kind::String
        )
    }

    /// Adds what is known of the values after those of `partial`.
    pub fn merge(&self, partial: &mut Partial, later: Partial) {
        if self.needs_deviation
            && !self.is_integer()
            && let (Some(mean), Some(later_mean)) = (self.mean(partial), self.mean(&later))
        {
            // Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979.
            let (count, more) = (self.count(partial) as f64, self.count(&later) as f64);
            // The means may be nearer to each other than they are exact.
            let distance = (later_mean.0 - mean.0) + (later_mean.1 - mean.1);
            partial
                .deviation
                .add(distance * distance * (count * more / (count + more)));
        }
        partial.deviation.merge(later.deviation);
        partial.values += later.values;
        partial.nans += later.nans;
        partial.first_nan = partial.first_nan.or(later.first_nan);
        partial.integers += later.integers;
        partial.squares += later.squares;
        partial.floats.merge(later.floats);
        replace_if(&mut partial.least, later.least, |new, old| {
            self.is_less(new, old)
        });
        replace_if(&mut partial.greatest, later.greatest, |new, old| {
            self.is_less(old, new)
        });
    }

    fn is_less(&self, a: &[u8], b: &[u8]) -> bool {
        self.item.decode(a) < self.item.decode(b)
    }

    /// The answers where there are no values.
    pub fn answers_of_nothing(&self) -> Vec<Answer> {
        self.answers(&Partial::default())
    }

    /// The answers, in the order of the questions.
    pub fn answers(&self, partial: &Partial) -> Vec<Answer> {
        self.ops
            .iter()
            .map(|&op| self.answer(op, partial))
            .collect()
    }

    fn answer(&self, op: Op, partial: &Partial) -> Answer {
        let some = |value: Option<f64>| value.map_or(Answer::Nothing, Answer::Double);
        let (count, sum, squares) = (partial.values, partial.integers, partial.squares);
        match op {
            // There is no NaN among integers.
            Op::Avg | Op::Var | Op::Std if self.is_integer() && count == 0 => Answer::Nothing,
            Op::Avg if self.is_integer() => Answer::Double(exact::mean(count, sum)),
            Op::Var if self.is_integer() => Answer::Double(exact::variance(count, sum, squares)),
            Op::Std if self.is_integer() => Answer::Double(exact::deviation(count, sum, squares)),
            Op::Count => Answer::Count(self.count(partial)),
            Op::Sum if self.is_integer() => Answer::Integer(partial.integers),
            Op::Sum => Answer::Double(partial.floats.value()),
            Op::Avg => some(self.mean(partial).map(|(mean, _)| mean)),
            Op::Var => some(self.variance(partial)),
            Op::Std => some(self.variance(partial).map(f64::sqrt)),
            Op::Min => self.extreme(partial, partial.least.as_ref()),
            Op::Max => self.extreme(partial, partial.greatest.as_ref()),
            Op::ArgMin => self.position(partial, partial.least.as_ref()),
            Op::ArgMax => self.position(partial, partial.greatest.as_ref()),
        }
    }

    fn variance(&self, partial: &Partial) -> Option<f64> {
        let count = self.count(partial);
        let deviation = match partial.deviation.value() {
            below if below < 0.0 => 0.0,
            deviation => deviation,
        };
        (count > 0).then(|| deviation / count as f64)
    }

    fn extreme(&self, partial: &Partial, found: Option<&Extreme>) -> Answer {
        if self.nan_prevails(partial) {
            return self.nan();
        }
        found.map_or(Answer::Nothing, |found| Answer::Item(found.item.clone()))
    }

    fn position(&self, partial: &Partial, found: Option<&Extreme>) -> Answer {
        let nan = partial.first_nan.filter(|_| self.nan_prevails(partial));
        nan.or(found.map(|found| found.index))
            .map_or(Answer::Nothing, Answer::Count)
    }

    /// NaN as a value of the array, which is replied with as other values are.
    fn nan(&self) -> Answer {
        Answer::Item(match self.item.kind() {
            Kind::Float => f32::NAN.to_le_bytes().into(),
            Kind::LongDouble => LongDouble::NAN.to_le_bytes().into(),
            _ => f64::NAN.to_le_bytes().into(),
        })
    }

    fn nan_prevails(&self, partial: &Partial) -> bool {
        !self.skip_nan && partial.nans > 0
    }
}

fn replace_if(
    old: &mut Option<Extreme>,
    new: Option<Extreme>,
    better: impl Fn(&[u8], &[u8]) -> bool,
) {
    let Some(new) = new else { return };
    if old.as_ref().is_none_or(|old| better(&new.item, &old.item)) {
        *old = Some(new);
    }
}
