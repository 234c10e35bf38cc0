//! One file as an array: open, append, edit, growth, sync, status.
//!
//! Uses `files`, `format`, `memory`, `types`. Nothing below the store may use the registry.

pub mod advice;
pub(in crate::storage) mod append;
pub(in crate::storage) mod attendant;
pub(in crate::storage) mod close;
pub(in crate::storage) mod cold_check;
pub(in crate::storage) mod completeness;
pub(in crate::storage) mod cut;
pub(in crate::storage) mod edit;
pub(in crate::storage) mod growth;
pub(in crate::storage) mod handle;
pub(in crate::storage) mod head;
pub(in crate::storage) mod imitation;
pub(in crate::storage) mod limit;
pub(in crate::storage) mod lock;
pub(in crate::storage) mod locked;
pub(in crate::storage) mod loss;
pub(in crate::storage) mod moment;
pub(in crate::storage) mod open;
pub(in crate::storage) mod owner;
pub(in crate::storage) mod peers;
pub(in crate::storage) mod prefault;
pub(in crate::storage) mod published;
pub(in crate::storage) mod redo;
pub(in crate::storage) mod room;
pub(in crate::storage) mod shared;
pub(in crate::storage) mod shortest;
pub(in crate::storage) mod state;
pub(in crate::storage) mod status;
pub(in crate::storage) mod sync;
pub(in crate::storage) mod trim;
pub(in crate::storage) mod unlinked;
pub(in crate::storage) mod view;
pub(in crate::storage) mod writer;
