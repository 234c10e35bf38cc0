//! `long_double`: the x87 80-bit format that C's `long double` is on x86-64 Linux.

use std::cmp::Ordering;
use std::fmt;

use rustc_apfloat::ieee::{Quad, X87DoubleExtended};
use rustc_apfloat::{Float, Round, Status};

use crate::storage::types::{Kind, MAX_FLOAT_TEXT, ValueError, int};

const SIGN: u16 = 0x8000;
const MAX_EXPONENT: u16 = 0x7fff;
/// The bit before the binary point, which this format stores and IEEE's interchange formats imply.
const INTEGER_BIT: u64 = 1 << 63;
const QUIET_NAN: u64 = 0b11 << 62;

/// A finite number, infinity or NaN with 64 bits of precision and 15 of exponent.
///
/// It is compared as an `f64` is, as IEEE 754 has it (`long_double_order.rs`).
#[derive(Clone, Copy)]
pub struct LongDouble {
    sign_and_exponent: u16,
    significand: u64,
}

impl LongDouble {
    pub const INFINITY: Self = Self {
        sign_and_exponent: MAX_EXPONENT,
        significand: INTEGER_BIT,
    };
    pub const NEG_INFINITY: Self = Self {
        sign_and_exponent: SIGN | MAX_EXPONENT,
        significand: INTEGER_BIT,
    };
    /// What an FPU makes of 0/0, but positive.
    pub const NAN: Self = Self {
        sign_and_exponent: MAX_EXPONENT,
        significand: QUIET_NAN,
    };

    /// Reads decimal or exponent notation, `inf`, `infinity` or `nan`: the texts that are a `double` too. Rounds
    /// correctly, half to even; what is too small becomes denormal or zero.
    ///
    /// # Errors
    /// Another text, a finite number above the range, or a text longer than [`MAX_FLOAT_TEXT`].
    pub fn parse(text: &[u8]) -> Result<LongDouble, ValueError> {
        if text.len() > MAX_FLOAT_TEXT {
            return Err(ValueError::NumberTooLong { length: text.len() });
        }
        let (sign, unsigned) = match text {
            [b'-', rest @ ..] => (SIGN, rest),
            [b'+', rest @ ..] => (0, rest),
            _ => (0, text),
        };
        let magnitude = match unsigned {
            _ if is_word(unsigned, &["inf", "infinity"]) => Self::INFINITY,
            _ if is_word(unsigned, &["nan"]) => Self::NAN,
            _ => parse_decimal(unsigned)?,
        };
        Ok(LongDouble {
            sign_and_exponent: magnitude.sign_and_exponent | sign,
            ..magnitude
        })
    }

    /// Reads an item. The 6 bytes of padding are ignored. What the hardware refuses to calculate with (pseudo-NaN,
    /// pseudo-infinity, unnormal) is NaN, and a pseudo-denormal is the normal number it stands for.
    pub fn from_le_bytes(bytes: [u8; 16]) -> LongDouble {
        let bits = u128::from_le_bytes(bytes);
        // The casts pick the fields.
        let (significand, sign_and_exponent) = (bits as u64, (bits >> 64) as u16);
        match (
            sign_and_exponent & MAX_EXPONENT,
            significand & INTEGER_BIT != 0,
        ) {
            (0, true) => LongDouble {
                sign_and_exponent: sign_and_exponent | 1,
                significand,
            },
            (1.., false) => LongDouble {
                sign_and_exponent: sign_and_exponent | MAX_EXPONENT,
                significand: QUIET_NAN,
            },
            _ => LongDouble {
                sign_and_exponent,
                significand,
            },
        }
    }

    /// The item's bytes, with zeros as padding.
    pub fn to_le_bytes(self) -> [u8; 16] {
        self.to_bits().to_le_bytes()
    }

    /// True for every NaN.
    pub fn is_nan(self) -> bool {
        self.exponent() == MAX_EXPONENT && self.significand != INTEGER_BIT
    }

    /// True for `inf` and `-inf`.
    pub fn is_infinite(self) -> bool {
        self.exponent() == MAX_EXPONENT && self.significand == INTEGER_BIT
    }

    fn exponent(self) -> u16 {
        self.sign_and_exponent & MAX_EXPONENT
    }

    /// Whether its sign bit is set.
    pub fn is_negative(self) -> bool {
        self.sign_and_exponent & SIGN != 0
    }

    /// The 80 bits of the format, from the sign down. Values that look the same have the same bits, but for NaN.
    pub fn to_bits(self) -> u128 {
        u128::from(self.sign_and_exponent) << 64 | u128::from(self.significand)
    }

    /// The bits without the sign, which are ordered as the magnitudes are.
    pub(super) fn magnitude(self) -> u128 {
        u128::from(self.exponent()) << 64 | u128::from(self.significand)
    }
}

fn is_word(text: &[u8], words: &[&str]) -> bool {
    words
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

/// Reads an unsigned decimal number.
fn parse_decimal(text: &[u8]) -> Result<LongDouble, ValueError> {
    const NOT_A_NUMBER: ValueError = ValueError::NotANumber(Kind::LongDouble);
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(e) => (&text[..e], Some(&text[e + 1..])),
        None => (text, None),
    };
    // The library also reads hexadecimal, `1e` and other texts that no double may be.
    if !is_mantissa(mantissa) || !exponent.is_none_or(is_integer) {
        return Err(NOT_A_NUMBER);
    }
    if let Some(value) = WideDecimal::read(mantissa, exponent).and_then(WideDecimal::to_long_double)
    {
        return Ok(value);
    }
    let text = std::str::from_utf8(text).map_err(|_| NOT_A_NUMBER)?;
    let parsed =
        X87DoubleExtended::from_str_r(text, Round::NearestTiesToEven).map_err(|_| NOT_A_NUMBER)?;
    if parsed.status.contains(Status::OVERFLOW) {
        return Err(ValueError::OutOfRange(Kind::LongDouble));
    }
    Ok(parsed.value.into())
}

/// Digits with at most one point among them.
fn is_mantissa(text: &[u8]) -> bool {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let points = text.iter().filter(|&&byte| byte == b'.').count();
    digits > 0 && points <= 1 && digits + points == text.len()
}

/// Digits after an optional sign, of any magnitude.
fn is_integer(text: &[u8]) -> bool {
    let digits = match text {
        [b'-' | b'+', rest @ ..] => rest,
        _ => text,
    };
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

impl From<LongDouble> for X87DoubleExtended {
    fn from(value: LongDouble) -> X87DoubleExtended {
        X87DoubleExtended::from_bits(value.to_bits())
    }
}

impl From<X87DoubleExtended> for LongDouble {
    fn from(value: X87DoubleExtended) -> LongDouble {
        LongDouble::from_le_bytes(value.to_bits().to_le_bytes())
    }
}

/// The shortest text that reads back to the same value, in the style of [`FloatText`](crate::storage::types::FloatText).
impl fmt::Display for LongDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nan() {
            return f.write_str("nan");
        }
        if self.is_negative() {
            f.write_str("-")?;
        }
        if self.is_infinite() {
            return f.write_str("inf");
        }
        if self.significand == 0 {
            return f.write_str("0");
        }
        let magnitude = LongDouble {
            sign_and_exponent: self.exponent(),
            ..*self
        };
        WideDecimal::shortest(magnitude).fmt(f)
    }
}

impl fmt::Debug for LongDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LongDouble({self}, {:#06x}:{:016x})",
            self.sign_and_exponent, self.significand
        )
    }
}

/// `digits` × 10^`exponent`.
#[derive(Clone, Copy)]
struct WideDecimal {
    digits: u128,
    exponent: i32,
}

impl WideDecimal {
    /// So many significant digits always tell a long double from its neighbours: 10^20 > 2^65.
    const ENOUGH_DIGITS: u32 = 21;

    /// What a text says that [`parse_decimal`] has checked, unless it has too many digits.
    fn read(mantissa: &[u8], exponent: Option<&[u8]>) -> Option<WideDecimal> {
        let mut digits: u64 = 0;
        for byte in mantissa.iter().filter(|&&byte| byte != b'.') {
            digits = digits
                .checked_mul(10)?
                .checked_add(u64::from(byte - b'0'))?;
        }
        let point = mantissa.iter().rev().position(|&byte| byte == b'.');
        let exponent: i16 = match exponent {
            Some(text) => int::parse(text, Kind::Int16).ok()?,
            None => 0,
        };
        Some(WideDecimal {
            digits: digits.into(),
            exponent: i32::from(exponent) - point.unwrap_or(0) as i32,
        })
    }

    /// The nearest long double, where one multiplication or division of exact operands gives it. This covers nearly
    /// all numbers people write, and takes a fraction of the time of the general way.
    fn to_long_double(self) -> Option<LongDouble> {
        /// 5^27 is the last power below 2^64, which makes 10^27 the last exact power of ten.
        const MAX_EXACT_POWER: u32 = 27;
        let exact = |integer: u128| X87DoubleExtended::from_u128(integer).value;
        let power = self.exponent.unsigned_abs();
        if self.digits > u128::from(u64::MAX) || power > MAX_EXACT_POWER {
            return None;
        }
        let (digits, power) = (exact(self.digits), exact(10_u128.pow(power)));
        let value = if self.exponent < 0 {
            digits / power
        } else {
            digits * power
        };
        Some(value.value.into())
    }

    /// The decimal with the fewest digits that reads back to `value`, which is finite and above zero; of two such, the
    /// closer.
    ///
    /// The two decimals of n digits around the value are candidates, for the fewest n where one of them reads back. As
    /// reading is exact, so is the number of digits: rounding in [`WideDecimal::approximate`] can only blur which of two
    /// candidates is closer, where their distances differ by less than 1e-29 of the value.
    fn shortest(value: LongDouble) -> WideDecimal {
        let approximate = WideDecimal::approximate(value);
        let mut best = approximate.rounded(WideDecimal::ENOUGH_DIGITS)[0];
        // A candidate of n digits that reads back implies one of n + 1, so a binary search finds the fewest.
        let (mut low, mut high) = (1, WideDecimal::ENOUGH_DIGITS);
        while low < high {
            let middle = (low + high) / 2;
            let candidates = approximate.rounded(middle);
            match candidates
                .into_iter()
                .find(|decimal| decimal.reads_back_to(value))
            {
                Some(candidate) => {
                    best = candidate;
                    high = middle;
                }
                None => low = middle + 1,
            }
        }
        best
    }

    /// The value with 30 or 31 digits, the last of which may be off by one.
    ///
    /// The `Display` of `rustc_apfloat` gives exact digits, but takes 18 ms at the ends of the range.
    fn approximate(value: LongDouble) -> WideDecimal {
        /// No power of ten within this is denormal or infinite in quadruple precision, whose exponents have 15 bits too.
        const MAX_POWER: i32 = 4900;
        let binary_exponent = i32::from(value.exponent().max(1)) - 16383 - 63;
        let bits = 64 - value.significand.leading_zeros() as i32;
        // log10 of the value, give or take one.
        let magnitude = (f64::from(binary_exponent + bits) * std::f64::consts::LOG10_2) as i32;
        let power = 30 - magnitude;
        let first = power.clamp(-MAX_POWER, MAX_POWER);

        // 113 bits hold 34 digits; the three roundings cost less than one of them.
        let significand = Quad::from_u128(u128::from(value.significand)).value;
        let scaled = (significand * power_of_ten(first))
            .value
            .scalbn(binary_exponent);
        let scaled = scaled * power_of_ten(power - first);
        WideDecimal {
            digits: scaled.value.to_u128(128).value,
            exponent: -power,
        }
    }

    /// The two decimals of `count` digits around this one: the closer first, or the even one where both are as close.
    fn rounded(self, count: u32) -> [WideDecimal; 2] {
        let drop = (self.digits.ilog10() + 1).saturating_sub(count);
        let unit = 10_u128.pow(drop);
        let below = WideDecimal {
            digits: self.digits / unit,
            exponent: self.exponent + drop as i32,
        };
        let above = WideDecimal {
            digits: below.digits + 1,
            ..below
        };
        let rest = self.digits % unit;
        match rest.cmp(&(unit - rest)) {
            Ordering::Less => [below, above],
            Ordering::Equal if below.digits.is_multiple_of(2) => [below, above],
            _ => [above, below],
        }
    }

    fn reads_back_to(self, value: LongDouble) -> bool {
        match self.to_long_double() {
            Some(read) => read == value,
            None => {
                parse_decimal(format!("{}e{}", self.digits, self.exponent).as_bytes()) == Ok(value)
            }
        }
    }
}

fn power_of_ten(exponent: i32) -> Quad {
    Quad::from_str_r(&format!("1e{exponent}"), Round::NearestTiesToEven)
        .map_or(Quad::NAN, |power| power.value)
}

/// Positional where that is short, else with an exponent. Every integer of 64 bits is positional.
impl fmt::Display for WideDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.digits.to_string();
        let digits = text.trim_end_matches('0');
        // The power of ten of the first digit.
        let exponent = self.exponent + text.len() as i32 - 1;
        match exponent {
            -5..0 => write!(
                f,
                "0.{:0>1$}",
                digits,
                digits.len() + (-1 - exponent) as usize
            ),
            0..20 => match digits.split_at_checked(exponent as usize + 1) {
                Some((whole, "")) => f.write_str(whole),
                Some((whole, fraction)) => write!(f, "{whole}.{fraction}"),
                None => write!(f, "{digits:0<0$}", exponent as usize + 1),
            },
            _ => match digits.split_at(1) {
                (first, "") => write!(f, "{first}e{exponent:+}"),
                (first, rest) => write!(f, "{first}.{rest}e{exponent:+}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<LongDouble, ValueError> {
        LongDouble::parse(text.as_bytes())
    }

    /// By bits: `-0` is not `0`, and NaN is what it is.
    fn read_bits(text: &str) -> Result<u128, ValueError> {
        read(text).map(LongDouble::to_bits)
    }

    fn bits_of(sign_and_exponent: u16, significand: u64) -> u128 {
        from_parts(sign_and_exponent, significand).to_bits()
    }

    fn from_parts(sign_and_exponent: u16, significand: u64) -> LongDouble {
        LongDouble::from_le_bytes(
            (u128::from(sign_and_exponent) << 64 | u128::from(significand)).to_le_bytes(),
        )
    }

    /// Sign, digits without zeros around them, and the power of ten of the first, whatever the notation.
    fn meaning(text: &str) -> (bool, String, i32) {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa
            .trim_start_matches('-')
            .split_once('.')
            .unwrap_or((mantissa.trim_start_matches('-'), ""));
        let digits = format!("{whole}{fraction}");
        let leading_zeros = digits.len() - digits.trim_start_matches('0').len();
        let significant = digits.trim_matches('0').to_owned();
        let exponent = match significant.as_str() {
            "" => 0,
            _ => exponent.parse::<i32>().unwrap() + whole.len() as i32 - leading_zeros as i32 - 1,
        };
        (text.starts_with('-'), significant, exponent)
    }

    /// Text, sign and exponent, significand, shortest text.
    fn vectors() -> impl Iterator<Item = (&'static str, u16, u64, &'static str)> {
        let rows = include_str!("long_double_vectors.tsv").lines();
        rows.filter(|row| !row.starts_with('#')).map(|row| {
            let mut fields = row.split('\t');
            let mut next = || fields.next().expect("a row has four fields");
            let (text, exponent, significand, shortest) = (next(), next(), next(), next());
            (
                text,
                u16::from_str_radix(exponent, 16).unwrap(),
                u64::from_str_radix(significand, 16).unwrap(),
                shortest,
            )
        })
    }

    #[test]
    fn reads_and_writes_as_glibc_does() {
        for (text, sign_and_exponent, significand, shortest) in vectors() {
            let value = read(text).unwrap();
            let expected = bits_of(sign_and_exponent, significand);
            assert_eq!(value.to_bits(), expected, "{text}");
            assert_eq!(meaning(&value.to_string()), meaning(shortest), "{text}");
        }
    }

    #[test]
    fn both_ways_of_reading_agree_with_glibc() {
        let exact = |text: &str| {
            let text = text.to_lowercase();
            let (mantissa, exponent) = match text.split_once('e') {
                Some((mantissa, exponent)) => (mantissa, Some(exponent.as_bytes())),
                None => (text.as_str(), None),
            };
            WideDecimal::read(mantissa.as_bytes(), exponent).and_then(WideDecimal::to_long_double)
        };
        let mut taken = 0;
        for (text, sign_and_exponent, significand, _) in vectors() {
            let unsigned = text.trim_start_matches('-');
            let expected = bits_of(sign_and_exponent & MAX_EXPONENT, significand);
            if let Some(value) = exact(unsigned) {
                assert_eq!(value.to_bits(), expected, "{text}");
                taken += 1;
            }
            let general =
                X87DoubleExtended::from_str_r(unsigned, Round::NearestTiesToEven).unwrap();
            let general = LongDouble::from(general.value);
            assert_eq!(general.to_bits(), expected, "{text}");
        }
        assert!(taken > vectors().count() / 5, "{taken}");
    }

    #[test]
    fn text_has_the_style_of_a_double() {
        for text in [
            "0",
            "-0",
            "1",
            "-1.5",
            "100",
            "0.1",
            "0.00001",
            "1e-6",
            "1.25e-7",
            "18446744073709551615",
            "1e+20",
            "1.5e+20",
            "10000000000000000000",
            "123456789.125",
            "4e-4951",
            "1.189731495357231765e+4932",
            "inf",
            "-inf",
            "nan",
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert_eq!(read("-nan").unwrap().to_string(), "nan");
    }

    #[test]
    fn at_a_power_of_two_the_farther_decimal_may_be_the_shortest() {
        // Below a power of two the neighbour is half as far away, and the nearest decimal of 20 digits lies beyond it.
        let value = from_parts(0x0419, INTEGER_BIT);
        assert_eq!(value.to_string(), "1.0140199244282829063e-4616");
        assert_eq!(
            read_bits("1.0140199244282829062e-4616"),
            Ok(bits_of(0x0418, u64::MAX))
        );
    }

    #[test]
    fn infinity_and_nan_are_read_in_any_case() {
        for text in ["inf", "+inf", "INF", "Infinity", "iNFINITY"] {
            assert!(read(text).unwrap().is_infinite(), "{text}");
        }
        assert_eq!(read_bits("-inf"), Ok(bits_of(0xffff, INTEGER_BIT)));
        for text in ["nan", "NaN", "-nan", "+nan"] {
            assert!(read(text).unwrap().is_nan(), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_numbers() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "-.",
            "e5",
            ".e5",
            "1e",
            "1e+",
            "1e-",
            " 1",
            "1 ",
            "1,0",
            "1_0",
            "0x1p3",
            "0x10",
            "1.0.0",
            "+-1",
            "-+1",
            "--1",
            "1f",
            "1l",
            "infinit",
            "infinityx",
            "nan(1)",
            "snan",
            "1\0",
            "\u{661}",
        ] {
            assert_eq!(
                read(text),
                Err(ValueError::NotANumber(Kind::LongDouble)),
                "{text:?}"
            );
        }
        assert_eq!(
            LongDouble::parse(b"1\xff"),
            Err(ValueError::NotANumber(Kind::LongDouble))
        );
    }

    #[test]
    fn the_range_ends_where_half_a_step_beyond_the_greatest_begins() {
        // The greatest is 1.18973149535723176502126...e4932, and half a step above it lies ...50536...
        assert_eq!(
            read("1.189731495357231765053e4932"),
            read("1.189731495357231765e4932")
        );
        for text in [
            "1.189731495357231765054e4932",
            "1e4933",
            "-1e4933",
            "1e999999999",
            "1e99999999999999999999999",
        ] {
            assert_eq!(
                read(text),
                Err(ValueError::OutOfRange(Kind::LongDouble)),
                "{text}"
            );
        }
        assert_eq!(read_bits("-1e-999999999"), Ok(bits_of(SIGN, 0)));
        assert_eq!(read_bits("0e999999999"), Ok(bits_of(0, 0)));
    }

    #[test]
    fn very_long_texts_are_refused() {
        let longest = format!("0.{}", "1".repeat(MAX_FLOAT_TEXT - 2));
        assert_eq!(read(&longest), read("0.111111111111111111111111111111"));
        let length = MAX_FLOAT_TEXT + 1;
        assert_eq!(
            read(&(longest + "1")),
            Err(ValueError::NumberTooLong { length })
        );
        let zeros = "0".repeat(5000);
        assert_eq!(read(&format!("0.{zeros}1e5001")), read("1"));
        assert_eq!(read(&format!("1{zeros}e-5000")), read("1"));
        // A tie that only the last digit breaks is the most work.
        assert_eq!(
            read(&format!("9223372036854775808.5{zeros}1")),
            read("9223372036854775809")
        );
    }

    #[test]
    fn encodings_the_hardware_refuses_are_nan() {
        for (what, sign_and_exponent, significand) in [
            ("pseudo-infinity", 0x7fff, 0),
            ("pseudo-NaN", 0xffff, 1),
            ("unnormal", 0x3fff, 1),
            ("unnormal zero", 0x0001, 0),
        ] {
            let value = from_parts(sign_and_exponent, significand);
            assert!(value.is_nan(), "{what}");
            assert_eq!(value.to_string(), "nan", "{what}");
        }
    }

    #[test]
    fn a_pseudo_denormal_is_the_normal_number() {
        assert_eq!(bits_of(0, INTEGER_BIT), bits_of(1, INTEGER_BIT));
    }

    #[test]
    fn padding_is_ignored_and_written_as_zeros() {
        let mut bytes = read("1.5").unwrap().to_le_bytes();
        assert_eq!(
            bytes,
            [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0x3f, 0, 0, 0, 0, 0, 0]
        );
        bytes[10..].fill(0xaa);
        assert_eq!(LongDouble::from_le_bytes(bytes), read("1.5").unwrap());
    }

    proptest! {
        #[test]
        fn every_value_reads_back(bits: u128) {
            let value = LongDouble::from_le_bytes(bits.to_le_bytes());
            let text = value.to_string();
            let again = read(&text).unwrap();
            prop_assert!(again.to_bits() == value.to_bits() || again.is_nan() && value.is_nan(), "{value:?}");
        }

        #[test]
        fn every_normal_and_denormal_reads_back(sign_and_exponent: u16, significand: u64) {
            let integer_bit = if sign_and_exponent & MAX_EXPONENT == 0 { 0 } else { INTEGER_BIT };
            let value = from_parts(sign_and_exponent, significand & !INTEGER_BIT | integer_bit);
            prop_assume!(!value.is_nan());
            let text = value.to_string();
            prop_assert_eq!(read_bits(&text), Ok(value.to_bits()));
            prop_assert!(meaning(&text).1.len() <= 21, "{}", text);
        }

        #[test]
        fn short_decimals_keep_their_digits(digits in 1..10_u64.pow(18), exponent in -4930..4900) {
            let text = format!("{digits}e{exponent}");
            prop_assert_eq!(meaning(&read(&text).unwrap().to_string()), meaning(&text));
        }

        #[test]
        fn reads_the_texts_that_double_reads(text in "[-+]?[0-9]{0,3}\\.?[0-9]{0,3}([eE][-+]?[0-9]{0,2})?[0-9 .exinfat]{0,2}") {
            let double = crate::storage::types::float::parse::<f64>(text.as_bytes(), Kind::Double);
            // The ranges differ, what is a number does not.
            let not_a_number = |error| matches!(error, Some(ValueError::NotANumber(_)));
            prop_assert_eq!(not_a_number(read(&text).err()), not_a_number(double.err()), "{}", text);
        }
    }
}
