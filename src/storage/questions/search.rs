//! Where a value belongs among sorted ones: numpy's `searchsorted`.

use std::cmp::Ordering;

use crate::storage::array::view::View;
use crate::storage::error::Result;
use crate::storage::types::{ItemType, Place, Value};

/// Which index is the answer where the array has the value already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// That of the first equal value.
    Left,
    /// That after the last equal value.
    Right,
}

/// A value to search for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Encoded; for a `string` array without trailing NULs, and perhaps longer than its values are.
    value: Box<[u8]>,
    side: Side,
}

impl Target {
    /// What stands at a place, which no value of the array need have.
    pub fn new(place: Place, side: Side) -> Self {
        let (value, side) = match place {
            Place::At(value) => (value, side),
            Place::After(value) => (value, Side::Right),
            Place::Before(value) => (value, Side::Left),
        };
        Self { value, side }
    }
}

/// The index before which a value is to be inserted for a sorted array to stay sorted. NaN comes last.
///
/// # Errors
/// If the file cannot be read.
pub fn search_sorted(view: &mut View<'_>, item: ItemType, target: &Target) -> Result<u64> {
    search(view.count(), item, target, |index, out| {
        view.read(index, out)
    })
}

/// [`search_sorted`] in `count` values of which `read` copies one.
///
/// # Errors
/// As `read`.
pub(in crate::storage) fn search<E>(
    count: u64,
    item: ItemType,
    target: &Target,
    mut read: impl FnMut(u64, &mut [u8]) -> std::result::Result<(), E>,
) -> std::result::Result<u64, E> {
    let mut buffer = vec![0; item.size()];
    let (mut from, mut to) = (0, count);
    while from < to {
        let middle = from + (to - from) / 2;
        read(middle, &mut buffer)?;
        let comes_before = match order(item, &buffer, &target.value) {
            Ordering::Less => true,
            Ordering::Equal => target.side == Side::Right,
            Ordering::Greater => false,
        };
        if comes_before {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    Ok(from)
}

/// The order in which numpy sorts: NaN equals itself and comes last; strings are compared byte by byte.
fn order(item: ItemType, value: &[u8], target: &[u8]) -> Ordering {
    match item.decode(value) {
        Value::Bytes(value) => value.cmp(target),
        value => nan_last(value, item.decode(target)),
    }
}

#[allow(clippy::eq_op)]
fn nan_last<T: PartialOrd>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| (a != a).cmp(&(b != b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_after_everything_and_equals_itself() {
        assert_eq!(nan_last(f64::NAN, f64::INFINITY), Ordering::Greater);
        assert_eq!(nan_last(-1.0, f64::NAN), Ordering::Less);
        assert_eq!(nan_last(f64::NAN, f64::NAN), Ordering::Equal);
        assert_eq!(nan_last(-0.0, 0.0), Ordering::Equal);
    }
}
