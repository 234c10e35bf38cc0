//! The head of an array: how many values were dropped from it, and the beginning of dropping some.

use std::ops::Range;
use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
use crate::storage::array::writer::Writer;
use crate::storage::error::{Error, Result};
use crate::storage::format::dropped;

/// Asks whether the values before a position, ever counted, may go from now on, and waits for the answer. Where they may, that
/// is known to others already.
pub type MayGo = Box<dyn FnOnce(u64) -> bool + Send>;

/// A trim that has begun.
pub struct Trim {
    /// Which one of its array it is.
    pub(in crate::storage) number: u64,
    /// So many values went at the end.
    pub tail: u64,
    /// So many are to go at the head.
    pub head: u64,
    /// To be asked before they go.
    pub(in crate::storage) may_go: Option<MayGo>,
}

impl Trim {
    /// So many values go in all.
    pub(in crate::storage) fn values(&self) -> u64 {
        self.tail + self.head
    }

    /// Has `may_go` asked when the copy is complete, before it replaces the file. If the answer is no, the head stays; after a
    /// yes, the trim cannot be cancelled any more.
    pub fn asking(self, may_go: MayGo) -> Self {
        Self {
            may_go: Some(may_go),
            ..self
        }
    }
}

impl Array {
    /// Number of values that were removed at the head so far, ever: index 0 was at this index once. It is known
    /// without waiting for anyone, also to a forked child.
    pub fn head(&self) -> u64 {
        self.published.head()
    }

    /// Says how many values were removed at the head, of an array that is made as a copy of another.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn set_head(self: &Arc<Self>, head: u64) -> Result<()> {
        let mut locked = self.lock();
        if head != locked.extent.head() {
            locked.note_head(head)?;
        }
        Ok(())
    }
}

impl Locked<'_> {
    fn note_head(&mut self, head: u64) -> Result<()> {
        dropped::check(head, &self.array.path)?;
        let file = self.file()?;
        dropped::note(&file, head).map_err(|e| self.array.failed("mark", e))?;
        self.publish_head(head);
        Ok(())
    }
}

impl Writer<'_> {
    /// Removes all values, and counts those as dropped from the head that were ever before a position.
    ///
    /// # Errors
    /// If they cannot be removed, or it cannot be noted in the file.
    pub fn clear_at(&mut self, position: u64) -> Result<()> {
        dropped::check(position, &self.array.path)?;
        self.clear()?;
        self.note_head(position)
    }

    /// Begins to keep a range of values: removes the tail at once, and notes from now on what becomes of the rest,
    /// so that what comes later is not taken for a part of what was to go.
    ///
    /// # Errors
    /// If the array's head is being removed already, or the tail cannot be removed; then nothing was removed.
    pub fn begin_trim(&mut self, range: &Range<u64>) -> Result<Trim> {
        if range.is_empty() {
            let tail = self.clear()?;
            return Ok(Trim {
                number: 0,
                tail,
                head: 0,
                may_go: None,
            });
        }
        if range.start > 0 && self.watch.is_on() {
            return Err(Error::Trimming {
                path: self.array.path.to_string(),
                why: "its head is being removed already",
            });
        }
        self.begin_trim_of(range)
    }

    pub(in crate::storage) fn begin_trim_of(&mut self, range: &Range<u64>) -> Result<Trim> {
        let head = range.start;
        let count = self.extent.count();
        let kept = head..range.end.min(count);
        if head > 0 && !kept.is_empty() {
            // Before anything is removed, copied or told to replicas. What is written until the head goes may change it.
            self.may_keep(kept)?;
        }
        let tail = count.saturating_sub(range.end);
        self.truncate(range.end)?;
        let count = self.extent.count();
        let number = self.watch.begin(head > 0, count);
        Ok(Trim {
            number,
            tail,
            head,
            may_go: None,
        })
    }
}
