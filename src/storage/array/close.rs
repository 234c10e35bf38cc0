//! How an array ends: its file is left exact, on disk and unmarked, and other processes may write it again.

use std::fs::File;
use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
use crate::storage::array::state::durability::Unsynced;
use crate::storage::error::Result;
use crate::storage::files::access;
use crate::storage::files::access::Access;
use crate::storage::format::mark::Mark;

impl Array {
    /// Gives the file its exact length now.
    pub(in crate::storage) fn make_exact_now(self: &Arc<Self>) -> Result<()> {
        self.lock().make_exact().map(drop)
    }

    /// A file that no key is bound to must not have slack.
    pub(in crate::storage) fn trim_at_unbinding(self: &Arc<Self>) {
        let mut locked = self.lock();
        locked.usage.unbind();
        locked.report_loss_at_unbinding();
        if let Err(error) = locked.make_exact() {
            tracing::error!("on unbinding: {error}");
        }
    }

    /// No key may write it any more: the file gets its exact length, and from now on it is looked at as one that other
    /// processes write. What is left is [`Self::end_settling`].
    pub(in crate::storage) fn stop_writing(self: &Arc<Self>) {
        if let Err(error) = self.lock().become_read_only() {
            tracing::error!("after the last writable key was removed: {error}; it will be retried");
        }
    }

    /// Lets other processes write a file that no key may write, once all of it is on disk.
    pub(in crate::storage) fn end_settling(self: &Arc<Self>) -> Result<()> {
        // Where writing could not be stopped at once it is now.
        let mut locked = self.lock().become_read_only()?;
        if !locked.usage.is_settling() {
            return Ok(());
        }
        if !locked.durability.is_settled() && !locked.loss.is_lost() {
            self.ask(Chore::Retire);
            return Ok(());
        }
        locked.unmark();
        access::unlock(&*locked.file()?, &self.path)?;
        locked.usage.end_settling();
        Ok(())
    }

    /// Takes the mark off a file that is about to be closed or given to other writers, and settled, without any lock that commands
    /// take: that can wait for the journal of the disk. A write that comes after all marks it again, and who closes the file waits.
    pub(in crate::storage) fn unmark_early(self: &Arc<Self>) {
        let mut locked = self.lock();
        if !locked.usage.is_unbound() && !locked.usage.is_settling() || !locked.may_be_unmarked() {
            return;
        }
        let Ok(file) = locked.file() else {
            return;
        };
        locked.durability.set_mark(None);
        let marking = locked.marking();
        drop(locked);
        Mark::remove(&file);
        drop(marking);
    }

    /// Gives the file its exact length and lets go of it: once it is dropped, other processes may write it. Says what
    /// may not be on disk yet.
    pub(in crate::storage) fn close(
        self: &Arc<Self>,
    ) -> Result<(Option<Arc<File>>, Option<Unsynced>)> {
        let mut locked = self.lock().make_exact()?;
        locked.unmark();
        locked.close_snapshots();
        let span = locked.span();
        let file = locked.publish_file(None, span);
        // What another server left is not this one's to sync, where it only reads.
        let is_ours = locked.usage.mapped_for() == Access::Writable;
        let unsynced = locked.durability.close().filter(|_| is_ours);
        Ok((file, unsynced))
    }

    /// Syncs what an array of the same file left when it was closed; a failed sync is not forgotten.
    pub(in crate::storage) fn take_over(self: &Arc<Self>, unsynced: Unsynced) {
        let mut locked = self.lock();
        let end = locked.extent.end();
        if locked.durability.take_over(unsynced, end) {
            self.ask(Chore::SyncAgain);
        }
    }

    /// Whether it was closed before all was on disk.
    pub(in crate::storage) fn has_left_unsynced(self: &Arc<Self>) -> bool {
        let locked = self.lock();
        locked.open.is_closed() && !locked.durability.is_settled()
    }

    /// Has the worker sync what is not on disk: what was left to the system so far, or to a server before.
    pub(in crate::storage) fn sync_in_time(self: &Arc<Self>) {
        self.lock().schedule_sync();
    }

    /// Gives the file its exact length and waits until it is on disk, whatever the settings say: a server
    /// that shuts down leaves nothing to chance.
    pub(in crate::storage) fn settle(self: &Arc<Self>) -> Result<()> {
        let synced = self.sync();
        drop(self.lock().make_exact()?);
        synced.and_then(|()| self.sync())?;
        self.lock().unmark();
        Ok(())
    }
}

impl Locked<'_> {
    /// Has all readers let go of the file, which is about to be closed: a descriptor that were closed later would take
    /// the lock of the file with it.
    pub(in crate::storage) fn close_snapshots(&mut self) {
        self.snapshots.close();
        self.wait_for_readers();
    }

    /// Gives the file its exact length, calling off a growth, if it is open and what it was left as.
    fn make_exact(self) -> Result<Self> {
        let mut locked = self.claim_end()?;
        if !locked.open.is_closed() && !locked.loss.is_lost() {
            locked.trim()?;
        }
        Ok(locked)
    }

    fn become_read_only(self) -> Result<Self> {
        if !self.usage.is_writable() {
            return Ok(self);
        }
        let mut locked = self.make_exact()?;
        locked.usage.begin_settling();
        Ok(locked)
    }

    /// Whether the mark is to go: the file is exact, all of it is on disk, and it is marked.
    fn may_be_unmarked(&self) -> bool {
        self.durability.is_marked() && self.durability.is_settled() && self.is_trimmed()
    }

    /// Takes the mark off a file that is settled.
    fn unmark(&mut self) {
        if self.may_be_unmarked()
            && let Ok(file) = self.file()
        {
            Mark::remove(&file);
            self.durability.set_mark(None);
        }
    }
}
