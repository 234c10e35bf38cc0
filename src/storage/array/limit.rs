//! How far a file may grow: by the settings, by the system, and by what is free on its disk.

use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::format::record;
use crate::storage::system::limits;

/// Smallest step by which a burst makes a file grow, in bytes, where `mmap.max-slack` allows it: of small writes, and of
/// such that come at 100 MB/s. The worker has a tenth of a second for the next then.
const SMALLEST_STEP: u64 = 4 << 20;
const SMALLEST_LARGE_STEP: u64 = 16 << 20;
/// So many writes of its average length the smallest step has room for.
const WRITES_IN_STEP: u64 = 512;

/// Length of a file whose slack holds values up to `end`, in bytes.
pub(super) fn len_with_record(end: u64) -> u64 {
    end.saturating_add(record::TAIL)
        .checked_next_multiple_of(record::ALIGNMENT)
        .unwrap_or(u64::MAX)
}

impl Array {
    pub(super) fn within_limit(&self, end: u64) -> u64 {
        self.slack_end().map_or(end, |furthest| end.min(furthest))
    }

    /// Where the values of a file with slack may end, in bytes, by the settings and by the system.
    fn slack_end(&self) -> Option<u64> {
        let by_system = limits::file_size().map(|limit| {
            let len = limit - limit % record::ALIGNMENT;
            len.saturating_sub(record::TAIL)
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
    pub(super) fn longest(&self) -> Option<u64> {
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
}

impl Locked<'_> {
    /// By how much a file grows: as much as it holds, within bounds, and no further than it may hold values. What is free is
    /// for other files, too: half of that at most.
    pub(super) fn step(&self, bytes: u64) -> u64 {
        let average = self.load.average(bytes);
        let least = average
            .saturating_mul(WRITES_IN_STEP)
            .clamp(SMALLEST_STEP, SMALLEST_LARGE_STEP);
        let free = self.open.file().and_then(disk::free_bytes);
        let most = self.array.shared.settings.max_slack();
        let most = free.map_or(most, |free| most.min(free / 2));
        let step = bytes.clamp(least.min(most), most);
        self.array.within_limit(bytes + step).saturating_sub(bytes)
    }
}
