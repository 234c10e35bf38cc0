//! Values that are not in RAM: what a command touches, bringing in, dropping.
//!
//! Uses `array`, `memory`, `threads`.

pub mod touched;
