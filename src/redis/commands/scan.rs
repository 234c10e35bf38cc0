//! Commands that go over many values: at once where that is quick, else on the pool.

use std::ops::Range;

use super::cold::must_wait;
use super::range::Wanted;
use crate::redis::api::{Ctx, Outcome, Resp};
use crate::redis::store;
use crate::storage::scan::{Query, scan};
use crate::storage::{Bound, Cancel};

/// Up to so many bytes are gone over at once, while the server waits: below 50 µs where they are in memory, which is
/// what it costs to wake another thread and be woken by it.
const AT_ONCE: u64 = 512 << 10;

/// Asks a query of a range and replies with what it answers. The client waits, the server does not; but where a
/// client cannot be kept waiting (`MULTI`, scripts) it is done here and now.
pub fn reply_from_scan<Q: Query>(
    ctx: &Ctx,
    bound: &Bound,
    wanted: Wanted,
    query: impl Fn() -> Q + Send + 'static,
    reply: impl FnOnce(&Ctx, Resp, Q::Answer) + Send + 'static,
) -> Outcome {
    let mut view = bound.view()?;
    let range = wanted.of(view.count());
    let Range { start, end } = range;
    let short = (end - start) * bound.item().size() as u64 <= AT_ONCE;
    if short && !must_wait(ctx, bound, &mut view, &range) || !ctx.may_block() {
        let answer = scan(&mut view, range, &query())?;
        drop(view);
        reply(ctx, ctx.resp(), answer);
        return Ok(());
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
