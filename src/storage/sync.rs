//! How values reach the disk, and what happens when they do not.

use std::sync::Arc;

use super::array::Array;
use super::error::{Error, Result};
use super::record;
use super::root::Access;

impl Array {
    /// Waits until everything written before is on disk, and found again after a power cut.
    ///
    /// # Errors
    /// The system's. Writes to the array are refused from then on, until a sync succeeds.
    pub fn sync(&self) -> Result<()> {
        let _syncing = self.syncing.lock();
        let (map, from, to, count) = {
            let mut state = self.state.lock();
            if state.access == Access::ReadOnly || state.file.is_none() {
                return Ok(());
            }
            let Some(from) = state.dirty_from.take() else {
                return Ok(());
            };
            let to = state.count * self.item_size();
            (Arc::clone(&state.map), from, to, state.count)
        };
        // First the values, then the record that vouches for them: the disk may reorder within one sync.
        let synced = map.sync(from.min(to), to).and_then(|()| {
            let (map, at) = {
                let mut state = self.state.lock();
                state.synced = count.min(state.count);
                if !state.slack || state.file.is_none() {
                    return Ok(());
                }
                // A lost file says so to the next command; there is nothing to sync here.
                if self.publish_synced(&mut state).is_err() {
                    return Ok(());
                }
                (Arc::clone(&state.map), state.file_len - record::SIZE)
            };
            map.sync(at, at + record::SIZE)
        });
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
