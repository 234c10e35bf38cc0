//! A full synchronisation that a replica asks for: it gives up its history, and follows its primary again.

use std::sync::Arc;

use crate::redis::server::{Ctx, Word};
use crate::redis::store;
use crate::storage::Array;

/// Has this server synchronised in full, and says why.
pub fn synchronise_again(ctx: &Ctx, why: &str) {
    let info = ctx.server_info(c"replication");
    let (Some(host), Some(port)) = (info.field(c"master_host"), info.field(c"master_port")) else {
        return;
    };
    tracing::warn!(
        "the files may not match the replica's position in the stream, because {why}: requesting a full synchronisation"
    );
    synchronise(ctx, host, port);
}

/// Has this server synchronised in full by its primary.
fn synchronise(ctx: &Ctx, host: &[u8], port: &[u8]) {
    let is_doubted = |array: &Arc<Array>| array.completeness().is_in_doubt();
    let doubted: Vec<_> = store().arrays().into_iter().filter(is_doubted).collect();
    let why: Vec<_> = doubted.iter().map(|array| array.why_incomplete()).collect();
    // It is a primary for this moment alone.
    let followed = store().followed();
    // What has no history of its own has nothing to go on with.
    ctx.call(c"REPLICAOF", &[Word::Bytes(b"NO"), Word::Bytes(b"ONE")]);
    ctx.call(c"REPLICAOF", &[Word::Bytes(host), Word::Bytes(port)]);
    store().note_followed(&followed.unwrap_or_default());
    // As a primary it has trusted what it has.
    for (array, why) in doubted.iter().zip(why) {
        array.doubt_contents(&why);
    }
}
