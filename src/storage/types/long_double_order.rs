//! [`LongDouble`] as a number: its order, which is IEEE 754's as that of `f64` is, and the nearest `f64`.

use std::cmp::Ordering;

use crate::storage::types::LongDouble;

/// What is added to the exponent of 2, and the bits behind the binary point of the significand.
const BIAS: i32 = 16_383;
const FRACTION: i32 = 63;

impl LongDouble {
    /// The values that lie in `bytes`.
    pub fn all(bytes: &[u8]) -> Vec<Self> {
        let (items, _) = bytes.as_chunks();
        items
            .iter()
            .map(|&item| Self::from_le_bytes(item))
            .collect()
    }

    /// The lesser of two, or the one that is not NaN.
    pub fn min(self, other: Self) -> Self {
        if self.is_nan() || other < self {
            other
        } else {
            self
        }
    }

    /// The greater of two, or the one that is not NaN.
    pub fn max(self, other: Self) -> Self {
        if self.is_nan() || other > self {
            other
        } else {
            self
        }
    }

    /// A number that is ordered as the values are; `None` for NaN.
    fn key(self) -> Option<i128> {
        let magnitude = self.magnitude().cast_signed();
        let key = if self.is_negative() {
            -magnitude
        } else {
            magnitude
        };
        (!self.is_nan()).then_some(key)
    }
}

/// NaN is unequal to everything, and `0` equals `-0`. [`LongDouble::to_bits`] tells those apart.
impl PartialEq for LongDouble {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for LongDouble {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.key()?.cmp(&other.key()?))
    }
}

/// The nearest `f64`; infinite beyond its range.
impl From<LongDouble> for f64 {
    fn from(value: LongDouble) -> f64 {
        if value.is_nan() {
            return f64::NAN;
        }
        let sign = if value.is_negative() { -1.0 } else { 1.0 };
        if value.is_infinite() {
            return sign * f64::INFINITY;
        }
        // The casts pick the fields.
        let (significand, exponent) = (value.magnitude() as u64, (value.magnitude() >> 64) as i32);
        // The cast rounds, to nearest; below the normal range of f64 the scaling rounds once more.
        sign * scaled(significand as f64, exponent - BIAS - FRACTION)
    }
}

/// `value` × 2^`exponent`, in two steps, since neither power may be a number that f64 has.
fn scaled(value: f64, exponent: i32) -> f64 {
    let exponent = exponent.clamp(-1_200, 1_100);
    let half = exponent / 2;
    value * 2_f64.powi(half) * 2_f64.powi(exponent - half)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> LongDouble {
        LongDouble::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_order_is_that_of_the_numbers() {
        let ascending = [
            "-inf",
            "-1e4000",
            "-2",
            "-1.5",
            "-1e-4940",
            "0",
            "3e-4950",
            "1e-4940",
            "1",
            "1.00000000000000000011",
            "2",
            "1e4000",
            "inf",
        ]
        .map(read);
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.partial_cmp(b), Some(i.cmp(&j)), "{a:?} {b:?}");
            }
        }
        assert_eq!(read("-0"), read("0"));
        assert_eq!(read("nan").partial_cmp(&read("nan")), None);
        assert_eq!(LongDouble::INFINITY, read("inf"));
        assert_eq!(LongDouble::NEG_INFINITY, read("-inf"));
    }

    #[test]
    fn what_f64_cannot_hold_is_infinite_or_zero() {
        for (text, expected) in [
            ("1e309", f64::INFINITY),
            ("-1e4000", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("1e-4940", 0.0),
            ("inf", f64::INFINITY),
            ("5e-324", 5e-324),
            ("1.7976931348623157e308", f64::MAX),
        ] {
            assert_eq!(f64::from(read(text)), expected, "{text}");
        }
        assert!(f64::from(read("nan")).is_nan());
    }

    proptest! {
        #[test]
        fn every_double_is_itself(value in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
            // With so many digits the nearest long double is the value itself; the shortest text would be rounded twice.
            let text = format!("{value:.30e}");
            prop_assert_eq!(f64::from(read(&text)).to_bits(), value.to_bits());
        }
    }
}
