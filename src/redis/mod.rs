//! The server's side: commands, the key type, settings, `INFO`, the log. It parses, replies and registers;
//! all work on files is the storage layer's.

pub mod api;
mod binding;
mod command;
mod commands;
mod config;
mod info;
mod load;
mod log;
mod rdb;
mod replication;
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
