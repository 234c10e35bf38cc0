//! The values of an array as they were at one moment, for work that takes longer than commands may wait.
//!
//! A snapshot copies nothing when it is taken. It copies a chunk of the file at a time, without the array's lock. Before a command
//! changes values that a snapshot has, it leaves the old ones in the snapshot's [`UndoLog`]; a reader lays them over what it read. Appends concern no snapshot. A change that is too large to be undone breaks
//! the snapshot instead: its reader is told, and begins again with a new one.
//!
//! It copies with `pread`, or for a range that is long from a mapping of its own (see [`crate::storage::memory::window`]), which spares a
//! copy in the kernel. It is never the mapping that commands write through: what happens to a page there is theirs. Where
//! a window fails, `pread` says what is wrong. In either way a page that is not in memory is read by the thread that
//! asks.

use std::collections::TryReserveError;
use std::fs::File;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use crate::storage::array::handle::Array;
use crate::storage::array::state::undo::UndoLog;
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::memory::guard::Fault;
use crate::storage::memory::window::Window;

/// The values of an array at one moment. Several threads may read it.
pub struct Snapshot {
    array: Arc<Array>,
    file: Weak<File>,
    undo: Arc<UndoLog>,
}

/// Why a snapshot cannot be read.
#[derive(Debug)]
pub enum Broken {
    /// Too much was changed during the scan; a new snapshot may succeed.
    Changed,
    Failed(Error),
}

impl From<TryReserveError> for Broken {
    fn from(error: TryReserveError) -> Self {
        Self::Failed(error.into())
    }
}

impl Array {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// As [`Array::view`].
    pub fn snapshot(self: &Arc<Self>) -> Result<Snapshot> {
        // This notices changes of the file by other processes.
        drop(self.view()?);
        let mut locked = self.lock();
        let count = locked.extent.count();
        let file = locked.file()?;
        let undo = Arc::new(UndoLog::new(self.item_size(), self.layout.data_at(), count));
        locked.snapshots.add(&undo);
        Ok(Snapshot {
            array: Arc::clone(self),
            file: Arc::downgrade(&file),
            undo,
        })
    }

    /// Why the file is shorter than its values.
    fn explain_short_file(self: &Arc<Self>) -> Broken {
        let mut locked = self.lock();
        if !locked.usage.is_writable() {
            return Broken::Changed;
        }
        locked
            .file_as_left()
            .map_or_else(Broken::Failed, |_| Broken::Changed)
    }
}

impl Snapshot {
    /// Number of values.
    pub fn count(&self) -> u64 {
        self.undo.count()
    }

    /// Reads the values from `index` on, as many as `out` holds. They must exist.
    ///
    /// # Errors
    /// If the file was closed, truncated by another process or cannot be read, or if too much of it was changed.
    pub fn read(&self, index: u64, out: &mut [u8]) -> std::result::Result<(), Broken> {
        self.read_by(index, out, |offset, out| self.read_file(offset, out))
    }

    /// [`Self::read`] through a window, which the thread that reads keeps from one read to the next; what no window shows is
    /// read from the file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(in crate::storage) fn read_through(
        &self,
        window: &mut Option<Arc<Window>>,
        index: u64,
        out: &mut [u8],
    ) -> std::result::Result<(), Broken> {
        self.read_by(index, out, |offset, out| {
            // Behind these, values were cut off: they may be there no more.
            let intact = self.undo.offset(self.undo.intact());
            let is_there = offset + out.len() as u64 <= intact;
            if is_there && self.read_windows(window, offset, out)?.is_ok() {
                return Ok(out.len());
            }
            self.read_file(offset, out)
        })
    }

    /// Reads what is at an offset by `read`, and puts back what was changed.
    fn read_by(
        &self,
        index: u64,
        out: &mut [u8],
        read: impl FnOnce(u64, &mut [u8]) -> std::result::Result<usize, Broken>,
    ) -> std::result::Result<(), Broken> {
        if self.undo.is_broken() {
            return Err(Broken::Changed);
        }
        let read = read(self.undo.offset(index), out)?;
        // What was seen to change has been kept before: the writer has a fence between the two.
        fence(Ordering::Acquire);
        let intact = self.undo.intact() * self.undo.item_size();
        let expected = intact.saturating_sub(index * self.undo.item_size());
        if (read as u64) < expected.min(out.len() as u64) {
            return Err(self.array.explain_short_file());
        }
        self.undo.restore(index, out);
        Ok(())
    }

    /// Reads all of `out` through one window after the other; [`Fault`] if that cannot be done.
    ///
    /// It does not delay closing the file: a window needs no descriptor. What is read of a file that is closed during the
    /// read may belong to another array by then, and is not used.
    fn read_windows(
        &self,
        window: &mut Option<Arc<Window>>,
        offset: u64,
        out: &mut [u8],
    ) -> std::result::Result<std::result::Result<(), Fault>, Broken> {
        let mut read = 0;
        while read < out.len() {
            let at = offset + read as u64;
            let shown = match window.take_if(|window| window.shows(at)) {
                Some(window) => window,
                None => match self.window_at(at)? {
                    Some(window) => window,
                    None => return Ok(Err(Fault)),
                },
            };
            let Ok(bytes) = shown.read(at, &mut out[read..]) else {
                return Ok(Err(Fault));
            };
            read += bytes;
            *window = Some(shown);
        }
        fence(Ordering::Acquire);
        if self.undo.is_closed() {
            return Err(self.closed());
        }
        Ok(Ok(()))
    }

    /// The window at an offset; `None` if the system has none.
    fn window_at(&self, offset: u64) -> std::result::Result<Option<Arc<Window>>, Broken> {
        let windows = &self.array.shared.windows;
        let shown = self.with_file(|file| windows.showing(file, offset))?;
        Ok(shown.ok().map(|(window, gone)| {
            self.array.unmap(gone);
            window
        }))
    }

    /// Does something with the file, which is not closed during it.
    fn with_file<R>(&self, work: impl FnOnce(&Arc<File>) -> R) -> std::result::Result<R, Broken> {
        let _reading = self.array.reading.read();
        if self.undo.is_closed() {
            return Err(self.closed());
        }
        // Another file has taken its place if it is gone though the array is open.
        let file = self.file.upgrade().ok_or(Broken::Changed)?;
        Ok(work(&file))
    }

    fn closed(&self) -> Broken {
        let path = self.array.path().to_string();
        Broken::Failed(Error::Unbound { path })
    }

    /// Reads as much as there is of the bytes from `offset` on.
    fn read_file(&self, offset: u64, out: &mut [u8]) -> std::result::Result<usize, Broken> {
        self.with_file(|file| {
            disk::read_at(&**file, offset, out)
                .map_err(|error| Broken::Failed(self.array.failed("read", error)))
        })?
    }

    /// Whether all that was read was there at one moment.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn check(&self) -> std::result::Result<(), Broken> {
        self.check_length()?;
        // No write is halfway under the lock.
        let _locked = self.array.lock();
        if self.undo.is_broken() {
            return Err(Broken::Changed);
        }
        Ok(())
    }
}

impl Snapshot {
    /// Finds out whether another process cut the file: of a page that still has some of it, a window shows the rest as
    /// zeros.
    fn check_length(&self) -> std::result::Result<(), Broken> {
        let Ok(len) = self.with_file(|file| file.metadata().map(|file| file.len())) else {
            // It is closed, and was not when it was read.
            return Ok(());
        };
        let len = len.map_err(|error| Broken::Failed(self.array.failed("look at", error)))?;
        // What the array cut off itself it had noted before.
        fence(Ordering::SeqCst);
        if len < self.undo.offset(self.undo.intact()) {
            return Err(self.array.explain_short_file());
        }
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.array.lock().snapshots.remove(&self.undo);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::storage::files::access::Access;
    use crate::storage::types::ItemType;
    use crate::storage::{Bound, FilePath, Root, Store};

    const COUNT: u64 = 20_000;

    fn store_in(dir: &Path) -> Store {
        Store::new(Root::open(dir).unwrap(), 1).unwrap()
    }

    /// An array of `COUNT` doubles, each its own index.
    fn array(store: &Store) -> Bound {
        let path = FilePath::new(b"f").unwrap();
        let bound = store
            .bind(&path, ItemType::DOUBLE, Access::Writable, true)
            .unwrap();
        bound.append(&bytes(0..COUNT)).unwrap();
        bound
    }

    fn bytes(values: std::ops::Range<u64>) -> Vec<u8> {
        values
            .flat_map(|value| (value as f64).to_le_bytes())
            .collect()
    }

    type Read = fn(&Snapshot, u64, &mut [u8]) -> std::result::Result<(), Broken>;

    /// From the file, and through windows.
    const WAYS: [Read; 2] = [
        |snapshot, index, out| snapshot.read(index, out),
        |snapshot, index, out| snapshot.read_through(&mut None, index, out),
    ];

    /// All values, which are the same in whatever way they are read.
    fn read(snapshot: &Snapshot) -> Vec<u8> {
        let [from_file, through_windows] = WAYS.map(|way| {
            let mut out = vec![0xff; snapshot.count() as usize * 8];
            for (i, chunk) in out.chunks_mut(8 * 999).enumerate() {
                way(snapshot, i as u64 * 999, chunk).unwrap();
            }
            out
        });
        assert!(from_file == through_windows);
        from_file
    }

    #[test]
    fn what_is_changed_later_is_not_seen() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = array(&store);
        let snapshot = bound.snapshot().unwrap();
        bound.set(&[0, 7, COUNT - 1], &bytes(100..103)).unwrap();
        bound.set(&[7], &bytes(5..6)).unwrap();
        bound.append(&bytes(0..10)).unwrap();
        assert_eq!(bound.pop(100).unwrap().len(), 800);
        bound.append(&bytes(0..1000)).unwrap();
        bound.set(&[COUNT - 50], &bytes(1..2)).unwrap();
        assert_eq!(read(&snapshot), bytes(0..COUNT));
        snapshot.check().unwrap();
        // And a new one sees it all.
        let now = read(&bound.snapshot().unwrap());
        let mut expected = vec![0; now.len()];
        bound.view().unwrap().read(0, &mut expected).unwrap();
        assert_eq!(now, expected);
    }

    #[test]
    fn values_that_are_gone_are_still_seen() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = array(&store);
        let snapshot = bound.snapshot().unwrap();
        for _ in 0..3 {
            bound.pop(3000).unwrap();
        }
        assert_eq!(read(&snapshot), bytes(0..COUNT));
        snapshot.check().unwrap();
    }

    #[test]
    fn too_large_a_change_breaks_a_snapshot() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = array(&store);
        let snapshot = bound.snapshot().unwrap();
        bound.clear().unwrap();
        for way in WAYS {
            let read = way(&snapshot, 0, &mut [0; 8]);
            assert!(matches!(read, Err(Broken::Changed)), "{read:?}");
        }
        assert!(matches!(snapshot.check(), Err(Broken::Changed)));
        assert_eq!(bound.snapshot().unwrap().count(), 0);
    }

    /// A way to write that does not tell beforehand must not go unnoticed.
    #[test]
    fn a_change_that_nobody_announced_breaks_a_snapshot() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = array(&store);
        let snapshot = bound.snapshot().unwrap();
        bound.lock().snapshots.after_write(COUNT * 8);
        snapshot.check().unwrap();
        bound.lock().snapshots.after_write(8);
        assert!(matches!(snapshot.check(), Err(Broken::Changed)));
    }

    #[test]
    fn an_array_that_is_unbound_lets_go_of_its_file() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = array(&store);
        let snapshot = bound.snapshot().unwrap();
        drop(bound);
        let again = store.bind(
            &FilePath::new(b"f").unwrap(),
            ItemType::DOUBLE,
            Access::Writable,
            false,
        );
        assert_eq!(again.unwrap().view().unwrap().count(), COUNT);
        for way in WAYS {
            let error = way(&snapshot, 0, &mut [0; 8]).unwrap_err();
            assert!(
                matches!(error, Broken::Failed(Error::Unbound { .. })),
                "{error:?}"
            );
        }
    }

    /// A thread may have looked whether the snapshot is broken just before.
    #[test]
    fn a_file_that_a_copy_without_the_head_replaced_was_changed() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = array(&store);
        let snapshot = bound.snapshot().unwrap();
        store.drop_head(&bound.share(), 1).unwrap();
        let read = snapshot.with_file(|_| ());
        assert!(matches!(read, Err(Broken::Changed)), "{read:?}");
        for way in WAYS {
            let read = way(&snapshot, 0, &mut [0; 8]);
            assert!(matches!(read, Err(Broken::Changed)), "{read:?}");
        }
    }

    /// A thread may have a window in hand when the file becomes another array's.
    #[test]
    fn a_window_shows_nothing_of_an_array_that_is_unbound() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = array(&store);
        let snapshot = bound.snapshot().unwrap();
        let (mut window, mut out) = (None, [0; 8]);
        snapshot.read_through(&mut window, 5, &mut out).unwrap();
        assert_eq!(out[..], bytes(5..6));
        drop(bound);
        let path = FilePath::new(b"f").unwrap();
        let again = store.bind(&path, ItemType::DOUBLE, Access::Writable, false);
        again.unwrap().set(&[5], &bytes(6..7)).unwrap();
        assert!(window.is_some());
        let error = snapshot.read_through(&mut window, 5, &mut out).unwrap_err();
        assert!(
            matches!(error, Broken::Failed(Error::Unbound { .. })),
            "{error:?}"
        );
    }

    #[test]
    fn a_file_that_another_process_cut_is_an_error() {
        for way in WAYS {
            another_process_cuts(way);
        }
    }

    fn another_process_cuts(way: Read) {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = array(&store);
        bound.sync_exact().unwrap();
        let snapshot = bound.snapshot().unwrap();
        let file = File::options()
            .write(true)
            .open(dir.path().join("f"))
            .unwrap();
        file.set_len(8000).unwrap();
        way(&snapshot, 0, &mut [0; 8000]).unwrap();
        let in_the_last_page = way(&snapshot, 1000, &mut [0; 8]);
        let beyond = way(&snapshot, 900, &mut [0; 1600]);
        // What a window shows in the last page is zeros, but that is found out in the end.
        for read in [in_the_last_page.and_then(|()| snapshot.check()), beyond] {
            let error = read.unwrap_err();
            assert!(
                matches!(error, Broken::Failed(Error::Lost { .. })),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_snapshot_that_is_dropped_costs_writers_nothing() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = array(&store);
        let snapshots = [bound.snapshot().unwrap(), bound.snapshot().unwrap()];
        assert_eq!(bound.lock().snapshots.len(), 2);
        drop(snapshots);
        assert_eq!(bound.lock().snapshots.len(), 0);
    }
}
