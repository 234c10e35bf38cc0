//! Values that are not in RAM: what a command touches, bringing in, dropping.
//!
//! Uses `array`, `memory`, `threads`.

pub(in crate::storage) mod bring_in;
pub(in crate::storage) mod drop_pages;
pub mod touched;
