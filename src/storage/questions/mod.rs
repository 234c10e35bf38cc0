//! Questions that many values answer: aggregates, comparisons, search.
//!
//! Uses `scan` and `types`.

pub mod aggregate;
pub mod find;
pub mod search;
