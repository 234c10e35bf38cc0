//! Which files are arrays of this module, and whose they were last. A file says so itself, by the extended attribute
//! `user.mmap.key`: it is set when a key is bound to the file for writing, or the file is made for a key, and goes where the
//! file goes. A file without it was put there by another program, and is never replaced.

use std::fs::File;
use std::sync::Arc;

use rustix::fs::getxattr;
use rustix::io::Errno;

use crate::storage::array::handle::Array;
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::files::path::FilePath;
use crate::storage::files::root::Found;
use crate::storage::system::{Call, attempt};

/// The attribute: the name of the key, as its server spells it in full. It is empty if no key has a claim to the file.
const NAME: &str = "user.mmap.key";
/// Longest name that is noted, in bytes; a file of a longer one is an array to which no key has a claim. File systems
/// bound what all attributes of a file take together.
const MAX_LEN: usize = 1024;

/// What a file says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::storage) enum Owner {
    /// It is an array, and this key's.
    Key(Vec<u8>),
    /// It is no array, as far as it says.
    None,
    /// Its file system knows no attributes.
    Unknown,
}

impl Owner {
    /// What a file says that may or may not be open.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn of(found: &Found, path: &FilePath) -> Result<Self> {
        let mut key = [0; MAX_LEN];
        match attempt(Call::GetAttribute, || {
            getxattr(found.link(), NAME, &mut key)
        }) {
            Ok(Some(len)) => Ok(Self::Key(key[..len].into())),
            Ok(None) => Ok(Self::Unknown),
            Err(Errno::RANGE) => Ok(Self::Key(Vec::new())),
            Err(Errno::NODATA | Errno::ACCESS) => Ok(Self::None),
            Err(errno) => Err(Error::io("read the attributes of", path, errno)),
        }
    }

    /// Whether a key has a claim to the file.
    pub fn is(&self, key: &[u8]) -> bool {
        matches!(self, Self::Key(owner) if owner == key && !key.is_empty())
    }
}

/// Has a file say of its key what another one says.
///
/// # Errors
/// Any I/O error of the operating system.
pub(in crate::storage) fn copy_owner(from: &File, to: &File) -> rustix::io::Result<()> {
    let mut key = [0; MAX_LEN];
    match disk::attribute(from, NAME, &mut key)? {
        Some(len) => disk::set_attribute(to, NAME, &key[..len]).map(drop),
        None => Ok(()),
    }
}

impl Array {
    /// Says that the file is an array, and a key's: the name is unique among the keys of a server. It is help and no
    /// promise: where it cannot be noted, others are refused the file.
    pub fn set_owner(self: &Arc<Self>, key: &[u8]) {
        let name = if key.len() > MAX_LEN { &[] } else { key };
        self.note_owner(|file| {
            let mut now = [0; MAX_LEN];
            match disk::attribute(file, NAME, &mut now)? {
                Some(len) if now[..len] == *name => Ok(()),
                _ => disk::set_attribute(file, NAME, name).map(drop),
            }
        });
    }

    /// What the file says of the key that it was bound to last; empty where it says nothing.
    pub(in crate::storage) fn owner(self: &Arc<Self>) -> Vec<u8> {
        let mut key = [0; MAX_LEN];
        let file = self.lock().file();
        let len = file
            .ok()
            .and_then(|file| disk::attribute(&file, NAME, &mut key).ok()?);
        key[..len.unwrap_or(0)].to_vec()
    }

    /// Removes the claim of any key: the file is bound for reading only, and other programs write its values.
    pub fn clear_owner(self: &Arc<Self>) {
        self.note_owner(
            |file| match disk::attribute(file, NAME, &mut [0; MAX_LEN])? {
                Some(1..) => disk::set_attribute(file, NAME, &[]).map(drop),
                _ => Ok(()),
            },
        );
    }

    fn note_owner(self: &Arc<Self>, note: impl FnOnce(&File) -> rustix::io::Result<()>) {
        // With the lock: else a copy without the head could take the place of the file before it is noted.
        let locked = self.lock();
        let noted = locked.file().and_then(|file| {
            note(&file).map_err(|errno| Error::io("note the key of", self.path(), errno))
        });
        if let Err(error) = noted {
            tracing::warn!("{error}; it will not be replaced by RESTORE or replication");
        }
    }
}
