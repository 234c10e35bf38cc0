//! Tells a person typing commands from a burst.
//!
//! **Invariant**: there are at most as many tokens as a burst has.

use crate::storage::clock::now_ns;

/// Small exact appends that may come at once: more than anyone types or pipes in by hand.
const BURST: u64 = 256;
/// An append takes one more token per this number of bytes, up to [`HIGHEST_COST`] in total.
const BYTES_PER_TOKEN: u64 = 1024;
const HIGHEST_COST: u64 = 8;
/// One more token comes each millisecond.
const REFILL_NS: u64 = 1_000_000;

/// A token bucket over appends that set the file's length each (see "The two forms of a file" in `docs/design.md`):
/// while there are tokens the array is unhurried.
#[derive(Debug)]
pub struct BurstLimiter {
    tokens: u64,
    refilled_at: u64,
}

impl BurstLimiter {
    pub fn full() -> Self {
        Self {
            tokens: BURST,
            refilled_at: now_ns(),
        }
    }

    /// Of a burst that goes on for the next hours.
    #[cfg(test)]
    pub fn empty() -> Self {
        Self {
            tokens: 0,
            refilled_at: u64::MAX,
        }
    }

    /// Takes the tokens for an append of `bytes`; `false` if none was left.
    pub fn take(&mut self, bytes: u64) -> bool {
        self.take_at(now_ns(), (1 + bytes / BYTES_PER_TOKEN).min(HIGHEST_COST))
    }

    fn take_at(&mut self, now: u64, cost: u64) -> bool {
        let earned = now.saturating_sub(self.refilled_at) / REFILL_NS;
        if earned > 0 {
            self.tokens = (self.tokens + earned).min(BURST);
            self.refilled_at += earned * REFILL_NS;
        }
        let has_one = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(cost);
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_uses_it_up_and_time_refills_it() {
        let mut limiter = BurstLimiter {
            tokens: BURST,
            refilled_at: 0,
        };
        assert!((0..BURST).all(|_| limiter.take_at(0, 1)));
        assert!(!limiter.take_at(REFILL_NS - 1, 1));
        assert!(limiter.take_at(REFILL_NS, 1));
        assert!(!limiter.take_at(REFILL_NS, 1));
        assert!((0..BURST).all(|_| limiter.take_at(1_000 * REFILL_NS, 1)));
        assert!(!limiter.take_at(1_000 * REFILL_NS, 1));
    }
}
