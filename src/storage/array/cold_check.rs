//! Whether commands look if values are in RAM before they touch them.
//!
//! An array is *doubted* when some of its pages may not be in RAM: after it was opened, after this process waited for
//! a page, after pages were dropped. While it is, each command looks before it touches; once so many commands in a row
//! found all they needed, none looks any more.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many commands in a row must find all they need in RAM before an array is not doubted any more.
pub(in crate::storage) const LOOKS: u32 = 1000;

/// Number of commands that are still to look, and so whether an array is doubted.
#[derive(Debug)]
pub(in crate::storage) struct ColdCheck(AtomicU32);

impl ColdCheck {
    /// `true` for an array whose pages others may have written or dropped.
    pub fn new(doubted: bool) -> Self {
        Self(AtomicU32::new(if doubted { LOOKS } else { 0 }))
    }

    #[inline]
    pub fn is_due(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    pub fn renew(&self) {
        self.0.store(LOOKS, Ordering::Relaxed);
    }

    pub fn found_all(&self) {
        let less = |looks: u32| looks.checked_sub(1);
        // Only zero is not made less, and that is what it is to become.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}
