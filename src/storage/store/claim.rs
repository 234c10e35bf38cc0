//! Whose a file is, and what may become of it for the sake of a key that another server or a dump tells of.

use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::array::owner::Owner;
use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::path::FilePath;
use crate::storage::files::root::Found;
use crate::storage::store::bound::Bound;
use crate::storage::store::store::Store;

/// What a file that is there may become for the sake of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MayBecome {
    /// Whatever the key is to hold: it is this key's.
    Anything,
    /// What it is.
    Itself,
}

impl Store {
    /// Fails if the file at `path`, where there is one, is no array of this module, or belongs to another key (which
    /// `even_bound` allows), even if it was removed, or another process.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::InUse`] or [`Error::Locked`]; also if the path leaves the root or names no regular
    /// file.
    pub fn check_unowned(&self, path: &FilePath, even_bound: bool) -> Result<()> {
        let Some(found) = self.root.find(path)? else {
            return match self.registry.find_by_place(&self.root, path) {
                Some(_) if !even_bound => Err(in_use(path)),
                _ => Ok(()),
            };
        };
        let is_bound = self.registry.is_bound(found.id);
        if is_bound && !even_bound {
            return Err(in_use(path));
        }
        if !is_bound {
            check_owned(&found, path)?;
        }
        self.check_unlocked(&found, path)
    }

    /// Fails if the file at `path`, where there is one, is no array of this module.
    ///
    /// # Errors
    /// [`Error::NoArray`]; also if the path leaves the root or names no regular file.
    pub fn check_array(&self, path: &FilePath) -> Result<()> {
        match self.root.find(path)? {
            Some(found) if !self.registry.is_bound(found.id) => check_owned(&found, path),
            _ => Ok(()),
        }
    }

    fn check_unlocked(&self, found: &Found, path: &FilePath) -> Result<()> {
        // Asking for the lock opens the file, and closing it drops a lock of ours: of a file that is to be replaced.
        self.registry.close_unbound(found.id)?;
        self.root.check_unlocked(found, path)
    }

    /// Whether the file at `path`, where there is one, may become what `key` is to hold from now on; the name is unique among
    /// the keys of a server. `former` is what the key is bound to, and how. Who may write the key may replace a file that is
    /// the key's: one that it alone is bound to for writing, or was the last to be. Any other may be taken only as it is.
    ///
    /// # Errors
    /// If it may become nothing for this key, as [`Self::check_unowned`] or [`Error::ReadOnlyKey`].
    pub fn may_become(
        &self,
        path: &FilePath,
        key: &[u8],
        former: Option<(&Bound, Access)>,
    ) -> Result<MayBecome> {
        let Some(found) = self.root.find(path)? else {
            // The key that is bound to a file which was removed would be bound to the new one after a restart.
            let is_keys = |array: &Arc<Array>| {
                former.is_some_and(|(former, _)| former.id() == array.id() && former.is_alone())
            };
            return match self.registry.find_by_place(&self.root, path) {
                Some(array) if !is_keys(&array) => Err(in_use(path)),
                _ => Ok(MayBecome::Anything),
            };
        };
        // As above, for the name that it gets.
        let aside = path.aside();
        if self.registry.find_by_place(&self.root, &aside).is_some()
            && self.root.find(&aside)?.is_none()
        {
            return Err(in_use(&aside));
        }
        let has_claim = Owner::of(&found, path)?.is(key);
        match former {
            Some((former, access)) if former.id() == found.id && former.is_alone() => {
                if access == Access::ReadOnly && !has_claim {
                    return Err(Error::ReadOnlyKey {
                        path: path.to_string(),
                    });
                }
                // The lock is ours, and would be dropped by asking for it.
                if !former.is_writable() {
                    self.root.check_unlocked(&found, path)?;
                }
                Ok(MayBecome::Anything)
            }
            _ => {
                self.check_unowned(path, false)?;
                Ok(match has_claim {
                    true => MayBecome::Anything,
                    false => MayBecome::Itself,
                })
            }
        }
    }

    /// Whether the file that was set aside from `path` before gives way to the one that is there now: both were the same
    /// key's, and no key is bound to it.
    pub(in crate::storage) fn aside_gives_way(&self, path: &FilePath) -> Result<bool> {
        let aside = path.aside();
        let (Some(former), Some(found)) = (self.root.find(path)?, self.root.find(&aside)?) else {
            return Ok(false);
        };
        Ok(match Owner::of(&former, path)? {
            Owner::Key(key) => {
                Owner::of(&found, &aside)?.is(&key) && !self.registry.is_bound(found.id)
            }
            _ => false,
        })
    }
}

fn in_use(path: &FilePath) -> Error {
    Error::InUse {
        path: path.to_string(),
    }
}

/// Fails if a file has no owner.
fn check_owned(found: &Found, path: &FilePath) -> Result<()> {
    if Owner::of(found, path)? == Owner::None {
        return Err(Error::NoArray {
            path: path.to_string(),
        });
    }
    Ok(())
}
