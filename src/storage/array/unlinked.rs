//! Files that lose their name while they are open: deleted, moved away, or replaced by another under the same name. Reads
//! and writes go on, but the values are lost once the file is closed.

use std::sync::Arc;

use rustix::fs::fstat;

use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
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
            Self::Deleted => {
                "was deleted while it is open: its values will be lost with its last key"
            }
            Self::Replaced => {
                "was replaced by another file while it is open: its values will be lost with its last key"
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
        let found = root.find(&self.path);
        let mut locked = self.lock();
        match found {
            Ok(found) => {
                locked.loss.set_name_unknown(false);
                let leads_here = found.is_some_and(|found| found.id == self.id());
                if leads_here && locked.loss.unlinked().is_none() {
                    return Ok(());
                }
            }
            Err(error) => {
                if locked.loss.set_name_unknown(true) {
                    let error = self.noted(error);
                    tracing::warn!("{error}: whether it still has its name is not known");
                }
            }
        }
        // Another file may have taken the place of this one just then, by `VTRIM`, which holds the lock for that.
        let name = locked.look_for_name(root);
        let why = name.map(Name::why);
        if why != locked.loss.unlinked() {
            match why {
                Some(why) => tracing::warn!("file '{}' {why}", self.path),
                None => tracing::warn!("file '{}' is found by its name again", self.path),
            }
            locked.loss.set_unlinked(why);
        }
        locked.not_unlinked()
    }
}

impl Locked<'_> {
    /// What became of the name; `None` if it leads to the file, or that cannot be told.
    fn look_for_name(&self, root: &Root) -> Option<Name> {
        let found = root.find(&self.array.path).ok()?;
        let has_others = found
            .as_ref()
            .is_some_and(|found| found.id != self.array.id());
        if found.is_some() && !has_others {
            return None;
        }
        match (self.is_deleted()?, has_others) {
            (true, false) => Some(Name::Deleted),
            (true, true) => Some(Name::Replaced),
            (false, false) => Some(Name::MovedAway),
            (false, true) => Some(Name::TakenByOther),
        }
    }

    /// Whether the file has no name at all any more; `None` if it is closed or cannot be looked at.
    pub(in crate::storage) fn is_deleted(&self) -> Option<bool> {
        match fstat(self.open.file()?) {
            Ok(stat) => Some(stat.st_nlink == 0),
            Err(errno) => {
                let error = self.array.failed("look at", errno);
                tracing::warn!("{error}");
                None
            }
        }
    }

    pub(in crate::storage) fn not_unlinked(&self) -> Result<()> {
        match self.loss.unlinked() {
            None => Ok(()),
            Some(why) => Err(Error::Unlinked {
                path: self.array.path.to_string(),
                why,
            }),
        }
    }

    /// Says in the log that the values go with the last key.
    pub(in crate::storage) fn report_loss_at_unbinding(&self) {
        let is_meant = self.array.is_unnamed() || self.array.is_replaced();
        if self.extent.count() > 0 && !is_meant && self.is_deleted() == Some(true) {
            tracing::warn!(
                "file '{}' was deleted while it was bound, and its last key is gone now: its {} values are lost",
                self.array.path,
                self.extent.count()
            );
        }
    }
}
