//! `.npy` files: the header that numpy writes before the values, and how it stays true while they change.
//!
//! The format is that of numpy's `numpy/lib/format.py`, versions 1.0 to 3.0: a magic string, the version, the length
//! of a text, and that text, a Python dictionary such as `{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }`,
//! filled up with spaces and ended by a line break. The values follow.
//!
//! The number of values is what the length of the file, or its record, says. The header repeats it for other
//! programs: it is written after the file has become longer, and before it becomes shorter, so that it never
//! promises values that are not there.

use std::fs::File;
use std::io;

use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::files::path::FilePath;
use crate::storage::types::dtype::{self, Machine};
use crate::storage::types::{ItemType, Kind, TypeError};

/// What each file begins with.
pub const MAGIC: [u8; 6] = *b"\x93NUMPY";
/// Longest header text that is read, in bytes. A 1-D array of numbers needs about 100.
const MAX_TEXT: usize = 1 << 16;
/// Values begin at a multiple of this, in bytes, in a file that is created here, as in numpy's own.
const ALIGNMENT: usize = 64;
/// Digits of the largest number of values that a file can hold.
const MAX_DIGITS: usize = 19;

/// The header of a 1-D array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NpyHeader {
    /// Where the text begins, in bytes.
    text_at: u64,
    /// Where the values begin, in bytes.
    pub data_at: u64,
    pub item: ItemType,
    /// The number of values that it promises.
    pub count: u64,
}

impl NpyHeader {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// If there is none, or it is that of something else than a 1-D array of one of our types.
    pub fn read(file: &File, path: &FilePath) -> Result<Self> {
        let unusable = |why| Error::Npy {
            path: path.to_string(),
            why,
        };
        let mut prefix = [0; 12];
        let read = read_at(file, path, 0, &mut prefix)?;
        if read < 10 || prefix[..6] != MAGIC {
            return Err(unusable("it does not begin as such a file does".to_owned()));
        }
        let (text_at, len) = match prefix[6] {
            1 => (10, usize::from(u16::from_le_bytes([prefix[8], prefix[9]]))),
            2 | 3 if read == 12 => (
                12,
                u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]) as usize,
            ),
            version => {
                return Err(unusable(format!(
                    "its format version is {version}; 1 to 3 are known"
                )));
            }
        };
        if len > MAX_TEXT {
            return Err(unusable(format!("its header is {len} bytes long")));
        }
        let mut text = vec![0; len];
        if read_at(file, path, text_at, &mut text)? < len {
            return Err(unusable("it ends within its header".to_owned()));
        }
        let (item, count) = parse(&text).map_err(unusable)?;
        Ok(Self {
            text_at,
            data_at: text_at + len as u64,
            item,
            count,
        })
    }

    /// Writes the header of an empty array into an empty file, with room for any number of values.
    ///
    /// # Errors
    /// Those of writing, and where numpy would read values of the type as others.
    pub fn create(file: &File, path: &FilePath, item: ItemType) -> Result<Self> {
        if item.kind() == Kind::LongDouble {
            check_long_double(Machine::HERE).map_err(|why| Error::Npy {
                path: path.to_string(),
                why,
            })?;
        }
        let text_at = 10;
        let longest = dictionary(item, u64::MAX).len() + 1;
        let data_at = (text_at + longest).next_multiple_of(ALIGNMENT);
        let header = Self {
            text_at: text_at as u64,
            data_at: data_at as u64,
            item,
            count: 0,
        };
        let len = u16::try_from(data_at - text_at).expect("the dictionary is short");
        let mut bytes = [&MAGIC[..], &[1, 0], &len.to_le_bytes()].concat();
        bytes.extend(header.text(0));
        disk::write_all_at(file, &bytes, 0)
            .map_err(|e| Error::io("write the header of", path, e))?;
        Ok(header)
    }

    /// The text for that many values, as long as the one that is there.
    fn text(&self, count: u64) -> Vec<u8> {
        let mut text = dictionary(self.item, count).into_bytes();
        text.resize((self.data_at - self.text_at - 1) as usize, b' ');
        text.push(b'\n');
        text
    }

    /// Writes that many values into the header of a file, by one call: in a header of the usual length that is within a page, in which
    /// the kernel ends no process. A store of that length takes several instructions, and of a header that was half written no one
    /// could tell what it says.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn write(&self, file: &File, count: u64) -> io::Result<()> {
        disk::write_all_at(file, &self.text(count), self.text_at)
    }

    /// Whether any number of values can be written into it.
    pub fn has_room(&self) -> bool {
        let longest = dictionary(self.item, 10_u64.pow(MAX_DIGITS as u32) - 1).len() as u64;
        self.text_at + longest < self.data_at
    }
}

/// Reads as many bytes as there are, at most as many as `buffer` holds.
fn read_at(file: &File, path: &FilePath, at: u64, buffer: &mut [u8]) -> Result<usize> {
    disk::read_at(file, at, buffer).map_err(|error| Error::io("read the header of", path, error))
}

/// As numpy writes it.
fn dictionary(item: ItemType, count: u64) -> String {
    format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({count},), }}",
        dtype::of(item)
    )
}

/// Whether numpy's `<f16` is `long_double` on a machine.
fn check_long_double(machine: Machine) -> std::result::Result<(), String> {
    dtype::check(machine).map_err(|_| {
        format!(
            "numpy's longdouble ('<f16') is not x87's 80-bit number on this machine ({}): use another type, or a file without \
             header",
            std::env::consts::ARCH
        )
    })
}

/// The type that numpy calls so on a machine.
fn item_of(descr: &str, machine: Machine) -> std::result::Result<ItemType, String> {
    dtype::parse(descr.as_bytes(), machine).map_err(|error| match error {
        TypeError::BigEndian { code, little } => {
            format!("its values are big-endian (dtype '{code}'): write it again with .astype('{little}')")
        }
        TypeError::OtherLongDouble => format!(
            "its values are of dtype '{descr}', which on this machine ({}) is not the 80-bit number of x87 that long_double \
             is: write it again with .astype('<f8')",
            std::env::consts::ARCH
        ),
        _ => format!("its values are of dtype '{descr}': only {} can be bound", dtype::CODES),
    })
}

/// The type and number of values that the text of a header names, or what is wrong with it.
fn parse(text: &[u8]) -> std::result::Result<(ItemType, u64), String> {
    let text = std::str::from_utf8(text).map_err(|_| "its header is not text".to_owned())?;
    let mut reader = HeaderReader { rest: text };
    let (mut item, mut fortran, mut shape) = (None, None, None);
    reader.expect("{")?;
    while !reader.take("}") {
        let key = reader.string()?;
        reader.expect(":")?;
        match key {
            "descr" if reader.peeks("[") => {
                return Err(
                    "its values are records of several fields (a structured dtype)".to_owned(),
                );
            }
            "descr" => item = Some(item_of(reader.string()?, Machine::HERE)?),
            "fortran_order" if reader.take("True") => fortran = Some(true),
            "fortran_order" => {
                reader.expect("False")?;
                fortran = Some(false);
            }
            "shape" => shape = Some(reader.tuple()?),
            _ => return Err(format!("its header has an unknown entry '{key}'")),
        }
        if !reader.take(",") && !reader.peeks("}") {
            return Err(reader.unexpected());
        }
    }
    let (Some(item), Some(fortran), Some(shape)) = (item, fortran, shape) else {
        return Err("its header lacks 'descr', 'fortran_order' or 'shape'".to_owned());
    };
    match shape[..] {
        [count] => Ok((item, count)),
        _ => Err(format!(
            "its array has {} dimensions{}: only one is possible, as of .ravel()",
            shape.len(),
            if fortran { " in Fortran order" } else { "" }
        )),
    }
}

/// Reads what a header consists of, with spaces between.
struct HeaderReader<'a> {
    rest: &'a str,
}

impl<'a> HeaderReader<'a> {
    fn peeks(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.starts_with(token)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peeks(token);
        if found {
            self.rest = &self.rest[token.len()..];
        }
        found
    }

    fn expect(&mut self, token: &str) -> std::result::Result<(), String> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn unexpected(&self) -> String {
        let shown: String = self.rest.chars().take(16).collect();
        format!(
            "its header cannot be understood at '{}'",
            shown.escape_debug()
        )
    }

    /// A text in quotes, without any within.
    fn string(&mut self) -> std::result::Result<&'a str, String> {
        for quote in ["'", "\""] {
            if self.take(quote) {
                let (text, rest) = self
                    .rest
                    .split_once(quote)
                    .ok_or_else(|| self.unexpected())?;
                self.rest = rest;
                return Ok(text);
            }
        }
        Err(self.unexpected())
    }

    /// Numbers in parentheses. Python 2 ended long ones in an `L`.
    fn tuple(&mut self) -> std::result::Result<Vec<u64>, String> {
        let mut numbers = Vec::new();
        self.expect("(")?;
        while !self.take(")") {
            self.rest = self.rest.trim_start();
            let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
            let (number, rest) = self.rest.split_at(digits);
            numbers.push(number.parse().map_err(|_| self.unexpected())?);
            self.rest = rest;
            let _ = self.take("L");
            if !self.take(",") && !self.peeks(")") {
                return Err(self.unexpected());
            }
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn path() -> FilePath {
        FilePath::new(b"f.npy").unwrap()
    }

    fn file_with(version: u8, text: &str) -> File {
        let file = tempfile::tempfile().unwrap();
        let mut bytes = [&MAGIC[..], &[version, 0]].concat();
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.as_bytes());
        file.write_all_at(&bytes, 0).unwrap();
        file
    }

    fn error(text: &str) -> String {
        NpyHeader::read(&file_with(1, text), &path())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_numpy_writes_is_read_in_every_version() {
        let text = "{'descr': '<f8', 'fortran_order': False, 'shape': (12,), }   \n";
        for (version, text_at) in [(1, 10), (2, 12), (3, 12)] {
            let header = NpyHeader::read(&file_with(version, text), &path()).unwrap();
            assert_eq!(header.item, ItemType::DOUBLE);
            assert_eq!(header.count, 12);
            assert_eq!(header.data_at, text_at + text.len() as u64);
        }
    }

    #[test]
    fn the_order_of_entries_quotes_and_spaces_do_not_matter() {
        for text in [
            "{ \"shape\":( 7 , ),'fortran_order' : True,'descr':'<f8'}\n",
            "{'shape': (7L,), 'fortran_order': False, 'descr': '<f8', }",
            "{'descr':'<f8','fortran_order':False,'shape':(7)}",
        ] {
            let header = NpyHeader::read(&file_with(1, text), &path()).unwrap();
            assert_eq!(header.count, 7, "{text}");
        }
    }

    #[test]
    fn every_type_is_named_as_numpy_names_it() {
        for (words, expected) in [
            (("int8", None), "|i1"),
            (("uint8", None), "|u1"),
            (("int16", None), "<i2"),
            (("uint16", None), "<u2"),
            (("int32", None), "<i4"),
            (("uint32", None), "<u4"),
            (("int64", None), "<i8"),
            (("uint64", None), "<u8"),
            (("float", None), "<f4"),
            (("double", None), "<f8"),
            (("long_double", None), "<f16"),
            (("string", Some(&b"5"[..])), "|S5"),
        ] {
            let item = ItemType::parse(words.0.as_bytes(), words.1).unwrap();
            assert_eq!(dtype::of(item), expected);
            assert_eq!(item_of(expected, Machine::X87), Ok(item));
        }
    }

    #[test]
    fn long_doubles_of_another_machine_are_refused_with_the_reason() {
        let error = item_of("<f16", Machine::Other).unwrap_err();
        assert!(error.contains("not the 80-bit number of x87"), "{error}");
        assert!(check_long_double(Machine::Other).is_err());
        assert_eq!(check_long_double(Machine::X87), Ok(()));
        assert!(item_of("<f8", Machine::Other).is_ok());
    }

    #[test]
    fn what_cannot_be_bound_is_named() {
        let with_descr =
            |descr: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}");
        let with_shape = |order: &str, shape: &str| {
            format!("{{'descr': '<f8', 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        for (text, expected) in [
            (with_descr("'>f8'"), "big-endian (dtype '>f8')"),
            (with_descr("'<f2'"), "dtype '<f2'"),
            (with_descr("'<c16'"), "dtype '<c16'"),
            (with_descr("'|O'"), "dtype '|O'"),
            (with_descr("'<U5'"), "dtype '<U5'"),
            (with_descr("'|S0'"), "dtype '|S0'"),
            (with_descr("''"), "dtype ''"),
            (with_descr("[('a', '<f8')]"), "several fields"),
            (with_shape("False", "(2, 3)"), "2 dimensions: only"),
            (
                with_shape("True", "(2, 3)"),
                "2 dimensions in Fortran order",
            ),
            (with_shape("False", "()"), "0 dimensions"),
            (with_shape("False", "(-1,)"), "'-1,), }'"),
            (with_shape("Maybe", "(1,)"), r"'Maybe, \'shape\'"),
            ("{'descr': '<f8'}".to_owned(), "lacks"),
            ("{'descr': '<f8', ".to_owned(), "cannot be understood"),
            ("{'x': 1}".to_owned(), "unknown entry 'x'"),
            (String::new(), "cannot be understood"),
        ] {
            let error = error(&text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_ends_early_is_no_npy_file() {
        let file = tempfile::tempfile().unwrap();
        for bytes in [
            &b""[..],
            b"\x93NUMPY",
            b"0123456789abcdef",
            b"\x93NUMPY\x09\0xxxxx",
        ] {
            file.set_len(0).unwrap();
            file.write_all_at(bytes, 0).unwrap();
            assert!(NpyHeader::read(&file, &path()).is_err(), "{bytes:?}");
        }
        file.write_all_at(b"\x93NUMPY\x01\0\xff\0{'descr'", 0)
            .unwrap();
        let error = NpyHeader::read(&file, &path()).unwrap_err().to_string();
        assert!(error.contains("ends within its header"), "{error}");
    }

    #[test]
    fn a_created_header_reads_back_and_has_room_for_any_count() {
        for size in [1, 65535] {
            let item = ItemType::parse(b"string", Some(size.to_string().as_bytes())).unwrap();
            let file = tempfile::tempfile().unwrap();
            let created = NpyHeader::create(&file, &path(), item).unwrap();
            assert_eq!(NpyHeader::read(&file, &path()).unwrap(), created);
            assert!(created.data_at.is_multiple_of(64) && created.has_room());
            for count in [0, 9, 10, 10_u64.pow(19) - 1] {
                created.write(&file, count).unwrap();
                let read = NpyHeader::read(&file, &path()).unwrap();
                assert_eq!((read.count, read.data_at), (count, created.data_at));
            }
        }
    }

    #[test]
    fn a_header_without_spare_space_is_found_out() {
        let text = "{'descr': '<f8', 'fortran_order': False, 'shape': (12,), }\n";
        let header = NpyHeader::read(&file_with(1, text), &path()).unwrap();
        assert!(!header.has_room());
        let padded = text.replace('\n', &(" ".repeat(17) + "\n"));
        let header = NpyHeader::read(&file_with(1, &padded), &path()).unwrap();
        assert!(header.has_room());
        assert_eq!(header.text(1).len(), padded.len());
    }
}
