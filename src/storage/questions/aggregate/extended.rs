//! `long_double` as a number.

use std::cmp::Ordering;

use crate::storage::types::LongDouble;

const SIGN: u128 = 1 << 79;
/// The largest exponent, and a significand of 1: anything greater is NaN.
const INFINITY: u128 = 0x7fff << 64 | 1 << 63;
/// What is added to the exponent of 2, and the bits behind the binary point of the significand.
const BIAS: i32 = 16_383;
const FRACTION: i32 = 63;

/// A [`LongDouble`] that is ordered as IEEE 754 has it, exactly. For sums it is rounded to an `f64`.
#[derive(Clone, Copy, Debug)]
pub struct Extended {
    bits: u128,
}

impl Extended {
    pub const INFINITY: Self = Self { bits: INFINITY };
    /// What an FPU makes of 0/0, but positive.
    pub const NAN: Self = Self {
        bits: INFINITY | 1 << 62,
    };
    pub const NEG_INFINITY: Self = Self {
        bits: SIGN | INFINITY,
    };

    /// The values that lie in `bytes`.
    pub fn all(bytes: &[u8]) -> Vec<Self> {
        let (items, _) = bytes.as_chunks();
        let value = |&item| LongDouble::from_le_bytes(item).into();
        items.iter().map(value).collect()
    }

    pub fn is_nan(self) -> bool {
        self.magnitude() > INFINITY
    }

    pub fn min(self, other: Self) -> Self {
        if self.is_nan() || other < self {
            other
        } else {
            self
        }
    }

    pub fn max(self, other: Self) -> Self {
        if self.is_nan() || other > self {
            other
        } else {
            self
        }
    }

    pub fn to_le_bytes(self) -> [u8; 16] {
        self.bits.to_le_bytes()
    }

    fn magnitude(self) -> u128 {
        self.bits & !SIGN
    }

    /// A number that is ordered as the values are; `None` for NaN.
    fn key(self) -> Option<i128> {
        let magnitude = self.magnitude().cast_signed();
        let key = if self.bits & SIGN == 0 {
            magnitude
        } else {
            -magnitude
        };
        (!self.is_nan()).then_some(key)
    }
}

impl From<LongDouble> for Extended {
    fn from(value: LongDouble) -> Self {
        Self {
            bits: u128::from_le_bytes(value.to_le_bytes()),
        }
    }
}

impl PartialEq for Extended {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Extended {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.key()?.cmp(&other.key()?))
    }
}

/// The nearest `f64`; infinite beyond its range.
impl From<Extended> for f64 {
    fn from(value: Extended) -> f64 {
        if value.is_nan() {
            return f64::NAN;
        }
        let magnitude = value.magnitude();
        let sign = if value.bits & SIGN == 0 { 1.0 } else { -1.0 };
        if magnitude == INFINITY {
            return sign * f64::INFINITY;
        }
        // The casts pick the fields.
        let (significand, exponent) = (magnitude as u64, (magnitude >> 64) as i32);
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

    fn extended(text: &str) -> Extended {
        LongDouble::parse(text.as_bytes()).unwrap().into()
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
        .map(extended);
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.partial_cmp(b), Some(i.cmp(&j)), "{a:?} {b:?}");
            }
        }
        assert_eq!(extended("-0"), extended("0"));
        assert_eq!(extended("nan").partial_cmp(&extended("nan")), None);
        assert_eq!(Extended::INFINITY, extended("inf"));
        assert_eq!(Extended::NEG_INFINITY, extended("-inf"));
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
            assert_eq!(f64::from(extended(text)), expected, "{text}");
        }
        assert!(f64::from(extended("nan")).is_nan());
    }

    proptest! {
        #[test]
        fn every_double_is_itself(value in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
            prop_assert_eq!(f64::from(extended(&format!("{value:?}"))).to_bits(), value.to_bits());
        }
    }
}
