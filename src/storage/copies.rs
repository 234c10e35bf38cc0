//! Other servers may have the same array. What one of them has to know of the others' copies is kept here.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::array::Array;
use super::disk;
use super::error::Result;

/// The extended attribute of a file that lacks values, which are on their way. It is empty.
const INCOMPLETE: &str = "user.mmap.incomplete";

/// What is known of the copies of one array.
pub(super) struct Copies {
    /// See [`Array::is_incomplete`].
    incomplete: AtomicBool,
    /// See [`Array::is_sent_anew`].
    sent_anew: AtomicBool,
    /// See [`Array::unannounced`].
    unannounced: AtomicU32,
}

impl Copies {
    /// What the file says of itself.
    ///
    /// # Errors
    /// The system's.
    pub fn of(file: &File) -> rustix::io::Result<Self> {
        let incomplete = disk::attribute(file, INCOMPLETE, &mut [])?;
        Ok(Self {
            incomplete: AtomicBool::new(incomplete.is_some()),
            sent_anew: AtomicBool::new(false),
            unannounced: AtomicU32::new(0),
        })
    }
}

/// All of these are set on one thread only.
impl Array {
    /// Whether values are still on their way from another server, so that what is there is not to be shown. The file
    /// says so, too: it is so for whoever opens it next.
    #[inline]
    pub fn is_incomplete(&self) -> bool {
        self.copies.incomplete.load(Ordering::Relaxed)
    }

    /// Says whether values are still on their way.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn set_incomplete(&self, incomplete: bool) -> Result<()> {
        if incomplete == self.is_incomplete() {
            return Ok(());
        }
        let file = self.file(&self.state.lock())?;
        // Where there are no attributes, this process alone knows it.
        let noted = if incomplete {
            disk::set_attribute(&file, INCOMPLETE, &[]).map(drop)
        } else {
            disk::remove_attribute(&file, INCOMPLETE)
        };
        noted.map_err(|errno| self.failed("mark", errno))?;
        self.copies.incomplete.store(incomplete, Ordering::Relaxed);
        Ok(())
    }

    /// Number of long writes of which not all is announced: another server that has this array, too, may have more of
    /// them or less.
    pub fn unannounced(&self) -> u32 {
        self.copies.unannounced.load(Ordering::Relaxed)
    }

    /// Says how many they are.
    pub fn set_unannounced(&self, writes: u32) {
        self.copies.unannounced.store(writes, Ordering::Relaxed);
    }

    /// Whether another server sends all values anew, and what is there is a mixture until they have come.
    pub fn is_sent_anew(&self) -> bool {
        self.copies.sent_anew.load(Ordering::Relaxed)
    }

    /// Says whether it does.
    pub fn set_sent_anew(&self, sent_anew: bool) {
        self.copies.sent_anew.store(sent_anew, Ordering::Relaxed);
    }
}
