//! What a key of this module holds.

use std::ffi::c_int;

use crate::redis::keys::unavailable::Unavailable;
use crate::redis::mode::role::is_replica;
use crate::redis::server::{Failure, KeyName, Named};
use crate::redis::store;
use crate::storage::types::{ItemType, excerpt};
use crate::storage::{Access, Bound, FileId, FilePath};

/// What a key holds.
pub struct Binding {
    /// As it was given to `MMAP`.
    pub path: FilePath,
    pub item: ItemType,
    pub access: Access,
    pub target: KeyTarget,
}

/// Where a key leads.
pub enum KeyTarget {
    Open(Bound),
    /// The file could not be opened when the server started, or when its primary bound it.
    Unavailable {
        reason: Unavailable,
        /// Number of values when it was last seen.
        count: u64,
    },
}

impl Binding {
    /// Binds a file that must exist; where it cannot be opened, the binding remembers why.
    pub fn restore(path: FilePath, item: ItemType, access: Access, count: u64) -> Self {
        match store().bind(&path, item, access, false) {
            Ok(bound) => Self::open(path, item, access, bound),
            Err(error) => Self::unavailable(path, item, access, count, error.to_string(), None),
        }
    }

    /// A binding that leads to its file.
    pub fn open(path: FilePath, item: ItemType, access: Access, bound: Bound) -> Self {
        Self {
            path,
            item,
            access,
            target: KeyTarget::Open(bound),
        }
    }

    /// A binding whose file is unavailable, and why. On a replica the key may be `wanted` from its primary.
    pub fn unavailable(
        path: FilePath,
        item: ItemType,
        access: Access,
        count: u64,
        reason: String,
        wanted: Option<KeyName>,
    ) -> Self {
        tracing::warn!(
            "{reason}; its key answers with this error until the file is back and MMAP is called again"
        );
        let reason = Unavailable::new(&reason, path.clone(), wanted);
        Self {
            path,
            item,
            access,
            target: KeyTarget::Unavailable { reason, count },
        }
    }

    /// As [`Self::restore`], of a file whose number of values is not known.
    pub fn restore_from_aof(path: FilePath, item: ItemType, access: Access) -> Self {
        Self::restore(path, item, access, 0)
    }

    /// The array.
    ///
    /// # Errors
    /// If the file was not there when the server started, and has not been bound again.
    #[inline]
    pub fn bound(&self) -> Result<&Bound, Failure> {
        let bound = self.target_array()?;
        if bound.is_incomplete() {
            return Err(self.incomplete());
        }
        Ok(bound)
    }

    #[cold]
    fn incomplete(&self) -> Failure {
        let path = &self.path;
        let why = self
            .target_array()
            .map(|array| array.why_incomplete())
            .unwrap_or_default();
        Failure::Message(if is_replica() {
            format!(
                "file '{path}' is incomplete, and the primary will send what is missing: try again later ({why})"
            )
        } else {
            format!(
                "file '{path}' is incomplete, as not all values had come from the primary when this server took over \
                 ({why}): DEL the key, replace the file by a copy from a server that has it, and MMAP it again; or take what \
                 is here, by MMAP ... INCOMPLETE"
            )
        })
    }

    /// The array, even while values are on their way to it.
    ///
    /// # Errors
    /// As [`Self::bound`], but for that.
    #[inline]
    pub fn target_array(&self) -> Result<&Bound, Failure> {
        match &self.target {
            KeyTarget::Open(bound) => Ok(bound),
            KeyTarget::Unavailable { reason, .. } => Err(Failure::Message(if is_replica() {
                format!("{reason}; once that is mended, the primary sends it again")
            } else {
                format!("{reason}; when the file is back, MMAP the key again")
            })),
        }
    }

    /// Why there is no array.
    pub fn why_unavailable(&self) -> Option<&Unavailable> {
        match &self.target {
            KeyTarget::Open(_) => None,
            KeyTarget::Unavailable { reason, .. } => Some(reason),
        }
    }

    /// The array, for a command that writes to it by that key.
    ///
    /// # Errors
    /// Also if this key was bound read-only, whatever other keys are.
    #[inline]
    pub fn writable(&self, key: &Named<'_>) -> Result<&Bound, Failure> {
        let bound = self.bound()?;
        if self.access == Access::ReadOnly {
            return Err(self.read_only(key));
        }
        Ok(bound)
    }

    #[cold]
    fn read_only(&self, key: &Named<'_>) -> Failure {
        Failure::Message(format!(
            "file '{}' is bound read-only to key '{}': DEL the key and MMAP it again with WRITABLE",
            self.path,
            excerpt(key.name())
        ))
    }

    /// Whether it leads to that file, and no other key does.
    pub fn is_alone_with(&self, file: FileId) -> bool {
        matches!(&self.target, KeyTarget::Open(bound) if bound.id() == file && bound.is_alone())
    }

    /// Lets go of the file, for another binding to take this one's place.
    pub fn unbind(&mut self) {
        self.target = KeyTarget::Unavailable {
            count: self.published_count(),
            reason: Unavailable::new(&"the key is about to be replaced", self.path.clone(), None),
        };
    }

    /// Undoes [`Self::unbind`].
    pub fn bind_again(&mut self) {
        match store().bind(&self.path, self.item, self.access, false) {
            Ok(bound) => self.target = KeyTarget::Open(bound),
            Err(error) => tracing::error!("{error}; its key is unavailable from now on"),
        }
    }

    /// The path by which other servers know the file. A file that has two names (hard links, a symbolic link to its directory)
    /// has one array, and must have one there, too: it is that of the name by which it was opened.
    pub fn path_for_peers(&self) -> &FilePath {
        match &self.target {
            KeyTarget::Open(bound) if !bound.path().is_same(&self.path) => bound.path(),
            _ => &self.path,
        }
    }

    /// Whether the file at the path, if there is one, lacks what the primary wrote: the key was unavailable while its writes
    /// went by. It takes no lock, for the child that saves.
    pub fn is_out_of_date(&self) -> bool {
        match &self.target {
            KeyTarget::Open(_) => false,
            KeyTarget::Unavailable { reason, .. } => is_replica() || reason.is_wanted(),
        }
    }

    /// Number of values, without waiting for a lock: this is for the child that saves.
    pub fn published_count(&self) -> u64 {
        match &self.target {
            KeyTarget::Open(bound) => bound.published_count(),
            KeyTarget::Unavailable { count, .. } => *count,
        }
    }
}

/// What a file says of the key that it was bound to last: see `storage::array::owner`.
pub fn owner(database: c_int, key: &[u8]) -> Vec<u8> {
    [database.to_string().as_bytes(), b":", key].concat()
}

/// Notes in the file which key owns it, after `MMAP`. A file that is only read has no owner.
pub fn note_owner(key: &Named<'_>, binding: &Binding) {
    let Ok(array) = binding.target_array() else {
        return;
    };
    match binding.access {
        Access::Writable => array.set_owner(&owner(key.database(), key.name())),
        Access::ReadOnly if array.is_alone() => array.clear_owner(),
        Access::ReadOnly => {}
    }
}
