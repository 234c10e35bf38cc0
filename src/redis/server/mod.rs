//! The server's API, wrapped.
//!
//! Knows no array.

#[cfg(any(test, not(feature = "system-alloc")))]
mod aligned;
#[cfg(not(any(test, feature = "system-alloc")))]
pub mod allocator;
pub mod cluster;
pub mod context;
pub mod detached;
pub mod events;
pub(in crate::redis) mod memory;
pub(in crate::redis) mod usage;
