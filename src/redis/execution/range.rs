//! Ranges of indices, as `LRANGE` has them: `start` and `stop` are both part of the range, and a negative one
//! counts from the end.

use std::ops::Range;

use crate::redis::server::{Args, Failure};
use crate::storage::types::{ValueError, excerpt, parse_index};

/// A range as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestedRange {
    start: i64,
    stop: i64,
}

impl RequestedRange {
    /// The range that arguments `position` (its start) and `position + 1` (its stop) ask for.
    ///
    /// # Errors
    /// If one is not an integer. One beyond 64 bits is beyond every array, too, and is clipped like any other.
    pub fn parse(args: Args<'_>, position: usize) -> Result<Self, Failure> {
        Ok(Self {
            start: bound("start", args, position)?,
            stop: bound("stop", args, position + 1)?,
        })
    }

    /// The part of it that an array of `count` values has.
    pub fn of(self, count: u64) -> Range<u64> {
        resolve(self.start, self.stop, count)
    }
}

#[inline]
fn bound(name: &str, args: Args<'_>, position: usize) -> Result<i64, Failure> {
    parse_index(args.get(position)).or_else(|error| unusual_bound(name, args, position, &error))
}

#[cold]
fn unusual_bound(
    name: &str,
    args: Args<'_>,
    position: usize,
    error: &ValueError,
) -> Result<i64, Failure> {
    let text = args.get(position);
    match error {
        ValueError::OutOfRange(_) if text.starts_with(b"-") => Ok(i64::MIN),
        ValueError::OutOfRange(_) => Ok(i64::MAX),
        _ => Err(Failure::Message(format!(
            "{name} '{}' (argument {position}) is not an integer",
            excerpt(text)
        ))),
    }
}

/// The indices from `start` to `stop`, both included, of an array of `count` values. A negative one counts from
/// the end (-1 is the last value). What lies outside the array is cut off; an empty range has its start at most
/// at `count`.
pub fn resolve(start: i64, stop: i64, count: u64) -> Range<u64> {
    let from_end = |index: i64| {
        if index < 0 {
            count.checked_sub(index.unsigned_abs())
        } else {
            Some(index.unsigned_abs())
        }
    };
    let start = from_end(start).unwrap_or(0).min(count);
    // The value after the last one; a stop before the first value leaves nothing.
    let end = from_end(stop).map_or(0, |stop| stop.saturating_add(1).min(count));
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::resolve;

    #[test]
    fn ranges_are_those_of_lrange() {
        for (start, stop, expected) in [
            (0, 0, 0..1),
            (0, -1, 0..5),
            (0, 4, 0..5),
            (1, 3, 1..4),
            (-2, -1, 3..5),
            (-100, 100, 0..5),
            (-100, -5, 0..1),
            (4, 4, 4..5),
            (i64::MIN, i64::MAX, 0..5),
        ] {
            assert_eq!(resolve(start, stop, 5), expected, "{start} {stop}");
        }
    }

    #[test]
    fn what_starts_after_it_stops_is_empty() {
        for (start, stop) in [
            (3, 2),
            (5, 9),
            (-1, -2),
            (0, -6),
            (-100, -6),
            (i64::MAX, -1),
        ] {
            assert!(resolve(start, stop, 5).is_empty(), "{start} {stop}");
            assert!(resolve(start, stop, 5).end <= 5, "{start} {stop}");
        }
        assert_eq!(resolve(0, -1, 0), 0..0);
        assert_eq!(resolve(i64::MIN, i64::MAX, 0), 0..0);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        assert_eq!(
            resolve(i64::MIN, -1, u64::MAX),
            u64::MAX - (1 << 63)..u64::MAX
        );
        assert_eq!(resolve(0, i64::MAX, u64::MAX), 0..1 << 63);
    }

    proptest! {
        /// Index by index, as the documentation of `LRANGE` puts it.
        #[test]
        fn an_index_is_in_the_range_if_it_lies_between(start in -30_i64..30, stop in -30_i64..30, count in 0_u64..20) {
            let length = i64::try_from(count).unwrap();
            let from_start = |index: i64| if index < 0 { index + length } else { index };
            let range = resolve(start, stop, count);
            for index in 0..length {
                let inside = from_start(start) <= index && index <= from_start(stop);
                prop_assert_eq!(range.contains(&index.unsigned_abs()), inside);
            }
            prop_assert!(range.start <= range.end && range.end <= count);
        }
    }
}
