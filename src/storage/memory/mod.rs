//! Mapped memory: mappings, the guard against SIGBUS, windows, what is in RAM, how much is available.
//!
//! Uses `files`. Knows no array.

pub mod available;
pub(in crate::storage) mod cachestat;
pub(in crate::storage) mod faults;
pub(in crate::storage) mod gather;
pub(in crate::storage) mod guard;
pub(in crate::storage) mod mapping;
pub mod pattern;
pub(in crate::storage) mod presence;
pub(in crate::storage) mod residency;
pub(in crate::storage) mod stream;
pub(in crate::storage) mod whole;
pub(in crate::storage) mod window;
pub(in crate::storage) mod words;
