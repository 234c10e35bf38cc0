//! Values that are not in RAM: commands tell them from those that are without touching them, and threads that may wait
//! for a disk bring them in.
//!
//! An array is *doubted* when some of its pages may not be in RAM: after it was opened, after this process waited for
//! a page, after pages were dropped. While it is, each command looks before it touches; once so many commands in a row
//! found all they needed, none looks any more.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rustix::fs::{Advice as FileAdvice, fadvise, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use rustix::param::page_size;
use rustix::process::geteuid;

use crate::storage::array::advice::Place;
use crate::storage::array::handle::{Array, View};
use crate::storage::error::Result;
use crate::storage::files::root::Access;
use crate::storage::memory::mapping::Mapping;
use crate::storage::memory::residency::cached_pages;
use crate::storage::questions::search::{Side, search};
use crate::storage::system::{Call, attempt, may};
use crate::storage::threads::pool::{Cancel, Job};
use crate::storage::types::ItemType;

/// How many commands in a row must find all they need in RAM before an array is not doubted any more.
const LOOKS: u32 = 1000;
/// How much is read or dropped at once, in bytes.
const PIECE: u64 = 256 << 10;
const DROPPED_AT_ONCE: u64 = 64 << 20;
/// How much one step of a job asks the disk for before it waits.
const BYTES_IN_STEP: u64 = 1 << 20;
const PIECES_IN_STEP: usize = 64;
/// How often pages are brought in that were dropped again before their command came to them.
const ATTEMPTS: u32 = 3;

/// Which values a command is going to touch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Touched {
    Range(Range<u64>),
    /// Every `step`-th of a range, beginning with its first.
    Every {
        range: Range<u64>,
        step: u64,
    },
    Each(Vec<u64>),
    /// Those that a binary search looks at.
    Search {
        item: ItemType,
        value: Box<[u8]>,
        side: Side,
    },
}

/// Values that are not all in RAM.
pub struct Cold {
    pub array: Arc<Array>,
    pub touched: Touched,
}

impl std::fmt::Debug for Cold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {}", self.touched, self.array.path())
    }
}

/// Number of commands that are still to look, and so whether an array is doubted.
#[derive(Debug)]
pub(in crate::storage) struct Doubt(AtomicU32);

impl Doubt {
    /// `true` for an array whose pages others may have written or dropped.
    pub fn new(doubted: bool) -> Self {
        Self(AtomicU32::new(if doubted { LOOKS } else { 0 }))
    }

    #[inline]
    fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    pub fn renew(&self) {
        self.0.store(LOOKS, Ordering::Relaxed);
    }

    fn found_all(&self) {
        let less = |looks: u32| looks.checked_sub(1);
        // Only zero is not made less, and that is what it is to become.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// How to find out whether pages are in RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::storage) enum Look {
    /// By `mincore`, which reads nothing.
    Mincore,
    /// By reads that may not wait, or else by counting pages: `mincore` says of another user's file that all of it is in RAM.
    ReadNoWait,
}

impl Look {
    /// The way for a file: that of the kernel's `can_do_mincore`, as far as it is known for certain.
    pub fn at(file: &File, access: Access) -> Self {
        let euid = geteuid();
        let is_ours = || fstat(file).is_ok_and(|stat| stat.st_uid == euid.as_raw());
        if may(Call::Mincore) && (access == Access::Writable || euid.is_root() || is_ours()) {
            Self::Mincore
        } else {
            Self::ReadNoWait
        }
    }

    /// Whether the bytes of a range are in RAM; `None` where the system does not tell.
    fn finds(self, file: &File, map: &Mapping, bytes: Range<u64>) -> Option<bool> {
        if self == Self::Mincore
            && let Ok(found) = map.is_resident(bytes.start, bytes.end)
        {
            return Some(found);
        }
        // On overlayfs, tmpfs and FUSE no read does not wait.
        is_read_at_once(file, bytes.clone()).or_else(|| is_counted(file, bytes))
    }
}

/// Whether bytes are read without waiting; `None` where no read says so.
fn is_read_at_once(file: &File, bytes: Range<u64>) -> Option<bool> {
    let mut buffer = [0; 16 << 10];
    let mut at = bytes.start;
    while at < bytes.end {
        let len = (bytes.end - at).min(buffer.len() as u64) as usize;
        let mut out = [io::IoSliceMut::new(&mut buffer[..len])];
        let read = attempt(Call::ReadNoWait, || {
            preadv2(file, &mut out, at, ReadWriteFlags::NOWAIT)
        });
        match read {
            Ok(None) => return None,
            Ok(Some(0)) => return Some(true),
            Ok(Some(read)) => at += read as u64,
            Err(Errno::AGAIN) => return Some(false),
            // Whoever needs the bytes meets the error as well.
            Err(_) => return Some(true),
        }
    }
    Some(true)
}

fn is_counted(file: &File, bytes: Range<u64>) -> Option<bool> {
    let page = page_size() as u64;
    let pages = bytes.end.div_ceil(page) - bytes.start / page;
    let cached = cached_pages(file, bytes.start, bytes.end).ok()?;
    Some(cached >= pages)
}

impl Touched {
    /// The values in pieces that are read one by one, each a range of indices.
    fn pieces(&self, item_size: u64) -> usize {
        match self {
            Self::Range(range) => (range.end - range.start).div_ceil(per_piece(item_size)) as usize,
            Self::Every { range, step } => (range.end - range.start).div_ceil(*step) as usize,
            Self::Each(indices) => indices.len(),
            Self::Search { .. } => 0,
        }
    }

    fn piece(&self, number: usize, item_size: u64) -> Range<u64> {
        let one = |index| index..index + 1;
        match self {
            Self::Range(range) => {
                let start = range.start + number as u64 * per_piece(item_size);
                start..(start + per_piece(item_size)).min(range.end)
            }
            Self::Every { range, step } => one(range.start + number as u64 * step),
            Self::Each(indices) => one(indices[number]),
            Self::Search { .. } => 0..0,
        }
    }
}

fn per_piece(item_size: u64) -> u64 {
    (PIECE / item_size).max(1)
}

impl Array {
    /// Whether values of it may be elsewhere than in RAM, so that a [`View::has_in_ram`] is worth its time.
    #[inline]
    pub fn is_doubted(&self) -> bool {
        self.doubt.any()
    }

    /// The bytes of a range of indices, as far as there are values.
    fn bytes_of(&self, values: Range<u64>, count: u64) -> Range<u64> {
        let offset = |index: u64| self.layout.offset(index.min(count));
        offset(values.start)..offset(values.end)
    }

    /// Does something with the file that may wait for the disk. The file is not closed meanwhile: a descriptor that
    /// is closed late takes the lock of the file with it.
    fn with_file<R>(&self, work: impl FnOnce(&File, &Mapping, u64) -> R) -> Option<R> {
        let state = self.state.lock();
        // Who closes the file has the state when asking for this lock, so this does not wait.
        let _reading = self.reading.read();
        let file = state.file.clone()?;
        let (map, count) = (Arc::clone(&state.map), state.count);
        drop(state);
        Some(work(&file, &map, count))
    }

    /// Reads values for what that does to the page cache.
    fn read_in(&self, pieces: &[Range<u64>]) {
        let size = self.item_size();
        let longest = pieces.iter().map(|piece| piece.end - piece.start).max();
        let mut buffer = vec![0; (longest.unwrap_or(0) * size) as usize];
        self.with_file(|file, _, count| {
            for piece in pieces {
                let bytes = self.bytes_of(piece.clone(), count);
                // It is help. Without it the reads below wait one after the other.
                let len = std::num::NonZeroU64::new(bytes.end - bytes.start);
                if len.is_some() {
                    let _ = attempt(Call::Fadvise, || {
                        fadvise(file.as_fd(), bytes.start, len, FileAdvice::WillNeed)
                    });
                }
            }
        });
        for piece in pieces {
            let read = self.with_file(|file, _, count| {
                let bytes = self.bytes_of(piece.clone(), count);
                let len = (bytes.end - bytes.start) as usize;
                read_fully(file, &mut buffer[..len], bytes.start)
            });
            if !matches!(read, Some(Ok(()))) {
                // Closed or unreadable: the one who needs the values meets that as well.
                return;
            }
        }
    }

    /// Reads the values of a range that is about to be overwritten, unless they are in RAM.
    pub(in crate::storage) fn warm_up(&self, range: &Range<u64>) {
        let touched = Touched::Range(range.clone());
        let found = self.view().map(|mut view| view.looks_at(&touched));
        if matches!(found, Ok(Some(true))) {
            return;
        }
        let size = self.item_size();
        let pieces: Vec<_> = (0..touched.pieces(size))
            .map(|number| touched.piece(number, size))
            .collect();
        self.read_in(&pieces);
    }

    /// Goes the way of a binary search through the file.
    fn search_in_file(&self, item: ItemType, value: &[u8], side: Side) {
        let _ = search(
            self.published_count(),
            item,
            value,
            side,
            |index, out: &mut [u8]| {
                let at = self.layout.offset(index);
                self.with_file(|file, _, _| read_fully(file, out, at))
                    .unwrap_or(Err(io::ErrorKind::NotFound.into()))
            },
        );
    }

    /// Takes clean pages of a range of bytes out of the page table and the page cache.
    fn drop_pages(&self, bytes: Range<u64>) -> io::Result<()> {
        self.doubt.renew();
        let dropped = self.with_file(|file, map, _| {
            map.release(bytes.start, bytes.end);
            self.shared.windows.release(file, &bytes);
            let len = std::num::NonZeroU64::new(bytes.end.saturating_sub(bytes.start));
            if len.is_none() {
                return Ok(());
            }
            let dropped = attempt(Call::Fadvise, || {
                fadvise(file.as_fd(), bytes.start, len, FileAdvice::DontNeed)
            });
            // Refused, it is advice that had no effect.
            dropped.map(drop).map_err(io::Error::from)
        });
        dropped.unwrap_or(Ok(()))
    }
}

fn read_fully(file: &File, mut out: &mut [u8], mut at: u64) -> io::Result<()> {
    while !out.is_empty() {
        match file.read_at(out, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                at += read as u64;
                out = &mut out[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl View<'_> {
    /// Whether values are in RAM, without waiting for those that are not. What lies outside the array is not looked for.
    ///
    /// Where the system does not tell, they are not, as far as this says; but then the array is not doubted for ever, as it
    /// would be without an end.
    #[cold]
    pub fn has_in_ram(&mut self, touched: &Touched) -> bool {
        let found = self.looks_at(touched);
        let doubt = &self.array().doubt;
        if found == Some(false) {
            doubt.renew();
        } else {
            doubt.found_all();
        }
        found == Some(true)
    }

    fn looks_at(&mut self, touched: &Touched) -> Option<bool> {
        if let Touched::Search { item, value, side } = touched {
            let mut found = Some(true);
            let _ = search(
                self.count(),
                *item,
                value,
                *side,
                |index, out: &mut [u8]| {
                    found = self.has_range(index..index + 1);
                    if found != Some(true) {
                        return Err(());
                    }
                    // An error is met again by the search that counts.
                    self.read(index, out).map_err(drop)
                },
            );
            return found;
        }
        let size = self.item_size();
        for number in 0..touched.pieces(size) {
            let found = self.has_range(touched.piece(number, size));
            if found != Some(true) {
                return found;
            }
        }
        Some(true)
    }

    fn has_range(&self, values: Range<u64>) -> Option<bool> {
        let (array, state) = (self.array(), self.state());
        let bytes = array.bytes_of(values, state.count);
        match &state.file {
            Some(file) if !bytes.is_empty() => state.look.finds(file, &state.map, bytes),
            _ => Some(true),
        }
    }
}

/// Brings values in, and then says so.
pub(in crate::storage) struct BringIn {
    pub cold: Cold,
    pub cancel: Cancel,
    /// The next piece.
    next: usize,
    attempts_left: u32,
    began: Instant,
    done: Box<dyn FnOnce(Instant) + Send>,
}

impl BringIn {
    /// For a command that waits. `done` is told when the job began, and dropped uncalled if it is cancelled.
    pub fn new(mut cold: Cold, cancel: Cancel, done: Box<dyn FnOnce(Instant) + Send>) -> Self {
        if let Touched::Each(indices) = &mut cold.touched {
            // In the order of the file, and one of a page: the others come along.
            let per_page = (page_size() as u64 / cold.array.item_size()).max(1);
            indices.sort_unstable();
            indices.dedup_by_key(|index| *index / per_page);
        }
        Self {
            cold,
            cancel,
            next: 0,
            attempts_left: ATTEMPTS,
            began: Instant::now(),
            done,
        }
    }

    /// For nobody who waits: once, though the first values may be dropped again for the last.
    pub fn ahead_of_need(cold: Cold, place: Place) -> Self {
        Self {
            attempts_left: 1,
            ..Self::new(cold, Cancel::default(), Box::new(|_| drop(place)))
        }
    }

    /// Brings some in; `false` if there are no more.
    fn bring_some(&mut self) -> bool {
        let Cold { array, touched } = &self.cold;
        if let Touched::Search { item, value, side } = touched {
            array.search_in_file(*item, value, *side);
            return false;
        }
        let size = array.item_size();
        let most = (BYTES_IN_STEP / PIECE) as usize;
        let most = match touched {
            Touched::Range(_) => most,
            _ => PIECES_IN_STEP,
        };
        let end = (self.next + most).min(touched.pieces(size));
        let pieces: Vec<_> = (self.next..end)
            .map(|number| touched.piece(number, size))
            .collect();
        array.read_in(&pieces);
        self.next = end;
        end < touched.pieces(size)
    }

    /// Whether they are in RAM, as they may be dropped at any time.
    fn is_done(&self) -> bool {
        let Cold { array, touched } = &self.cold;
        let size = array.item_size();
        // The lock is not held for long: the main thread may want it.
        (0..touched.pieces(size)).all(|number| {
            let view = array.view();
            view.is_ok_and(|view| view.has_range(touched.piece(number, size)) != Some(false))
        })
    }
}

impl Job for BringIn {
    fn step(mut self: Box<Self>) -> Option<Box<dyn Job>> {
        if self.cancel.is_cancelled() {
            return None;
        }
        if self.bring_some() {
            return Some(self);
        }
        self.attempts_left -= 1;
        if self.attempts_left > 0 && !self.is_done() {
            self.next = 0;
            return Some(self);
        }
        (self.done)(self.began);
        None
    }
}

/// Drops pages, and then says so.
pub(in crate::storage) struct DropPages {
    array: Arc<Array>,
    bytes: Range<u64>,
    done: Box<dyn FnOnce(Result<()>) + Send>,
}

impl DropPages {
    pub fn new(
        array: Arc<Array>,
        values: Range<u64>,
        done: Box<dyn FnOnce(Result<()>) + Send>,
    ) -> Self {
        let offset = |index| array.layout.offset(index);
        let mut bytes = offset(values.start)..offset(values.end);
        let page = page_size() as u64;
        // The first and the last page have nothing but values of the range where it begins or ends with the array.
        if values.start == 0 {
            bytes.start = 0;
        }
        if values.end >= array.published_count() {
            bytes.end = bytes.end.next_multiple_of(page);
        }
        bytes.start = bytes.start.next_multiple_of(page);
        Self { array, bytes, done }
    }

    /// Drops all of them, here and now.
    ///
    /// # Errors
    /// The system's.
    pub fn drop_all(&mut self) -> Result<()> {
        while self.drop_some()? {}
        Ok(())
    }

    /// Drops some; `false` if there are no more.
    fn drop_some(&mut self) -> Result<bool> {
        let end = self.bytes.end.min(self.bytes.start + DROPPED_AT_ONCE);
        self.array
            .drop_pages(self.bytes.start..end)
            .map_err(|error| self.array.failed("drop pages of", error))?;
        self.bytes.start = end;
        Ok(end < self.bytes.end)
    }
}

impl Job for DropPages {
    fn step(mut self: Box<Self>) -> Option<Box<dyn Job>> {
        match self.drop_some() {
            Ok(true) => return Some(self),
            Ok(false) => (self.done)(Ok(())),
            Err(error) => (self.done)(Err(error)),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use tempfile::TempDir;

    use super::*;
    use crate::storage::{Bound, FilePath, Root, Store};

    const VALUES: u64 = 1 << 17;

    /// An array of ascending numbers in a file that is bound just now.
    fn array(dir: &TempDir) -> (Store, Bound) {
        let bytes: Vec<u8> = (0..VALUES).flat_map(u64::to_le_bytes).collect();
        std::fs::write(dir.path().join("f"), bytes).unwrap();
        let store = Store::new(Root::open(dir.path()).unwrap(), 1).unwrap();
        let item = ItemType::parse(b"uint64", None).unwrap();
        let path = FilePath::new(b"f").unwrap();
        let bound = store.bind(&path, item, Access::Writable, false).unwrap();
        (store, bound)
    }

    #[test]
    fn an_array_is_doubted_until_enough_commands_found_all_they_needed() {
        let dir = TempDir::new().unwrap();
        let (store, bound) = array(&dir);
        let one = Touched::Each(vec![5]);
        assert!(bound.is_doubted());
        for _ in 1..LOOKS {
            assert!(bound.view().unwrap().has_in_ram(&one));
        }
        assert!(bound.is_doubted());
        assert!(bound.view().unwrap().has_in_ram(&one));
        assert!(!bound.is_doubted());
        // One that is still to look does no harm.
        assert!(bound.view().unwrap().has_in_ram(&one));
        assert!(!bound.is_doubted());
        store.drop_pages(bound.share(), 0..VALUES).unwrap();
        assert!(bound.is_doubted());
    }

    #[test]
    fn a_new_array_is_not_doubted() {
        let dir = TempDir::new().unwrap();
        let store = Store::new(Root::open(dir.path()).unwrap(), 1).unwrap();
        let path = FilePath::new(b"new").unwrap();
        let bound = store.bind(&path, ItemType::DOUBLE, Access::Writable, true);
        assert!(!bound.unwrap().is_doubted());
    }

    #[test]
    fn pieces_are_all_that_is_touched_and_no_more() {
        let all = |touched: Touched, size| -> Vec<_> {
            (0..touched.pieces(size))
                .map(|number| touched.piece(number, size))
                .collect()
        };
        let piece = PIECE / 8;
        assert_eq!(
            all(Touched::Range(3..piece + 4), 8),
            [3..piece + 3, piece + 3..piece + 4]
        );
        assert_eq!(all(Touched::Range(3..3), 8), []);
        assert_eq!(all(Touched::Range(1..3), PIECE * 2), [1..2, 2..3]);
        assert_eq!(
            all(
                Touched::Every {
                    range: 1..8,
                    step: 3
                },
                8
            ),
            [1..2, 4..5, 7..8]
        );
        assert_eq!(all(Touched::Each(vec![9, 2]), 8), [9..10, 2..3]);
    }

    #[test]
    fn both_ways_of_looking_tell_a_hole_in_the_cache() {
        let page = page_size() as u64;
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![1; 64 * page as usize], 0).unwrap();
        file.sync_all().unwrap();
        let map = Mapping::covering(&file, 64 * page, Access::ReadOnly).unwrap();
        for look in [Look::ReadNoWait, Look::Mincore] {
            assert_eq!(
                look.finds(&file, &map, 0..64 * page),
                Some(true),
                "{look:?}"
            );
            let deadline = Instant::now() + std::time::Duration::from_secs(20);
            while look.finds(&file, &map, 3 * page..4 * page) == Some(true) {
                assert!(Instant::now() < deadline, "{look:?}: the pages stay");
                fadvise(&file, 0, None, FileAdvice::DontNeed).unwrap();
            }
            read_fully(&file, &mut vec![0; 64 * page as usize], 0).unwrap();
        }
    }

    #[test]
    fn where_reads_always_wait_pages_are_counted() {
        let page = page_size() as u64;
        // RWF_NOWAIT is not to be had on tmpfs.
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.write_all_at(&vec![1; 4 * page as usize], 0).unwrap();
        file.set_len(64 * page).unwrap();
        assert_eq!(is_read_at_once(&file, 0..page), None);
        let map = Mapping::covering(&file, 64 * page, Access::ReadOnly).unwrap();
        let found = |bytes| Look::ReadNoWait.finds(&file, &map, bytes);
        if found(0..page).is_some() {
            assert_eq!(found(page + 1..4 * page - 1), Some(true));
            assert_eq!(found(4 * page - 1..4 * page + 1), Some(false));
        }
    }

    #[test]
    fn what_is_brought_in_is_there() {
        let dir = TempDir::new().unwrap();
        let (store, bound) = array(&dir);
        let search = Touched::Search {
            item: bound.item(),
            value: 77_777_u64.to_le_bytes().into(),
            side: Side::Left,
        };
        bound.sync().unwrap();
        File::open(dir.path().join("f"))
            .unwrap()
            .sync_all()
            .unwrap();
        for touched in [
            Touched::Range(1000..100_000),
            Touched::Each(vec![70_000, 5, 6, 130_000]),
            Touched::Every {
                range: 0..VALUES,
                step: 10_000,
            },
            search,
        ] {
            store.drop_pages(bound.share(), 0..VALUES).unwrap();
            assert!(!bound.view().unwrap().has_in_ram(&touched), "{touched:?}");
            let (sender, receiver) = std::sync::mpsc::channel();
            let (array, cancel) = (bound.share(), Cancel::default());
            let cold = Cold {
                array,
                touched: touched.clone(),
            };
            store.bring_in(cold, cancel, move || sender.send(()).unwrap());
            receiver.recv().unwrap();
            assert!(bound.view().unwrap().has_in_ram(&touched), "{touched:?}");
        }
    }
}
