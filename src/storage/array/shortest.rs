//! How short arrays became while a forked child read their files.
//!
//! A child reads a file from beginning to end while its parent goes on. Where the parent cuts values off and appends others in
//! their place, the child reads a mixture of both, or zeros. What lies before the lowest end in that time was not touched.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use crate::storage::memory::words::SharedWords;

/// Of so many arrays that were opened one after the other each has words of its own. Where two have the same ones, one may
/// be considered shorter than it was.
const ARRAYS: usize = 16 << 10;

/// The lowest ends of all arrays, as positions, which dropping values from the head does not change.
pub(in crate::storage) struct Shortest {
    /// Two for each array: during which period, and the lowest end in it. `None` if there was no memory for them.
    words: Option<SharedWords>,
    /// A new period begins in the parent when it has forked, while the child stays in that before.
    period: AtomicU64,
    next: AtomicUsize,
}

impl Shortest {
    pub fn new() -> Self {
        let words = SharedWords::new(2 * ARRAYS).inspect_err(|error| {
            tracing::warn!("no memory is shared with children that save: {error}");
        });
        Self {
            words: words.ok(),
            period: AtomicU64::new(0),
            next: AtomicUsize::new(0),
        }
    }

    /// The number of another array.
    pub fn number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % ARRAYS
    }

    /// The process has forked.
    pub fn forked(&self) {
        self.period.fetch_add(1, Ordering::Relaxed);
    }

    /// An array is about to end at `end`, and ended behind that until now.
    pub fn note(&self, number: usize, end: u64) {
        let Some(words) = &self.words else { return };
        let (period, lowest) = (words.get(2 * number), words.get(2 * number + 1));
        let now = self.period.load(Ordering::Relaxed);
        if period.load(Ordering::Relaxed) == now {
            lowest.fetch_min(end, Ordering::Relaxed);
        } else {
            lowest.store(end, Ordering::Relaxed);
            period.store(now, Ordering::Release);
        }
        // Who reads what is appended next sees this, too.
        fence(Ordering::SeqCst);
    }

    /// For a child: the lowest end of an array since it was forked, if the array became shorter.
    pub fn since_fork(&self, number: usize) -> Option<u64> {
        fence(Ordering::SeqCst);
        let words = self.words.as_ref()?;
        let period = words.get(2 * number).load(Ordering::Acquire);
        let is_later = period > self.period.load(Ordering::Relaxed);
        is_later.then(|| words.get(2 * number + 1).load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child has the period of its parent before the fork.
    fn seen_by_child(shortest: &Shortest, number: usize) -> Option<u64> {
        let now = shortest.period.fetch_sub(1, Ordering::Relaxed);
        let seen = shortest.since_fork(number);
        shortest.period.store(now, Ordering::Relaxed);
        seen
    }

    #[test]
    fn the_lowest_end_since_a_fork_is_known_to_the_child() {
        let shortest = Shortest::new();
        let [a, b] = [(); 2].map(|()| shortest.number());
        shortest.note(a, 3);
        assert_eq!(shortest.since_fork(a), None, "there was no fork");
        shortest.forked();
        assert_eq!(seen_by_child(&shortest, a), None, "that was before");
        shortest.note(a, 9);
        assert_eq!(seen_by_child(&shortest, a), Some(9));
        shortest.note(a, 7);
        shortest.note(a, 8);
        assert_eq!(seen_by_child(&shortest, a), Some(7));
        assert_eq!(seen_by_child(&shortest, b), None);
        shortest.forked();
        assert_eq!(
            seen_by_child(&shortest, a),
            None,
            "that was for another child"
        );
    }
}
