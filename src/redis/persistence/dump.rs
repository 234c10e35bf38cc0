//! How much `DUMP`, and so `MIGRATE`, can take along. The server builds a dump in memory, and `RESTORE` gets it as one
//! argument.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::redis::mode::phase::Phase;
use crate::redis::server::Ctx;
use crate::redis::server::memory as server_memory;
use crate::storage::Bound;
use crate::storage::memory::available as memory;

/// What a dump needs beside the values, and `RESTORE` beside the dump, in bytes: more than enough.
const REST: u64 = 1 << 20;
/// From how many bytes of values on it is looked whether there is memory for their dump: below, looking would take
/// longer than dumping.
const LARGE: u64 = 16 << 20;

/// Peak memory of a dump of `bytes` of values: the server copies it, into the reply or into the
/// command that `MIGRATE` sends. Measured were 2.0 to 2.04 times the bytes, for both, on Redis 7.0 and 8.0 and Valkey 9.1;
/// where the values compress well it is less.
fn peak_of(bytes: u64) -> u64 {
    bytes.saturating_mul(2).saturating_add(bytes / 16)
}

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
    let needed = peak_of(bytes);
    match memory::available() {
        Some(available) if bytes >= LARGE && needed > available => Err(format!(
            "file '{path}' holds {bytes} bytes: DUMP and MIGRATE would take {needed} bytes of memory, and {available} \
             are available"
        )),
        _ => server_memory::expect(needed).map_err(|failure| failure.to_string()),
    }
}
