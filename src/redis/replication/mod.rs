//! What replicas are told: by `VREPLICATE`, which says what an array holds now rather than what was asked for. So a
//! command that a replica gets twice, after a restart say, changes nothing the second time.
//!
//! | sent | means |
//! |---|---|
//! | `VREPLICATE key BIND path type size mode count head state identity` | the key leads to that file, of so many values |
//! | `VREPLICATE key APPEND position bytes` | from that position on, the values are these, and there are no more |
//! | `VREPLICATE key SET position bytes [position bytes ...]` | from each position on, the values are these |
//! | `VREPLICATE key REPEAT position count bytes` | so many values are all this one |
//! | `VREPLICATE key LENGTH position` | there are no values from that position on |
//! | `VREPLICATE key HEAD path position` | there are no values before that position |
//! | `VREPLICATE key FILL path position bytes` | a part of the contents, which are sent by and by |
//! | `VREPLICATE key FILLED path position` | that was all, and there are no values from that position on |
//! | `VREPLICATE key REFILL path position count` | all contents follow anew, from that position on; so many long writes have begun |
//! | `VREPLICATE key BEGIN path`, `... END path` | a long write begins; all of it was sent |
//!
//! Where a path is given, it says which file is meant: the key may have another name by then, or none. It then says in
//! which slot of a Cluster the array is, and nothing more.
//!
//! A position is the number of values that were ever before it: the index, and those that were dropped from the head.
//! Nothing of it goes into the AOF, which holds bindings alone.

mod background;
mod fill;
mod slots;

use std::ffi::{CStr, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use redis_module::raw;

use super::api::{Audience, Ctx, Key, ServerInfo, Word, guarded, writes_are_paused};
use super::binding::Binding;
use super::{config, store};
use crate::storage::{Access, Array, Bound, Extent, FilePath};

pub use background::{Kind, LongWrite, when_writes_go_on};
pub use slots::{export, subscribe as subscribe_to_slot_migrations};

/// The command by which replicas are told.
pub const COMMAND: &CStr = c"VREPLICATE";

/// Whether there is anybody to be told: a replica, a backlog for one that comes back, or a node of the Cluster that takes
/// slots over.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// What a write did to an array, at the positions that its values had while it held the lock: another thread may have
/// dropped values from the head since.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// These are the last values now, up to a position.
    Appended { end: u64, bytes: &'a [u8] },
    /// From a position on, the values are these.
    Values { position: u64, bytes: &'a [u8] },
    /// The i-th index, counted from the position of the head, has the i-th value.
    Scattered {
        head: u64,
        indices: &'a [u64],
        bytes: &'a [u8],
    },
    /// A range of positions has one value.
    Filled {
        positions: &'a Range<u64>,
        value: &'a [u8],
    },
    /// Values were removed at the end: there are none from a position on.
    Shortened { end: u64 },
    /// Values were removed at the head.
    HeadDropped,
}

/// Whether anybody is to be told of writes.
#[inline]
pub fn is_listening() -> bool {
    LISTENING.load(Ordering::Relaxed)
}

/// Finds out anew whether there is anybody to be told. The server says when that may have changed: before it forks
/// for a replica that joins, and when replicas come and go.
pub fn look_for_replicas(ctx: &Ctx) {
    let replication = ctx.server_info(c"replication");
    let is_primary = replication.field(c"role") == Some(b"master");
    let has_replicas = replication.number(c"connected_slaves") > 0
        || replication.number(c"repl_backlog_active") > 0;
    let is_heard = has_replicas || slots::are_exported();
    LISTENING.store(is_primary && is_heard, Ordering::Relaxed);
    match (config::set_replica(!is_primary), is_primary) {
        (true, true) => background::take_over(),
        (false, false) => {
            background::stop_all();
            fill::stop_all();
        }
        _ => {}
    }
}

/// Whether a replica waits for the snapshot that is about to be made. How that state is called differs between
/// servers; a replica that waits for nothing is `online`.
pub fn is_snapshot_for_replicas(ctx: &Ctx) -> bool {
    replicas(&ctx.server_info(c"replication"))
        .iter()
        .any(|replica| replica.state != b"online")
}

struct Replica<'a> {
    state: &'a [u8],
    /// How much of the stream it has acknowledged, in bytes.
    acknowledged: u64,
}

/// The replicas that `INFO replication` lists: `slave0:ip=...,port=...,state=online,offset=123,lag=0`.
fn replicas(info: &ServerInfo) -> Vec<Replica<'_>> {
    (0..info.number(c"connected_slaves"))
        .filter_map(|i| {
            let name = std::ffi::CString::new(format!("slave{i}")).ok()?;
            let mut replica = Replica {
                state: b"",
                acknowledged: 0,
            };
            for field in info.field(&name)?.split(|&byte| byte == b',') {
                if let Some(state) = field.strip_prefix(b"state=") {
                    replica.state = state;
                } else if let Some(offset) = field.strip_prefix(b"offset=") {
                    replica.acknowledged = std::str::from_utf8(offset).ok()?.parse().ok()?;
                }
            }
            Some(replica)
        })
        .collect()
}

/// Whether writes count as changes for the server's next snapshot: it holds the values then.
static COUNTS_WRITES: AtomicBool = AtomicBool::new(false);

/// Says whether a snapshot of this server holds values, so that writing them is a reason for the next one.
pub fn count_writes(count: bool) {
    COUNTS_WRITES.store(count, Ordering::Relaxed);
}

/// Tells replicas what a write did.
#[inline]
pub fn wrote(key: &Key<'_>, bound: &Bound, change: Change<'_>) {
    if is_listening() {
        tell(key, bound, change);
    } else if COUNTS_WRITES.load(Ordering::Relaxed) {
        let name = Word::Bytes(key.name());
        key.ctx().propagate(Audience::Nobody, COMMAND, &[name]);
    }
}

#[cold]
fn tell(key: &Key<'_>, bound: &Bound, change: Change<'_>) {
    let size = bound.item().size();
    let name = Word::Bytes(key.name());
    let mut words = vec![name];
    match change {
        Change::HeadDropped => return tell_head(key.ctx(), key.name(), bound),
        Change::Shortened { end } => words.extend([Word::Bytes(b"LENGTH"), Word::Number(end)]),
        Change::Appended { end, bytes } => words.extend([
            Word::Bytes(b"APPEND"),
            Word::Number(end - (bytes.len() / size) as u64),
            Word::Bytes(bytes),
        ]),
        Change::Filled { positions, value } => words.extend([
            Word::Bytes(b"REPEAT"),
            Word::Number(positions.start),
            Word::Number(positions.end - positions.start),
            Word::Bytes(value),
        ]),
        Change::Values { position, bytes } => words.extend([
            Word::Bytes(b"SET"),
            Word::Number(position),
            Word::Bytes(bytes),
        ]),
        Change::Scattered {
            head,
            indices,
            bytes,
        } => {
            words.push(Word::Bytes(b"SET"));
            for (&index, value) in indices.iter().zip(bytes.chunks_exact(size)) {
                words.extend([Word::Number(head + index), Word::Bytes(value)]);
            }
        }
    }
    key.ctx().propagate(Audience::Replicas, COMMAND, &words);
}

/// Tells replicas how many values were dropped from the head of an array so far.
fn tell_head(ctx: &Ctx, key: &[u8], array: &Array) {
    tell_of_file(ctx, key, b"HEAD", array, &[Word::Number(array.head())]);
}

/// Tells replicas something of a file, whatever key has it by then.
fn tell_of_file(ctx: &Ctx, key: &[u8], operation: &[u8], array: &Array, what: &[Word<'_>]) {
    if is_listening() {
        let words = file_words(key, operation, array.path(), what);
        ctx.propagate(Audience::Replicas, COMMAND, &words);
    }
}

/// The words of `VREPLICATE` that are about a file.
fn file_words<'a>(
    key: &'a [u8],
    operation: &'a [u8],
    path: &'a FilePath,
    what: &[Word<'a>],
) -> Vec<Word<'a>> {
    let words = [key, operation, path.as_bytes()].map(Word::Bytes);
    [&words, what].concat()
}

/// Tells the AOF and replicas that a key was bound. `is_alone` says whether no other key had the file already;
/// the replicas are sent what it holds then.
pub fn bound(key: &Key<'_>, binding: &Binding, is_alone: bool) {
    write_to_aof(key, binding);
    let Ok(array) = binding.target_array() else {
        return;
    };
    if !is_listening() {
        return;
    }
    let Ok(moment) = array.moment() else {
        return;
    };
    let (identity, extent) = (moment.identity(), moment.extent());
    let state: &[u8] = match (is_alone, extent.count) {
        (false, _) => b"SHARED",
        (true, 0) => b"EMPTY",
        (true, _) => b"FILLING",
    };
    let words = bind_words(key.name(), binding, extent, state, &identity);
    key.ctx().propagate(Audience::Replicas, COMMAND, &words);
    if state == b"FILLING" {
        fill::send_all(key.name(), array);
    } else if !is_alone && was_other_key_removed(key.ctx(), array) {
        // What was sent since has found no array at replicas.
        fill::send_anew(key.ctx(), array);
    }
}

/// Whether the other key of a file may be gone already, and its binding be freed by another thread (`FLUSHALL ASYNC`).
fn was_other_key_removed(ctx: &Ctx, array: &Bound) -> bool {
    // In this order: what is not pending any more is not bound any more either.
    ctx.server_info(c"memory")
        .number(c"lazyfree_pending_objects")
        > 0
        || array.is_alone()
}

/// The words of `VREPLICATE BIND`. `state` says what becomes of the values.
fn bind_words<'a>(
    key: &'a [u8],
    binding: &'a Binding,
    extent: Extent,
    state: &'a [u8],
    identity: &'a [u8],
) -> [Word<'a>; 10] {
    [
        Word::Bytes(key),
        Word::Bytes(b"BIND"),
        Word::Bytes(binding.path.as_bytes()),
        Word::Bytes(binding.item.name().as_bytes()),
        Word::Number(binding.item.size() as u64),
        Word::Bytes(match binding.access {
            Access::Writable => b"WRITABLE",
            Access::ReadOnly => b"READONLY",
        }),
        Word::Number(extent.count),
        Word::Number(extent.head),
        Word::Bytes(state),
        Word::Bytes(identity),
    ]
}

/// The words of the `MMAP` that would be typed for a binding.
pub fn mmap_words<'a>(key: &'a [u8], binding: &'a Binding) -> Vec<Word<'a>> {
    let mut words = vec![
        Word::Bytes(key),
        Word::Bytes(binding.path.as_bytes()),
        Word::Bytes(binding.item.name().as_bytes()),
        Word::Number(binding.item.size() as u64),
    ];
    if binding.access == Access::Writable {
        words.push(Word::Bytes(b"WRITABLE"));
    }
    words
}

/// Writes a binding to the AOF.
pub fn write_to_aof(key: &Key<'_>, binding: &Binding) {
    let words = mmap_words(key.name(), binding);
    key.ctx().propagate(Audience::Aof, c"MMAP", &words);
}

/// Whether a replica may take this server for one that it knows, from a snapshot that is older than the files: after
/// a restart the stream goes on where the RDB file was saved, but the files hold what was written since.
static IS_AHEAD_OF_STREAM: AtomicBool = AtomicBool::new(false);

/// Why the files of this server, which follows a primary, may be neither what they were when its RDB file was saved nor
/// what the stream has made of them since.
static DOUBT: Mutex<Option<&str>> = Mutex::new(None);

/// The server loads an RDB file after which it could go on with its primary's stream; but it must not.
pub fn doubt_stream(why: &'static str) {
    if config::is_replica() {
        *DOUBT.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// Has this server synchronised in full, if there is a reason.
fn synchronise_in_full(ctx: &Ctx) {
    let Some(why) = DOUBT.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return;
    };
    let info = ctx.server_info(c"replication");
    let (Some(host), Some(port)) = (info.field(c"master_host"), info.field(c"master_port")) else {
        return;
    };
    if ctx.is_in_cluster() {
        tracing::warn!(
            "the files may not be what the primary's stream goes on from, as {why}: if the link to the primary is \
             resumed without a full synchronisation, stop this server, remove its RDB file and start it again"
        );
        return;
    }
    tracing::warn!(
        "the files may not be what the primary's stream goes on from, as {why}: full synchronisation"
    );
    // What has no history of its own has nothing to go on with.
    ctx.call(c"REPLICAOF", &[Word::Bytes(b"NO"), Word::Bytes(b"ONE")]);
    ctx.call(c"REPLICAOF", &[Word::Bytes(host), Word::Bytes(port)]);
}

/// Replicas may have come since the clock's last tick.
static REPLICAS_CHANGED: AtomicBool = AtomicBool::new(false);

/// The server has loaded its RDB file.
pub fn loaded_from_disk(ctx: &Ctx) {
    look_for_replicas(ctx);
    IS_AHEAD_OF_STREAM.store(true, Ordering::Relaxed);
}

/// Replicas come and go, the server is made a primary or a replica, or it forks.
pub extern "C" fn on_replicas_changed(
    raw_ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    guarded("a server event", || look_for_replicas(&Ctx::new(raw_ctx)));
    REPLICAS_CHANGED.store(true, Ordering::Relaxed);
}

/// The number of ticks of the server's clock between two looks whether replicas are gone for good.
const TICKS: u32 = 100;

/// The server's clock, ten times a second or as `hz` says.
pub fn tick(ctx: &Ctx) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // The first tick finds out what the configuration made of this server.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    if count == 0 || is_listening() && count.is_multiple_of(TICKS) {
        look_for_replicas(ctx);
    }
    synchronise_in_full(ctx);
    background::go_on(ctx);
    if is_listening() && !writes_are_paused() {
        send_what_the_stream_lacks(ctx);
    }
}

/// Sends contents anew of which replicas that go on with the stream may have others.
fn send_what_the_stream_lacks(ctx: &Ctx) {
    background::send_uncertain(ctx);
    // After a restart of this server, a replica may have gone on with its old stream.
    if REPLICAS_CHANGED.swap(false, Ordering::Relaxed)
        && IS_AHEAD_OF_STREAM.load(Ordering::Relaxed)
        // The server counts it only after it said that the replica is there.
        && ctx.server_info(c"stats").number(c"sync_partial_ok") > 0
    {
        IS_AHEAD_OF_STREAM.store(false, Ordering::Relaxed);
        for array in store().arrays() {
            fill::send_anew(ctx, &array);
        }
    }
}
