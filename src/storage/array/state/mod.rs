//! What an array's lock protects, in parts with fields of their own.
//!
//! Uses `files`, `memory`, `threads` and the settings. Knows no array.

pub(in crate::storage) mod budget;
pub(in crate::storage) mod pace;
pub(in crate::storage) mod span;
pub(in crate::storage) mod undo;
pub(in crate::storage) mod watch;

use std::fs::File;
use std::sync::Arc;

use crate::storage::array::state::budget::Budget;
use crate::storage::array::state::pace::Share;
use crate::storage::array::state::span::Span;
use crate::storage::array::state::undo::Snapshots;
use crate::storage::array::state::watch::Watch;
use crate::storage::files::access::Access;
use crate::storage::memory::mapping::Mapping;
use crate::storage::memory::pattern::{Pattern, advise_file};
use crate::storage::memory::presence::Look;

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
    pub fn is_plainly_writable(&self) -> bool {
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

impl State {
    /// Which values there are.
    #[inline]
    pub fn span(&self) -> Span {
        Span {
            head: self.head,
            count: self.count,
        }
    }

    /// Tells the kernel again, of a file or a mapping that is new.
    pub fn advise_again(&self) {
        if self.pattern != Pattern::Normal {
            self.map.advise(self.pattern);
            if let Some(file) = &self.file {
                advise_file(file, self.pattern);
            }
        }
    }
}
