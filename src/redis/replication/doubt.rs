//! Whether the files of a server that follows a primary are those that its stream goes on from.

use std::sync::{Mutex, PoisonError};

use crate::redis::mode::role::is_replica;
use crate::redis::replication::missing;
use crate::redis::server::Ctx;
use crate::redis::store;

/// Why the files of this server, which follows a primary, may be neither what they were when its RDB file was saved nor
/// what the stream has made of them since.
static DOUBT: Mutex<Option<&str>> = Mutex::new(None);

/// The server loads an RDB file after which it could go on with its primary's stream; but it must not.
pub fn doubt_stream(why: &'static str) {
    *DOUBT.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
}

/// Nothing is shown of arrays that may lack values.
fn doubt_all(why: &str) {
    for array in store().arrays() {
        array.doubt_contents(why);
    }
}

/// Has this server get all contents again, if it follows a primary and there is a reason.
pub fn resolve_doubt(ctx: &Ctx) {
    let Some(why) = DOUBT.lock().unwrap_or_else(PoisonError::into_inner).take() else {
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

/// Has this server synchronised in full.
pub fn synchronise_again(ctx: &Ctx, why: &str) {
    let info = ctx.server_info(c"replication");
    let (Some(host), Some(port)) = (info.field(c"master_host"), info.field(c"master_port")) else {
        return;
    };
    tracing::warn!(
        "the files may not match the replica's position in the stream, because {why}: requesting a full synchronisation"
    );
    missing::synchronise(ctx, host, port);
}

/// Nothing is shown while it is in doubt: the server connects to its primary some time after it has loaded its data, and may
/// be asked before.
pub fn doubt_what_was_loaded() {
    let why = *DOUBT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(why) = why.filter(|_| is_replica()) {
        doubt_all(why);
    }
}
