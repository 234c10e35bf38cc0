//! How values reach the disk, and what happens when they do not.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
use crate::storage::array::state::durability::Begun;
use crate::storage::array::state::pace::Share;
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::format::mark::{Mark, Marked};
use crate::storage::format::record;
use crate::storage::memory::guard::Fault;
use crate::storage::memory::mapping::Mapping;

/// What a sync is about.
struct SyncWork {
    file: Arc<File>,
    map: Arc<Mapping>,
    /// Where the values begin.
    data_at: u64,
    /// Bytes.
    written: Range<u64>,
    /// Counts towards what waits for the disk until the sync has ended.
    _dirty: Share,
    /// Number of values.
    count: u64,
    /// Whether mark and record vouch for that many already.
    vouched: bool,
    /// Where the record is, in bytes, if the file has slack.
    record_at: Option<u64>,
    /// The kernel considers the pages written, after a sync that failed.
    again: bool,
}

impl SyncWork {
    /// Marks the pages that were written since as dirty, and those of header and record.
    fn touch(&self) -> std::result::Result<(), Fault> {
        self.map.touch(0, self.data_at)?;
        self.map.touch(self.written.start, self.written.end)?;
        if let Some(at) = self.record_at {
            // It is gone if the last key was deleted. If another process cut the file, the next command notices.
            let _ = self.map.touch(at, at + record::SIZE);
        }
        Ok(())
    }
}

impl Array {
    /// Puts all of it on disk and gives the file its exact length, whatever the settings say: no client waits for that. One that no
    /// key is bound to and that has no name, or none any more, is gone with its descriptor.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub(in crate::storage) fn sync_and_trim(self: &Arc<Self>, is_bound: bool) -> Result<()> {
        if !is_bound && (self.is_unnamed() || self.lock().is_deleted() == Some(true)) {
            return Ok(());
        }
        self.sync()?;
        self.trim_from_worker()?;
        self.sync()
    }

    /// Waits until everything written before is on disk, and found again after a power cut.
    ///
    /// # Errors
    /// Any I/O error of the operating system. Writes to the array are refused from then on, until a sync succeeds.
    pub fn sync(self: &Arc<Self>) -> Result<()> {
        let _syncing = self.syncing.lock();
        while let Some(work) = self.begin_sync() {
            if self.carry_out_sync(&work)? {
                break;
            }
        }
        Ok(())
    }

    /// `false` if the array got another descriptor during the sync, so that the result says nothing about it.
    fn carry_out_sync(self: &Arc<Self>, work: &SyncWork) -> Result<bool> {
        let start = Instant::now();
        let from = work.written.start;
        if work.again
            && let Err(fault) = work.touch()
        {
            let mut locked = self.lock();
            locked.durability.sync_faulted(from);
            return Err(locked.mark_lost(fault));
        }
        let synced = self.put_on_disk(work);
        self.shared.stats.sync_time.record_since(start);
        let mut locked = self.lock();
        match synced {
            Ok(()) => {
                let Some(ended) = locked.durability.end_sync() else {
                    return Err(Error::Refused {
                        path: self.path.to_string(),
                        reason: locked.durability.refusal().unwrap_or_default().to_owned(),
                    });
                };
                if !locked.open.is(&work.file) {
                    return Ok(false);
                }
                if work.again && locked.durability.allow(ended) {
                    tracing::warn!(
                        "file '{}': sync succeeds again, writes are allowed",
                        self.path
                    );
                }
                self.shared.stats.syncs.add_one();
                Ok(true)
            }
            Err(error) => Err(locked.refuse_writes(from, error)),
        }
    }

    /// Waits until no more waits for the disk than may, as far as this array can see to that.
    pub(in crate::storage) fn keep_pace(self: &Arc<Self>) -> Result<()> {
        if self.shared.is_behind() {
            return self.sync();
        }
        Ok(())
    }

    /// What there is to sync, which is taken for done from now on.
    fn begin_sync(self: &Arc<Self>) -> Option<SyncWork> {
        let mut locked = self.lock();
        if !locked.usage.is_writable() && !locked.usage.is_settling() {
            return None;
        }
        let file = locked.open.file().cloned()?;
        let Begun { from, dirty, again } = locked.durability.begin_sync()?;
        let synced = locked.durability.synced();
        let count = locked.may_vouch_for().unwrap_or(synced);
        Some(SyncWork {
            file,
            map: Arc::clone(locked.open.map()),
            data_at: self.layout.data_at(),
            written: from..locked.extent.end().max(from),
            _dirty: dirty,
            count,
            record_at: locked.extent.record_at(),
            vouched: locked.durability.vouches_for(count),
            again,
        })
    }

    /// Puts values on disk, and then what vouches for them: the disk may reorder within one sync.
    fn put_on_disk(self: &Arc<Self>, work: &SyncWork) -> io::Result<()> {
        let SyncWork {
            file, map, written, ..
        } = work;
        map.release(written.start, written.end);
        if work.vouched {
            return disk::sync_all(file);
        }
        // Where the journal keeps the mark behind the values, one flush of the disk does for both.
        if disk::orders_data_before_metadata(file) {
            disk::write_back(file, written.clone())?;
        } else {
            map.sync(written.start, written.end)?;
        }
        let Some(marked) = self.vouch_for(file, work.count)? else {
            return Ok(());
        };
        // An msync of the record would not do: it need not put the mark on disk, and a truncation can take the record
        // away, or a mark that was lowered since still be there.
        disk::sync_all(file)?;
        self.note_synced(file, work.count);
        match marked {
            Marked::Yes => Ok(()),
            Marked::CannotBe => disk::sync_data(file),
        }
    }

    /// Notes in the mark that `count` values are there; `None` if the file is not the array's any more, or another sync
    /// of it has failed.
    fn vouch_for(self: &Arc<Self>, file: &Arc<File>, count: u64) -> io::Result<Option<Marked>> {
        let mut locked = self.lock();
        if !locked.open.is(file) || !locked.durability.may_vouch() {
            return Ok(None);
        }
        let count = count.min(locked.extent.count());
        if !locked.durability.is_marked() {
            let marked = Mark::set(file, count)?;
            locked.durability.set_mark(Some(count));
            return Ok(Some(marked));
        }
        // Not under the array's lock: an attribute can wait for the journal. A thread that lowers the mark does so afterwards.
        locked.durability.set_mark(Some(count));
        let marking = locked.marking();
        drop(locked);
        let marked = Mark::set(file, count);
        drop(marking);
        if marked.is_err() {
            let mut locked = self.lock();
            if locked.open.is(file) {
                locked.durability.mark_failed(count);
            }
        }
        Ok(Some(marked?))
    }

    /// Notes that `count` values are on disk, unless the array has become shorter.
    fn note_synced(self: &Arc<Self>, file: &Arc<File>, count: u64) {
        let mut locked = self.lock();
        if locked.open.is(file) && locked.durability.note_synced(count) {
            // A lost file says so to the next command.
            let _ = locked.publish_synced();
        }
    }

    /// The worker is about to sync: later writes must be reported to it again.
    pub(in crate::storage) fn begin_scheduled_sync(self: &Arc<Self>) {
        self.lock().durability.begin_scheduled();
    }

    /// Syncs, gives the file its exact length, and waits until that is on disk too.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn sync_exact(self: &Arc<Self>) -> Result<()> {
        self.shared.worker_alive()?;
        self.sync()?;
        {
            let locked = self.lock();
            if !locked.usage.is_writable() {
                return Ok(());
            }
            let mut locked = locked.claim_end()?;
            if locked.open.is_closed() {
                return Err(self.closed());
            }
            locked.trim()?;
        }
        self.sync()
    }
}

impl Locked<'_> {
    /// Nothing is known of what reached the disk from that byte on: no more is written before it is there.
    pub(in crate::storage) fn refuse_writes(&mut self, from: u64, error: io::Error) -> Error {
        let error = self.array.failed("sync", error);
        self.array.shared.stats.sync_errors.add_one();
        if self.durability.refuse(from, error.to_string()) {
            tracing::error!("{error}; writes to it are refused until a sync succeeds");
            self.array.ask(Chore::SyncAgain);
        }
        error
    }
}
