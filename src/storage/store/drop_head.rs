//! Removing values at the head of an array.
//!
//! A file cannot lose its head in place: every value that stays would have to move, and a crash in between would
//! leave a mixture. So the values that stay are copied to a new file, which takes the place of the old one by
//! `rename`: a program that opens the path finds either all of the old or all of the new. The copy is made without the
//! lock; what is written during it is copied again, and the last of it, at most [`LAST_ROUND`], under the lock.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use rustix::fs::copy_file_range;
use rustix::io::Errno;

use crate::storage::array::handle::Array;
use crate::storage::array::head::{MayGo, Trim};
use crate::storage::array::open::map;
use crate::storage::array::owner::copy_owner;
use crate::storage::array::state::extent::Extent;
use crate::storage::array::state::span::Span;
use crate::storage::array::writer::Writer;
use crate::storage::error::{Error, Result};
use crate::storage::files::access;
use crate::storage::files::access::Access;
use crate::storage::files::calls as disk;
use crate::storage::files::replacement::Replacement;
use crate::storage::files::root::Root;
use crate::storage::format::dropped;
use crate::storage::format::mark::Mark;
use crate::storage::memory::mapping::Mapping;
use crate::storage::settings::Fsync;
use crate::storage::store::registry::Registry;
use crate::storage::system::{Call, attempt};
use crate::storage::threads::cancel::Cancel;

/// How much is copied while the array is locked, in bytes.
const LAST_ROUND: u64 = 1 << 20;
/// How much is copied and put on disk before other arrays have their turn, in bytes; so memory does not fill with pages to be
/// written, either.
const COPIED_IN_TURN: u64 = 32 << 20;
/// How often values that were written during the copy are copied again.
const ROUNDS: u32 = 32;

/// A copy without the head, on its way. Once it is dropped, the array forgets what was written for it.
pub(in crate::storage) struct HeadDrop {
    array: Arc<Array>,
    /// Which trim it is for.
    trim: u64,
    /// Number of values that go.
    head: u64,
    old: Arc<File>,
    new: Replacement,
    /// Up to where, in bytes of the old file, values of the copy are on disk.
    synced_to: u64,
    /// What is to be copied in this round, in bytes of the old file.
    todo: Range<u64>,
    rounds_left: u32,
    may_go: Option<MayGo>,
    /// `None` when it is too late.
    cancel: Option<Cancel>,
}

impl Array {
    /// Drops the values before a position from the head, those that there are, however long that takes. A trim
    /// that is under way is given up: the caller has cancelled it.
    pub(in crate::storage) fn drop_head(
        self: &Arc<Self>,
        position: u64,
        root: &Root,
        registry: &Registry,
    ) -> Result<()> {
        let mut writer = self.writer()?;
        let Span { head, count } = writer.span();
        let values = position.saturating_sub(head);
        if values == 0 {
            return Ok(());
        }
        if values >= count {
            return writer.clear_at(position);
        }
        let trim = writer.begin_trim_of(&(values..count))?;
        drop(writer);
        self.end_trim(trim, root, registry).map(drop)
    }

    /// Ends what [`Writer::begin_trim`] began, here and now: removes the head. Says how many values went in all.
    ///
    /// # Errors
    /// As [`Self::begin_head_drop`] and [`HeadDrop::take_turn`].
    pub(in crate::storage) fn end_trim(
        self: &Arc<Self>,
        trim: Trim,
        root: &Root,
        registry: &Registry,
    ) -> Result<u64> {
        let values = trim.values();
        let mut copy = self.begin_head_drop(trim, root, Cancel::default())?;
        while !copy.take_turn(registry)? {}
        Ok(values)
    }

    /// Begins to remove the head, after [`Writer::begin_trim`].
    ///
    /// # Errors
    /// If the file cannot be copied, or it is cancelled: then the tail is gone, and the rest is as it was.
    pub(in crate::storage) fn begin_head_drop(
        self: &Arc<Self>,
        trim: Trim,
        root: &Root,
        cancel: Cancel,
    ) -> Result<HeadDrop> {
        let number = trim.number;
        self.begin_copy(trim, root, cancel)
            .inspect_err(|_| self.forget_trim(number))
    }

    fn begin_copy(self: &Arc<Self>, trim: Trim, root: &Root, cancel: Cancel) -> Result<HeadDrop> {
        self.not_cancelled(&cancel)?;
        let mut writer = self.writer()?;
        let old = writer.file_as_left()?;
        let new = Replacement::of(&old, self.id(), &self.path, root)?;
        let todo = self.layout.offset(trim.head)..writer.extent.end();
        drop(writer);
        self.has_room_for_copy(&old, todo.end.saturating_sub(todo.start))?;
        let copy = HeadDrop {
            array: Arc::clone(self),
            trim: trim.number,
            head: trim.head,
            old,
            new,
            synced_to: 0,
            todo,
            rounds_left: ROUNDS,
            may_go: trim.may_go,
            cancel: Some(cancel),
        };
        copy.copy(0..self.layout.data_at(), 0)?;
        Ok(copy)
    }

    /// A copy that cannot succeed is not begun: until it fails, no other array would have room either. To be called without any lock.
    fn has_room_for_copy(self: &Arc<Self>, file: &File, bytes: u64) -> Result<()> {
        let fits = || disk::free_bytes(file).is_none_or(|free| bytes <= free);
        if disk::may_share_blocks(file) || fits() || self.have_all_slack_given_back() && fits() {
            return Ok(());
        }
        Err(self.failed("copy", Errno::NOSPC))
    }

    /// Has all arrays on the same file system, this one too, give back what they hold ahead of need; whether there was
    /// anything. To be called without any lock.
    fn have_all_slack_given_back(self: &Arc<Self>) -> bool {
        let own = self.give_back_slack();
        self.have_slack_given_back() || own
    }

    /// Nothing is noted for that trim any more.
    fn forget_trim(self: &Arc<Self>, number: u64) {
        self.lock().watch.end(number);
    }
}

impl Drop for HeadDrop {
    fn drop(&mut self) {
        self.array.forget_trim(self.trim);
    }
}

/// Whether so much is not copied while the array is locked.
fn is_much(bytes: &Range<u64>) -> bool {
    bytes.end - bytes.start > LAST_ROUND
}

impl HeadDrop {
    /// Copies some more; in the end puts the copy in the place of the array's file. Answers whether that is done.
    ///
    /// # Errors
    /// If the head cannot be removed, or it is cancelled: then the array is as it was.
    pub fn take_turn(&mut self, registry: &Registry) -> Result<bool> {
        let mut left = COPIED_IN_TURN;
        while self.rounds_left > 0 {
            self.not_cancelled()?;
            // Once others were told, they are not kept waiting.
            if left == 0 && self.cancel.is_some() {
                return Ok(false);
            }
            let part = self.todo.start..self.todo.end.min(self.todo.start + COPIED_IN_TURN);
            left = left.saturating_sub(part.end.saturating_sub(part.start));
            if !part.is_empty() {
                match self.copy(part.clone(), self.shift()) {
                    Err(error) if error.is_full() && self.array.have_all_slack_given_back() => {
                        self.copy(part.clone(), self.shift())?;
                    }
                    copied => copied?,
                }
                self.sync()?;
            }
            if part.end < self.todo.end {
                self.todo.start = part.end;
                continue;
            }
            self.synced_to = self.synced_to.max(self.todo.end);
            match self.finish(registry) {
                Ok(true) => {
                    // Until this is on disk, a power cut brings back the old file.
                    self.new.sync_directory(&self.array.path)?;
                    return Ok(true);
                }
                Ok(false) if is_much(&self.todo) => {}
                Ok(false) => self.ask()?,
                // What the locks kept from giving room is asked for it now.
                Err(error) if error.is_full() && self.array.have_all_slack_given_back() => {}
                Err(error) => return Err(error),
            }
            self.rounds_left -= 1;
        }
        Err(self.given_up("it is written to faster than it can be copied"))
    }

    /// Asks whether the values may go.
    fn ask(&mut self) -> Result<()> {
        let position = self.array.head() + self.head;
        if let Some(may_go) = self.may_go.take()
            && !may_go(position)
        {
            self.not_cancelled()?;
            return Err(self.given_up("its key was deleted, or this server became a replica"));
        }
        self.cancel = None;
        Ok(())
    }

    fn not_cancelled(&self) -> Result<()> {
        self.cancel
            .as_ref()
            .map_or(Ok(()), |cancel| self.array.not_cancelled(cancel))
    }

    fn given_up(&self, why: &'static str) -> Error {
        Error::Trimming {
            path: self.array.path.to_string(),
            why,
        }
    }

    /// How far down the values move, in bytes.
    fn shift(&self) -> u64 {
        self.head * self.array.item_size()
    }

    fn sync(&self) -> Result<()> {
        disk::sync_data(&self.new.file).map_err(|e| self.array.failed("sync the copy of", e))
    }

    /// Copies bytes of the old file to the new one, `shift` bytes further down.
    fn copy(&self, bytes: Range<u64>, shift: u64) -> Result<()> {
        let (mut from, mut to) = (bytes.start, bytes.start - shift);
        while from < bytes.end {
            let left = (bytes.end - from) as usize;
            let (old, new) = (&*self.old, &*self.new.file);
            let copied = attempt(Call::CopyFileRange, || {
                copy_file_range(old, Some(&mut from), new, Some(&mut to), left)
            });
            match copied {
                // Values at the end were removed during the copy; some may be there again.
                Ok(Some(0)) if self.ends_before(from)? => return Ok(()),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) | Err(Errno::XDEV) => {
                    return self.copy_through_memory(from..bytes.end, shift);
                }
                Err(errno) => return Err(self.array.failed("copy", errno)),
            }
        }
        Ok(())
    }

    /// Whether the array has no values any more where bytes of the old file could not be read.
    fn ends_before(&self, position: u64) -> Result<bool> {
        let mut locked = self.array.lock();
        let ends_before = locked.extent.end() <= position;
        if !ends_before {
            // What others did to the file is an error.
            locked.file_as_left()?;
        }
        Ok(ends_before)
    }

    fn copy_through_memory(&self, bytes: Range<u64>, shift: u64) -> Result<()> {
        let mut buffer = vec![0; (1 << 20).min(bytes.end - bytes.start) as usize];
        let mut at = bytes.start;
        while at < bytes.end {
            let len = (buffer.len() as u64).min(bytes.end - at) as usize;
            let failed = |e| self.array.failed("copy", e);
            let read = disk::read_at(&*self.old, at, &mut buffer[..len]).map_err(failed)?;
            if read == 0 && self.ends_before(at)? {
                return Ok(());
            }
            disk::write_all_at(&self.new.file, &buffer[..read], at - shift).map_err(failed)?;
            at += read as u64;
        }
        Ok(())
    }

    /// Puts the copy in the place of the array's file, if it lacks little and `may_go` has agreed or is not set, and answers
    /// whether it did. If not, what it lacks is to be copied.
    fn finish(&mut self, registry: &Registry) -> Result<bool> {
        let array = &Arc::clone(&self.array);
        let syncing = array.syncing.lock();
        let mut entries = registry.lock_under(&syncing);
        let mut writer = array.writer()?.claim_end()?;
        self.not_cancelled()?;
        let (missing, lowest) = self.missing(&mut writer)?;
        self.todo = missing.clone();
        if is_much(&missing) {
            return Ok(false);
        }
        let count = writer.extent.count();
        let kept = count - self.head;
        // Replicas that were told of a trim that is refused would have to be sent everything again.
        writer.may_keep(self.head..count)?;
        if self.may_go.is_some() {
            return Ok(false);
        }
        if !missing.is_empty() {
            self.copy(missing.clone(), self.shift())?;
        }
        let mut synced = array.layout.count_up_to(self.synced_to).min(lowest);
        let is_always = array.shared.settings.fsync() == Fsync::Always;
        // A power cut leaves what is on disk: that, too, must not end in what looks like a record.
        if !missing.is_empty() && (is_always || writer.may_keep(self.head..synced).is_err()) {
            self.sync()?;
            synced = count;
        }
        let synced = (synced - self.head).min(kept);
        self.new.give_name(&array.path)?;
        let map = self.prepare(&writer, kept, synced)?;
        // From here on nothing may fail but this.
        let id = self.new.put_in_place(&array.path)?;
        registry.renamed(&mut entries, array, id);
        self.adopt(writer, map, kept, synced);
        Ok(true)
    }

    /// What was written since the last round, and the least number of values since then.
    fn missing(&self, writer: &mut Writer<'_>) -> Result<(Range<u64>, u64)> {
        let Span { count, .. } = writer.span();
        let end = writer.extent.end();
        let round = if writer.open.is(&self.old) {
            writer.watch.take_round(self.trim, count)
        } else {
            None
        };
        let round = round.ok_or_else(|| self.given_up("it was opened again during the copy"))?;
        if round.lowest_ever < self.head {
            return Err(self.given_up("values that were to stay were removed during the copy"));
        }
        let first = self.array.layout.offset(self.head);
        let start = round.written.start.max(first);
        let missing = start..round.written.end.min(end).max(start);
        Ok((missing, round.lowest))
    }

    /// Makes the copy what the file is to be.
    fn prepare(&self, writer: &Writer<'_>, kept: u64, synced: u64) -> Result<Arc<Mapping>> {
        let array = &self.array;
        let file = &self.new.file;
        let failed = |e| array.failed("complete the copy of", e);
        if let Some(header) = &array.layout.npy {
            header.write(file, kept).map_err(failed)?;
        }
        let len = array.layout.offset(kept);
        disk::set_len(file, len, disk::NoArrayYet).map_err(failed)?;
        // A key may have been bound to the file since the copy began.
        copy_owner(&self.old, file).map_err(|errno| failed(errno.into()))?;
        dropped::note(
            file,
            dropped::check(writer.extent.head() + self.head, &array.path)?,
        )
        .and_then(|()| Mark::set(file, synced).map(drop))
        .map_err(|errno| failed(errno.into()))?;
        access::lock(file, &array.path)?;
        map(file, &array.path, len, Access::Writable)
    }

    fn adopt(&self, mut writer: Writer<'_>, map: Arc<Mapping>, kept: u64, synced: u64) {
        let array = &self.array;
        writer.replace_map(map);
        writer.snapshots.break_off();
        let span = Span {
            head: writer.extent.head() + self.head,
            count: kept,
        };
        writer.publish_file(Some(Arc::clone(&self.new.file)), span);
        writer.extent = Extent::exact(&array.layout, span);
        writer
            .durability
            .replaced(synced, array.layout.offset(synced));
        writer.schedule_sync();
    }
}
