//! How an array ends: its file is left exact, on disk and unmarked, and other processes may write it again.

use std::fs::File;
use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::lock::Locked;
use crate::storage::array::state::State;
use crate::storage::array::state::durability::Unsynced;
use crate::storage::error::Result;
use crate::storage::files::access;
use crate::storage::format::mark::Mark;

impl Array {
    /// Has all readers let go of the file, which is about to be closed: a descriptor that were closed later would take
    /// the lock of the file with it.
    pub(in crate::storage) fn close_snapshots(&self, state: &mut State) {
        state.snapshots.close();
        drop(self.reading.write());
    }

    /// Gives the file its exact length now.
    pub(in crate::storage) fn make_exact_now(&self) -> Result<()> {
        self.make_exact(self.state.lock()).map(drop)
    }

    /// Gives the file its exact length, calling off a growth, if it is open and what it was left as.
    fn make_exact<'a>(&self, state: Locked<'a>) -> Result<Locked<'a>> {
        let mut state = self.claim_end(state)?;
        if state.file.is_some() && !state.loss.is_lost() {
            self.trim(&mut state)?;
        }
        Ok(state)
    }

    /// Nobody may find slack in a file that no key is bound to.
    pub(in crate::storage) fn trim_at_unbinding(&self) {
        let mut state = self.state.lock();
        state.usage.unbind();
        self.report_loss_at_unbinding(&state);
        if let Err(error) = self.make_exact(state) {
            tracing::error!("on unbinding: {error}");
        }
    }

    /// No key may write it any more: the file gets its exact length, and from now on it is looked at as one that other
    /// processes write. What is left is [`Self::end_settling`].
    pub(in crate::storage) fn stop_writing(&self) {
        if let Err(error) = self.become_read_only(self.state.lock()) {
            tracing::error!("when the last writable key went: {error}; it is tried again");
        }
    }

    fn become_read_only<'a>(&self, state: Locked<'a>) -> Result<Locked<'a>> {
        if !state.usage.is_writable() {
            return Ok(state);
        }
        let mut state = self.make_exact(state)?;
        state.usage.begin_settling();
        Ok(state)
    }

    /// Lets other processes write a file that no key may write, once all of it is on disk.
    pub(in crate::storage) fn end_settling(self: &Arc<Self>) -> Result<()> {
        // Where writing could not be stopped at once it is now.
        let mut state = self.become_read_only(self.state.lock())?;
        if !state.usage.is_settling() {
            return Ok(());
        }
        if !state.durability.is_settled() && !state.loss.is_lost() {
            self.ask(Chore::Retire);
            return Ok(());
        }
        self.unmark(&mut state);
        access::unlock(&*self.file(&state)?, &self.path)?;
        state.usage.end_settling();
        Ok(())
    }

    /// Gives the file its exact length and lets go of it: once it is dropped, other processes may write it. Says what
    /// may not be on disk yet.
    pub(in crate::storage) fn close(&self) -> Result<(Option<Arc<File>>, Option<Unsynced>)> {
        let mut state = self.make_exact(self.state.lock())?;
        self.unmark(&mut state);
        self.close_snapshots(&mut state);
        let span = state.span();
        let file = self.publish_file(&mut state, None, span);
        let unsynced = state.durability.close();
        Ok((file, unsynced))
    }

    /// Syncs what an array of the same file left when it was closed; a failed sync is not forgotten.
    pub(in crate::storage) fn take_over(self: &Arc<Self>, unsynced: Unsynced) {
        let mut state = self.state.lock();
        if state.durability.take_over(unsynced) {
            self.ask(Chore::SyncAgain);
        }
    }

    /// Takes the mark off a file that is settled: exact, and all of it on disk.
    fn unmark(&self, state: &mut State) {
        if state.durability.is_marked()
            && state.durability.is_settled()
            && !state.extent.has_slack()
            && let Ok(file) = self.file(state)
        {
            Mark::remove(&file);
            state.durability.set_mark(None);
        }
    }

    /// Has the worker sync what is not on disk: what was left to the system so far, or to a server before.
    pub(in crate::storage) fn sync_in_time(self: &Arc<Self>) {
        self.schedule_sync(&mut self.state.lock());
    }

    /// Gives the file its exact length and waits until it is on disk, whatever the settings say: a server
    /// that shuts down leaves nothing to chance.
    pub(in crate::storage) fn settle(self: &Arc<Self>) -> Result<()> {
        let synced = self.sync();
        drop(self.make_exact(self.state.lock())?);
        synced.and_then(|()| self.sync())?;
        self.unmark(&mut self.state.lock());
        Ok(())
    }
}
