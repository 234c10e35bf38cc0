//! Whether the files of a server that follows a primary are those that its stream goes on from.

use parking_lot::Mutex;

use crate::redis::mode::role::is_replica;
use crate::redis::replication::synchronise::synchronise_again;
use crate::redis::server::Ctx;
use crate::redis::store;

/// Why the files of this server, which follows a primary, may be neither what they were when its RDB file was saved nor
/// what the stream has made of them since.
static DOUBT: Mutex<Option<&str>> = Mutex::new(None);

/// The server loads an RDB file after which it could go on with its primary's stream; but it must not.
pub fn doubt_stream(why: &'static str) {
    *DOUBT.lock() = Some(why);
}

/// Nothing is shown of arrays that may lack values.
fn doubt_all(why: &str) {
    for array in store().arrays() {
        array.doubt_contents(why);
    }
}

/// Has this server get all contents again, if it follows a primary and there is a reason.
pub fn resolve_doubt(ctx: &Ctx) {
    let Some(why) = DOUBT.lock().take() else {
        return;
    };
    if !is_replica() {
        return;
    }
    doubt_all(why);
    // In a Cluster a history cannot be given up: each array is asked for.
    if ctx.primary_in_cluster().is_none() {
        synchronise_again(ctx, why);
        // It was a primary for a moment, and as that it had what it had.
        doubt_all(why);
    }
}

/// Nothing is shown while it is in doubt: the server connects to its primary some time after it has loaded its data, and may
/// be asked before.
pub fn doubt_what_was_loaded() {
    let why = *DOUBT.lock();
    if is_replica() {
        why.into_iter().for_each(doubt_all);
    } else {
        // Which role it has was not known while it loaded.
        let arrays = store().arrays();
        arrays.iter().for_each(|array| array.trust_contents());
    }
}
