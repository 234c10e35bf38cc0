//! The end of a command that wrote: who is told, and when.

use std::ffi::CStr;

use crate::redis::replication;
use crate::redis::replication::Change;
use crate::redis::server::{Ctx, Failure, Named, Outcome, Pending};
use crate::redis::store;
use crate::storage::{Bound, Error, Fsync};

/// Tells everybody else what a write did: clients that watch or cache the key, listeners, replicas.
#[inline]
pub fn announce(key: &Named<'_>, bound: &Bound, event: &CStr, change: Change<'_>) {
    key.signal_modified();
    key.notify(event);
    replication::wrote(key, bound, change);
}

/// Replies to a write that was carried out: at once, or when it is on disk, with `mmap.fsync always` or if more than
/// `mmap.max-dirty-bytes` wait for the disk.
pub fn reply_when_durable(
    ctx: &Ctx,
    bound: &Bound,
    reply: impl FnOnce(&Ctx) + Send + 'static,
) -> Outcome {
    reply_after_sync(ctx, bound, false, reply)
}

/// As [`reply_when_durable`], where the file may have got slack for the write that it is to lose again.
pub fn reply_when_durable_and_exact(
    ctx: &Ctx,
    bound: &Bound,
    reply: impl FnOnce(&Ctx) + Send + 'static,
) -> Outcome {
    reply_after_sync(ctx, bound, true, reply)
}

fn reply_after_sync(
    ctx: &Ctx,
    bound: &Bound,
    exact: bool,
    reply: impl FnOnce(&Ctx) + Send + 'static,
) -> Outcome {
    let store = store();
    if store.settings().fsync() != Fsync::Always {
        // The server itself is not to wait.
        if !store.is_behind() || !ctx.may_block() {
            reply(ctx);
            return Ok(());
        }
        store.stats().paced_writes.add_one();
    }
    sync_then(ctx, bound, exact, move |ctx, synced| {
        synced.map_err(|reason| {
            Failure::Message(format!(
                "the write was carried out but may not survive a power cut: {reason}"
            ))
        })?;
        reply(ctx);
        Ok(())
    })
}

/// Syncs and then replies. The client waits, the server does not; but where a client cannot be kept waiting
/// (`MULTI`, scripts, the link to the primary) the command itself syncs.
pub fn sync_then(
    ctx: &Ctx,
    bound: &Bound,
    exact: bool,
    reply: impl FnOnce(&Ctx, Result<(), String>) -> Outcome + Send + 'static,
) -> Outcome {
    if !ctx.may_block() {
        let synced = if exact {
            store().sync_exact(bound)
        } else {
            bound.sync()
        };
        return reply(ctx, synced.map_err(|e| e.to_string()));
    }
    let waiting = ctx.block();
    let done = move |synced: Result<(), &Error>| {
        let synced = synced.map_err(ToString::to_string);
        let pending: Pending = Box::new(move |ctx, _| reply(ctx, synced));
        waiting.end(pending);
    };
    store().sync_in_background(bound, exact, Box::new(done));
    Ok(())
}
