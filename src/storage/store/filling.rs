//! Contents on their way to a file: they go to a new one, without a name, which takes the place of the one that is there
//! once it is whole. Until then the former file keeps its name and its values, and says itself that they are out of date.

use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::array::peers;
use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::destination::{Above, Destination};
use crate::storage::files::path::FilePath;
use crate::storage::store::bound::Bound;
use crate::storage::store::fillings::Filling;
use crate::storage::store::import::{Former, Import};
use crate::storage::store::store::Store;
use crate::storage::types::ItemType;

/// What a file says of itself while the one that is to replace it is not whole.
const OUT_OF_DATE: &str = "new contents that were to replace it have not all arrived";

/// Whether a former file says that it is out of date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FormerNote {
    Made,
    /// A full disk may have no room for it. A server that starts is to know it otherwise.
    Failed,
}

impl Store {
    /// The array that a primary means by a path: the one that is being filled to get it, or that of the file there.
    ///
    /// # Errors
    /// If the path cannot be looked up.
    pub fn find_copy(&self, path: &FilePath) -> Result<Option<Arc<Array>>> {
        let filling = self.fillings.get(path);
        if let Some(array) = filling.filter(|array| self.is_bound(array)) {
            return Ok(Some(array));
        }
        match self.find(path) {
            Ok(None) | Err(_) => Ok(self.registry.find_by_path(path)),
            found => found,
        }
    }

    /// Binds the array that is being filled to get a path, if there is one.
    ///
    /// # Errors
    /// If it is of another type.
    pub(in crate::storage) fn bind_filling(
        &self,
        path: &FilePath,
        item: ItemType,
        access: Access,
    ) -> Result<Option<Bound>> {
        let Some(array) = self.fillings.get(path) else {
            return Ok(None);
        };
        if array.item() != item {
            return Err(Error::TypeConflict {
                path: path.to_string(),
                bound: array.item().to_string(),
            });
        }
        Ok(self.registry.bind_once_more(&array, access).then(|| Bound {
            access,
            array,
            registry: Arc::clone(&self.registry),
        }))
    }

    /// Begins to fill an array again, in a new file; `head` values were dropped from the head of what comes.
    ///
    /// # Errors
    /// If there can be no new file.
    pub fn fill_again(&self, array: &Arc<Array>, head: u64) -> Result<()> {
        let path = array.path();
        if array.completeness() == peers::Completeness::Whole {
            // The file that keeps the name is to be one that others can read.
            array.make_exact_now()?;
        }
        let (file, id, place) = self.root.create_nameless(path, Above::IsMade)?;
        let former = self.note_former(path);
        let owner = array.owner();
        let was_unnamed = array.is_unnamed();
        array.set_unnamed(true);
        self.registry
            .replace_file(array, file, id)
            .inspect_err(|_| array.set_unnamed(was_unnamed || array.id() == id))?;
        array.set_owner(&owner);
        array.set_head(head)?;
        array.expect_contents(peers::ON_THEIR_WAY)?;
        if former == Some(FormerNote::Failed) {
            array.set_unnoted();
        }
        self.fillings.add(array, place);
        Ok(())
    }

    /// All contents of an array have come: its file takes the place of the former one.
    ///
    /// # Errors
    /// If it cannot; then the array goes on to be incomplete.
    pub fn contents_have_come(&self, array: &Arc<Array>) -> Result<()> {
        let path = array.path();
        if let Some(Filling { place, head, .. }) = self.fillings.take(array) {
            array.make_exact_now()?;
            self.install_over_former(place, path)?;
            array.set_unnamed(false);
            self.drop_head(array, head)?;
        }
        array.become_whole()
    }

    /// Gives a file its name, which another one may have: that is not lost if it is open, but was to go.
    ///
    /// # Errors
    /// If it cannot take the name; then what was there before is still there.
    pub(in crate::storage) fn install_over_former(
        &self,
        place: Destination,
        path: &FilePath,
    ) -> Result<()> {
        let former = self.find(path).ok().flatten();
        // A copy of the former file, without its head, must not take the name afterwards.
        let _nobody_else = self.registry.lock();
        place.install(path)?;
        if let Some(former) = former {
            former.set_replaced();
        }
        Ok(())
    }

    /// Drops the values before a position, ever counted; of an array that has no name yet when it gets one.
    ///
    /// # Errors
    /// As [`Self::drop_head`].
    pub fn drop_head_before(&self, array: &Arc<Array>, position: u64) -> Result<()> {
        if self.fillings.drop_later(array, position) {
            return Ok(());
        }
        self.drop_head(array, position)
    }

    /// Forgets files that no key is bound to any more: they are gone.
    pub fn forget_fillings(&self) {
        self.fillings.retain(|array| self.is_bound(array));
    }

    /// Whether the path under which an array was opened leads to its file, or will when that is filled.
    pub fn has_its_name(&self, array: &Arc<Array>) -> bool {
        let filling = self.fillings.get(array.path());
        filling.is_some_and(|filling| Arc::ptr_eq(&filling, array))
            || self
                .identify(array.path())
                .is_ok_and(|id| id == Some(array.id()))
    }

    /// Has the file that is at a path, if there is one, say of itself that it is out of date; nothing is said of one that is
    /// no array. `None` if there is no file.
    pub fn note_former(&self, path: &FilePath) -> Option<FormerNote> {
        let found = self.root.find(path).ok().flatten()?;
        if self.check_array(path).is_err() {
            return Some(FormerNote::Made);
        }
        let noted = peers::note_former(&found, OUT_OF_DATE);
        if let Err(errno) = noted {
            tracing::error!("{}", Error::io("mark", path, errno));
        }
        Some(match noted {
            Ok(true) => FormerNote::Made,
            _ => FormerNote::Failed,
        })
    }
}

impl Import {
    /// Binds the file, whose contents come from now on. It takes its name when they are all there; at once where no file
    /// has that name.
    ///
    /// # Errors
    /// If it cannot be noted in the file that it is incomplete, or the file cannot take its name.
    pub fn finish_by_and_by(self, store: &Store) -> Result<Bound> {
        self.expect_contents()?;
        let Some(former) = store.note_former(&self.path) else {
            return self.finish(store, Access::Writable, Former::Replaced);
        };
        let Self { bound, place, .. } = self;
        bound.make_exact_now()?;
        if former == FormerNote::Failed {
            bound.set_unnoted();
        }
        store.fillings.add(&bound, place);
        Ok(bound)
    }
}
