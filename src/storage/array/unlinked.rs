//! Files that lose their name while they are open: deleted, moved away, or replaced by another under the same name. Reads
//! and writes go on, and nobody will find the values once the file is closed.

use std::sync::Arc;

use rustix::fs::fstat;

use crate::storage::array::handle::Array;
use crate::storage::array::state::State;
use crate::storage::error::{Error, Result};
use crate::storage::files::root::Root;

/// How an array has lost its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    Deleted,
    Replaced,
    MovedAway,
    TakenByOther,
}

impl Name {
    fn why(self) -> &'static str {
        match self {
            Self::Deleted => "was deleted while it is open: its values go when its last key goes",
            Self::Replaced => {
                "was replaced by another file while it is open: its values go when its last key goes"
            }
            Self::MovedAway => "was moved away while it is open: no file has its name",
            Self::TakenByOther => "was moved away while it is open: another file has its name",
        }
    }
}

impl Array {
    /// Looks whether the path still leads to the file. What is found is kept, for [`Array::status`] and the totals, and
    /// logged when it changes.
    ///
    /// # Errors
    /// [`Error::Unlinked`] if it does not.
    pub(in crate::storage) fn check_name(self: &Arc<Self>, root: &Root) -> Result<()> {
        if self.is_unnamed() {
            return Ok(());
        }
        // Without the lock, first: a path may lead over a slow network.
        let leads_here = matches!(root.find(&self.path), Ok(Some(found)) if found.id == self.id());
        let mut state = self.state.lock();
        if leads_here && state.loss.unlinked().is_none() {
            return Ok(());
        }
        // Another file may have taken the place of this one just then, by `VTRIM`, which holds the lock for that.
        let name = self.look_for_name(&state, root);
        let why = name.map(Name::why);
        if why != state.loss.unlinked() {
            match why {
                Some(why) => tracing::warn!("file '{}' {why}", self.path),
                None => tracing::warn!("file '{}' is found by its name again", self.path),
            }
            state.loss.set_unlinked(why);
        }
        self.not_unlinked(&state)
    }

    /// What became of the name; `None` if it leads to the file, or that cannot be told.
    fn look_for_name(&self, state: &State, root: &Root) -> Option<Name> {
        let found = root.find(&self.path).ok()?;
        let has_others = found.as_ref().is_some_and(|found| found.id != self.id());
        if found.is_some() && !has_others {
            return None;
        }
        match (self.is_deleted(state)?, has_others) {
            (true, false) => Some(Name::Deleted),
            (true, true) => Some(Name::Replaced),
            (false, false) => Some(Name::MovedAway),
            (false, true) => Some(Name::TakenByOther),
        }
    }

    /// Whether the file has no name at all any more; `None` if it is closed or cannot be looked at.
    fn is_deleted(&self, state: &State) -> Option<bool> {
        let stat = fstat(state.file.as_ref()?).ok()?;
        Some(stat.st_nlink == 0)
    }

    pub(in crate::storage) fn not_unlinked(&self, state: &State) -> Result<()> {
        match state.loss.unlinked() {
            None => Ok(()),
            Some(why) => Err(Error::Unlinked {
                path: self.path.to_string(),
                why,
            }),
        }
    }

    /// Says in the log that the values go with the last key.
    pub(in crate::storage) fn report_loss_at_unbinding(&self, state: &State) {
        let is_meant = self.is_unnamed() || self.is_replaced();
        if state.extent.count() > 0 && !is_meant && self.is_deleted(state) == Some(true) {
            tracing::warn!(
                "file '{}' was deleted while it was bound, and its last key is gone now: its {} values are lost",
                self.path,
                state.extent.count()
            );
        }
    }
}
