//! What replicas are told: by `VREPLICATE`, which says what an array holds now rather than what was asked for. So a
//! command that a replica gets twice, after a restart say, changes nothing the second time.
//!
//! | sent | means |
//! |---|---|
//! | `VREPLICATE key BIND path type size mode count head state identity` | the key leads to that file, of so many values |
//! | `VREPLICATE key SET position bytes [position bytes ...]` | from each position on, the values are these |
//! | `VREPLICATE key REPEAT position count bytes` | so many values are all this one |
//! | `VREPLICATE key LENGTH position` | there are no values from that position on |
//! | `VREPLICATE path HEAD position` | there are no values before that position |
//! | `VREPLICATE path FILL position bytes` | a part of the contents of a file that was there before it was bound |
//! | `VREPLICATE path FILLED position` | that was all, and there are no values from that position on |
//!
//! A position is the number of values that were ever before it: the index, and those that were dropped from the head.
//! Nothing of it goes into the AOF, which holds bindings alone.

use std::ffi::{CStr, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redis_module::raw;

use super::api::{Audience, Ctx, Key, ServerInfo, Word, guarded};
use super::binding::Binding;
use super::{config, store};
use crate::storage::{Access, Array, Bound};

/// The command by which replicas are told.
pub const COMMAND: &CStr = c"VREPLICATE";

/// How much of a file one `FILL` carries, in bytes.
const CHUNK: u64 = 1 << 20;
/// How many chunks are sent before the server serves its clients again.
const CHUNKS_AT_ONCE: usize = 4;
/// How much is sent ahead of what replicas have acknowledged, in bytes: their output buffers are bounded.
const WINDOW: u64 = 32 << 20;
/// Time between two looks at what can be sent, in milliseconds.
const PAUSE: i64 = 2;

/// Whether there is anybody to be told: a replica, or a backlog for one that comes back.
static LISTENING: AtomicBool = AtomicBool::new(false);
/// The files that are being sent. Only the main thread uses it.
static FILLS: Mutex<Vec<Fill>> = Mutex::new(Vec::new());

/// What a write did to an array.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// These are the last values now.
    Appended(&'a [u8]),
    /// From an index on, the values are these.
    Values { index: u64, bytes: &'a [u8] },
    /// The i-th index has the i-th value.
    Scattered { indices: &'a [u64], bytes: &'a [u8] },
    /// A range of indices has one value.
    Filled {
        range: &'a Range<u64>,
        value: &'a [u8],
    },
    /// Values were removed at the end.
    Shortened,
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
    LISTENING.store(is_primary && has_replicas, Ordering::Relaxed);
    config::set_replica(!is_primary);
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
    let Ok(mut view) = bound.view() else {
        // The key says what is wrong, and MMAP begins anew.
        return;
    };
    let (head, end) = (view.head(), view.head() + view.count());
    if matches!(change, Change::HeadDropped) {
        drop(view);
        return tell_head(key.ctx(), bound);
    }
    let size = bound.item().size();
    let name = Word::Bytes(key.name());
    let mut words = vec![name];
    // Another thread may have dropped values from the head at any moment since the last announcement, so that it is not
    // known which positions the indices meant. What the array holds at either is true in any case.
    let ambiguous = bound.announced_head() != head;
    let mut read_back: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut truth_at = |index: u64, values: u64| {
        for base in [bound.announced_head(), head] {
            let from = (base + index).max(head);
            let to = (base + index + values).min(end);
            let mut bytes = vec![0; to.saturating_sub(from) as usize * size];
            if !bytes.is_empty() && view.read(from - head, &mut bytes).is_ok() {
                read_back.push((from, bytes));
            }
        }
    };
    match change {
        Change::HeadDropped => {}
        Change::Shortened => words.extend([Word::Bytes(b"LENGTH"), Word::Number(end)]),
        Change::Appended(bytes) => words.extend([
            Word::Bytes(b"SET"),
            Word::Number(end - (bytes.len() / size) as u64),
            Word::Bytes(bytes),
        ]),
        Change::Filled { range, value } if !ambiguous => words.extend([
            Word::Bytes(b"REPEAT"),
            Word::Number(head + range.start),
            Word::Number(range.end - range.start),
            Word::Bytes(value),
        ]),
        Change::Values { index, bytes } if !ambiguous => words.extend([
            Word::Bytes(b"SET"),
            Word::Number(head + index),
            Word::Bytes(bytes),
        ]),
        Change::Scattered { indices, bytes } if !ambiguous => {
            words.push(Word::Bytes(b"SET"));
            for (&index, value) in indices.iter().zip(bytes.chunks_exact(size)) {
                words.extend([Word::Number(head + index), Word::Bytes(value)]);
            }
        }
        Change::Filled { range, .. } => truth_at(range.start, range.end - range.start),
        Change::Values { index, bytes } => truth_at(index, (bytes.len() / size) as u64),
        Change::Scattered { indices, .. } => indices.iter().for_each(|&index| truth_at(index, 1)),
    }
    drop(view);
    if !read_back.is_empty() {
        words.push(Word::Bytes(b"SET"));
        for (position, bytes) in &read_back {
            words.extend([Word::Number(*position), Word::Bytes(bytes)]);
        }
    }
    if words.len() > 1 {
        key.ctx().propagate(Audience::Replicas, COMMAND, &words);
    }
}

/// Tells replicas how many values were dropped from the head of an array so far.
fn tell_head(ctx: &Ctx, array: &Arc<Array>) {
    let head = array.head();
    array.announce_head(head);
    if is_listening() {
        let words = [
            Word::Bytes(array.path().as_bytes()),
            Word::Bytes(b"HEAD"),
            Word::Number(head),
        ];
        ctx.propagate(Audience::Replicas, COMMAND, &words);
    }
}

/// Arrays that another thread has changed, of which replicas are to be told. Only the main thread uses it.
static CHANGED: Mutex<Vec<(Arc<Array>, InBackground)>> = Mutex::new(Vec::new());

/// What another thread did to an array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InBackground {
    /// It removed values at the head.
    HeadDropped,
    /// It changed values of a range of indices in place.
    Filled(Range<u64>),
}

/// Notes what another thread did: replicas are told with the next [`tell_of_background_work`].
pub fn note_background_work(array: Arc<Array>, work: InBackground) {
    let mut changed = CHANGED.lock().unwrap_or_else(PoisonError::into_inner);
    changed.push((array, work));
}

/// Tells replicas of what was done in the background.
pub fn tell_of_background_work(ctx: &Ctx) {
    let changed = std::mem::take(&mut *CHANGED.lock().unwrap_or_else(PoisonError::into_inner));
    for (array, work) in changed {
        match work {
            InBackground::HeadDropped => tell_head(ctx, &array),
            // Others may have changed values in between: what it holds now is sent, piece by piece.
            InBackground::Filled(range) if is_listening() => {
                // Values may have been dropped from the head since; the first and last that can be meant are these.
                let from = array.announced_head() + range.start;
                send_in_background(ctx, Fill::new(&array, from, Some(array.head() + range.end)));
            }
            InBackground::Filled(_) => {}
        }
    }
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
    let count = array.published_count();
    let state: &[u8] = match (is_alone, count) {
        (false, _) => b"SHARED",
        (true, 0) => b"EMPTY",
        (true, _) => b"FILLING",
    };
    key.ctx().propagate(
        Audience::Replicas,
        COMMAND,
        &[
            Word::Bytes(key.name()),
            Word::Bytes(b"BIND"),
            Word::Bytes(binding.path.as_bytes()),
            Word::Bytes(binding.item.name().as_bytes()),
            Word::Number(binding.item.size() as u64),
            Word::Bytes(mode_word(binding.access)),
            Word::Number(count),
            Word::Number(array.head()),
            Word::Bytes(state),
            Word::Bytes(&array.id().on_this_machine()),
        ],
    );
    if state == b"FILLING" {
        fill(key.ctx(), array);
    }
}

/// The word for a mode in `VREPLICATE BIND`.
fn mode_word(access: Access) -> &'static [u8] {
    match access {
        Access::Writable => b"WRITABLE",
        Access::ReadOnly => b"READONLY",
    }
}

/// Writes a binding to the AOF, as `MMAP` would be typed.
pub fn write_to_aof(key: &Key<'_>, binding: &Binding) {
    let mut words = vec![
        Word::Bytes(key.name()),
        Word::Bytes(binding.path.as_bytes()),
        Word::Bytes(binding.item.name().as_bytes()),
        Word::Number(binding.item.size() as u64),
    ];
    if binding.access == Access::Writable {
        words.push(Word::Bytes(b"WRITABLE"));
    }
    key.ctx().propagate(Audience::Aof, c"MMAP", &words);
}

/// A file whose contents are being sent, piece by piece between other commands. As each piece says what the array
/// holds at that moment, writes in between do no harm.
struct Fill {
    array: Arc<Array>,
    /// The position from which on it is to be sent.
    next: u64,
    /// The position up to which; `None` for all, and to say that it was all.
    to: Option<u64>,
    /// Up to which position the worker was asked to read ahead, so that the main thread does not wait for a disk.
    asked: u64,
    /// Up to which position it has.
    read_ahead: Arc<AtomicU64>,
}

/// Sends all that an array holds to the replicas, in the background.
fn fill(ctx: &Ctx, array: &Arc<Array>) {
    fills().retain(|fill| fill.to.is_some() || fill.array.id() != array.id());
    send_in_background(ctx, Fill::new(array, array.head(), None));
}

fn send_in_background(ctx: &Ctx, fill: Fill) {
    let mut fills = fills();
    fills.push(fill);
    if fills.len() == 1 {
        set_timer(ctx);
    }
}

/// Sends the contents of all arrays anew, since it is not known what replicas have of them.
fn fill_all(ctx: &Ctx) {
    for array in store().arrays() {
        fill(ctx, &array);
    }
}

fn fills() -> std::sync::MutexGuard<'static, Vec<Fill>> {
    FILLS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set_timer(ctx: &Ctx) {
    // SAFETY: the context is valid during the callback; the timer takes no data.
    unsafe {
        raw::RedisModule_CreateTimer.unwrap()(ctx.raw(), PAUSE, Some(on_timer), ptr::null_mut())
    };
}

extern "C" fn on_timer(raw_ctx: *mut raw::RedisModuleCtx, _data: *mut c_void) {
    guarded("sending files to replicas", || {
        send_next(&Ctx::new(raw_ctx))
    });
}

/// Sends as much as replicas can take now, and sets the timer again while anything is left.
fn send_next(ctx: &Ctx) {
    let mut fills = fills();
    if !is_listening() {
        fills.clear();
        return;
    }
    if can_take_more(ctx) {
        for _ in 0..CHUNKS_AT_ONCE {
            let Some(fill) = fills.first_mut() else {
                break;
            };
            match fill.send_chunk(ctx) {
                Progress::Sent => {}
                Progress::Waits => break,
                Progress::Ended => drop(fills.remove(0)),
            }
        }
        // Replicas acknowledge once a second unless they are asked.
        ctx.propagate(
            Audience::Replicas,
            c"REPLCONF",
            &[Word::Bytes(b"GETACK"), Word::Bytes(b"*")],
        );
    }
    if !fills.is_empty() {
        set_timer(ctx);
    }
}

/// Whether replicas keep up. Where there is none at the moment, what is sent would only push out of the backlog what
/// one needs that comes back.
fn can_take_more(ctx: &Ctx) -> bool {
    let info = ctx.server_info(c"replication");
    let sent = info.number(c"master_repl_offset");
    replicas(&info)
        .iter()
        .filter(|replica| replica.state == b"online")
        .map(|replica| sent.saturating_sub(replica.acknowledged))
        .max()
        .is_some_and(|behind| behind < WINDOW)
}

enum Progress {
    Sent,
    /// The worker has not read that far yet.
    Waits,
    /// All is sent, or there is nothing to be sent any more.
    Ended,
}

impl Fill {
    fn new(array: &Arc<Array>, from: u64, to: Option<u64>) -> Self {
        Self {
            array: Arc::clone(array),
            next: from,
            to,
            asked: from,
            read_ahead: Arc::new(AtomicU64::new(from)),
        }
    }

    fn send_chunk(&mut self, ctx: &Ctx) -> Progress {
        let item_size = self.array.item().size() as u64;
        let per_chunk = (CHUNK / item_size).max(1);
        let is_bound = store()
            .find_by_id(self.array.id())
            .is_some_and(|array| Arc::ptr_eq(&array, &self.array));
        if !is_bound {
            return Progress::Ended;
        }
        let Ok(mut view) = self.array.view() else {
            // The key says what is wrong, and MMAP begins anew.
            return Progress::Ended;
        };
        let head = view.head();
        self.next = self.next.max(head);
        let end = head + view.count();
        let end = self.to.map_or(end, |to| to.min(end));
        let path = Word::Bytes(self.array.path().as_bytes());
        if self.next >= end {
            drop(view);
            if self.to.is_some() {
                return Progress::Ended;
            }
            let words = [path, Word::Bytes(b"FILLED"), Word::Number(end)];
            ctx.propagate(Audience::Replicas, COMMAND, &words);
            return Progress::Ended;
        }
        let values = per_chunk.min(end - self.next);
        if self.read_ahead.load(Ordering::Acquire) < self.next + values {
            drop(view);
            self.read_ahead(self.next + values, head);
            return Progress::Waits;
        }
        let mut bytes = vec![0; (values * item_size) as usize];
        if view.read(self.next - head, &mut bytes).is_err() {
            return Progress::Ended;
        }
        drop(view);
        let words = [
            path,
            Word::Bytes(b"FILL"),
            Word::Number(self.next),
            Word::Bytes(&bytes),
        ];
        ctx.propagate(Audience::Replicas, COMMAND, &words);
        self.next += values;
        Progress::Sent
    }

    /// Has the worker read the next chunks into the page cache.
    fn read_ahead(&mut self, needed: u64, head: u64) {
        if needed <= self.asked {
            return;
        }
        let item_size = self.array.item().size() as u64;
        let ahead = (CHUNK / item_size).max(1) * 2 * CHUNKS_AT_ONCE as u64;
        let upto = needed + ahead;
        let done = Arc::clone(&self.read_ahead);
        let from = self.asked.max(head) - head;
        store().read_ahead(
            &self.array,
            from * item_size..(upto - head) * item_size,
            Box::new(move || done.store(upto, Ordering::Release)),
        );
        self.asked = upto;
    }
}

/// Whether a replica may take this server for one that it knows, from a snapshot that is older than the files: after
/// a restart the stream goes on where the RDB file was saved, but the files hold what was written since.
static IS_AHEAD_OF_STREAM: AtomicBool = AtomicBool::new(false);

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
    tell_of_background_work(ctx);
    // The first tick finds out what the configuration made of this server.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    if count == 0 || is_listening() && count.is_multiple_of(TICKS) {
        look_for_replicas(ctx);
    }
    if is_listening() && REPLICAS_CHANGED.swap(false, Ordering::Relaxed) {
        send_what_the_stream_lacks(ctx);
    }
}

/// After a restart of this server, sends everything to a replica that went on with its old stream.
fn send_what_the_stream_lacks(ctx: &Ctx) {
    if IS_AHEAD_OF_STREAM.load(Ordering::Relaxed)
        // The server counts it only after it said that the replica is there.
        && ctx.server_info(c"stats").number(c"sync_partial_ok") > 0
    {
        IS_AHEAD_OF_STREAM.store(false, Ordering::Relaxed);
        fill_all(ctx);
    }
}
