//! Adding to a value in place.

use rustc_apfloat::Float as _;
use rustc_apfloat::ieee::X87DoubleExtended;

use crate::storage::types::{ItemType, Kind, LongDouble, ValueError, by_type, bytes, float, int};

/// Why an increment cannot be added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AddError {
    /// It is not a number of the type.
    Increment(ValueError),
    /// The sum is not a value of the type, or it is NaN or infinite.
    Result(ValueError),
    /// Strings have no sums.
    Strings,
}

impl ItemType {
    /// Adds the number in `increment` to the value in `item`. Integers are exact; an increment of an unsigned one may
    /// be negative. Floats are rounded once, half to even, as the type's own addition does.
    ///
    /// # Errors
    /// If `increment` is not such a number, the sum is out of the type's range, or (as with `INCRBYFLOAT`) it is NaN
    /// or infinite; `item` is as before.
    ///
    /// # Panics
    /// If `item` is not [`size`](Self::size) bytes long.
    pub fn add(self, item: &mut [u8], increment: &[u8]) -> Result<(), AddError> {
        assert_eq!(item.len(), self.size(), "an item of type {}", self.name());
        let not_finite = || AddError::Result(ValueError::NotFinite);

        macro_rules! integer {
            ($int:ty) => {{
                // More than 64 bits are out of every type's range, whatever they are added to.
                let increment: i128 =
                    int::parse(increment, Kind::Int64).map_err(|error| match error {
                        ValueError::OutOfRange(_) => {
                            AddError::Result(ValueError::OutOfRange(self.kind()))
                        }
                        other => AddError::Increment(other),
                    })?;
                let sum = i128::from(<$int>::from_le_bytes(bytes(item))) + increment;
                let sum = <$int>::try_from(sum)
                    .map_err(|_| AddError::Result(ValueError::OutOfRange(self.kind())))?;
                item.copy_from_slice(&sum.to_le_bytes());
            }};
        }
        macro_rules! float {
            ($float:ty) => {{
                let increment: $float =
                    float::parse(increment, self.kind()).map_err(AddError::Increment)?;
                let sum = <$float>::from_le_bytes(bytes(item)) + increment;
                if !sum.is_finite() {
                    return Err(not_finite());
                }
                item.copy_from_slice(&sum.to_le_bytes());
            }};
        }
        by_type!(self.kind(); integer!, float!;
            LongDouble => {
                let increment = LongDouble::parse(increment).map_err(AddError::Increment)?;
                let old = LongDouble::from_le_bytes(bytes(item));
                let sum = (X87DoubleExtended::from(old) + X87DoubleExtended::from(increment)).value;
                if !sum.is_finite() {
                    return Err(not_finite());
                }
                item.copy_from_slice(&LongDouble::from(sum).to_le_bytes());
            };
            String => return Err(AddError::Strings)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::storage::types::Value;

    fn item(name: &str) -> ItemType {
        ItemType::parse(name.as_bytes(), None).unwrap()
    }

    /// The sum, as bytes.
    fn sum(name: &str, value: &str, increment: &str) -> Result<Vec<u8>, AddError> {
        let mut bytes = encoded(name, value);
        let before = bytes.clone();
        let result = item(name).add(&mut bytes, increment.as_bytes());
        if result.is_err() {
            assert_eq!(bytes, before, "an error changes nothing");
        }
        result.map(|()| bytes)
    }

    fn encoded(name: &str, value: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        item(name).encode(value.as_bytes(), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn integers_are_exact_up_to_the_ends_of_their_range() {
        for (name, value, increment, expected) in [
            ("int8", "100", "27", "127"),
            ("int8", "-100", "-28", "-128"),
            ("uint8", "200", "-200", "0"),
            ("uint8", "0", "255", "255"),
            ("int16", "-1", "32768", "32767"),
            ("uint32", "4294967295", "-1", "4294967294"),
            (
                "int64",
                "-9223372036854775808",
                "18446744073709551615",
                "9223372036854775807",
            ),
            (
                "uint64",
                "18446744073709551614",
                "1",
                "18446744073709551615",
            ),
            (
                "uint64",
                "18446744073709551615",
                "-18446744073709551615",
                "0",
            ),
        ] {
            let sum = sum(name, value, increment);
            assert_eq!(
                sum,
                Ok(encoded(name, expected)),
                "{name} {value} {increment}"
            );
        }
    }

    #[test]
    fn a_sum_out_of_range_is_an_error() {
        for (name, value, increment) in [
            ("int8", "127", "1"),
            ("int8", "-128", "-1"),
            ("uint8", "0", "-1"),
            ("uint64", "18446744073709551615", "1"),
            ("int64", "9223372036854775807", "1"),
            ("int64", "0", "99999999999999999999999"),
        ] {
            let expected = ValueError::OutOfRange(item(name).kind());
            assert_eq!(
                sum(name, value, increment),
                Err(AddError::Result(expected)),
                "{name} {value} {increment}"
            );
        }
    }

    #[test]
    fn floats_that_are_not_finite_are_refused() {
        for name in ["float", "double", "long_double"] {
            for (value, increment) in [
                ("inf", "1"),
                ("nan", "1"),
                ("1", "inf"),
                ("1", "nan"),
                ("inf", "-inf"),
            ] {
                assert_eq!(
                    sum(name, value, increment),
                    Err(AddError::Result(ValueError::NotFinite)),
                    "{name} {value} {increment}"
                );
            }
        }
        for (name, largest) in [
            ("float", "3.4028235e+38"),
            ("double", "1.7976931348623157e308"),
            ("long_double", "1.189731495357231765e4932"),
        ] {
            assert_eq!(
                sum(name, largest, largest),
                Err(AddError::Result(ValueError::NotFinite))
            );
        }
    }

    #[test]
    fn what_is_no_number_of_the_type_is_refused() {
        for (name, increment) in [
            ("int8", "1.5"),
            ("int8", ""),
            ("double", "x"),
            ("long_double", "1,5"),
        ] {
            assert!(matches!(
                sum(name, "1", increment),
                Err(AddError::Increment(ValueError::NotANumber(_)))
            ));
        }
        let strings = ItemType::parse(b"string", Some(b"4")).unwrap();
        assert_eq!(strings.add(&mut [0; 4], b"1"), Err(AddError::Strings));
    }

    #[test]
    fn long_doubles_have_64_bits_of_precision() {
        let sum = sum("long_double", "9223372036854775807", "0.5").unwrap();
        assert_eq!(sum, encoded("long_double", "9223372036854775807.5"));
    }

    proptest! {
        #[test]
        fn doubles_add_as_the_machine_adds(a in any::<f64>(), b in any::<f64>()) {
            let mut bytes = a.to_le_bytes();
            let result = ItemType::DOUBLE.add(&mut bytes, format!("{b:e}").as_bytes());
            if (a + b).is_finite() {
                prop_assert_eq!(result, Ok(()));
                prop_assert_eq!(ItemType::DOUBLE.decode(&bytes), Value::Double(a + b));
            } else {
                prop_assert!(result.is_err());
            }
        }
    }
}
