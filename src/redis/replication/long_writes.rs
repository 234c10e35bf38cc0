//! Long writes, which other threads do: replicas are told of one when it has ended. They are told when it begins, too:
//! one that takes over in between has more of it or less than the former primary, which then follows it and is sent
//! that array again.
//!
//! Values at the head go only when replicas have been told of it, so that no server that is made a replica has dropped values
//! that the new primary has.
//!
//! While writes are paused (`CLIENT PAUSE`, `FAILOVER`, `SHUTDOWN` with replicas that lag) nothing may be sent: the server
//! ends itself by an assertion if anything is. What ends during a pause is replicated and answered when the pause is over.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

use crate::redis::mode::listening::is_listening;
use crate::redis::replication::fill;
use crate::redis::replication::fill::Then;
use crate::redis::replication::tell::{announce_end, tell_head, tell_of_file};
use crate::redis::server::{Ctx, Named, Word, after, on_main_thread, writes_are_paused};
use crate::redis::store;
use crate::storage::{Array, Cancel, MayGo};

/// What another thread does to an array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LongWriteKind {
    /// It removes values at the head.
    DropsHead,
    /// It changes values of a range of positions in place.
    Fills(Range<u64>),
}

/// A long write, from its begin on.
pub struct LongWrite {
    key: Box<[u8]>,
    array: Arc<Array>,
    kind: LongWriteKind,
    /// To stop it, when this server is no primary any more.
    pub cancel: Cancel,
    /// Whether replicas have been told what it is about to do.
    is_told: Arc<AtomicBool>,
}

/// A thread that asks whether values at the head may go, and waits for the answer.
struct Ask {
    key: Box<[u8]>,
    array: Arc<Array>,
    /// The position before which they are.
    position: u64,
    cancel: Cancel,
    is_told: Arc<AtomicBool>,
    answer: Sender<bool>,
}

/// A long write that has ended, of which replicas are to be told.
struct Ended {
    write: LongWrite,
    has_written: bool,
    then: Then,
}

/// What is under way, what is to be told, and what waits for the end of a pause. Only the main thread uses it.
struct Background {
    /// Stops all long writes that have begun since this server became a primary.
    cancel: Option<Cancel>,
    asks: Vec<Ask>,
    ended: Vec<Ended>,
    held: Vec<Then>,
    /// Since this server became a primary: arrays to which the former one has done more or less than is known here, until
    /// they are sent again.
    uncertain: Vec<Arc<Array>>,
}

static BACKGROUND: Mutex<Background> = Mutex::new(Background {
    cancel: None,
    asks: Vec::new(),
    ended: Vec::new(),
    held: Vec::new(),
    uncertain: Vec::new(),
});

impl LongWrite {
    /// Tells replicas that a long write begins.
    pub fn begin(key: &Named<'_>, array: Arc<Array>, kind: LongWriteKind) -> Self {
        let write = Self {
            key: key.name().into(),
            array,
            kind,
            cancel: BACKGROUND.lock().cancel.get_or_insert_default().clone(),
            is_told: Arc::default(),
        };
        write.array.set_unannounced(write.array.unannounced() + 1);
        tell_of_file(key.ctx(), &write.key, b"BEGIN/2", &write.array, &[]);
        write
    }

    /// How another thread finds out whether values at the head may go: not while writes are paused, nor after `cancel`.
    /// Replicas are told of it first.
    pub fn may_go(&self, cancel: &Cancel) -> MayGo {
        let (key, array) = (self.key.clone(), Arc::clone(&self.array));
        let (cancel, is_told) = (cancel.clone(), Arc::clone(&self.is_told));
        Box::new(move |position| {
            let (answer, answered) = bounded(1);
            let ask = Ask {
                key,
                array,
                position,
                cancel,
                is_told,
                answer,
            };
            on_main_thread(Box::new(move || {
                BACKGROUND.lock().asks.push(ask);
                after(0, Box::new(go_on));
            }));
            answered.recv().unwrap_or(false)
        })
    }

    /// It has ended: replicas are told of it, unless writes are paused as soon as they are not, and then `then` is
    /// done. On the main thread.
    pub fn end(self, has_written: bool, then: Then) {
        BACKGROUND.lock().ended.push(Ended {
            write: self,
            has_written,
            then,
        });
        // Here is no context by which to tell.
        after(0, Box::new(go_on));
    }
}

/// Tells replicas of values that are about to go at the head, and those who ask that they may.
fn answer_asks(ctx: &Ctx) {
    let asks = std::mem::take(&mut BACKGROUND.lock().asks);
    for ask in asks {
        let may_go = !ask.cancel.is_cancelled() && store().is_bound(&ask.array);
        if may_go {
            let position = [Word::Number(ask.position)];
            tell_of_file(ctx, &ask.key, b"HEAD/2", &ask.array, &position);
            ask.is_told.store(true, Ordering::Relaxed);
        }
        // The thread waits for it.
        let _ = ask.answer.send(may_go);
    }
}

fn tell_of_ended(ctx: &Ctx) {
    let ended = std::mem::take(&mut BACKGROUND.lock().ended);
    for Ended {
        write,
        has_written,
        then,
    } in ended
    {
        let LongWrite {
            key, array, kind, ..
        } = &write;
        match kind {
            // Another primary has taken over, and sends this array again; or no key has it any more, nor at replicas.
            _ if write.cancel.is_cancelled() || !store().is_bound(array) => {
                then();
                continue;
            }
            // One that joined after it was told of does not know.
            LongWriteKind::DropsHead if has_written => tell_head(ctx, key, array),
            // Replicas have dropped what is here.
            LongWriteKind::DropsHead if write.is_told.load(Ordering::Relaxed) => {
                announce_end(ctx, key, array);
                fill::resend(ctx, array);
                then();
                continue;
            }
            // Others may have changed values in between: what it holds now is sent, piece by piece.
            LongWriteKind::Fills(positions) if has_written && is_listening() => {
                fill::send_long_write(key, array, positions.clone(), then);
                continue;
            }
            _ => {}
        }
        announce_end(ctx, key, array);
        then();
    }
}

/// Does something now or, if writes are paused, when they are not.
pub fn when_writes_go_on(work: Then) {
    if writes_are_paused() {
        BACKGROUND.lock().held.push(work);
    } else {
        work();
    }
}

/// Tells and does what is to be told and done, unless writes are paused.
pub fn go_on(ctx: &Ctx) {
    if writes_are_paused() {
        return;
    }
    tell_of_ended(ctx);
    answer_asks(ctx);
    let held = std::mem::take(&mut BACKGROUND.lock().held);
    for work in held {
        work();
    }
}

/// This server follows a primary from now on: what is there changes by its word alone.
pub fn stop_all() {
    let mut background = BACKGROUND.lock();
    if let Some(cancel) = background.cancel.take() {
        cancel.cancel();
    }
    for array in background.uncertain.drain(..) {
        array.set_resent(true);
    }
}

/// This server is a primary from now on. What counts as unannounced until here is of its former primary, which has done
/// more or less than is known here; what begins from here on is its own.
pub fn take_over() {
    let mut background = BACKGROUND.lock();
    for array in store().arrays() {
        if array.unannounced() > 0 || array.is_resent() {
            array.set_unannounced(0);
            array.set_resent(false);
            background.uncertain.push(array);
        }
    }
}

/// Sends the contents of uncertain arrays again.
pub fn send_uncertain(ctx: &Ctx) {
    let uncertain = std::mem::take(&mut BACKGROUND.lock().uncertain);
    for array in uncertain {
        if store().is_bound(&array) {
            fill::resend(ctx, &array);
        }
    }
}
