//! How a file gets longer than its values, and exact again.
//!
//! Each step leaves the file such that [`Record::find`] finds the right count if the process is killed right
//! after it; `docs/design.md` goes through them one by one.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::storage::array::handle::Array;
use crate::storage::array::limit::len_with_record;
use crate::storage::array::locked::Locked;
use crate::storage::array::state::extent::window_behind;
use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::calls as disk;
use crate::storage::format::record;
use crate::storage::format::record::Record;
use crate::storage::memory::mapping::Mapping;
use crate::storage::primitives::others_go_on;
use crate::storage::system::{Call, attempt};

/// A growth, decided under the lock and carried out without it.
struct GrowthPlan {
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
    /// Whether values will be stored to the new pages, and not written.
    prefault: bool,
}

/// A growth that waits to be put in place.
pub(in crate::storage) struct Grown {
    file_len: u64,
    map: Arc<Mapping>,
}

/// The command that needs the space tries for itself, and its client is told.
fn warn_of_failed_growth(error: &Error) {
    tracing::warn!("could not grow ahead of need: {error}");
}

/// Less than this, in bytes, is asked for without a look at what is free.
const LITTLE: u64 = 16 << 20;

/// Whether a disk has no room for a growth of a file to `len` bytes. ext4 takes all that is free before it finds that
/// out, and for so long all others who write to the disk fail.
fn is_more_than_is_free(plan: &GrowthPlan, len: u64) -> bool {
    if len < LITTLE {
        return false;
    }
    // What was allocated before is not asked for again.
    let allocated = disk::allocated_bytes(&plan.file);
    let new = len.saturating_sub(allocated.saturating_sub(plan.file_len));
    disk::free_bytes(&plan.file).is_some_and(|free| new > free)
}

impl Array {
    /// Grows the file before it is needed. The worker calls it.
    pub(in crate::storage) fn grow_ahead(self: &Arc<Self>) {
        // After a power cut only what the record says is synced will be believed, and it is to say as much
        // as it can from the first. A failure is remembered, but growth goes on.
        if !self.has_slack() {
            let _ = self.sync();
        }
        if let Some((plan, number)) = self.begin_growth() {
            self.end_growth(&plan, number);
        }
    }

    fn end_growth(self: &Arc<Self>, plan: &GrowthPlan, number: u64) {
        let start = Instant::now();
        let result = self
            .carry_out(plan, number)
            .inspect_err(warn_of_failed_growth);
        let Some(mut locked) = self.lock_growth(number) else {
            return self.give_back(plan);
        };
        locked.free_end();
        match result {
            Ok(()) => {
                self.shared.stats.growths_ahead.add_one();
                self.shared.stats.growth_time.record_since(start);
            }
            Err(_) => {
                locked.extent.give_up_growth();
                locked.free_unused();
            }
        }
    }

    fn begin_growth(self: &Arc<Self>) -> Option<(GrowthPlan, u64)> {
        let mut locked = self.lock();
        if locked.usage.is_unbound() || !locked.usage.is_writable() {
            // It was asked for before.
            return None;
        }
        let end = locked.extent.end();
        let is_longest = |longest| {
            locked.extent.has_slack() && locked.extent.len() >= longest
                || len_with_record(end) > longest
        };
        if self.longest().is_some_and(is_longest) {
            locked.extent.give_up_growth();
            return None;
        }
        let is_due = !locked.extent.has_slack() || locked.extent.is_growth_due(end);
        if !locked.tail.is_free() || !is_due {
            // Another thread is growing it, or has just done so.
            locked.extent.growth_answered();
            return None;
        }
        let needed = if locked.extent.has_slack() {
            locked.extent.len() + record::ALIGNMENT
        } else {
            len_with_record(self.within_limit(end + record::ALIGNMENT).max(end))
        };
        let wanted = len_with_record(end + locked.step(end));
        let plan = locked
            .plan(needed, wanted)
            .inspect_err(warn_of_failed_growth)
            .ok()?;
        let number = locked.tail.begin_growth();
        Some((plan, number))
    }

    /// The state, if the growth of that number was not called off.
    fn lock_growth(self: &Arc<Self>, number: u64) -> Option<Locked<'_>> {
        let locked = self.lock();
        locked.tail.is_growth(number).then_some(locked)
    }

    fn carry_out(self: &Arc<Self>, plan: &GrowthPlan, number: u64) -> Result<()> {
        let grown = self.prepare(plan)?;
        if plan.slack {
            let Some(mut locked) = self.lock_growth(number) else {
                return Ok(());
            };
            locked.announce(&grown)?;
            drop(locked);
            if let Err(error) = self.settle_growth(plan, &grown) {
                let mut locked = self.lock();
                // A failure on a file that the array no longer has does not matter.
                if !locked.open.is(&plan.file) {
                    return Ok(());
                }
                return Err(locked.refuse_writes(plan.dirty_from, error));
            }
        }
        match self.lock_growth(number) {
            Some(mut locked) => locked.adopt(grown),
            None => Ok(()),
        }
    }

    /// Gives back what a growth allocated after it was called off.
    fn give_back(self: &Arc<Self>, plan: &GrowthPlan) {
        let mut locked = self.lock();
        if locked.open.is(&plan.file) && locked.tail.is_free() {
            locked.free_unused();
        }
    }

    /// Allocates and maps what the plan says. The array is as before, whether this succeeds or not.
    fn prepare(&self, plan: &GrowthPlan) -> Result<Grown> {
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
    fn allocate(&self, plan: &GrowthPlan) -> Result<u64> {
        let mut wanted = plan.wanted.max(plan.needed);
        others_go_on();
        loop {
            let (from, len) = (plan.file_len, wanted - plan.file_len);
            let allocated = if is_more_than_is_free(plan, len) {
                Err(Errno::NOSPC)
            } else {
                attempt(Call::Fallocate, || {
                    fallocate(&*plan.file, FallocateFlags::KEEP_SIZE, from, len)
                })
            };
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

    /// Waits until the new length and record are on disk: only then may values overwrite the old record.
    fn settle_growth(&self, plan: &GrowthPlan, grown: &Grown) -> std::io::Result<()> {
        plan.map.release(plan.dirty_from, plan.end);
        disk::sync_data(&plan.file)?;
        if plan.prefault {
            grown
                .map
                .populate(plan.end, window_behind(plan.end, grown.file_len));
        }
        Ok(())
    }
}

impl Locked<'_> {
    pub(in crate::storage) fn grow_now(&mut self, needed: u64, wanted: u64) -> Result<()> {
        let plan = self.plan(needed, wanted)?;
        self.array
            .prepare(&plan)
            .and_then(|grown| {
                if plan.slack {
                    self.announce(&grown)?;
                    if let Err(error) = self.array.settle_growth(&plan, &grown) {
                        return Err(self.refuse_writes(plan.dirty_from, error));
                    }
                }
                self.adopt(grown)
            })
            .inspect_err(|_| self.free_unused())
    }

    fn plan(&mut self, needed: u64, wanted: u64) -> Result<GrowthPlan> {
        // A length without a mark before it would be believed after a power cut.
        self.mark_if_unmarked()?;
        Ok(GrowthPlan {
            file: self.file_as_left()?,
            map: Arc::clone(self.open.map()),
            slack: self.extent.has_slack(),
            file_len: self.extent.len(),
            end: self.extent.end(),
            dirty_from: self.durability.dirty_from().unwrap_or(self.extent.end()),
            needed,
            wanted,
            prefault: !self.load.comes_in_large_parts(),
        })
    }

    /// Makes a file with slack longer: writes a record at the new end that says that the one before is still
    /// the true one.
    fn announce(&mut self, grown: &Grown) -> Result<()> {
        self.check_length()?;
        let record = self.record(grown.file_len, self.extent.len());
        let file = self.file()?;
        let tail_at = grown.file_len - record::TAIL;
        let write = || disk::write_all_at(&file, &record.to_tail(), tail_at);
        self.keeping(self.extent.len(), write)?
            .map_err(|e| self.array.failed("extend", e))
    }

    /// Puts a growth in place, under the lock.
    fn adopt(&mut self, grown: Grown) -> Result<()> {
        if self.extent.has_slack() {
            let at = grown.file_len - record::SIZE;
            let store = |field, value| grown.map.store(at + field, value);
            store(record::LIVE_AT, self.extent.count())
                .and_then(|()| store(record::SYNCED_AT, self.durability.synced()))
                .and_then(|()| store(record::PREVIOUS_AT, 0))
                .map_err(|fault| self.mark_lost(fault))?;
        } else {
            let tail_at = grown.file_len - record::TAIL;
            if self.extent.end() > tail_at {
                // Exact appends have overtaken the little that could be allocated.
                return Err(self
                    .array
                    .failed("allocate space for", std::io::ErrorKind::StorageFull));
            }
            let record = self.record(grown.file_len, 0);
            let file = self.file_as_left()?;
            let write = || disk::write_all_at(&file, &record.to_tail(), tail_at);
            self.keeping(self.extent.end(), write)?
                .map_err(|e| self.array.failed("extend", e))?;
        }
        if !Arc::ptr_eq(self.open.map(), &grown.map) {
            self.replace_map(grown.map);
        }
        self.extent.grow_to(grown.file_len);
        Ok(())
    }

    /// The record of a file of that length.
    pub(super) fn record(&self, file_len: u64, previous: u64) -> Record {
        Record::new(
            self.array.item().size(),
            file_len,
            self.extent.count(),
            self.durability.synced(),
            previous,
        )
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
    pub(in crate::storage) fn announce_growth_for_test(self: &Arc<Self>) -> Grown {
        self.lock().extent.make_growth_due();
        let (plan, _) = self.begin_growth().expect("a growth is due");
        self.lock().extent.give_up_growth();
        let grown = self.prepare(&plan).unwrap();
        self.lock().announce(&grown).unwrap();
        grown
    }

    /// The second half.
    pub(in crate::storage) fn adopt_growth_for_test(self: &Arc<Self>, grown: Grown) {
        let mut locked = self.lock();
        locked.adopt(grown).unwrap();
        locked.free_end();
    }
}
