//! Files that are made from the outside: of what a primary or a backup holds. Such a file is made without a name,
//! so that a failure leaves nothing behind, and takes its name when it is whole.

use std::sync::Arc;

use super::error::{Error, Result};
use super::path::FilePath;
use super::root::{Access, Destination};
use super::types::ItemType;
use super::{Bound, Store};

/// How much of two files is compared at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// An array that is being made, under no name yet. Dropping it drops what was made.
pub struct Import {
    bound: Bound,
    place: Destination,
    path: FilePath,
}

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Former {
    /// It is replaced: it was a copy of what now comes anew.
    Replaced,
    /// It is renamed to the same name with `.replaced` behind it, since nobody knows what it was.
    SetAside,
}

impl Store {
    /// Begins to make the file at `path`, and the directories above it where they are missing.
    ///
    /// # Errors
    /// If the path leaves the root, or no file can be made there.
    pub fn import(&self, path: &FilePath, item: ItemType) -> Result<Import> {
        let (file, id, place) = self.root.create_nameless(path)?;
        let array = self.registry.adopt(&self.shared, file, id, path, item)?;
        Ok(Import {
            bound: Bound {
                array,
                registry: Arc::clone(&self.registry),
            },
            place,
            path: path.clone(),
        })
    }

    /// Fails if the file at `path`, where there is one, belongs to another key (which `even_bound` allows) or
    /// another process.
    ///
    /// # Errors
    /// [`Error::InUse`] or [`Error::Locked`]; also if the path leaves the root or names no regular file.
    pub fn check_unowned(&self, path: &FilePath, even_bound: bool) -> Result<()> {
        let Some(found) = self.root.find(path)? else {
            return Ok(());
        };
        if !even_bound && self.registry.is_bound(found.id) {
            return Err(Error::InUse {
                path: path.to_string(),
            });
        }
        // Asking for the lock opens the file, and closing it drops a lock of ours: of a file that is to be replaced.
        self.registry.close_unbound(found.id)?;
        self.root.check_unlocked(&found, path)
    }
}

impl Import {
    /// Appends whole values.
    ///
    /// # Errors
    /// As [`Array::append`](super::Array::append).
    pub fn append(&self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bound.append(bytes).map(drop)
    }

    /// Drops the values from `count` on.
    ///
    /// # Errors
    /// As [`Array::truncate`](super::Array::truncate).
    pub fn truncate(&self, count: u64) -> Result<()> {
        self.bound.truncate(count)
    }

    /// Says how many values were dropped from the head of what is copied.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn set_head(&self, head: u64) -> Result<()> {
        self.bound.set_head(head)
    }

    /// Makes the array `count` values long. The new ones are zeros, and their space is allocated.
    ///
    /// # Errors
    /// As [`Array::append`](super::Array::append).
    pub fn extend_to(&self, count: u64) -> Result<()> {
        self.bound.extend_to(count)
    }

    /// Gives the file its name and binds it.
    ///
    /// # Errors
    /// If it cannot take the name; then what was there before is still there.
    pub fn finish(self, store: &Store, access: Access, former: Former) -> Result<Bound> {
        let Self { bound, place, path } = self;
        bound.make_exact_now()?;
        let bind = |bound: Bound| -> Result<Bound> {
            if access == Access::Writable {
                return Ok(bound);
            }
            let item = bound.item();
            // Unbinding it first lets it be opened for reading only.
            drop(bound);
            store.bind(&path, item, access, false)
        };
        if former == Former::SetAside {
            if let Some(same) = same_contents(store, &bound, &path)? {
                drop(bound);
                return store.bind(&path, same, access, false);
            }
            place.set_former_aside(&path)?;
        }
        place.install(&path)?;
        bind(bound)
    }
}

/// Whether the file at `path` holds just what was made; says as what type then.
fn same_contents(store: &Store, made: &Bound, path: &FilePath) -> Result<Option<ItemType>> {
    let Some(found) = store.root.find(path)? else {
        return Ok(None);
    };
    let file = store.root.open_found(&found, path, Access::ReadOnly)?;
    let read_error = |e| Error::io("read", path, e);
    let len = file.metadata().map_err(read_error)?.len();
    let mut ours = vec![0; CHUNK];
    let mut theirs = vec![0; CHUNK];
    let mut at = 0;
    while at < len {
        let wanted = CHUNK.min((len - at) as usize);
        let read = made
            .read_file(at, &mut ours[..wanted])
            .map_err(read_error)?;
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut theirs[..wanted], at)
            .map_err(read_error)?;
        if read < wanted || ours[..wanted] != theirs[..wanted] {
            return Ok(None);
        }
        at += wanted as u64;
    }
    let no_more = made.read_file(len, &mut ours[..1]).map_err(read_error)? == 0;
    Ok(no_more.then(|| made.item()))
}
