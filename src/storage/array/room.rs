//! Room for values behind the last one, and who owns the end of the file while it is made.

use std::sync::Arc;
use std::time::Instant;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::limit::len_with_record;
use crate::storage::array::locked::Locked;
use crate::storage::array::state::tail::End;
use crate::storage::array::writer::Writer;
use crate::storage::error::Result;
use crate::storage::files::calls as disk;

impl Writer<'_> {
    /// Makes room for `bytes` more, growing the file here and now if the worker has not done so. While it waits,
    /// others may do anything to the array, even give it another file: what the caller knew of it is void, and whether
    /// it may be written to is found out afresh.
    #[cold]
    pub(super) fn wait_for_room(mut self, bytes: u64) -> Result<Self> {
        let array = self.array;
        let start = Instant::now();
        while self.extent.room_for(bytes).is_none() {
            if !self.tail.is_free() {
                array.shared.stats.growth_waits.add_one();
                self = self.wait_for_end()?;
                continue;
            }
            let end = self.extent.end() + bytes;
            array.may_hold(end)?;
            let wanted = len_with_record(end + self.step(end));
            self.grow_now(len_with_record(end), wanted)?;
            array.shared.stats.growths_inline.add_one();
            array.ask(Chore::Watch);
        }
        array.shared.stats.wait_time.record_since(start);
        array.may_hold(self.extent.end() + bytes)?;
        Ok(self)
    }

    /// Gives an exact file slack for values up to `end` and no more, to be trimmed again soon. Says where its record is.
    pub(in crate::storage) fn make_momentary_room(&mut self, end: u64) -> Result<u64> {
        let start = Instant::now();
        self.call_off_growth();
        let needed = len_with_record(end);
        self.grow_now(needed, needed)?;
        self.array.shared.stats.wait_time.record_since(start);
        Ok(self.extent.record_at().expect("the file has grown"))
    }
}

impl Locked<'_> {
    /// Makes the end of the file the caller's: a growth is called off, a cut is waited for. While it waits, others may
    /// do anything to the array, even close it or give it another file.
    pub(in crate::storage) fn claim_end(mut self) -> Result<Self> {
        self.call_off_growth();
        self.wait_for_end()
    }

    /// Makes the end of the file the caller's, unless it is being cut: a file of exact length never is.
    pub(in crate::storage) fn call_off_growth(&mut self) {
        debug_assert!(self.extent.has_slack() || self.tail.end() != End::Cutting);
        if let Some(token) = self.tail.call_off_growth() {
            self.extent.growth_answered();
            // A record that announces the growth may stand behind the true one already.
            self.free_unused_by(token);
            self.free_end();
        }
    }
}

impl Array {
    /// Has the other arrays on the same file system give back what they hold ahead of need; whether there was anything. To be
    /// called without any lock.
    #[cold]
    pub(in crate::storage) fn have_slack_given_back(&self) -> bool {
        let mut any = false;
        for other in self.attendant.arrays() {
            if !std::ptr::eq(&*other, self) && other.id().device == self.id().device {
                any |= other.give_back_slack();
            }
        }
        any
    }

    /// Gives the file its exact length, calling off a growth, and frees what is behind its end; whether there was anything to
    /// give back.
    pub(in crate::storage) fn give_back_slack(self: &Arc<Self>) -> bool {
        let mut locked = self.lock();
        if !locked.usage.is_writable() || locked.loss.is_lost() || locked.open.is_closed() {
            return false;
        }
        if !locked.extent.has_slack() && locked.tail.is_free() {
            // A growth that ended after the file was closed, and opened again, may have left it that.
            let looked = locked.file().and_then(|file| {
                disk::has_blocks_behind_end(&file).map_err(|e| self.failed("look at", e))
            });
            let has_some = looked.unwrap_or_else(|error| {
                tracing::warn!("while making room for another file: {error}");
                false
            });
            if has_some {
                locked.free_unused();
            }
            return has_some;
        }
        let given = locked.claim_end().and_then(|mut locked| {
            // It is the worker's again when the next values come.
            locked.load.calms();
            locked.trim()
        });
        given
            .inspect_err(|error| tracing::warn!("while making room for another file: {error}"))
            .is_ok()
    }
}
