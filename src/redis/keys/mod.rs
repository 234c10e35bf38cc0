//! What a key of ours holds.
//!
//! Uses `server`, `mode`, and the storage layer.

pub(in crate::redis) mod binding;
pub(in crate::redis) mod lookup;
pub(in crate::redis) mod remembered;
pub(in crate::redis) mod unavailable;
