//! No panic may cross into the server.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what the server calls back, into which no panic may go. `what` names it in the log.
pub fn guarded(what: &str, callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        tracing::error!("{what} panicked: this is a bug in the mmap module");
    }
}
