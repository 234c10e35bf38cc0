//! How much of a file is in RAM: a bounded look at the page cache, which a command may take.

use std::fs::File;
use std::io;

use rustix::param::page_size;

use crate::storage::memory::cachestat::cached_pages;
use crate::storage::memory::mapping::Mapping;
use crate::storage::memory::presence::Look;

/// As many bytes are looked at, however long the file is: well under a millisecond's work where `cachestat` is
/// there, a few where it is not.
const MOST: u64 = 256 << 20;
/// A longer file is sampled in windows of this many bytes, evenly spread.
const WINDOW: u64 = 4 << 20;

/// How many of the first `len` bytes of a file are in the page cache, in whole pages. Of a file longer than 256 MiB
/// it is an estimate from a sample.
///
/// # Errors
/// If the system does not tell, by `cachestat` or `mincore`, of this file.
pub fn resident_bytes(file: &File, map: &Mapping, look: Look, len: u64) -> io::Result<u64> {
    let (mut seen, mut found) = (0, 0);
    for (from, to) in windows(len, MOST, WINDOW) {
        seen += to - from;
        found += cached_pages(file, from, to).or_else(|_| match look {
            Look::Mincore => map.resident_pages(from, to),
            // Of another user's file the kernel says that all of it is in RAM.
            Look::ReadNoWait => Err(io::ErrorKind::Unsupported.into()),
        })?;
    }
    let bytes = found * page_size() as u64;
    if seen == len {
        return Ok(bytes);
    }
    let estimate = u128::from(bytes) * u128::from(len) / u128::from(seen);
    Ok(u64::try_from(estimate).unwrap_or(u64::MAX))
}

/// The parts of `len` bytes that are looked at: all, or `most` bytes in windows, the first and the last included.
fn windows(len: u64, most: u64, window: u64) -> Vec<(u64, u64)> {
    if len <= most {
        return if len > 0 { vec![(0, len)] } else { Vec::new() };
    }
    let count = most / window;
    let page = page_size() as u64;
    (0..count)
        .map(|i| {
            let start = u128::from(len - window) * u128::from(i) / u128::from(count - 1);
            let start = start as u64 / page * page;
            (start, start + window)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::storage::Access;

    #[test]
    fn windows_cover_a_short_file_and_sample_a_long_one() {
        assert_eq!(windows(0, MOST, WINDOW), []);
        assert_eq!(windows(1, MOST, WINDOW), [(0, 1)]);
        assert_eq!(windows(MOST, MOST, WINDOW), [(0, MOST)]);
        let len = 50_000_000_001;
        let sample = windows(len, MOST, WINDOW);
        assert_eq!(sample.iter().map(|w| w.1 - w.0).sum::<u64>(), MOST);
        assert_eq!(sample[0].0, 0);
        assert!(sample.last().unwrap().1 <= len);
        assert!(sample.last().unwrap().1 + page_size() as u64 > len);
        assert!(sample.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    }

    #[test]
    fn what_was_written_is_resident_and_a_hole_is_not_by_either_call() {
        let page = page_size() as u64;
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 * page).unwrap();
        file.write_all_at(&vec![1; 3 * page as usize], 5 * page)
            .unwrap();
        let map = Mapping::covering(&file, 64 * page, Access::ReadOnly).unwrap();
        let of = |from, to| map.resident_pages(from * page, to * page).unwrap();
        assert_eq!((of(0, 64), of(0, 5), of(6, 8)), (3, 0, 2));
        let bytes = |look| resident_bytes(&file, &map, look, 64 * page);
        assert_eq!(bytes(Look::Mincore).unwrap(), 3 * page);
        if let Ok(pages) = cached_pages(&file, 0, 64 * page) {
            assert_eq!(pages, 3);
            assert_eq!(bytes(Look::ReadNoWait).unwrap(), 3 * page);
        }
    }
}
