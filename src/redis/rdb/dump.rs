//! How much `DUMP`, and so `MIGRATE`, can take along. The server builds a dump in memory, and `RESTORE` gets it as one
//! argument.

use std::sync::atomic::{AtomicU64, Ordering};

use super::phase::Phase;
use crate::redis::api::Ctx;
use crate::storage::{Bound, memory};

/// What a dump needs beside the values, and `RESTORE` beside the dump, in bytes: more than enough.
const REST: u64 = 1 << 20;
/// From how many bytes of values on it is looked whether there is memory for their dump: below, looking would take
/// longer than dumping.
const LARGE: u64 = 16 << 20;
/// How many times the bytes of the values a dump takes at its peak. The server lets it grow, which leaves holes, and
/// then copies it: into the reply, or into the command that `MIGRATE` sends. `docs/design.md` has what was measured.
const COPIES: u64 = 2;

/// How long an argument a server like this one takes, in bytes.
static LONGEST_ARGUMENT: AtomicU64 = AtomicU64::new(512 << 20);

/// Asks the server how long an argument it takes, at its start and when its configuration has changed. What it takes
/// itself is the best that is known of the server that a dump is for.
pub fn look_up_limit(ctx: &Ctx) {
    let settings = [c"proto-max-bulk-len", c"client-query-buffer-limit"];
    if let Some(limit) = settings
        .into_iter()
        .filter_map(|name| ctx.config_number(name))
        .min()
    {
        LONGEST_ARGUMENT.store(limit, Ordering::Relaxed);
    }
}

/// Whether the values can go along.
///
/// # Errors
/// Why not.
pub fn check(array: &Bound, phase: Phase) -> Result<(), String> {
    if phase != Phase::Idle {
        return Ok(());
    }
    let bytes = array.bytes_used();
    let path = array.path();
    let limit = LONGEST_ARGUMENT
        .load(Ordering::Relaxed)
        .saturating_sub(REST);
    if bytes > limit {
        return Err(format!(
            "file '{path}' holds {bytes} bytes, more than the {limit} that DUMP and MIGRATE take along: raise \
             proto-max-bulk-len and client-query-buffer-limit on this server and on the other"
        ));
    }
    let needed = COPIES.saturating_mul(bytes);
    match memory::available() {
        Some(available) if bytes >= LARGE && needed > available => Err(format!(
            "file '{path}' holds {bytes} bytes: DUMP and MIGRATE would take {needed} bytes of memory, and {available} \
             are available"
        )),
        _ => Ok(()),
    }
}
