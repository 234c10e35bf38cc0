//! The 64 bytes at the end of a file that has *slack*: space beyond its last value.
//!
//! `docs/design.md` draws them and says why a crash at any moment leaves a file that can be read back.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::storage::files::boot::{BootId, this_boot};

/// Size of a record in bytes.
pub const SIZE: u64 = 64;
/// Size of the place before a record that is never one of values, in bytes: there a note of changes has its header.
pub const NOTE_HEADER: u64 = 16;
/// Size of what a file with slack ends with, in bytes: that place and the record.
pub const TAIL: u64 = NOTE_HEADER + SIZE;
/// Files with slack are a multiple of this long, so that a record lies within one page and one sector.
pub const ALIGNMENT: u64 = 4096;
/// Where the live count lies in a record: one aligned 64-bit word, stored after each append.
pub const LIVE_AT: u64 = 40;
/// Where the count at the last completed msync lies.
pub const SYNCED_AT: u64 = 48;
/// Where the length of the file before an unfinished growth lies; 0 when the growth is finished.
pub const PREVIOUS_AT: u64 = 56;

/// Not text, not a number anyone stores, and damaged by a transfer that treats the file as text.
const MAGIC: [u8; 6] = [0x89, b'M', b'M', b'A', b'P', 0x0a];
const VERSION: u16 = 1;

/// A record, in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Bytes per value.
    pub item_size: u32,
    /// Length of the file that ends in this record, in bytes.
    pub file_len: u64,
    /// The boot under which the file got its slack.
    pub boot_id: BootId,
    /// Number of values.
    pub live: u64,
    /// Number of values that were on disk for certain when the last sync ended.
    pub synced: u64,
    /// Length of the file before a growth that has not ended, or 0. While it is not 0, the record at the
    /// end of that length is the true one.
    pub previous: u64,
}

impl Record {
    /// A record of this boot.
    pub fn new(item_size: usize, file_len: u64, live: u64, synced: u64, previous: u64) -> Self {
        Self {
            item_size: u32::try_from(item_size).expect("item sizes are at most 65535"),
            file_len,
            boot_id: this_boot(),
            live,
            synced,
            previous,
        }
    }

    /// Whether the machine has been up ever since the record was written.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot_id == this_boot()
    }

    /// The number of values that can be relied on: after a reboot only what was synced.
    pub fn trusted_count(&self) -> u64 {
        if self.is_of_this_boot() {
            self.live
        } else {
            self.live.min(self.synced)
        }
    }

    /// The record as it lies in the file.
    pub fn to_bytes(self) -> [u8; SIZE as usize] {
        let mut bytes = [0; SIZE as usize];
        bytes[0..6].copy_from_slice(&MAGIC);
        bytes[6..8].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.item_size.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.file_len.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.boot_id);
        let checksum = checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.live.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.synced.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.previous.to_le_bytes());
        bytes
    }

    /// What the file ends with: no note, and the record.
    pub fn to_tail(self) -> [u8; TAIL as usize] {
        let mut tail = [0; TAIL as usize];
        tail[NOTE_HEADER as usize..].copy_from_slice(&self.to_bytes());
        tail
    }

    /// Whether a file of `file_len` bytes that ends in these is taken for one with slack, or would be with zeros in the place of
    /// the last of them: a power cut may leave the length and not the values.
    pub fn is_at_end(bytes: &[u8; SIZE as usize], file_len: u64) -> bool {
        let is_one_with = |known: usize| {
            let mut bytes = *bytes;
            bytes[known..].fill(0);
            Self::is_one(&bytes, file_len)
        };
        bytes[0..6] == MAGIC && (MAGIC.len()..=bytes.len()).any(is_one_with)
    }

    /// Whether a file of `file_len` bytes that ends in these is taken for one with slack.
    pub fn is_one(bytes: &[u8; SIZE as usize], file_len: u64) -> bool {
        Self::parse(bytes, file_len).is_some()
    }

    /// The record in the last bytes of a file of `file_len` bytes, if it is one.
    #[inline]
    fn parse(bytes: &[u8; SIZE as usize], file_len: u64) -> Option<Self> {
        if bytes[0..6] != MAGIC {
            return None;
        }
        let word =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let half =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let record = Self {
            item_size: half(8),
            file_len: word(16),
            boot_id: bytes[24..40].try_into().expect("sixteen bytes"),
            live: word(LIVE_AT as usize),
            synced: word(SYNCED_AT as usize),
            previous: word(PREVIOUS_AT as usize),
        };
        let valid = bytes[6..8] == VERSION.to_le_bytes()
            && half(12) == checksum(bytes)
            && record.file_len == file_len
            && record.item_size > 0
            && record.previous < file_len
            && record.previous.is_multiple_of(ALIGNMENT)
            && record
                .live
                .checked_mul(u64::from(record.item_size))
                .is_some_and(|bytes| bytes <= file_len - SIZE);
        valid.then_some(record)
    }

    /// The true record of a file of `file_len` bytes, or `None` if the file has no slack: then its
    /// length alone says how many values it holds.
    ///
    /// # Errors
    /// Those of reading.
    pub fn find(file: &File, file_len: u64) -> io::Result<Option<Self>> {
        let Some(last) = Self::read(file, file_len)? else {
            return Ok(None);
        };
        if last.previous == 0 {
            return Ok(Some(last));
        }
        // The growth had not ended: values appended during it are counted in the record before.
        let before = Self::read(file, last.previous)?
            .filter(|before| before.item_size == last.item_size && before.previous == 0);
        Ok(Some(before.unwrap_or(last)))
    }

    fn read(file: &File, file_len: u64) -> io::Result<Option<Self>> {
        if file_len < ALIGNMENT || !file_len.is_multiple_of(ALIGNMENT) {
            return Ok(None);
        }
        let mut bytes = [0; SIZE as usize];
        file.read_exact_at(&mut bytes, file_len - SIZE)?;
        Ok(Self::parse(&bytes, file_len))
    }
}

/// Makes bytes that end in a record of this boot end in one of another.
#[cfg(test)]
pub fn pretend_reboot(bytes: &mut [u8], boot_id: BootId) {
    let record = bytes.last_chunk_mut::<{ SIZE as usize }>();
    if let Some(record) = record
        && record[0..6] == MAGIC
        && record[24..40] == this_boot()
    {
        record[24..40].copy_from_slice(&boot_id);
        let checksum = checksum(record);
        record[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Covers what does not change while the record stands: magic, version, item size, length, boot id.
/// The counts are single words within one sector, which no disk tears.
fn checksum(bytes: &[u8; SIZE as usize]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[0..12]);
    hasher.update(&bytes[16..40]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(records: &[Record]) -> File {
        let file = tempfile::tempfile().unwrap();
        for record in records {
            file.write_all_at(&record.to_bytes(), record.file_len - SIZE)
                .unwrap();
        }
        file
    }

    #[test]
    fn a_record_reads_back() {
        let record = Record::new(8, 8192, 3, 2, 0);
        assert_eq!(
            Record::find(&file_with(&[record]), 8192).unwrap(),
            Some(record)
        );
    }

    #[test]
    fn any_damaged_byte_of_the_fixed_part_makes_it_no_record() {
        let bytes = Record::new(8, 8192, 3, 2, 0).to_bytes();
        for at in 0..LIVE_AT as usize {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert_eq!(Record::parse(&damaged, 8192), None, "byte {at}");
        }
    }

    #[test]
    fn a_count_that_does_not_fit_the_file_makes_it_no_record() {
        let fits = Record::new(8, 4096, 504, 0, 0);
        let exceeds = Record::new(8, 4096, 505, 0, 0);
        assert!(Record::parse(&fits.to_bytes(), 4096).is_some());
        assert!(Record::parse(&exceeds.to_bytes(), 4096).is_none());
        let overflows = Record::new(8, 4096, u64::MAX / 4, 0, 0);
        assert!(Record::parse(&overflows.to_bytes(), 4096).is_none());
    }

    #[test]
    fn an_unfinished_growth_leaves_the_record_before_it_true() {
        let before = Record::new(8, 4096, 7, 0, 0);
        let after = Record::new(8, 8192, 5, 0, 4096);
        let file = file_with(&[before, after]);
        assert_eq!(Record::find(&file, 8192).unwrap(), Some(before));
        // Once the growth has ended, the values may lie where the old record was.
        file.write_all_at(
            &Record {
                previous: 0,
                live: 8,
                ..after
            }
            .to_bytes(),
            8192 - SIZE,
        )
        .unwrap();
        assert_eq!(Record::find(&file, 8192).unwrap().unwrap().live, 8);
    }

    #[test]
    fn a_copy_at_another_length_is_no_record() {
        let file = file_with(&[Record::new(8, 4096, 7, 0, 0)]);
        let mut bytes = [0; SIZE as usize];
        file.read_exact_at(&mut bytes, 4096 - SIZE).unwrap();
        file.write_all_at(&bytes, 8192 - SIZE).unwrap();
        assert_eq!(Record::find(&file, 8192).unwrap(), None);
        assert_eq!(Record::find(&file, 8191).unwrap(), None);
        assert_eq!(Record::find(&file, 0).unwrap(), None);
    }

    #[test]
    fn after_a_reboot_only_synced_values_count() {
        let mut record = Record::new(8, 4096, 7, 4, 0);
        assert_eq!(record.trusted_count(), 7);
        record.boot_id[0] ^= 1;
        assert_eq!(record.trusted_count(), 4);
    }
}
