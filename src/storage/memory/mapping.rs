//! A file in memory. All that reads or writes mapped memory is here.
//!
//! **Data races.** Other processes store to a file while this one copies from it, and the threads that scan copy what the
//! main thread stores to at that moment, by another mapping of the same pages. That is sound, as far as a program can be that
//! shares memory with others:
//! - No Rust reference to mapped memory ever exists, so the compiler may assume neither that it stays the same
//!   nor that no one else writes it.
//! - Everything goes through `copy_nonoverlapping` between mapped memory and memory of our own. Each byte is read once, into the
//!   copy, and only the copy is looked at. Any byte is a valid `u8`, whatever mixture of old and new a copy is of.
//! - Within this process, one mapping is copied from and stored to under the lock of its array. The threads that scan have
//!   mappings of their own, to which no thread stores; what they copied counts only after it was compared with the log of changes
//!   (`snapshot.rs`).
//! - What others are to rely on is one aligned word, stored by an atomic with `Release` after the bytes that it is about.
//!
//! Volatile or atomic copies of single words would say the same, and take several times as long.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};

use rustix::param::page_size;

use crate::storage::files::access::Access;
use crate::storage::files::calls as disk;
use crate::storage::memory::gather::gather;
use crate::storage::memory::guard::{Fault, guarded, guarded_with_others};
use crate::storage::memory::pattern::Pattern;
use crate::storage::memory::stream;
use crate::storage::memory::whole;
use crate::storage::system::limits;
use crate::storage::system::{Call, attempt, may, result_of};

/// Granularity of the page table, in bytes.
fn page() -> u64 {
    page_size() as u64
}

/// Smallest mapping, in bytes.
const SMALLEST: u64 = 64 * 1024;

/// Of how many pages `is_resident` asks at once.
const PAGES_AT_ONCE: usize = 1024;

/// A shared mapping of a file from its first byte, or of a [part](Self::part) of it.
///
/// It may reach beyond the end of the file, so that the file can grow into it: a mapping costs address
/// space, no memory. Callers keep to the part that the file covers.
#[derive(Debug)]
pub struct Mapping {
    raw: MmapRaw,
}

impl Mapping {
    /// Maps at least `bytes` bytes; twice that at most, so that an array that doubles is mapped log(n) times. Where the address
    /// space is small, it is little more than that.
    ///
    /// # Errors
    /// Any I/O error of the operating system, or if too little of the address space would be left for the server.
    pub fn covering(file: &File, bytes: u64, access: Access) -> io::Result<Self> {
        let bytes = bytes.max(SMALLEST);
        let len = [
            bytes.checked_next_power_of_two(),
            bytes.checked_next_multiple_of(SMALLEST),
        ]
        .into_iter()
        .filter_map(|len| usize::try_from(len?).ok())
        .find(|&len| limits::leaves_room(len))
        .ok_or_else(no_addresses)?;
        let mut options = MmapOptions::new();
        options.len(len);
        let raw = match access {
            Access::ReadOnly => options.map_raw_read_only(file)?,
            Access::Writable => options.map_raw(file)?,
        };
        Ok(Self { raw })
    }

    /// Maps `bytes` bytes of a file from `offset` on, a multiple of the page size, for reading.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn part(file: &File, offset: u64, bytes: u64) -> io::Result<Self> {
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if !limits::leaves_room(len) {
            return Err(no_addresses());
        }
        let raw = MmapOptions::new()
            .offset(offset)
            .len(len)
            .map_raw_read_only(file)?;
        Ok(Self { raw })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.raw.len() as u64
    }

    fn at(&self, offset: u64, len: usize) -> *mut u8 {
        let end = usize::try_from(offset)
            .ok()
            .and_then(|offset| offset.checked_add(len));
        assert!(
            end.is_some_and(|end| end <= self.raw.len()),
            "{len} bytes at {offset} are outside a mapping of {} bytes",
            self.raw.len()
        );
        // SAFETY: the assertion keeps the address within the mapping.
        unsafe { self.raw.as_mut_ptr().add(offset as usize) }
    }

    /// Copies `bytes` into the file. The mapping must be writable.
    ///
    /// # Errors
    /// If a page is lost; then nothing in this mapping can be relied on.
    #[inline(always)]
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        let to = self.at(offset, bytes.len());
        let written = guarded(to.addr()..to.addr() + bytes.len(), || {
            // SAFETY: `to` points at bytes.len() mapped bytes; no reference into a mapping exists, so that
            // it cannot overlap `bytes`. Other processes may see the bytes arrive in any order: what they
            // may rely on is published by `store` afterwards.
            unsafe { copy(bytes.as_ptr(), to, bytes.len()) }
        });
        disk::stored();
        written
    }

    /// Copies values of `size` bytes over others, each of which is the old or the new one when the process is killed
    /// ([`whole`] says of which sizes).
    ///
    /// # Errors
    /// As [`Self::write`].
    #[inline(always)]
    pub fn overwrite(&self, offset: u64, bytes: &[u8], size: usize) -> Result<(), Fault> {
        match (size, bytes.len()) {
            // That is one instruction.
            (8, 8) => self.write(offset, bytes),
            _ => self.overwrite_others(offset, bytes, size),
        }
    }

    fn overwrite_others(&self, offset: u64, bytes: &[u8], size: usize) -> Result<(), Fault> {
        let to = self.at(offset, bytes.len());
        let written = guarded(whole::reach(to.addr()..to.addr() + bytes.len()), || {
            // SAFETY: as in `write`. The mapping is one of whole pages, and what lies around is stored to under the lock of the
            // array alone.
            unsafe { whole::copy(bytes.as_ptr(), to, bytes.len(), size) }
        });
        disk::stored();
        written
    }

    /// Copies from the file into `out`.
    ///
    /// # Errors
    /// As [`Self::write`].
    #[inline(always)]
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Fault> {
        let from = self.at(offset, out.len());
        guarded(from.addr()..from.addr() + out.len(), || {
            // SAFETY: as in `write`.
            unsafe { copy(from, out.as_mut_ptr(), out.len()) }
        })
    }

    /// Copies items from a range of bytes, in which they lie back to back, into `out`: the one at each index, if there is
    /// one.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn gather(
        &self,
        bytes: Range<u64>,
        size: usize,
        indices: impl Iterator<Item = u64>,
        out: &mut [u8],
    ) -> Result<(), Fault> {
        let len = (bytes.end - bytes.start) as usize;
        let items = self.at(bytes.start, len);
        let count = (len / size) as u64;
        // One guard for all of them, and a copy of eight bytes that is two instructions: together a quarter of the time.
        guarded(items.addr()..items.addr() + len, || {
            // SAFETY: `at` has seen that all items are mapped.
            unsafe {
                match size {
                    8 => gather(items, count, 8, indices, out),
                    _ => gather(items, count, size, indices, out),
                }
            }
        })
    }

    /// [`Self::read`] of a mapping that several threads read: a page that one of them lost is lost for all.
    ///
    /// Others store to the file at that moment, this process among them, though never to these addresses. So each byte
    /// is copied once and only the copy is looked at; the caller must check whether it was whole.
    ///
    /// # Errors
    /// As [`Self::write`]; `lost` remembers it.
    #[inline]
    pub fn read_with_others(
        &self,
        offset: u64,
        out: &mut [u8],
        lost: &AtomicBool,
    ) -> Result<(), Fault> {
        let from = self.at(offset, out.len());
        guarded_with_others(from.addr()..from.addr() + out.len(), lost, || {
            // SAFETY: as in `write`.
            unsafe { stream::copy(from, out.as_mut_ptr(), out.len()) }
        })
    }

    /// Stores a little-endian word that other processes read while it is written. What was written
    /// before is seen by every thread that sees the word.
    ///
    /// # Errors
    /// As [`Self::write`].
    #[inline]
    pub fn store(&self, offset: u64, value: u64) -> Result<(), Fault> {
        self.write_and_store(offset, &[], offset, value)
    }

    /// [`Self::write`] and then [`Self::store`], in one step: an append.
    ///
    /// # Errors
    /// As [`Self::write`].
    #[inline(always)]
    pub fn write_and_store(
        &self,
        offset: u64,
        bytes: &[u8],
        word_offset: u64,
        value: u64,
    ) -> Result<(), Fault> {
        // What lies before the word is in the mapping, too.
        let word = self.at(word_offset, size_of::<AtomicU64>());
        assert!(word.cast::<AtomicU64>().is_aligned());
        let before = word_offset
            .checked_sub(offset)
            .expect("the word comes last") as usize;
        assert!(bytes.len() <= before);
        // SAFETY: `before` bytes before the word is `offset`, which is in the mapping.
        let to = unsafe { word.sub(before) };
        let written = guarded(to.addr()..word.addr() + size_of::<AtomicU64>(), || {
            // SAFETY: as in `write`; the word is mapped, aligned, and shared with others as an atomic one only.
            unsafe {
                copy(bytes.as_ptr(), to, bytes.len());
                AtomicU64::from_ptr(word.cast()).store(value.to_le(), Ordering::Release);
            }
        });
        disk::stored();
        written
    }

    /// Waits until the bytes from `from` to `to`, and what is needed to find them again (the file's
    /// length, its extents), are on disk: `msync(MS_SYNC)`, which Linux carries out as `fdatasync` of a range.
    ///
    /// # Errors
    /// Any I/O error of the operating system: after one, nothing is known of what reached the disk.
    pub fn sync(&self, from: u64, to: u64) -> io::Result<()> {
        let to = to.min(self.len());
        let from = from.min(to.saturating_sub(1));
        disk::sync_mapped(&self.raw, from, (to - from).max(1))
    }

    /// Takes the whole pages of a range out of the page table; they stay in the page cache.
    ///
    /// To write a page back, the kernel first write-protects it wherever it is mapped, and interrupts the other
    /// CPUs of the process for each page. Under load that cost the main thread a third of its throughput;
    /// unmapping them all at once interrupts once.
    pub fn release(&self, from: u64, to: u64) {
        let from = from.next_multiple_of(page());
        let to = to.min(self.len());
        let to = to - to % page();
        if from < to {
            // SAFETY: in a shared mapping of a file this drops no data (madvise(2), MADV_DONTNEED), and no
            // Rust reference into a mapping exists. It is help: an error changes nothing.
            let _ = unsafe {
                self.raw.unchecked_advise_range(
                    UncheckedAdvice::DontNeed,
                    from as usize,
                    (to - from) as usize,
                )
            };
        }
    }

    /// Marks the pages of a range as changed, so that the next sync writes them again: after a failed one the
    /// kernel considers them written.
    ///
    /// # Errors
    /// If a page is lost.
    pub fn touch(&self, from: u64, to: u64) -> Result<(), Fault> {
        let first = from - from % page();
        for at in (first..to.min(self.len())).step_by(page_size()) {
            let byte = self.at(at, 1);
            guarded(byte.addr()..byte.addr() + 1, || {
                // SAFETY: mapped, and the value stays as it is.
                unsafe { AtomicU8::from_ptr(byte) }.fetch_or(0, Ordering::Relaxed);
            })?;
        }
        disk::touched(first, to);
        Ok(())
    }

    /// Number of pages of a range that are in RAM, whether this process has them in its page table or not.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn resident_pages(&self, from: u64, to: u64) -> io::Result<u64> {
        let from = from - from % page();
        let len = to.min(self.len()).saturating_sub(from);
        let mut pages = vec![0_u8; len.div_ceil(page()) as usize];
        self.look(from, len, &mut pages)?;
        Ok(pages.iter().map(|page| u64::from(page & 1)).sum())
    }

    /// Whether all pages of a range are in RAM.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn is_resident(&self, from: u64, to: u64) -> io::Result<bool> {
        let page = page();
        let mut pages = [0_u8; PAGES_AT_ONCE];
        let to = to.min(self.len());
        let mut at = from - from % page;
        while at < to {
            let len = (to - at).min(PAGES_AT_ONCE as u64 * page);
            let count = len.div_ceil(page) as usize;
            self.look(at, len, &mut pages[..count])?;
            if pages[..count].iter().any(|page| page & 1 == 0) {
                return Ok(false);
            }
            at += len;
        }
        Ok(true)
    }

    /// Has `mincore` say of each page whether it is in RAM, in the lowest bit: the others are reserved.
    fn look(&self, from: u64, len: u64, pages: &mut [u8]) -> io::Result<()> {
        assert!(pages.len() as u64 == len.div_ceil(page()));
        let start = self.at(from, len as usize).cast();
        let looked = attempt(Call::Mincore, || {
            // SAFETY: the range is mapped, and `pages` has a byte for each page of it.
            let status = unsafe { libc::mincore(start, len as usize, pages.as_mut_ptr().cast()) };
            result_of(status.into())
        })?;
        match looked {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Says how it is going to be read. It is help: an error changes nothing.
    pub fn advise(&self, pattern: Pattern) {
        let _ = self.raw.advise(match pattern {
            Pattern::Normal => Advice::Normal,
            Pattern::Random => Advice::Random,
            Pattern::Sequential => Advice::Sequential,
        });
    }

    /// Takes the page faults of writing to a range now, so that no thread has to take them later. This is best effort:
    /// where the system cannot do it, only time is lost.
    pub fn populate(&self, from: u64, to: u64) {
        let to = to.min(self.len());
        if from < to && may(Call::PopulateWrite) {
            let _ =
                self.raw
                    .advise_range(Advice::PopulateWrite, from as usize, (to - from) as usize);
        }
    }
}

fn no_addresses() -> io::Error {
    io::Error::other("too little of the address space would be left for the server (ulimit -v)")
}

/// `copy_nonoverlapping`, by two instructions for what is copied most: one value of eight bytes.
///
/// # Safety
/// As of that.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: by the caller's word.
    unsafe {
        match len {
            8 => ptr::copy_nonoverlapping(from, to, 8),
            _ => ptr::copy_nonoverlapping(from, to, len),
        }
    }
}
