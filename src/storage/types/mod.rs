//! The types a file of raw values can hold: their names, and the way between a value's text and its bytes.
//!
//! Values lie in the file in native little-endian layout, one after another, without header or padding: what
//! `numpy.tofile`, `struct.pack` and C's `fwrite` write. Nothing here knows of files or of a server.

mod add;
mod decimal;
mod digits;
pub mod dtype;
mod error;
mod float;
mod int;
mod long_double;
mod long_double_order;
mod place;
mod string;
#[cfg(test)]
mod tests;

pub use add::AddError;
pub use error::{TypeError, ValueError, excerpt};
pub use float::{FloatText, widen};
pub use int::parse_index;
pub use long_double::LongDouble;
pub use place::Place;

/// What is done for a kind of values: `$integers!` or `$floats!` of the Rust type of its numbers, and what is said for the two kinds
/// that have none. It is a `match`: there is one piece of code for each type, and none is chosen later than here.
macro_rules! by_type {
    ($kind:expr; $integers:ident!, $floats:ident!; LongDouble => $long:expr; String => $string:expr) => {
        match $kind {
            $crate::storage::types::Kind::Int8 => $integers!(i8),
            $crate::storage::types::Kind::Int16 => $integers!(i16),
            $crate::storage::types::Kind::Int32 => $integers!(i32),
            $crate::storage::types::Kind::Int64 => $integers!(i64),
            $crate::storage::types::Kind::Uint8 => $integers!(u8),
            $crate::storage::types::Kind::Uint16 => $integers!(u16),
            $crate::storage::types::Kind::Uint32 => $integers!(u32),
            $crate::storage::types::Kind::Uint64 => $integers!(u64),
            $crate::storage::types::Kind::Float => $floats!(f32),
            $crate::storage::types::Kind::Double => $floats!(f64),
            $crate::storage::types::Kind::LongDouble => $long,
            $crate::storage::types::Kind::String => $string,
        }
    };
}
pub(in crate::storage) use by_type;

/// Longest text accepted for a `float`, `double` or `long_double`.
///
/// The exact decimal expansion of any `double`, and `printf("%Lf")` of any `long_double`, are shorter. The limit is
/// there because a correctly rounded `long_double` costs time quadratic in the number of digits.
pub const MAX_FLOAT_TEXT: usize = 5120;

/// Largest item size of a `string` array, in bytes.
pub const MAX_STRING_SIZE: u32 = 65_535;

/// What an item is, apart from its size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    /// IEEE 754 binary32.
    Float,
    /// IEEE 754 binary64.
    Double,
    /// x87 80-bit extended precision, padded to 16 bytes.
    LongDouble,
    /// Bytes, padded with NULs to the item size.
    String,
}

impl Kind {
    const ALL: [Kind; 12] = [
        Kind::Int8,
        Kind::Uint8,
        Kind::Int16,
        Kind::Uint16,
        Kind::Int32,
        Kind::Uint32,
        Kind::Int64,
        Kind::Uint64,
        Kind::Float,
        Kind::Double,
        Kind::LongDouble,
        Kind::String,
    ];

    /// The canonical name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Int8 => "int8",
            Kind::Int16 => "int16",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Uint8 => "uint8",
            Kind::Uint16 => "uint16",
            Kind::Uint32 => "uint32",
            Kind::Uint64 => "uint64",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::LongDouble => "long_double",
            Kind::String => "string",
        }
    }

    /// Bytes per item, or `None` for `string`, where the user chooses.
    const fn fixed_size(self) -> Option<u32> {
        match self {
            Kind::Int8 | Kind::Uint8 => Some(1),
            Kind::Int16 | Kind::Uint16 => Some(2),
            Kind::Int32 | Kind::Uint32 | Kind::Float => Some(4),
            Kind::Int64 | Kind::Uint64 | Kind::Double => Some(8),
            Kind::LongDouble => Some(16),
            Kind::String => None,
        }
    }

    fn from_name(name: &[u8]) -> Option<Kind> {
        if name.eq_ignore_ascii_case(b"float32") {
            return Some(Kind::Float);
        }
        if name.eq_ignore_ascii_case(b"float64") {
            return Some(Kind::Double);
        }
        Kind::ALL
            .into_iter()
            .find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

/// The type of the items of one array: a [`Kind`] and the bytes per item.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ItemType {
    kind: Kind,
    size: u32,
}

/// One item, read from its bytes. Those of one type compare as numpy compares them: NaN is neither less than anything, nor equal
/// to itself.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub enum Value<'a> {
    /// Every integer type but `uint64`.
    Int(i64),
    /// A `uint64`.
    Uint(u64),
    Float(f32),
    Double(f64),
    LongDouble(LongDouble),
    /// A `string` without its trailing NULs.
    Bytes(&'a [u8]),
}

impl std::fmt::Display for ItemType {
    /// The name, with the size where the name does not give it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::String => write!(f, "string {}", self.size),
            kind => f.write_str(kind.name()),
        }
    }
}

impl ItemType {
    /// The type of `MMAP key path` without a type word.
    pub const DOUBLE: ItemType = ItemType {
        kind: Kind::Double,
        size: 8,
    };

    /// The type that words name: its own name and, for `string`, a size in bytes; or a [code of numpy's](dtype::parse).
    ///
    /// # Errors
    /// If there is no such type, or it cannot have that size.
    pub fn parse(name: &[u8], size: Option<&[u8]>) -> Result<ItemType, TypeError> {
        if size.is_none() && Kind::from_name(name).is_none() {
            return dtype::parse(name, dtype::Machine::HERE);
        }
        Self::from_words(name, size)
    }

    fn from_words(name: &[u8], size: Option<&[u8]>) -> Result<ItemType, TypeError> {
        let kind = Kind::from_name(name).ok_or_else(|| TypeError::Unknown {
            name: excerpt(name),
        })?;
        let given = size.map(|text| (text, int::parse::<u32>(text, Kind::Uint32).ok()));
        let size = match (kind.fixed_size(), given) {
            (Some(own), None) => own,
            (Some(own), Some((_, Some(size)))) if size == own => own,
            (Some(own), Some((text, _))) => {
                return Err(TypeError::WrongSize {
                    kind,
                    own,
                    given: excerpt(text),
                });
            }
            (None, Some((_, Some(size @ 1..=MAX_STRING_SIZE)))) => size,
            (None, Some((text, _))) => {
                return Err(TypeError::BadStringSize {
                    given: excerpt(text),
                });
            }
            (None, None) => return Err(TypeError::NoStringSize),
        };
        Ok(ItemType { kind, size })
    }

    /// What the items are.
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// The canonical name: `double` for a type given as `FLOAT64`.
    pub const fn name(self) -> &'static str {
        self.kind.name()
    }

    /// Bytes per item.
    pub const fn size(self) -> usize {
        self.size as usize
    }

    /// Number of values in `bytes`; `None` if it is not a whole number.
    #[inline]
    pub const fn values_in(self, bytes: usize) -> Option<usize> {
        // A division takes long, and this size is what most arrays have.
        match self.size() {
            8 if bytes.is_multiple_of(8) => Some(bytes / 8),
            8 => None,
            size if bytes.is_multiple_of(size) => Some(bytes / size),
            _ => None,
        }
    }

    /// The bytes of one `double`.
    ///
    /// # Errors
    /// `text` is not a number.
    #[inline(always)]
    pub fn encode_double(text: &[u8]) -> Result<[u8; 8], ValueError> {
        float::parse::<f64>(text, Kind::Double).map(f64::to_le_bytes)
    }

    /// Appends the [`size`](Self::size) bytes of one value to `out`.
    ///
    /// # Errors
    /// `text` is not a value of this type; `out` is as before.
    pub fn encode(self, text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        self.encode_all(std::iter::once(text), out)
            .map_err(|(_, error)| error)
    }

    /// Appends the bytes of all values to `out`.
    ///
    /// # Errors
    /// The position (from 0) of the first bad text and what is wrong with it; `out` is as before.
    pub fn encode_all<'a>(
        self,
        texts: impl ExactSizeIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), (usize, ValueError)> {
        let bytes = texts.len().saturating_mul(self.size());
        if out.try_reserve(bytes).is_err() {
            return Err((0, ValueError::NoMemory { bytes }));
        }

        /// Appends each text as the bytes of an integer.
        macro_rules! integers {
            ($type:ty) => {
                append_numbers(texts, out, |text| {
                    int::parse::<$type>(text, self.kind).map(|value| value.to_le_bytes())
                })
            };
        }
        /// The same, of a float.
        macro_rules! floats {
            ($type:ty) => {
                append_numbers(texts, out, |text| {
                    float::parse::<$type>(text, self.kind).map(|value| value.to_le_bytes())
                })
            };
        }
        // One loop per type: the dispatch stays outside.
        by_type!(self.kind; integers!, floats!;
            LongDouble => append_numbers(texts, out, |text| {
                LongDouble::parse(text).map(LongDouble::to_le_bytes)
            });
            String => append_all(texts, out, |text, out| {
                string::append(text, self.size(), out)
            })
        )
    }

    /// Reads one item.
    ///
    /// # Panics
    /// If `item` is not [`size`](Self::size) bytes long.
    pub fn decode<'a>(self, item: &'a [u8]) -> Value<'a> {
        assert_eq!(item.len(), self.size(), "an item of type {}", self.name());
        match self.kind {
            Kind::Int8 => Value::Int(i8::from_le_bytes(bytes(item)).into()),
            Kind::Int16 => Value::Int(i16::from_le_bytes(bytes(item)).into()),
            Kind::Int32 => Value::Int(i32::from_le_bytes(bytes(item)).into()),
            Kind::Int64 => Value::Int(i64::from_le_bytes(bytes(item))),
            Kind::Uint8 => Value::Int(u8::from_le_bytes(bytes(item)).into()),
            Kind::Uint16 => Value::Int(u16::from_le_bytes(bytes(item)).into()),
            Kind::Uint32 => Value::Int(u32::from_le_bytes(bytes(item)).into()),
            Kind::Uint64 => Value::Uint(u64::from_le_bytes(bytes(item))),
            Kind::Float => Value::Float(f32::from_le_bytes(bytes(item))),
            Kind::Double => Value::Double(f64::from_le_bytes(bytes(item))),
            Kind::LongDouble => Value::LongDouble(LongDouble::from_le_bytes(bytes(item))),
            Kind::String => Value::Bytes(string::trim(item)),
        }
    }
}

fn bytes<const N: usize>(item: &[u8]) -> [u8; N] {
    *item
        .first_chunk()
        .expect("decode() has checked the length, and N is the type's size")
}

/// Appends numbers of `N` bytes.
#[inline]
fn append_numbers<'a, const N: usize>(
    texts: impl ExactSizeIterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Result<[u8; N], ValueError>,
) -> Result<(), (usize, ValueError)> {
    let before = out.len();
    // Zeros that are overwritten cost less than a look at the capacity for every number.
    out.resize(before + texts.len() * N, 0);
    let (items, _) = out[before..].as_chunks_mut();
    for (position, (item, text)) in items.iter_mut().zip(texts).enumerate() {
        match parse(text) {
            Ok(bytes) => *item = bytes,
            Err(error) => {
                out.truncate(before);
                return Err((position, error));
            }
        }
    }
    Ok(())
}

fn append_all<'a>(
    texts: impl Iterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
    append: impl Fn(&[u8], &mut Vec<u8>) -> Result<(), ValueError>,
) -> Result<(), (usize, ValueError)> {
    let before = out.len();
    for (position, text) in texts.enumerate() {
        if let Err(error) = append(text, out) {
            out.truncate(before);
            return Err((position, error));
        }
    }
    Ok(())
}
