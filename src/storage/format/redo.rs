//! A note of values that are being changed in place: what a killed server did not get done is done when the file is opened next.
//!
//! It lies in the slack, before the record:
//!
//! | where | content |
//! |---|---|
//! | before the header | runs: index of the first value and number of values (8 bytes each), then the values |
//! | 16 bytes before the record | [`MAGIC`] |
//! | 8 bytes before the record | length of the runs in bytes; 0 if there is no note |
//!
//! The length is stored last before the values are changed, and is 0 again after that: one aligned word each. So a note is whole
//! whenever a process is killed. The header is never a place of values: it comes with the record, as zeros, so that no value that
//! was removed is taken for a note. A note says nothing after the machine went down, since its parts may be of different times then.

use std::fs::File;
use std::io;

use crate::storage::files::calls as disk;
use crate::storage::format::layout::Layout;
use crate::storage::format::record;
use crate::storage::format::record::Record;

/// Tells a note from values that were there before.
pub(in crate::storage) const MAGIC: [u8; 8] = *b"\x89MMREDO\n";
const HEADER: u64 = record::NOTE_HEADER;
/// Where the length of the runs is, in bytes before the record.
pub(in crate::storage) const LEN_BEFORE_RECORD: u64 = 8;
/// Size of what a run begins with, in bytes.
const RUN: u64 = 16;
/// Longest runs of one note, in bytes, unless one value is longer: notes of many would take more time than they are worth, in
/// particular where an exact file is given room for them.
const MOST: u64 = 4096;

/// Longest runs of one note of values of a size, in bytes.
fn most(size: usize) -> u64 {
    MOST.max(RUN + size as u64)
}

/// How many values of a size fit in one note, if they are in one run, or each in a run of its own.
pub(in crate::storage) fn most_values(size: usize, is_one_run: bool) -> usize {
    if is_one_run {
        (most(size) - RUN) as usize / size
    } else {
        most(size) as usize / (RUN as usize + size)
    }
}

/// The length of runs in bytes.
pub(in crate::storage) fn len<'a>(runs: impl Iterator<Item = (u64, &'a [u8])>) -> u64 {
    runs.map(|(_, values)| RUN + values.len() as u64).sum()
}

/// Room for the runs of a note of `values` values in `runs` runs, in bytes: for the longest, if that is too much for one.
pub(in crate::storage) fn room(runs: usize, values: usize, size: usize) -> u64 {
    let runs = (runs as u64).saturating_mul(RUN);
    let values = (values as u64).saturating_mul(size as u64);
    runs.saturating_add(values).min(most(size))
}

/// What stands before the values of a run.
pub(in crate::storage) fn run_header(index: u64, values: u64) -> [u8; RUN as usize] {
    let mut header = [0; RUN as usize];
    header[..8].copy_from_slice(&index.to_le_bytes());
    header[8..].copy_from_slice(&values.to_le_bytes());
    header
}

/// Carries out the note of a file that has slack and `count` values, if it has one; whether it had.
///
/// # Errors
/// Any I/O error of the operating system.
pub(in crate::storage) fn carry_out(file: &File, layout: &Layout, count: u64) -> io::Result<bool> {
    let Some(noted) = find(file, layout, count)? else {
        return Ok(false);
    };
    let Some(runs) = parse(&noted, layout.item.size(), count) else {
        return Ok(false);
    };
    for (index, values) in runs {
        disk::write_all_at(file, values, layout.offset(index))?;
    }
    Ok(true)
}

/// Whether a file that has slack and `count` values has a note, so that some are not yet what they are to be.
///
/// # Errors
/// Any I/O error of the operating system.
pub(in crate::storage) fn stands(file: &File, layout: &Layout, count: u64) -> io::Result<bool> {
    let noted = find(file, layout, count)?;
    Ok(noted.is_some_and(|noted| parse(&noted, layout.item.size(), count).is_some()))
}

/// What is noted in a file that has slack and `count` values.
fn find(file: &File, layout: &Layout, count: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(record) = Record::find(file, file.metadata()?.len())? else {
        return Ok(None);
    };
    let (end, size) = (layout.offset(count), layout.item.size());
    read(file, record.file_len - record::SIZE, end, size)
}

/// The runs that are noted before a record, behind the last value.
fn read(file: &File, record_at: u64, end: u64, size: usize) -> io::Result<Option<Vec<u8>>> {
    let Some(header_at) = record_at.checked_sub(HEADER) else {
        return Ok(None);
    };
    let mut header = [0; HEADER as usize];
    if disk::read_at(file, header_at, &mut header)? < header.len() || header[..8] != MAGIC {
        return Ok(None);
    }
    let len = word(&header[8..]);
    let Some(at) = header_at.checked_sub(len).filter(|&at| at >= end) else {
        return Ok(None);
    };
    if len == 0 || len > most(size) {
        return Ok(None);
    }
    let mut runs = vec![0; len as usize];
    let read = disk::read_at(file, at, &mut runs)?;
    Ok((read == runs.len()).then_some(runs))
}

/// Index and values of each run; `None` if they are not all of values that are there.
fn parse(mut runs: &[u8], size: usize, count: u64) -> Option<Vec<(u64, &[u8])>> {
    let mut parsed = Vec::new();
    while !runs.is_empty() {
        let (header, rest) = runs.split_at_checked(RUN as usize)?;
        let (index, values) = (word(&header[..8]), word(&header[8..]));
        if index.checked_add(values)? > count {
            return None;
        }
        let (values, rest) = rest.split_at_checked((values as usize).checked_mul(size)?)?;
        parsed.push((index, values));
        runs = rest;
    }
    Some(parsed)
}

/// A note of one run, as it stands before a record.
#[cfg(test)]
pub(in crate::storage) fn note_of(index: u64, values: u64, bytes: &[u8]) -> Vec<u8> {
    let run = [&run_header(index, values)[..], bytes].concat();
    let len = run.len() as u64;
    [&run[..], &MAGIC, &len.to_le_bytes()].concat()
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(runs: &[(u64, u64, &[u8])]) -> Vec<u8> {
        let bytes = |&(index, values, bytes): &(u64, u64, &[u8])| {
            [&run_header(index, values)[..], bytes].concat()
        };
        runs.iter().flat_map(bytes).collect()
    }

    #[test]
    fn runs_read_back() {
        let bytes = runs(&[(7, 2, b"aabb"), (0, 1, b"cc")]);
        let parsed = parse(&bytes, 2, 9).unwrap();
        assert_eq!(parsed, [(7, &b"aabb"[..]), (0, b"cc")]);
        assert_eq!(len(parsed.into_iter()), bytes.len() as u64);
        assert_eq!(room(2, 3, 2), bytes.len() as u64);
    }

    #[test]
    fn what_is_no_note_changes_nothing() {
        let fits = (7, 2, &b"aabb"[..]);
        for (bytes, count) in [
            (runs(&[fits]), 8),
            (runs(&[fits, (0, 2, b"cc")]), 9),
            (runs(&[fits, (u64::MAX, 1, b"cc")]), 9),
            (runs(&[fits, (0, u64::MAX / 2, b"cc")]), u64::MAX),
            (runs(&[fits])[..19].to_vec(), 9),
            (runs(&[fits])[..7].to_vec(), 9),
        ] {
            assert_eq!(parse(&bytes, 2, count), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_note_of_length_0_is_none() {
        let file = tempfile::tempfile().unwrap();
        let header = [&MAGIC[..], &[0; 8]].concat();
        disk::write_all_at(&file, &header, 4016).unwrap();
        assert_eq!(read(&file, 4032, 80, 8).unwrap(), None);
        disk::write_all_at(&file, &24_u64.to_le_bytes(), 4024).unwrap();
        assert_eq!(read(&file, 4032, 80, 8).unwrap(), Some(vec![0; 24]));
    }

    #[test]
    fn a_note_begins_behind_the_values_and_is_not_longer_than_any_may_be() {
        let file = tempfile::tempfile().unwrap();
        let read_with = |magic: [u8; 8], len: u64, end: u64| {
            let header = [&magic[..], &len.to_le_bytes()].concat();
            disk::write_all_at(&file, &header, 12_272).unwrap();
            read(&file, 12_288, end, 8).unwrap().is_some()
        };
        let begin = 12_272 - MOST;
        assert!(read_with(MAGIC, MOST, begin));
        assert!(!read_with(MAGIC, MOST, begin + 1));
        assert!(!read_with(MAGIC, MOST + 8, 0));
        assert!(!read_with([1; 8], MOST, begin));
    }

    #[test]
    fn as_many_values_fit_as_it_says() {
        for size in [1, 16, 17, 65_535] {
            let (in_one, scattered) = (most_values(size, true), most_values(size, false));
            assert!(in_one > 0 && scattered > 0);
            let most = most(size) as usize;
            let run = RUN as usize;
            assert!(run + in_one * size <= most && run + (in_one + 1) * size > most);
            assert!(scattered * (run + size) <= most && (scattered + 1) * (run + size) > most);
        }
    }
}
