//! Writes that may take long: they are done while only their client waits, and where a client cannot be kept
//! waiting (`MULTI`, scripts, the link to the primary) here and now.

use super::commit::reply_when_durable;
use crate::redis::api::{Ctx, Failure, Key, Outcome, Pending, on_main_thread};
use crate::redis::store;
use crate::storage::{Bound, Fsync, Result, Task};

/// Carries out a task and replies with the number of values that it set or removed; in the background if it is a
/// `long` one.
pub fn run(ctx: &Ctx, key: &Key<'_>, bound: &Bound, task: Task, long: bool) -> Outcome {
    if !long || !ctx.may_block() {
        let result = store().carry_out(bound, task);
        if may_have_written(&result) {
            key.signal_modified();
        }
        let values = result?;
        return reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(values));
    }
    let name = key.full_name();
    let array = bound.share();
    let waiting = ctx.block();
    let done = move |result: Result<u64>| {
        // With `mmap.fsync always` the reply comes after the disk's, and the disk is not the main thread's to wait for.
        let result = result.and_then(|values| {
            if store().settings().fsync() == Fsync::Always {
                array.sync()?;
            }
            Ok(values)
        });
        on_main_thread(Box::new(move || {
            if may_have_written(&result) {
                name.signal_modified();
            }
            let pending: Pending = Box::new(move |ctx| {
                ctx.reply_count(result.map_err(Failure::from)?);
                Ok(())
            });
            waiting.end(pending);
        }));
    };
    store().carry_out_in_background(bound, task, Box::new(done));
    Ok(())
}

/// A task that fails may have done a part of its work.
fn may_have_written(result: &Result<u64>) -> bool {
    !matches!(result, Ok(0))
}
