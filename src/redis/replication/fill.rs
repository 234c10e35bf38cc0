//! Contents of files on their way to replicas: piece by piece, between other commands. As each piece says what the array
//! holds at that moment, writes in between do no harm.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::redis::mode::listening::{are_slots_exported, is_listening, replicas};
use crate::redis::replication::tell::{announce_end, tell_of_file};
use crate::redis::server::{Audience, Ctx, Word, after, writes_are_paused};
use crate::redis::store;
use crate::storage::{Array, Completeness, Span};

/// How much of a file one `FILL` carries, in bytes.
const CHUNK: u64 = 1 << 20;
/// How many chunks are sent before the server serves its clients again.
const CHUNKS_AT_ONCE: usize = 4;
/// How much is sent ahead of what replicas have acknowledged, in bytes: their output buffers are bounded.
const WINDOW: u64 = 32 << 20;
/// Time between two looks at what can be sent, in milliseconds.
const PAUSE: i64 = 2;
/// The same while writes are paused, or there is no replica.
const LONG_PAUSE: i64 = 50;

/// What is done on the main thread at some later time.
pub type Then = Box<dyn FnOnce() + Send>;

/// The files that are being sent. Only the main thread uses it.
static FILLS: Mutex<Vec<Fill>> = Mutex::new(Vec::new());

/// Whether the timer is set that sends the next part of them.
static IS_TIMER_SET: AtomicBool = AtomicBool::new(false);

/// A file whose contents are being sent.
struct Fill {
    array: Arc<Array>,
    /// A key that is or was bound to it, which says in what slot of a Cluster the array is.
    key: Box<[u8]>,
    /// The position from which on it is to be sent.
    next: u64,
    part: Portion,
    /// Up to which position values were asked to be in RAM, so that the main thread does not wait for a disk.
    asked: u64,
    /// Up to which position they are.
    read_ahead: Arc<AtomicU64>,
    /// What is to be done when it was sent.
    then: Option<Then>,
}

/// How much of an array is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Portion {
    /// All, and that this was all.
    All,
    /// What a long write has changed, up to this position, and that this was all of that write.
    LongWrite { to: u64 },
}

enum Sending {
    Sent,
    /// It is not read that far yet.
    Waits,
    /// All is sent, or there is nothing to be sent any more.
    Ended,
    /// No key is bound to that array any more.
    Unbound,
}

/// Sends all that an array holds, which replicas have made room for.
pub fn send_all(key: &[u8], array: &Arc<Array>) {
    FILLS
        .lock()
        .retain(|fill| fill.part != Portion::All || fill.array.id() != array.id());
    send(Fill::new(array, key, array.head(), Portion::All));
}

/// Whether all that an array holds is on its way.
pub fn is_being_sent(array: &Array) -> bool {
    let is_it = |fill: &Fill| fill.part == Portion::All && fill.array.id() == array.id();
    FILLS.lock().iter().any(is_it)
}

/// The arrays of which all is on its way to replicas: this server sends them, or passes on what comes for them.
pub fn on_their_way() -> Vec<Arc<Array>> {
    let arrays = store().arrays().into_iter();
    arrays
        .filter(|array| array.completeness() == Completeness::Filling || is_being_sent(array))
        .collect()
}

/// Sends all that an array holds to replicas that may hold anything else.
pub fn resend(ctx: &Ctx, array: &Arc<Array>) {
    if array.is_incomplete() {
        // What is missing here may be elsewhere: it is not to be overwritten.
        return;
    }
    let path = array.path().as_bytes();
    let begun = [array.head(), array.unannounced().into()].map(Word::Number);
    tell_of_file(ctx, path, b"REFILL/2", array, &begun);
    send_all(path, array);
}

/// Sends what a long write has changed and that it has ended, and then does `then`; without waiting for replicas that are
/// not there.
pub fn send_long_write(key: &[u8], array: &Arc<Array>, range: Range<u64>, then: Then) {
    let mut fill = Fill::new(
        array,
        key,
        range.start,
        Portion::LongWrite { to: range.end },
    );
    fill.then = Some(then);
    send(fill);
}

fn send(fill: Fill) {
    let mut fills = FILLS.lock();
    fills.push(fill);
    set_timer(PAUSE);
}

/// How many files are on their way to replicas, and how many bytes of them have not been sent.
pub fn under_way() -> (u64, u64) {
    let fills = FILLS.lock();
    let left = fills.iter().map(|fill| {
        let end = fill.array.head() + fill.array.published_count();
        let end = match fill.part {
            Portion::All => end,
            Portion::LongWrite { to } => to.min(end),
        };
        end.saturating_sub(fill.next) * fill.array.item().size() as u64
    });
    (fills.len() as u64, left.sum())
}

/// Sends nothing more of all that is under way.
pub fn stop_all() {
    let stopped = std::mem::take(&mut *FILLS.lock());
    stopped.into_iter().for_each(Fill::end);
}

/// Has more sent later, unless that is to be done already.
fn set_timer(milliseconds: i64) {
    if !IS_TIMER_SET.swap(true, Ordering::Relaxed) {
        after(milliseconds, Box::new(send_next));
    }
}

/// Sends as much as replicas can take now, and sets the timer again while anything is left.
fn send_next(ctx: &Ctx) {
    IS_TIMER_SET.store(false, Ordering::Relaxed);
    if !is_listening() {
        return stop_all();
    }
    let mut fills = FILLS.lock();
    if writes_are_paused() {
        return set_timer(LONG_PAUSE);
    }
    let mut unbound = Vec::new();
    let (chunks, pause) = pace(ctx);
    if pause == LONG_PAUSE {
        let waiting = fills.iter_mut().filter_map(|fill| fill.then.take());
        waiting.for_each(|then| then());
    }
    if chunks > 0 {
        for _ in 0..chunks {
            let Some(fill) = fills.first_mut() else {
                break;
            };
            match fill.send_chunk(ctx) {
                Sending::Sent => {}
                Sending::Waits => break,
                end @ (Sending::Ended | Sending::Unbound) => {
                    let fill = fills.remove(0);
                    if matches!(end, Sending::Unbound) {
                        unbound.push(fill.array.path().clone());
                    }
                    if fill.part != Portion::All {
                        announce_end(ctx, &fill.key, &fill.array);
                    }
                    fill.end();
                }
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
        set_timer(pause);
    }
    drop(fills);
    // Its key may have been loaded again (DEBUG RELOAD), and replicas go on to wait for the rest.
    for path in unbound {
        if let Ok(Some(array)) = store().find(&path)
            && store().is_bound(&array)
            && !is_being_sent(&array)
        {
            resend(ctx, &array);
        }
    }
}

/// How many chunks may be sent now, and when to look again. Replicas say how far they are. Where there is none at the
/// moment, what is sent would only push out of the backlog what one needs that comes back. A node that takes slots over
/// says nothing of that kind, so that it gets 20 MB a second.
fn pace(ctx: &Ctx) -> (usize, i64) {
    let info = ctx.server_info(c"replication");
    let sent = info.number(c"master_repl_offset");
    replicas(&info)
        .iter()
        .filter(|replica| replica.state == b"online")
        .map(|replica| sent.saturating_sub(replica.acknowledged))
        .max()
        .map_or_else(
            || (usize::from(are_slots_exported()), LONG_PAUSE),
            |behind| (if behind < WINDOW { CHUNKS_AT_ONCE } else { 0 }, PAUSE),
        )
}

impl Fill {
    fn new(array: &Arc<Array>, key: &[u8], from: u64, part: Portion) -> Self {
        Self {
            array: Arc::clone(array),
            key: key.into(),
            next: from,
            part,
            asked: from,
            read_ahead: Arc::new(AtomicU64::new(from)),
            then: None,
        }
    }

    fn end(self) {
        if let Some(then) = self.then {
            then();
        }
    }

    fn send_chunk(&mut self, ctx: &Ctx) -> Sending {
        let item_size = self.array.item().size() as u64;
        let per_chunk = (CHUNK / item_size).max(1);
        if !store().is_bound(&self.array) {
            return Sending::Unbound;
        }
        let Ok(mut view) = self.array.view() else {
            // The key answers with the error, and MMAP starts a new fill.
            return Sending::Ended;
        };
        let Span { head, count } = view.span();
        self.next = self.next.max(head);
        let end = head + count;
        let end = match self.part {
            Portion::All => end,
            Portion::LongWrite { to } => to.min(end),
        };
        if self.next >= end {
            drop(view);
            if self.part == Portion::All {
                self.tell(ctx, b"FILLED/2", &[Word::Number(end)]);
            }
            return Sending::Ended;
        }
        let values = per_chunk.min(end - self.next);
        if self.read_ahead.load(Ordering::Acquire) < self.next + values {
            drop(view);
            self.read_ahead(self.next + values, head);
            return Sending::Waits;
        }
        let mut bytes = vec![0; (values * item_size) as usize];
        if view.read(self.next - head, &mut bytes).is_err() {
            return Sending::Ended;
        }
        drop(view);
        let piece = [Word::Number(self.next), Word::Bytes(&bytes)];
        self.tell(ctx, b"FILL/2", &piece);
        self.next += values;
        Sending::Sent
    }

    /// Tells replicas something of the file.
    fn tell(&self, ctx: &Ctx, operation: &[u8], what: &[Word<'_>]) {
        tell_of_file(ctx, &self.key, operation, &self.array, what);
    }

    /// Has the next chunks read into the page cache.
    fn read_ahead(&mut self, needed: u64, head: u64) {
        if needed <= self.asked {
            return;
        }
        let item_size = self.array.item().size() as u64;
        let ahead = (CHUNK / item_size).max(1) * 2 * CHUNKS_AT_ONCE as u64;
        let upto = needed + ahead;
        let done = Arc::clone(&self.read_ahead);
        let values = self.asked.max(head) - head..upto - head;
        store().read_ahead(&self.array, values, move || {
            done.store(upto, Ordering::Release);
        });
        self.asked = upto;
    }
}
