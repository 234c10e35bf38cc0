//! What becomes of an array while it is copied without its head.
//!
//! **Invariant**: every byte that was written since the last round lies in what the next one is told, and so is the least number
//! of values that there were since then and since the begin. One trim at a time is watched: the one that began last.

use std::ops::Range;

/// What happens to an array while it is copied.
#[derive(Debug, Default)]
pub(in crate::storage) struct Watch {
    /// Number of trims that were begun.
    begun: u64,
    copied: Option<Copied>,
}

#[derive(Debug)]
struct Copied {
    /// Of which trim it is.
    trim: u64,
    /// What was written, in bytes from the begin of the file; empty if nothing was.
    written: Range<u64>,
    /// The least number of values there were, since the last round and ever.
    lowest: u64,
    lowest_ever: u64,
}

/// What happened since the last round of a copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::storage) struct Round {
    /// What was written, in bytes from the begin of the file; empty if nothing was.
    pub written: Range<u64>,
    /// The least number of values there were, since the last round and ever.
    pub lowest: u64,
    pub lowest_ever: u64,
}

impl Watch {
    /// A trim begins, of an array that has `count` values left; its number. It is watched if a head is to go.
    pub fn begin(&mut self, has_head: bool, count: u64) -> u64 {
        self.begun += 1;
        if has_head {
            self.copied = Some(Copied {
                trim: self.begun,
                written: 0..0,
                lowest: count,
                lowest_ever: count,
            });
        }
        self.begun
    }

    /// Whether a head is being removed.
    pub fn is_on(&self) -> bool {
        self.copied.is_some()
    }

    /// The trim of that number has ended.
    pub fn end(&mut self, trim: u64) {
        self.copied.take_if(|copied| copied.trim == trim);
    }

    /// Bytes were written.
    #[inline]
    pub fn wrote(&mut self, bytes: Range<u64>) {
        if let Some(copied) = &mut self.copied {
            copied.wrote(bytes);
        }
    }

    /// The array has become shorter, and has `count` values now.
    pub fn shortened(&mut self, count: u64) {
        if let Some(copied) = &mut self.copied {
            copied.lowest = copied.lowest.min(count);
            copied.lowest_ever = copied.lowest_ever.min(count);
        }
    }

    /// What happened since the last round of the trim of that number, of an array that has `count` values now; `None` if another
    /// one is watched by now.
    pub fn take_round(&mut self, trim: u64, count: u64) -> Option<Round> {
        let copied = self.copied.as_mut().filter(|copied| copied.trim == trim)?;
        Some(Round {
            written: std::mem::replace(&mut copied.written, 0..0),
            lowest: std::mem::replace(&mut copied.lowest, count),
            lowest_ever: copied.lowest_ever,
        })
    }
}

impl Copied {
    #[cold]
    fn wrote(&mut self, bytes: Range<u64>) {
        self.written = if self.written.is_empty() {
            bytes
        } else {
            self.written.start.min(bytes.start)..self.written.end.max(bytes.end)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_told_of_all_since_the_one_before() {
        let mut watch = Watch::default();
        let trim = watch.begin(true, 10);
        watch.wrote(40..48);
        watch.wrote(8..16);
        watch.shortened(3);
        let round = watch.take_round(trim, 7).unwrap();
        assert_eq!(
            (round.written, round.lowest, round.lowest_ever),
            (8..48, 3, 3)
        );
        let round = watch.take_round(trim, 7).unwrap();
        assert_eq!(
            (round.written, round.lowest, round.lowest_ever),
            (0..0, 7, 3)
        );
    }

    #[test]
    fn who_is_overtaken_by_another_trim_is_told_nothing_and_ends_nothing() {
        let mut watch = Watch::default();
        let first = watch.begin(true, 10);
        let second = watch.begin(true, 10);
        assert_eq!(watch.take_round(first, 10), None);
        watch.end(first);
        assert!(watch.is_on());
        watch.end(second);
        assert!(!watch.is_on());
        watch.begin(false, 10);
        assert!(!watch.is_on(), "nothing is copied for a tail");
    }
}
