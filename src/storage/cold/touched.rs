//! Values that are not in RAM: commands tell them from those that are without touching them, and threads that may wait
//! for a disk bring them in.
//!
//! When commands look is told by [`ColdCheck`](crate::storage::array::cold_check::ColdCheck).

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use rustix::param::page_size;

use crate::storage::array::handle::Array;
use crate::storage::array::view::View;
use crate::storage::memory::mapping::Mapping;
use crate::storage::questions::search::{Target, search};
use crate::storage::types::ItemType;

/// How much is read at once, in bytes.
pub(super) const PIECE: u64 = 256 << 10;

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
    /// Those that binary searches look at.
    Searches {
        item: ItemType,
        targets: Vec<Target>,
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

impl Touched {
    /// The values in pieces that are read one by one, each a range of indices.
    pub(super) fn pieces(&self, item_size: u64) -> usize {
        match self {
            Self::Range(range) => (range.end - range.start).div_ceil(per_piece(item_size)) as usize,
            Self::Every { range, step } => (range.end - range.start).div_ceil(*step) as usize,
            Self::Each(indices) => indices.len(),
            Self::Searches { .. } => 0,
        }
    }

    pub(super) fn piece(&self, number: usize, item_size: u64) -> Range<u64> {
        let one = |index| index..index + 1;
        match self {
            Self::Range(range) => {
                let start = range.start + number as u64 * per_piece(item_size);
                start..(start + per_piece(item_size)).min(range.end)
            }
            Self::Every { range, step } => one(range.start + number as u64 * step),
            Self::Each(indices) => one(indices[number]),
            Self::Searches { .. } => 0..0,
        }
    }
}

fn per_piece(item_size: u64) -> u64 {
    (PIECE / item_size).max(1)
}

/// Pages that were found in RAM just now. Each look is a system call, and the values of one command may lie in a few pages, as those
/// that many searches begin with do.
struct FoundPages(Vec<Option<u64>>);

impl FoundPages {
    /// So many are known at once.
    const MOST: usize = 1024;

    fn of(touched: &Touched, item_size: u64) -> Self {
        let slots = match touched {
            Touched::Searches { .. } => Self::MOST,
            _ => touched.pieces(item_size).min(Self::MOST),
        };
        Self(vec![None; slots])
    }

    /// Whether bytes are in RAM: what is known of their page, or what `look` finds.
    fn have(
        &mut self,
        bytes: Range<u64>,
        look: impl FnOnce(Range<u64>) -> Option<bool>,
    ) -> Option<bool> {
        let page = bytes.start / page_size() as u64;
        if bytes.is_empty() || bytes.end > (page + 1) * page_size() as u64 {
            return look(bytes);
        }
        let slot = page as usize % self.0.len();
        if self.0[slot] == Some(page) {
            return Some(true);
        }
        let found = look(bytes);
        self.0[slot] = (found == Some(true)).then_some(page);
        found
    }
}

impl Array {
    /// Whether values of it may be elsewhere than in RAM, so that a [`View::has_in_ram`] is worth its time.
    #[inline]
    pub fn is_doubted(&self) -> bool {
        self.cold_check.is_due()
    }

    /// The bytes of a range of indices, as far as there are values.
    pub(super) fn bytes_of(&self, values: Range<u64>, count: u64) -> Range<u64> {
        let offset = |index: u64| self.layout.offset(index.min(count));
        offset(values.start)..offset(values.end)
    }

    /// Does something with the file that may wait for the disk. The file is not closed during it: a descriptor that
    /// is closed late takes the lock of the file with it.
    pub(super) fn with_file<R>(
        self: &Arc<Self>,
        work: impl FnOnce(&File, &Mapping, u64) -> R,
    ) -> Option<R> {
        let locked = self.lock();
        // Who closes the file has the state when asking for this lock, so this does not wait.
        let _reading = self.reading.read();
        let file = locked.open.file().cloned()?;
        let (map, count) = (Arc::clone(locked.open.map()), locked.extent.count());
        drop(locked);
        Some(work(&file, &map, count))
    }
}

impl View<'_> {
    /// Whether values are in RAM, without waiting for those that are not. What lies outside the array is not looked for.
    ///
    /// Where the system does not tell, they are not, as far as this says; but then the array is not doubted for ever, as it
    /// would be without an end.
    #[cold]
    pub fn has_in_ram(&mut self, touched: &Touched) -> bool {
        let found = self.looks_at(touched);
        let check = &self.array().cold_check;
        if found == Some(false) {
            check.renew();
        } else {
            check.found_all();
        }
        found == Some(true)
    }

    pub(super) fn looks_at(&mut self, touched: &Touched) -> Option<bool> {
        let mut pages = FoundPages::of(touched, self.item_size());
        if let Touched::Searches { item, targets } = touched {
            let mut found = Some(true);
            for target in targets {
                let _ = search(self.count(), *item, target, |index, out: &mut [u8]| {
                    found = self.has_range_with(index..index + 1, &mut pages);
                    if found != Some(true) {
                        return Err(());
                    }
                    // An error is met again by the search that counts.
                    self.read(index, out).map_err(drop)
                });
                if found != Some(true) {
                    break;
                }
            }
            return found;
        }
        let size = self.item_size();
        for number in 0..touched.pieces(size) {
            let found = self.has_range_with(touched.piece(number, size), &mut pages);
            if found != Some(true) {
                return found;
            }
        }
        Some(true)
    }

    pub(super) fn has_range(&self, values: Range<u64>) -> Option<bool> {
        self.has_bytes_in_ram(self.array().bytes_of(values, self.count()))
    }

    /// As [`Self::has_range`], with what is known already.
    fn has_range_with(&self, values: Range<u64>, pages: &mut FoundPages) -> Option<bool> {
        let bytes = self.array().bytes_of(values, self.count());
        pages.have(bytes, |bytes| self.has_bytes_in_ram(bytes))
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::storage::array::cold_check::LOOKS;
    use crate::storage::files::access::Access;
    use crate::storage::questions::search::Side;
    use crate::storage::threads::cancel::Cancel;
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
    fn a_page_that_was_found_is_not_looked_for_again() {
        let page = page_size() as u64;
        let mut pages = FoundPages(vec![None; 4]);
        let mut ask = |bytes: Range<u64>, there: Option<bool>| {
            let mut looks = 0;
            let found = pages.have(bytes, |_| {
                looks += 1;
                there
            });
            (found, looks)
        };
        for there in [None, Some(false), Some(true)] {
            assert_eq!(ask(8..16, there), (there, 1));
        }
        assert_eq!(ask(0..page, Some(false)), (Some(true), 0));
        assert_eq!(ask(page - 8..page + 8, Some(true)), (Some(true), 1));
        assert_eq!(ask(page..page + 8, Some(true)), (Some(true), 1));
        // Another page in its place.
        assert_eq!(ask(4 * page..4 * page + 8, Some(true)), (Some(true), 1));
        assert_eq!(ask(8..16, Some(true)), (Some(true), 1));
        assert_eq!(ask(page..page + 8, None), (Some(true), 0));
    }

    #[test]
    fn pages_that_nobody_waits_for_any_more_are_not_dropped() {
        use std::sync::mpsc::{RecvTimeoutError, channel};

        let dir = TempDir::new().unwrap();
        let (store, bound) = array(&dir);
        for is_cancelled in [true, false] {
            let (done, end) = channel();
            let cancel = crate::storage::Cancel::default();
            if is_cancelled {
                cancel.cancel();
            }
            store.drop_pages_in_background(bound.share(), 0..VALUES, cancel, move |dropped| {
                done.send(dropped).unwrap();
            });
            let end = end.recv_timeout(std::time::Duration::from_secs(30));
            assert_eq!(end.is_err(), is_cancelled);
            assert_ne!(end.err(), Some(RecvTimeoutError::Timeout));
        }
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
    fn what_is_brought_in_is_there() {
        let dir = TempDir::new().unwrap();
        let (store, bound) = array(&dir);
        let target = |text: &[u8]| Target::new(bound.item().place(text).unwrap(), Side::Left);
        let search = Touched::Searches {
            item: bound.item(),
            targets: vec![target(b"77777"), target(b"3.5"), target(b"1e30")],
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
