//! Loading, registration, events, `INFO`, the log.
//!
//! The top; nothing may use it.

pub(in crate::redis) mod acl;
pub(in crate::redis) mod info;
pub(in crate::redis) mod latency;
pub(in crate::redis) mod load;
pub(in crate::redis) mod log;
pub(in crate::redis) mod own_files;
pub(in crate::redis) mod vector_sets;
