//! Whose the end of a file is.
//!
//! **Invariant**: a thread that sets the length of an array's file has a [`LengthToken`], and gets one only while no other thread is
//! at the end of the file.

use crate::storage::files::calls::MaySetLength;

/// Whose the end of a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::storage) enum End {
    /// The holder of the lock may set the length.
    Free,
    /// The worker allocates space behind it. A thread that needs the end cancels that.
    Growing,
    /// The worker cuts the file. A thread that needs the end waits.
    Cutting,
}

/// The end of a file, and whose it is.
#[derive(Debug)]
pub(in crate::storage) struct Tail {
    end: End,
    /// Counts growths and their cancellations: a growth ends well only if its number still stands.
    growth: u64,
}

/// The right to set the length of the file of an array once.
#[derive(Debug)]
pub(in crate::storage) struct LengthToken(());

impl MaySetLength for LengthToken {}

impl Tail {
    pub fn new() -> Self {
        Self {
            end: End::Free,
            growth: 0,
        }
    }

    pub fn end(&self) -> End {
        self.end
    }

    /// Whether no other thread is working at the end.
    pub fn is_free(&self) -> bool {
        self.end == End::Free
    }

    /// The right to set the length, unless the worker is at the end: while it grows an exact file it changes no length, and
    /// while it grows one with slack, it does.
    pub fn may_set_length(&self, has_slack: bool) -> Option<LengthToken> {
        match self.end {
            End::Free => Some(LengthToken(())),
            End::Growing => (!has_slack).then_some(LengthToken(())),
            End::Cutting => None,
        }
    }

    /// The end is the worker's, which grows the file; the number of that growth.
    pub fn begin_growth(&mut self) -> u64 {
        self.end = End::Growing;
        self.growth += 1;
        self.growth
    }

    /// Whether the growth of that number was not called off.
    pub fn is_growth(&self, number: u64) -> bool {
        self.growth == number
    }

    /// Calls off the growth that is under way, if one is: what it allocated is to be cut.
    pub fn call_off_growth(&mut self) -> Option<LengthToken> {
        if self.end != End::Growing {
            return None;
        }
        self.growth += 1;
        Some(LengthToken(()))
    }

    /// The end is the worker's, which cuts the file.
    pub fn begin_cut(&mut self) -> LengthToken {
        self.end = End::Cutting;
        LengthToken(())
    }

    /// Gives the end back. Who waits for it is told by the lock.
    pub fn free(&mut self) {
        self.end = End::Free;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growth_that_is_called_off_has_no_number_any_more() {
        let mut tail = Tail::new();
        assert!(tail.call_off_growth().is_none());
        let number = tail.begin_growth();
        assert!(tail.is_growth(number));
        assert!(tail.call_off_growth().is_some());
        assert!(!tail.is_growth(number));
        tail.free();
        assert!(tail.is_free());
    }

    #[test]
    fn the_length_is_set_by_one_thread_at_a_time() {
        let mut tail = Tail::new();
        assert!(tail.may_set_length(true).is_some());
        tail.begin_growth();
        assert!(tail.may_set_length(true).is_none());
        assert!(tail.may_set_length(false).is_some());
        tail.free();
        let _cut = tail.begin_cut();
        assert!(tail.may_set_length(true).is_none() && tail.may_set_length(false).is_none());
    }
}
