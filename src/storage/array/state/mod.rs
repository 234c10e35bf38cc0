//! Parts of what an array's lock protects, each with fields of its own.
//!
//! Uses the settings alone.

pub(in crate::storage) mod budget;
pub(in crate::storage) mod pace;
