//! The RDB file of a full synchronisation. It holds the values that the files of the replica hold, too, and stays where the server
//! keeps its own RDB file: until that is saved again, arrays take twice their room. So it is saved again, without values.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::redis::mode::phase::Phase;
use crate::redis::replication::missing;
use crate::redis::server::Ctx;
use crate::redis::settings::{self, RdbContents};

/// Fewer values than this, in bytes, may stay there.
const MUCH: u64 = 16 << 20;
/// Time between two attempts.
const PAUSE: Duration = Duration::from_secs(10);

/// Bytes of values that came so far in what is being loaded.
static RECEIVED: AtomicU64 = AtomicU64::new(0);
/// Bytes of values in the RDB file.
static IN_FILE: AtomicU64 = AtomicU64::new(0);
static LAST_ATTEMPT: Mutex<Option<Instant>> = Mutex::new(None);

/// Counts bytes of values that were read.
pub fn received(bytes: usize) {
    if Phase::now() == Phase::LoadingFromPrimary {
        RECEIVED.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// What the primary sent has been loaded.
pub fn loaded_from_primary() {
    let received = RECEIVED.swap(0, Ordering::Relaxed);
    IN_FILE.store(received, Ordering::Relaxed);
}

/// Has the server save its RDB file again, if there are many values in it for nothing.
pub fn tick(ctx: &Ctx) {
    if IN_FILE.load(Ordering::Relaxed) < MUCH || missing::is_catching_up() {
        return;
    }
    {
        let mut last = LAST_ATTEMPT.lock();
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        *last = Some(Instant::now());
    }
    if !is_kept(ctx) {
        IN_FILE.store(0, Ordering::Relaxed);
        return;
    }
    if ctx.is_saving() {
        return;
    }
    ctx.call(c"BGSAVE", &[]);
    if ctx.is_saving() {
        let bytes = IN_FILE.swap(0, Ordering::Relaxed);
        tracing::info!(
            "the RDB file of the synchronisation holds {bytes} bytes of values that are in their files, too: it is saved again \
             without them"
        );
    }
}

/// Whether the server keeps the RDB file that it was sent, and saves others without values.
fn is_kept(ctx: &Ctx) -> bool {
    settings::rdb_contents() != RdbContents::Yes
        && ctx.config_text(c"repl-diskless-load").as_deref() == Some(b"disabled")
        && ctx.config_text(c"rdb-del-sync-files").as_deref() == Some(b"no")
}
