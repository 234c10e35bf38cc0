//! Mappings through which long work reads files: windows of 1 GiB, apart from the mapping that commands use.
//!
//! A window is kept for a second after it was last used, since what costs is not to map but to fault pages in, and to
//! let them go: a question that is asked every moment pays that once. Their number is bounded, and so are the address
//! space and the page tables (2 MiB for each) that they take, whatever the size of the files.
//!
//! Several threads read a window. A page that is lost is replaced by zeros for all of them (see [`crate::storage::memory::guard`]), so it
//! is told to all of them, and the window is not used again. Commands never touch one.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::storage::lock_order::{OfWindows, Ordered};
use crate::storage::memory::guard::Fault;
use crate::storage::memory::mapping::Mapping;
use crate::storage::memory::pattern::Pattern;

/// Length of a window in bytes, and where windows begin: at the multiples of it.
const LEN: u64 = 1 << 30;
/// Most windows that are kept.
const MOST: usize = 16;
/// How long an unused one is kept.
pub const KEPT_FOR: Duration = Duration::from_secs(1);

/// A read-only mapping of a part of a file. It holds no descriptor.
#[derive(Debug)]
pub struct Window {
    /// Tells the file from others. It does not keep it open.
    file: Weak<File>,
    number: u64,
    map: Arc<Mapping>,
    /// Pages were lost: nothing in the window can be relied on.
    lost: AtomicBool,
}

impl Window {
    fn open(file: &Arc<File>, number: u64) -> std::io::Result<Self> {
        let map = Mapping::part(file, number * LEN, LEN)?;
        // Pages that one scan after the other goes over are not those to keep in RAM for it.
        map.advise(Pattern::Sequential);
        Ok(Self {
            file: Arc::downgrade(file),
            number,
            map: Arc::new(map),
            lost: AtomicBool::new(false),
        })
    }

    /// The bytes of the file that it shows.
    fn bytes(&self) -> Range<u64> {
        self.number * LEN..(self.number + 1) * LEN
    }

    /// Whether it shows the byte at `offset`.
    pub fn shows(&self, offset: u64) -> bool {
        self.bytes().contains(&offset)
    }

    /// Copies from the file into `out` what the window shows of the bytes from `offset` on, which it must show; gives
    /// back how many bytes that are.
    ///
    /// # Errors
    /// If a page of the window is lost, now or before.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<usize, Fault> {
        let Range { start, end } = self.bytes();
        let len = out.len().min((end - offset) as usize);
        self.map
            .read_with_others(offset - start, &mut out[..len], &self.lost)?;
        Ok(len)
    }

    fn is_of(&self, file: *const File) -> bool {
        self.file.as_ptr() == file
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

struct Kept {
    window: Arc<Window>,
    used: Instant,
}

/// The windows that are there.
#[derive(Default)]
pub struct Windows(Ordered<OfWindows, Vec<Kept>>);

impl Windows {
    /// The window that shows the byte of the file at `offset`, and the mappings that are to be let go of for it.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn showing(
        &self,
        file: &Arc<File>,
        offset: u64,
    ) -> std::io::Result<(Arc<Window>, Vec<Arc<Mapping>>)> {
        let mut kept = self.0.lock();
        let mut gone = extract(&mut kept, |kept| kept.window.is_lost());
        let found = kept
            .iter_mut()
            .find(|kept| kept.window.is_of(Arc::as_ptr(file)) && kept.window.shows(offset));
        if let Some(found) = found {
            found.used = Instant::now();
            return Ok((Arc::clone(&found.window), gone));
        }
        let window = Arc::new(Window::open(file, offset / LEN)?);
        let used = Instant::now();
        if kept.len() >= MOST
            && let Some(oldest) = kept.iter().map(|kept| kept.used).min()
        {
            gone.extend(extract(&mut kept, |kept| kept.used == oldest));
        }
        kept.push(Kept {
            window: Arc::clone(&window),
            used,
        });
        Ok((window, gone))
    }

    /// Takes out the windows of a file.
    pub fn take_those_of(&self, file: &Arc<File>) -> Vec<Arc<Mapping>> {
        extract(&mut self.0.lock(), |kept| {
            kept.window.is_of(Arc::as_ptr(file))
        })
    }

    /// Removes those that have not been used for a while.
    pub fn take_unused(&self) -> Vec<Arc<Mapping>> {
        extract(&mut self.0.lock(), |kept| {
            Arc::strong_count(&kept.window) == 1 && kept.used.elapsed() >= KEPT_FOR
        })
    }

    /// Takes a range of a file out of the page table. See [`Mapping::release`].
    pub fn release(&self, file: &File, bytes: &Range<u64>) {
        for Kept { window, .. } in &*self.0.lock() {
            let shown = window.bytes();
            if window.is_of(file) && bytes.start < shown.end && shown.start < bytes.end {
                let from = bytes.start.saturating_sub(shown.start);
                window.map.release(from, bytes.end - shown.start);
            }
        }
    }
}

fn extract(kept: &mut Vec<Kept>, condition: impl Fn(&Kept) -> bool) -> Vec<Arc<Mapping>> {
    kept.extract_if(.., |kept| condition(kept))
        .map(|kept| Arc::clone(&kept.window.map))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::guard;

    fn file(len: u64) -> Arc<File> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len).unwrap();
        Arc::new(file)
    }

    #[test]
    fn a_page_that_one_reader_lost_is_lost_for_all() {
        guard::install().unwrap();
        let windows = Windows::default();
        let file = file(64 << 10);
        let (window, _) = windows.showing(&file, 0).unwrap();
        let (other, _) = windows.showing(&file, 40_000).unwrap();
        assert!(Arc::ptr_eq(&window, &other));
        let mut out = [1; 64];
        assert_eq!(window.read(100, &mut out).unwrap(), 64);
        assert_eq!(out, [0; 64]);
        file.set_len(8 << 10).unwrap();
        window.read(40_000, &mut out).unwrap_err();
        // There are zeros now, which are not values of the file.
        other.read(40_000, &mut out).unwrap_err();
        other.read(100, &mut out).unwrap_err();
        let (new, gone) = windows.showing(&file, 0).unwrap();
        assert_eq!((gone.len(), new.read(100, &mut out).unwrap()), (1, 64));
    }

    #[test]
    fn a_read_ends_with_the_window() {
        let windows = Windows::default();
        let file = file(3 * LEN);
        let (window, _) = windows.showing(&file, LEN + 5).unwrap();
        assert!(!window.shows(LEN - 1) && window.shows(LEN) && !window.shows(2 * LEN));
        assert_eq!(window.read(2 * LEN - 10, &mut [1; 64]).unwrap(), 10);
    }

    #[test]
    fn few_windows_are_kept_and_not_for_long() {
        let windows = Windows::default();
        let file = file(2 * MOST as u64 * LEN);
        let mut gone = 0;
        for number in 0..2 * MOST as u64 {
            gone += windows.showing(&file, number * LEN).unwrap().1.len();
        }
        assert_eq!((gone, windows.0.lock().len()), (MOST, MOST));
        let used = Arc::clone(&windows.0.lock()[0].window);
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut left = MOST;
        while left > 1 {
            assert!(Instant::now() < deadline, "{left} are kept");
            std::thread::yield_now();
            left -= windows.take_unused().len();
        }
        drop(used);
        assert_eq!(windows.take_those_of(&file).len(), 1);
    }
}
