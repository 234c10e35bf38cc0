//! Which files are open. Each file is open at most once in a process, under however many keys and names:
//! so two keys can never see two versions of one file, and no closing drops the lock of another.

use std::fs::File;
use std::sync::{Arc, Weak};

use crossbeam_channel::Sender;

use crate::storage::array::attendant::{Attendant, Chore};
use crate::storage::array::handle::Array;
use crate::storage::array::shared::Shared;
use crate::storage::array::state::durability::Unsynced;
use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::identity::FileId;
use crate::storage::files::path::FilePath;
use crate::storage::files::root::Root;
use crate::storage::format::npy::NpyHeader;
use crate::storage::lock_order::{OfRegistry, OfSync, Ordered, OrderedGuard};
use crate::storage::stats::Totals;
use crate::storage::store::entries::{Entries, Entry};
use crate::storage::store::post::{Post, WorkerMessage};
use crate::storage::types::ItemType;

/// The open files of a server.
pub struct Registry {
    shared: Arc<Shared>,
    post: Arc<Post>,
    pub(super) entries: Ordered<OfRegistry, Entries>,
}

impl Registry {
    /// Of no files yet, whose arrays have their chores sent to `jobs`.
    pub(in crate::storage) fn new(shared: &Arc<Shared>, jobs: Sender<WorkerMessage>) -> Arc<Self> {
        Arc::new_cyclic(|registry: &Weak<Self>| {
            let registry = Weak::clone(registry);
            let arrays = move || registry.upgrade().map_or_else(Vec::new, |it| it.arrays());
            Self {
                shared: Arc::clone(shared),
                post: Arc::new(Post::new(jobs, arrays)),
                entries: Ordered::default(),
            }
        })
    }

    /// The way to the worker.
    pub(in crate::storage) fn post(&self) -> &Arc<Post> {
        &self.post
    }

    pub(super) fn context(&self) -> (Arc<Shared>, Arc<dyn Attendant<Array>>) {
        (Arc::clone(&self.shared), Arc::clone(&self.post) as _)
    }

    /// Takes in a new file that has no name yet, as bound once.
    pub(in crate::storage) fn adopt(
        &self,
        file: File,
        id: FileId,
        path: &FilePath,
        item: ItemType,
    ) -> Result<Arc<Array>> {
        let array = Array::new(self.context(), (file, id), path, item, Access::Writable)?;
        let entry = Entry::new(&array, Access::Writable);
        self.entries.lock().insert_new(id, entry);
        Ok(array)
    }

    /// The array of a file that is bound to a key.
    pub(in crate::storage) fn find(&self, id: FileId) -> Option<Arc<Array>> {
        let entries = self.entries.lock();
        let entry = entries.open.get(&id).filter(|entry| entry.bindings > 0)?;
        Some(Arc::clone(&entry.array))
    }

    /// The array that was opened under a path and is bound to a key, wherever its file is now.
    pub(in crate::storage) fn find_by_path(&self, path: &FilePath) -> Option<Arc<Array>> {
        self.find_bound(|array| array.path() == path)
    }

    /// The array that was opened under a path that names this place, and is bound to a key, wherever its file is now.
    pub(in crate::storage) fn find_by_place(
        &self,
        root: &Root,
        path: &FilePath,
    ) -> Option<Arc<Array>> {
        let sought = root.sought(path);
        self.find_bound(|array| sought.is_of(array.path()))
    }

    fn find_bound(&self, is_it: impl Fn(&Array) -> bool) -> Option<Arc<Array>> {
        let entries = self.entries.lock();
        let entry = entries
            .open
            .values()
            .find(|entry| entry.bindings > 0 && is_it(&entry.array))?;
        Some(Arc::clone(&entry.array))
    }

    /// Counts one binding more of an array; `false` if no key is bound to it any more.
    pub(in crate::storage) fn bind_once_more(&self, array: &Arc<Array>, access: Access) -> bool {
        let mut entries = self.entries.lock();
        match entries.open.get_mut(&array.id()) {
            Some(entry) if entry.bindings > 0 && Arc::ptr_eq(&entry.array, array) => {
                entry.add(access);
                true
            }
            _ => false,
        }
    }

    /// Gives an array another file, which is to be empty, and lets go of the one it had.
    pub(in crate::storage) fn replace_file(
        &self,
        array: &Arc<Array>,
        file: File,
        id: FileId,
    ) -> Result<()> {
        let mut entries = self.entries.lock();
        // The old descriptor, where another thread still uses it, belongs to the old file.
        let old = array.id();
        let mut is_replaced = false;
        let result = array.reopen(file, Access::Writable, |file| {
            is_replaced = true;
            entries.lingering.extend(file.map(|file| (old, file)));
        });
        if is_replaced {
            self.renamed(&mut entries, array, id);
        }
        result
    }

    /// Closes the files that no work and no array uses any more; whether all that are left have an array.
    pub(in crate::storage) fn let_go(&self) -> bool {
        self.entries.lock().let_go()
    }

    /// As [`Self::let_go`]. What is left then, as another thread works on it, takes room on the disk until the worker closes it.
    fn let_go_of(&self, entries: &mut Entries) {
        if !entries.let_go() {
            self.post().send(WorkerMessage::LetGo);
        }
    }

    /// How many keys are bound to an array.
    pub(in crate::storage) fn bindings_of(&self, array: &Arc<Array>) -> usize {
        let entries = self.entries.lock();
        // Looked up under the lock: which file it is changes when its head is dropped.
        entries
            .open
            .get(&array.id())
            .filter(|entry| Arc::ptr_eq(&entry.array, array))
            .map_or(0, |entry| entry.bindings)
    }

    /// Closes a file that no key is bound to any more, before the worker does.
    pub(in crate::storage) fn close_unbound(&self, id: FileId) -> Result<()> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.open.get(&id).filter(|entry| entry.bindings == 0) {
            let array = Arc::clone(&entry.array);
            if let Some(unsynced) = self.close(&mut entries, &array)? {
                entries.unsynced.keep(id, unsynced);
            }
        }
        Ok(())
    }

    /// The type of the values of a `.npy` file, as its header says.
    ///
    /// # Errors
    /// If there is no such file, or it is none that could be bound.
    pub(in crate::storage) fn npy_item(&self, root: &Root, path: &FilePath) -> Result<ItemType> {
        let entries = self.entries.lock();
        let Some(found) = root.find(path)? else {
            return Err(Error::Missing {
                path: path.to_string(),
                hint: "; with a type and WRITABLE, MMAP creates it",
            });
        };
        // A file that is open must not be opened a second time: closing that would drop its lock.
        if let Some(entry) = entries.open.get(&found.id) {
            return Ok(entry.array.item());
        }
        let file = root.open_found(&found, path, Access::ReadOnly)?;
        NpyHeader::read(&file, path).map(|header| header.item)
    }

    /// Counts one binding less. After the last one the file gets its exact length and is closed; after the last one that
    /// may write it becomes read-only.
    pub(in crate::storage) fn unbind(&self, array: &Arc<Array>, access: Access) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.open.get_mut(&array.id()) else {
            return;
        };
        if !Arc::ptr_eq(&entry.array, array) {
            return;
        }
        let may_write = access == Access::Writable;
        entry.bindings -= 1;
        entry.writers -= usize::from(may_write);
        if entry.bindings == 0 {
            array.trim_at_unbinding();
        } else if may_write && entry.writers == 0 {
            array.stop_writing();
        } else {
            return;
        }
        array.ask(Chore::Retire);
    }

    /// Counts a binding that may write as one that only reads. The array stays open for writing.
    pub(in crate::storage) fn count_as_reader(&self, array: &Arc<Array>) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.open.get_mut(&array.id()) {
            entry.writers -= 1;
        }
    }

    /// Closes an array that no key is bound to any more, and lets other processes write one that no key may write. The
    /// worker calls it, once the array is synced.
    pub(in crate::storage) fn retire(&self, array: &Arc<Array>) -> Result<()> {
        array.unmark_early();
        let mut entries = self.entries.lock();
        let entry = entries
            .open
            .get(&array.id())
            .filter(|entry| Arc::ptr_eq(&entry.array, array));
        match entry {
            Some(entry) if entry.bindings == 0 => self.close(&mut entries, array).map(drop),
            Some(entry) if entry.writers == 0 => array.end_settling(),
            _ => Ok(()),
        }
    }

    /// Closes an array, and says what may not be on disk yet.
    pub(super) fn close(
        &self,
        entries: &mut Entries,
        array: &Arc<Array>,
    ) -> Result<Option<Unsynced>> {
        let (file, unsynced) = array.close()?;
        let id = array.id();
        entries.open.remove(&id);
        entries.lingering.extend(file.map(|file| (id, file)));
        self.let_go_of(entries);
        Ok(unsynced)
    }

    /// Number of arrays that a key is bound to.
    pub(in crate::storage) fn bound(&self) -> u64 {
        self.entries
            .lock()
            .open
            .values()
            .filter(|e| e.bindings > 0)
            .count() as u64
    }

    /// Whether a key is bound to that file.
    pub(in crate::storage) fn is_bound(&self, id: FileId) -> bool {
        self.entries.lock().is_bound(id)
    }

    /// As [`Self::lock`], while an array is not synced.
    pub(in crate::storage) fn lock_under(
        &self,
        syncing: &OrderedGuard<'_, OfSync, ()>,
    ) -> OrderedGuard<'_, OfRegistry, Entries> {
        self.entries.lock_under(syncing)
    }

    /// The open files, while nothing is bound or unbound.
    pub(in crate::storage) fn lock(&self) -> OrderedGuard<'_, OfRegistry, Entries> {
        self.entries.lock()
    }

    /// An array has another file from now on.
    pub(in crate::storage) fn renamed(&self, entries: &mut Entries, array: &Array, id: FileId) {
        if let Some(entry) = entries.open.remove(&array.id()) {
            entries.insert_new(id, entry);
        }
        array.set_id(id);
        // What was kept for the lock of the file that it had.
        self.let_go_of(entries);
    }

    /// All open arrays.
    pub(in crate::storage) fn arrays(&self) -> Vec<Arc<Array>> {
        let entries = self.entries.lock();
        entries
            .open
            .values()
            .map(|e| Arc::clone(&e.array))
            .collect()
    }

    pub(in crate::storage) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for entry in self.entries.lock().open.values().filter(|e| e.bindings > 0) {
            totals += entry.array.totals();
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use crossbeam_channel::Receiver;
    use tempfile::TempDir;

    use super::*;
    use crate::storage::tests::{WithoutWorker, path, wait_until, without_worker};

    /// A registry without a worker, in which the sync of an array has failed.
    struct Failed {
        registry: Arc<Registry>,
        root: Root,
        jobs: Receiver<WorkerMessage>,
        id: FileId,
    }

    impl Failed {
        /// The file "f" is unbound, and the worker has not closed it yet.
        fn unbound_in(dir: &Path) -> Self {
            let WithoutWorker {
                registry,
                root,
                array,
                jobs,
            } = without_worker(dir);
            array.append(&[7; 16]).unwrap();
            array
                .lock()
                .refuse_writes(0, io::Error::from_raw_os_error(5));
            registry.unbind(&array, Access::Writable);
            let id = array.id();
            Self {
                registry,
                root,
                jobs,
                id,
            }
        }

        fn bind(&self, item: ItemType, access: Access) -> Result<Arc<Array>> {
            self.registry
                .bind(&self.root, &path("f"), item, access, false)
        }
    }

    fn is_refused(array: &Arc<Array>) -> bool {
        array.lock().durability.refusal().is_some()
    }

    fn is_marked(file: &Path) -> bool {
        rustix::fs::getxattr(file, "user.mmap", &mut [0_u8; 64]).is_ok()
    }

    #[test]
    fn the_mark_of_a_file_that_is_closed_is_removed_while_others_have_the_registry() {
        let dir = TempDir::new().unwrap();
        let failed = Failed::unbound_in(dir.path());
        let array = Arc::clone(&failed.registry.arrays()[0]);
        array.sync().unwrap();
        let file = dir.path().join("f");
        assert!(is_marked(&file));
        let entries = failed.registry.lock();
        std::thread::scope(|scope| {
            scope.spawn(|| failed.registry.retire(&array).unwrap());
            let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                wait_until("it is unmarked", || !is_marked(&file));
            }));
            drop(entries);
            waited.unwrap();
        });
        assert!(failed.registry.arrays().is_empty());
    }

    #[test]
    fn what_is_not_on_disk_is_synced_though_the_file_is_only_read_from_now_on() {
        let dir = TempDir::new().unwrap();
        let failed = Failed::unbound_in(dir.path());
        let _ = failed.jobs.try_iter().count();
        let array = failed.bind(ItemType::DOUBLE, Access::ReadOnly).unwrap();
        assert!(!array.is_writable() && is_refused(&array));
        assert!(failed.jobs.try_iter().any(|job| matches!(
            job,
            WorkerMessage::Chore(other, Chore::Retire) if Arc::ptr_eq(&other, &array)
        )));
        failed.registry.retire(&array).unwrap();
        assert!(
            array.lock().usage.is_settling(),
            "its lock is kept until it is synced"
        );
        array.sync().unwrap();
        assert!(!is_refused(&array) && array.lock().durability.is_settled());
        failed.registry.retire(&array).unwrap();
        assert!(!array.lock().usage.is_settling());
    }

    #[test]
    fn a_binding_that_fails_does_not_forget_a_failed_sync() {
        for access in [Access::ReadOnly, Access::Writable] {
            let dir = TempDir::new().unwrap();
            let failed = Failed::unbound_in(dir.path());
            let odd = ItemType::parse(b"string", Some(b"3")).unwrap();
            assert!(failed.bind(odd, Access::Writable).is_err());
            let array = failed.bind(ItemType::DOUBLE, access).unwrap();
            assert!(is_refused(&array), "{access:?}");
            array.sync().unwrap();
            assert!(!is_refused(&array), "{access:?}");
        }
    }

    #[test]
    fn who_can_only_read_a_file_leaves_a_failed_sync_to_the_next_who_writes_it() {
        let dir = TempDir::new().unwrap();
        let failed = Failed::unbound_in(dir.path());
        let odd = ItemType::parse(b"string", Some(b"3")).unwrap();
        let array = failed.bind(odd, Access::ReadOnly).unwrap();
        assert!(!is_refused(&array));
        failed.registry.unbind(&array, Access::ReadOnly);
        let array = failed.bind(ItemType::DOUBLE, Access::Writable).unwrap();
        assert!(is_refused(&array));
    }

    #[test]
    fn a_file_that_was_only_read_is_not_opened_for_writing_as_another_server_left_it_unsynced() {
        let dir = TempDir::new().unwrap();
        let failed = Failed::unbound_in(dir.path());
        failed.registry.close_unbound(failed.id).unwrap();
        let registry = Registry::new(&Arc::new(Shared::new()), crossbeam_channel::unbounded().0);
        for _ in 0..2 {
            let array = registry
                .bind(
                    &failed.root,
                    &path("f"),
                    ItemType::DOUBLE,
                    Access::ReadOnly,
                    false,
                )
                .unwrap();
            assert!(!array.lock().usage.is_settling());
            registry.unbind(&array, Access::ReadOnly);
        }
    }

    #[test]
    fn closing_a_file_to_ask_for_its_lock_does_not_forget_a_failed_sync() {
        let dir = TempDir::new().unwrap();
        let failed = Failed::unbound_in(dir.path());
        failed.registry.close_unbound(failed.id).unwrap();
        let array = failed.bind(ItemType::DOUBLE, Access::Writable).unwrap();
        assert!(is_refused(&array));
    }

    #[test]
    fn a_new_file_is_not_held_to_what_one_of_its_number_left() {
        let dir = TempDir::new().unwrap();
        let failed = Failed::unbound_in(dir.path());
        failed.registry.close_unbound(failed.id).unwrap();
        let Failed {
            registry, root, id, ..
        } = &failed;
        let file = File::options()
            .read(true)
            .write(true)
            .open(dir.path().join("f"))
            .unwrap();
        let array = registry.adopt(file, *id, &path("f"), ItemType::DOUBLE);
        registry.unbind(&array.unwrap(), Access::Writable);
        let bound = registry.bind(root, &path("f"), ItemType::DOUBLE, Access::Writable, false);
        assert!(!is_refused(&bound.unwrap()));
    }
}
