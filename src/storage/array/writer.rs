//! Changing an array: what is decided and what is carried out under one hold of its lock.

use std::collections::HashMap;
use std::sync::Arc;

use crate::storage::array::handle::{Array, PAGE, State};
use crate::storage::array::lock::Locked;
use crate::storage::error::{Error, Result};
use crate::storage::memory::available::buffer;
use crate::storage::store::worker::Job;

/// The right to change an array: its lock, held since the array was found fit to be written. What is read from it is true
/// as long as it lives. A method that may wait takes it and gives another back: what was known before is void then.
pub struct Writer<'a> {
    pub(in crate::storage) array: &'a Arc<Array>,
    pub(in crate::storage) state: Locked<'a>,
}

/// Which values an array has at one moment. A *position* is the number of values that were ever before one: its index,
/// and those that were dropped from the head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Number of values that were dropped from the head so far: the position of the first one.
    pub head: u64,
    /// Number of values.
    pub count: u64,
}

impl Extent {
    /// The position behind the last value.
    pub fn end(self) -> u64 {
        self.head + self.count
    }
}

impl State {
    pub fn extent(&self) -> Extent {
        Extent {
            head: self.head,
            count: self.count,
        }
    }
}

/// How values are to be appended that there is room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Room {
    /// The file is exact, and stays so by one `pwrite`: all lies in one page.
    WithinPage { unhurried: bool },
    /// The file is exact, and gets slack for as long as it takes.
    Momentary,
    /// There is slack.
    Slack,
}

impl Array {
    /// Takes the lock, to change the array.
    ///
    /// # Errors
    /// If the array cannot be written to.
    #[inline]
    pub fn writer(self: &Arc<Self>) -> Result<Writer<'_>> {
        Ok(Writer {
            state: self.lock_for_writing()?,
            array: self,
        })
    }
}

impl<'a> Writer<'a> {
    /// Which values there are.
    #[inline]
    pub fn extent(&self) -> Extent {
        self.state.extent()
    }

    /// Appends where that is a copy and a store, and says whether it did: under load it nearly always does.
    #[inline]
    fn append_to_free_slack(&mut self, bytes: &[u8]) -> Result<bool> {
        let (array, state) = (self.array, &mut *self.state);
        let len = bytes.len() as u64;
        if !state.slack || !array.has_room(state, len) {
            return Ok(false);
        }
        array.may_hold(array.end_of_values(state) + len)?;
        self.append_within_slack(bytes)?;
        Ok(true)
    }

    /// Appends to slack, in which there is room.
    #[inline(always)]
    fn append_within_slack(&mut self, bytes: &[u8]) -> Result<()> {
        let (array, state) = (self.array, &mut *self.state);
        let from = array.end_of_values(state);
        let end = from + bytes.len() as u64;
        array.append_to_slack(state, bytes)?;
        if end >= state.grow_at || end >= state.prefault_at {
            array.ask_for_more(state, end);
        }
        array.wrote(state, from);
        Ok(())
    }

    #[inline(never)]
    fn append_elsewhere(self, bytes: &[u8]) -> Result<Self> {
        let array = self.array;
        match self.append_to_what_is_free(bytes) {
            Err(error) if error.is_full() && array.have_slack_given_back() => {
                array.writer()?.append_to_what_is_free(bytes)
            }
            result => result,
        }
    }

    fn append_to_what_is_free(mut self, bytes: &[u8]) -> Result<Self> {
        let len = bytes.len() as u64;
        loop {
            match self.find_room(len)? {
                Some(room) => {
                    self.append_to(room, bytes)?;
                    return Ok(self);
                }
                None => self = self.wait_for_room(len)?,
            }
        }
    }

    /// Where so many bytes more have room now; `None` if the file must grow first.
    #[inline]
    fn find_room(&mut self, len: u64) -> Result<Option<Room>> {
        let (array, state) = (self.array, &mut *self.state);
        let from = array.end_of_values(state);
        array.may_hold(from + len)?;
        if state.slack {
            return Ok(array.has_room(state, len).then_some(Room::Slack));
        }
        let unhurried = state.budget.take(len);
        if unhurried {
            state.growth_asked = false;
        }
        if from / PAGE == (from + len - 1) / PAGE {
            return Ok(Some(Room::WithinPage { unhurried }));
        }
        Ok(unhurried.then_some(Room::Momentary))
    }

    fn wait_for_room(self, len: u64) -> Result<Self> {
        let Self { array, state } = self;
        let state = array.wait_for_room(state, len)?;
        Ok(Self { array, state })
    }

    #[inline]
    fn append_to(&mut self, room: Room, bytes: &[u8]) -> Result<()> {
        let (array, state) = (self.array, &mut *self.state);
        let from = array.end_of_values(state);
        let end = from + bytes.len() as u64;
        match room {
            Room::Slack => return self.append_within_slack(bytes),
            Room::WithinPage { unhurried } => {
                array.append_within_page(state, bytes)?;
                if !unhurried && !state.growth_asked {
                    state.growth_asked = true;
                    array.shared.send(Job::Grow(Arc::clone(array)));
                }
            }
            // More than a page is not written at once, but must be appended at once: the record's count does it.
            Room::Momentary => {
                array.make_momentary_room(state, end)?;
                array.append_to_slack(state, bytes)?;
                array.trim_now_or_later(state);
            }
        }
        array.wrote(state, from);
        Ok(())
    }

    /// Makes the array at least `count` values long. The new ones are zeros: space is allocated for them, and nothing is
    /// written. It may wait.
    ///
    /// # Errors
    /// As [`Array::append`].
    pub fn extend_to(self, count: u64) -> Result<Self> {
        let array = self.array;
        match self.extend_to_what_is_free(count) {
            Err(error) if error.is_full() && array.have_slack_given_back() => {
                array.writer()?.extend_to_what_is_free(count)
            }
            result => result,
        }
    }

    fn extend_to_what_is_free(mut self, count: u64) -> Result<Self> {
        if self.state.count >= count {
            return Ok(self);
        }
        self = self.claim_end()?;
        let (array, state) = (self.array, &mut *self.state);
        if state.count >= count {
            return Ok(self);
        }
        let from = array.end_of_values(state);
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
        array.trim(state)?;
        array.make_momentary_room(state, end)?;
        array.set_count(state, count)?;
        array.trim_now_or_later(state);
        array.wrote(state, from);
        Ok(self)
    }

    /// Makes the end of the file the caller's. It may wait.
    pub(in crate::storage) fn claim_end(self) -> Result<Self> {
        let Self { array, state } = self;
        let mut state = array.claim_end(state)?;
        array.check_writable(&mut state)?;
        Ok(Self { array, state })
    }

    /// Makes the values from a position on these, whether they are there already or not. What lies before the head stays
    /// away. It may wait.
    ///
    /// # Errors
    /// If there is no value before the position, the array cannot be written to or the disk is full.
    pub fn put(mut self, position: u64, bytes: &[u8]) -> Result<Self> {
        let size = self.array.item_size();
        if !(bytes.len() as u64).is_multiple_of(size) {
            return Err(Error::NotWhole {
                path: self.array.path.to_string(),
                bytes: bytes.len(),
                item_size: self.array.item().size(),
            });
        }
        loop {
            let Extent { head, count } = self.extent();
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

    /// Sets values in place: the i-th of `indices` becomes the i-th of the encoded values.
    ///
    /// # Errors
    /// If an index is out of range; then nothing was set.
    pub fn set(&mut self, indices: &[u64], bytes: &[u8]) -> Result<()> {
        let (array, state) = (self.array, &mut *self.state);
        if let Some(index) = indices.iter().find(|&&index| index >= state.count) {
            return Err(array.out_of_range(state, index));
        }
        array.store_at(state, indices, bytes)
    }

    /// Overwrites the values from `index` on with encoded ones.
    ///
    /// # Errors
    /// If they reach beyond the last value; then nothing was set.
    pub fn set_from(&mut self, index: u64, bytes: &[u8]) -> Result<()> {
        let values = bytes.len() as u64 / self.array.item_size();
        if index
            .checked_add(values)
            .is_none_or(|end| end > self.state.count)
        {
            let last = index.saturating_add(values).saturating_sub(1);
            return Err(self.array.out_of_range(&self.state, last));
        }
        self.overwrite(index, bytes)
    }

    /// Overwrites values that are there.
    pub(in crate::storage) fn overwrite(&mut self, index: u64, bytes: &[u8]) -> Result<()> {
        let (array, state) = (self.array, &mut *self.state);
        let at = array.layout.offset(index);
        array.write(state, at, bytes)?;
        array.wrote_between(state, at..at + bytes.len() as u64);
        Ok(())
    }

    /// Changes values in place: `change` gets the position in `indices` and the value's bytes. An index may come
    /// more than once. Returns the new values, one for each index.
    ///
    /// # Errors
    /// If an index is out of range, or as `change`; then nothing was set.
    pub fn update<E: From<Error>>(
        &mut self,
        indices: &[u64],
        mut change: impl FnMut(usize, &mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Vec<u8>, E> {
        let (array, state) = (self.array, &mut *self.state);
        let size = array.item().size();
        let mut values = buffer(indices.len() * size).map_err(Error::from)?;
        let mut seen = HashMap::new();
        seen.try_reserve(indices.len()).map_err(Error::from)?;
        for (position, &index) in indices.iter().enumerate() {
            if index >= state.count {
                return Err(array.out_of_range(state, index).into());
            }
            let (before, rest) = values.split_at_mut(position * size);
            let value = &mut rest[..size];
            match seen.insert(index, position) {
                Some(earlier) => value.copy_from_slice(&before[earlier * size..][..size]),
                None => state
                    .map
                    .read(array.layout.offset(index), value)
                    .map_err(|fault| array.lose(state, fault))?,
            }
            change(position, value)?;
        }
        array.store_at(state, indices, &values)?;
        Ok(values)
    }

    /// Removes up to `count` values at the end and returns them as they lay in the file: the last one last.
    ///
    /// # Errors
    /// The system's; then nothing was removed.
    pub fn pop(&mut self, count: u64) -> Result<Vec<u8>> {
        let (array, state) = (self.array, &mut *self.state);
        let count = count.min(state.count);
        if count == 0 {
            return Ok(Vec::new());
        }
        let left = state.count - count;
        let mut popped = buffer((count * array.item_size()) as usize)?;
        state
            .map
            .read(array.layout.offset(left), &mut popped)
            .map_err(|fault| array.lose(state, fault))?;
        array.shorten(state, left)?;
        Ok(popped)
    }

    /// Removes the values from index `count` on, where there are any.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn truncate(&mut self, count: u64) -> Result<()> {
        if count < self.state.count {
            self.array.shorten(&mut self.state, count)?;
        }
        Ok(())
    }

    /// Removes the values from a position on, where there are any.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn truncate_at(&mut self, position: u64) -> Result<()> {
        self.truncate(position.saturating_sub(self.state.head))
    }

    /// Removes all values and says how many there were.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn clear(&mut self) -> Result<u64> {
        let count = self.state.count;
        if count > 0 || self.state.slack {
            self.array.shorten(&mut self.state, 0)?;
        }
        Ok(count)
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
    pub fn append(self: &Arc<Self>, bytes: &[u8]) -> Result<Extent> {
        let mut writer = self.writer()?;
        if !writer.append_to_free_slack(bytes)? {
            writer = writer.append_elsewhere(bytes)?;
        }
        Ok(writer.extent())
    }

    /// As [`Writer::extend_to`].
    ///
    /// # Errors
    /// As [`Writer::extend_to`].
    pub fn extend_to(self: &Arc<Self>, count: u64) -> Result<()> {
        self.writer()?.extend_to(count).map(drop)
    }

    /// As [`Writer::truncate`].
    ///
    /// # Errors
    /// As [`Writer::truncate`].
    pub fn truncate(self: &Arc<Self>, count: u64) -> Result<()> {
        self.writer()?.truncate(count)
    }
}

#[cfg(test)]
impl Array {
    pub fn set(self: &Arc<Self>, indices: &[u64], bytes: &[u8]) -> Result<()> {
        self.writer()?.set(indices, bytes)
    }

    pub fn pop(self: &Arc<Self>, count: u64) -> Result<Vec<u8>> {
        self.writer()?.pop(count)
    }

    pub fn clear(self: &Arc<Self>) -> Result<u64> {
        self.writer()?.clear()
    }
}
