//! What becomes of an array while it is copied without its head.
//!
//! **Invariant**: every byte that was written since the last round lies in `written`, and the array never had fewer values
//! since than `lowest`, and since the begin than `lowest_ever`.

use std::ops::Range;

/// What happens to an array while it is copied.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Watch {
    /// Of which trim it is.
    pub trim: u64,
    /// What was written, in bytes from the begin of the file; empty if nothing was.
    pub written: Range<u64>,
    /// The least number of values there were, since the last round and ever.
    pub lowest: u64,
    pub lowest_ever: u64,
}

impl Watch {
    /// Of a trim that begins, of an array of `count` values.
    pub fn new(trim: u64, count: u64) -> Self {
        Self {
            trim,
            written: 0..0,
            lowest: count,
            lowest_ever: count,
        }
    }

    #[cold]
    pub fn wrote(&mut self, bytes: Range<u64>) {
        self.written = if self.written.is_empty() {
            bytes
        } else {
            self.written.start.min(bytes.start)..self.written.end.max(bytes.end)
        };
    }

    pub fn shortened(&mut self, count: u64) {
        self.lowest = self.lowest.min(count);
        self.lowest_ever = self.lowest_ever.min(count);
    }
}
