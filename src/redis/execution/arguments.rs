//! Values and indices among the arguments of a command.

use std::cell::Cell;

use smallvec::SmallVec;

use crate::redis::execution::bounds::expect_values;
use crate::redis::keys::binding::Binding;
use crate::redis::server::{Args, Failure, Outcome};
use crate::storage::types::{ItemType, Kind, Place, ValueError, excerpt, parse_index};

/// A buffer that served a large command is given back when it is longer than this, in bytes.
const KEPT_BUFFER: usize = 1 << 20;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Encodes values and hands their bytes to `then`, all of them or, with an error that names the bad one, none.
/// `position` tells which argument the i-th value is.
pub fn with_encoded<'a>(
    item: ItemType,
    values: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
    position: impl Fn(usize) -> usize,
    then: impl FnOnce(&[u8]) -> Outcome,
) -> Outcome {
    expect_values(values.len(), item)?;
    let bad = |(bad, error): (usize, ValueError)| {
        let value = values.clone().nth(bad).unwrap_or_default();
        Failure::Message(format!(
            "value '{}' (argument {}) {error}",
            excerpt(value),
            position(bad)
        ))
    };
    // What is sent most is one double. It needs no buffer.
    let one;
    let mut several = Vec::new();
    let bytes = match values.clone().next() {
        Some(text) if values.len() == 1 && item.kind() == Kind::Double => {
            one = ItemType::encode_double(text).map_err(|error| bad((0, error)))?;
            &one[..]
        }
        _ => {
            several = BUFFER.take();
            several.clear();
            item.encode_all(values.clone(), &mut several).map_err(bad)?;
            &several[..]
        }
    };
    let outcome = then(bytes);
    if (1..=KEPT_BUFFER).contains(&several.capacity()) {
        BUFFER.set(several);
    }
    outcome
}

/// Where what argument `position` gives stands among the values of a type.
///
/// # Errors
/// If it cannot be compared with them.
pub fn place(args: Args<'_>, position: usize, item: ItemType) -> Result<Place, Failure> {
    let text = args.get(position);
    item.place(text).map_err(|error| {
        Failure::Message(format!(
            "value '{}' (argument {position}) {error}",
            excerpt(text)
        ))
    })
}

/// An index as it was asked for: a negative one counts from the end.
#[derive(Clone, Copy)]
pub struct Index(i64);

impl Index {
    /// No array has a value there.
    const NOWHERE: Self = Self(i64::MAX);

    /// Which one it is in an array of `count` values; not below `count` if there is none.
    #[inline(always)]
    pub fn of(self, count: u64) -> u64 {
        let from = if self.0 < 0 { count } else { 0 };
        // Before the first value it wraps round to beyond every file.
        from.wrapping_add_signed(self.0)
    }
}

/// The index that argument `position` gives.
///
/// # Errors
/// If it is not an integer.
#[inline(always)]
pub fn index(args: Args<'_>, position: usize) -> Result<Index, Failure> {
    match parse_index(args.get(position)) {
        Ok(index) => Ok(Index(index)),
        Err(error) => unusual_index(args, position, &error),
    }
}

#[cold]
fn unusual_index(args: Args<'_>, position: usize, error: &ValueError) -> Result<Index, Failure> {
    match error {
        ValueError::OutOfRange(_) => Ok(Index::NOWHERE),
        _ => Err(Failure::Message(format!(
            "index '{}' (argument {position}) is not an integer",
            excerpt(args.get(position))
        ))),
    }
}

/// Some are on the stack, more in memory that is asked for.
pub type Indices = SmallVec<[Index; 16]>;

/// Puts the indices that the arguments from `position` on give into a list. They are too long to be returned: each move is a copy.
///
/// # Errors
/// As [`index`].
#[inline]
pub fn put_indices(args: Args<'_>, position: usize, into: &mut Indices) -> Outcome {
    into.reserve(args.len() - position);
    for position in position..args.len() {
        into.push(index(args, position)?);
    }
    Ok(())
}

/// As many as a command mostly has are on the stack, more in memory that is asked for.
pub type Few<T> = SmallVec<[T; 4]>;

/// All items, or the first failure. Unlike `collect`, it asks for the memory once.
#[inline]
fn all<T>(items: impl ExactSizeIterator<Item = Result<T, Failure>>) -> Result<Few<T>, Failure> {
    let mut all = Few::with_capacity(items.len());
    for item in items {
        all.push(item?);
    }
    Ok(all)
}

/// The index that argument `position` gives, of an array of `count` values.
///
/// # Errors
/// If it is not an integer, or there is no such value.
#[inline(always)]
pub fn index_below(
    args: Args<'_>,
    position: usize,
    count: u64,
    binding: &Binding,
) -> Result<u64, Failure> {
    match index(args, position)?.of(count) {
        index if index < count => Ok(index),
        _ => Err(Failure::Message(format!(
            "index '{}' (argument {position}) is out of range: '{}' holds {count} values, and VADD appends more",
            excerpt(args.get(position)),
            binding.path
        ))),
    }
}

/// Fails if the arguments after the key are not pairs.
///
/// # Errors
/// [`Failure::WrongArity`].
pub fn expect_pairs(args: Args<'_>) -> Outcome {
    if args.len().is_multiple_of(2) {
        Ok(())
    } else {
        Err(Failure::WrongArity)
    }
}

/// Number of pairs of arguments after the key.
pub fn pairs(args: Args<'_>) -> usize {
    (args.len() - 2) / 2
}

/// The first of each pair of arguments after the key: indices of an array of `count` values.
///
/// # Errors
/// As [`index_below`].
pub fn paired_indices(args: Args<'_>, count: u64, binding: &Binding) -> Result<Few<u64>, Failure> {
    all((0..pairs(args)).map(|pair| index_below(args, 2 + 2 * pair, count, binding)))
}

/// Argument `position`, which is to be the bytes of whole values, and their number.
///
/// # Errors
/// If it is not a multiple of their size long.
#[inline]
pub fn whole_values<'a>(
    args: Args<'a>,
    position: usize,
    item: ItemType,
) -> Result<(&'a [u8], u64), Failure> {
    let bytes = args.get(position);
    match item.values_in(bytes.len()) {
        Some(values) => Ok((bytes, values as u64)),
        None => Err(no_whole_values(bytes, position, item)),
    }
}

#[cold]
fn no_whole_values(bytes: &[u8], position: usize, item: ItemType) -> Failure {
    Failure::Message(format!(
        "argument {position} is {} bytes long, which is not a multiple of {}, the size of one {}",
        bytes.len(),
        item.size(),
        item.name()
    ))
}

/// The step that `STEP n` at argument `position` asks for; 1 if there are no such arguments.
///
/// # Errors
/// If it is something else, or not a positive number.
pub fn step(args: Args<'_>, position: usize) -> Result<u64, Failure> {
    if args.len() == position {
        return Ok(1);
    }
    let word = args.get(position);
    if !word.eq_ignore_ascii_case(b"STEP") || args.len() != position + 2 {
        return Err(Failure::Message(format!(
            "syntax error at '{}' (argument {position}): expected STEP n",
            excerpt(word)
        )));
    }
    number(args, position + 1, "step", 1)
}

/// The number of things that argument `position` asks for.
///
/// # Errors
/// If it is not an integer, or negative.
pub fn count(args: Args<'_>, position: usize) -> Result<u64, Failure> {
    number(args, position, "count", 0)
}

/// The number that argument `position` gives, which the error calls `name`.
///
/// # Errors
/// If it is not an integer, or below `least`.
pub fn number(args: Args<'_>, position: usize, name: &str, least: u64) -> Result<u64, Failure> {
    parse_index(args.get(position))
        .ok()
        .and_then(|number| u64::try_from(number).ok())
        .filter(|&number| number >= least)
        .ok_or_else(|| {
            Failure::Message(format!(
                "{name} '{}' (argument {position}) is not an integer from {least} to {}",
                excerpt(args.get(position)),
                i64::MAX
            ))
        })
}
