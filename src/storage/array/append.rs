//! Appending values.

use std::sync::Arc;

use rustix::io::Errno;
use rustix::param::page_size;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::{Array, PAGE};
use crate::storage::array::open::map;
use crate::storage::array::state::span::Span;
use crate::storage::array::writer::{Notes, Writer};
use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::calls as disk;
use crate::storage::format::record;
use crate::storage::system::limits;

/// From so many bytes on, pages that are new are written by a call: below, the page faults cost less than that.
pub(in crate::storage) const MUCH: usize = if cfg!(test) { 64 } else { 16 << 10 };

/// So much is written by one call, in bytes: for more, the kernel takes larger blocks of memory, which are seldom at hand.
const WRITTEN_AT_ONCE: usize = 64 << 10;

/// How values are to be appended that there is room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Room {
    /// The file is exact, and stays so by one `pwrite`: all lies in one page.
    WithinPage { unhurried: bool },
    /// The file is exact, and gets slack for as long as it takes.
    Momentary,
    /// There is slack, with a record there.
    Slack { record_at: u64 },
}

impl Writer<'_> {
    /// Appends where that is a copy and a store, and says whether it did: under load it nearly always does.
    #[inline]
    fn append_to_free_slack(&mut self, bytes: &[u8]) -> Result<bool> {
        let len = bytes.len() as u64;
        let Some(record_at) = self.extent.room_for(len) else {
            return Ok(false);
        };
        let from = self.extent.end();
        self.array.may_hold(from + len)?;
        self.no_imitation(from, bytes)?;
        self.append_within_slack(record_at, bytes)?;
        Ok(true)
    }

    /// Appends to slack, in which there is room.
    #[inline(always)]
    fn append_within_slack(&mut self, record_at: u64, bytes: &[u8]) -> Result<()> {
        let from = self.extent.end();
        let end = from + bytes.len() as u64;
        if bytes.len() >= MUCH && self.must_be_written(record_at, end) {
            self.write_to_slack(bytes)?;
        } else {
            self.append_to_slack(record_at, bytes)?;
        }
        if self.extent.is_anything_due(end) {
            self.ask_for_more(end, bytes.len() >= MUCH);
        }
        self.wrote(from);
        Ok(())
    }

    #[inline(never)]
    fn append_elsewhere(self, bytes: &[u8]) -> Result<Self> {
        self.have_room_made(|writer| writer.append_to_what_is_free(bytes))
    }

    /// Carries out a write; once more if the disk was full, and other arrays have given back what they held ahead of need.
    fn have_room_made(self, write: impl Fn(Self) -> Result<Self>) -> Result<Self> {
        let array = self.array;
        match write(self) {
            Err(error) if error.is_full() && array.have_slack_given_back() => {
                write(array.writer()?)
            }
            result => result,
        }
    }

    fn append_to_what_is_free(mut self, bytes: &[u8]) -> Result<Self> {
        let len = bytes.len() as u64;
        loop {
            match self.find_room(len)? {
                Some(room) => {
                    let from = self.extent.end();
                    self.no_imitation(from, bytes)?;
                    self.append_to(room, bytes)?;
                    return Ok(self);
                }
                None => self = self.wait_for_room(len)?,
            }
        }
    }

    /// The position at which `len` more bytes have room now; `None` if the file must grow first.
    #[inline]
    fn find_room(&mut self, len: u64) -> Result<Option<Room>> {
        let from = self.extent.end();
        self.array.may_hold(from + len)?;
        if self.extent.has_slack() {
            let room = self.extent.room_for(len);
            return Ok(room.map(|record_at| Room::Slack { record_at }));
        }
        self.load.comes_in(len >= MUCH as u64);
        let unhurried = self.load.is_unhurried(len);
        if unhurried {
            self.extent.growth_answered();
        }
        if from / PAGE == (from + len - 1) / PAGE {
            return Ok(Some(Room::WithinPage { unhurried }));
        }
        Ok(unhurried.then_some(Room::Momentary))
    }

    #[inline]
    fn append_to(&mut self, room: Room, bytes: &[u8]) -> Result<()> {
        let from = self.extent.end();
        let end = from + bytes.len() as u64;
        match room {
            Room::Slack { record_at } => return self.append_within_slack(record_at, bytes),
            Room::WithinPage { unhurried } => {
                self.append_within_page(bytes)?;
                if !unhurried && self.extent.ask_for_growth() {
                    self.array.ask(Chore::Grow);
                }
            }
            // More than a page is not written at once, but must be appended at once: the record's count does it.
            Room::Momentary => {
                let record_at = self.make_momentary_room(end)?;
                let appended = if bytes.len() >= MUCH {
                    self.write_to_slack(bytes)
                } else {
                    self.append_to_slack(record_at, bytes)
                };
                if !self.loss.is_lost() {
                    self.trim_now_or_later();
                }
                // The trim finds out what others did to the file during the call.
                appended.and_then(|()| self.not_lost())?;
            }
        }
        self.wrote(from);
        Ok(())
    }

    /// Makes the array at least `count` values long. The new ones are zeros: space is allocated for them, and nothing is
    /// written. It may wait.
    ///
    /// # Errors
    /// As [`Array::append`].
    pub fn extend_to(self, count: u64) -> Result<Self> {
        self.have_room_made(|writer| writer.extend_to_what_is_free(count))
    }

    fn extend_to_what_is_free(mut self, count: u64) -> Result<Self> {
        if self.extent.count() >= count {
            return Ok(self);
        }
        self = self.claim_end()?;
        if self.extent.count() >= count {
            return Ok(self);
        }
        let array = self.array;
        let from = self.extent.end();
        let end = array
            .layout
            .end_of(count)
            .ok_or_else(|| Error::Unaddressable {
                path: array.path.to_string(),
                count,
                item_size: array.item().size(),
            })?;
        array.may_hold(end)?;
        // What lies behind the last value in slack may have been a value once. Behind an exact end there is nothing.
        self.trim()?;
        self.make_momentary_room(end)?;
        self.set_count(count)?;
        self.trim_now_or_later();
        self.wrote(from);
        Ok(self)
    }

    /// Makes the values from a position on these, whether they are there already or not. What lies before the head stays
    /// away. It may wait.
    ///
    /// # Errors
    /// If there is no value before the position, the array cannot be written to or the disk is full.
    pub fn put(self, position: u64, bytes: &[u8]) -> Result<Self> {
        self.have_room_made(|writer| writer.put_in_what_is_free(position, bytes))
    }

    fn put_in_what_is_free(mut self, position: u64, bytes: &[u8]) -> Result<Self> {
        let size = self.array.item_size();
        if !(bytes.len() as u64).is_multiple_of(size) {
            return Err(Error::NotWhole {
                path: self.array.path.to_string(),
                bytes: bytes.len(),
                item_size: self.array.item().size(),
            });
        }
        let values = self.array.values_in(bytes);
        if position + values <= self.span().end() {
            self = self.with_notes(1, values as usize)?;
        }
        loop {
            let Span { head, count } = self.span();
            let dropped = head.saturating_sub(position);
            let bytes = bytes
                .get(dropped.saturating_mul(size).min(bytes.len() as u64) as usize..)
                .unwrap_or_default();
            if bytes.is_empty() {
                return Ok(self);
            }
            let index = position + dropped - head;
            if index > count {
                return Err(self.array.noted(Error::Gap {
                    path: self.array.path.to_string(),
                    count,
                    index,
                }));
            }
            let split = ((count - index) * size).min(bytes.len() as u64) as usize;
            let (old, new) = bytes.split_at(split);
            let room = if new.is_empty() {
                None
            } else {
                let room = self.find_room(new.len() as u64)?;
                if room.is_none() {
                    self = self.wait_for_room(new.len() as u64)?;
                    continue;
                }
                // That is to stay as it is.
                self.notes = Notes::IfThereIsRoom;
                room
            };
            if !old.is_empty() {
                self.overwrite(index, old)?;
            }
            if let Some(room) = room {
                self.append_to(room, new)?;
            }
            return Ok(self);
        }
    }
}

/// One write, under one hold of the lock.
impl Array {
    /// Appends whole values, encoded back to back. It may wait for room; they are the last values when it returns, and it says
    /// which values there are then.
    ///
    /// # Errors
    /// If the array cannot be written to, the disk is full, or the file would be longer than it may be; then
    /// nothing was appended.
    #[inline]
    pub fn append(self: &Arc<Self>, bytes: &[u8]) -> Result<Span> {
        let mut writer = self.writer()?;
        if !writer.append_to_free_slack(bytes)? {
            writer = writer.append_elsewhere(bytes)?;
        }
        Ok(writer.span())
    }

    /// As [`Self::append`], of values that come from elsewhere as a whole and may look like a record before their end: there is
    /// to be a look at that.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(in crate::storage) fn append_as_it_comes(self: &Arc<Self>, bytes: &[u8]) -> Result<()> {
        let writer = self.writer()?;
        let end = writer.span().end();
        writer.put(end, bytes).map(drop)
    }

    /// As [`Writer::extend_to`].
    ///
    /// # Errors
    /// As [`Writer::extend_to`].
    pub fn extend_to(self: &Arc<Self>, count: u64) -> Result<()> {
        self.writer()?.extend_to(count).map(drop)
    }
}

impl Writer<'_> {
    /// Appends to slack, where there is room for it.
    #[inline(always)]
    fn append_to_slack(&mut self, record_at: u64, bytes: &[u8]) -> Result<()> {
        let from = self.extent.end();
        let count = self.extent.count() + self.array.values_in(bytes);
        let at = record_at + record::LIVE_AT;
        let written = self.open.map().write_and_store(from, bytes, at, count);
        written.map_err(|fault| self.mark_lost(fault))?;
        self.publish(count);
        Ok(())
    }

    /// Whether the worker has not taken the page faults up to a byte of the slack, so that a store would have the kernel fill each
    /// page with zeros first.
    ///
    /// While the worker is at the end of the file, a call would wait for what it does there. And of a file that others cut a call
    /// makes a longer one: the store to the record, which must lie in a later page, is to find that out.
    #[inline(never)]
    fn must_be_written(&self, record_at: u64, end: u64) -> bool {
        !self.extent.is_prefaulted(end)
            && self.tail.is_free()
            && end <= record_at - record_at % page_size() as u64
    }

    /// Appends much to slack by a call. What a failed one leaves lies behind the values.
    #[cold]
    fn write_to_slack(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file_as_left()?;
        let mut at = self.extent.end();
        for piece in bytes.chunks(WRITTEN_AT_ONCE) {
            disk::write_all_at(&file, piece, at).map_err(|e| self.array.failed("append to", e))?;
            at += piece.len() as u64;
        }
        let count = self.extent.count() + self.array.values_in(bytes);
        self.set_count(count)
    }

    /// Appends to a file of exact length, where that leaves all in one page.
    fn append_within_page(&mut self, bytes: &[u8]) -> Result<()> {
        let from = self.extent.end();
        self.extend_within_page(from, bytes)?;
        let count = self.array.layout.count_up_to(from + bytes.len() as u64);
        let is_header_true = self.is_header_true();
        self.set_count(count)?;
        // One that lags behind already is the worker's.
        if is_header_true {
            self.write_header_now_or_later();
        }
        Ok(())
    }

    /// Appends to a file of exact length by one `pwrite`: it makes the file longer only once the bytes are there.
    fn extend_within_page(&mut self, from: u64, bytes: &[u8]) -> Result<()> {
        let file = self.file_as_left()?;
        let end = from + bytes.len() as u64;
        if self.open.map().len() < end {
            let map = map(&file, &self.array.path, end, Access::Writable)?;
            self.replace_map(map);
        }
        let written = self
            .keeping(from, || disk::write_at(&file, bytes, from))?
            .map_err(|e| self.array.failed("append to", e))?;
        if written < bytes.len() {
            self.free_unused();
            // The next byte would have told why.
            let is_too_long = limits::file_size().is_some_and(|limit| end > limit);
            let why = if is_too_long {
                Errno::FBIG
            } else {
                Errno::NOSPC
            };
            return Err(self.array.failed("append to", why));
        }
        Ok(())
    }
}
