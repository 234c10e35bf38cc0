//! What the registry knows of the open files.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::files::access::Access;
use crate::storage::files::identity::FileId;

/// What is known of the open files.
#[derive(Default)]
pub(in crate::storage) struct Entries {
    pub open: HashMap<FileId, Entry>,
    /// Files that arrays were done with while another thread still worked on them: closing one drops the lock of the
    /// array that the same file has got since.
    pub lingering: Vec<(FileId, Arc<File>)>,
}

impl Entries {
    /// Closes the files that nobody works on any more, and that no array has; whether none is left that no array has.
    pub fn let_go(&mut self) -> bool {
        let Self { open, lingering } = self;
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
