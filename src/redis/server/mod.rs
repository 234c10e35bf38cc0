//! The server's API as safe Rust. The only folder of this layer that may hold `unsafe`: the others forbid it.
//!
//! Knows no array, and uses nothing else of this layer.
//!
//! | file | what it wraps |
//! |---|---|
//! | `load`, `log` | loading the module, the server's log |
//! | `context`, `detached` | the context of a callback, and of the module |
//! | `command`, `description`, `usage`, `acl`, `filter` | registering commands, and what the server is told of them |
//! | `args`, `reply`, `failure` | what a command gets and answers |
//! | `key`, `data_type`, `type_handle` | keys and their values |
//! | `rdb` | what is saved and loaded |
//! | `words` | commands for the AOF, replicas and the server itself |
//! | `ask`, `info` | what the server can be asked for, and what it asks for: `INFO`, `CONFIG` |
//! | `events`, `cluster` | what happens to the server, and other nodes |
//! | `blocked`, `later` | clients that wait, work that comes later |
//! | `allocator`, `aligned`, `memory` | memory of the server |

pub(in crate::redis) mod acl;
#[cfg(any(test, not(feature = "system-alloc")))]
mod aligned;
#[cfg(not(any(test, feature = "system-alloc")))]
pub mod allocator;
mod args;
mod ask;
mod blocked;
pub(in crate::redis) mod cluster;
pub(in crate::redis) mod command;
pub mod context;
pub(in crate::redis) mod data_type;
pub(in crate::redis) mod description;
mod detached;
pub(in crate::redis) mod events;
mod failure;
pub(in crate::redis) mod filter;
mod guarded;
pub(in crate::redis) mod info;
mod key;
mod later;
mod library;
pub mod load;
mod log;
pub(in crate::redis) mod memory;
pub(in crate::redis) mod rdb;
mod reply;
mod type_handle;
pub(in crate::redis) mod usage;
mod words;

pub use args::Args;
pub use ask::{ServerInfo, writes_are_paused};
pub use blocked::{Pending, cancel_all};
pub use context::Ctx;
pub use failure::{Failure, Outcome};
pub use key::{Key, KeyName, Mode, Named, OpenValue};
pub use later::{after, on_main_thread};
pub use library::own_library;
pub use log::log;
pub use reply::Resp;
pub use type_handle::TypeHandle;
pub use words::{Aof, Audience, Word};
