//! A clock that is cheap to read.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment, in steps of one to four milliseconds.
#[inline]
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
