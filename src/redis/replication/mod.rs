//! What replicas are told: by `VREPLICATE`, which says what an array holds now rather than what was asked for. So a
//! command that a replica gets twice, after a restart say, changes nothing the second time.
//!
//! | sent | means |
//! |---|---|
//! | `VREPLICATE key BIND/2 path type size mode count head state identity` | the key leads to that file, which has `count` values |
//! | `VREPLICATE key APPEND/2 position bytes` | from that position on, the values are these, and there are no more |
//! | `VREPLICATE key SET/2 position bytes [position bytes ...]` | from each position on, the values are these |
//! | `VREPLICATE key REPEAT/2 position count bytes` | `count` values are all this one |
//! | `VREPLICATE key LENGTH/2 position` | there are no values from that position on |
//! | `VREPLICATE key HEAD/2 path position` | there are no values before that position |
//! | `VREPLICATE key FILL/2 path position bytes` | a part of the contents, which are sent by and by |
//! | `VREPLICATE key FILLED/2 path position` | that was all, and there are no values from that position on |
//! | `VREPLICATE key REFILL/2 path position count` | all contents follow again, from that position on; `count` long writes have begun |
//! | `VREPLICATE key BEGIN/2 path`, `... END/2 path` | a long write begins; all of it was sent |
//! | `VREPLICATE mmap HOLDS/2 path head end [path head end ...]` | these are the positions of the first value of each file, and behind the last |
//! | `VREPLICATE mmap ONLINE/2 [path ...]` | a replica has joined; what comes from here on is new to all of them; the contents of these files are on their way, and of no others |
//!
//! The number is the version of that form: a server refuses one that it does not know, and its array is incomplete then (see
//! "Incomplete arrays" in `docs/design.md`). Without a number they are those of versions 0.1.0 and 0.2.0 of the module:
//!
//! | sent by 0.1.0 and 0.2.0 | means |
//! |---|---|
//! | `VREPLICATE key BIND ...`, `SET ...`, `REPEAT ...`, `LENGTH ...` | as above; a `SET` behind the last value appends |
//! | `VREPLICATE path HEAD position`, `FILL position bytes`, `FILLED position` | as above; the path is in place of the key |
//!
//! Where a path is given, it says which file is meant: the key may have another name by then, or none. It then says in
//! which slot of a Cluster the array is, and nothing more.
//!
//! A position is the number of values that were ever before it: the index, and those that were dropped from the head.
//! Nothing of it goes into the AOF, which holds bindings alone.

mod bind;
pub mod copy;
mod doubt;
mod events;
mod fill;
pub mod followed;
mod joining;
mod long_writes;
mod message;
pub mod missing;
mod received;
mod slots;
mod synchronise;
mod tell;

pub use bind::{bound, write_to_aof};
pub use doubt::doubt_stream;
pub use events::{
    export_begins, export_ends, loaded_from_aof, loaded_from_disk, loaded_from_primary,
    look_for_replicas, replica_online, replicas_changed, tick,
};
pub use fill::{resend, under_way as fills_under_way};
pub use long_writes::{LongWrite, LongWriteKind, when_writes_go_on};
pub use message::mmap_words;
pub use received::received;
pub use slots::export;
pub use tell::{Change, wrote};
