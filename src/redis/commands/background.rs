//! Writes that may take long: they are done while only their client waits, and where a client cannot be kept
//! waiting (`MULTI`, scripts, the link to the primary) here and now.

use super::commit::{announce, reply_when_durable};
use crate::redis::api::{Ctx, Failure, Key, Outcome, Pending, on_main_thread};
use crate::redis::replication::{self, Change, InBackground};
use crate::redis::store;
use crate::storage::{Bound, Fsync, Result, Task};

/// Carries out a task and replies with the number of values that it set or removed; in the background if it is a
/// `long` one.
pub fn run(ctx: &Ctx, key: &Key<'_>, bound: &Bound, task: Task, long: bool) -> Outcome {
    if !long || !ctx.may_block() {
        return run_here(ctx, key, bound, task);
    }
    let (event, work) = match &task {
        Task::Fill { range, .. } => (c"vfill", InBackground::Filled(range.clone())),
        Task::Trim(_) => (c"vtrim", InBackground::HeadDropped),
    };
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
                name.announce(event);
                replication::note_background_work(array, work);
            }
            let pending: Pending = Box::new(move |ctx, _| {
                replication::tell_of_background_work(ctx);
                ctx.reply_count(result.map_err(Failure::from)?);
                Ok(())
            });
            waiting.end(pending);
        }));
    };
    store().carry_out_in_background(bound, task, Box::new(done));
    Ok(())
}

/// Carries out a task while the server waits.
fn run_here(ctx: &Ctx, key: &Key<'_>, bound: &Bound, task: Task) -> Outcome {
    let filled = match &task {
        Task::Fill { range, value } => Some((range.clone(), value.clone())),
        Task::Trim(_) => None,
    };
    let result = store().carry_out(bound, task);
    if may_have_written(&result) {
        match &filled {
            Some((range, value)) => announce(key, bound, c"vfill", Change::Filled { range, value }),
            None => announce(key, bound, c"vtrim", Change::HeadDropped),
        }
    }
    let values = result?;
    reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(values))
}

/// A task that fails may have done a part of its work.
fn may_have_written(result: &Result<u64>) -> bool {
    !matches!(result, Ok(0))
}
