//! Slow work in `LATENCY`. The worker measures; the main thread, which alone may, tells the server.

use std::ffi::CStr;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::redis::server::Ctx;
use crate::redis::store;
use crate::storage::{Latency, Stats};

/// Which of the counters an event is about.
type Pick = fn(&Stats) -> &Latency;

/// The events, as `LATENCY` names them.
const EVENTS: [(&CStr, Pick); 4] = [
    (c"mmap-sync", |stats| &stats.sync_time),
    (c"mmap-growth", |stats| &stats.growth_time),
    (c"mmap-trim", |stats| &stats.trim_time),
    (c"mmap-wait", |stats| &stats.wait_time),
];

/// `latency-monitor-threshold` in milliseconds, which is 0 where nothing is monitored; negative until it was asked for.
static THRESHOLD: AtomicI64 = AtomicI64::new(-1);

/// The server's configuration has changed.
pub fn forget_threshold() {
    THRESHOLD.store(-1, Ordering::Relaxed);
}

/// Tells the server of the slowest work of each kind since the last call. Like its own, an event is there from
/// `latency-monitor-threshold` on.
pub fn report(ctx: &Ctx) {
    let stats = store().stats();
    for (name, latency) in EVENTS {
        let millis = (latency(stats).take_longest() / 1000).cast_signed();
        if millis > 0 && is_slow(ctx, millis) {
            ctx.add_latency_sample(name, millis);
        }
    }
}

fn is_slow(ctx: &Ctx, millis: i64) -> bool {
    let mut threshold = THRESHOLD.load(Ordering::Relaxed);
    if threshold < 0 {
        threshold = ctx
            .config_number(c"latency-monitor-threshold")
            .unwrap_or(0)
            .cast_signed();
        THRESHOLD.store(threshold, Ordering::Relaxed);
    }
    // The server compares the two as well, but treats a threshold of 0 as one that everything exceeds.
    threshold > 0 && millis >= threshold
}
