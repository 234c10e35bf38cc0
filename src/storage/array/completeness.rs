//! Whether an array holds all values that it should, and what else one server knows of the others' copies of it. See
//! "Incomplete arrays" in `docs/design.md`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::storage::array::handle::Array;
use crate::storage::array::peers::{Completeness, INCOMPLETE, note};
use crate::storage::error::Result;
use crate::storage::files::calls as disk;

/// All of these are set on one thread only.
impl Array {
    /// Whether values are missing, so that what is there is not to be shown. Where the file system has extended attributes,
    /// the file says so, too: it stays so for the next program that opens it.
    #[inline]
    pub fn is_incomplete(&self) -> bool {
        self.peers.completeness.load(Ordering::Relaxed) != Completeness::Whole as u8
    }

    /// Which values are missing, if any are.
    pub fn completeness(&self) -> Completeness {
        Completeness::of_number(self.peers.completeness.load(Ordering::Relaxed))
    }

    /// Why values are missing; empty if none are.
    pub fn why_incomplete(&self) -> String {
        match self.completeness() {
            Completeness::Whole => String::new(),
            _ => self.peers.why.lock().clone(),
        }
    }

    fn become_(&self, completeness: Completeness, why: &str) {
        why.clone_into(&mut self.peers.why.lock());
        self.peers
            .completeness
            .store(completeness as u8, Ordering::Relaxed);
    }

    /// A change could not be applied: what is there is not to be shown until all contents are there again. Says whether
    /// that is news.
    ///
    /// It holds at once. That it is noted in the file, too, is tried; where it cannot be, the log says so.
    pub fn miss(self: &Arc<Self>, why: &str) -> bool {
        let is_news = self.completeness() != Completeness::Missed;
        if !is_news {
            return false;
        }
        self.become_(Completeness::Missed, why);
        self.set_resent(false);
        self.peers.gap_from.store(u64::MAX, Ordering::Relaxed);
        if let Err(error) = self.note_incomplete(why) {
            tracing::error!("{error}; a restart of this server may forget that values are missing");
        }
        true
    }

    /// Notes in the file what could not be noted there when it was found out.
    pub fn note_missed_again(self: &Arc<Self>) {
        if self.completeness() == Completeness::Missed
            && self.is_incomplete_unnoted()
            && let Err(error) = self.note_incomplete(&self.why_incomplete())
        {
            tracing::error!("{error}");
        }
    }

    /// This server may have missed changes, and cannot know. A file that says that values are missing goes on to say so.
    pub fn doubt_contents(&self, why: &str) {
        if matches!(
            self.completeness(),
            Completeness::Whole | Completeness::Unconfirmed
        ) {
            self.become_(Completeness::Doubted, why);
        }
    }

    /// The file holds fewer values than it did: not those that are there are in doubt, but whether they are all.
    pub fn doubt_length(&self, why: &str) {
        if self.completeness() == Completeness::Whole {
            self.become_(Completeness::Unconfirmed, why);
        }
    }

    /// The primary says that there are no more values.
    pub fn confirm_length(&self) {
        if self.completeness() == Completeness::Unconfirmed {
            self.become_(Completeness::Whole, "");
        }
    }

    /// There is no other server any more that knows better.
    pub fn trust_contents(&self) {
        if self.completeness().is_in_doubt() {
            self.become_(Completeness::Whole, "");
        }
    }

    /// All contents come from now on, piece by piece; changes in between are applied.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn expect_contents(self: &Arc<Self>, why: &str) -> Result<()> {
        self.note_incomplete(why)?;
        self.peers.gap_from.store(u64::MAX, Ordering::Relaxed);
        self.become_(Completeness::Filling, why);
        Ok(())
    }

    /// A gap opens at a position, which may be closed again by what follows.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn note_gap(self: &Arc<Self>, position: u64, why: &str) -> Result<()> {
        if matches!(
            self.completeness(),
            Completeness::Whole | Completeness::Unconfirmed
        ) {
            self.note_incomplete(why)?;
            self.become_(Completeness::Gap, why);
        }
        self.peers.gap_from.fetch_min(position, Ordering::Relaxed);
        Ok(())
    }

    /// There are no values any more from a position on: a gap that began there is gone.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn forget_gap_behind(self: &Arc<Self>, position: u64) -> Result<()> {
        if self.peers.gap_from.load(Ordering::Relaxed) < position {
            return Ok(());
        }
        self.peers.gap_from.store(u64::MAX, Ordering::Relaxed);
        match self.completeness() {
            Completeness::Gap => self.become_whole(),
            _ => Ok(()),
        }
    }

    /// All values are there, unless there is a gap.
    ///
    /// # Errors
    /// If it cannot be noted in the file; then it goes on to be incomplete.
    pub fn become_whole(self: &Arc<Self>) -> Result<()> {
        if self.peers.gap_from.load(Ordering::Relaxed) != u64::MAX {
            let why = self.why_incomplete();
            self.become_(Completeness::Gap, &why);
            return Ok(());
        }
        if self.is_incomplete() {
            let file = self.lock().file()?;
            disk::remove_attribute(&file, INCOMPLETE).map_err(|e| self.failed("mark", e))?;
            self.become_(Completeness::Whole, "");
        }
        Ok(())
    }

    /// Where there are no attributes, this process alone knows it, and the RDB files it saves.
    fn note_incomplete(self: &Arc<Self>, why: &str) -> Result<()> {
        let noted = self.lock().file().and_then(|file| {
            note(why, |why| disk::set_attribute(&file, INCOMPLETE, why))
                .map_err(|e| self.failed("mark", e))
        });
        let is_noted = matches!(noted, Ok(true));
        self.peers.unnoted.store(!is_noted, Ordering::Relaxed);
        noted.map(drop)
    }

    /// Its values are complete, whatever it lacked: the user who binds it says so, or all of them came and were compared.
    ///
    /// # Errors
    /// As [`Self::become_whole`].
    pub fn take_as_whole(self: &Arc<Self>) -> Result<()> {
        self.peers.gap_from.store(u64::MAX, Ordering::Relaxed);
        self.become_whole()
    }

    /// Whether its file has no name, and is to get one when it is whole.
    pub(in crate::storage) fn is_unnamed(&self) -> bool {
        self.peers.unnamed.load(Ordering::Relaxed)
    }

    /// Says whether that is so.
    pub(in crate::storage) fn set_unnamed(&self, unnamed: bool) {
        self.peers.unnamed.store(unnamed, Ordering::Relaxed);
    }

    /// Says that this server has put another file in the place of this one, as its primary said: its values are to go.
    pub(in crate::storage) fn set_replaced(&self) {
        self.peers.replaced.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub(in crate::storage) fn is_replaced(&self) -> bool {
        self.peers.replaced.load(Ordering::Relaxed)
    }

    /// Whether values are missing and the file cannot say so.
    pub fn is_incomplete_unnoted(&self) -> bool {
        self.is_incomplete() && self.peers.unnoted.load(Ordering::Relaxed)
    }

    /// The file that has the array's name does not say that it lacks values.
    pub(in crate::storage) fn set_unnoted(&self) {
        self.peers.unnoted.store(true, Ordering::Relaxed);
    }

    /// Number of long writes of which not all is announced: another server that has this array, too, may have more of
    /// them or less.
    pub fn unannounced(&self) -> u32 {
        self.peers.unannounced.load(Ordering::Relaxed)
    }

    /// Says how many they are.
    pub fn set_unannounced(&self, writes: u32) {
        self.peers.unannounced.store(writes, Ordering::Relaxed);
    }

    /// Whether another server sends all values again. Until they have come, the array holds a mixture.
    pub fn is_resent(&self) -> bool {
        self.peers.resent.load(Ordering::Relaxed)
    }

    /// Says whether it does.
    pub fn set_resent(&self, resent: bool) {
        self.peers.resent.store(resent, Ordering::Relaxed);
    }

    /// Contents come from now on, from the head: what is here until then is something else.
    pub fn begin_contents(&self) {
        self.peers.come_to.store(self.head(), Ordering::Relaxed);
        let end = self.head() + self.published_count();
        self.peers.wanted_to.store(end, Ordering::Relaxed);
    }

    /// So many values of the contents have come, from a position on.
    pub fn note_contents(&self, position: u64, values: u64) {
        let come_to = self.peers.come_to.load(Ordering::Relaxed);
        if position <= come_to {
            let come_to = come_to.max(position.saturating_add(values));
            self.peers.come_to.store(come_to, Ordering::Relaxed);
        }
    }

    /// No contents come before a position: the values there are gone.
    pub fn skip_contents(&self, position: u64) {
        self.peers.come_to.fetch_max(position, Ordering::Relaxed);
    }

    /// Values before a position are to be sent, and zeros stand in their place.
    pub fn want_contents_to(&self, position: u64) {
        self.peers.wanted_to.fetch_max(position, Ordering::Relaxed);
    }

    /// The positions of which no contents have come, where those end at a position.
    pub fn missing_contents(&self, end: u64) -> Range<u64> {
        let wanted_to = self.peers.wanted_to.load(Ordering::Relaxed);
        self.peers.come_to.load(Ordering::Relaxed)..wanted_to.min(end)
    }
}
