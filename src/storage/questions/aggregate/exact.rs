//! Mean, variance and standard deviation of integers, from exact sums: each is the double nearest to the exact result, as
//! those of Python's `statistics` are.

use ethnum::U256;

/// The arithmetic mean of `count` integers, which must not be 0.
pub fn mean(count: u64, sum: i128) -> f64 {
    let mean = ratio(sum.unsigned_abs().into(), count.into());
    if sum < 0 { -mean } else { mean }
}

/// The variance of the population. Neither product exceeds 246 bits: a file is shorter than 2^63 bytes, so that it holds
/// less than 2^60 integers of 64 bits.
pub fn variance(count: u64, sum: i128, squares: U256) -> f64 {
    ratio(spread(count, sum, squares), square(count))
}

/// The square root of the variance, rounded once.
pub fn deviation(count: u64, sum: i128, squares: U256) -> f64 {
    root_of_ratio(spread(count, sum, squares), square(count))
}

/// The variance times `count` squared.
fn spread(count: u64, sum: i128, squares: U256) -> U256 {
    let sum = U256::from(sum.unsigned_abs());
    U256::from(count) * squares - sum * sum
}

fn square(count: u64) -> U256 {
    U256::from(count) * U256::from(count)
}

fn bits(number: U256) -> i32 {
    256 - number.leading_zeros().cast_signed()
}

/// `number` times two to the power of `exponent`, which is far from the ends of a double's range.
fn scaled(number: u128, exponent: i32) -> f64 {
    number as f64 * f64::from_bits(u64::from((1023 + exponent).cast_unsigned()) << 52)
}

/// The double that is nearest to the quotient; of two, the even one.
fn ratio(numerator: U256, denominator: U256) -> f64 {
    if numerator == 0 {
        return 0.0;
    }
    // The quotient gets more bits than a double has, and what is left of the division only matters as not being 0.
    let shift = 66 - bits(numerator) + bits(denominator);
    let (numerator, denominator) = if shift >= 0 {
        (numerator << shift.cast_unsigned(), denominator)
    } else {
        (numerator, denominator << shift.unsigned_abs())
    };
    let quotient = (numerator / denominator).as_u128();
    let rest = numerator % denominator;
    scaled(quotient | u128::from(rest != 0), -shift)
}

/// The double that is nearest to the square root of the quotient, as `_float_sqrt_of_frac` in Python's `statistics` finds
/// it: an integer square root of 55 bits, the last of which says whether there is more.
fn root_of_ratio(numerator: U256, denominator: U256) -> f64 {
    if numerator == 0 {
        return 0.0;
    }
    let half = (bits(numerator) - bits(denominator) - 109).div_euclid(2);
    let (numerator, denominator) = if half >= 0 {
        (numerator, denominator << (2 * half).cast_unsigned())
    } else {
        (numerator << (-2 * half).cast_unsigned(), denominator)
    };
    let root = (numerator / denominator).as_u128().isqrt();
    let is_exact = U256::from(root) * U256::from(root) * denominator == numerator;
    scaled(root | u128::from(!is_exact), half)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(xs: &[i64]) -> (f64, f64, f64) {
        let sum = xs.iter().map(|&x| i128::from(x)).sum();
        let squares = xs
            .iter()
            .map(|x| U256::from(x.unsigned_abs()) * U256::from(x.unsigned_abs()))
            .sum();
        let count = xs.len() as u64;
        (
            mean(count, sum),
            variance(count, sum, squares),
            deviation(count, sum, squares),
        )
    }

    /// `statistics.fmean`, `pvariance` and `pstdev` of Python 3.11 for the same integers.
    #[test]
    fn they_are_those_of_pythons_statistics() {
        let far: Vec<i64> = (0..5).map(|i| (1 << 53) + i).collect();
        assert_eq!(of(&far), (9007199254740994.0, 2.0, 2_f64.sqrt()));
        assert_eq!(of(&[7]), (7.0, 0.0, 0.0));
        assert_eq!(of(&[-1, 0]), (-0.5, 0.25, 0.5));
        assert_eq!(
            of(&[i64::MIN, i64::MAX]),
            (-0.5, 8.507059173023462e37, 9.223372036854776e18)
        );
        assert_eq!(
            of(&[1, 2, 4]),
            (2.3333333333333335, 1.5555555555555556, 1.247219128924647)
        );
    }

    #[test]
    fn a_quotient_between_two_doubles_goes_to_the_even_one() {
        let (one, odd) = (U256::from(1_u8), U256::from((1_u64 << 54) + 2));
        assert_eq!(ratio(odd, 2_u8.into()), ((1_u64 << 53) + 1) as f64);
        assert_eq!(
            ratio(U256::from((1_u64 << 54) + 3), one),
            18_014_398_509_481_988.0
        );
        assert_eq!(ratio(one, 3_u8.into()), 1.0 / 3.0);
        assert_eq!(ratio(U256::from(u128::MAX), one), 2_f64.powi(128));
    }

    proptest! {
        /// Division and square root of small numbers are rounded right by the CPU.
        #[test]
        fn small_quotients_are_those_of_the_cpu(a in 0_u64..1 << 53, b in 1_u64..1 << 53) {
            prop_assert_eq!(ratio(a.into(), b.into()), a as f64 / b as f64);
            prop_assert_eq!(root_of_ratio(a.into(), 1_u8.into()), (a as f64).sqrt());
        }

        #[test]
        fn shifting_all_values_changes_no_variance(xs in prop::collection::vec(-1000_i64..1000, 1..50), by in any::<i32>()) {
            let by = i64::from(by) << 30;
            let shifted: Vec<i64> = xs.iter().map(|x| x + by).collect();
            prop_assert_eq!(of(&xs).1, of(&shifted).1);
            prop_assert_eq!(of(&xs).2, of(&shifted).2);
        }
    }
}
