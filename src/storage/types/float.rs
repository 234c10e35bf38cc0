//! `float` and `double`.

use crate::storage::types::decimal;
use crate::storage::types::decimal::Binary;
use crate::storage::types::{Kind, MAX_FLOAT_TEXT, ValueError};

/// `f32` or `f64`.
pub(in crate::storage) trait Float: Binary {
    fn is_finite(self) -> bool;
}

impl Float for f32 {
    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl Float for f64 {
    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

/// Reads a number, correctly rounded, half to even. `kind` is the name of `T` in the error.
#[inline]
pub(in crate::storage) fn parse<T: Float>(text: &[u8], kind: Kind) -> Result<T, ValueError> {
    match decimal::parse(text).or_else(|| finite(text)) {
        Some(value) => Ok(value),
        None => unusual(text, kind),
    }
}

/// Reads a finite number of any shape.
#[inline(never)]
fn finite<T: Float>(text: &[u8]) -> Option<T> {
    if text.len() > MAX_FLOAT_TEXT {
        return None;
    }
    fast_float2::parse(text)
        .ok()
        .filter(|value: &T| value.is_finite())
}

/// Reads what is not a [`finite`] number, or tells what is wrong with it.
#[cold]
fn unusual<T: Float>(text: &[u8], kind: Kind) -> Result<T, ValueError> {
    if text.len() > MAX_FLOAT_TEXT {
        return Err(ValueError::NumberTooLong { length: text.len() });
    }
    match fast_float2::parse(text) {
        Ok(value) if names_no_number(text) => Ok(value),
        Ok(_) => Err(ValueError::OutOfRange(kind)),
        Err(_) => Err(ValueError::NotANumber(kind)),
    }
}

/// Tells `inf` and `nan` from digits that overflowed, in a text that has been read as either.
fn names_no_number(text: &[u8]) -> bool {
    !text.iter().any(u8::is_ascii_digit)
}

/// A buffer on the stack for the text of one `f32` or `f64`.
pub struct FloatText(zmij::Buffer);

impl FloatText {
    /// An empty buffer. This costs nothing.
    pub fn new() -> FloatText {
        FloatText(zmij::Buffer::new())
    }

    /// The shortest text that reads back to the same value: `0.1`, `1`, `-0`, `1e+22`, `inf`, `-inf`; `nan` for every NaN.
    pub fn format(&mut self, value: impl zmij::Float) -> &str {
        match self.0.format(value) {
            "NaN" => "nan",
            text => text.strip_suffix(".0").unwrap_or(text),
        }
    }
}

impl Default for FloatText {
    fn default() -> FloatText {
        FloatText::new()
    }
}

/// The `f64` with the same shortest text: 0.1 for 0.1, where a cast gives 0.10000000149011612.
pub fn widen(value: f32) -> f64 {
    fast_float2::parse(FloatText::new().format(value)).unwrap_or_else(|_| f64::from(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn double(text: &str) -> Result<f64, ValueError> {
        parse(text.as_bytes(), Kind::Double)
    }

    fn float(text: &str) -> Result<f32, ValueError> {
        parse(text.as_bytes(), Kind::Float)
    }

    fn shortest(value: impl zmij::Float) -> String {
        FloatText::new().format(value).to_owned()
    }

    #[test]
    fn infinity_and_nan_are_read_in_any_case() {
        for text in ["inf", "+inf", "INF", "Infinity", "iNFINITY", "+infinity"] {
            assert_eq!(double(text), Ok(f64::INFINITY), "{text}");
            assert_eq!(
                double(&format!("-{}", text.trim_start_matches('+'))),
                Ok(f64::NEG_INFINITY),
                "{text}"
            );
        }
        for text in ["nan", "NaN", "NAN", "-nan", "+nan"] {
            assert!(double(text).unwrap().is_nan(), "{text}");
            assert!(float(text).unwrap().is_nan(), "{text}");
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
            "--1",
            "1f",
            "infinit",
            "infinityx",
            "nan(1)",
            "snan",
            "1\0",
            "\u{661}",
        ] {
            assert_eq!(
                double(text),
                Err(ValueError::NotANumber(Kind::Double)),
                "{text:?}"
            );
            assert_eq!(
                float(text),
                Err(ValueError::NotANumber(Kind::Float)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn finite_numbers_beyond_the_range_are_refused() {
        for text in [
            "1e400",
            "-1e400",
            "1.7976931348623159e308",
            "1e999999999",
            "1e99999999999999999999999",
        ] {
            assert_eq!(
                double(text),
                Err(ValueError::OutOfRange(Kind::Double)),
                "{text}"
            );
        }
        assert_eq!(float("1e39"), Err(ValueError::OutOfRange(Kind::Float)));
        assert_eq!(
            float("3.4028236e38"),
            Err(ValueError::OutOfRange(Kind::Float))
        );
        assert_eq!(double("1.7976931348623158e308"), Ok(f64::MAX));
        assert_eq!(float("3.40282356e38"), Ok(f32::MAX));
    }

    #[test]
    fn underflow_rounds_to_denormals_and_zero() {
        assert_eq!(double("5e-324"), Ok(f64::from_bits(1)));
        assert_eq!(double("2.4e-324"), Ok(0.0));
        assert_eq!(double("1e-999999999999"), Ok(0.0));
        assert_eq!(double("-1e-400").unwrap().to_bits(), (-0.0_f64).to_bits());
        assert_eq!(float("1e-45"), Ok(f32::from_bits(1)));
    }

    #[test]
    fn a_float_is_rounded_once() {
        // Halfway between two floats once it has been rounded to a double, but above it as it stands.
        let text = "1.00000005960464477540";
        assert_eq!(float(text).unwrap().to_bits(), 1.0_f32.to_bits() + 1);
        assert_eq!(double(text).unwrap() as f32, 1.0);
    }

    #[test]
    fn very_long_texts_are_refused() {
        let longest = format!("0.{}", "1".repeat(MAX_FLOAT_TEXT - 2));
        assert_eq!(double(&longest), Ok(1.0 / 9.0));
        let length = MAX_FLOAT_TEXT + 1;
        assert_eq!(
            double(&(longest + "1")),
            Err(ValueError::NumberTooLong { length })
        );
        let (zeros, exponent) = ("0".repeat(5000), 5001);
        assert_eq!(double(&format!("0.{zeros}1e{exponent}")), Ok(1.0));
        assert_eq!(double(&format!("1{zeros}e-5000")), Ok(1.0));
    }

    #[test]
    fn text_is_the_shortest() {
        for (value, text) in [
            (0.1, "0.1"),
            (1.0, "1"),
            (0.0, "0"),
            (-0.0, "-0"),
            (100.0, "100"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e22, "1e+22"),
            (1.5e22, "1.5e+22"),
            (1e-7, "1e-7"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
        ] {
            assert_eq!(shortest(value), text);
        }
        assert_eq!(shortest(0.1_f32), "0.1");
        assert_eq!(shortest(16_777_216.0_f32), "16777216");
        assert_eq!(shortest(f32::NAN), "nan");
    }

    #[test]
    fn widening_keeps_the_text() {
        assert_eq!(widen(0.1), 0.1);
        assert_eq!(widen(f32::MAX), 3.4028235e38);
        assert_eq!(widen(f32::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(widen(-0.0).to_bits(), (-0.0_f64).to_bits());
        assert!(widen(f32::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn every_double_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            let read = double(&shortest(value)).unwrap();
            prop_assert!(read.to_bits() == bits || read.is_nan() && value.is_nan());
        }

        #[test]
        fn every_float_reads_back(bits: u32) {
            let value = f32::from_bits(bits);
            let read = float(&shortest(value)).unwrap();
            prop_assert!(read.to_bits() == bits || read.is_nan() && value.is_nan());
        }

        #[test]
        fn no_shorter_text_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let digits = |text: &str| {
                let mantissa = text.split('e').next().unwrap_or("").replace(['-', '.'], "");
                mantissa.trim_matches('0').len()
            };
            // The standard library's exponent notation is the shortest too, by another algorithm.
            prop_assert_eq!(digits(&shortest(value)), digits(&format!("{value:e}")));
        }

        #[test]
        fn a_widened_float_has_the_same_text(bits: u32) {
            let value = f32::from_bits(bits);
            let (narrow, wide) = (shortest(value), shortest(widen(value)));
            // Where to begin with an exponent depends on the type, so compare what the texts mean.
            prop_assert_eq!(narrow.parse::<f64>().unwrap().to_bits() << 1, wide.parse::<f64>().unwrap().to_bits() << 1);
            prop_assert_eq!(widen(value) as f32 == value, !value.is_nan());
        }

        #[test]
        fn agrees_with_the_standard_library(text in "[-+]?[0-9]{0,25}\\.?[0-9]{0,25}(e[-+]?[0-9]{0,3})?[0-9 .ex]?") {
            let expected = text.parse::<f64>().ok().filter(|value| value.is_finite());
            prop_assert_eq!(double(&text).ok().map(f64::to_bits), expected.map(f64::to_bits));
            let expected = text.parse::<f32>().ok().filter(|value| value.is_finite());
            prop_assert_eq!(float(&text).ok().map(f32::to_bits), expected.map(f32::to_bits));
        }
    }
}
