//! Changing values in place as one: a command that is killed has changed all of its values or none.
//!
//! A writer that was asked for as an [`overwriter`](Array::overwriter) notes in the slack what it is about to change
//! ([`redo`](crate::storage::format::redo)). An exact file gets slack for that. A note is never worth an error: without room
//! for one, values of up to [`LONGEST`] bytes are changed as a whole still, each by itself.

use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence};

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::writer::{Notes, Writer};
use crate::storage::error::{Error, Result};
use crate::storage::format::record;
use crate::storage::format::redo;
use crate::storage::memory::whole::LONGEST;

/// What is to become of the room that notes had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Afterwards {
    /// It was there before, or there is none.
    Leave,
    /// It is trimmed at once.
    Trim,
    /// More will be needed soon: the worker trims it once the load pauses.
    Watch,
}

impl Array {
    /// Takes the lock, to change `values` values in place, which lie in so many `runs`. It may wait.
    ///
    /// # Errors
    /// As [`Self::writer`].
    #[inline]
    pub fn overwriter(self: &Arc<Self>, runs: usize, values: usize) -> Result<Writer<'_>> {
        if self.is_one_store(values) {
            return self.writer();
        }
        self.writer()?.with_notes(runs, values)
    }

    /// Whether a value is stored by one instruction, and there is no other.
    #[inline]
    pub(in crate::storage) fn is_one_store(&self, values: usize) -> bool {
        values <= 1 && self.item().size() <= LONGEST
    }
}

impl<'a> Writer<'a> {
    /// Has it note what it changes, `values` values in so many `runs`, unless they are too many for one note and each is stored as
    /// a whole anyway. It may wait.
    ///
    /// # Errors
    /// If the array cannot be written to any more.
    #[inline(never)]
    pub(in crate::storage) fn with_notes(mut self, runs: usize, values: usize) -> Result<Self> {
        let size = self.array.item().size();
        let are_many = values > redo::most_values(size, runs == 1) && size <= LONGEST;
        if are_many || self.array.is_one_store(values) {
            return Ok(self);
        }
        if self
            .extent
            .room_for(redo::room(runs, values, size))
            .is_none()
        {
            self = self.claim_end()?;
        }
        self.notes = Notes::Taken;
        Ok(self)
    }

    /// Has a change carried out that takes notes of so many values in so many runs, with room for them if that can be had.
    pub(in crate::storage) fn with_room_for_notes(
        &mut self,
        runs: usize,
        values: usize,
        change: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let afterwards = self.make_room(redo::room(runs, values, self.array.item().size()));
        let changed = change(self);
        match afterwards {
            Afterwards::Leave => return changed,
            Afterwards::Trim if self.loss.is_lost() => {}
            Afterwards::Trim => self.trim_now_or_later(),
            Afterwards::Watch => self.array.ask(Chore::Watch),
        }
        self.load.changed();
        changed
    }

    /// Puts values in the place of others, from an index on each: all of them or, if the process is killed, none, provided that
    /// there is room for a note.
    pub(in crate::storage) fn replace_noted<'b>(
        &mut self,
        runs: impl Iterator<Item = (u64, &'b [u8])> + Clone,
    ) -> Result<()> {
        let len_at = self.note(runs.clone())?;
        let replaced = self.replace(runs);
        compiler_fence(Ordering::SeqCst);
        // What failed, and was answered with an error, is not to be done at the next opening.
        let forgotten = len_at.map_or(Ok(()), |len_at| self.forget_note(len_at));
        replaced.and(forgotten)
    }

    /// Makes room for a note, if there is none and the file may have it.
    fn make_room(&mut self, bytes: u64) -> Afterwards {
        if self.notes != Notes::Taken || self.extent.room_for(bytes).is_some() {
            return Afterwards::Leave;
        }
        let is_hurried = self.load.are_changes_hurried();
        if let Err(error) = self.try_to_make_room(bytes) {
            let is_no_room = matches!(error, Error::TooLong { .. } | Error::FileSize { .. });
            if !error.is_full() && !is_no_room {
                tracing::warn!("values are changed without a note: {error}");
            }
            return Afterwards::Leave;
        }
        if is_hurried {
            Afterwards::Watch
        } else {
            Afterwards::Trim
        }
    }

    fn try_to_make_room(&mut self, bytes: u64) -> Result<()> {
        let end = self.extent.end() + bytes;
        self.array.may_hold(end)?;
        // A file with slack would wait for the disk before it grows.
        self.trim()?;
        self.make_momentary_room(end).map(drop)
    }

    /// Notes values that are about to be changed, if there is room for it; where the length of the note is.
    fn note<'b>(
        &mut self,
        runs: impl Iterator<Item = (u64, &'b [u8])> + Clone,
    ) -> Result<Option<u64>> {
        let len = redo::len(runs.clone());
        let Some(record_at) = self.extent.room_for(len) else {
            return Ok(None);
        };
        let (header_at, len_at) = (
            record_at - record::NOTE_HEADER,
            record_at - redo::LEN_BEFORE_RECORD,
        );
        let map = self.open.map();
        let mut at = header_at - len;
        let mut put = |bytes: &[u8]| {
            let written = map.write(at, bytes);
            at += bytes.len() as u64;
            written
        };
        let noted = (|| {
            for (index, values) in runs {
                put(&redo::run_header(index, self.array.values_in(values)))?;
                put(values)?;
            }
            put(&redo::MAGIC)?;
            map.store(len_at, len)
        })();
        noted.map_err(|fault| self.mark_lost(fault))?;
        // Whoever is killed after a store to the values has made the one of the length.
        compiler_fence(Ordering::SeqCst);
        Ok(Some(len_at))
    }

    /// What was noted has been done.
    fn forget_note(&mut self, len_at: u64) -> Result<()> {
        let forgotten = self.open.map().store(len_at, 0);
        forgotten.map_err(|fault| self.mark_lost(fault))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::storage::settings::Fsync;
    use crate::storage::tests::{WithoutWorker, bind, contents, store_in, without_worker};
    use crate::storage::types::ItemType;

    #[test]
    fn removed_values_are_not_taken_for_a_note() {
        let dir = TempDir::new().unwrap();
        let WithoutWorker {
            array, jobs: _jobs, ..
        } = without_worker(dir.path());
        array.shared.settings.set_fsync(Fsync::Always);
        let note = redo::note_of(0, 1, &(-666.0_f64).to_le_bytes());
        let mut bytes = vec![0; 4096 - 64 - note.len()];
        bytes.extend(note);
        array.append(&bytes).unwrap();
        array.sync().unwrap();
        array.truncate(20).unwrap();
        assert!(
            array.has_slack(),
            "what was removed stands before the record"
        );
        let killed = TempDir::new().unwrap();
        fs::copy(dir.path().join("f"), killed.path().join("f")).unwrap();
        let store = store_in(killed.path());
        assert_eq!(contents(&bind(&store, "f", ItemType::DOUBLE)), [0; 160]);
    }
}
