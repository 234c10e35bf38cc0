//! Files of raw values as arrays. This layer knows files, memory and threads, and nothing of Redis.
//!
//! | folder | what lives there |
//! |---|---|
//! | [`types`] | values: text to bytes and back |
//! | [`threads`] | the pool, and how long work is cancelled |
//! | [`files`] | paths, the root, opening and locking, unnamed and replacement files, the system calls |
//! | [`format`] | the bytes on disk: record, mark, layout, `.npy`, recovery |
//! | [`memory`] | mappings, the guard against SIGBUS, windows, what is in RAM |
//! | [`array`] | one file as an array: its lock, append, edit, growth, sync, status |
//! | [`scan`] | going over many values, here and now or on the pool |
//! | [`questions`] | aggregates, comparisons, search |
//! | [`cold`] | values that are not in RAM, and who waits for them |
//! | [`store`] | all arrays: registry, worker, long writes, the head, import |
//!
//! A folder uses those above it in this table; `.ci/layers` looks after that. Beside them: [`primitives`] (mutexes and condition
//! variables), [`system`] (which system calls are refused here), [`settings`], [`stats`], [`error`].

pub mod array;
mod clock;
pub mod cold;
mod error;
pub mod files;
pub mod format;
mod lock_order;
pub mod memory;
mod primitives;
pub mod questions;
pub mod scan;
pub mod settings;
mod stats;
pub mod store;
pub mod system;
pub mod threads;
pub mod types;

#[cfg(all(test, shuttle))]
mod interleavings;
#[cfg(test)]
mod model;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waits;

pub use crate::storage::array::handle::Array;
pub use crate::storage::array::head::MayGo;
pub use crate::storage::array::moment::Moment;
pub use crate::storage::array::peers::Completeness;
pub use crate::storage::array::state::span::Span;
pub use crate::storage::array::status::{ArrayState, Status};
pub use crate::storage::array::view::View;
pub use crate::storage::files::access::Access;
pub use crate::storage::files::destination::{Above, Undo};
pub use crate::storage::files::identity::FileId;
pub use crate::storage::files::path::FilePath;
pub use crate::storage::files::reserved::Reserved;
pub use crate::storage::files::root::Root;
pub use crate::storage::format::dropped::{can_hold, check as check_head, parse_position};
pub use crate::storage::store::bound::Bound;
pub use crate::storage::store::claim::MayBecome;
pub use crate::storage::store::import::{Former, Import};
pub use crate::storage::store::post::Done;
pub use crate::storage::store::store::Store;
pub use crate::storage::store::tasks::{Task, TaskDone, TaskEnd};
pub use crate::storage::system::{read_whole, real_path};
pub use crate::storage::threads::cancel::Cancel;
pub use error::{Error, Result};
pub use settings::Fsync;
pub use stats::{Latency, Stats, Totals};
