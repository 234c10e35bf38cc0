//! What the server is doing, for whom, and who listens: loading, saving; primary or replica; its replicas.
//!
//! Uses `server`.

pub(in crate::redis) mod listening;
pub(in crate::redis) mod phase;
pub(in crate::redis) mod role;
