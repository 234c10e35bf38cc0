//! How much is written to an array: tells load from calm.
//!
//! **Invariant**: each write counts once, whichever way it took.

use std::time::{Duration, Instant};

use crate::storage::array::state::burst_limiter::BurstLimiter;

/// What comes sooner after what was before comes down a pipeline or from many clients: one client that waits for its replies needs
/// more than that.
const HURRY: Duration = Duration::from_micros(20);

/// What is known of the writes to an array.
#[derive(Debug)]
pub(in crate::storage) struct Load {
    writes: u64,
    burst: BurstLimiter,
    in_large_parts: bool,
    /// When a change in place was over for which an exact file was given slack.
    changed_at: Option<Instant>,
}

impl Load {
    /// Of an array that was opened just now.
    pub fn calm() -> Self {
        Self {
            writes: 0,
            burst: BurstLimiter::full(),
            in_large_parts: false,
            changed_at: None,
        }
    }

    /// Something was written.
    #[inline]
    pub fn wrote(&mut self) {
        self.writes += 1;
    }

    /// Number of writes so far.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// The average length of a write, if all of them wrote `bytes`.
    pub fn average(&self, bytes: u64) -> u64 {
        bytes / self.writes.max(1)
    }

    /// Whether an append of `bytes` is unhurried. It counts towards a burst.
    pub fn is_unhurried(&mut self, bytes: u64) -> bool {
        self.burst.take(bytes)
    }

    /// What comes in comes in large parts, or in small ones.
    pub fn comes_in(&mut self, large_parts: bool) {
        self.in_large_parts = large_parts;
    }

    /// Whether appends are large, as far as is known.
    pub fn comes_in_large_parts(&self) -> bool {
        self.in_large_parts
    }

    /// Whether a change in place comes right after the one before.
    pub fn are_changes_hurried(&self) -> bool {
        self.changed_at
            .is_some_and(|before| before.elapsed() < HURRY)
    }

    /// A change in place is over for which the file was given slack.
    pub fn changed(&mut self) {
        self.changed_at = Some(Instant::now());
    }

    /// A burst is over.
    pub fn calms(&mut self) {
        self.burst = BurstLimiter::full();
    }

    /// A burst goes on for the next hours.
    #[cfg(test)]
    pub fn bursts(&mut self) {
        self.burst = BurstLimiter::empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_of_all_writes_so_far() {
        let mut load = Load::calm();
        assert_eq!(load.average(80), 80);
        load.wrote();
        load.wrote();
        assert_eq!((load.average(80), load.writes()), (40, 2));
    }

    #[test]
    fn a_burst_is_hurried_until_it_is_over() {
        let mut load = Load::calm();
        load.bursts();
        assert!(!load.is_unhurried(8));
        load.calms();
        assert!(load.is_unhurried(8));
    }
}
