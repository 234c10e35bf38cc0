//! Integers of 8 to 64 bits.

use crate::storage::types::decimal::short_integer;
use crate::storage::types::digits::eight_digits;
use crate::storage::types::{Kind, ValueError};

/// A primitive integer. What is read has at most 64 bits and a sign.
pub(in crate::storage) trait Integer:
    TryFrom<u32> + TryFrom<i128> + std::fmt::Display
{
    const MIN: Self;
    const MAX: Self;
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl Integer for $int {
            const MIN: Self = <$int>::MIN;
            const MAX: Self = <$int>::MAX;
        }
    )*};
}

// The widest is for sums.
integers!(i8 i16 i32 i64 u8 u16 u32 u64 i128);

/// Reads decimal digits after an optional sign. `kind` is the name of `T` in the error.
#[inline]
pub(in crate::storage) fn parse<T: Integer>(text: &[u8], kind: Kind) -> Result<T, ValueError> {
    // Most are short and have no sign: this is a third of the instructions of the general way.
    if let 1..=8 = text.len()
        && let Some(magnitude) = short_integer(text)
        && let Ok(value) = T::try_from(magnitude)
    {
        return Ok(value);
    }
    parse_any(text, kind)
}

/// [`parse`] for digits of any number after an optional sign.
#[inline(never)]
fn parse_any<T: Integer>(text: &[u8], kind: Kind) -> Result<T, ValueError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(ValueError::NotANumber(kind));
    }
    let value = magnitude(digits).and_then(|magnitude| {
        let magnitude = i128::from(magnitude);
        T::try_from(if negative { -magnitude } else { magnitude }).ok()
    });
    value.ok_or_else(|| {
        if digits.iter().all(u8::is_ascii_digit) {
            ValueError::OutOfRange(kind)
        } else {
            ValueError::NotANumber(kind)
        }
    })
}

/// Reads an integer that is not a value of an array but says which.
///
/// # Errors
/// If it is not an integer, or not one of 64 bits with a sign.
#[inline]
pub fn parse_index(text: &[u8]) -> Result<i64, ValueError> {
    parse(text, Kind::Int64)
}

/// The value of ASCII digits; `None` above 2^64-1, or if there is another character.
fn magnitude(digits: &[u8]) -> Option<u64> {
    let (eights, rest) = digits.as_chunks();
    let mut value: u64 = 0;
    for eight in eights {
        value = value
            .checked_mul(100_000_000)?
            .checked_add(eight_digits(*eight)?)?;
    }
    for byte in rest.iter().map(|byte| byte.wrapping_sub(b'0')) {
        if byte > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(byte.into())?;
    }
    Some(value)
}

/// The least and the greatest value, as text.
pub(in crate::storage) fn range<T: Integer>() -> (String, String) {
    (T::MIN.to_string(), T::MAX.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every value of a narrow type, both bounds of a wide one, and one beyond each.
    fn check_bounds<T: Integer + PartialEq + std::fmt::Debug>(kind: Kind, min: i128, max: i128) {
        for value in [min, min + 1, 0, max - 1, max] {
            let read = parse::<T>(value.to_string().as_bytes(), kind);
            assert_eq!(read, Ok(T::try_from(value).ok().unwrap()), "{value}");
        }
        for value in [
            min - 1,
            max + 1,
            min * 10 - 1,
            max * 10,
            10_i128.pow(23),
            i128::MIN,
            i128::MAX,
        ] {
            let read = parse::<T>(value.to_string().as_bytes(), kind);
            assert_eq!(read, Err(ValueError::OutOfRange(kind)), "{value}");
        }
        assert_eq!(range::<T>(), (min.to_string(), max.to_string()));
    }

    #[test]
    fn bounds_are_exact() {
        check_bounds::<i8>(Kind::Int8, -(1 << 7), (1 << 7) - 1);
        check_bounds::<i16>(Kind::Int16, -(1 << 15), (1 << 15) - 1);
        check_bounds::<i32>(Kind::Int32, -(1 << 31), (1 << 31) - 1);
        check_bounds::<i64>(Kind::Int64, -(1 << 63), (1 << 63) - 1);
        check_bounds::<u8>(Kind::Uint8, 0, (1 << 8) - 1);
        check_bounds::<u16>(Kind::Uint16, 0, (1 << 16) - 1);
        check_bounds::<u32>(Kind::Uint32, 0, (1 << 32) - 1);
        check_bounds::<u64>(Kind::Uint64, 0, (1 << 64) - 1);
    }

    #[test]
    fn signs_and_leading_zeros_are_read() {
        for (text, value) in [
            ("+5", 5),
            ("-5", -5),
            ("-0", 0),
            ("007", 7),
            ("00000000000000000000000042", 42),
        ] {
            assert_eq!(
                parse::<i64>(text.as_bytes(), Kind::Int64),
                Ok(value),
                "{text}"
            );
        }
        assert_eq!(parse::<u8>(b"-0", Kind::Uint8), Ok(0));
    }

    #[test]
    fn other_texts_are_not_integers() {
        for text in [
            "",
            "-",
            "+",
            "+-1",
            "--1",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x10",
            "1_0",
            "1,0",
            "nan",
            "1\0",
            "１",
            "12345678x",
            "x2345678",
            "1234567/",
            "1234567:",
            "1/",
            "1:",
            "99999999999999999999999x",
        ] {
            let read = parse::<i64>(text.as_bytes(), Kind::Int64);
            assert_eq!(read, Err(ValueError::NotANumber(Kind::Int64)), "{text:?}");
        }
    }

    #[test]
    fn short_integers_take_digits_only() {
        for length in 1..=8 {
            for position in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = b"98765432"[..length].to_vec();
                    text[position] = byte;
                    let expected = str::from_utf8(&text)
                        .ok()
                        .filter(|_| byte != b'+')
                        .and_then(|text| text.parse().ok());
                    assert_eq!(short_integer(&text), expected, "{text:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_i64_reads_back(value: i64) {
            prop_assert_eq!(parse(value.to_string().as_bytes(), Kind::Int64), Ok(value));
        }

        #[test]
        fn every_u64_reads_back(value: u64) {
            prop_assert_eq!(parse(value.to_string().as_bytes(), Kind::Uint64), Ok(value));
        }

        #[test]
        fn agrees_with_the_standard_library(text in "[-+]?[0-9]{0,21}[0-9 .ex]?") {
            // Unlike here, `-0` is an error for the standard library's unsigned types.
            prop_assert_eq!(parse::<i64>(text.as_bytes(), Kind::Int64).ok(), text.parse().ok());
        }
    }
}
