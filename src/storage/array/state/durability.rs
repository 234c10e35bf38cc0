//! What of an array is on disk for certain: the only place that decides what survives a power cut.
//!
//! **Invariants.**
//! - Whatever is not on disk lies behind the first byte that is dirty, or behind the first that a sync under way is about.
//! - No more values are counted as synced than the mark says, and none after a failed sync until its pages were written again.
//! - While writes are refused, something is dirty or being synced, so that a sync comes that may allow them again.

use std::ops::Range;

use crate::storage::array::state::pace::Share;
use crate::storage::settings::Settings;

/// What is on disk, and what is not.
pub(in crate::storage) struct Durability {
    /// Number of values known to be on disk.
    synced: u64,
    /// The number of values in the mark of the file; `None` if it has none of this boot, or that is not known.
    mark: Option<u64>,
    /// Lowest byte written since the last sync began; `None` if there is none.
    dirty_from: Option<u64>,
    /// How many bytes were written since then.
    dirty: Share,
    /// Lowest byte that a sync under way is about.
    syncing_from: Option<u64>,
    /// A sync failed, and the kernel considers the pages written: they must be marked as dirty again.
    rewrite: bool,
    /// The worker was told of a write and will sync it.
    scheduled: bool,
    /// Why writes are refused, after a failed sync.
    refusal: Option<String>,
}

/// What a sync is about.
pub(in crate::storage) struct Begun {
    /// The first byte.
    pub from: u64,
    /// Counts towards what waits for the disk until the sync has ended.
    pub dirty: Share,
    /// The kernel considers the pages written, after a sync that failed.
    pub again: bool,
}

/// That a sync has put on disk what it was about, which alone allows writes that were refused.
pub(in crate::storage) struct EndedSync(());

/// What was not on disk when an array was closed.
pub(in crate::storage) struct Unsynced {
    from: u64,
    /// Counts towards what waits for the disk.
    dirty: Share,
    rewrite: bool,
    refusal: Option<String>,
}

impl Unsynced {
    /// The same, that counts no more towards what waits for the disk.
    pub fn uncounted(mut self) -> Self {
        drop(self.dirty.take());
        self
    }
}

impl Durability {
    /// Of a file of which `synced` values are on disk, and nothing from a byte on.
    pub fn found(synced: u64, dirty_from: Option<u64>, dirty: Share) -> Self {
        Self {
            synced,
            mark: None,
            dirty_from,
            dirty,
            syncing_from: None,
            rewrite: false,
            scheduled: false,
            refusal: None,
        }
    }

    /// The file was opened again, with `synced` values on disk. Nothing vouches for what a sync was about that is under way,
    /// or that was cut off with a record.
    pub fn reopened(&mut self, synced: u64) {
        self.synced = synced;
        self.mark = None;
        if let Some(from) = self.syncing_from {
            self.mark_dirty(from);
        }
    }

    /// The array has another file, whose mark says that `synced` values are on disk. Its values end at `end`.
    pub fn replaced(&mut self, synced: u64, end: u64) {
        self.synced = synced;
        self.mark = Some(synced);
        self.dirty_from = Some(end);
    }

    /// Number of values known to be on disk.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// What the mark says, as far as that is known.
    pub fn mark(&self) -> Option<u64> {
        self.mark
    }

    /// Whether the file has a mark of this boot.
    #[inline]
    pub fn is_marked(&self) -> bool {
        self.mark.is_some()
    }

    /// Whether mark and record vouch for that many values already.
    pub fn vouches_for(&self, count: u64) -> bool {
        self.synced == count && self.mark == Some(count)
    }

    /// Sets what the mark says or is about to say; `None` if that is unknown.
    pub fn set_mark(&mut self, mark: Option<u64>) {
        self.mark = mark;
    }

    /// A mark could not be set, unless it was set to something else since.
    pub fn mark_failed(&mut self, count: u64) {
        if self.mark == Some(count) {
            self.mark = None;
        }
    }

    /// Vouches for no more than `left` values, as the others go; whether it did for more.
    pub fn lower(&mut self, left: u64) -> bool {
        let was_more = self.synced > left;
        self.synced = self.synced.min(left);
        was_more
    }

    /// Notes that `count` values are on disk, unless the array has become shorter or another sync has failed.
    pub fn note_synced(&mut self, count: u64) -> bool {
        match self.mark {
            Some(mark) if !self.rewrite => {
                self.synced = count.min(mark);
                true
            }
            _ => false,
        }
    }

    /// Counts a write, from a byte to another; whether so much waits for the disk by that that the worker is to sync.
    #[inline]
    pub fn wrote(&mut self, bytes: Range<u64>, settings: &Settings) -> bool {
        self.mark_dirty(bytes.start);
        self.dirty.add(bytes.end - bytes.start, settings)
    }

    /// The file from that byte on is not on disk.
    #[inline]
    pub fn mark_dirty(&mut self, from: u64) {
        self.dirty_from = Some(self.dirty_from.map_or(from, |lowest| lowest.min(from)));
    }

    /// The first byte that was written since the last sync began.
    pub fn dirty_from(&self) -> Option<u64> {
        self.dirty_from
    }

    /// Whether all is on disk.
    pub fn is_settled(&self) -> bool {
        self.dirty_from.is_none() && self.syncing_from.is_none()
    }

    /// Whether the worker is to be told of what is dirty: it was not yet.
    #[inline]
    pub fn schedule(&mut self) -> bool {
        self.dirty_from.is_some() && !std::mem::replace(&mut self.scheduled, true)
    }

    /// The worker is about to sync: later writes are told to it.
    pub fn begin_scheduled(&mut self) {
        self.scheduled = false;
    }

    /// What there is to sync, which is taken for done from now on.
    pub fn begin_sync(&mut self) -> Option<Begun> {
        let from = self.dirty_from.take()?;
        self.syncing_from = Some(from);
        Some(Begun {
            from,
            dirty: self.dirty.take(),
            again: std::mem::take(&mut self.rewrite),
        })
    }

    /// The sync under way has put on disk what it was about. That counts for nothing if another sync has failed at the same time:
    /// that one got the error, which may be about these pages.
    pub fn end_sync(&mut self) -> Option<EndedSync> {
        self.syncing_from = None;
        (!self.rewrite).then_some(EndedSync(()))
    }

    /// The pages could not even be marked as changed again.
    pub fn sync_faulted(&mut self, from: u64) {
        self.syncing_from = None;
        self.rewrite = true;
        self.mark_dirty(from);
    }

    /// Whether a count may be vouched for: no sync has failed since.
    pub fn may_vouch(&self) -> bool {
        !self.rewrite
    }

    /// Why writes are refused, if they are.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Nothing is known of what reached the disk from that byte on: no more is written before it is there. Whether that is
    /// news. The kernel reports an error once, so it may have been that of a sync that is still under way.
    pub fn refuse(&mut self, from: u64, reason: String) -> bool {
        let is_news = self.refusal.replace(reason).is_none();
        self.rewrite = true;
        self.mark_dirty(self.syncing_from.map_or(from, |other| other.min(from)));
        is_news
    }

    /// Writes are allowed; whether they were refused.
    pub fn allow(&mut self, _: EndedSync) -> bool {
        self.refusal.take().is_some()
    }

    /// What may not be on disk when the file is closed. A sync that is under way may still fail, and no client would learn of it.
    pub fn close(&mut self) -> Option<Unsynced> {
        let dirty = self.dirty.take();
        let from = self.dirty_from.into_iter().chain(self.syncing_from).min()?;
        // The end of a sync under way says nothing of it any more.
        self.dirty_from = Some(from);
        Some(Unsynced {
            from,
            dirty,
            rewrite: self.rewrite || self.syncing_from.is_some(),
            refusal: self.refusal.take(),
        })
    }

    /// Takes over what an array of the same file left when it was closed; whether that refused writes. The values end at `end`
    /// now: others may have cut the file since.
    pub fn take_over(&mut self, unsynced: Unsynced, end: u64) -> bool {
        self.mark_dirty(unsynced.from.min(end));
        self.dirty.join(unsynced.dirty);
        self.rewrite |= unsynced.rewrite;
        let refused = unsynced.refusal.is_some();
        self.refusal = unsynced.refusal.or(self.refusal.take());
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::array::state::pace::Dirty;

    fn durability(synced: u64) -> Durability {
        Durability::found(synced, None, Dirty::default().share())
    }

    fn write(durability: &mut Durability, bytes: Range<u64>) {
        durability.wrote(bytes, &Settings::default());
    }

    #[test]
    fn what_was_written_is_dirty_until_a_sync_of_it_ends() {
        let mut d = durability(0);
        assert!(d.is_settled() && d.begin_sync().is_none());
        write(&mut d, 80..88);
        write(&mut d, 16..24);
        assert_eq!(d.dirty_from(), Some(16));
        assert_eq!(d.begin_sync().unwrap().from, 16);
        assert!(!d.is_settled(), "it is under way");
        write(&mut d, 40..48);
        assert!(d.end_sync().is_some());
        assert_eq!(d.dirty_from(), Some(40));
    }

    #[test]
    fn no_more_values_are_vouched_for_than_the_mark_says() {
        let mut d = durability(3);
        assert!(!d.note_synced(5), "there is no mark");
        d.set_mark(Some(5));
        assert!(d.note_synced(7));
        assert_eq!(d.synced(), 5);
        assert!(d.vouches_for(5));
        assert!(d.lower(2) && !d.lower(2));
        assert_eq!(d.synced(), 2);
    }

    #[test]
    fn a_failed_sync_refuses_writes_and_spoils_the_one_that_is_under_way() {
        let mut d = durability(0);
        d.set_mark(Some(0));
        write(&mut d, 8..16);
        d.begin_sync().unwrap();
        // That of a growth, which took the kernel's report away.
        assert!(d.refuse(64, "no room".to_owned()));
        assert!(!d.refuse(64, "still none".to_owned()), "that is no news");
        assert_eq!(d.dirty_from(), Some(8), "both are written again");
        assert!(!d.may_vouch() && !d.note_synced(2) && d.end_sync().is_none());
        assert_eq!(d.refusal(), Some("still none"));
        let again = d.begin_sync().unwrap();
        let ended = d.end_sync().unwrap();
        assert!(again.again && d.allow(ended));
        assert_eq!(d.refusal(), None);
    }

    #[test]
    fn what_is_closed_unsynced_is_taken_over_with_its_refusal() {
        let mut d = durability(0);
        assert!(d.close().is_none());
        write(&mut d, 8..16);
        d.begin_sync().unwrap();
        let left = d.close().unwrap();
        let mut next = durability(0);
        assert!(!next.take_over(left, 16));
        assert!(next.begin_sync().unwrap().again, "its sync may fail yet");

        write(&mut next, 8..16);
        next.refuse(8, "no room".to_owned());
        let mut last = durability(0);
        assert!(last.take_over(next.close().unwrap(), 16));
        assert_eq!(last.refusal(), Some("no room"));
        assert!(!last.is_settled());
    }

    #[test]
    fn what_others_cut_since_is_not_synced_any_more() {
        let mut d = durability(0);
        write(&mut d, 80..88);
        let mut next = durability(0);
        next.take_over(d.close().unwrap(), 16);
        assert_eq!(next.dirty_from(), Some(16));
    }

    #[test]
    fn a_closed_file_counts_no_more_towards_what_waits_unless_it_is_taken_over() {
        let (all, settings) = (Dirty::default(), Settings::default());
        let durability = || Durability::found(0, None, all.share());
        let mut d = durability();
        d.wrote(0..10_000, &settings);
        let left = d.close().unwrap();
        assert_eq!(all.bytes(), 10_000);
        let mut next = durability();
        next.take_over(left, 10_000);
        drop(d);
        assert_eq!(all.bytes(), 10_000);
        drop(next.begin_sync().unwrap().dirty);
        assert_eq!(all.bytes(), 0);
        next.wrote(0..10_000, &settings);
        assert!(next.close().is_some());
        assert_eq!(all.bytes(), 0, "nobody takes it over");
    }

    #[test]
    fn nothing_vouches_for_a_sync_of_the_file_of_before() {
        let mut d = durability(4);
        d.set_mark(Some(4));
        write(&mut d, 8..16);
        d.begin_sync().unwrap();
        d.reopened(1);
        assert_eq!((d.synced(), d.mark(), d.dirty_from()), (1, None, Some(8)));
    }

    #[test]
    fn the_worker_is_told_once_until_it_begins() {
        let mut d = durability(0);
        assert!(!d.schedule(), "nothing is dirty");
        d.mark_dirty(0);
        assert!(d.schedule() && !d.schedule());
        d.begin_scheduled();
        assert!(d.schedule());
    }
}
