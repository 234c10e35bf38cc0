//! Writes that may take long: they are done while only their client waits, and where a client cannot be kept
//! waiting (`MULTI`, scripts, the link to the primary) here and now.

use crate::redis::execution::commit::{announce, reply_when_durable};
use crate::redis::replication::{Change, LongWrite, LongWriteKind};
use crate::redis::server::{Ctx, Failure, Named, Outcome, Pending, on_main_thread};
use crate::redis::store;
use crate::storage::{Array, Bound, Cancel, Fsync, Task, TaskEnd};

/// Carries out a task and replies with the number of values that it set or removed; in the background if it is a
/// `long` one.
pub fn run(ctx: &Ctx, key: &Named<'_>, bound: &Bound, task: Task, long: bool) -> Outcome {
    if !long || !ctx.may_block() {
        return run_here(ctx, key, bound, task);
    }
    let (event, work) = match &task {
        Task::Fill { positions, .. } => (c"vfill", LongWriteKind::Fills(positions.clone())),
        Task::Trim(_) => (c"vtrim", LongWriteKind::DropsHead),
    };
    let name = key.full_name();
    let array = bound.share();
    let write = LongWrite::begin(key, bound.share(), work);
    let given_up = write.cancel.clone();
    // Also when its client goes away.
    let cancel = Cancel::also_by(&write.cancel);
    let task = match task {
        Task::Trim(trim) => Task::Trim(trim.asking(write.may_go(&cancel))),
        fill @ Task::Fill { .. } => fill,
    };
    let waiting = ctx.block_with(&cancel);
    let done = move |end: TaskEnd| {
        let TaskEnd {
            result,
            has_written,
        } = end;
        // With `mmap.fsync always` the reply comes after the disk's, and the disk is not the main thread's to wait for.
        let result = result.and_then(|values| {
            if store().settings().fsync() == Fsync::Always {
                array.sync()?;
            }
            Ok(values)
        });
        on_main_thread(Box::new(move || {
            if has_written {
                name.announce(event);
            }
            let pending: Pending = Box::new(move |ctx, _| {
                if given_up.is_cancelled() {
                    return Err(demoted(&array));
                }
                let values = result?;
                if !store().is_bound(&array) {
                    return Err(unbound(&array));
                }
                ctx.reply_count(values);
                Ok(())
            });
            write.end(has_written, Box::new(|| waiting.end(pending)));
        }));
    };
    store().carry_out_in_background(bound, task, cancel, Box::new(done));
    Ok(())
}

/// What another server does counts from now on, and it may not know of all of this.
fn demoted(array: &Array) -> Failure {
    Failure::Message(format!(
        "this server became a replica before all of this write to file '{}' was replicated: the new primary may \
         have all of it, a part, or nothing",
        array.path()
    ))
}

/// What was written is in the file, but the key is gone; in a Cluster the values may be elsewhere by now, without it.
fn unbound(array: &Array) -> Failure {
    Failure::Message(format!(
        "the key was deleted, or moved to another node, before this write to file '{}' was complete",
        array.path()
    ))
}

/// Carries out a task while the server waits.
fn run_here(ctx: &Ctx, key: &Named<'_>, bound: &Bound, task: Task) -> Outcome {
    let filled = match &task {
        Task::Fill { positions, value } => Some((positions.clone(), value.clone())),
        Task::Trim(_) => None,
    };
    let TaskEnd {
        result,
        has_written,
    } = store().carry_out(bound, task);
    if has_written {
        match &filled {
            // What was written before it failed is for the file to say.
            Some((positions, _)) if result.is_err() => {
                let kind = LongWriteKind::Fills(positions.clone());
                LongWrite::begin(key, bound.share(), kind).end(true, Box::new(|| ()));
            }
            Some((positions, value)) => {
                announce(key, bound, c"vfill", Change::Filled { positions, value });
            }
            None => announce(key, bound, c"vtrim", Change::HeadDropped),
        }
    }
    let values = result?;
    reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(values))
}
