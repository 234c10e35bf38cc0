//! One file as an array: what it is and where its parts are.
//!
//! An array has one of two forms ("The two forms of a file" in `docs/design.md`). In the *exact* form the file is as long as
//! its values, and each append extends it. With *slack* there is allocated space behind the values and a
//! record at the end of the file; an append is a copy into memory and a store to the record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::array::attendant::{Attendant, Chore};
use crate::storage::array::cold_check::ColdCheck;
use crate::storage::array::lock::Lock;
use crate::storage::array::peers::Peers;
use crate::storage::array::published::Published;
use crate::storage::array::shared::Shared;
use crate::storage::error::Error;
use crate::storage::files::identity::FileId;
use crate::storage::files::path::FilePath;
use crate::storage::format::layout::Layout;
use crate::storage::lock_order::{OfMessage, OfReading, OfSync, Ordered, OrderedRw};
use crate::storage::memory::mapping::Mapping;
use crate::storage::types::ItemType;

/// The smallest page of any machine, and so within one of the page cache: a write within it is all or nothing for a
/// killed process.
pub(in crate::storage) const PAGE: u64 = 4096;
/// A truncation that frees more than this many bytes is the worker's, in bytes: it takes milliseconds.
pub(in crate::storage) const LONG_TRUNCATION: u64 = if cfg!(shuttle) { 16 << 10 } else { 32 << 20 };

/// A file bound to one or more keys. All methods may be called from any thread.
pub struct Array {
    pub(super) device: u64,
    pub(super) inode: AtomicU64,
    pub(in crate::storage) path: FilePath,
    pub(in crate::storage) layout: Layout,
    pub(in crate::storage) shared: Arc<Shared>,
    /// Who does what commands must not wait for.
    pub(in crate::storage) attendant: Arc<dyn Attendant<Self>>,
    /// What a forked child may know of it.
    pub(in crate::storage) published: Published,
    /// Its number among the [`Shortest`](crate::storage::array::shortest::Shortest).
    pub(super) number: usize,
    pub(super) went_down: bool,
    pub(super) left: Option<u64>,
    pub(in crate::storage) peers: Peers,
    pub(super) state: Lock,
    /// What went wrong last, as a message.
    pub(super) last_error: Ordered<OfMessage, Option<String>>,
    /// Whether values may be elsewhere than in RAM.
    pub(in crate::storage) cold_check: ColdCheck,
    /// Held during a sync, so that no thread regards as synced what another has only begun to sync.
    pub(in crate::storage) syncing: Ordered<OfSync, ()>,
    /// Held for reading by threads that read or map the file for a snapshot; closing the file waits for them.
    pub(in crate::storage) reading: OrderedRw<OfReading>,
}

impl Array {
    /// The path under which the file was opened first.
    pub fn path(&self) -> &FilePath {
        &self.path
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        FileId {
            device: self.device,
            inode: self.inode.load(Ordering::Acquire),
        }
    }

    pub(in crate::storage) fn set_id(&self, id: FileId) {
        debug_assert_eq!(
            id.device, self.device,
            "a file takes the name of one beside it"
        );
        self.inode.store(id.inode, Ordering::Release);
    }

    /// The type of its values.
    pub fn item(&self) -> ItemType {
        self.layout.item
    }

    pub(in crate::storage) fn item_size(&self) -> u64 {
        self.item().size() as u64
    }

    /// Number of values in bytes that are whole values.
    #[inline]
    pub(in crate::storage) fn values_in(&self, bytes: &[u8]) -> u64 {
        self.item().values_in(bytes.len()).unwrap_or_default() as u64
    }

    /// Number of values, as far as it is known without waiting for anyone: for a forked child.
    pub fn published_count(&self) -> u64 {
        self.published.count()
    }

    /// Bytes of all values, as far as is known without waiting for anyone.
    pub fn bytes_used(&self) -> u64 {
        self.published_count() * self.item_size()
    }

    /// Whether the machine went down while the file was in use, so that what was not synced is gone.
    pub fn went_down(&self) -> bool {
        self.went_down
    }

    /// Whether the file was cut after a server that wrote it was killed: that left at least as many values as were synced then.
    pub fn was_cut(&self) -> bool {
        self.left.is_some_and(|left| self.published_count() < left)
    }

    /// Has the attendant do a chore.
    pub(in crate::storage) fn ask(self: &Arc<Self>, chore: Chore) {
        self.attendant.ask(self, chore);
    }

    /// Has the attendant let go of mappings.
    pub(in crate::storage) fn unmap(&self, maps: Vec<Arc<Mapping>>) {
        for map in maps {
            self.attendant.unmap(map);
        }
    }

    pub fn is_writable(self: &Arc<Self>) -> bool {
        self.lock().usage.is_writable()
    }

    /// An error of a system call on this file, which is counted.
    pub(in crate::storage) fn failed(
        &self,
        operation: &'static str,
        reason: impl Into<std::io::Error>,
    ) -> Error {
        self.noted(Error::io(operation, &self.path, reason))
    }

    /// Counts and remembers what went wrong with this file.
    #[cold]
    pub(in crate::storage) fn noted(&self, error: Error) -> Error {
        let text = error.to_string();
        *self.last_error.lock() = Some(text.clone());
        self.shared.stats.note_error(text);
        error
    }

    pub(in crate::storage) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }
}
