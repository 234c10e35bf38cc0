//! The loops over many numbers. Each is written once, in plain Rust over [`LANES`] independent lanes; `pulp` has it
//! compiled for several sets of vector instructions and picks the best that the CPU has when it is called: AVX-512,
//! AVX2 or SSE2 on x86-64, NEON on AArch64. As the lanes are the same everywhere, so are the results, to the last bit.

use pulp::{Arch, Simd, WithSimd};

use super::extended::Extended;
use super::sum::{Sum, two_sum};

/// Values that are worked on side by side: two vectors of AVX-512, four of AVX2.
const LANES: usize = 16;

/// A type of numbers, ordered as IEEE 754 has it: NaN is unequal to everything.
pub trait Number: Copy + PartialOrd + Send + Sync {
    /// No value is greater, or less.
    const GREATEST: Self;
    const LEAST: Self;

    fn to_f64(self) -> f64;
    fn is_nan(self) -> bool;
    /// The lesser of two, and the greater; the other one if one is NaN. (Methods of the types themselves, as the
    /// compiler has vector instructions for these and not for an `if`.)
    fn lesser(self, other: Self) -> Self;
    fn greater(self, other: Self) -> Self;
    /// As it lies in a file.
    fn to_item(self) -> Box<[u8]>;
    /// The total of integers, exactly, or of others; the one that it is not is 0. NaN counts as 0 if `SKIP_NAN`.
    fn total<const SKIP_NAN: bool>(xs: &[Self]) -> (i128, Sum);
}

macro_rules! integers {
    ($($type:ty: $total:ident)*) => {$(
        impl Number for $type {
            const GREATEST: Self = Self::MAX;
            const LEAST: Self = Self::MIN;

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

            fn to_item(self) -> Box<[u8]> {
                self.to_le_bytes().into()
            }

            #[inline(always)]
            fn total<const SKIP_NAN: bool>(xs: &[Self]) -> (i128, Sum) {
                ($total!(xs, $type), Sum::default())
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

integers!(
    i8: small_total u8: small_total i16: small_total u16: small_total i32: small_total u32: small_total
    i64: large_total u64: large_total
);

macro_rules! floats {
    ($($type:ty)*) => {$(
        impl Number for $type {
            const GREATEST: Self = Self::INFINITY;
            const LEAST: Self = Self::NEG_INFINITY;

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

            fn to_item(self) -> Box<[u8]> {
                self.to_le_bytes().into()
            }

            #[inline(always)]
            fn total<const SKIP_NAN: bool>(xs: &[Self]) -> (i128, Sum) {
                (0, float_total::<_, SKIP_NAN>(xs))
            }
        }
    )*};
}

floats!(f32 f64 Extended);

/// The value, or what stands for NaN if that is to be skipped.
#[inline(always)]
fn value_or<T: Number, const SKIP_NAN: bool>(x: T, instead: f64) -> f64 {
    if SKIP_NAN && x.is_nan() {
        instead
    } else {
        x.to_f64()
    }
}

#[inline(always)]
fn float_total<T: Number, const SKIP_NAN: bool>(xs: &[T]) -> Sum {
    let (mut high, mut low) = ([0.0; LANES], [0.0; LANES]);
    let (rows, rest) = xs.as_chunks::<LANES>();
    for row in rows {
        for lane in 0..LANES {
            let (sum, error) = two_sum(high[lane], value_or::<T, SKIP_NAN>(row[lane], 0.0));
            high[lane] = sum;
            low[lane] += error;
        }
    }
    let mut sum = Sum::default();
    for (&high, &low) in high.iter().zip(&low) {
        sum.merge(Sum::new(high, low));
    }
    for &x in rest {
        sum.add(value_or::<T, SKIP_NAN>(x, 0.0));
    }
    sum
}

/// A loop. It calls nothing that the compiler may leave as a call, closures included: that would be code without the
/// vector instructions.
pub trait Kernel<T> {
    type Output;

    /// Must be `#[inline(always)]`.
    fn over(self, xs: &[T]) -> Self::Output;
}

/// A loop and the values it goes over, as `pulp` takes it.
struct Task<'a, T, K> {
    kernel: K,
    xs: &'a [T],
}

impl<T, K: Kernel<T>> WithSimd for Task<'_, T, K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> K::Output {
        self.kernel.over(self.xs)
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
    fn over(self, xs: &[T]) -> (i128, Sum) {
        T::total::<SKIP_NAN>(xs)
    }
}

/// The number of NaN.
#[derive(Clone, Copy)]
pub struct CountNan;

impl<T: Number> Kernel<T> for CountNan {
    type Output = usize;

    #[inline(always)]
    fn over(self, xs: &[T]) -> usize {
        let mut count = 0;
        for x in xs {
            count += usize::from(x.is_nan());
        }
        count
    }
}

/// The least value. NaN is passed over; if there is nothing else, the answer means nothing. Of 0 and -0 it may be either.
#[derive(Clone, Copy)]
pub struct Least;

impl<T: Number> Kernel<T> for Least {
    type Output = T;

    #[inline(always)]
    fn over(self, xs: &[T]) -> T {
        fold(
            xs,
            T::GREATEST,
            #[inline(always)]
            |least, x| least.lesser(x),
        )
    }
}

/// The greatest value, as [`Least`].
#[derive(Clone, Copy)]
pub struct Greatest;

impl<T: Number> Kernel<T> for Greatest {
    type Output = T;

    #[inline(always)]
    fn over(self, xs: &[T]) -> T {
        fold(
            xs,
            T::LEAST,
            #[inline(always)]
            |greatest, x| greatest.greater(x),
        )
    }
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
    fn over(self, xs: &[T]) -> f64 {
        let mean = self.mean;
        let (mut squares, mut distances) = ([0.0; LANES], [0.0; LANES]);
        let (rows, rest) = xs.as_chunks::<LANES>();
        for row in rows {
            for lane in 0..LANES {
                let distance = value_or::<T, SKIP_NAN>(row[lane], mean) - mean;
                distances[lane] += distance;
                squares[lane] += distance * distance;
            }
        }
        let (mut square, mut distance_sum) = (0.0, 0.0);
        for &x in rest {
            let distance = value_or::<T, SKIP_NAN>(x, mean) - mean;
            distance_sum += distance;
            square += distance * distance;
        }
        for lane in 0..LANES {
            distance_sum += distances[lane];
            square += squares[lane];
        }
        // What is left of the distances is the rounding error of the mean.
        square - distance_sum * distance_sum / xs.len().max(1) as f64
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
    fn over(self, xs: &[T]) {
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
    fn over(self, xs: &[u8]) -> usize {
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
                x.to_item().to_vec()
            }
        };
        agree(Total::<false>, xs, total_bits)?;
        agree(Total::<true>, xs, total_bits)?;
        agree(Deviation::<false> { mean }, xs, f64_bits)?;
        agree(Deviation::<true> { mean }, xs, f64_bits)?;
        let nans = agree(CountNan, xs, |count| count.to_le_bytes().to_vec())?;
        prop_assert_eq!(nans, xs.iter().filter(|x| x.is_nan()).count().to_le_bytes());
        agree(Least, xs, without_sign_of_zero)?;
        agree(Greatest, xs, without_sign_of_zero)?;
        let numbers = || xs.iter().copied().filter(|x| !x.is_nan());
        if numbers().next().is_some() {
            let least = run(Least, xs);
            let greatest = run(Greatest, xs);
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

    fn integers<T: Arbitrary>() -> impl Strategy<Value = Vec<T>> {
        prop::collection::vec(any::<T>(), 0..100)
    }

    /// Numbers of all sizes, with NaN and infinities, but NaN of one kind: which of several comes out is nobody's word.
    fn doubles() -> impl Strategy<Value = Vec<f64>> {
        let number = prop_oneof![
            8 => prop::num::f64::ANY.prop_map(|x| if x.is_nan() { f64::NAN } else { x }),
            8 => -1e3..1e3,
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
        ];
        prop::collection::vec(number, 0..100)
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
