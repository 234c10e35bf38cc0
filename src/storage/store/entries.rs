//! What the registry knows of the open files.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::state::durability::Unsynced;
use crate::storage::error::Result;
use crate::storage::files::access::Access;
use crate::storage::files::identity::FileId;

/// What is known of the open files.
#[derive(Default)]
pub(in crate::storage) struct Entries {
    pub open: HashMap<FileId, Entry>,
    /// Files that arrays were done with while another thread still worked on them: closing one drops the lock of the
    /// array that the same file has got since.
    pub lingering: Vec<(FileId, Arc<File>)>,
    pub unsynced: LeftUnsynced,
}

/// What was not on disk of files whose arrays were closed, until the files are opened again: a failed sync is the module's to
/// repeat, also where the binding that closed the array then failed.
#[derive(Default)]
pub(in crate::storage) struct LeftUnsynced(VecDeque<(FileId, Unsynced)>);

impl LeftUnsynced {
    /// Of so many files at most: those that others deleted are never opened again.
    const MOST: usize = 1000;

    /// Keeps what an array left. That counts no more towards what waits for the disk: it is not synced until it is taken over.
    pub fn keep(&mut self, id: FileId, unsynced: Unsynced) {
        self.forget(id);
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((id, unsynced.uncounted()));
    }

    pub fn take(&mut self, id: FileId) -> Option<Unsynced> {
        let at = self.0.iter().position(|(other, _)| *other == id)?;
        self.0.remove(at).map(|(_, unsynced)| unsynced)
    }

    /// Has the next array of a file take over what the one before left. If the file cannot be opened, that is kept.
    ///
    /// A file that is only to be read is opened for writing all the same, as after its last key that could write: so it is
    /// synced, and its lock is kept until then.
    pub fn hand_over(
        &mut self,
        id: FileId,
        unsynced: Unsynced,
        access: Access,
        open: impl Fn(Access) -> Result<Arc<Array>>,
    ) -> Result<Arc<Array>> {
        match open(Access::Writable) {
            Ok(array) => {
                array.take_over(unsynced);
                if access == Access::ReadOnly {
                    array.stop_writing();
                    array.ask(Chore::Retire);
                }
                Ok(array)
            }
            Err(error) => {
                self.keep(id, unsynced);
                match access {
                    // Another process writes it by now, or this one may not any more.
                    Access::ReadOnly => open(access),
                    Access::Writable => Err(error),
                }
            }
        }
    }

    fn forget(&mut self, id: FileId) {
        self.0.retain(|(other, _)| *other != id);
    }
}

impl Entries {
    /// Enters an array of a new file. A file that had the same number before is gone, with what was not on disk of it.
    pub fn insert_new(&mut self, id: FileId, entry: Entry) {
        self.unsynced.forget(id);
        self.open.insert(id, entry);
    }

    /// Closes the files that no work and no array uses any more; whether all that are left have an array.
    pub fn let_go(&mut self) -> bool {
        let Self {
            open, lingering, ..
        } = self;
        lingering.retain(|(id, file)| open.contains_key(id) || Arc::strong_count(file) > 1);
        lingering.iter().all(|(id, _)| open.contains_key(id))
    }
}

pub(in crate::storage) struct Entry {
    pub array: Arc<Array>,
    /// Number of keys bound to it. At 0 it waits for the worker to close it.
    pub bindings: usize,
    /// How many of them may write. When the last of them goes, the array becomes read-only.
    pub writers: usize,
}

impl Entry {
    /// The entry of an array that was opened for a first binding.
    pub fn new(array: &Arc<Array>, access: Access) -> Self {
        let mut entry = Self {
            array: Arc::clone(array),
            bindings: 0,
            writers: 0,
        };
        entry.add(access);
        entry
    }

    pub fn add(&mut self, access: Access) {
        self.bindings += 1;
        self.writers += usize::from(access == Access::Writable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::array::state::durability::Durability;
    use crate::storage::array::state::pace::Dirty;
    use crate::storage::settings::Settings;

    fn file(inode: u64) -> FileId {
        FileId { device: 1, inode }
    }

    #[test]
    fn what_is_left_of_files_that_are_never_opened_again_is_bounded_and_holds_up_no_writes() {
        let (dirty, settings) = (Dirty::default(), Settings::default());
        let mut left = LeftUnsynced::default();
        for inode in 0..=LeftUnsynced::MOST as u64 {
            let mut durability = Durability::found(0, None, dirty.share());
            durability.wrote(0..10_000, &settings);
            left.keep(file(inode), durability.close().unwrap());
        }
        assert_eq!(dirty.bytes(), 0);
        assert!(left.take(file(0)).is_none(), "the oldest is forgotten");
        assert!(left.take(file(1)).is_some() && left.take(file(1)).is_none());
    }
}
