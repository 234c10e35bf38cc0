//! The server's API, wrapped.
//!
//! Knows no array.

#[cfg(not(any(test, feature = "system-alloc")))]
pub mod allocator;
pub mod context;
pub(in crate::redis) mod memory;
pub(in crate::redis) mod usage;
