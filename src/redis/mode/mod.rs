//! What the server is doing: loading, saving.
//!
//! Uses `server`.

pub(in crate::redis) mod phase;
