//! One file as an array: open, append, edit, growth, sync, status.
//!
//! Uses `files`, `format`, `memory`, `types`. Nothing below the store may use the registry.

pub mod advice;
pub(in crate::storage) mod edit;
pub(in crate::storage) mod growth;
pub(in crate::storage) mod handle;
pub(in crate::storage) mod head;
pub(in crate::storage) mod lock;
pub(in crate::storage) mod loss;
pub(in crate::storage) mod moment;
pub(in crate::storage) mod owner;
pub(in crate::storage) mod peers;
pub(in crate::storage) mod shared;
pub(in crate::storage) mod state;
pub(in crate::storage) mod status;
pub(in crate::storage) mod sync;
pub(in crate::storage) mod unlinked;
pub(in crate::storage) mod writer;
