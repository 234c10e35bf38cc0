//! Threads for long work, and how it is cancelled.
//!
//! Knows nothing of arrays.

pub(in crate::storage) mod cancel;
pub mod pool;
