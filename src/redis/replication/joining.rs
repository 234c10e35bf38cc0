//! What replicas are sent that join, or go on with a stream that lacks something.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::redis::mode::listening::is_snapshot_for_replicas;
use crate::redis::replication::message::COMMAND;
use crate::redis::replication::{fill, long_writes, missing};
use crate::redis::server::{Audience, Ctx, Word};
use crate::redis::store;

/// Whether a replica may continue with this server's stream although the files are ahead of it: after a restart the stream
/// continues where the RDB file was saved, but the files hold what was written since.
static IS_AHEAD_OF_STREAM: AtomicBool = AtomicBool::new(false);

/// Replicas may have come since the clock's last tick.
static REPLICAS_CHANGED: AtomicBool = AtomicBool::new(false);

/// A replica is there that has not been told what files hold.
static REPLICA_JOINED: AtomicBool = AtomicBool::new(false);

/// How many files one `HOLDS` tells of.
const FILES_AT_ONCE: usize = 1000;

/// Tells replicas which values each file holds, so that they find out whether their copies do; and that one which has joined
/// has had all that was written before, and which contents are on their way.
fn tell_what_is_there(ctx: &Ctx) {
    let name = Word::Bytes(b"mmap");
    let arrays: Vec<_> = store()
        .arrays()
        .into_iter()
        // Others write the files that are only read here, and what another thread does is told of later.
        .filter(|array| {
            array.is_writable()
                && store().is_bound(array)
                && !array.is_incomplete()
                && array.unannounced() == 0
        })
        .collect();
    for arrays in arrays.chunks(FILES_AT_ONCE) {
        let mut words = vec![name, Word::Bytes(b"HOLDS/2")];
        for array in arrays {
            let (head, count) = (array.head(), array.published_count());
            words.extend([
                Word::Bytes(array.path().as_bytes()),
                Word::Number(head),
                Word::Number(head + count),
            ]);
        }
        ctx.propagate(Audience::Replicas, COMMAND, &words);
    }
    let on_their_way = fill::on_their_way();
    let paths = on_their_way.iter().map(|array| array.path().as_bytes());
    let words = [name, Word::Bytes(b"ONLINE/2")].into_iter();
    let words: Vec<_> = words.chain(paths.map(Word::Bytes)).collect();
    ctx.propagate(Audience::Replicas, COMMAND, &words);
}

/// Sends the contents again that may differ on replicas which continue with the stream.
pub fn send_what_the_stream_lacks(ctx: &Ctx) {
    long_writes::send_uncertain(ctx);
    missing::send_what_was_asked_for(ctx);
    // After a restart of this server, a replica may have gone on with its old stream.
    if REPLICAS_CHANGED.swap(false, Ordering::Relaxed)
        && IS_AHEAD_OF_STREAM.load(Ordering::Relaxed)
        // The server counts it only after it said that the replica is there.
        && ctx.server_info(c"stats").number(c"sync_partial_ok") > 0
    {
        IS_AHEAD_OF_STREAM.store(false, Ordering::Relaxed);
        for array in store().arrays() {
            fill::resend(ctx, &array);
        }
    }
    // Of one that is still being sent a snapshot it is not known what it will have.
    if REPLICA_JOINED.load(Ordering::Relaxed) && !is_snapshot_for_replicas(ctx) {
        REPLICA_JOINED.store(false, Ordering::Relaxed);
        tell_what_is_there(ctx);
    }
}

/// The server has loaded its RDB file, which may be older than its files.
pub fn loaded_from_disk() {
    IS_AHEAD_OF_STREAM.store(true, Ordering::Relaxed);
}

/// A replica has joined.
pub fn replica_joined() {
    REPLICA_JOINED.store(true, Ordering::Relaxed);
}

/// Replicas come or go, or may have.
pub fn replicas_changed() {
    REPLICAS_CHANGED.store(true, Ordering::Relaxed);
}
