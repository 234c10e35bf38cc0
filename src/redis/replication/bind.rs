//! What the AOF and replicas are told of a key that is bound.

use crate::redis::keys::binding::Binding;
use crate::redis::mode::listening::is_listening;
use crate::redis::replication::fill;
use crate::redis::replication::message::{COMMAND, bind_words, mmap_words};
use crate::redis::server::{Audience, Ctx, Named};
use crate::storage::Bound;

/// Tells the AOF and replicas that a key was bound. `is_alone` says whether no other key had the file already;
/// the replicas are sent what it holds then.
pub fn bound(key: &Named<'_>, binding: &Binding, is_alone: bool) {
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
    let (identity, extent) = (moment.identity(), moment.span());
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
        fill::resend(key.ctx(), array);
    }
}

/// Sends a key and all of its file to replicas that could not use what they were sent.
pub fn bind_again(key: &Named<'_>, binding: &Binding) {
    let Ok(array) = binding.target_array() else {
        return;
    };
    if array.is_incomplete() || !is_listening() {
        return;
    }
    let Ok(moment) = array.moment() else {
        return;
    };
    let (extent, identity) = (moment.span(), moment.identity());
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

/// Writes a binding to the AOF.
pub fn write_to_aof(key: &Named<'_>, binding: &Binding) {
    let words = mmap_words(key.name(), binding);
    key.ctx().propagate(Audience::Aof, c"MMAP", &words);
}
