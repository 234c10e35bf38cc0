//! One file as an array: what commands do with it.
//!
//! An array has one of two forms (R1 and R2 in `docs/design.md`). In the *exact* form the file is as long as
//! its values, and each append extends it. With *slack* there is allocated space behind the values and a
//! [`Record`](record::Record) at the end of the file; an append is a copy into memory and a store to the record.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use rustix::io::Errno;

use crate::storage::array::advice::Pattern;
use crate::storage::array::head;
use crate::storage::array::lock::{Lock, Locked};
use crate::storage::array::moment::Published;
use crate::storage::array::peers::Copies;
use crate::storage::array::shared::Shared;
use crate::storage::array::state::budget::Budget;
use crate::storage::array::state::pace::Share;
use crate::storage::array::writer::Extent;
use crate::storage::cold::touched::{Doubt, Look};
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::files::limits;
use crate::storage::files::path::FilePath;
use crate::storage::files::root;
use crate::storage::files::root::{Access, FileId};
use crate::storage::format::layout::Layout;
use crate::storage::format::mark::Mark;
use crate::storage::format::record;
use crate::storage::format::recovery::Contents;
use crate::storage::memory::mapping::Mapping;
use crate::storage::primitives::Mutex;
use crate::storage::scan::snapshot::Snapshots;
use crate::storage::settings::Fsync;
use crate::storage::stats::Totals;
use crate::storage::store::drop_head::Watch;
use crate::storage::store::worker::Job;
use crate::storage::types::ItemType;

/// The smallest page of any machine, and so within one of the page cache: a write within it is all or nothing for a
/// killed process.
pub(in crate::storage) const PAGE: u64 = 4096;
/// How far ahead of the last value the worker takes page faults, in bytes.
pub(in crate::storage) const PREFAULT_WINDOW: u64 = 16 << 20;
/// A truncation that frees more than this many bytes is the worker's, in bytes: it takes milliseconds.
pub(in crate::storage) const LONG_TRUNCATION: u64 = if cfg!(shuttle) { 16 << 10 } else { 32 << 20 };

/// A file bound to one or more keys. All methods may be called from any thread.
pub struct Array {
    device: u64,
    inode: AtomicU64,
    pub(in crate::storage) path: FilePath,
    pub(in crate::storage) layout: Layout,
    pub(in crate::storage) shared: Arc<Shared>,
    /// What a forked child may know of it.
    pub(in crate::storage) published: Published,
    went_down: bool,
    pub(in crate::storage) copies: Copies,
    pub(in crate::storage) state: Lock,
    /// What went wrong last, as a message.
    last_error: Mutex<Option<String>>,
    /// Whether values may be elsewhere than in RAM.
    pub(in crate::storage) doubt: Doubt,
    /// Held while the mark is set. No lock is taken under it.
    pub(in crate::storage) marking: Mutex<()>,
    /// Held during a sync, so that nobody takes what another has only begun to sync for synced.
    /// Taken before `state`, never after.
    pub(in crate::storage) syncing: Mutex<()>,
    /// Held to read by those who read or map the file for a snapshot, and to write before the file is closed. No lock is
    /// taken under it but that of the windows.
    pub(in crate::storage) reading: RwLock<()>,
}

/// What the lock protects.
pub(in crate::storage) struct State {
    /// `None` once the array is closed.
    pub file: Option<Arc<File>>,
    pub access: Access,
    pub map: Arc<Mapping>,
    /// How to find out what of it is in RAM.
    pub look: Look,
    /// How it is going to be read.
    pub pattern: Pattern,
    pub count: u64,
    /// Length of the file in bytes.
    pub file_len: u64,
    /// The number of values that the header of a `.npy` file promises.
    pub header_count: u64,
    /// Number of values that were removed at the head so far.
    pub head: u64,
    /// Notes what is written while the array is copied without its head.
    pub watch: Option<Watch>,
    /// Number of such copies that were begun.
    pub trims: u64,
    /// Whether the file has slack, and so ends in a record.
    pub slack: bool,
    /// The last key that could write is gone, and not all that was written is on disk yet: until then the lock on the
    /// file is kept.
    pub settling: bool,
    /// No key is bound to it any more: it gets no slack again. The next binding is one of another array.
    pub unbound: bool,
    /// Who may set the file's length. Exact appends always may.
    pub end: End,
    /// Counts growths and their cancellations: a growth ends well only if its number still stands.
    pub growth_number: u64,
    /// The worker was asked to grow the file, or could not: it is not asked again until it answered.
    pub growth_asked: bool,
    /// When the values reach this many bytes, the next growth is due.
    pub grow_at: u64,
    /// Up to where page faults were taken, and from where on the next window is due, in bytes.
    pub prefaulted_to: u64,
    pub prefault_at: u64,
    /// Number of writes so far; tells load from calm.
    pub writes: u64,
    pub budget: Budget,
    /// Number of values known to be on disk.
    pub synced: u64,
    /// The number of values in the [`Mark`] of the file; `None` if it has none of this boot, or that is not known.
    pub mark: Option<u64>,
    /// Lowest byte written since the last sync began; `None` if there is none.
    pub dirty_from: Option<u64>,
    /// How many bytes were written since then.
    pub dirty: Share,
    /// Lowest byte that a sync under way is about.
    pub syncing_from: Option<u64>,
    /// A sync failed, and the kernel takes the pages for written: they must be marked as changed again.
    pub rewrite: bool,
    /// The worker was told of a write and will sync it.
    pub sync_scheduled: bool,
    /// The file may be longer than `file_len`, since it could not be cut.
    pub overlong: bool,
    /// Why writes are refused, after a failed sync.
    pub refusal: Option<String>,
    /// What another process or the disk did to the file: nothing in it is relied on until it is opened anew.
    pub lost: Option<String>,
    /// Why nobody will find the file by its name, as far as that was looked at.
    pub unlinked: Option<&'static str>,
    /// When the file's length was last compared with what it should be.
    pub checked_at: u64,
    /// Who is to be told of changes.
    pub snapshots: Snapshots,
}

/// Whose the end of a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::storage) enum End {
    Free,
    /// The worker allocates space behind it. Whoever needs the end calls that off.
    Growing,
    /// The worker cuts the file. Whoever needs the end waits.
    Cutting,
}

impl State {
    /// Whether it has slack and a mark, and nothing stands against a write: [`Array::check_writable`] would find nothing to do.
    #[inline]
    fn is_plainly_writable(&self) -> bool {
        self.slack
            && self.access == Access::Writable
            && self.mark.is_some()
            && self.file.is_some()
            && self.lost.is_none()
            && self.refusal.is_none()
    }

    /// Whether it is the file of the array.
    pub fn is_of(&self, file: &Arc<File>) -> bool {
        self.file
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, file))
    }

    /// Notes that the file from that byte on is not on disk.
    pub fn soil(&mut self, from: u64) {
        self.dirty_from = Some(self.dirty_from.map_or(from, |lowest| lowest.min(from)));
    }
}

impl Array {
    /// Makes an array of an open file. A writable file gets its exact length, whatever state a crash left it in.
    ///
    /// # Errors
    /// If another process writes the file, if its length does not fit the type, or if it cannot be mapped.
    pub(in crate::storage) fn new(
        shared: &Arc<Shared>,
        (file, id): (File, FileId),
        path: &FilePath,
        item: ItemType,
        access: Access,
    ) -> Result<Arc<Self>> {
        if access == Access::Writable {
            root::lock(&file, path)?;
        }
        let layout = Layout::of(&file, path, item, access)?;
        let contents = Contents::recover(&file, path, &layout, access)?;
        let map = map(&file, path, contents.file_len, access)?;
        let dirty_from = (contents.synced < contents.count).then(|| layout.offset(contents.synced));
        let cannot_read = |errno| Error::io("read the attributes of", path, errno);
        let head = head::of(&file, path)?;
        let copies = Copies::of(&file).map_err(cannot_read)?;
        let look = Look::at(&file, access);
        let extent = Extent {
            head,
            count: contents.count,
        };
        let array = Self {
            device: id.device,
            inode: AtomicU64::new(id.inode),
            path: path.clone(),
            layout,
            shared: Arc::clone(shared),
            published: Published::new(&file, extent),
            went_down: contents.went_down,
            copies,
            state: Lock::new(State {
                file: Some(Arc::new(file)),
                access,
                map,
                look,
                pattern: Pattern::default(),
                count: contents.count,
                file_len: contents.file_len,
                header_count: contents.count,
                head,
                watch: None,
                trims: 0,
                slack: contents.slack,
                settling: false,
                unbound: false,
                end: End::Free,
                growth_number: 0,
                growth_asked: false,
                grow_at: u64::MAX,
                prefaulted_to: 0,
                prefault_at: u64::MAX,
                writes: 0,
                budget: Budget::full(),
                synced: contents.synced,
                mark: None,
                dirty_from,
                dirty: shared.dirty.share(),
                syncing_from: None,
                rewrite: false,
                sync_scheduled: false,
                overlong: false,
                refusal: None,
                lost: None,
                unlinked: None,
                checked_at: 0,
                snapshots: Snapshots::default(),
            }),
            last_error: Mutex::new(None),
            doubt: Doubt::new(contents.count > 0),
            marking: Mutex::new(()),
            syncing: Mutex::new(()),
            reading: RwLock::new(()),
        };
        Ok(Arc::new(array))
    }

    /// Looks at the file afresh, through another descriptor of it: to make a read-only array writable, or
    /// after it was lost. `keep` gets the old descriptor if another thread still works with it.
    pub(in crate::storage) fn reopen(
        &self,
        file: File,
        access: Access,
        keep: impl FnOnce(Arc<File>),
    ) -> Result<()> {
        let mut state = self.claim_end(self.state.lock())?;
        // Closing a descriptor drops the lock, so the old one goes first, or not before the new one.
        self.close_snapshots(&mut state);
        let extent = state.extent();
        self.publish_file(&mut state, Some(Arc::new(file)), extent)
            .filter(|old| Arc::strong_count(old) > 1)
            .map(keep);
        let file = self.file(&state)?;
        if access == Access::Writable {
            root::lock(&file, &self.path)?;
        }
        let layout = Layout::of(&file, &self.path, self.item(), access)?;
        if layout.data_at() != self.layout.data_at() {
            return Err(Error::Npy {
                path: self.path.to_string(),
                why: "its header has another length than when it was bound: DEL its keys first"
                    .to_owned(),
            });
        }
        let head = head::of(&file, &self.path).map_err(|e| self.noted(e))?;
        let contents = Contents::recover(&file, &self.path, &layout, access)?;
        let map = map(&file, &self.path, contents.file_len, access)?;
        self.replace_map(&mut state, map);
        state.access = access;
        state.settling = false;
        state.look = Look::at(&file, access);
        self.doubt.renew();
        state.file_len = contents.file_len;
        state.header_count = contents.count;
        self.publish_head(&mut state, head);
        state.slack = contents.slack;
        state.synced = contents.synced;
        state.mark = None;
        state.prefaulted_to = 0;
        state.prefault_at = u64::MAX;
        state.grow_at = u64::MAX;
        state.growth_asked = false;
        state.overlong = false;
        state.lost = None;
        // Nothing vouches for what a sync was about that is under way, or that was cut off with a record.
        if let Some(from) = state.syncing_from {
            state.soil(from);
        }
        state.unlinked = None;
        self.set_count(&mut state, contents.count)
    }

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

    /// Where the values end, in bytes.
    #[inline]
    pub(in crate::storage) fn end_of_values(&self, state: &State) -> u64 {
        self.layout.offset(state.count)
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

    /// What it adds to the totals.
    pub(in crate::storage) fn totals(&self) -> Totals {
        let state = self.state.lock();
        Totals {
            arrays: 1,
            values: state.count,
            bytes_used: state.count * self.item_size(),
            bytes_mapped: state.map.len(),
            slack_bytes: if state.slack {
                state.file_len - self.end_of_values(&state)
            } else {
                0
            },
            unsynced: u64::from(state.dirty_from.is_some()),
            refused: u64::from(state.refusal.is_some()),
            lost: u64::from(state.lost.is_some()),
            unlinked: u64::from(state.unlinked.is_some()),
            incomplete: u64::from(self.is_incomplete()),
        }
    }

    /// Looks at the values, which stay as they are while the view lives.
    ///
    /// # Errors
    /// If the file of a read-only array cannot be looked at any more.
    pub fn view(&self) -> Result<View<'_>> {
        let mut state = self.state.lock();
        if state.access == Access::ReadOnly {
            self.not_lost(&state)?;
            self.refresh(&mut state)?;
        } else {
            self.check_now_and_then(&mut state)?;
        }
        Ok(View { array: self, state })
    }

    /// Appends to slack, where there is room for it.
    #[inline]
    pub(in crate::storage) fn append_to_slack(
        &self,
        state: &mut State,
        bytes: &[u8],
    ) -> Result<()> {
        let from = self.end_of_values(state);
        let count = self.layout.count_up_to(from + bytes.len() as u64);
        let live_at = state.file_len - record::SIZE + record::LIVE_AT;
        state
            .map
            .write_and_store(from, bytes, live_at, count)
            .map_err(|fault| self.lose(state, fault))?;
        self.publish(state, count);
        Ok(())
    }

    /// Appends to a file of exact length, where that leaves all in one page.
    pub(in crate::storage) fn append_within_page(
        &self,
        state: &mut State,
        bytes: &[u8],
    ) -> Result<()> {
        let from = self.end_of_values(state);
        self.extend_within_page(state, from, bytes)?;
        let count = self.layout.count_up_to(from + bytes.len() as u64);
        self.set_count(state, count)?;
        self.write_header(state, count)
    }

    /// Appends to a file of exact length by one `pwrite`: it makes the file longer only once the bytes are there.
    fn extend_within_page(&self, state: &mut State, from: u64, bytes: &[u8]) -> Result<()> {
        let file = self.file_as_left(state)?;
        let end = from + bytes.len() as u64;
        if state.map.len() < end {
            let map = map(&file, &self.path, end, Access::Writable)?;
            self.replace_map(state, map);
        }
        let written =
            disk::write_at(&file, bytes, from).map_err(|e| self.failed("append to", e))?;
        if written < bytes.len() {
            self.free_unused(state);
            // The next byte would have told why.
            let is_too_long = limits::file_size().is_some_and(|limit| end > limit);
            let why = if is_too_long {
                Errno::FBIG
            } else {
                Errno::NOSPC
            };
            return Err(self.failed("append to", why));
        }
        state.file_len = end;
        Ok(())
    }

    /// Writes values that are known to be there.
    pub(in crate::storage) fn store_at(
        self: &Arc<Self>,
        state: &mut State,
        indices: &[u64],
        bytes: &[u8],
    ) -> Result<()> {
        let (mut lowest, mut highest) = (u64::MAX, 0);
        for (&index, value) in indices.iter().zip(bytes.chunks_exact(self.item().size())) {
            let at = self.layout.offset(index);
            self.write(state, at, value)?;
            lowest = lowest.min(at);
            highest = highest.max(at + self.item_size());
        }
        self.wrote_between(state, lowest..highest);
        Ok(())
    }

    pub(in crate::storage) fn out_of_range(
        &self,
        state: &State,
        index: impl std::fmt::Display,
    ) -> Error {
        Error::IndexOutOfRange {
            index: index.to_string(),
            path: self.path.to_string(),
            count: state.count,
        }
    }

    /// Leaves only `left` values. It does not wait.
    ///
    /// # Errors
    /// If the lower mark or the shorter length cannot be set; then nothing was removed.
    pub(in crate::storage) fn shorten(
        self: &Arc<Self>,
        state: &mut State,
        left: u64,
    ) -> Result<()> {
        let State { snapshots, map, .. } = state;
        snapshots.before_cut(map, left);
        let len = self.layout.offset(left);
        let freed = state.file_len - len;
        // The worker may be allocating behind exact values, and a truncation would free that again.
        if !state.slack {
            self.call_off_growth(state);
        }
        // The kernel zeroes the rest of the page in which a file ends, and may write that page before the
        // length. So no page of values that were promised to survive is cut before it is on disk that they are gone.
        let promised =
            left > 0 && state.synced > left && self.shared.settings.fsync() == Fsync::Always;
        self.lower_mark(state, left)?;
        let long = freed > LONG_TRUNCATION;
        let was_exact = !state.slack;
        if was_exact && (long || promised) {
            // The record makes the values gone at once; the worker frees their space. On a full disk there
            // may be no room for a record; then it is done here and now.
            let end = self.end_of_values(state);
            if let Err(error) = self.make_momentary_room(state, end) {
                tracing::warn!("{error}; the command frees the space itself");
            }
        }
        if state.header_count > left {
            self.write_header(state, left)?;
        }
        if state.slack {
            self.set_count(state, left)?;
            if left == 0 && !long && state.end != End::Cutting {
                self.call_off_growth(state);
                if let Err(error) = self.trim(state) {
                    // The values are gone; only the length is to be put right later.
                    tracing::warn!("{error}; it is tried again");
                    self.shared.send(Job::Trim(Arc::clone(self)));
                }
            } else if was_exact && !long {
                self.shared.send(Job::Watch(Arc::clone(self)));
            } else if left == 0 || was_exact {
                self.shared.send(Job::Trim(Arc::clone(self)));
            }
        } else {
            let file = self.file_as_left(state)?;
            disk::set_len(&file, len).map_err(|e| self.failed("shorten", e))?;
            state.file_len = len;
            self.set_count(state, left)?;
        }
        if let Some(watch) = &mut state.watch {
            watch.shortened(left);
        }
        self.wrote(state, len);
        Ok(())
    }

    /// Vouches for no more than `left` values, before the others go.
    fn lower_mark(self: &Arc<Self>, state: &mut State, left: u64) -> Result<()> {
        if state.mark.is_some_and(|mark| mark > left) {
            self.mark(state, left)?;
        }
        if state.synced > left {
            state.synced = left;
            // Should the values stay after all, the next sync is to vouch for them again.
            self.soil(state, self.layout.offset(left));
            self.publish_synced(state)?;
        }
        Ok(())
    }

    pub(in crate::storage) fn file(&self, state: &State) -> Result<Arc<File>> {
        state.file.clone().ok_or_else(|| self.closed())
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

    #[inline]
    pub(in crate::storage) fn lock_for_writing(&self) -> Result<Locked<'_>> {
        self.shared.worker_alive()?;
        let mut state = self.state.lock();
        // Under load one look is enough: this is the path of every append.
        if !state.is_plainly_writable() {
            self.check_writable(&mut state)?;
        }
        Ok(state)
    }

    /// Finds out whether the array can be written to, to be asked whenever the lock was taken, and after each wait.
    #[inline(never)]
    pub(in crate::storage) fn check_writable(&self, state: &mut State) -> Result<()> {
        if state.access == Access::ReadOnly {
            return Err(Error::ReadOnly {
                path: self.path.to_string(),
            });
        }
        if let Some(reason) = &state.refusal {
            return Err(Error::Refused {
                path: self.path.to_string(),
                reason: reason.clone(),
            });
        }
        if state.file.is_none() {
            return Err(self.closed());
        }
        if state.slack {
            // The record is behind all values: storing to it finds out that the file was cut.
            self.not_lost(state)?;
        } else {
            self.check_now_and_then(state)?;
        }
        self.mark_if_unmarked(state)
    }

    /// Notes in the file what is on disk for certain, before it may change.
    #[inline]
    pub(in crate::storage) fn mark_if_unmarked(&self, state: &mut State) -> Result<()> {
        match state.mark {
            Some(_) => Ok(()),
            None => self.mark(state, state.synced),
        }
    }

    fn mark(&self, state: &mut State, count: u64) -> Result<()> {
        let file = self.file(state)?;
        let _marking = self.marking.lock();
        // Should it fail, what the mark says is not known.
        state.mark = None;
        Mark::set(&file, count).map_err(|e| self.failed("mark", e))?;
        state.mark = Some(count);
        Ok(())
    }

    /// Overwrites whole values.
    pub(in crate::storage) fn write(
        &self,
        state: &mut State,
        offset: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let from = self.layout.count_up_to(offset);
        let to = self.layout.count_up_to(offset + bytes.len() as u64);
        state.snapshots.before_change(&state.map, from, to);
        self.overwrite(state, offset, bytes)
    }

    fn overwrite(&self, state: &mut State, offset: u64, bytes: &[u8]) -> Result<()> {
        state
            .map
            .write(offset, bytes)
            .map_err(|fault| self.lose(state, fault))
    }

    /// Makes the header of a `.npy` file say so many values.
    pub(in crate::storage) fn write_header(&self, state: &mut State, count: u64) -> Result<()> {
        if let Some(header) = &self.layout.npy
            && state.header_count != count
        {
            self.overwrite(state, header.text_at(), &header.text(count))?;
            state.header_count = count;
        }
        Ok(())
    }

    /// Makes a count the count, for this process, its children and, with slack, for other processes.
    pub(in crate::storage) fn set_count(&self, state: &mut State, count: u64) -> Result<()> {
        self.store_in_record(state, record::LIVE_AT, count)?;
        self.publish(state, count);
        Ok(())
    }

    pub(in crate::storage) fn publish_synced(&self, state: &mut State) -> Result<()> {
        self.store_in_record(state, record::SYNCED_AT, state.synced)
    }

    /// Stores a field of the record at the end of the file, where there is one.
    pub(in crate::storage) fn store_in_record(
        &self,
        state: &mut State,
        field: u64,
        value: u64,
    ) -> Result<()> {
        // The record of a read-only file is another process'.
        if !state.slack || state.access == Access::ReadOnly {
            return Ok(());
        }
        state
            .map
            .store(state.file_len - record::SIZE + field, value)
            .map_err(|fault| self.lose(state, fault))
    }

    /// Notes a write from a position in bytes to the last value, and has the worker sync it in time.
    #[inline]
    pub(in crate::storage) fn wrote(self: &Arc<Self>, state: &mut State, from: u64) {
        let end = self.end_of_values(state);
        self.wrote_between(state, from..end);
    }

    /// Notes a write to a range of bytes, and has the worker sync it in time.
    #[inline]
    pub(in crate::storage) fn wrote_between(
        self: &Arc<Self>,
        state: &mut State,
        bytes: Range<u64>,
    ) {
        let from = bytes.start;
        state.writes += 1;
        if state.dirty.add(bytes.end - from, &self.shared.settings) {
            self.shared.send(Job::WriteBack);
        }
        state.snapshots.after_write(from);
        if let Some(watch) = &mut state.watch {
            watch.wrote(bytes);
        }
        self.soil(state, from);
    }

    /// Has what begins at a byte synced in time.
    pub(in crate::storage) fn soil(self: &Arc<Self>, state: &mut State, from: u64) {
        state.soil(from);
        self.schedule_sync(state);
    }

    /// Tells the worker of writes that are not on disk, unless it knows.
    pub(in crate::storage) fn schedule_sync(self: &Arc<Self>, state: &mut State) {
        if state.dirty_from.is_some() && !state.sync_scheduled {
            state.sync_scheduled = true;
            self.shared.send(Job::Dirty(Arc::clone(self)));
        }
    }

    /// Number of writes so far.
    pub(in crate::storage) fn writes(&self) -> u64 {
        self.state.lock().writes
    }

    /// Whether the file is longer than its values.
    pub(in crate::storage) fn has_slack(&self) -> bool {
        let state = self.state.lock();
        state.slack && state.file.is_some() && state.access == Access::Writable
    }

    /// Puts another mapping in place. The worker unmaps the old one: that takes long where much is mapped.
    pub(in crate::storage) fn replace_map(&self, state: &mut State, map: Arc<Mapping>) {
        let old = std::mem::replace(&mut state.map, map);
        state.advise_again();
        self.shared.send(Job::Unmap(old));
    }

    /// Looks at what another process made of the file meanwhile.
    fn refresh(&self, state: &mut State) -> Result<()> {
        let file = self.file(state)?;
        let len = self.len_of(&file)?;
        // The record of a file that has slack changes without any change of length.
        if len != state.file_len || state.slack {
            let contents = Contents::look(&file, &self.path, &self.layout)?;
            if contents.file_len > state.map.len() {
                // A sync that is tried again marks pages as changed.
                let access = if state.settling {
                    Access::Writable
                } else {
                    Access::ReadOnly
                };
                let map = map(&file, &self.path, contents.file_len, access)?;
                self.replace_map(state, map);
            }
            state.file_len = contents.file_len;
            state.slack = contents.slack;
            self.publish(state, contents.count);
        }
        Ok(())
    }
}

/// The values of an array at one moment. While it lives, nobody changes them from within this process.
pub struct View<'a> {
    array: &'a Array,
    state: Locked<'a>,
}

impl View<'_> {
    /// Which values there are.
    pub fn extent(&self) -> Extent {
        self.state.extent()
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.state.count
    }

    pub(in crate::storage) fn array(&self) -> &Array {
        self.array
    }

    pub(in crate::storage) fn state(&self) -> &State {
        &self.state
    }

    /// Bytes per value.
    pub(in crate::storage) fn item_size(&self) -> u64 {
        self.array.item_size()
    }

    /// Copies the value at each index into `out`, one after the other. Where there is none, `out` stays as it is.
    ///
    /// # Errors
    /// If the file was truncated or cannot be read.
    pub fn gather(&mut self, indices: &[u64], out: &mut [u8]) -> Result<()> {
        let State { map, count, .. } = &*self.state;
        let values = self.array.layout.data_at()..self.array.end_of_values(&self.state);
        debug_assert_eq!(values.end - values.start, count * self.item_size());
        map.gather(values, self.array.item().size(), indices, out)
            .map_err(|fault| self.array.lose(&mut self.state, fault))
    }

    /// Copies the values from `index` on into `out`, as many as it holds. They must exist.
    ///
    /// # Errors
    /// As [`Self::gather`].
    #[inline]
    pub fn read(&mut self, index: u64, out: &mut [u8]) -> Result<()> {
        let from = self.array.layout.offset(index);
        debug_assert!(from + out.len() as u64 <= self.array.end_of_values(&self.state));
        self.state
            .map
            .read(from, out)
            .map_err(|fault| self.array.lose(&mut self.state, fault))
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
