//! Commands that read many values: at once if that is quick, else on the pool.

use std::ops::Range;

use crate::redis::execution::cold::must_wait;
use crate::redis::execution::range::RequestedRange;
use crate::redis::server::{Ctx, Failure, Outcome, Resp};
use crate::redis::store;
use crate::storage::scan::background::{Query, scan};
use crate::storage::threads::pool::Job;
use crate::storage::types::ItemType;
use crate::storage::{Bound, Cancel};

/// Up to this many bytes are read while the server waits: below 50 µs where they are in memory, which is
/// what it costs to wake another thread and be woken by it.
const AT_ONCE: u64 = 512 << 10;

/// Up to this many answers are computed while the server waits.
const ANSWERS_AT_ONCE: u64 = 10_000;
/// The most bytes that are read, and the most answers, where the server has to wait: about a third of a second's
/// work.
pub const MOST_INLINE: u64 = 1 << 30;
const MOST_ANSWERS_INLINE: u64 = 1_000_000;

/// Asks a query of a range and replies with what it answers: `answers` values, or a number that is known at the end. The client
/// waits, the server does not. Where a client cannot be kept waiting (`MULTI`, scripts), the work is done here and now. If it
/// fails, nothing has been replied.
///
/// # Errors
/// If the array cannot be read, or where the server would have to wait for long.
pub fn reply_from_scan<Q: Query>(
    ctx: &Ctx,
    bound: &Bound,
    wanted: RequestedRange,
    answers: u64,
    query: impl Fn() -> Q + Send + 'static,
    reply: impl FnOnce(&Ctx, Resp, Q::Answer) -> Outcome + Send + 'static,
) -> Outcome {
    let mut view = bound.view()?;
    let range = wanted.of(view.count());
    let Range { start, end } = range;
    let bytes = (end - start) * bound.item().size() as u64;
    let short = bytes <= AT_ONCE && answers <= ANSWERS_AT_ONCE;
    if short && !must_wait(ctx, bound, &mut view, &range) || !ctx.may_block() {
        expect_inline(end - start, bound.item())?;
        expect_answers_inline(answers)?;
        let answer = scan(&mut view, range, &query())?;
        drop(view);
        return reply(ctx, ctx.resp(), answer);
    }
    drop(view);
    let cancel = Cancel::default();
    let waiting = ctx.block_with(&cancel);
    let done = move |answer| match answer {
        Ok(answer) => waiting.reply(|ctx, resp| reply(ctx, resp, answer)),
        Err(error) => waiting.fail(crate::storage::Error::into(error)),
    };
    store().scan_in_background(bound, move |count| wanted.of(count), query, cancel, done);
    Ok(())
}

/// Replies with `answers` for an empty range, on the pool if there are many.
///
/// # Errors
/// Where the server would have to wait for long, or as `reply`.
pub fn reply_with_answers(
    ctx: &Ctx,
    answers: u64,
    reply: impl FnOnce(&Ctx, Resp) -> Outcome + Send + 'static,
) -> Outcome {
    if answers <= ANSWERS_AT_ONCE || !ctx.may_block() {
        expect_answers_inline(answers)?;
        return reply(ctx, ctx.resp());
    }
    let cancel = Cancel::default();
    let waiting = ctx.block_with(&cancel);
    store().pool().queue().submit(Box::new(Once(move || {
        if !cancel.is_cancelled() {
            waiting.reply(reply);
        }
    })));
    Ok(())
}

/// A job of one step.
struct Once<F>(F);

impl<F: FnOnce() + Send> Job for Once<F> {
    fn step(self: Box<Self>) -> Option<Box<dyn Job>> {
        (self.0)();
        None
    }
}

/// Checks that `values` may be read while the server waits.
///
/// # Errors
/// If that takes too long.
pub fn expect_inline(values: u64, item: ItemType) -> Outcome {
    let most = MOST_INLINE / item.size() as u64;
    if values <= most {
        return Ok(());
    }
    Err(Failure::Message(format!(
        "in MULTI or a script the server waits for a command, and {values} values of type {item} would take long: \
         {most} are allowed there"
    )))
}

fn expect_answers_inline(answers: u64) -> Outcome {
    if answers <= MOST_ANSWERS_INLINE {
        return Ok(());
    }
    Err(Failure::Message(format!(
        "in MULTI or a script the server waits for a command, and {answers} answers would take long: \
         {MOST_ANSWERS_INLINE} are allowed there"
    )))
}
