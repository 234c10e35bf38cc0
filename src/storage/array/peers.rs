//! Other servers may have the same array. What one of them has to know of the others' copies is kept here.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::storage::array::handle::Array;
use crate::storage::error::Result;
use crate::storage::files::calls as disk;
use crate::storage::files::root::Found;

/// The extended attribute of a file that lacks values. Its value says why, for whoever opens the file next; it may be empty.
const INCOMPLETE: &str = "user.mmap.incomplete";
/// Why a file lacks values that are being sent.
pub(in crate::storage) const ON_THEIR_WAY: &str = "its values are on their way from the primary";
/// How much of the reason the attribute holds, in bytes: it shall fit into the inode, where a full disk has room, too.
const REASON: usize = 64;

/// Whether an array holds all values that it should. See "Incomplete arrays" in `docs/design.md`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Completeness {
    /// All values are there.
    Whole,
    /// Values are on their way: what is written is applied, what is there is not to be shown.
    Filling,
    /// A gap opened while this server catches up with what it has missed: either what follows removes it, or it stays.
    Gap,
    /// A change could not be applied: later ones are passed over, until all contents are sent again.
    Missed,
    /// The server was not reachable for a while and does not know what it missed. No file says so: made a primary, it
    /// has what it has.
    Doubted,
}

impl Completeness {
    const ALL: [Self; 5] = [
        Self::Whole,
        Self::Filling,
        Self::Gap,
        Self::Missed,
        Self::Doubted,
    ];

    fn of_number(number: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|state| *state as u8 == number)
            .unwrap_or(Self::Missed)
    }
}

/// What is known of the copies of one array.
pub(in crate::storage) struct Copies {
    /// A [`Completeness`].
    completeness: AtomicU8,
    /// Why it is not whole.
    why: Mutex<String>,
    /// The position from which on values are missing, while there is a gap; else `u64::MAX`.
    gap_from: AtomicU64,
    /// Whether the file does not say that it is incomplete, though it is.
    unnoted: AtomicBool,
    /// See [`Array::is_unnamed`].
    unnamed: AtomicBool,
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
        let (completeness, why) = match reason_in(file)? {
            Some(why) => (Completeness::Missed, why),
            None => (Completeness::Whole, String::new()),
        };
        Ok(Self {
            completeness: AtomicU8::new(completeness as u8),
            why: Mutex::new(why),
            gap_from: AtomicU64::new(u64::MAX),
            unnoted: AtomicBool::new(false),
            unnamed: AtomicBool::new(false),
            sent_anew: AtomicBool::new(false),
            unannounced: AtomicU32::new(0),
        })
    }
}

/// Why a file lacks values, as it says itself; `None` if it lacks none.
///
/// # Errors
/// The system's.
fn reason_in(file: &File) -> rustix::io::Result<Option<String>> {
    if disk::attribute(file, INCOMPLETE, &mut [])?.is_none() {
        return Ok(None);
    }
    let mut bytes = [0; 4 * REASON];
    let len = disk::attribute(file, INCOMPLETE, &mut bytes)?.unwrap_or(0);
    Ok(Some(match &bytes[..len] {
        [] => "its values were on their way when the server stopped".to_owned(),
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    }))
}

/// The part of a reason that is noted in a file.
fn short(why: &str) -> &[u8] {
    let end = (0..=REASON.min(why.len()))
        .rev()
        .find(|&end| why.is_char_boundary(end));
    &why.as_bytes()[..end.unwrap_or(0)]
}

/// Notes in a file that is found under a name, without opening it, that it lacks values.
///
/// # Errors
/// The system's.
pub(in crate::storage) fn note_former(found: &Found, why: &str) -> rustix::io::Result<()> {
    disk::set_attribute_of_found(found, INCOMPLETE, short(why)).map(drop)
}

/// All of these are set on one thread only.
impl Array {
    /// Whether values are missing, so that what is there is not to be shown. Where the file system has extended attributes,
    /// the file says so, too: it is so for whoever opens it next.
    #[inline]
    pub fn is_incomplete(&self) -> bool {
        self.copies.completeness.load(Ordering::Relaxed) != Completeness::Whole as u8
    }

    /// Which values are missing, if any are.
    pub fn completeness(&self) -> Completeness {
        Completeness::of_number(self.copies.completeness.load(Ordering::Relaxed))
    }

    /// Why values are missing; empty if none are.
    pub fn why_incomplete(&self) -> String {
        match self.completeness() {
            Completeness::Whole => String::new(),
            _ => self.copies.why.lock().clone(),
        }
    }

    fn become_(&self, completeness: Completeness, why: &str) {
        why.clone_into(&mut self.copies.why.lock());
        self.copies
            .completeness
            .store(completeness as u8, Ordering::Relaxed);
    }

    /// A change could not be applied: what is there is not to be shown until all contents are there again. Says whether
    /// that is news.
    ///
    /// It holds at once. That it is noted in the file, too, is tried; where it cannot be, the log says so.
    pub fn miss(&self, why: &str) -> bool {
        let is_news = self.completeness() != Completeness::Missed;
        if !is_news {
            return false;
        }
        self.become_(Completeness::Missed, why);
        self.set_sent_anew(false);
        self.copies.gap_from.store(u64::MAX, Ordering::Relaxed);
        if let Err(error) = self.note_incomplete(why) {
            tracing::error!("{error}; a restart of this server may forget that values are missing");
        }
        true
    }

    /// This server may have missed changes, and cannot know. A file that says that values are missing goes on to say so.
    pub fn doubt_contents(&self, why: &str) {
        if self.completeness() == Completeness::Whole {
            self.become_(Completeness::Doubted, why);
        }
    }

    /// There is nobody any more who knows better.
    pub fn trust_contents(&self) {
        if self.completeness() == Completeness::Doubted {
            self.become_(Completeness::Whole, "");
        }
    }

    /// All contents come from now on, piece by piece; changes in between are applied.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn expect_contents(&self, why: &str) -> Result<()> {
        self.note_incomplete(why)?;
        self.copies.gap_from.store(u64::MAX, Ordering::Relaxed);
        self.become_(Completeness::Filling, why);
        Ok(())
    }

    /// A gap opens at a position, which may be closed again by what follows.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn note_gap(&self, position: u64, why: &str) -> Result<()> {
        if self.completeness() == Completeness::Whole {
            self.note_incomplete(why)?;
            self.become_(Completeness::Gap, why);
        }
        self.copies.gap_from.fetch_min(position, Ordering::Relaxed);
        Ok(())
    }

    /// There are no values any more from a position on: a gap that began there is gone.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn forget_gap_behind(&self, position: u64) -> Result<()> {
        if self.copies.gap_from.load(Ordering::Relaxed) < position {
            return Ok(());
        }
        self.copies.gap_from.store(u64::MAX, Ordering::Relaxed);
        match self.completeness() {
            Completeness::Gap => self.become_whole(),
            _ => Ok(()),
        }
    }

    /// All values are there, unless there is a gap.
    ///
    /// # Errors
    /// If it cannot be noted in the file; then it goes on to be incomplete.
    pub fn become_whole(&self) -> Result<()> {
        if self.copies.gap_from.load(Ordering::Relaxed) != u64::MAX {
            let why = self.why_incomplete();
            self.become_(Completeness::Gap, &why);
            return Ok(());
        }
        if self.is_incomplete() {
            let file = self.file(&self.state.lock())?;
            disk::remove_attribute(&file, INCOMPLETE).map_err(|e| self.failed("mark", e))?;
            self.become_(Completeness::Whole, "");
        }
        Ok(())
    }

    /// Where there are no attributes, this process alone knows it, and the RDB files it saves.
    fn note_incomplete(&self, why: &str) -> Result<()> {
        let noted = self.file(&self.state.lock()).and_then(|file| {
            disk::set_attribute(&file, INCOMPLETE, short(why)).map_err(|e| self.failed("mark", e))
        });
        let is_noted = matches!(noted, Ok(true));
        self.copies.unnoted.store(!is_noted, Ordering::Relaxed);
        noted.map(drop)
    }

    /// Whoever binds the array takes what is there for all there is.
    ///
    /// # Errors
    /// As [`Self::become_whole`].
    pub fn take_as_whole(&self) -> Result<()> {
        self.copies.gap_from.store(u64::MAX, Ordering::Relaxed);
        self.become_whole()
    }

    /// Whether its file has no name, and is to get one when it is whole.
    pub(in crate::storage) fn is_unnamed(&self) -> bool {
        self.copies.unnamed.load(Ordering::Relaxed)
    }

    /// Says whether that is so.
    pub(in crate::storage) fn set_unnamed(&self, unnamed: bool) {
        self.copies.unnamed.store(unnamed, Ordering::Relaxed);
    }

    /// Whether values are missing and the file cannot say so.
    pub fn is_incomplete_unnoted(&self) -> bool {
        self.is_incomplete() && self.copies.unnoted.load(Ordering::Relaxed)
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
