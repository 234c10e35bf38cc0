//! The types of numbers that loops go over, and what each does in its own way.

use ethnum::U256;
use pulp::Simd;

use crate::storage::questions::aggregate::doubles;
use crate::storage::questions::aggregate::kernel::LANES;
use crate::storage::questions::aggregate::sum::Sum;
use crate::storage::types::LongDouble;

/// Values that are converted to doubles at once.
pub(super) const TILE: usize = 1024;

/// A type of numbers, ordered as IEEE 754 has it: NaN is unequal to everything.
pub trait Number: Copy + PartialOrd + Send + Sync {
    /// No value is greater, or less.
    const GREATEST: Self;
    const LEAST: Self;

    /// The value as it lies in a file.
    type Item: AsRef<[u8]>;

    fn to_f64(self) -> f64;
    fn is_nan(self) -> bool;
    /// The lesser of two, and the greater; the other one if one is NaN. (Methods of the types themselves, as the
    /// compiler has vector instructions for these and not for an `if`.)
    fn lesser(self, other: Self) -> Self;
    fn greater(self, other: Self) -> Self;
    fn to_item(self) -> Self::Item;
    /// The total of integers, exactly, or of others; the one that it is not is 0. NaN counts as 0 if `SKIP_NAN`.
    fn total<S: Simd, const SKIP_NAN: bool>(simd: S, xs: &[Self]) -> (i128, Sum);

    /// The sum of the squares of integers, exactly; 0 of others.
    #[inline(always)]
    fn squares(_: &[Self]) -> U256 {
        U256::ZERO
    }

    /// The values, at most [`TILE`] of them, as doubles, for which there is room.
    #[inline(always)]
    fn doubles<'a>(xs: &'a [Self], room: &'a mut [f64; TILE]) -> &'a [f64] {
        for (double, &x) in room.iter_mut().zip(xs) {
            *double = x.to_f64();
        }
        &room[..xs.len()]
    }

    /// The least and the greatest value, or nothing if there is a NaN.
    #[inline(always)]
    fn extremes<S: Simd>(_: S, xs: &[Self]) -> Option<(Self, Self)> {
        // Two loops, as the compiler makes vectors of each.
        let extremes = (least(xs), greatest(xs));
        (!xs.iter().any(|x| x.is_nan())).then_some(extremes)
    }
}

macro_rules! integers {
    ($($type:ty: $total:ident, $squares:ident;)*) => {$(
        impl Number for $type {
            const GREATEST: Self = Self::MAX;
            const LEAST: Self = Self::MIN;
            type Item = [u8; size_of::<Self>()];

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }

            #[inline(always)]
            fn lesser(self, other: Self) -> Self {
                self.min(other)
            }

            #[inline(always)]
            fn greater(self, other: Self) -> Self {
                self.max(other)
            }

            fn to_item(self) -> Self::Item {
                self.to_le_bytes()
            }

            #[inline(always)]
            fn total<S: Simd, const SKIP_NAN: bool>(_: S, xs: &[Self]) -> (i128, Sum) {
                ($total!(xs, $type), Sum::default())
            }

            #[inline(always)]
            fn squares(xs: &[Self]) -> U256 {
                $squares!(xs)
            }
        }
    )*};
}

/// Up to 2^31 integers of up to 32 bits add up in 64.
macro_rules! small_total {
    ($xs:ident, $type:ty) => {{
        let mut total = 0;
        for &x in $xs {
            total += i64::from(x);
        }
        i128::from(total)
    }};
}

/// The upper and the lower halves of integers of 64 bits add up apart.
macro_rules! large_total {
    ($xs:ident, $type:ty) => {{
        let (mut upper, mut lower): ($type, $type) = (0, 0);
        for &x in $xs {
            upper += x >> 32;
            lower += x & 0xffff_ffff;
        }
        (i128::from(upper) << 32) + i128::from(lower)
    }};
}

/// The squares of up to 2^31 integers of up to 16 bits add up in 64.
macro_rules! small_squares {
    ($xs:ident) => {{
        let mut sum = 0_u64;
        for &x in $xs {
            let x = i64::from(x);
            sum += (x * x).cast_unsigned();
        }
        U256::from(sum)
    }};
}

/// The upper and the lower halves of squares of 64 bits add up apart.
macro_rules! medium_squares {
    ($xs:ident) => {{
        let (mut upper, mut lower) = (0_u64, 0_u64);
        for &x in $xs {
            let x = i64::from(x).unsigned_abs();
            let square = x * x;
            upper += square >> 32;
            lower += square & 0xffff_ffff;
        }
        U256::from((u128::from(upper) << 32) + u128::from(lower))
    }};
}

/// And so do those of 128 bits.
macro_rules! large_squares {
    ($xs:ident) => {{
        let (mut upper, mut lower) = (0_u128, 0_u128);
        for &x in $xs {
            let x = i128::from(x).unsigned_abs() as u64;
            let square = u128::from(x) * u128::from(x);
            upper += square >> 64;
            lower += u128::from(square as u64);
        }
        (U256::from(upper) << 64_u32) + U256::from(lower)
    }};
}

integers!(
    i8: small_total, small_squares;
    u8: small_total, small_squares;
    i16: small_total, small_squares;
    u16: small_total, small_squares;
    i32: small_total, medium_squares;
    u32: small_total, medium_squares;
    i64: large_total, large_squares;
    u64: large_total, large_squares;
);

macro_rules! floats {
    ($($type:ty: {$($special:item)*})*) => {$(
        impl Number for $type {
            const GREATEST: Self = Self::INFINITY;
            const LEAST: Self = Self::NEG_INFINITY;
            type Item = [u8; size_of::<Self>()];

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                self.is_nan()
            }

            #[inline(always)]
            fn lesser(self, other: Self) -> Self {
                self.min(other)
            }

            #[inline(always)]
            fn greater(self, other: Self) -> Self {
                self.max(other)
            }

            fn to_item(self) -> Self::Item {
                self.to_le_bytes()
            }

            #[inline(always)]
            fn total<S: Simd, const SKIP_NAN: bool>(simd: S, xs: &[Self]) -> (i128, Sum) {
                let (mut sum, mut room) = (Sum::default(), [0.0; TILE]);
                for xs in xs.chunks(TILE) {
                    let doubles = Self::doubles(xs, &mut room);
                    sum.merge(doubles::total::<S, SKIP_NAN>(simd, doubles));
                }
                (0, sum)
            }

            $($special)*
        }
    )*};
}

floats!(
    f64: {
        #[inline(always)]
        fn doubles<'a>(xs: &'a [Self], _: &'a mut [f64; TILE]) -> &'a [f64] {
            xs
        }

        #[inline(always)]
        fn extremes<S: Simd>(simd: S, xs: &[Self]) -> Option<(Self, Self)> {
            doubles::extremes(simd, xs)
        }
    }
    f32: {
        #[inline(always)]
        fn extremes<S: Simd>(simd: S, xs: &[Self]) -> Option<(Self, Self)> {
            let (mut ends, mut room) = ((Self::GREATEST, Self::LEAST), [0.0; TILE]);
            for xs in xs.chunks(TILE) {
                let (least, greatest) = doubles::extremes(simd, Self::doubles(xs, &mut room))?;
                // They were f32 before.
                ends = (ends.0.min(least as f32), ends.1.max(greatest as f32));
            }
            Some(ends)
        }
    }
    LongDouble: {}
);

#[inline(always)]
pub(super) fn least<T: Number>(xs: &[T]) -> T {
    fold(
        xs,
        T::GREATEST,
        #[inline(always)]
        |least, x| least.lesser(x),
    )
}

#[inline(always)]
pub(super) fn greatest<T: Number>(xs: &[T]) -> T {
    fold(
        xs,
        T::LEAST,
        #[inline(always)]
        |greatest, x| greatest.greater(x),
    )
}

#[inline(always)]
pub(super) fn fold<T: Number>(xs: &[T], start: T, choose: impl Fn(T, T) -> T) -> T {
    let (rows, rest) = xs.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for row in rows {
        for lane in 0..LANES {
            lanes[lane] = choose(lanes[lane], row[lane]);
        }
    }
    let mut best = start;
    for &x in lanes.iter().chain(rest) {
        best = choose(best, x);
    }
    best
}
