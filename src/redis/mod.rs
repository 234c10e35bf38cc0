//! The server's side: commands, the key type, settings, `INFO`, the log. It parses, replies and registers;
//! all work on files is the storage layer's.

#[forbid(unsafe_code)]
mod commands;
#[forbid(unsafe_code)]
mod execution;
#[forbid(unsafe_code)]
mod keys;
#[forbid(unsafe_code)]
mod mode;
#[forbid(unsafe_code)]
pub mod module;
#[forbid(unsafe_code)]
mod persistence;
#[forbid(unsafe_code)]
mod replication;
pub mod server;
#[forbid(unsafe_code)]
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
