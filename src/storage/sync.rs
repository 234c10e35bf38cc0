//! How values reach the disk, and what happens when they do not.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::array::{Array, State};
use super::disk;
use super::error::{Error, Result};
use super::mark::Mark;
use super::root::Access;
use super::worker::Job;

impl Array {
    /// Waits until everything written before is on disk, and found again after a power cut.
    ///
    /// # Errors
    /// The system's. Writes to the array are refused from then on, until a sync succeeds.
    pub fn sync(self: &Arc<Self>) -> Result<()> {
        let _syncing = self.syncing.lock();
        let (map, from, to, count, again) = {
            let mut state = self.state.lock();
            if state.access == Access::ReadOnly || state.file.is_none() {
                return Ok(());
            }
            let Some(from) = state.dirty_from.take() else {
                return Ok(());
            };
            state.syncing_from = Some(from);
            let to = self.end_of_values(&state);
            let again = std::mem::take(&mut state.rewrite);
            (Arc::clone(&state.map), from, to, state.count, again)
        };
        let start = Instant::now();
        if again && let Err(fault) = map.touch(from, to) {
            let mut state = self.state.lock();
            state.syncing_from = None;
            state.rewrite = true;
            state.soil(from);
            return Err(self.lose(&mut state, fault));
        }
        // First the values, then what vouches for them: the disk may reorder within one sync.
        let synced = map
            .sync(from.min(to), to)
            .and_then(|()| self.vouch_for(count));
        self.shared.stats.sync_time.record_since(start);
        let mut state = self.state.lock();
        match synced {
            Ok(()) => {
                state.syncing_from = None;
                // Unless another sync, that of a growth, has failed meanwhile.
                if again && !state.rewrite && state.refusal.take().is_some() {
                    tracing::warn!(
                        "file '{}': sync succeeds again, writes are allowed",
                        self.path
                    );
                }
                self.shared.stats.syncs.add_one();
                Ok(())
            }
            Err(error) => Err(self.refuse_writes(&mut state, from, error)),
        }
    }

    /// Nothing is known of what reached the disk from that byte on: no more is written before it is there.
    pub(super) fn refuse_writes(
        self: &Arc<Self>,
        state: &mut State,
        from: u64,
        error: io::Error,
    ) -> Error {
        let error = self.failed("sync", error);
        self.shared.stats.sync_errors.add_one();
        if state.refusal.is_none() {
            tracing::error!("{error}; writes to it are refused until a sync succeeds");
            self.shared.send(Job::SyncAgain(Arc::clone(self)));
        }
        state.refusal = Some(error.to_string());
        state.rewrite = true;
        // The kernel reports an error once, so it may have been that of a sync that is still under way.
        state.soil(state.syncing_from.map_or(from, |other| other.min(from)));
        error
    }

    /// Notes, on disk, that so many values are there.
    fn vouch_for(&self, count: u64) -> io::Result<()> {
        let file = {
            let mut state = self.state.lock();
            let Some(file) = state.file.clone() else {
                return Ok(());
            };
            state.synced = count.min(state.count);
            Mark::set(&file, state.synced)?;
            state.marked = true;
            // A lost file says so to the next command.
            let _ = self.publish_synced(&mut state);
            file
        };
        // An msync of the record would not do: it need not put the mark on disk, and a truncation can take the record
        // away, or a mark that was lowered since still be there.
        disk::sync_all(&file)
    }

    /// The worker is about to sync: later writes are told to it anew.
    pub(super) fn begin_scheduled_sync(&self) {
        self.state.lock().sync_scheduled = false;
    }

    /// Syncs, gives the file its exact length, and waits until that is on disk too.
    ///
    /// # Errors
    /// The system's.
    pub fn sync_exact(self: &Arc<Self>) -> Result<()> {
        self.shared.worker_alive()?;
        self.sync()?;
        {
            let mut state = self.state.lock();
            if state.access == Access::ReadOnly {
                return Ok(());
            }
            self.claim_end(&mut state)?;
            if state.file.is_none() {
                return Err(Error::Closed {
                    path: self.path.to_string(),
                });
            }
            self.trim(&mut state)?;
        }
        self.sync()
    }
}
