//! Types as numpy's codes name them: `<f8`, `i4`, `|u1`, `S16`.

use crate::storage::types::{ItemType, Kind, TypeError, excerpt};

/// The codes that can be used, as errors list them.
pub const CODES: &str = "i1 to i8, u1 to u8, f4, f8, f16 and S1 to S65535";

/// What numpy's `f16` is on a machine: its C compiler's `long double`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// x87's 80 bits, which is what `long_double` holds.
    X87,
    /// Something else in as many bytes, such as IEEE 754's binary128 on aarch64.
    Other,
}

impl Machine {
    /// That of this machine.
    pub const HERE: Self = if cfg!(target_arch = "x86_64") {
        Self::X87
    } else {
        Self::Other
    };
}

/// The code of a type, as numpy writes it into a `.npy` file. That of `long_double` is numpy's on x86-64 alone.
pub fn of(item: ItemType) -> String {
    let size = item.size();
    match item.kind() {
        Kind::Int8 => "|i1".to_owned(),
        Kind::Uint8 => "|u1".to_owned(),
        Kind::Int16 | Kind::Int32 | Kind::Int64 => format!("<i{size}"),
        Kind::Uint16 | Kind::Uint32 | Kind::Uint64 => format!("<u{size}"),
        Kind::Float | Kind::Double | Kind::LongDouble => format!("<f{size}"),
        Kind::String => format!("|S{size}"),
    }
}

/// The type that a code names. Without a byte order it is that of the machine, which is little-endian.
///
/// # Errors
/// [`TypeError::BigEndian`] for a code of the other byte order, [`TypeError::OtherLongDouble`] for `f16` where that is not
/// x87's, else [`TypeError::Unknown`].
pub fn parse(code: &[u8], machine: Machine) -> Result<ItemType, TypeError> {
    let unknown = || TypeError::Unknown {
        name: excerpt(code),
    };
    let (order, rest) = match code {
        [order @ (b'<' | b'>' | b'=' | b'|'), rest @ ..] => (*order, rest),
        _ => (b'=', code),
    };
    let (letter, size) = rest.split_at_checked(1).ok_or_else(unknown)?;
    let name: &[u8] = match (letter, size) {
        (b"i", b"1") => b"int8",
        (b"i", b"2") => b"int16",
        (b"i", b"4") => b"int32",
        (b"i", b"8") => b"int64",
        (b"u", b"1") => b"uint8",
        (b"u", b"2") => b"uint16",
        (b"u", b"4") => b"uint32",
        (b"u", b"8") => b"uint64",
        (b"f", b"4") => b"float",
        (b"f", b"8") => b"double",
        (b"f", b"16") => b"long_double",
        (b"S", _) => b"string",
        _ => return Err(unknown()),
    };
    let is_string = letter == b"S";
    if order == b'>' && size != b"1" && !is_string {
        return Err(TypeError::BigEndian {
            code: excerpt(code),
            little: format!("<{}", excerpt(rest)),
        });
    }
    if name == b"long_double" {
        check(machine)?;
    }
    ItemType::from_words(name, is_string.then_some(size)).map_err(|_| unknown())
}

/// # Errors
/// Where numpy's `f16` is not what `long_double` holds.
pub fn check(machine: Machine) -> Result<(), TypeError> {
    match machine {
        Machine::X87 => Ok(()),
        Machine::Other => Err(TypeError::OtherLongDouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_double_of_another_kind_is_refused_and_nothing_else_is() {
        for code in ["f16", "<f16", "=f16"] {
            let code = code.as_bytes();
            let item = parse(code, Machine::X87).unwrap();
            assert_eq!(item.kind(), Kind::LongDouble);
            assert_eq!(parse(code, Machine::Other), Err(TypeError::OtherLongDouble));
        }
        for code in ["f8", "<f4", "S16", "i8"] {
            parse(code.as_bytes(), Machine::Other).unwrap();
        }
        let big = parse(b">f16", Machine::Other);
        assert!(matches!(big, Err(TypeError::BigEndian { .. })), "{big:?}");
    }
}
