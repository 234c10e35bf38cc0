//! Files that are made from the outside: of what a primary or a backup holds. Such a file is made without a name,
//! so that a failure leaves nothing behind, and takes its name when it is whole.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::storage::array::moment::Moment;
use crate::storage::array::peers;
use crate::storage::array::state::span::Span;
use crate::storage::error::{Error, Result};
use crate::storage::files::access::Access;
use crate::storage::files::calls as disk;
use crate::storage::files::destination::{Above, Destination, Undo};
use crate::storage::files::path::FilePath;
use crate::storage::format::dropped;
use crate::storage::format::layout::Layout;
use crate::storage::format::recovery::Contents;
use crate::storage::store::bound::Bound;
use crate::storage::store::likeness::Likeness;
use crate::storage::store::store::Store;
use crate::storage::types::ItemType;

/// How much of two files is compared at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// An array that is being made, under no name yet. Dropping it drops what was made.
pub struct Import {
    pub(in crate::storage) bound: Bound,
    pub(in crate::storage) place: Destination,
    pub(in crate::storage) path: FilePath,
    /// The file that has the path, while it holds what has come.
    like: Option<Likeness>,
    /// The same when it holds all of it, and no more.
    kept: Option<Bound>,
    /// What a file says of the key that it is made for.
    owner: Vec<u8>,
}

/// What becomes of a file that has the name already.
pub enum Former<'a> {
    /// It is replaced: it was a copy of what is now sent again.
    Replaced,
    /// It is kept under the same name with `.replaced` appended, since it is unknown what it was, unless it is the same
    /// array. If the new file replaced it, this says how to undo that.
    SetAside(&'a mut Option<Undo>),
    /// As [`Self::SetAside`], but a file that was set aside before is removed if both belonged to the same key: the user who
    /// may write the key has replaced both.
    SetAsideInTurn(&'a mut Option<Undo>),
    /// It is the same array, or the new one cannot be there.
    MustBeSame,
}

impl Store {
    /// Begins to make the file at `path`.
    ///
    /// # Errors
    /// If the path leaves the root, or no file can be made there.
    pub fn import(&self, path: &FilePath, item: ItemType, above: Above) -> Result<Import> {
        let (file, id, place) = self.root.create_nameless(path, above)?;
        let array = self.registry.adopt(file, id, path, item)?;
        array.set_unnamed(true);
        Ok(Import {
            bound: Bound {
                array,
                registry: Arc::clone(&self.registry),
                access: Access::Writable,
            },
            place,
            path: path.clone(),
            like: None,
            kept: None,
            owner: Vec::new(),
        })
    }

    /// As [`Self::import`], of what the file at `path` may hold already: then that is kept. So many values were dropped from
    /// the head of what comes. The file that is there must be one that [`Self::check_unowned`] allows to replace.
    ///
    /// # Errors
    /// As [`Self::import`]; also if no file can have lost that many values.
    pub fn import_copy(&self, path: &FilePath, item: ItemType, head: u64) -> Result<Import> {
        dropped::check(head, path)?;
        let like = Likeness::of(self, path, item, head);
        let import = self.import(path, item, Above::IsMade)?;
        import.set_head(head)?;
        Ok(Import { like, ..import })
    }
}

impl Import {
    /// Appends whole values. Those that look like a record are refused where they are the last, by [`Self::truncate`].
    ///
    /// # Errors
    /// As [`Array::append`](crate::storage::Array::append).
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(like) = &mut self.like {
            if like.goes_on_with(bytes)? {
                return Ok(());
            }
            like.copy_to(&self.bound)?;
            self.like = None;
        }
        self.bound.append_as_it_comes(bytes)
    }

    /// So many of the values count: drops those behind.
    ///
    /// # Errors
    /// As [`Array::end_at`](crate::storage::Array::end_at).
    pub fn truncate(&mut self, count: u64) -> Result<()> {
        if let Some(like) = self.like.take() {
            let kept = like.into_bound(count)?;
            kept.take_as_whole()?;
            kept.set_owner(&self.owner);
            self.kept = Some(kept);
            return Ok(());
        }
        self.bound.end_at(count)
    }

    /// Says how many values were dropped from the head of what is copied.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn set_head(&self, head: u64) -> Result<()> {
        self.bound.set_head(head)
    }

    /// Says for which key it is made.
    pub fn set_owner(&mut self, key: &[u8]) {
        self.bound.set_owner(key);
        key.clone_into(&mut self.owner);
    }

    /// Says that its values come later, in the file, too.
    ///
    /// # Errors
    /// If it cannot be noted in the file.
    pub fn expect_contents(&self) -> Result<()> {
        self.bound.begin_contents();
        self.bound.expect_contents(peers::ON_THEIR_WAY)
    }

    /// Makes the array `count` values long. The new ones are zeros, and their space is allocated.
    ///
    /// # Errors
    /// As [`Array::append`](crate::storage::Array::append).
    pub fn extend_to(&self, count: u64) -> Result<()> {
        self.bound.extend_to(count)
    }

    /// Gives the file its name and binds it.
    ///
    /// # Errors
    /// If it cannot take the name; then what was there before is still there.
    pub fn finish(self, store: &Store, access: Access, former: Former<'_>) -> Result<Bound> {
        let Self {
            bound, place, path, ..
        } = self;
        if let Some(kept) = self.kept {
            if access == Access::Writable {
                return Ok(kept);
            }
            let item = kept.item();
            drop(kept);
            return store.bind(&path, item, access, false);
        }
        bound.make_exact_now()?;
        let item = bound.item();
        if !matches!(former, Former::Replaced) && is_there_already(store, &path, &bound)? {
            drop(bound);
            return store.bind(&path, item, access, false);
        }
        let aside_gives_way = match &former {
            Former::MustBeSame => {
                return Err(Error::OfOther {
                    path: path.to_string(),
                });
            }
            Former::SetAsideInTurn(_) => store.aside_gives_way(&path)?,
            Former::SetAside(_) | Former::Replaced => false,
        };
        match former {
            Former::SetAside(undo) | Former::SetAsideInTurn(undo) => {
                // A copy of the former file, without its head, must not take the name afterwards.
                let _nobody_else = store.registry.lock();
                *undo = Some(place.install_beside_former(&path, aside_gives_way)?);
            }
            _ => store.install_over_former(place, &path)?,
        }
        bound.set_unnamed(false);
        if access == Access::Writable {
            return Ok(bound);
        }
        // Unbinding it first lets it be opened for reading only.
        drop(bound);
        store.bind(&path, item, access, false)
    }
}

/// Whether the file at `path` is the same array as the one that was made: the same values, taken for the same by
/// the keys that are bound to it, if any, and with as many values dropped from its head. What a server that was killed has
/// left behind them does not count.
fn is_there_already(store: &Store, path: &FilePath, made: &Bound) -> Result<bool> {
    let Some(found) = store.root.find(path)? else {
        return Ok(false);
    };
    let made = made.moment()?;
    // A file that is open must not be opened a second time: closing that would drop its lock.
    let same = match store.registry.find(found.id) {
        Some(array) if array.is_lost() || array.item() != made.item() => return Ok(false),
        Some(array) => {
            let there = array.moment()?;
            made.span() == there.span() && made.holds(|index, out| there.read(index, out))?
        }
        None => {
            let file = store.root.open_found(&found, path, Access::ReadOnly)?;
            let Some(there) = Unbound::of(&file, path, made.item())? else {
                return Ok(false);
            };
            made.span() == there.extent
                && made.holds(|index, out| disk::read_at(&file, there.layout.offset(index), out))?
        }
    };
    Ok(same)
}

/// A file that no key is bound to, as binding it would find it.
struct Unbound {
    layout: Layout,
    extent: Span,
}

impl Unbound {
    /// `None` if it could not be bound as an array of that type.
    ///
    /// # Errors
    /// If it cannot be read.
    fn of(file: &File, path: &FilePath, item: ItemType) -> Result<Option<Self>> {
        let look = || {
            let layout = Layout::of(file, path, item, Access::ReadOnly)?;
            let found = Contents::look(file, path, &layout)?;
            let is_whole = found.is_whole(file, path, &layout)?;
            let extent = Span {
                head: dropped::of(file, path)?,
                count: found.count,
            };
            Ok(is_whole.then_some(Self { layout, extent }))
        };
        match look() {
            Err(error @ Error::Io { .. }) => Err(error),
            other => Ok(other.unwrap_or_default()),
        }
    }
}

impl Moment<'_> {
    /// Whether its values are just what `read` reads, from an index on.
    fn holds(&self, read: impl Fn(u64, &mut [u8]) -> io::Result<usize>) -> Result<bool> {
        let failed = |error| Error::io("read", self.path(), error);
        let size = self.item().size();
        let per_chunk = (CHUNK / size).max(1);
        let mut ours = vec![0; per_chunk * size];
        let mut theirs = ours.clone();
        let count = self.span().count;
        let mut index = 0;
        while index < count {
            let values = (count - index).min(per_chunk as u64);
            let len = values as usize * size;
            let (ours, theirs) = (&mut ours[..len], &mut theirs[..len]);
            if self.read(index, ours).map_err(failed)? != len
                || read(index, theirs).map_err(failed)? != len
                || ours != theirs
            {
                return Ok(false);
            }
            index += values;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::storage::format::record::Record;
    use crate::storage::format::redo;
    use crate::storage::tests::{bind, contents, path, record_of, store_in};

    /// At the primary they have come to lie there when its head was dropped.
    #[test]
    fn values_that_look_like_a_record_come_along_unless_they_are_the_last() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let primary = bind(&store, "primary", ItemType::DOUBLE);
        let values = [&[1; 4040][..], &record_of(4096), &[2; 40]].concat();
        primary.append(&values).unwrap();
        store.drop_head(&primary.share(), 1).unwrap();
        let values = &values[8..];
        assert_eq!(contents(&primary), values);
        // The file is there already, and lacks the end.
        for known in [0, 4032, 4104] {
            let name = format!("copy{known}");
            fs::write(dir.path().join(&name), &values[..known]).unwrap();
            let copy = path(&name);
            let mut import = store.import_copy(&copy, ItemType::DOUBLE, 0).unwrap();
            import.append(&values[..known]).unwrap();
            import.append(&values[known..]).unwrap();
            import.truncate(values.len() as u64 / 8).unwrap();
            let bound = import.finish(&store, Access::Writable, Former::Replaced);
            assert_eq!(contents(&bound.unwrap()), values);
        }
        for (last, import) in [
            (
                4136,
                store.import(&path("new"), ItemType::DOUBLE, Above::IsMade),
            ),
            (
                4096,
                store.import(&path("new"), ItemType::DOUBLE, Above::IsMade),
            ),
            (4136, store.import_copy(&path("copy0"), ItemType::DOUBLE, 0)),
        ] {
            let mut import = import.unwrap();
            import.append(&values[..last]).unwrap();
            let refused = import.truncate(512);
            assert!(matches!(refused, Err(Error::LikeRecord { .. })));
        }
    }

    /// As with `repl-diskless-load swapdb`, where the former keys are still there.
    #[test]
    fn a_copy_with_a_gap_is_whole_once_all_has_come() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let former = bind(&store, "f", ItemType::DOUBLE);
        former.append(&[1; 16]).unwrap();
        former.share().note_gap(3, "a word was lost").unwrap();
        let mut import = store.import_copy(&path("f"), ItemType::DOUBLE, 0).unwrap();
        import.append(&[1; 16]).unwrap();
        import.truncate(2).unwrap();
        let bound = import.finish(&store, Access::Writable, Former::Replaced);
        assert!(!bound.unwrap().is_incomplete());
    }

    /// It has its name, and may be all that there is, should the server be killed before the rest has come.
    #[test]
    fn a_copy_that_is_kept_ends_in_what_looks_like_a_record_at_no_moment() {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let values = [&[1; 4032][..], &record_of(4096), &[2; 40]].concat();
        fs::write(dir.path().join("f"), &values[..4032]).unwrap();
        let mut import = store.import_copy(&path("f"), ItemType::DOUBLE, 0).unwrap();
        for piece in [0..4032, 4032..4096, 4096..4136] {
            import.append(&values[piece]).unwrap();
            let killed = TempDir::new().unwrap();
            fs::copy(dir.path().join("f"), killed.path().join("f")).unwrap();
            let found = contents(&bind(&store_in(killed.path()), "f", ItemType::DOUBLE));
            assert!(found == values[..4032]);
        }
        import.truncate(517).unwrap();
        let bound = import.finish(&store, Access::Writable, Former::Replaced);
        assert!(contents(&bound.unwrap()) == values);
    }

    #[test]
    fn a_file_with_a_note_is_not_what_its_values_say() {
        let dir = TempDir::new().unwrap();
        let at = dir.path().join("f");
        let mut note = redo::note_of(0, 1, &[7; 8]);
        let is_bound_as_it_is = |note: &[u8]| {
            let slack = vec![0; 4096 - 64 - note.len()];
            let record = Record::new(8, 4096, 2, 0, 0).to_bytes();
            fs::write(&at, [&slack, note, &record[..]].concat()).unwrap();
            let file = File::open(&at).unwrap();
            let found = Unbound::of(&file, &path("f"), ItemType::DOUBLE).unwrap();
            found.is_some()
        };
        assert!(!is_bound_as_it_is(&note));
        let len_at = note.len() - 8;
        note[len_at..].fill(0);
        assert!(is_bound_as_it_is(&note));
    }
}
