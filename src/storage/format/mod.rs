//! The bytes on disk: the record, the mark, the layout, `.npy` headers, and what is recovered of them.
//!
//! Uses `files` and `types`. Knows no mapping and no lock.

pub(in crate::storage) mod dropped;
pub(in crate::storage) mod layout;
pub(in crate::storage) mod mark;
pub(in crate::storage) mod npy;
pub(in crate::storage) mod record;
pub(in crate::storage) mod recovery;
pub(in crate::storage) mod redo;
