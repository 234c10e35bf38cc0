//! What can be wrong with a type name or a value, in words for the user.

use std::fmt;

use crate::storage::types::{Kind, MAX_FLOAT_TEXT, MAX_STRING_SIZE, dtype, int};

/// Why the type words of `MMAP` are refused. The message stands alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TypeError {
    /// No type has this name (already an [`excerpt`]).
    Unknown { name: String },
    /// A code of numpy's for big-endian values, and that for little-endian ones.
    BigEndian { code: String, little: String },
    /// A code of numpy's for a `long double` that is none of x87's.
    OtherLongDouble,
    /// `string` without a size.
    NoStringSize,
    /// A size that `string` cannot have.
    BadStringSize { given: String },
    /// A size for a type that has another one.
    WrongSize { kind: Kind, own: u32, given: String },
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeError::Unknown { name } => {
                write!(f, "unknown type '{name}': use ")?;
                for kind in Kind::ALL {
                    match kind {
                        Kind::String => write!(f, "or {}", kind.name())?,
                        _ => write!(f, "{}, ", kind.name())?,
                    }
                }
                write!(f, ", or a dtype of numpy's: {}", dtype::CODES)
            }
            TypeError::BigEndian { code, little } => write!(
                f,
                "values of type '{code}' are big-endian: write the file again with .astype('{little}')"
            ),
            TypeError::OtherLongDouble => write!(
                f,
                "numpy's longdouble ('<f16') is not x87's 80-bit number on this machine ({}): if the file has those, name the \
                 type long_double",
                std::env::consts::ARCH
            ),
            TypeError::NoStringSize => {
                write!(f, "type string needs a size: 1 to {MAX_STRING_SIZE} bytes")
            }
            TypeError::BadStringSize { given } => {
                write!(
                    f,
                    "size '{given}' is not possible for string: use 1 to {MAX_STRING_SIZE}"
                )
            }
            TypeError::WrongSize { kind, own, given } => {
                write!(
                    f,
                    "size '{given}' is not possible for {}: its values are {own} bytes, and need no size",
                    kind.name()
                )
            }
        }
    }
}

impl std::error::Error for TypeError {}

/// Why a text is not a value of the array's type. The message continues a sentence that names the text, such as
/// `value 'abc' (argument 3) is not a double`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueError {
    /// Not a number in a notation this kind reads.
    NotANumber(Kind),
    /// Not a number that integers can be compared with.
    NoNumber,
    /// A number, but this kind has no value for it.
    OutOfRange(Kind),
    /// A `float`, `double` or `long_double` longer than [`MAX_FLOAT_TEXT`].
    NumberTooLong { length: usize },
    /// A `string` longer than the item size.
    StringTooLong { length: usize, size: usize },
    /// A sum that is NaN or infinite.
    NotFinite,
    /// The values of one command do not fit in memory together.
    NoMemory { bytes: usize },
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ValueError::NotANumber(kind @ (Kind::Float | Kind::Double | Kind::LongDouble)) => {
                write!(f, "is not a {}", kind.name())
            }
            ValueError::NotANumber(_) => f.write_str("is not an integer"),
            ValueError::NoNumber => f.write_str("is not a number"),
            ValueError::OutOfRange(kind) => {
                let (min, max) = range(kind);
                write!(f, "is out of range for {} ({min} to {max})", kind.name())
            }
            ValueError::NumberTooLong { length } => {
                write!(
                    f,
                    "is {length} characters long; a number may have at most {MAX_FLOAT_TEXT}"
                )
            }
            ValueError::StringTooLong { length, size } => {
                write!(
                    f,
                    "is {length} bytes long; string values here hold at most {size}"
                )
            }
            ValueError::NotFinite => f.write_str("would be NaN or infinite"),
            ValueError::NoMemory { bytes } => write!(
                f,
                "cannot be stored: this command's values need {bytes} bytes of memory"
            ),
        }
    }
}

impl std::error::Error for ValueError {}

/// The least and the greatest finite value, as text.
pub(in crate::storage::types) fn range(kind: Kind) -> (String, String) {
    let symmetric = |max: &str| (format!("-{max}"), max.to_owned());
    match kind {
        Kind::Int8 => int::range::<i8>(),
        Kind::Int16 => int::range::<i16>(),
        Kind::Int32 => int::range::<i32>(),
        Kind::Int64 => int::range::<i64>(),
        Kind::Uint8 => int::range::<u8>(),
        Kind::Uint16 => int::range::<u16>(),
        Kind::Uint32 => int::range::<u32>(),
        Kind::Uint64 => int::range::<u64>(),
        Kind::Float => symmetric("3.4028235e+38"),
        Kind::Double => symmetric("1.7976931348623157e+308"),
        Kind::LongDouble => symmetric("1.189731495357231765e+4932"),
        Kind::String => (String::new(), String::new()),
    }
}

/// A user's text made safe to put into a message: escaped, and shortened to about 64 characters.
pub fn excerpt(text: &[u8]) -> String {
    const LONGEST: usize = 64;
    let mut shown = String::new();
    for &byte in text {
        let escaped = byte.escape_ascii();
        if shown.len() + escaped.len() > LONGEST {
            shown.push_str("...");
            break;
        }
        shown.extend(escaped.map(char::from));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::types::{ItemType, Value};

    #[test]
    fn excerpt_escapes_and_shortens() {
        assert_eq!(excerpt(b"plain"), "plain");
        assert_eq!(excerpt(b"a\0\r\n'\xff"), "a\\x00\\r\\n\\'\\xff");
        assert_eq!(excerpt(&[b'x'; 64]), "x".repeat(64));
        assert_eq!(excerpt(&[b'x'; 65]), "x".repeat(64) + "...");
        assert_eq!(excerpt(&[0; 1_000_000]), "\\x00".repeat(16) + "...");
    }

    #[test]
    fn value_errors_continue_a_sentence() {
        let text = |error: ValueError| error.to_string();
        assert_eq!(
            text(ValueError::NotANumber(Kind::Double)),
            "is not a double"
        );
        assert_eq!(
            text(ValueError::NotANumber(Kind::LongDouble)),
            "is not a long_double"
        );
        assert_eq!(
            text(ValueError::NotANumber(Kind::Uint8)),
            "is not an integer"
        );
        assert_eq!(
            text(ValueError::OutOfRange(Kind::Int8)),
            "is out of range for int8 (-128 to 127)"
        );
        assert_eq!(
            text(ValueError::OutOfRange(Kind::Uint64)),
            "is out of range for uint64 (0 to 18446744073709551615)"
        );
        assert_eq!(
            text(ValueError::OutOfRange(Kind::Float)),
            "is out of range for float (-3.4028235e+38 to 3.4028235e+38)"
        );
        assert_eq!(
            text(ValueError::StringTooLong {
                length: 12,
                size: 8
            }),
            "is 12 bytes long; string values here hold at most 8"
        );
        assert_eq!(
            text(ValueError::NumberTooLong { length: 6000 }),
            "is 6000 characters long; a number may have at most 5120"
        );
    }

    #[test]
    fn type_errors_stand_alone() {
        let text = |name: &str, size: Option<&str>| {
            ItemType::parse(name.as_bytes(), size.map(str::as_bytes))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            text("foo", None),
            "unknown type 'foo': use int8, uint8, int16, uint16, int32, uint32, int64, uint64, float, double, \
             long_double, or string, or a dtype of numpy's: i1 to i8, u1 to u8, f4, f8, f16 and S1 to S65535"
        );
        assert_eq!(
            text("string", None),
            "type string needs a size: 1 to 65535 bytes"
        );
        assert_eq!(
            text("string", Some("0")),
            "size '0' is not possible for string: use 1 to 65535"
        );
        assert_eq!(
            text("double", Some("4")),
            "size '4' is not possible for double: its values are 8 bytes, and need no size"
        );
    }

    #[test]
    fn the_ranges_named_are_the_ranges_read() {
        let finite = |value: Value| match value {
            Value::Float(value) => value == f32::MAX,
            Value::Double(value) => value == f64::MAX,
            Value::LongDouble(value) => {
                value.to_le_bytes()[..10]
                    == [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x7f]
            }
            _ => false,
        };
        for name in ["float", "double", "long_double"] {
            let item_type = ItemType::parse(name.as_bytes(), None).unwrap();
            let (min, max) = range(item_type.kind());
            let mut out = Vec::new();
            item_type.encode(max.as_bytes(), &mut out).unwrap();
            assert!(finite(item_type.decode(&out)), "{name} {max}");
            assert_eq!(min, format!("-{max}"));
        }
    }
}
