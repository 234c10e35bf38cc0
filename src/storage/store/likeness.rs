//! Contents that come from another server and may be what the file here holds already. As long as they are, nothing is
//! written: a copy that is the same is kept, and one that lacks a tail gets it.

use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::array::peers::ON_THEIR_WAY;
use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::path::FilePath;
use crate::storage::store::bound::Bound;
use crate::storage::store::store::Store;
use crate::storage::types::ItemType;

/// How much of a file is copied at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// The file that is there, which begins with all that has come so far.
pub(in crate::storage) struct Likeness {
    kept: Bound,
    /// Number of values that have come.
    same: u64,
}

impl Likeness {
    /// The file at `path`, if it can be bound as an array of that type, and the same number of values was dropped from its
    /// head.
    pub fn of(store: &Store, path: &FilePath, item: ItemType, head: u64) -> Option<Self> {
        let kept = store.bind(path, item, Access::Writable, false).ok()?;
        let fits = kept.head() == head && kept.make_exact_now().is_ok();
        fits.then_some(Self { kept, same: 0 })
    }

    /// Whether what comes next is what the file holds next, too; what the file ends before is appended to it, unless that looks
    /// like a record.
    ///
    /// # Errors
    /// If it cannot be read or appended to.
    pub fn goes_on_with(&mut self, bytes: &[u8]) -> Result<bool> {
        let size = self.kept.item().size();
        let there = (self.kept.published_count() - self.same) * size as u64;
        let (known, new) = bytes.split_at(bytes.len().min(there as usize));
        let mut ours = vec![0; known.len()];
        read_values(&self.kept, self.same, &mut ours)?;
        if ours != known {
            return Ok(false);
        }
        if !new.is_empty() {
            // It has its name: killed where it ended in what looks like a record, the server would lose what is there.
            if self.kept.would_imitate(new)? {
                return Ok(false);
            }
            // Should this end before all has come, the file says so.
            self.kept.expect_contents(ON_THEIR_WAY)?;
            self.kept.append_as_it_comes(new)?;
        }
        self.same += (bytes.len() / size) as u64;
        Ok(true)
    }

    /// Appends all that has come to another array.
    ///
    /// # Errors
    /// If it cannot be read or appended.
    pub fn copy_to(&self, array: &Bound) -> Result<()> {
        let size = self.kept.item().size();
        let at_once = (CHUNK / size).max(1) as u64;
        let mut buffer = vec![0; at_once as usize * size];
        let mut index = 0;
        while index < self.same {
            let values = at_once.min(self.same - index);
            let bytes = &mut buffer[..values as usize * size];
            read_values(&self.kept, index, bytes)?;
            array.append_as_it_comes(bytes)?;
            index += values;
        }
        Ok(())
    }

    /// All has come, and `count` values of it count: the file holds these and no more.
    ///
    /// # Errors
    /// If it cannot be shortened, or would end in what looks like a record.
    pub fn into_bound(self, count: u64) -> Result<Bound> {
        self.kept.end_at(count)?;
        Ok(self.kept)
    }
}

/// Reads values, which are known to be there, by the file's descriptor.
fn read_values(array: &Arc<Array>, index: u64, out: &mut [u8]) -> Result<()> {
    let failed = |reason| Error::io("read", array.path(), reason);
    match array.moment()?.read(index, out) {
        Ok(read) if read == out.len() => Ok(()),
        Ok(_) => Err(failed(std::io::ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(failed(error)),
    }
}
