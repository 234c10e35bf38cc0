//! Arrays in RDB files, in `DUMP`, and on the way to a replica: the binding always, the values where they are
//! wanted. `docs/design.md`, "RDB and AOF", gives the format.
//!
//! | file | what it is about |
//! |---|---|
//! | [`phase`] | what the server is doing with RDB data at the moment |
//! | [`save`] | what is written |
//! | [`dump`] | how much of it `DUMP` can take |
//! | [`load`] | what is read, and whose file counts |
//! | [`restored`] | what is undone where the server refuses it after all |
//! | [`digest`] | `DEBUG DIGEST` |

mod digest;
mod dump;
mod load;
pub mod restored;
mod save;

use std::ffi::c_int;

use crate::redis::settings::{self, RdbContents};
use crate::storage::FilePath;

pub use crate::redis::mode::phase::{is_saving_aof, on_loading, on_persistence};
pub use crate::redis::persistence::digest::digest;
pub use crate::redis::persistence::dump::look_up_limit;
pub use crate::redis::persistence::load::load;
pub use crate::redis::persistence::save::save;

/// Version of what [`save`] writes. Version 1 had no contents, version 2 no [`Origin`], version 3 no [`Saver`].
pub const VERSION: c_int = 4;

/// Who saved an RDB, and for whom.
#[derive(Clone, Default, Debug)]
struct Saver {
    /// For replicas, which go on with its stream, and not as a backup of its own.
    is_for_replicas: bool,
    /// As [`Store::identity`](crate::storage::Store::identity).
    identity: Vec<u8>,
}

impl Saver {
    /// What is known where the version is one that did not say. Values are for a replica there, unless each RDB file is to be a
    /// backup.
    fn of_old_version() -> Self {
        Self {
            is_for_replicas: settings::rdb_contents() != RdbContents::Yes,
            identity: Vec::new(),
        }
    }
}

/// What the server that saved an array knew of its copies.
#[derive(Clone, Copy, Default, Debug)]
struct Origin {
    is_primary: bool,
    /// As [`Array::is_sent_anew`](crate::storage::Array::is_sent_anew).
    is_sent_anew: bool,
    /// As [`Array::unannounced`](crate::storage::Array::unannounced).
    unannounced: u32,
    /// As [`Array::is_incomplete_unnoted`](crate::storage::Array::is_incomplete_unnoted).
    is_incomplete_unnoted: bool,
}

impl Origin {
    fn to_number(self) -> u64 {
        u64::from(self.is_primary)
            | u64::from(self.is_sent_anew) << 1
            | u64::from(self.unannounced) << 2
            | u64::from(self.is_incomplete_unnoted) << 34
    }

    fn of_number(number: u64) -> Self {
        Self {
            is_primary: number & 1 != 0,
            is_sent_anew: number & 2 != 0,
            unannounced: (number >> 2) as u32,
            is_incomplete_unnoted: number & 1 << 34 != 0,
        }
    }
}

/// What follows the binding.
mod contents {
    /// Nothing: the file has them.
    pub const NONE: u64 = 0;
    /// The values.
    pub const VALUES: u64 = 1;
    /// Nothing: they came with an earlier key that is bound to the same file.
    pub const EARLIER: u64 = 2;
    /// The reason why they cannot be had.
    pub const UNAVAILABLE: u64 = 3;
}

/// What a server says of the values that it saves.
mod state {
    /// They are all there.
    pub const WHOLE: u64 = 0;
    /// The rest of them follows in the stream.
    pub const FILLING: u64 = 1;
    /// Some are missing, and are not on their way.
    pub const MISSED: u64 = 2;
}

/// Why a replica does not touch a file.
pub fn shared_directory(path: &FilePath) -> String {
    format!(
        "file '{path}' is the primary's own: this replica has the same directory; give it one of its own by mmap.dir"
    )
}
