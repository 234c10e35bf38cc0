//! What replicas are told: by `VREPLICATE`, which says what an array holds now rather than what was asked for. So a
//! command that a replica gets twice, after a restart say, changes nothing the second time.
//!
//! | sent | means |
//! |---|---|
//! | `VREPLICATE key BIND/2 path type size mode count head state identity` | the key leads to that file, of so many values |
//! | `VREPLICATE key APPEND/2 position bytes` | from that position on, the values are these, and there are no more |
//! | `VREPLICATE key SET/2 position bytes [position bytes ...]` | from each position on, the values are these |
//! | `VREPLICATE key REPEAT/2 position count bytes` | so many values are all this one |
//! | `VREPLICATE key LENGTH/2 position` | there are no values from that position on |
//! | `VREPLICATE key HEAD/2 path position` | there are no values before that position |
//! | `VREPLICATE key FILL/2 path position bytes` | a part of the contents, which are sent by and by |
//! | `VREPLICATE key FILLED/2 path position` | that was all, and there are no values from that position on |
//! | `VREPLICATE key REFILL/2 path position count` | all contents follow again, from that position on; so many long writes have begun |
//! | `VREPLICATE key BEGIN/2 path`, `... END/2 path` | a long write begins; all of it was sent |
//! | `VREPLICATE mmap HOLDS/2 path head end [path head end ...]` | these are the positions of the first value of each file, and behind the last |
//! | `VREPLICATE mmap ONLINE/2` | a replica has joined; what comes from here on is new to all of them |
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

pub mod copy;
mod fill;
mod long_writes;
pub mod missing;
mod slots;

use std::ffi::{CStr, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use redis_module::raw;

use crate::redis::keys::binding::Binding;
use crate::redis::server::context::{
    Audience, Ctx, Key, ServerInfo, Word, guarded, writes_are_paused,
};
use crate::redis::{settings as config, store};
use crate::storage::{Access, Array, Bound, Extent, FilePath};

pub use crate::redis::replication::long_writes::{Kind, LongWrite, when_writes_go_on};
pub use fill::under_way as fills_under_way;
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
    // A node of a Cluster takes up the link to its primary after it has loaded its data.
    let is_primary =
        replication.field(c"role") == Some(b"master") && ctx.primary_in_cluster().is_none();
    let has_replicas = replication.number(c"connected_slaves") > 0
        || replication.number(c"repl_backlog_active") > 0;
    let is_heard = has_replicas || slots::are_exported();
    LISTENING.store(is_primary && is_heard, Ordering::Relaxed);
    match (config::set_replica(!is_primary), is_primary) {
        (true, true) => {
            missing::take_over();
            crate::redis::replication::long_writes::take_over();
        }
        (false, false) => {
            crate::redis::replication::long_writes::stop_all();
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
        Change::Shortened { end } => words.extend([Word::Bytes(b"LENGTH/2"), Word::Number(end)]),
        Change::Appended { end, bytes } => words.extend([
            Word::Bytes(b"APPEND/2"),
            Word::Number(end - (bytes.len() / size) as u64),
            Word::Bytes(bytes),
        ]),
        Change::Filled { positions, value } => words.extend([
            Word::Bytes(b"REPEAT/2"),
            Word::Number(positions.start),
            Word::Number(positions.end - positions.start),
            Word::Bytes(value),
        ]),
        Change::Values { position, bytes } => words.extend([
            Word::Bytes(b"SET/2"),
            Word::Number(position),
            Word::Bytes(bytes),
        ]),
        Change::Scattered {
            head,
            indices,
            bytes,
        } => {
            words.push(Word::Bytes(b"SET/2"));
            for (&index, value) in indices.iter().zip(bytes.chunks_exact(size)) {
                words.extend([Word::Number(head + index), Word::Bytes(value)]);
            }
        }
    }
    key.ctx().propagate(Audience::Replicas, COMMAND, &words);
}

/// Tells replicas how many values were dropped from the head of an array so far.
fn tell_head(ctx: &Ctx, key: &[u8], array: &Array) {
    tell_of_file(ctx, key, b"HEAD/2", array, &[Word::Number(array.head())]);
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

/// Sends a key and all of its file to replicas that could not use what they were sent.
fn bind_again(key: &Key<'_>, binding: &Binding) {
    let Ok(array) = binding.target_array() else {
        return;
    };
    if array.is_incomplete() || !is_listening() {
        return;
    }
    let Ok(moment) = array.moment() else {
        return;
    };
    let (extent, identity) = (moment.extent(), moment.identity());
    let words = bind_words(key.name(), binding, extent, b"AGAIN", &identity);
    key.ctx().propagate(Audience::Replicas, COMMAND, &words);
    fill::send_all(key.name(), array);
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
        Word::Bytes(b"BIND/2"),
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
    *DOUBT.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
}

/// Nothing is shown of arrays that may lack values.
fn doubt_all(why: &str) {
    for array in store().arrays() {
        array.doubt_contents(why);
    }
}

/// Has this server get all contents again, if it follows a primary and there is a reason.
fn resolve_doubt(ctx: &Ctx) {
    let Some(why) = DOUBT.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return;
    };
    if !config::is_replica() {
        return;
    }
    doubt_all(why);
    // In a Cluster a history cannot be given up: each array is asked for.
    if ctx.primary_in_cluster().is_none() {
        synchronise_again(ctx, why);
    }
}

/// Has this server synchronised in full.
fn synchronise_again(ctx: &Ctx, why: &str) {
    let info = ctx.server_info(c"replication");
    let (Some(host), Some(port)) = (info.field(c"master_host"), info.field(c"master_port")) else {
        return;
    };
    tracing::warn!(
        "the files may not be what the primary's stream goes on from, as {why}: full synchronisation"
    );
    missing::synchronise(ctx, host, port);
}

/// Replicas may have come since the clock's last tick.
static REPLICAS_CHANGED: AtomicBool = AtomicBool::new(false);

/// The server has loaded its RDB file.
pub fn loaded_from_disk(ctx: &Ctx) {
    look_for_replicas(ctx);
    missing::begin_to_catch_up();
    // The server connects to its primary later, and may be asked before.
    let why = *DOUBT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(why) = why.filter(|_| config::is_replica()) {
        doubt_all(why);
    }
    IS_AHEAD_OF_STREAM.store(true, Ordering::Relaxed);
}

/// The server has loaded what its primary has sent.
pub fn loaded_from_primary() {
    missing::begin_to_catch_up();
}

/// A replica is there that has not been told what files hold.
static REPLICA_JOINED: AtomicBool = AtomicBool::new(false);

/// Replicas come and go, the server is made a primary or a replica, or it forks.
pub extern "C" fn on_replicas_changed(
    raw_ctx: *mut raw::RedisModuleCtx,
    event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    if event.id == raw::REDISMODULE_EVENT_REPLICA_CHANGE
        && subevent == raw::REDISMODULE_SUBEVENT_REPLICA_CHANGE_ONLINE
    {
        REPLICA_JOINED.store(true, Ordering::Relaxed);
    }
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
    resolve_doubt(ctx);
    crate::redis::replication::long_writes::go_on(ctx);
    missing::tick(ctx);
    if is_listening() && !writes_are_paused() {
        send_what_the_stream_lacks(ctx);
    }
}

/// How many files one `HOLDS` tells of.
const FILES_AT_ONCE: usize = 1000;

/// Tells replicas which values each file holds, so that they find out whether their copies do; and that one which has joined
/// has had all that was written before.
fn tell_what_is_there(ctx: &Ctx) {
    let name = Word::Bytes(b"mmap");
    let arrays: Vec<_> = store()
        .arrays()
        .into_iter()
        // Others write the files that are only read here, and what another thread does is told of later.
        .filter(|array| {
            array.is_writable()
                && store().is_bound(array)
                && !array.is_incomplete()
                && array.unannounced() == 0
        })
        .collect();
    for arrays in arrays.chunks(FILES_AT_ONCE) {
        let mut words = vec![name, Word::Bytes(b"HOLDS/2")];
        for array in arrays {
            let (head, count) = (array.head(), array.published_count());
            words.extend([
                Word::Bytes(array.path().as_bytes()),
                Word::Number(head),
                Word::Number(head + count),
            ]);
        }
        ctx.propagate(Audience::Replicas, COMMAND, &words);
    }
    ctx.propagate(
        Audience::Replicas,
        COMMAND,
        &[name, Word::Bytes(b"ONLINE/2")],
    );
}

/// Sends contents anew of which replicas that go on with the stream may have others.
fn send_what_the_stream_lacks(ctx: &Ctx) {
    crate::redis::replication::long_writes::send_uncertain(ctx);
    missing::send_what_was_asked_for(ctx);
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
    // Of one that is still being sent a snapshot it is not known what it will have.
    if REPLICA_JOINED.load(Ordering::Relaxed) && !is_snapshot_for_replicas(ctx) {
        REPLICA_JOINED.store(false, Ordering::Relaxed);
        tell_what_is_there(ctx);
    }
}
