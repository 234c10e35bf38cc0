//! The server's side: commands, the key type, settings, `INFO`, the log. It parses, replies and registers;
//! all work on files is the storage layer's.

mod commands;
mod execution;
mod keys;
mod mode;
mod module;
mod persistence;
mod replication;
pub mod server;
mod settings;

use std::sync::OnceLock;

use crate::storage::Store;

static STORE: OnceLock<Store> = OnceLock::new();

/// The store of this server. It exists from the time the module is loaded.
fn store() -> &'static Store {
    STORE
        .get()
        .expect("set before the first command is registered")
}
