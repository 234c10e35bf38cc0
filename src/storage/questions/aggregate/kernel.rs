//! The loops over many numbers. Each is written once, over [`LANES`] independent lanes, in plain Rust or, where the compiler
//! makes no vectors of that, [in vectors](super::doubles); `pulp` has it compiled for several sets of vector instructions
//! and picks the best that the CPU has when it is called: AVX-512, AVX2 or SSE2 on x86-64, NEON on AArch64. As the lanes
//! are the same everywhere, so are the results, to the last bit.

use ethnum::U256;
use pulp::{Arch, Simd, WithSimd};

use crate::storage::questions::aggregate::doubles;
use crate::storage::questions::aggregate::extended::Extended;
use crate::storage::questions::aggregate::sum::Sum;

/// Values that are worked on side by side: two vectors of AVX-512, four of AVX2.
pub(in crate::storage) const LANES: usize = 16;
/// Values that are converted to doubles at once.
const TILE: usize = 1024;

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
    Extended: {}
);

/// A loop. It calls nothing that the compiler may leave as a call, closures included: that would be code without the
/// vector instructions.
pub trait Kernel<T> {
    type Output;

    /// Must be `#[inline(always)]`.
    fn over<S: Simd>(self, simd: S, xs: &[T]) -> Self::Output;
}

/// A loop and the values it goes over, as `pulp` takes it.
struct Task<'a, T, K> {
    kernel: K,
    xs: &'a [T],
}

impl<T, K: Kernel<T>> WithSimd for Task<'_, T, K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> K::Output {
        self.kernel.over(simd, self.xs)
    }
}

/// Runs a loop with the best instructions that this CPU has.
#[inline]
pub fn run<T, K: Kernel<T>>(kernel: K, xs: &[T]) -> K::Output {
    Arch::new().dispatch(Task { kernel, xs })
}

/// The total, with NaN as 0 if `SKIP_NAN`.
#[derive(Clone, Copy)]
pub struct Total<const SKIP_NAN: bool>;

impl<T: Number, const SKIP_NAN: bool> Kernel<T> for Total<SKIP_NAN> {
    type Output = (i128, Sum);

    #[inline(always)]
    fn over<S: Simd>(self, simd: S, xs: &[T]) -> (i128, Sum) {
        T::total::<S, SKIP_NAN>(simd, xs)
    }
}

/// The sum of the squares of integers.
#[derive(Clone, Copy)]
pub struct Squares;

impl<T: Number> Kernel<T> for Squares {
    type Output = U256;

    #[inline(always)]
    fn over<S: Simd>(self, _: S, xs: &[T]) -> U256 {
        T::squares(xs)
    }
}

/// The number of NaN.
#[derive(Clone, Copy)]
pub struct CountNan;

impl<T: Number> Kernel<T> for CountNan {
    type Output = usize;

    #[inline(always)]
    fn over<S: Simd>(self, _: S, xs: &[T]) -> usize {
        let mut count = 0;
        for x in xs {
            count += usize::from(x.is_nan());
        }
        count
    }
}

/// The least and the greatest value, or nothing if there is a NaN. Of 0 and -0 it may be either.
#[derive(Clone, Copy)]
pub struct Extremes;

impl<T: Number> Kernel<T> for Extremes {
    type Output = Option<(T, T)>;

    #[inline(always)]
    fn over<S: Simd>(self, simd: S, xs: &[T]) -> Option<(T, T)> {
        T::extremes(simd, xs)
    }
}

/// The least and the greatest value. NaN is passed over; if there is nothing else, the answer means nothing.
#[derive(Clone, Copy)]
pub struct ExtremesOfNumbers;

impl<T: Number> Kernel<T> for ExtremesOfNumbers {
    type Output = (T, T);

    #[inline(always)]
    fn over<S: Simd>(self, _: S, xs: &[T]) -> (T, T) {
        (least(xs), greatest(xs))
    }
}

#[inline(always)]
fn least<T: Number>(xs: &[T]) -> T {
    fold(
        xs,
        T::GREATEST,
        #[inline(always)]
        |least, x| least.lesser(x),
    )
}

#[inline(always)]
fn greatest<T: Number>(xs: &[T]) -> T {
    fold(
        xs,
        T::LEAST,
        #[inline(always)]
        |greatest, x| greatest.greater(x),
    )
}

#[inline(always)]
fn fold<T: Number>(xs: &[T], start: T, choose: impl Fn(T, T) -> T) -> T {
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

/// The sum of the squares of the distances from `mean`, which need not be exact. NaN is passed over if `SKIP_NAN`.
#[derive(Clone, Copy)]
pub struct Deviation<const SKIP_NAN: bool> {
    pub mean: f64,
}

impl<T: Number, const SKIP_NAN: bool> Kernel<T> for Deviation<SKIP_NAN> {
    type Output = f64;

    #[inline(always)]
    fn over<S: Simd>(self, simd: S, xs: &[T]) -> f64 {
        let (mut distance_sum, mut square_sum) = (0.0, 0.0);
        let mut room = [0.0; TILE];
        for xs in xs.chunks(TILE) {
            let doubles = T::doubles(xs, &mut room);
            let (distances, squares) = doubles::deviation::<S, SKIP_NAN>(simd, doubles, self.mean);
            distance_sum += distances;
            square_sum += squares;
        }
        // What is left of the distances is the rounding error of the mean.
        square_sum - distance_sum * distance_sum / xs.len().max(1) as f64
    }
}

/// How a value compares with another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Whether `a` compares so with `b`. With NaN only "not equal" holds.
    #[inline(always)]
    pub fn holds<T: PartialOrd + ?Sized>(self, a: &T, b: &T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

/// Sets the byte of each value to 0 that does not compare so with `value`.
pub struct Mask<'a, T> {
    pub comparison: Comparison,
    pub value: T,
    pub mask: &'a mut [u8],
}

impl<T: Number> Kernel<T> for Mask<'_, T> {
    type Output = ();

    #[inline(always)]
    fn over<S: Simd>(self, _: S, xs: &[T]) {
        let Self {
            comparison,
            value,
            mask,
        } = self;
        /// The same loop for each comparison, so that none asks which it is.
        macro_rules! keep {
            ($($name:ident)*) => {
                match comparison {
                    $(Comparison::$name => {
                        for (keep, x) in mask.iter_mut().zip(xs) {
                            *keep &= u8::from(Comparison::$name.holds(x, &value));
                        }
                    })*
                }
            };
        }
        keep!(Equal NotEqual Less LessOrEqual Greater GreaterOrEqual);
    }
}

/// The number of bytes that are not 0, each of which is 1.
#[derive(Clone, Copy)]
pub struct CountOnes;

impl Kernel<u8> for CountOnes {
    type Output = usize;

    #[inline(always)]
    fn over<S: Simd>(self, _: S, xs: &[u8]) -> usize {
        let mut count = 0;
        for &x in xs {
            count += usize::from(x);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a loop with each set of instructions that this CPU has, and with none, and has them agree bit by bit.
    fn agree<T: Number, K: Kernel<T> + Copy>(
        kernel: K,
        xs: &[T],
        bits: impl Fn(K::Output) -> Vec<u8>,
    ) -> Result<Vec<u8>, TestCaseError> {
        let task = || Task { kernel, xs };
        let scalar = bits(pulp::Scalar::new().vectorize(task()));
        prop_assert_eq!(&bits(run(kernel, xs)), &scalar, "the best instructions");
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(avx2) = pulp::x86::V3::try_new() {
                prop_assert_eq!(&bits(Simd::vectorize(avx2, task())), &scalar, "AVX2");
            }
            if let Some(avx512) = pulp::x86::V4::try_new() {
                prop_assert_eq!(&bits(Simd::vectorize(avx512, task())), &scalar, "AVX-512");
            }
        }
        Ok(scalar)
    }

    fn total_bits((integer, sum): (i128, Sum)) -> Vec<u8> {
        let mut bits = integer.to_le_bytes().to_vec();
        bits.extend(f64_bits(sum.value()));
        bits
    }

    /// The bits of a number. Which NaN it is, is not told: IEEE 754 leaves its sign open, and so does Rust.
    fn f64_bits(x: f64) -> Vec<u8> {
        let x = if x.is_nan() { f64::NAN } else { x };
        x.to_le_bytes().to_vec()
    }

    /// All loops agree over the instructions; the answers are those of the plainest loop.
    fn check<T: Number>(xs: &[T], mean: f64, pivot: T) -> Result<(), TestCaseError> {
        let without_sign_of_zero = |x: T| {
            if x.to_f64() == 0.0 {
                Vec::new()
            } else {
                x.to_item().as_ref().to_vec()
            }
        };
        agree(Total::<false>, xs, total_bits)?;
        agree(Total::<true>, xs, total_bits)?;
        agree(Deviation::<false> { mean }, xs, f64_bits)?;
        agree(Deviation::<true> { mean }, xs, f64_bits)?;
        let nans = agree(CountNan, xs, |count| count.to_le_bytes().to_vec())?;
        prop_assert_eq!(nans, xs.iter().filter(|x| x.is_nan()).count().to_le_bytes());
        let both = |(least, greatest): (T, T)| {
            let mut bits = without_sign_of_zero(least);
            bits.push(b'/');
            bits.extend(without_sign_of_zero(greatest));
            bits
        };
        let passing_over_nan = agree(ExtremesOfNumbers, xs, both)?;
        let extremes = agree(Extremes, xs, |extremes| extremes.map_or(Vec::new(), both))?;
        let numbers = || xs.iter().copied().filter(|x| !x.is_nan());
        let expected = if numbers().count() == xs.len() {
            passing_over_nan
        } else {
            Vec::new()
        };
        prop_assert_eq!(extremes, expected);
        if numbers().next().is_some() {
            let (least, greatest) = run(ExtremesOfNumbers, xs);
            prop_assert!(numbers().all(|x| least <= x && x <= greatest));
            prop_assert!(numbers().any(|x| x == least) && numbers().any(|x| x == greatest));
        }
        check_masks(xs, pivot)
    }

    fn check_masks<T: Number>(xs: &[T], pivot: T) -> Result<(), TestCaseError> {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        for comparison in [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual] {
            let mut mask = vec![1; xs.len()];
            run(
                Mask {
                    comparison,
                    value: pivot,
                    mask: &mut mask,
                },
                xs,
            );
            let expected: Vec<u8> = xs
                .iter()
                .map(|x| comparison.holds(x, &pivot).into())
                .collect();
            prop_assert_eq!(&mask, &expected, "{:?}", comparison);
            prop_assert_eq!(
                run(CountOnes, &mask),
                expected.iter().filter(|&&one| one == 1).count()
            );
        }
        Ok(())
    }

    /// Some rows of lanes and a rest, or more than is converted at once.
    fn lengths() -> impl Strategy<Value = usize> {
        prop_oneof![20 => 0..100_usize, 1 => TILE - 1..TILE + 40]
    }

    fn integers<T: Arbitrary>() -> impl Strategy<Value = Vec<T>> {
        lengths().prop_flat_map(|len| prop::collection::vec(any::<T>(), len))
    }

    /// Numbers of all sizes, in half of the cases with NaN and infinities; NaN of one kind, as which of several comes out is
    /// nobody's word.
    fn doubles() -> impl Strategy<Value = Vec<f64>> {
        let number = prop_oneof![
            1 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
            1 => -1e3..1e3,
        ];
        let special = prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        let any = prop_oneof![8 => number.clone(), 1 => special];
        lengths().prop_flat_map(move |len| {
            let numbers = prop::collection::vec(number.clone(), len);
            prop_oneof![numbers, prop::collection::vec(any.clone(), len)]
        })
    }

    macro_rules! integer_tests {
        ($($name:ident: $type:ty)*) => {
            proptest! {$(
                #[test]
                fn $name(xs in integers::<$type>(), pivot: $type) {
                    check(&xs, 1.5, pivot)?;
                    let exact: i128 = xs.iter().map(|&x| i128::from(x)).sum();
                    prop_assert_eq!(run(Total::<false>, &xs).0, exact);
                }
            )*}
        };
    }

    integer_tests!(
        int8: i8 uint8: u8 int16: i16 uint16: u16 int32: i32 uint32: u32 int64: i64 uint64: u64
    );

    proptest! {
        #[test]
        fn double(xs in doubles(), mean in -1e3..1e3, pivot in -1e3..1e3) {
            check(&xs, mean, *xs.first().unwrap_or(&pivot))?;
        }

        #[test]
        fn float(xs in doubles(), mean in -1e3..1e3) {
            let xs: Vec<f32> = xs.into_iter().map(|x| x as f32).collect();
            check(&xs, mean, *xs.last().unwrap_or(&1.0))?;
        }
    }
}
