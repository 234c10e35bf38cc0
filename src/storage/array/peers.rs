//! Other servers may have the same array. What one of them has to know of the others' copies is kept here.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};

use parking_lot::Mutex;
use rustix::io::Errno;

use crate::storage::files::calls as disk;
use crate::storage::files::root::Found;

/// The extended attribute of a file that lacks values. Its value is the reason, which may be empty.
pub(super) const INCOMPLETE: &str = "user.mmap.incomplete";
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
    /// The file is shorter than it was: either its primary says that its own is, too, or values are missing. Otherwise as
    /// `Doubted`.
    Unconfirmed,
}

impl Completeness {
    const ALL: [Self; 6] = [
        Self::Whole,
        Self::Filling,
        Self::Gap,
        Self::Missed,
        Self::Doubted,
        Self::Unconfirmed,
    ];

    /// Whether only another server can tell if values are missing. No file says so: made a primary, this one has what it has.
    pub fn is_in_doubt(self) -> bool {
        matches!(self, Self::Doubted | Self::Unconfirmed)
    }

    pub(super) fn of_number(number: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|state| *state as u8 == number)
            .unwrap_or(Self::Missed)
    }
}

/// What is known of the copies of one array.
pub(in crate::storage) struct Peers {
    /// A [`Completeness`].
    pub(super) completeness: AtomicU8,
    /// Why it is not whole.
    pub(super) why: Mutex<String>,
    /// The position from which on values are missing, while there is a gap; else `u64::MAX`.
    pub(super) gap_from: AtomicU64,
    /// Whether the file does not say that it is incomplete, though it is.
    pub(super) unnoted: AtomicBool,
    /// See [`Array::is_unnamed`].
    pub(super) unnamed: AtomicBool,
    /// See [`Array::set_replaced`].
    pub(super) replaced: AtomicBool,
    /// See [`Array::is_resent`].
    pub(super) resent: AtomicBool,
    /// Up to which position contents have come without a gap, since they began to; `u64::MAX` where that is not known.
    pub(super) come_to: AtomicU64,
    /// Up to which position there may be something else where contents have not come yet.
    pub(super) wanted_to: AtomicU64,
    /// See [`Array::unannounced`].
    pub(super) unannounced: AtomicU32,
}

impl Peers {
    /// What the file says of itself.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
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
            replaced: AtomicBool::new(false),
            resent: AtomicBool::new(false),
            come_to: AtomicU64::new(u64::MAX),
            wanted_to: AtomicU64::new(0),
            unannounced: AtomicU32::new(0),
        })
    }
}

/// Why a file lacks values, as it says itself; `None` if it lacks none.
///
/// # Errors
/// Any I/O error of the operating system.
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

/// Sets the attribute; without the reason, which may not fit into the inode, where the disk is full.
pub(super) fn note(
    why: &str,
    set: impl Fn(&[u8]) -> rustix::io::Result<bool>,
) -> rustix::io::Result<bool> {
    match set(short(why)) {
        Err(Errno::NOSPC | Errno::DQUOT) => set(b""),
        result => result,
    }
}

/// Notes in a file that is found under a name, without opening it, that it lacks values; `false` where there are no attributes.
///
/// # Errors
/// Any I/O error of the operating system.
pub(in crate::storage) fn note_former(found: &Found, why: &str) -> rustix::io::Result<bool> {
    let link = found.link();
    note(why, |why| disk::set_attribute_at(&link, INCOMPLETE, why))
}
