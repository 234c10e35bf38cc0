//! The loops of aggregates.

use ethnum::U256;
use pulp::Simd;

use crate::storage::questions::aggregate::doubles;
use crate::storage::questions::aggregate::kernel::Kernel;
use crate::storage::questions::aggregate::number::{Number, TILE, greatest, least};
use crate::storage::questions::aggregate::sum::Sum;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::storage::questions::aggregate::compare::{Comparison, CountOnes, Mask};
    use crate::storage::questions::aggregate::kernel::{Run, run};

    /// Runs a loop with each set of instructions that this CPU has, and with none, and has them agree bit by bit.
    fn agree<T: Number, K: Kernel<T> + Copy>(
        kernel: K,
        xs: &[T],
        bits: impl Fn(K::Output) -> Vec<u8>,
    ) -> Result<Vec<u8>, TestCaseError> {
        let task = || Run { kernel, xs };
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

    /// Numbers of all sizes, in half of the cases with NaN and infinities; NaN of one kind, as it is
    /// unspecified which of several is the result.
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
