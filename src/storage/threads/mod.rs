//! Threads for long work, and how it is cancelled.
//!
//! Knows nothing of arrays.

pub mod pool;
