//! All arrays below one directory: the registry, the worker, long writes, values dropped at the head, import.
//!
//! The top of this layer; nothing below may use it.

pub(in crate::storage) mod background;
pub(in crate::storage) mod bound;
pub(in crate::storage) mod claim;
pub(in crate::storage) mod drop_head;
mod entries;
pub(in crate::storage) mod filling;
pub(in crate::storage) mod fillings;
pub(in crate::storage) mod import;
pub(in crate::storage) mod likeness;
mod opening;
pub(in crate::storage) mod post;
pub(in crate::storage) mod registry;
mod slow;
#[expect(
    clippy::module_inception,
    reason = "the store is what the folder is about"
)]
pub(in crate::storage) mod store;
pub(in crate::storage) mod tasks;
pub(in crate::storage) mod worker;
