//! Giving a file with slack its exact length again.

use std::sync::Arc;
use std::time::Instant;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::{Array, LONG_TRUNCATION};
use crate::storage::array::limit::len_with_record;
use crate::storage::array::locked::Locked;
use crate::storage::array::state::tail::LengthToken;
use crate::storage::error::Result;
use crate::storage::files::calls as disk;
use crate::storage::format::record;

impl Array {
    /// The worker's trim: frees much space without keeping commands waiting.
    ///
    /// It is a growth in reverse. A record nearer to the values becomes the true one, the one at the end of
    /// the file points to it, and then the file is cut behind it with no lock held.
    ///
    /// # Errors
    /// Any I/O error of the operating system; the array stays as it is then, and can be trimmed later.
    pub(in crate::storage) fn trim_from_worker(self: &Arc<Self>) -> Result<()> {
        let mut locked = self.lock();
        if !locked.is_to_be_trimmed() {
            return Ok(());
        }
        let start = Instant::now();
        let file = locked.file_as_left()?;
        let near = len_with_record(locked.extent.end() + LONG_TRUNCATION / 2);
        if near + LONG_TRUNCATION < locked.extent.len() {
            let record = locked.record(near, 0);
            let far = locked.extent.len() - record::SIZE;
            let map = locked.open.map();
            map.write(near - record::TAIL, &record.to_tail())
                .and_then(|()| map.store(far + record::PREVIOUS_AT, near))
                .map_err(|fault| locked.mark_lost(fault))?;
            locked.extent.move_record(near - record::SIZE);
            let token = locked.tail.begin_cut();
            let result;
            (locked, result) = locked.unlocked(|| disk::set_len(&file, near, token));
            locked.free_end();
            if let Err(error) = result {
                // The record at the end must be the true one again.
                locked.extent.move_record(far);
                locked.reinstate_record()?;
                return Err(self.failed("shorten", error));
            }
        }
        drop(file);
        locked.trim()?;
        self.shared.stats.trim_time.record_since(start);
        locked.load.calms();
        Ok(())
    }
}

impl Locked<'_> {
    /// The right to set the length of the file.
    ///
    /// # Errors
    /// If the worker is at its end.
    pub(in crate::storage) fn may_set_length(&self) -> Result<LengthToken> {
        self.length_token().ok_or_else(|| {
            self.array
                .failed("shorten", std::io::ErrorKind::ResourceBusy)
        })
    }

    /// Whether the file ends with its values, and its header says how many they are.
    pub(in crate::storage) fn is_trimmed(&self) -> bool {
        !self.extent.has_slack() && self.is_header_true()
    }

    /// Whether it is the worker's to see to that.
    pub(in crate::storage) fn is_to_be_trimmed(&self) -> bool {
        !self.is_trimmed() && !self.open.is_closed() && self.usage.is_writable()
    }

    /// Cuts a file with slack to its exact length, and has its header say so. The end of the file must not be the worker's.
    ///
    /// # Errors
    /// Any I/O error of the operating system. A file that was cut stays so, and lacks its header only.
    pub(in crate::storage) fn trim(&mut self) -> Result<()> {
        if self.is_trimmed() || !self.usage.is_writable() {
            return Ok(());
        }
        let exact = self.extent.end();
        if self.extent.has_slack() {
            let file = self.file_as_left()?;
            let token = self.may_set_length()?;
            self.keeping(exact, || disk::set_len(&file, exact, token))?
                .map_err(|e| self.array.failed("shorten", e))?;
            self.extent.become_exact();
            self.array.shared.stats.trims.add_one();
        }
        // The new length and header are to be on disk in time, too.
        self.durability.mark_dirty(exact);
        self.write_header(self.extent.count())
    }

    /// As [`Self::trim`], after values were appended: should it fail, only the length is to be put right later.
    pub(in crate::storage) fn trim_now_or_later(&mut self) {
        if let Err(error) = self.trim() {
            tracing::warn!("{error}; it will be retried");
            self.array.ask(Chore::Watch);
        }
    }

    /// Makes the record at the end of the file the true one again.
    fn reinstate_record(&mut self) -> Result<()> {
        self.set_count(self.extent.count())?;
        self.publish_synced()?;
        self.store_in_record(record::PREVIOUS_AT, 0)
    }

    /// Gives back the blocks that a failed growth allocated behind the end of the file.
    pub(in crate::storage) fn free_unused(&mut self) {
        if let Some(token) = self.length_token() {
            self.free_unused_by(token);
        }
    }

    /// As [`Self::free_unused`], by a right that was given for that.
    pub(in crate::storage) fn free_unused_by(&mut self, token: LengthToken) {
        if !self.loss.is_lost()
            && let Err(error) = self.cut_overlong(token)
        {
            tracing::error!("{error}; it will be retried before the next write");
        }
    }

    /// Cuts what lies behind the end of the file.
    pub(in crate::storage) fn cut_overlong(&mut self, token: LengthToken) -> Result<()> {
        let cut = disk::set_len(&*self.file()?, self.extent.len(), token);
        self.extent.set_overlong(cut.is_err());
        cut.map_err(|e| self.array.failed("shorten", e))
    }
}
