//! What the server calls: loading, registration, the key type, events, `INFO`, the log.
//!
//! The top; nothing may use it but the library's entry point.

mod data_type;
mod events;
mod info;
mod latency;
pub mod load;
mod log;
mod own_files;
mod register;
mod vector_sets;
