//! Binding a file: it is created, opened, or found open.

use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::identity::FileId;
use crate::storage::files::path::FilePath;
use crate::storage::files::root::{Found, Root};
use crate::storage::store::entries::{Entries, Entry};
use crate::storage::store::registry::Registry;
use crate::storage::types::ItemType;

/// What a file is to be bound as.
struct Terms<'a> {
    root: &'a Root,
    path: &'a FilePath,
    item: ItemType,
    access: Access,
}

impl Registry {
    /// Opens the file at `path`, or finds that it is open already, and counts one more binding.
    /// `create` makes a missing file, where it is to be writable.
    ///
    /// # Errors
    /// Whatever keeps the file from being opened as an array of that type.
    pub(in crate::storage) fn bind(
        &self,
        root: &Root,
        path: &FilePath,
        item: ItemType,
        access: Access,
        create: bool,
    ) -> Result<Arc<Array>> {
        let terms = Terms {
            root,
            path,
            item,
            access,
        };
        let mut entries = self.entries.lock();
        match root.find(path)? {
            None if create && access == Access::Writable => self.create(&mut entries, &terms),
            None => Err(Error::Missing {
                path: path.to_string(),
                // A binding that is only restored is about a file that was there once.
                hint: if create {
                    "; map it WRITABLE to create it"
                } else {
                    ""
                },
            }),
            Some(found) if entries.is_bound(found.id) => entries.bind_again(&found, &terms),
            Some(found) => self.open(&mut entries, &found, &terms),
        }
    }

    fn create(&self, entries: &mut Entries, terms: &Terms<'_>) -> Result<Arc<Array>> {
        let Terms { root, path, .. } = *terms;
        let (file, id) = root.create(path)?;
        let array = Array::new(self.context(), (file, id), path, terms.item, terms.access)
            .inspect_err(|error| {
                // If another process has locked it, it belongs to that process.
                if !matches!(error, Error::Locked { .. }) {
                    root.remove(path);
                }
            })?;
        entries.insert_new(id, Entry::new(&array, terms.access));
        Ok(array)
    }

    /// Opens a file that no key is bound to. Between two bindings anybody may have changed it: it is looked at afresh.
    fn open(&self, entries: &mut Entries, found: &Found, terms: &Terms<'_>) -> Result<Arc<Array>> {
        let Terms {
            root,
            path,
            item,
            access,
        } = *terms;
        let closed = match entries.open.get(&found.id) {
            Some(entry) => {
                let array = Arc::clone(&entry.array);
                self.close(entries, &array)?
            }
            None => None,
        };
        let open = |access| {
            let file = root.open_found(found, path, access)?;
            Array::new(self.context(), (file, found.id), path, item, access)
        };
        let array = match entries.unsynced.take(found.id).or(closed) {
            Some(unsynced) => entries
                .unsynced
                .hand_over(found.id, unsynced, access, open)?,
            None => open(access)?,
        };
        array.sync_in_time();
        entries.open.insert(found.id, Entry::new(&array, access));
        Ok(array)
    }
}

impl Entries {
    /// Whether a key is bound to a file.
    pub fn is_bound(&self, id: FileId) -> bool {
        self.open.get(&id).is_some_and(|entry| entry.bindings > 0)
    }

    /// Binds another key to the array of a file. An array that was lost, or is to be written from now on, gets the file again.
    fn bind_again(&mut self, found: &Found, terms: &Terms<'_>) -> Result<Arc<Array>> {
        let entry = self.open.get_mut(&found.id).expect("it is bound");
        let array = Arc::clone(&entry.array);
        check_type(&array, terms)?;
        let is_to_be_writable = terms.access == Access::Writable;
        if array.is_lost() || is_to_be_writable && !array.is_writable() {
            let access = if array.is_writable() {
                Access::Writable
            } else {
                terms.access
            };
            let file = terms.root.open_found(found, terms.path, access)?;
            let old_id = array.id();
            array.reopen(file, access, |old| {
                self.lingering.extend(old.map(|old| (old_id, old)));
            })?;
            if is_to_be_writable && let Some(unsynced) = self.unsynced.take(old_id) {
                array.take_over(unsynced);
            }
        }
        entry.add(terms.access);
        Ok(array)
    }
}

/// Fails if a key is to have other values than those that have the array.
fn check_type(array: &Array, terms: &Terms<'_>) -> Result<()> {
    let is_under_other_name = array.layout.npy.is_some() != terms.path.is_npy();
    if array.item() == terms.item && !is_under_other_name {
        return Ok(());
    }
    Err(Error::TypeConflict {
        path: terms.path.to_string(),
        bound: if is_under_other_name {
            format!("{} under the name '{}'", array.item(), array.path)
        } else {
            array.item().to_string()
        },
    })
}
