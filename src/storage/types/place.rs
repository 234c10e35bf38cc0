//! Where a text stands among the values of a type, which need not have that value: what comparisons go by.

use crate::storage::types::error::range;
use crate::storage::types::{ItemType, Kind, MAX_FLOAT_TEXT, ValueError, string};

/// A place in the order of the values of a type. Values are encoded, but that strings are not padded: there may be many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// That of a value.
    At(Box<[u8]>),
    /// After a value, and before the next one: 1.5 among integers.
    After(Box<[u8]>),
    /// Before the least value.
    Before(Box<[u8]>),
}

/// The greatest integer that is not above a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Floor {
    /// Numbers beyond every type are clipped to the ends of `i128`.
    integer: i128,
    /// Whether it is the number itself.
    is_exact: bool,
}

impl ItemType {
    /// The place of a number or, for `string`, of a text of any length. Among integers the place of a fraction, and of
    /// numbers that are out of their range, is exact. Among floats a number is rounded as a value is.
    ///
    /// # Errors
    /// If the text is not a number. NaN has no place among integers.
    pub fn place(self, text: &[u8]) -> Result<Place, ValueError> {
        if self.kind() == Kind::String {
            return Ok(Place::At(string::trim(text).into()));
        }
        let is_float = matches!(self.kind(), Kind::Float | Kind::Double | Kind::LongDouble);
        match self.encoded(text) {
            Ok(value) => Ok(Place::At(value)),
            Err(ValueError::OutOfRange(_)) if is_float => {
                let (_, greatest) = range(self.kind());
                // Infinity is on the other side.
                let before = if text.starts_with(b"-") {
                    "-inf"
                } else {
                    &greatest
                };
                self.encoded(before.as_bytes()).map(Place::After)
            }
            Err(error) if is_float => Err(error),
            Err(_) => self.place_among_integers(floor(text)?),
        }
    }

    fn place_among_integers(self, floor: Floor) -> Result<Place, ValueError> {
        let (least, greatest) = range(self.kind());
        let [min, max] = [&least, &greatest].map(|text| text.parse().unwrap_or(0_i128));
        if floor.integer < min {
            return self.encoded(least.as_bytes()).map(Place::Before);
        }
        let value = self.encoded(floor.integer.min(max).to_string().as_bytes())?;
        if floor.is_exact && floor.integer <= max {
            Ok(Place::At(value))
        } else {
            Ok(Place::After(value))
        }
    }

    /// The least value: infinity, for floats.
    ///
    /// # Errors
    /// `string` has none that is worth a name.
    pub fn least(self) -> Result<Box<[u8]>, ValueError> {
        match self.kind() {
            Kind::Float | Kind::Double | Kind::LongDouble => self.encoded(b"-inf"),
            kind => self.encoded(range(kind).0.as_bytes()),
        }
    }

    fn encoded(self, text: &[u8]) -> Result<Box<[u8]>, ValueError> {
        let mut value = Vec::new();
        self.encode(text, &mut value)?;
        Ok(value.into())
    }
}

/// The floor of a number in decimal or exponent notation, or infinity.
fn floor(text: &[u8]) -> Result<Floor, ValueError> {
    let length = text.len();
    if length > MAX_FLOAT_TEXT {
        return Err(ValueError::NumberTooLong { length });
    }
    // What floats read is what is read here; their value is not exact enough.
    let value: f64 = fast_float2::parse(text).map_err(|_| ValueError::NoNumber)?;
    if value.is_nan() {
        return Err(ValueError::NoNumber);
    }
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let clipped = Floor {
        integer: if is_negative { i128::MIN } else { i128::MAX },
        is_exact: false,
    };
    if !text.iter().any(u8::is_ascii_digit) {
        return Ok(clipped);
    }
    let mut parts = text.splitn(2, |byte| byte.eq_ignore_ascii_case(&b'e'));
    let (mantissa, exponent) = (parts.next().unwrap_or_default(), parts.next());
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let digits = mantissa.iter().copied().filter(u8::is_ascii_digit);
    let digits: Vec<u8> = digits.collect();
    let Some(first) = digits.iter().position(|&digit| digit != b'0') else {
        return Ok(Floor {
            integer: 0,
            is_exact: true,
        });
    };
    // Of the integer's digits, counted from the first that is not 0. It is below the length of a text, or an exponent.
    let whole = (point.unwrap_or(mantissa.len()) as i64 - first as i64)
        .saturating_add(exponent.map_or(0, exponent_of));
    let digits = &digits[first..];
    let longest = i128::MAX.ilog10();
    if whole > i64::from(longest) {
        return Ok(clipped);
    }
    let whole = usize::try_from(whole).unwrap_or(0);
    let shown = whole.min(digits.len());
    let magnitude = digits[..shown]
        .iter()
        .fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let magnitude = magnitude * 10_i128.pow((whole - shown) as u32);
    let is_exact = digits[shown..].iter().all(|&digit| digit == b'0');
    Ok(Floor {
        integer: match (is_negative, is_exact) {
            (false, _) => magnitude,
            (true, true) => -magnitude,
            (true, false) => -magnitude - 1,
        },
        is_exact,
    })
}

/// The value of digits after an optional sign; beyond any mantissa where they are many.
fn exponent_of(text: &[u8]) -> i64 {
    const BEYOND: i64 = 1 << 40;
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    sign * digits.iter().fold(0_i64, |value, digit| {
        (value * 10 + i64::from(digit - b'0')).min(BEYOND)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(name: &str) -> ItemType {
        ItemType::parse(name.as_bytes(), None).unwrap()
    }

    fn place(name: &str, text: &str) -> Place {
        item(name).place(text.as_bytes()).unwrap()
    }

    fn at(name: &str, text: &str) -> Place {
        Place::At(item(name).encoded(text.as_bytes()).unwrap())
    }

    fn after(name: &str, text: &str) -> Place {
        Place::After(item(name).encoded(text.as_bytes()).unwrap())
    }

    fn before(name: &str, text: &str) -> Place {
        Place::Before(item(name).encoded(text.as_bytes()).unwrap())
    }

    #[test]
    fn fractions_stand_between_integers() {
        for (text, expected) in [
            ("1.5", after("int8", "1")),
            ("-1.5", after("int8", "-2")),
            ("0.001", after("int8", "0")),
            ("-0.001", after("int8", "-1")),
            ("1.0", at("int8", "1")),
            ("-0.0", at("int8", "0")),
            ("12e1", at("int8", "120")),
            ("1.25e2", at("int8", "125")),
            ("1255e-1", after("int8", "125")),
            ("1255e-4", after("int8", "0")),
            ("-1e-999999999999999999999", after("int8", "-1")),
            ("0e999999999999999999999", at("int8", "0")),
            ("00.00015e4", after("int8", "1")),
        ] {
            assert_eq!(place("int8", text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_out_of_range_stands_at_an_end() {
        for (name, text, expected) in [
            ("int8", "127", at("int8", "127")),
            ("int8", "127.5", after("int8", "127")),
            ("int8", "128", after("int8", "127")),
            ("int8", "-128.5", before("int8", "-128")),
            ("uint8", "-0.5", before("uint8", "0")),
            ("uint8", "1e999999999999999999999", after("uint8", "255")),
            ("int64", "-1e300", before("int64", "-9223372036854775808")),
            ("int64", "inf", after("int64", "9223372036854775807")),
            ("int64", "-inf", before("int64", "-9223372036854775808")),
            (
                "uint64",
                "18446744073709551615.5",
                after("uint64", "18446744073709551615"),
            ),
            ("float", "1e300", after("float", "3.4028235e+38")),
            ("float", "-1e300", after("float", "-inf")),
            ("double", "1e400", after("double", "1.7976931348623157e308")),
        ] {
            assert_eq!(place(name, text), expected, "{name} {text}");
        }
    }

    #[test]
    fn what_is_no_number_has_no_place() {
        for text in ["five", "", "1,5", "0x10", "nan", "1e"] {
            assert_eq!(
                item("int32").place(text.as_bytes()),
                Err(ValueError::NoNumber),
                "{text}"
            );
        }
        assert!(item("double").place(b"five").is_err());
        let long = vec![b'1'; MAX_FLOAT_TEXT + 1];
        assert_eq!(
            item("int32").place(&long),
            Err(ValueError::NumberTooLong { length: long.len() })
        );
    }

    #[test]
    fn longer_strings_stand_where_they_are_sorted() {
        let strings = ItemType::parse(b"string", Some(b"2")).unwrap();
        assert_eq!(strings.place(b"a").unwrap(), Place::At((*b"a").into()));
        assert_eq!(strings.place(b"abc").unwrap(), Place::At((*b"abc").into()));
        assert_eq!(
            strings.place(b"ab\0\0").unwrap(),
            Place::At((*b"ab").into())
        );
    }

    proptest! {
        /// By the type that is exact for all of these.
        #[test]
        fn floors_are_those_of_integers_divided_by_powers_of_ten(
            mantissa in any::<i64>(), point in 0_u32..25, exponent in -30_i32..15
        ) {
            let digits = format!("{:025}", mantissa.unsigned_abs());
            let (whole, fraction) = digits.split_at(25 - point as usize);
            let sign = if mantissa < 0 { "-" } else { "" };
            let text = format!("{sign}{whole}.{fraction}e{exponent}");
            let shift = exponent - point as i32;
            let expected = if shift >= 0 {
                let value = 10_i128.checked_pow(shift as u32).and_then(|power| i128::from(mantissa).checked_mul(power));
                Floor { integer: value.unwrap(), is_exact: true }
            } else {
                let divisor = 10_i128.checked_pow(shift.unsigned_abs()).unwrap_or(i128::MAX);
                let value = i128::from(mantissa);
                Floor { integer: value.div_euclid(divisor), is_exact: value.rem_euclid(divisor) == 0 }
            };
            // "1." without a digit after the point is read as floats read it.
            prop_assert_eq!(floor(text.as_bytes()), Ok(expected), "{}", text);
        }
    }
}
