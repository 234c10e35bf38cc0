//! The fields of a saved array, and their order: in an RDB, in a dump, and on the way to a replica. Saving and loading go
//! through the same lists. `docs/design.md`, "RDB and AOF", explains them.

use std::ffi::c_int;

use crate::redis::server::rdb::{Damaged, RdbReader, RdbWriter};

/// Version of what is saved.
pub const VERSION: c_int = 4;
/// The first versions that have the contents, what the saving server knew of its copies, and who saved them for whom.
const HAS_CONTENTS: c_int = 2;
const HAS_ORIGIN: c_int = 3;
pub const HAS_SAVER: c_int = 4;

/// What goes through the fields of a list in their order: it saves each, or loads it.
pub trait Pass {
    fn number(&self, field: &mut u64) -> Result<(), Damaged>;
    fn bytes(&self, field: &mut Vec<u8>) -> Result<(), Damaged>;

    fn flag(&self, field: &mut bool) -> Result<(), Damaged> {
        let mut number = u64::from(*field);
        self.number(&mut number)?;
        *field = number != 0;
        Ok(())
    }
}

impl Pass for RdbWriter {
    fn number(&self, field: &mut u64) -> Result<(), Damaged> {
        RdbWriter::number(self, *field);
        Ok(())
    }

    fn bytes(&self, field: &mut Vec<u8>) -> Result<(), Damaged> {
        RdbWriter::bytes(self, field);
        Ok(())
    }
}

impl Pass for RdbReader {
    fn number(&self, field: &mut u64) -> Result<(), Damaged> {
        *field = RdbReader::number(self)?;
        Ok(())
    }

    fn bytes(&self, field: &mut Vec<u8>) -> Result<(), Damaged> {
        *field = RdbReader::bytes(self, <[u8]>::to_vec)?;
        Ok(())
    }
}

/// What comes first: the binding, and who saved it.
#[derive(Clone, Default, Debug)]
pub struct SavedHeader {
    pub path: Vec<u8>,
    pub type_name: Vec<u8>,
    /// Bytes per value.
    pub item_size: u64,
    pub is_writable: bool,
    /// Number of values.
    pub count: u64,
    pub origin: Origin,
    pub saver: Saver,
    /// One of [`contents`].
    pub contents: u64,
}

impl SavedHeader {
    pub fn pass(&mut self, rdb: &impl Pass, version: c_int) -> Result<(), Damaged> {
        rdb.bytes(&mut self.path)?;
        rdb.bytes(&mut self.type_name)?;
        rdb.number(&mut self.item_size)?;
        rdb.flag(&mut self.is_writable)?;
        rdb.number(&mut self.count)?;
        if version >= HAS_ORIGIN {
            let mut origin = self.origin.to_number();
            rdb.number(&mut origin)?;
            self.origin = Origin::of_number(origin);
        }
        if version >= HAS_SAVER {
            rdb.flag(&mut self.saver.is_for_replicas)?;
            rdb.bytes(&mut self.saver.identity)?;
        }
        if version >= HAS_CONTENTS {
            rdb.number(&mut self.contents)?;
        }
        Ok(())
    }
}

/// What comes before the values, where [`SavedHeader::contents`] says that they follow. They are strings of whole values, ended
/// by an empty one.
#[derive(Clone, Default, Debug)]
pub struct Before {
    /// As [`Moment::identity`](crate::storage::Moment::identity).
    pub identity: Vec<u8>,
    /// Number of values dropped from the head so far.
    pub head: u64,
    /// One of [`state`].
    pub state: u64,
}

impl Before {
    pub fn pass(&mut self, rdb: &impl Pass) -> Result<(), Damaged> {
        rdb.bytes(&mut self.identity)?;
        rdb.number(&mut self.head)?;
        rdb.number(&mut self.state)
    }
}

/// What comes after the values.
#[derive(Clone, Default, Debug)]
pub struct After {
    /// CRC-32 of all of them.
    pub checksum: u64,
    /// How many of them count.
    pub count: u64,
    /// Why not all could be read; empty if they could.
    pub failure: Vec<u8>,
}

impl After {
    pub fn pass(&mut self, rdb: &impl Pass) -> Result<(), Damaged> {
        rdb.number(&mut self.checksum)?;
        rdb.number(&mut self.count)?;
        rdb.bytes(&mut self.failure)
    }
}

/// Who saved an RDB, and for whom.
#[derive(Clone, Default, Debug)]
pub struct Saver {
    /// For replicas, which go on with its stream, rather than as a backup of its own.
    pub is_for_replicas: bool,
    /// As [`Store::identity`](crate::storage::Store::identity).
    pub identity: Vec<u8>,
}

/// What the server that saved an array knew of its copies.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Origin {
    pub is_primary: bool,
    /// As [`Array::is_resent`](crate::storage::Array::is_resent).
    pub is_resent: bool,
    /// As [`Array::unannounced`](crate::storage::Array::unannounced).
    pub unannounced: u32,
    /// As [`Array::is_incomplete_unnoted`](crate::storage::Array::is_incomplete_unnoted).
    pub is_incomplete_unnoted: bool,
    /// As [`Binding::is_out_of_date`](crate::redis::keys::binding::Binding::is_out_of_date).
    pub is_out_of_date: bool,
    /// Whether it is [`Doubted`](crate::storage::Completeness::Doubted): no file says so.
    pub is_doubted: bool,
}

impl Origin {
    fn to_number(self) -> u64 {
        u64::from(self.is_primary)
            | u64::from(self.is_resent) << 1
            | u64::from(self.unannounced) << 2
            | u64::from(self.is_incomplete_unnoted) << 34
            | u64::from(self.is_out_of_date) << 35
            | u64::from(self.is_doubted) << 36
    }

    fn of_number(number: u64) -> Self {
        Self {
            is_primary: number & 1 != 0,
            is_resent: number & 2 != 0,
            unannounced: (number >> 2) as u32,
            is_incomplete_unnoted: number & 1 << 34 != 0,
            is_out_of_date: number & 1 << 35 != 0,
            is_doubted: number & 1 << 36 != 0,
        }
    }
}

/// What follows the header.
pub mod contents {
    /// Nothing: the file has them.
    pub const NONE: u64 = 0;
    /// The values.
    pub const VALUES: u64 = 1;
    /// Nothing: they came with an earlier key that is bound to the same file.
    pub const EARLIER: u64 = 2;
    /// The reason why there are none.
    pub const UNAVAILABLE: u64 = 3;
}

/// What a server says of the values that it saves.
pub mod state {
    /// They are all there.
    pub const WHOLE: u64 = 0;
    /// The rest of them follows in the stream.
    pub const FILLING: u64 = 1;
    /// Some are missing, and are not on their way.
    pub const MISSED: u64 = 2;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;

    #[derive(Clone, PartialEq, Debug)]
    enum Field {
        Number(u64),
        Bytes(Vec<u8>),
    }

    /// Keeps what is saved.
    #[derive(Default)]
    struct Saved(RefCell<VecDeque<Field>>);

    impl Pass for Saved {
        fn number(&self, field: &mut u64) -> Result<(), Damaged> {
            self.0.borrow_mut().push_back(Field::Number(*field));
            Ok(())
        }

        fn bytes(&self, field: &mut Vec<u8>) -> Result<(), Damaged> {
            self.0.borrow_mut().push_back(Field::Bytes(field.clone()));
            Ok(())
        }
    }

    /// Hands it out again.
    struct Loaded(Saved);

    impl Pass for Loaded {
        fn number(&self, field: &mut u64) -> Result<(), Damaged> {
            match self.0.0.borrow_mut().pop_front() {
                Some(Field::Number(number)) => *field = number,
                other => return Err(Damaged(format!("{other:?}"))),
            }
            Ok(())
        }

        fn bytes(&self, field: &mut Vec<u8>) -> Result<(), Damaged> {
            match self.0.0.borrow_mut().pop_front() {
                Some(Field::Bytes(bytes)) => *field = bytes,
                other => return Err(Damaged(format!("{other:?}"))),
            }
            Ok(())
        }
    }

    fn header() -> SavedHeader {
        SavedHeader {
            path: b"a/b".to_vec(),
            type_name: b"string".to_vec(),
            item_size: 7,
            is_writable: true,
            count: 5,
            origin: Origin {
                is_primary: true,
                is_resent: false,
                unannounced: u32::MAX,
                is_incomplete_unnoted: true,
                is_out_of_date: true,
                is_doubted: true,
            },
            saver: Saver {
                is_for_replicas: true,
                identity: b"me".to_vec(),
            },
            contents: contents::VALUES,
        }
    }

    /// What other versions of the module read and write: a field that moves is a new version.
    #[test]
    fn each_version_has_its_fields_in_this_order() {
        use Field::{Bytes, Number};
        let binding = vec![
            Bytes(b"a/b".to_vec()),
            Bytes(b"string".to_vec()),
            Number(7),
            Number(1),
            Number(5),
        ];
        let origin = vec![Number(1 | u64::from(u32::MAX) << 2 | 7 << 34)];
        let saver = vec![Number(1), Bytes(b"me".to_vec())];
        let contents = vec![Number(contents::VALUES)];
        for (version, fields) in [
            (1, binding.clone()),
            (2, [binding.clone(), contents.clone()].concat()),
            (
                3,
                [binding.clone(), origin.clone(), contents.clone()].concat(),
            ),
            (4, [binding, origin, saver, contents].concat()),
        ] {
            let saved = Saved::default();
            assert!(header().pass(&saved, version).is_ok());
            assert_eq!(saved.0.into_inner(), fields, "version {version}");
        }
    }

    #[test]
    fn what_is_saved_loads_as_it_was() {
        let saved = Saved::default();
        assert!(header().pass(&saved, VERSION).is_ok());
        let (loaded, mut again) = (Loaded(saved), SavedHeader::default());
        assert!(again.pass(&loaded, VERSION).is_ok());
        assert_eq!(format!("{again:?}"), format!("{:?}", header()));
        assert!(loaded.0.0.borrow().is_empty());
    }
}
