//! The server's side: commands, the key type, settings, `INFO`, the log. It parses, replies and registers;
//! all work on files is the storage layer's.

mod acl;
#[cfg(not(any(test, feature = "system-alloc")))]
pub mod allocator;
pub mod api;
mod binding;
mod command;
mod commands;
mod config;
mod info;
mod latency;
mod load;
mod log;
mod memory;
mod own_files;
mod rdb;
mod replication;
mod unavailable;
mod usage;
mod vector_sets;

use std::sync::OnceLock;

use crate::storage::Store;

static STORE: OnceLock<Store> = OnceLock::new();

/// The store of this server. It exists from the time the module is loaded.
fn store() -> &'static Store {
    STORE
        .get()
        .expect("set before the first command is registered")
}
