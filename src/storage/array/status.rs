//! Everything about one array, for those who look after it.

use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::memory::residency::resident_bytes;
use crate::storage::stats::Totals;

/// What an array is fit for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArrayState {
    /// The file is as long as its values.
    Exact,
    /// The file has space behind the values.
    Slack,
    /// Writes are refused, after a failed sync or the end of the worker.
    Refused,
    /// The file was changed behind our back, and must be opened again.
    Lost,
    /// The file cannot be found by its name once it is closed: it was deleted, moved or replaced.
    Unlinked,
    /// Values have not come from the primary.
    Incomplete,
}

/// An array at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub state: ArrayState,
    /// Number of values.
    pub count: u64,
    /// Number of values for which the file is long enough as it is.
    pub capacity: u64,
    /// Bytes of values.
    pub bytes: u64,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Number of values known to be on disk; `None` if another program writes the file.
    pub synced: Option<u64>,
    /// Bytes of the file that are in RAM; `None` if the system does not tell.
    pub resident: Option<u64>,
    /// Why it is neither exact nor has slack.
    pub why: Option<String>,
    /// What went wrong last, if anything did.
    pub last_error: Option<String>,
}

impl Array {
    /// What it adds to the totals.
    pub(in crate::storage) fn totals(self: &Arc<Self>) -> Totals {
        let locked = self.lock();
        Totals {
            arrays: 1,
            values: locked.extent.count(),
            bytes_used: locked.extent.count() * self.item_size(),
            bytes_mapped: locked.open.map().len(),
            slack_bytes: locked.extent.slack_bytes(),
            unsynced: u64::from(locked.durability.dirty_from().is_some()),
            refused: u64::from(locked.durability.refusal().is_some()),
            lost: u64::from(locked.loss.is_lost()),
            unlinked: u64::from(locked.loss.unlinked().is_some()),
            incomplete: u64::from(self.is_incomplete()),
        }
    }

    /// Number of writes so far.
    pub(in crate::storage) fn writes(self: &Arc<Self>) -> u64 {
        self.lock().load.writes()
    }

    /// Whether the file is longer than its values.
    pub(in crate::storage) fn has_slack(self: &Arc<Self>) -> bool {
        let locked = self.lock();
        locked.extent.has_slack() && !locked.open.is_closed() && locked.usage.is_writable()
    }

    /// Whether the worker is to look at it again, until the file ends with its values and its header says how many they are.
    pub(in crate::storage) fn is_to_be_trimmed(self: &Arc<Self>) -> bool {
        self.lock().is_to_be_trimmed()
    }

    /// The array as it is, and as it was found when its name was looked at last.
    pub(in crate::storage) fn status(self: &Arc<Self>) -> Status {
        // A view looks at the file; that it fails is part of the answer.
        let lost = self.view().err();
        let dead = self.shared.worker_alive().err();
        let locked = self.lock();
        let is_writable = locked.usage.is_writable();
        let bytes = locked.extent.count() * self.item_size();
        let room = locked.extent.room_to();
        let (name, why) = if let Some(lost) = lost {
            (ArrayState::Lost, Some(lost.to_string()))
        } else if self.is_incomplete() {
            (ArrayState::Incomplete, Some(self.why_incomplete()))
        } else if let Some(refusal) = locked.durability.refusal() {
            (ArrayState::Refused, Some(refusal.to_owned()))
        } else if let Some(dead) = dead.filter(|_| is_writable) {
            (ArrayState::Refused, Some(dead.to_string()))
        } else if let Some(why) = locked.loss.unlinked() {
            (
                ArrayState::Unlinked,
                Some(format!("file '{}' {why}", self.path)),
            )
        } else if locked.extent.has_slack() {
            (ArrayState::Slack, None)
        } else {
            (ArrayState::Exact, None)
        };
        let (file, map, file_bytes) = (
            locked.open.file().cloned(),
            Arc::clone(locked.open.map()),
            locked.extent.len(),
        );
        let look = locked.open.look();
        let synced = is_writable.then(|| locked.durability.synced().min(locked.extent.count()));
        let count = locked.extent.count();
        drop(locked);
        Status {
            state: name,
            count,
            capacity: self.layout.count_up_to(room.max(self.layout.data_at())),
            bytes,
            file_bytes,
            synced,
            resident: file.and_then(|file| resident_bytes(&file, &map, look, file_bytes).ok()),
            last_error: why.clone().or_else(|| self.last_error()),
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::storage::files::access::Access;
    use crate::storage::types::ItemType;
    use crate::storage::{Bound, FilePath, Root, Store};

    fn array(dir: &TempDir) -> (Store, Bound) {
        let store = Store::new(Root::open(dir.path()).unwrap(), 1).unwrap();
        let path = FilePath::new(b"f").unwrap();
        let bound = store
            .bind(&path, ItemType::DOUBLE, Access::Writable, true)
            .unwrap();
        (store, bound)
    }

    #[test]
    fn the_count_on_disk_follows_a_sync() {
        let dir = TempDir::new().unwrap();
        let (store, bound) = array(&dir);
        // Nothing is synced but by this test.
        store.set_fsync(crate::storage::Fsync::No);
        bound.append(&[0; 24]).unwrap();
        assert_eq!(bound.status().synced, Some(0));
        bound.sync().unwrap();
        assert_eq!(bound.status().synced, Some(3));
        bound.append(&[0; 8]).unwrap();
        assert_eq!(bound.status().synced, Some(3));
        bound.clear().unwrap();
        assert_eq!(bound.status().synced, Some(0));
    }

    #[test]
    fn a_failed_sync_is_told_until_one_succeeds_and_remembered() {
        let dir = TempDir::new().unwrap();
        let (store, bound) = array(&dir);
        store.set_fsync(crate::storage::Fsync::No);
        bound.append(&[0; 24]).unwrap();
        let full = std::io::ErrorKind::StorageFull.into();
        let error = bound.lock().refuse_writes(0, full);
        let status = bound.status();
        assert_eq!(status.state, ArrayState::Refused);
        assert_eq!(status.last_error, Some(error.to_string()));
        assert_eq!(store.totals().refused, 1);

        bound.sync().unwrap();
        let status = bound.status();
        assert_eq!(status.state, ArrayState::Exact);
        assert_eq!(status.last_error, Some(error.to_string()));
        assert_eq!(store.totals().refused, 0);
    }
}
