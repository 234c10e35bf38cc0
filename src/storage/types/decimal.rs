//! Plain decimals, `[-]digits[.digits]`: a fast path in front of the library that reads numbers of every shape.
//!
//! Most values that a client sends look like this, and [`parse`] takes a half to two thirds of the library's time.
//! The digits are read eight at a time as one integer `w`, and the number is `w / 10^f`:
//!
//! * If `w` and `10^f` are floats themselves, the result is one division, which rounds correctly (W. D. Clinger, "How to
//!   read floating point numbers accurately", 1990).
//! * Otherwise `w` is multiplied by a reciprocal of `5^f` that is taken to 127 bits, the idea of Eisel and Lemire
//!   (D. Lemire, "Number parsing at a gigabyte per second", 2021). Their method covers all exponents and needs a way out
//!   for the products that the reciprocal cannot decide, or a proof that there are none (N. Mushtak and D. Lemire, "Fast
//!   number parsing without fallback", 2023). For `f <= 19` the proof is short: see [`divide`].

use fast_float2::FastFloat;

use crate::storage::types::digits::eight_digits;

/// Most digits, and so the most after the point: 10^19 fits in a `u64`.
const MAX_DIGITS: usize = 19;

/// `f32` or `f64`, put together from integers.
pub(in crate::storage) trait Binary:
    FastFloat + std::ops::Div<Output = Self> + std::ops::Mul<Output = Self>
{
    /// A number with this many digits always fits this type, and so does the power of ten with this exponent.
    const EXACT_DIGITS: usize;

    /// ±10^exponent; `exponent` is at most 15, and the result is exact if it is at most [`EXACT_DIGITS`](Self::EXACT_DIGITS).
    fn power_of_ten(negative: bool, exponent: usize) -> Self;

    /// ±2^exponent; the result must be a normal number.
    fn power_of_two(negative: bool, exponent: i32) -> Self;

    /// The nearest number, half to even.
    fn rounded(integer: i64) -> Self;
}

macro_rules! binary {
    ($float:ident, $bits:ty, $exact_digits:literal) => {
        impl Binary for $float {
            const EXACT_DIGITS: usize = $exact_digits;

            #[inline]
            fn power_of_ten(negative: bool, exponent: usize) -> $float {
                const POSITIVE: [$float; 16] = [
                    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
                    1e15,
                ];
                // Both signs from one table, because a branch on the sign cannot be predicted.
                const BOTH: [$float; 32] = {
                    let mut powers = [0.0; 32];
                    let mut i = 0;
                    while i < 16 {
                        powers[i] = POSITIVE[i];
                        powers[i + 16] = -POSITIVE[i];
                        i += 1;
                    }
                    powers
                };
                BOTH[(usize::from(negative) * 16 + exponent) % 32]
            }

            #[inline]
            fn power_of_two(negative: bool, exponent: i32) -> $float {
                let biased = (exponent + ($float::MAX_EXP - 1)) as $bits;
                let sign = <$bits>::from(negative) << (<$bits>::BITS - 1);
                $float::from_bits(sign | biased << ($float::MANTISSA_DIGITS - 1))
            }

            #[inline]
            fn rounded(integer: i64) -> $float {
                integer as $float
            }
        }
    };
}

binary!(f32, u32, 7);
binary!(f64, u64, 15);

/// A decimal without its sign.
#[derive(Clone, Copy)]
struct Decimal {
    /// All digits as one integer.
    integer: u64,
    /// How many of them come after the point.
    fraction: usize,
}

impl Decimal {
    /// The number by a single rounding, provided that `integer` has at most [`EXACT_DIGITS`](Binary::EXACT_DIGITS)
    /// digits, or at most 18 and none of them after the point.
    #[inline(always)]
    fn exact<T: Binary>(self, negative: bool) -> T {
        T::rounded(self.integer as i64) / T::power_of_ten(negative, self.fraction)
    }
}

/// Reads a plain decimal of at most 19 digits, correctly rounded, half to even.
///
/// `None` means that `text` is something else, which may well be a number.
#[inline(always)]
pub(in crate::storage) fn parse<T: Binary>(text: &[u8]) -> Option<T> {
    let negative = *text.first()? == b'-';
    let text = &text[usize::from(negative)..];
    match text.len() {
        17..=20 => match upto_19_digits(text) {
            Some(decimal) => Some(divide(negative, decimal)),
            None => late_point(negative, text),
        },
        9..=16 => match upto_15_digits(text) {
            Some(decimal) if T::EXACT_DIGITS >= 15 => Some(decimal.exact(negative)),
            Some(decimal) => Some(divide(negative, decimal)),
            None => late_point(negative, text),
        },
        // These have at most 7 digits with a point.
        2..=8 => upto_8_digits(text).map(|decimal| decimal.exact(negative)),
        1 => one_digit(text).map(|decimal| decimal.exact(negative)),
        _ => None,
    }
}

/// The same byte eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The top bit of the lowest zero byte, and perhaps of bytes above it; 0 without a zero byte.
#[inline(always)]
fn zeros(bytes: u64) -> u64 {
    bytes.wrapping_sub(eight(1)) & !bytes & eight(0x80)
}

/// Not zero if a byte is above 9.
#[inline(always)]
fn beyond_digits(bytes: u64) -> u64 {
    // A byte of 10 to 127 gets its top bit by the addition. A carry can come only from a byte that has it already.
    (bytes | bytes.wrapping_add(eight(127 - 9))) & eight(0x80)
}

/// The number that eight digits make, the most significant one in the lowest byte; anything if they are none.
#[inline(always)]
fn joined(digits: u64) -> u64 {
    // Each neighbour is added to ten times the digit below it, then pairs are joined to fours, and fours to eight.
    let pairs = digits.wrapping_mul(1 + (10 << 8)) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(1 + (100 << 16)) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(1 + (10_000 << 32)) >> 32
}

/// [`joined`] for four digits.
#[inline(always)]
fn joined_four(digits: u32) -> u64 {
    let pairs = digits.wrapping_mul(1 + (10 << 8)) >> 8 & 0x00ff_00ff;
    u64::from(pairs.wrapping_mul(1 + (100 << 16)) >> 16)
}

/// Reads a text of one byte.
#[inline(always)]
fn one_digit(text: &[u8]) -> Option<Decimal> {
    let digit = text.first()?.wrapping_sub(b'0');
    (digit <= 9).then_some(Decimal {
        integer: digit.into(),
        fraction: 0,
    })
}

/// The digits of a text of 1 to 8 bytes, led by zeros, the most significant one in the lowest byte. They may be other
/// characters.
#[inline(always)]
fn led_by_zeros(text: &[u8]) -> Option<u64> {
    let length = text.len();
    let missing = 8 - length;
    // The text's end comes into the upper bytes. The lower ones stay 0, which is the digit 0.
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let zeros = eight(b'0') as u32;
        return Some(
            u64::from(u32::from_le_bytes(*first) ^ zeros) << (8 * missing)
                | u64::from(u32::from_le_bytes(*last) ^ zeros) << 32,
        );
    }
    let ([first, ..], [.., last]) = (text, text) else {
        return None;
    };
    // Of two bytes, the last one is taken twice; a single one, three times.
    let middle = text[length / 2];
    Some(
        u64::from(first ^ b'0') << (8 * missing)
            | u64::from(middle ^ b'0') << (8 * (missing + length / 2))
            | u64::from(last ^ b'0') << 56,
    )
}

/// The value of 1 to 8 ASCII digits, or `None` if there is another character.
#[inline(always)]
pub(in crate::storage) fn short_integer(text: &[u8]) -> Option<u32> {
    let digits = led_by_zeros(text)?;
    (beyond_digits(digits) == 0).then(|| joined(digits) as u32)
}

/// Reads a text of 2 to 8 bytes.
#[inline(always)]
fn upto_8_digits(text: &[u8]) -> Option<Decimal> {
    let digits = led_by_zeros(text)?;
    let points = zeros(digits ^ eight(b'.' ^ b'0'));
    let through_point = if points == 0 {
        0
    } else {
        points ^ (points - 1)
    };
    // What is before the point moves over it.
    let digits = digits & !through_point | digits << 8 & through_point;
    if beyond_digits(digits) != 0 {
        return None;
    }
    Some(Decimal {
        integer: joined(digits),
        // Without a point, these are 64 bits, which is to mean 0 digits.
        fraction: through_point.leading_zeros() as usize / 8 % 8,
    })
}

/// The first 8 digits of a text of at least 9 bytes, with the point among its first 8 bytes taken out, and where the
/// point is. The digits may be other characters.
#[inline(always)]
fn first_eight(text: &[u8]) -> Option<(u64, usize)> {
    let here = u64::from_le_bytes(*text.first_chunk()?);
    let next = u64::from_le_bytes(*text.get(1..)?.first_chunk()?);
    let points = zeros(here ^ eight(b'.'));
    if points == 0 {
        return None;
    }
    // From the point on, every digit is one place further.
    let before_point = (points ^ (points - 1)) >> 8;
    let digits = here & before_point | next & !before_point;
    Some((digits ^ eight(b'0'), points.trailing_zeros() as usize / 8))
}

/// Reads a text of 9 to 16 bytes with a point among the first 8.
#[inline(always)]
fn upto_15_digits(text: &[u8]) -> Option<Decimal> {
    let (first, point) = first_eight(text)?;
    // The last 8 bytes without those that are in `first`: 7 to 0 digits.
    let left = text.len() - 9;
    let read = 56 - 8 * left;
    let last = u64::from_le_bytes(*text.last_chunk()?) ^ eight(b'0');
    let last = last >> 8 >> read << read << 8;
    if beyond_digits(first) | beyond_digits(last) != 0 {
        return None;
    }
    Some(Decimal {
        integer: joined(first) * POWERS_OF_TEN[left] + joined(last),
        fraction: text.len() - 1 - point,
    })
}

/// Reads a text of 17 to 20 bytes with a point among the first 8.
#[inline(always)]
fn upto_19_digits(text: &[u8]) -> Option<Decimal> {
    let (first, point) = first_eight(text)?;
    let second = u64::from_le_bytes(*text.get(9..)?.first_chunk()?) ^ eight(b'0');
    // The last 4 bytes without those that are in `second`: 3 to 0 digits.
    let left = text.len() - 17;
    let read = 32 - 8 * left;
    let last = u32::from_le_bytes(*text.last_chunk()?) ^ eight(b'0') as u32;
    let last = u64::from(last) >> read << read;
    if beyond_digits(first) | beyond_digits(second) | beyond_digits(last) != 0 {
        return None;
    }
    let sixteen = joined(first) * 100_000_000 + joined(second);
    Some(Decimal {
        integer: sixteen * POWERS_OF_TEN[left] + joined_four(last as u32),
        fraction: text.len() - 1 - point,
    })
}

/// Reads a text of 9 to 20 bytes of which the first 8 are digits.
#[cold]
fn late_point<T: Binary>(negative: bool, text: &[u8]) -> Option<T> {
    let (first, rest) = text.split_first_chunk()?;
    let first = eight_digits(*first)?;
    let decimal = match rest.len() {
        1 => one_digit(rest),
        2..=8 => upto_8_digits(rest),
        9..=12 => upto_15_digits(rest),
        _ => None,
    }?;
    let digits = rest.len() - usize::from(rest.contains(&b'.'));
    let decimal = Decimal {
        integer: first * 10_u64.pow(digits as u32) + decimal.integer,
        fraction: decimal.fraction,
    };
    Some(divide(negative, decimal))
}

const POWERS_OF_TEN: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// 1/5^f to 127 bits.
#[derive(Clone, Copy)]
struct Reciprocal {
    /// 2^shift / 5^f, rounded up; 127 bits.
    mantissa: u128,
    shift: i32,
}

impl Reciprocal {
    /// The reciprocal of a number below 2^63, by long division.
    const fn of(divisor: u64) -> Reciprocal {
        let (mut quotient, mut remainder) = ((1 / divisor) as u128, 1 % divisor);
        let mut shift = 0;
        while quotient >> 126 == 0 {
            remainder *= 2;
            quotient = quotient << 1 | (remainder / divisor) as u128;
            remainder %= divisor;
            shift += 1;
        }
        Reciprocal {
            mantissa: quotient + (remainder != 0) as u128,
            shift,
        }
    }
}

/// 1/5^f for every f that [`divide`] can be asked for.
const RECIPROCALS: [Reciprocal; MAX_DIGITS + 1] = {
    let mut reciprocals = [Reciprocal::of(1); MAX_DIGITS + 1];
    let mut f = 1;
    while f <= MAX_DIGITS {
        reciprocals[f] = Reciprocal::of(5_u64.pow(f as u32));
        f += 1;
    }
    reciprocals
};

/// ±integer/10^fraction, correctly rounded, half to even. `fraction` is at most 19.
///
/// With W the integer shifted until its top bit is set, R the [`Reciprocal`] and d = 5^fraction < 2^45, the result is
/// x = W·2^shift/(d·2^128) times a power of two. The product p = W·R/2^128 exceeds x, by less than 2^-64, because R has
/// been rounded up by less than 1. Either d = 1 and shift = 126, or shift >= 128; so x is a multiple of 1/4 or of 1/d,
/// and an integer or more than 2^-46 away from the next one. Hence the integer part of p is that of x, and the first 64
/// fraction bits of p are zero exactly if x is an integer. The integer part has 62 or 63 bits, as 2^126 <= R < 2^127.
/// With its last bit standing for all that follows, the conversion to a float rounds correctly, and the power of two
/// changes no digit.
#[inline(always)]
fn divide<T: Binary>(negative: bool, decimal: Decimal) -> T {
    let Decimal { integer, fraction } = decimal;
    let Reciprocal { mantissa, shift } = RECIPROCALS[fraction];
    // Zero, too, has its place here: it stays zero.
    let zeros = (integer | 1).leading_zeros();
    let normalized = u128::from(integer << zeros);
    let upper = normalized * (mantissa >> 64);
    let lower = normalized * (mantissa & u128::from(u64::MAX));
    let product = upper + (lower >> 64);
    let (whole, rest) = ((product >> 64) as u64, product as u64);
    let sticky = whole | u64::from(rest != 0);
    let exponent = 128 - shift - fraction as i32 - zeros as i32;
    T::rounded(sticky as i64) * T::power_of_two(negative, exponent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks that both types are read as the standard library reads them, and that nothing is left to the library.
    fn check(text: &str) -> Result<(), TestCaseError> {
        let double = parse::<f64>(text.as_bytes()).map(f64::to_bits);
        prop_assert_eq!(double, text.parse().ok().map(f64::to_bits), "{}", text);
        let float = parse::<f32>(text.as_bytes()).map(f32::to_bits);
        prop_assert_eq!(float, text.parse().ok().map(f32::to_bits), "{}", text);
        Ok(())
    }

    /// Like [`check`], but a text may be left to the library, and is if it is not a number.
    fn check_if_read(text: &[u8]) -> Result<(), TestCaseError> {
        match str::from_utf8(text) {
            Ok(text) if parse::<f64>(text.as_bytes()).is_some() => check(text),
            _ => {
                prop_assert!(parse::<f64>(text).is_none());
                prop_assert!(parse::<f32>(text).is_none());
                Ok(())
            }
        }
    }

    /// `digits` with a point before the last `fraction` of them, and with zeros in front if there are fewer.
    fn with_point(digits: u64, fraction: usize) -> String {
        let mut text = format!("{digits:0width$}", width = fraction + 1);
        text.insert(text.len() - fraction, '.');
        text
    }

    /// A number of at most 19 digits, of every length equally often.
    fn digits() -> impl Strategy<Value = u64> {
        (0..=19_u32).prop_flat_map(|count| 0..10_u64.pow(count))
    }

    #[test]
    fn common_texts_are_not_left_to_the_library() {
        for text in [
            "0",
            "7",
            "-0",
            "-0.0",
            "42",
            "3.14",
            "-1.5",
            ".5",
            "-.5",
            "5.",
            "-5.",
            "00.10",
            "0.12345",
            "1000000",
            "12345678",
            "-12345678",
            "1234567.",
            ".1234567",
            "123456789",
            "12345678.9",
            "0.52198390971249320",
            "-0.52198390971249320",
            "1700000000.123456",
            "1234567890123456",
            "0.000000000000000000",
            "-0.000000000000000000",
            "0.000000000000000001",
            "9999999.999999999999",
            ".9999999999999999999",
            "12345678.90123456789",
        ] {
            check(text).unwrap();
        }
    }

    #[test]
    fn other_texts_are_left_to_the_library() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "-.",
            "+1",
            "--1",
            "..",
            "1..",
            "1.2.3",
            "1e5",
            "inf",
            "nan",
            " 1",
            "1 ",
            "1\0",
            "123456789.0.1",
            "0.1234567890.1",
            "0.12345678901234567.",
            "0.123456789012345678e5",
            "0.12345678901234567890",
            "123456789012345678901",
            "12345678.",
            "1234567/",
            "1234567:",
            "0.123456/890",
            "0.123456:890",
        ] {
            assert_eq!(parse::<f64>(text.as_bytes()), None, "{text}");
            assert_eq!(parse::<f32>(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn no_other_byte_passes_for_a_digit_or_a_point() {
        for length in 1..=20 {
            for point in 0..length.min(8) {
                for at in 0..length {
                    let mut text = vec![b'1'; length];
                    text[point] = b'.';
                    for byte in 0..=u8::MAX {
                        text[at] = byte;
                        check_if_read(&text).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn reciprocals_are_exact() {
        let mut five: u64 = 1;
        for reciprocal in RECIPROCALS {
            // The product has three limbs. Minus 2^shift, it must be at least 0 and less than 5^f.
            let [low, high] = [
                reciprocal.mantissa & u128::from(u64::MAX),
                reciprocal.mantissa >> 64,
            ]
            .map(|limb| limb * u128::from(five));
            let above = high + (low >> 64);
            assert_eq!(above, 1 << (reciprocal.shift - 64), "5^f = {five}");
            assert!((low as u64) < five, "5^f = {five}");
            assert_eq!(reciprocal.mantissa.leading_zeros(), 1, "5^f = {five}");
            five *= 5;
        }
        // What the proof at `divide` takes for granted.
        assert!(five / 5 < 1 << 45);
    }

    proptest! {
        #[test]
        fn every_length_and_place_of_the_point(digits in digits(), fraction in 0..=18_usize, negative: bool) {
            let text = format!("{}{}", if negative { "-" } else { "" }, with_point(digits, fraction));
            let (before, _) = text.trim_start_matches('-').split_once('.').unwrap();
            prop_assume!(before.len() + fraction <= MAX_DIGITS);
            if before.len() < 8 {
                check(&text)?;
            }
            check_if_read(text.as_bytes())?;
            check_if_read(text.replace('.', "").as_bytes())?;
            check_if_read(text.replace("0.", ".").as_bytes())?;
        }

        #[test]
        fn zeros_around(text in "-?0{0,9}[0-9]{0,4}\\.?[0-9]{0,4}0{0,9}") {
            check_if_read(text.as_bytes())?;
        }

        #[test]
        fn anything_like_a_number(text in "[-+]?[0-9]{0,12}\\.?[0-9]{0,12}[.e]?[0-9]{0,3}") {
            check_if_read(text.as_bytes())?;
        }

        #[test]
        fn prints_of_doubles(value in prop_oneof![0.0..1.0, -1e3..1e3, -1e15..1e15, prop::num::f64::ANY]) {
            for text in [
                format!("{value}"),
                format!("{value:.16}"),
                format!("{value:.17}"),
                format!("{value:.18}"),
                format!("{value:.20}"),
                format!("{value:e}"),
                format!("{}", value as f32),
            ] {
                check_if_read(text.as_bytes())?;
            }
        }

        /// A number in the middle between two doubles, and those next to it among decimals of the same length.
        #[test]
        fn halfway_between_doubles(bits in 1_u64 << 52..1 << 53, exponent in -4..=9_i32) {
            let odd = u128::from(bits) * 2 + 1;
            let fraction = exponent.min(0).unsigned_abs();
            let digits = (odd << exponent.max(0)) * 5_u128.pow(fraction);
            prop_assume!(digits < 10_u128.pow(19));
            for digits in [digits - 1, digits, digits + 1] {
                let text = with_point(digits as u64, fraction as usize);
                check_if_read(text.as_bytes())?;
                check_if_read(text.trim_end_matches('.').as_bytes())?;
                let decimal = Decimal { integer: digits as u64, fraction: fraction as usize };
                prop_assert_eq!(Ok(divide::<f64>(false, decimal)), text.parse(), "{}", text);
            }
        }

        #[test]
        fn halfway_between_floats(bits in 1_u64 << 23..1 << 24, exponent in -15..=35_i32) {
            let odd = u128::from(bits) * 2 + 1;
            let fraction = exponent.min(0).unsigned_abs();
            let digits = (odd << exponent.max(0)) * 5_u128.pow(fraction);
            prop_assume!(digits < 10_u128.pow(19));
            for digits in [digits - 1, digits, digits + 1] {
                let text = with_point(digits as u64, fraction as usize);
                check_if_read(text.as_bytes())?;
                let decimal = Decimal { integer: digits as u64, fraction: fraction as usize };
                prop_assert_eq!(Ok(divide::<f32>(false, decimal)), text.parse(), "{}", text);
            }
        }

        #[test]
        fn division_needs_no_way_out(digits in digits(), fraction in 0..=MAX_DIGITS, negative: bool) {
            let decimal = Decimal { integer: digits, fraction };
            let text = format!("{}{digits}e-{fraction}", if negative { "-" } else { "" });
            let double = divide::<f64>(negative, decimal).to_bits();
            prop_assert_eq!(Ok(double), text.parse().map(f64::to_bits), "{}", text);
            let float = divide::<f32>(negative, decimal).to_bits();
            prop_assert_eq!(Ok(float), text.parse().map(f32::to_bits), "{}", text);
        }
    }
}
