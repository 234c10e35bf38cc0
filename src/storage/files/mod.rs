//! Files as the system has them: paths, the root, opening and locking, unnamed and replacement files, the system calls.
//!
//! Uses nothing of this layer but errors. Knows no array and no format.

pub(in crate::storage) mod access;
pub(in crate::storage) mod boot;
pub(in crate::storage) mod calls;
pub(in crate::storage) mod destination;
pub(in crate::storage) mod identity;
pub(in crate::storage) mod path;
pub(in crate::storage) mod replacement;
pub(in crate::storage) mod reserved;
pub(in crate::storage) mod root;
pub(in crate::storage) mod sought;
pub(in crate::storage) mod unnamed;
