//! Values that look like a record.
//!
//! Whether a file is exact or has slack is told by its last bytes alone. So the values of an exact one must not end in what looks
//! like a record: whoever may only append could make the next opening believe a count of their own. By chance that does not
//! happen, and so such values are refused: where a page ends in them or behind them, and where a file would end behind
//! them. A power cut may leave zeros in the place of the last of them, and the length with them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
use crate::storage::error::{Error, Result};
use crate::storage::format::record;
use crate::storage::format::record::Record;

/// What a page ends with.
type Ending = [u8; record::SIZE as usize];

/// Whether bytes at a place are in no such ending.
#[inline(always)]
fn is_clear(at: u64, len: usize) -> bool {
    at % record::ALIGNMENT + len as u64 <= record::ALIGNMENT - record::SIZE
}

/// The ends of pages before which a record would have bytes in common with a range.
fn page_ends(at: u64, end: u64) -> impl Iterator<Item = u64> {
    let first = (at / record::ALIGNMENT + 1) * record::ALIGNMENT;
    (first..end + record::SIZE).step_by(record::ALIGNMENT as usize)
}

/// Puts the bytes of a run that belong there into an ending that begins at `from`.
fn overlay(ending: &mut Ending, from: u64, at: u64, bytes: &[u8]) {
    let start = from.max(at);
    let end = (from + record::SIZE).min(at + bytes.len() as u64);
    ending[(start - from) as usize..(end - from) as usize]
        .copy_from_slice(&bytes[(start - at) as usize..(end - at) as usize]);
}

impl Locked<'_> {
    /// # Errors
    /// If bytes that are written to a place, behind the values or over some, would make a page end in what looks like a record.
    #[inline(always)]
    pub(in crate::storage) fn no_imitation(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        if is_clear(at, bytes.len()) {
            return Ok(());
        }
        self.no_imitation_near_page_end(at, bytes)
    }

    #[inline(never)]
    fn no_imitation_near_page_end(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        for page_end in page_ends(at, at + bytes.len() as u64) {
            let from = page_end - record::SIZE;
            let whole = if from >= at {
                bytes[(from - at) as usize..].first_chunk()
            } else {
                None
            };
            if let Some(ending) = whole {
                self.no_record(ending, page_end)?;
            } else {
                let mut ending = self.ending(from, self.extent.len())?;
                overlay(&mut ending, from, at, bytes);
                self.no_record(&ending, page_end)?;
            }
        }
        Ok(())
    }

    /// As [`Self::no_imitation`], of bytes that are stored over values, one after the other: a process may be killed between them.
    #[inline(always)]
    pub(in crate::storage) fn no_imitation_midway(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        if is_clear(at, bytes.len()) {
            return Ok(());
        }
        self.no_imitation_near_page_end(at, bytes)?;
        self.no_imitation_at_end_midway(at, bytes)
    }

    #[inline(never)]
    fn no_imitation_at_end_midway(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let (file_end, end) = (self.extent.end(), at + bytes.len() as u64);
        if !file_end.is_multiple_of(record::ALIGNMENT) || end + record::SIZE <= file_end {
            return Ok(());
        }
        let from = file_end - record::SIZE;
        let mut ending = self.ending(from, file_end)?;
        for place in from.max(at)..end {
            ending[(place - from) as usize] = bytes[(place - at) as usize];
            if Record::is_one(&ending, file_end) {
                return self.no_record(&ending, file_end);
            }
        }
        Ok(())
    }

    /// As [`Self::no_imitation`], of several runs that are written one after the other: a process may be killed between them.
    #[inline(never)]
    pub(in crate::storage) fn no_imitations<'b>(
        &mut self,
        runs: impl Iterator<Item = (u64, &'b [u8])>,
    ) -> Result<()> {
        let mut changed: HashMap<u64, Ending> = HashMap::new();
        for (at, bytes) in runs.filter(|(at, bytes)| !is_clear(*at, bytes.len())) {
            for page_end in page_ends(at, at + bytes.len() as u64) {
                let from = page_end - record::SIZE;
                changed.try_reserve(1)?;
                let ending = match changed.entry(page_end) {
                    Entry::Occupied(ending) => ending.into_mut(),
                    Entry::Vacant(place) => place.insert(self.ending(from, self.extent.len())?),
                };
                overlay(ending, from, at, bytes);
                self.no_record(ending, page_end)?;
            }
        }
        Ok(())
    }

    /// # Errors
    /// If a file would end in what looks like a record that held these of the values, and no others.
    pub(in crate::storage) fn may_keep(&mut self, values: Range<u64>) -> Result<()> {
        let layout = &self.array.layout;
        let (end, len) = (
            layout.offset(values.end),
            layout.offset(values.end - values.start),
        );
        let page_end = len.next_multiple_of(record::ALIGNMENT);
        let behind = page_end - len;
        if len == 0 || behind >= record::SIZE {
            return Ok(());
        }
        let ending = self.ending(end + behind - record::SIZE, end)?;
        self.no_record(&ending, page_end)
    }

    /// As [`Self::may_keep`], of all values.
    pub(in crate::storage) fn may_end(&mut self) -> Result<()> {
        self.may_keep(0..self.extent.count())
    }

    /// How many values may be vouched for: a power cut leaves the file with these. All of them, but for those that look like a record
    /// where others are to follow.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(in crate::storage) fn may_vouch_for(&mut self) -> Result<u64> {
        let mut count = self.extent.count();
        while is_refusal(self.may_keep(0..count))? {
            count -= 1;
        }
        Ok(count)
    }

    /// The bytes from one on, as far as they lie before another; zeros stand for what comes behind those. In slack there are
    /// values that were removed, which may be on disk.
    fn ending(&mut self, from: u64, end: u64) -> Result<Ending> {
        let mut ending = [0; record::SIZE as usize];
        let there = end.saturating_sub(from).min(record::SIZE) as usize;
        if there == 0 {
            return Ok(ending);
        }
        let read = self.open.map().read(from, &mut ending[..there]);
        read.map_err(|fault| self.mark_lost(fault))?;
        Ok(ending)
    }

    fn no_record(&self, ending: &Ending, len: u64) -> Result<()> {
        if Record::is_at_end(ending, len) {
            return Err(Error::LikeRecord {
                path: self.array.path.to_string(),
                len,
            });
        }
        Ok(())
    }
}

impl Array {
    /// # Errors
    /// If the file would end in what looks like a record once it is exact.
    pub fn check_end(self: &Arc<Self>) -> Result<()> {
        self.lock().may_end()
    }

    /// Whether values that were appended would make a page end in what looks like a record.
    ///
    /// # Errors
    /// If the array cannot be written to.
    pub(in crate::storage) fn would_imitate(self: &Arc<Self>, bytes: &[u8]) -> Result<bool> {
        let mut writer = self.writer()?;
        let end = writer.extent.end();
        is_refusal(writer.no_imitation(end, bytes))
    }
}

/// Whether it was refused that something looks like a record.
fn is_refusal(looked: Result<()>) -> Result<bool> {
    match looked {
        Err(Error::LikeRecord { .. }) => Ok(true),
        looked => looked.map(|()| false),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::XattrFlags;
    use tempfile::TempDir;

    use super::*;
    use crate::storage::format::mark::Mark;
    use crate::storage::tests::{
        WithoutWorker, bind, contents, record_of, store_in, without_worker,
    };
    use crate::storage::types::ItemType;

    #[test]
    fn page_ends_are_those_whose_records_would_be_touched() {
        let ends = |at, end| page_ends(at, end).collect::<Vec<_>>();
        assert_eq!(ends(0, 4032), [] as [u64; 0]);
        assert_eq!(ends(0, 4033), [4096]);
        assert_eq!(ends(4095, 4096), [4096]);
        assert_eq!(ends(4096, 4104), [] as [u64; 0]);
        assert_eq!(ends(4090, 8200), [4096, 8192]);
    }

    fn expect_refusal<T: std::fmt::Debug>(result: Result<T>) {
        assert!(
            matches!(result, Err(Error::LikeRecord { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn no_values_are_appended_that_look_like_a_record() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = bind(&store, "f", ItemType::DOUBLE);
        let array: &Arc<Array> = &bound;
        let record = record_of(4096);
        let before = vec![1; 4032];
        expect_refusal(array.append(&[&before[..], &record, &[1; 8]].concat()));
        expect_refusal(array.append(&[&before[..], &record].concat()));
        assert!(contents(&bound).is_empty());
        array.append(&before).unwrap();
        expect_refusal(array.append(&record));
        for word in record[..32].chunks(8) {
            array.append(word).unwrap();
        }
        // Zeros behind them would do the rest.
        expect_refusal(array.append(&record[32..40]));
        expect_refusal(array.append(&[&record[32..40], &[2; 24]].concat()));
        assert_eq!(contents(&bound), [&before[..], &record[..32]].concat());
        array.append(&[2; 32]).unwrap();
        array.append(&record_of(4096)).unwrap();
    }

    #[test]
    fn no_values_are_changed_to_what_looks_like_a_record() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = bind(&store, "f", ItemType::DOUBLE);
        let record = record_of(4096);
        let mut values = vec![1; 5000 / 8 * 8];
        bound.append(&values).unwrap();
        expect_refusal(bound.writer().unwrap().set_from(504, &record));
        expect_refusal(
            bound
                .writer()
                .unwrap()
                .set_from(500, &[&[1; 32], &record[..]].concat()),
        );
        let indices: Vec<u64> = (504..512).rev().collect();
        let reversed: Vec<u8> = record.chunks(8).rev().flatten().copied().collect();
        expect_refusal(bound.set(&indices, &reversed));
        assert_eq!(contents(&bound), values);
        // Who is killed in between has not come to the last of them.
        expect_refusal(bound.set(
            &[&indices[..], &[504]].concat(),
            &[&reversed[..], &[1; 8]].concat(),
        ));
        assert_eq!(contents(&bound), values);
        bound.set(&indices[..7], &reversed[..56]).unwrap();
        expect_refusal(bound.set(&indices[7..], &reversed[56..]));
        values[4040..4096].copy_from_slice(&record[8..]);
        assert_eq!(contents(&bound), values);
    }

    #[test]
    fn no_file_is_shortened_to_where_it_would_end_in_what_looks_like_a_record() {
        let dir = TempDir::new().unwrap();
        // Another program wrote them: they lie where no file ends.
        let values = [&[1; 4032][..], &record_of(4096), &[1; 16]].concat();
        fs::write(dir.path().join("f"), &values).unwrap();
        fs::write(
            dir.path().join("g"),
            [&[1; 16][..], &values[..4096]].concat(),
        )
        .unwrap();
        let store = store_in(dir.path());
        let f = bind(&store, "f", ItemType::DOUBLE);
        expect_refusal(f.pop(2));
        expect_refusal(f.truncate(512));
        assert_eq!(contents(&f), values);
        assert_eq!(f.pop(1).unwrap(), [1; 8]);
        expect_refusal(f.truncate(511));
        f.truncate(508).unwrap();
        let g = bind(&store, "g", ItemType::DOUBLE);
        expect_refusal(store.drop_head(&g.share(), 2));
        assert_eq!(g.writer().unwrap().span().count, 514);
        store.drop_head(&g.share(), 1).unwrap();
        assert_eq!(contents(&g)[8..], values[..4096]);
    }

    #[test]
    fn removed_values_behind_new_ones_do_not_make_them_look_like_a_record() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = bind(&store, "f", ItemType::DOUBLE);
        bound.append(&[1; 4032]).unwrap();
        bound.grow_ahead();
        assert!(bound.has_slack());
        let record = record_of(4096);
        bound.append(&[&[1; 32], &record[32..]].concat()).unwrap();
        bound.truncate(504).unwrap();
        expect_refusal(bound.append(&record[..32]));
        bound.append(&[1; 32]).unwrap();
        expect_refusal(bound.set(&[504, 505, 506, 507], &record[..32]));
        assert_eq!(contents(&bound), [1; 4064]);
    }

    #[test]
    fn a_trim_that_would_leave_what_looks_like_a_record_removes_nothing() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = bind(&store, "f", ItemType::DOUBLE);
        let values = [&[1; 4048][..], &record_of(4096), &[1; 16]].concat();
        bound.append(&values).unwrap();
        expect_refusal(bound.writer().unwrap().begin_trim(&(2..514)).map(drop));
        assert_eq!(contents(&bound), values);
        bound.writer().unwrap().begin_trim(&(0..516)).unwrap();
    }

    /// What is appended during the copy decides how the copy ends.
    #[test]
    fn no_replica_is_told_of_a_trim_that_would_leave_what_looks_like_a_record() {
        let dir = TempDir::new().unwrap();
        let WithoutWorker {
            registry,
            root,
            array,
            jobs: _jobs,
        } = without_worker(dir.path());
        array.append(&[1; 4048]).unwrap();
        let trim = array.writer().unwrap().begin_trim(&(2..506)).unwrap();
        array.append(&record_of(4096)).unwrap();
        let is_told = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_told);
        let trim = trim.asking(Box::new(move |_| {
            told.store(true, Ordering::Relaxed);
            true
        }));
        expect_refusal(array.end_trim(trim, &root, &registry));
        assert!(!is_told.load(Ordering::Relaxed));
        assert_eq!((array.head(), array.published_count()), (0, 514));
    }

    /// Of many values, each is old or new after `kill -9`. Neither all of the old nor all of the new look like a record.
    #[test]
    fn values_of_which_some_are_changed_do_not_look_like_a_record() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = bind(&store, "f", ItemType::DOUBLE);
        let record = record_of(4096);
        let old = [&[1; 4048][..], &record[16..]].concat();
        bound.append(&old).unwrap();
        let new = [&[2; 4032][..], &record[..16], &[2; 48]].concat();
        expect_refusal(bound.writer().unwrap().set_from(0, &new));
        // As far as it had come.
        expect_refusal(bound.writer().unwrap().set_from(0, &new[..4048]));
        assert_eq!(contents(&bound), old);
        let begins_in_it = [&record[..8], &[1; 8], &record[16..]].concat();
        bound
            .writer()
            .unwrap()
            .set_from(504, &begins_in_it)
            .unwrap();
        expect_refusal(
            bound
                .writer()
                .unwrap()
                .set_from(505, &[&record[8..16], &[2; 48]].concat()),
        );
        // The last of the new ones are there as soon as the first.
        bound.writer().unwrap().set_from(0, &[2; 4096]).unwrap();
        bound.writer().unwrap().set_from(0, &new).unwrap();
    }

    /// As the values of a dump come, of which some lie where its file does not end.
    #[test]
    fn no_count_is_vouched_for_at_which_a_file_would_end_in_what_looks_like_a_record() {
        let dir = TempDir::new().unwrap();
        let WithoutWorker {
            array, jobs: _jobs, ..
        } = without_worker(dir.path());
        let values = [&[1; 4032][..], &record_of(4096), &[2; 40]].concat();
        array.append_as_it_comes(&values[..4096]).unwrap();
        array.sync().unwrap();
        array.append_as_it_comes(&values[4096..]).unwrap();
        // The power is cut.
        let after = TempDir::new().unwrap();
        let mark = Mark::of(&array.lock().file().unwrap()).unwrap().unwrap();
        fs::write(after.path().join("f"), &values).unwrap();
        let bytes = [&[1; 16][..], &mark.synced.to_le_bytes()].concat();
        rustix::fs::setxattr(
            after.path().join("f"),
            "user.mmap",
            &bytes,
            XattrFlags::empty(),
        )
        .unwrap();
        for _ in 0..2 {
            let store = store_in(after.path());
            let found = contents(&bind(&store, "f", ItemType::DOUBLE));
            assert_eq!(found.len() as u64, 8 * mark.synced);
            assert!(found.len() >= 4032 && values.starts_with(&found));
        }
        array.sync().unwrap();
        let mark = Mark::of(&array.lock().file().unwrap()).unwrap().unwrap();
        assert_eq!(mark.synced, 517);
    }
}
