//! Opening a file as an array, and looking at it afresh.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::storage::array::attendant::Attendant;
use crate::storage::array::cold_check::ColdCheck;
use crate::storage::array::handle::Array;
use crate::storage::array::lock::Lock;
use crate::storage::array::locked::Locked;
use crate::storage::array::peers::Peers;
use crate::storage::array::published::Published;
use crate::storage::array::shared::Shared;
use crate::storage::array::state::State;
use crate::storage::array::state::durability::Durability;
use crate::storage::array::state::extent::Extent;
use crate::storage::array::state::load::Load;
use crate::storage::array::state::loss::Loss;
use crate::storage::array::state::open_file::OpenFile;
use crate::storage::array::state::tail::Tail;
use crate::storage::array::state::undo::Snapshots;
use crate::storage::array::state::usage::Usage;
use crate::storage::array::state::watch::Watch;
use crate::storage::error::{Error, Result};
use crate::storage::files::access;
use crate::storage::files::access::Access;
use crate::storage::files::identity::FileId;
use crate::storage::files::path::FilePath;
use crate::storage::format::dropped;
use crate::storage::format::layout::Layout;
use crate::storage::format::recovery::Contents;
use crate::storage::lock_order::{Ordered, OrderedRw};
use crate::storage::memory::mapping::Mapping;
use crate::storage::types::ItemType;

impl Array {
    /// Makes an array of an open file. A writable file gets its exact length, whatever state a crash left it in.
    ///
    /// # Errors
    /// If another process writes the file, if its length does not fit the type, or if it cannot be mapped.
    pub(in crate::storage) fn new(
        (shared, attendant): (Arc<Shared>, Arc<dyn Attendant<Self>>),
        (file, id): (File, FileId),
        path: &FilePath,
        item: ItemType,
        access: Access,
    ) -> Result<Arc<Self>> {
        if access == Access::Writable {
            access::lock(&file, path)?;
        }
        let layout = Layout::of(&file, path, item, access)?;
        let contents = Contents::recover(&file, path, &layout, access)?;
        let map = map(&file, path, contents.file_len, access)?;
        let dirty_from = (contents.synced < contents.count).then(|| layout.offset(contents.synced));
        let cannot_read = |errno| Error::io("read the attributes of", path, errno);
        let head = dropped::of(&file, path)?;
        let peers = Peers::of(&file).map_err(cannot_read)?;
        let extent = Extent::found(&layout, head, &contents);
        let array = Self {
            device: id.device,
            inode: AtomicU64::new(id.inode),
            path: path.clone(),
            layout,
            attendant,
            published: Published::new(&file, extent.span()),
            number: shared.shortest.number(),
            went_down: contents.went_down,
            left: contents.left,
            peers,
            state: Lock::new(State {
                open: OpenFile::new(Arc::new(file), map, access),
                usage: Usage::new(access),
                durability: Durability::found(contents.synced, dirty_from, shared.dirty.share()),
                extent,
                tail: Tail::new(),
                loss: Loss::default(),
                watch: Watch::default(),
                load: Load::calm(),
                snapshots: Snapshots::default(),
            }),
            shared,
            last_error: Ordered::new(None),
            cold_check: ColdCheck::new(contents.count > 0),
            syncing: Ordered::new(()),
            reading: OrderedRw::new(),
        };
        Ok(Arc::new(array))
    }

    /// Looks at the file afresh, through another descriptor of it: to make a read-only array writable, or
    /// after it was lost. `keep` is called when the array has that one, and gets the old one if another thread still works with it.
    pub(in crate::storage) fn reopen(
        self: &Arc<Self>,
        file: File,
        access: Access,
        keep: impl FnOnce(Option<Arc<File>>),
    ) -> Result<()> {
        let mut locked = self.lock().claim_end()?;
        // Closing a descriptor drops the lock, so the old one goes first, or not before the new one.
        locked.close_snapshots();
        let span = locked.span();
        let old = locked.publish_file(Some(Arc::new(file)), span);
        keep(old.filter(|old| Arc::strong_count(old) > 1));
        let file = locked.file()?;
        if access == Access::Writable {
            access::lock(&file, &self.path)?;
        }
        let was_mapped_for = locked.usage.mapped_for();
        locked.take_over_file(&file, access).inspect_err(|_| {
            // The array still only reads: whoever writes the file is not to be kept away.
            if was_mapped_for == Access::ReadOnly {
                let _ = access::unlock(&file, &self.path);
            }
        })
    }
}

impl Locked<'_> {
    /// Becomes what a file is found to hold.
    fn take_over_file(&mut self, file: &Arc<File>, access: Access) -> Result<()> {
        let array = self.array;
        let layout = Layout::of(file, &array.path, array.item(), access)?;
        if layout.data_at() != array.layout.data_at() {
            return Err(Error::Npy {
                path: array.path.to_string(),
                why: "its header has another length than when it was bound: DEL its keys first"
                    .to_owned(),
            });
        }
        let head = dropped::of(file, &array.path).map_err(|e| array.noted(e))?;
        let contents = Contents::recover(file, &array.path, &layout, access)?;
        let map = map(file, &array.path, contents.file_len, access)?;
        self.replace_map(map);
        self.usage.reopened(access);
        self.open.reopened(access);
        array.cold_check.renew();
        self.extent = Extent::found(&layout, head, &contents);
        self.durability.reopened(contents.synced);
        self.loss.reopened();
        array.published.set_head(head);
        self.set_count(contents.count)
    }
}

pub(in crate::storage) fn map(
    file: &File,
    path: &FilePath,
    bytes: u64,
    access: Access,
) -> Result<Arc<Mapping>> {
    Mapping::covering(file, bytes, access)
        .map(Arc::new)
        .map_err(|e| Error::io("map", path, e))
}
