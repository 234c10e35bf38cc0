//! How values reach the disk, and what happens when they do not.

use std::io;
use std::sync::Arc;

use super::array::Array;
use super::error::{Error, Result};
use super::mark::Mark;
use super::record;
use super::root::Access;

impl Array {
    /// Waits until everything written before is on disk, and found again after a power cut.
    ///
    /// # Errors
    /// The system's. Writes to the array are refused from then on, until a sync succeeds.
    pub fn sync(&self) -> Result<()> {
        let _syncing = self.syncing.lock();
        let (map, from, to, count, again) = {
            let mut state = self.state.lock();
            if state.access == Access::ReadOnly || state.file.is_none() {
                return Ok(());
            }
            let Some(from) = state.dirty_from.take() else {
                return Ok(());
            };
            let to = self.end_of_values(&state);
            let again = state.refusal.is_some();
            (Arc::clone(&state.map), from, to, state.count, again)
        };
        if again && map.touch(from, to).is_err() {
            // The file was cut meanwhile; the next command finds out and says so.
            return Ok(());
        }
        // First the values, then what vouches for them: the disk may reorder within one sync.
        let synced = map
            .sync(from.min(to), to)
            .and_then(|()| self.vouch_for(count));
        let mut state = self.state.lock();
        match synced {
            Ok(()) => {
                if state.refusal.take().is_some() {
                    tracing::warn!(
                        "file '{}': sync succeeds again, writes are allowed",
                        self.path
                    );
                }
                self.shared.stats.syncs.add_one();
                Ok(())
            }
            Err(error) => {
                let error = self.failed("sync", error);
                if state.refusal.is_none() {
                    tracing::error!("{error}; writes to it are refused until a sync succeeds");
                }
                state.refusal = Some(error.to_string());
                state.dirty_from = Some(state.dirty_from.map_or(from, |lowest| lowest.min(from)));
                Err(error)
            }
        }
    }

    /// Notes, on disk, that so many values are there.
    fn vouch_for(&self, count: u64) -> io::Result<()> {
        let (map, file, record_at) = {
            let mut state = self.state.lock();
            let Some(file) = state.file.clone() else {
                return Ok(());
            };
            state.synced = count.min(state.count);
            Mark::set(&file, state.synced)?;
            state.marked = true;
            // A lost file says so to the next command.
            let record_at = (state.slack && self.publish_synced(&mut state).is_ok())
                .then(|| state.file_len - record::SIZE);
            (Arc::clone(&state.map), file, record_at)
        };
        // Either also puts the mark on disk: both end in a commit of the journal.
        match record_at {
            Some(at) => map.sync(at, at + record::SIZE)?,
            None => file.sync_all()?,
        }
        Ok(())
    }

    /// The worker is about to sync: later writes are told to it anew.
    pub(super) fn begin_scheduled_sync(&self) {
        self.state.lock().sync_scheduled = false;
    }

    /// Syncs, gives the file its exact length, and waits until that is on disk too.
    ///
    /// # Errors
    /// The system's.
    pub fn sync_exact(&self) -> Result<()> {
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
