//! Arrays in RDB files, in `DUMP`, and on the way to a replica: the binding always, the values where they are
//! wanted. `docs/design.md`, "RDB and AOF", explains the format.
//!
//! Uses `replication`, `keys`, `settings`, `mode` and `server`. Commands and the module's events use it.
//!
//! | file | what it is about |
//! |---|---|
//! | [`format`] | the fields and their order |
//! | [`save`] | what is written |
//! | [`dump`] | how much of it `DUMP` can take |
//! | [`load`] | what is read |
//! | [`header`], [`plan`], [`rights`] | what becomes of it: whose file counts, and which may be taken |
//! | [`restored`] | what is undone where the server refuses it after all |
//! | [`digest`] | `DEBUG DIGEST` |

mod digest;
mod dump;
mod format;
mod header;
mod load;
mod plan;
pub mod restored;
mod rights;
mod save;

pub use digest::digest;
pub use dump::look_up_limit;
pub use format::VERSION;
pub use load::load;
pub use save::save;
