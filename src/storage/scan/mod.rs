//! Going over many values: a snapshot of one moment, and the work in the background.
//!
//! Uses `array`, `memory`, `threads`. Does not know what is asked.

pub mod background;
pub(in crate::storage) mod snapshot;
