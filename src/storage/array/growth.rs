//! How a file gets longer than its values, and exact again.
//!
//! Each step leaves the file such that [`Record::find`] finds the right count if the process is killed right
//! after it; `docs/design.md` goes through them one by one.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::storage::array::handle::{Array, End, LONG_TRUNCATION, PREFAULT_WINDOW, State};
use crate::storage::array::lock::Locked;
use crate::storage::array::state::budget::Budget;
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::files::limits;
use crate::storage::files::root::Access;
use crate::storage::format::record;
use crate::storage::format::record::Record;
use crate::storage::memory::mapping::Mapping;
use crate::storage::primitives::others_go_on;
use crate::storage::store::worker::Job;
use crate::storage::system::{Call, attempt};

/// Smallest step by which a burst makes a file grow, in bytes, where `mmap.max-slack` allows it: of small writes, and of
/// such that come at 100 MB/s. The worker has a tenth of a second for the next then.
const SMALLEST_STEP: u64 = 4 << 20;
const SMALLEST_LARGE_STEP: u64 = 16 << 20;
/// So many writes of its average length the smallest step has room for.
const WRITES_IN_STEP: u64 = 512;

/// A growth, decided under the lock and carried out without it.
struct Plan {
    file: Arc<File>,
    map: Arc<Mapping>,
    slack: bool,
    /// Length of the file, in bytes.
    file_len: u64,
    /// Where the values end, and the first that is not on disk, in bytes.
    end: u64,
    dirty_from: u64,
    /// The shortest and the best new length of the file, in bytes.
    needed: u64,
    wanted: u64,
}

/// A growth that waits to be put in place.
pub(in crate::storage) struct Grown {
    file_len: u64,
    map: Arc<Mapping>,
}

/// Length of a file whose slack holds values up to `end`, in bytes.
fn len_with_record(end: u64) -> u64 {
    end.saturating_add(record::SIZE)
        .checked_next_multiple_of(record::ALIGNMENT)
        .unwrap_or(u64::MAX)
}

/// The command that needs the space tries for itself, and its client is told.
fn warn_of_failed_growth(error: &Error) {
    tracing::warn!("could not grow ahead of need: {error}");
}

impl Array {
    /// Grows the file before it is needed. The worker calls it.
    pub(in crate::storage) fn grow_ahead(self: &Arc<Self>) {
        // After a power cut only what the record says is synced will be believed, and it is to say as much
        // as it can from the first. A failure is remembered, and no reason not to grow.
        if !self.has_slack() {
            let _ = self.sync();
        }
        if let Some((plan, number)) = self.begin_growth() {
            self.end_growth(&plan, number);
        }
    }

    fn end_growth(self: &Arc<Self>, plan: &Plan, number: u64) {
        let start = Instant::now();
        let result = self
            .carry_out(plan, number)
            .inspect_err(warn_of_failed_growth);
        let Some(mut state) = self.lock_growth(number) else {
            return self.give_back(plan);
        };
        self.state.free_end(&mut state);
        match result {
            Ok(()) => {
                self.shared.stats.growths_ahead.add_one();
                self.shared.stats.growth_time.record_since(start);
            }
            Err(_) => {
                state.grow_at = u64::MAX;
                self.free_unused(&mut state);
            }
        }
    }

    fn begin_growth(&self) -> Option<(Plan, u64)> {
        let mut state = self.state.lock();
        if state.unbound || state.access == Access::ReadOnly {
            // It was asked for before.
            return None;
        }
        let end = self.end_of_values(&state);
        let is_longest =
            |longest| state.slack && state.file_len >= longest || len_with_record(end) > longest;
        if self.longest().is_some_and(is_longest) {
            state.grow_at = u64::MAX;
            return None;
        }
        if state.end != End::Free || state.slack && end < state.grow_at {
            // Somebody else is growing it, or has done so meanwhile.
            state.growth_asked = false;
            return None;
        }
        let needed = if state.slack {
            state.file_len + record::ALIGNMENT
        } else {
            len_with_record(self.within_limit(end + record::ALIGNMENT).max(end))
        };
        let wanted = len_with_record(end + self.step(&state, end));
        let plan = self
            .plan(&mut state, needed, wanted)
            .inspect_err(warn_of_failed_growth)
            .ok()?;
        state.end = End::Growing;
        state.growth_number += 1;
        Some((plan, state.growth_number))
    }

    /// The state, if the growth of that number was not called off.
    fn lock_growth(&self, number: u64) -> Option<Locked<'_>> {
        let state = self.state.lock();
        (state.growth_number == number).then_some(state)
    }

    fn carry_out(self: &Arc<Self>, plan: &Plan, number: u64) -> Result<()> {
        let grown = self.prepare(plan)?;
        if plan.slack {
            let Some(mut state) = self.lock_growth(number) else {
                return Ok(());
            };
            self.announce(&mut state, &grown)?;
            drop(state);
            if let Err(error) = self.settle_growth(plan, &grown) {
                let mut state = self.state.lock();
                // What happens to a file that the array had before is nobody's concern.
                if !state.is_of(&plan.file) {
                    return Ok(());
                }
                return Err(self.refuse_writes(&mut state, plan.dirty_from, error));
            }
        }
        match self.lock_growth(number) {
            Some(mut state) => self.adopt(&mut state, grown),
            None => Ok(()),
        }
    }

    /// Whether so many bytes more can be appended to slack.
    #[inline]
    pub(in crate::storage) fn has_room(&self, state: &State, bytes: u64) -> bool {
        state.slack && self.end_of_values(state) + bytes + record::SIZE <= state.file_len
    }

    /// Gives back what a growth allocated after it was called off.
    fn give_back(&self, plan: &Plan) {
        let mut state = self.state.lock();
        if state.is_of(&plan.file) && state.end == End::Free {
            self.free_unused(&mut state);
        }
    }

    /// Makes room for so many bytes more, growing the file here and now if the worker has not done so. While it waits,
    /// others may do anything to the array, even give it another file: what the caller knew of it is void, and whether
    /// it may be written to is found out afresh.
    #[cold]
    pub(in crate::storage) fn wait_for_room<'a>(
        self: &Arc<Self>,
        mut state: Locked<'a>,
        bytes: u64,
    ) -> Result<Locked<'a>> {
        let start = Instant::now();
        while !self.has_room(&state, bytes) {
            if state.end != End::Free {
                self.shared.stats.growth_waits.add_one();
                state = self.wait_for_end(state)?;
                self.check_writable(&mut state)?;
                continue;
            }
            let end = self.end_of_values(&state) + bytes;
            self.may_hold(end)?;
            let wanted = len_with_record(end + self.step(&state, end));
            self.grow_now(&mut state, len_with_record(end), wanted)?;
            self.shared.stats.growths_inline.add_one();
            self.shared.send(Job::Watch(Arc::clone(self)));
        }
        self.shared.stats.wait_time.record_since(start);
        self.may_hold(self.end_of_values(&state) + bytes)?;
        Ok(state)
    }

    /// Gives an exact file slack for values up to `end` and no more, to be trimmed again soon.
    pub(in crate::storage) fn make_momentary_room(
        self: &Arc<Self>,
        state: &mut State,
        end: u64,
    ) -> Result<()> {
        let start = Instant::now();
        self.call_off_growth(state);
        let needed = len_with_record(end);
        self.grow_now(state, needed, needed)?;
        self.shared.stats.wait_time.record_since(start);
        Ok(())
    }

    fn grow_now(self: &Arc<Self>, state: &mut State, needed: u64, wanted: u64) -> Result<()> {
        let plan = self.plan(state, needed, wanted)?;
        self.prepare(&plan)
            .and_then(|grown| {
                if plan.slack {
                    self.announce(state, &grown)?;
                    if let Err(error) = self.settle_growth(&plan, &grown) {
                        return Err(self.refuse_writes(state, plan.dirty_from, error));
                    }
                }
                self.adopt(state, grown)
            })
            .inspect_err(|_| self.free_unused(state))
    }

    /// Gives back the blocks that a failed growth allocated behind the end of the file.
    pub(in crate::storage) fn free_unused(&self, state: &mut State) {
        if state.lost.is_none()
            && let Err(error) = self.cut_overlong(state)
        {
            tracing::error!("{error}; it is tried again before the next write");
        }
    }

    /// Cuts what lies behind the end of the file.
    pub(in crate::storage) fn cut_overlong(&self, state: &mut State) -> Result<()> {
        let cut = disk::set_len(&*self.file(state)?, state.file_len);
        state.overlong = cut.is_err();
        cut.map_err(|e| self.failed("shorten", e))
    }

    /// Makes the end of the file the caller's: a growth is called off, a cut is waited for. While it waits, others may
    /// do anything to the array, even close it or give it another file.
    pub(in crate::storage) fn claim_end<'a>(&self, mut state: Locked<'a>) -> Result<Locked<'a>> {
        self.call_off_growth(&mut state);
        self.wait_for_end(state)
    }

    /// Makes the end of the file the caller's, unless it is being cut: a file of exact length never is.
    pub(in crate::storage) fn call_off_growth(&self, state: &mut State) {
        debug_assert!(state.slack || state.end != End::Cutting);
        if state.end == End::Growing {
            state.growth_number += 1;
            state.growth_asked = false;
            // A record that announces the growth may stand behind the true one already.
            self.free_unused(state);
            self.state.free_end(state);
        }
    }

    fn wait_for_end<'a>(&self, state: Locked<'a>) -> Result<Locked<'a>> {
        state.wait_for_end(|| self.shared.worker_alive())
    }

    /// By how much a file grows: as much as it holds, within bounds, and no further than it may hold values. What is free is
    /// for other files, too: half of that at most.
    fn step(&self, state: &State, bytes: u64) -> u64 {
        let average = bytes / state.writes.max(1);
        let least = average
            .saturating_mul(WRITES_IN_STEP)
            .clamp(SMALLEST_STEP, SMALLEST_LARGE_STEP);
        let free = state.file.as_ref().and_then(|file| disk::free_bytes(file));
        let most = self.shared.settings.max_slack();
        let most = free.map_or(most, |free| most.min(free / 2));
        let step = bytes.clamp(least.min(most), most);
        self.within_limit(bytes + step).saturating_sub(bytes)
    }

    /// Has the other arrays on the same file system give back what they hold ahead of need; whether there was anything. To be
    /// called without any lock.
    #[cold]
    pub(in crate::storage) fn have_slack_given_back(&self) -> bool {
        let mut any = false;
        for other in self.shared.arrays() {
            if !std::ptr::eq(&*other, self) && other.id().device == self.id().device {
                any |= other.give_back_slack();
            }
        }
        any
    }

    /// Gives the file its exact length, calling off a growth; whether there was anything to give back.
    fn give_back_slack(&self) -> bool {
        let state = self.state.lock();
        let has_some = state.slack || state.end != End::Free;
        if !has_some || state.access == Access::ReadOnly || state.lost.is_some() {
            return false;
        }
        let given = self.claim_end(state).and_then(|mut state| {
            // It is the worker's again when the next values come.
            state.budget = Budget::full();
            self.trim(&mut state)
        });
        given
            .inspect_err(|error| tracing::warn!("while making room for another file: {error}"))
            .is_ok()
    }

    fn within_limit(&self, end: u64) -> u64 {
        self.slack_end().map_or(end, |furthest| end.min(furthest))
    }

    /// Where the values of a file with slack may end, in bytes, by the settings and by the system.
    fn slack_end(&self) -> Option<u64> {
        let by_system = limits::file_size().map(|limit| {
            let len = limit - limit % record::ALIGNMENT;
            len.saturating_sub(record::SIZE)
        });
        self.furthest_end().into_iter().chain(by_system).min()
    }

    /// Where values may end, in bytes, by the settings. What comes before them in the file does not count.
    #[inline]
    fn furthest_end(&self) -> Option<u64> {
        let limit = self.shared.settings.max_file_bytes()?;
        Some(self.layout.data_at().saturating_add(limit))
    }

    /// The length of a file with slack that holds all the values it may.
    fn longest(&self) -> Option<u64> {
        self.slack_end().map(len_with_record)
    }

    /// # Errors
    /// If values may not end at that byte.
    #[inline]
    pub(in crate::storage) fn may_hold(&self, end: u64) -> Result<()> {
        match self.furthest_end() {
            Some(furthest) if end > furthest => Err(self.too_long(end, furthest)),
            _ => Ok(()),
        }
    }

    #[cold]
    fn too_long(&self, end: u64, furthest: u64) -> Error {
        Error::TooLong {
            path: self.path.to_string(),
            values: self.layout.count_up_to(end),
            room: self.layout.count_up_to(furthest),
            limit: furthest - self.layout.data_at(),
        }
    }

    fn plan(&self, state: &mut State, needed: u64, wanted: u64) -> Result<Plan> {
        // A length without a mark before it would be believed after a power cut.
        self.mark_if_unmarked(state)?;
        Ok(Plan {
            file: self.file_as_left(state)?,
            map: Arc::clone(&state.map),
            slack: state.slack,
            file_len: state.file_len,
            end: self.end_of_values(state),
            dirty_from: state.dirty_from.unwrap_or(u64::MAX),
            needed,
            wanted,
        })
    }

    /// Allocates and maps what the plan says. The array is as before, whether this succeeds or not.
    fn prepare(&self, plan: &Plan) -> Result<Grown> {
        let file_len = self.allocate(plan)?;
        let map = if plan.map.len() >= file_len {
            Arc::clone(&plan.map)
        } else {
            Mapping::covering(&plan.file, file_len, Access::Writable)
                .map(Arc::new)
                .map_err(|e| self.failed("map", e))?
        };
        Ok(Grown { file_len, map })
    }

    /// Allocates blocks behind the end of the file, as many as there is room for, and says how long the
    /// file can be. Its length stays.
    fn allocate(&self, plan: &Plan) -> Result<u64> {
        let mut wanted = plan.wanted.max(plan.needed);
        others_go_on();
        loop {
            let (from, len) = (plan.file_len, wanted - plan.file_len);
            let allocated = attempt(Call::Fallocate, || {
                fallocate(&*plan.file, FallocateFlags::KEEP_SIZE, from, len)
            });
            let error = match allocated {
                // Where space cannot be allocated ahead, a full disk is found out too late.
                Ok(_) => return Ok(wanted),
                Err(Errno::INTR) => continue,
                Err(errno) => Error::io("allocate space for", &self.path, errno),
            };
            if !error.is_full() || wanted == plan.needed {
                return Err(self.noted(error));
            }
            let half = plan.file_len + (wanted - plan.file_len) / 2;
            wanted = (half - half % record::ALIGNMENT).max(plan.needed);
        }
    }

    /// Makes a file with slack longer: writes a record at the new end that says that the one before is still
    /// the true one.
    fn announce(&self, state: &mut State, grown: &Grown) -> Result<()> {
        self.check_length(state)?;
        let record = Record::new(
            self.item().size(),
            grown.file_len,
            state.count,
            state.synced,
            state.file_len,
        );
        let file = self.file(state)?;
        disk::write_all_at(&file, &record.to_bytes(), grown.file_len - record::SIZE)
            .map_err(|e| self.failed("extend", e))
    }

    /// Waits until the new length and record are on disk: only then may values overwrite the old record.
    fn settle_growth(&self, plan: &Plan, grown: &Grown) -> std::io::Result<()> {
        plan.map.release(plan.dirty_from, plan.end);
        disk::sync_data(&plan.file)?;
        grown
            .map
            .populate(plan.end, (plan.end + PREFAULT_WINDOW).min(grown.file_len));
        Ok(())
    }

    /// Puts a growth in place, under the lock.
    fn adopt(self: &Arc<Self>, state: &mut State, grown: Grown) -> Result<()> {
        let at = grown.file_len - record::SIZE;
        if state.slack {
            let store = |field, value| grown.map.store(at + field, value);
            store(record::LIVE_AT, state.count)
                .and_then(|()| store(record::SYNCED_AT, state.synced))
                .and_then(|()| store(record::PREVIOUS_AT, 0))
                .map_err(|fault| self.lose(state, fault))?;
        } else {
            let end = self.end_of_values(state);
            if end > at {
                // Exact appends have overtaken the little that could be allocated.
                return Err(self.failed("allocate space for", std::io::ErrorKind::StorageFull));
            }
            let record = Record::new(
                self.item().size(),
                grown.file_len,
                state.count,
                state.synced,
                0,
            );
            let file = self.file_as_left(state)?;
            disk::write_all_at(&file, &record.to_bytes(), at)
                .map_err(|e| self.failed("extend", e))?;
            state.prefaulted_to = end;
        }
        let old_end = if state.slack {
            state.file_len
        } else {
            self.end_of_values(state)
        };
        if !Arc::ptr_eq(&state.map, &grown.map) {
            self.replace_map(state, grown.map);
        }
        state.file_len = grown.file_len;
        state.slack = true;
        state.growth_asked = false;
        state.grow_at = at - (at.saturating_sub(old_end)) / 2;
        state.prefault_at = state
            .prefaulted_to
            .saturating_sub(PREFAULT_WINDOW / 2)
            .max(1);
        Ok(())
    }

    /// The values have come near the end of what is prepared: asks the worker for more.
    #[cold]
    pub(in crate::storage) fn ask_for_more(self: &Arc<Self>, state: &mut State, end: u64) {
        if end >= state.grow_at && !state.growth_asked {
            state.growth_asked = true;
            self.shared.send(Job::Grow(Arc::clone(self)));
        }
        if end >= state.prefault_at {
            state.prefault_at = u64::MAX;
            self.shared.send(Job::Prefault(Arc::clone(self)));
        }
    }

    /// Takes the page faults of the next window. The worker calls it.
    pub(in crate::storage) fn prefault(&self) {
        let (map, from, to) = {
            let state = self.state.lock();
            if !state.slack {
                return;
            }
            let end = self.end_of_values(&state);
            let to = (end + PREFAULT_WINDOW).min(state.file_len);
            (Arc::clone(&state.map), end.max(state.prefaulted_to), to)
        };
        map.populate(from, to);
        let mut state = self.state.lock();
        if !Arc::ptr_eq(&state.map, &map) || !state.slack || state.file_len < to {
            // It has another file or another length: what comes next asks for its own window.
            return;
        }
        state.prefaulted_to = to;
        state.prefault_at = if to == state.file_len {
            u64::MAX
        } else {
            to.saturating_sub(PREFAULT_WINDOW / 2).max(1)
        };
    }

    /// Cuts a file with slack to its exact length. The end of the file must not be the worker's.
    pub(in crate::storage) fn trim(&self, state: &mut State) -> Result<()> {
        if !state.slack || state.access == Access::ReadOnly {
            return Ok(());
        }
        let exact = self.end_of_values(state);
        let file = self.file_as_left(state)?;
        disk::set_len(&file, exact).map_err(|e| self.failed("shorten", e))?;
        state.file_len = exact;
        state.slack = false;
        let count = state.count;
        self.write_header(state, count)?;
        state.growth_asked = false;
        state.grow_at = u64::MAX;
        state.prefault_at = u64::MAX;
        state.prefaulted_to = 0;
        // The new length is to be on disk in time, too.
        state.soil(exact);
        self.shared.stats.trims.add_one();
        Ok(())
    }

    /// As [`Self::trim`], after values were appended: should it fail, only the length is to be put right later.
    pub(in crate::storage) fn trim_now_or_later(self: &Arc<Self>, state: &mut State) {
        if let Err(error) = self.trim(state) {
            tracing::warn!("{error}; it is tried again");
            self.shared.send(Job::Watch(Arc::clone(self)));
        }
    }

    /// The worker's trim: frees much space without keeping commands waiting.
    ///
    /// It is a growth in reverse. A record nearer to the values becomes the true one, the one at the end of
    /// the file points to it, and then the file is cut behind it with no lock held.
    ///
    /// # Errors
    /// The system's; the array stays as it is then, and can be trimmed later.
    pub(in crate::storage) fn trim_from_worker(&self) -> Result<()> {
        let mut state = self.state.lock();
        if !state.slack || state.file.is_none() || state.access == Access::ReadOnly {
            return Ok(());
        }
        let start = Instant::now();
        let file = self.file_as_left(&mut state)?;
        let near = len_with_record(self.end_of_values(&state) + LONG_TRUNCATION / 2);
        if near + LONG_TRUNCATION < state.file_len {
            let record = Record::new(self.item().size(), near, state.count, state.synced, 0);
            let far = state.file_len;
            state
                .map
                .write(near - record::SIZE, &record.to_bytes())
                .and_then(|()| {
                    state
                        .map
                        .store(far - record::SIZE + record::PREVIOUS_AT, near)
                })
                .map_err(|fault| self.lose(&mut state, fault))?;
            state.file_len = near;
            state.end = End::Cutting;
            let result;
            (state, result) = state.unlocked(|| disk::set_len(&file, near));
            self.state.free_end(&mut state);
            if let Err(error) = result {
                // The record at the end must be the true one again.
                state.file_len = far;
                self.reinstate_record(&mut state)?;
                return Err(self.failed("shorten", error));
            }
        }
        drop(file);
        self.trim(&mut state)?;
        self.shared.stats.trim_time.record_since(start);
        state.budget = Budget::full();
        Ok(())
    }

    /// Makes the record at the end of the file the true one again.
    fn reinstate_record(&self, state: &mut State) -> Result<()> {
        let count = state.count;
        self.set_count(state, count)?;
        self.publish_synced(state)?;
        self.store_in_record(state, record::PREVIOUS_AT, 0)
    }
}

#[cfg(test)]
impl Array {
    /// The first step of `grow_ahead`, and what is left to be done, if it would go on.
    pub(in crate::storage) fn begin_growth_for_test(self: &Arc<Self>) -> Option<impl FnOnce()> {
        let (plan, number) = self.begin_growth()?;
        let array = Arc::clone(self);
        Some(move || array.end_growth(&plan, number))
    }

    /// The first half of `grow_ahead`, as if the process were stopped there.
    pub(in crate::storage) fn announce_growth_for_test(&self) -> Grown {
        self.state.lock().grow_at = 0;
        let (plan, _) = self.begin_growth().expect("a growth is due");
        self.state.lock().grow_at = u64::MAX;
        let grown = self.prepare(&plan).unwrap();
        self.announce(&mut self.state.lock(), &grown).unwrap();
        grown
    }

    /// The second half.
    pub(in crate::storage) fn adopt_growth_for_test(self: &Arc<Self>, grown: Grown) {
        let mut state = self.state.lock();
        self.adopt(&mut state, grown).unwrap();
        self.state.free_end(&mut state);
    }
}
