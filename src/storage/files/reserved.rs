//! Files that no key may be bound to, since they belong to the server itself. They are told apart by device and inode
//! where they exist, so that no link and no other name leads to them, and by directory and name where they do not.

use std::ffi::{OsStr, OsString};
use std::fs::read_link;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{fstat, stat};

use crate::storage::files::identity::FileId;
use crate::storage::system::descriptor_link;
use crate::storage::system::real_path;

/// Names in a directory that are reserved: those that begin and end so.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Names {
    dir: PathBuf,
    begin: OsString,
    end: OsString,
}

/// The files that are reserved.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Reserved {
    names: Vec<Names>,
    /// Whether one of the directories is the root, or below it. Else only a link leads to such a file.
    reaches_root: bool,
}

/// A directory: the deepest one on the way to it that exists, and what is missing from there on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::storage) struct ReservedPlace {
    pub dir: FileId,
    pub missing: PathBuf,
}

impl Reserved {
    /// Reserves a file, and all names beside it that begin as its own does: programs write a new version of a file under
    /// such a name first, and `rename` it.
    pub fn add_file(&mut self, path: &Path) {
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
            self.add_names(dir, name.as_bytes(), b"");
        }
    }

    /// Reserves all that is in a directory.
    pub fn add_directory(&mut self, path: &Path) {
        self.add_names(path, b"", b"");
    }

    /// Reserves the names in a directory that begin and end so.
    pub fn add_names(&mut self, dir: &Path, begin: &[u8], end: &[u8]) {
        let names = Names {
            dir: dir.into(),
            begin: OsStr::from_bytes(begin).into(),
            end: OsStr::from_bytes(end).into(),
        };
        if !self.names.contains(&names) {
            self.names.push(names);
        }
    }

    /// Finds out which of all that lies below `root`.
    pub(in crate::storage) fn relate_to(&mut self, root: &Path) {
        self.reaches_root = self.names.iter().any(|names| {
            // Of a directory that is missing, those above it.
            names
                .dir
                .ancestors()
                .find_map(|dir| real_path(dir).ok())
                .is_none_or(|dir| dir.starts_with(root) || root.starts_with(dir))
        });
    }

    /// Whether a name is reserved, in the directory that `place` finds. `found` is what has the name, if anything does.
    pub(in crate::storage) fn holds(
        &self,
        name: &OsStr,
        place: impl FnOnce() -> Option<ReservedPlace>,
        found: Option<(BorrowedFd<'_>, FileId)>,
    ) -> bool {
        let may_be_linked = || found.is_some_and(|(file, _)| has_other_names(file));
        if self.names.is_empty() || !self.reaches_root && !may_be_linked() {
            return false;
        }
        let asked = place().map(|place| (place, name.to_owned()));
        let real = found.and_then(|(file, _)| real_place(file));
        self.names.iter().any(|names| {
            let is_named = |at: &Option<(ReservedPlace, OsString)>| {
                at.as_ref()
                    .is_some_and(|(place, name)| names.match_at(place, name))
            };
            is_named(&asked) || is_named(&real) || found.is_some_and(|(_, id)| names.lead_to(id))
        })
    }
}

impl Names {
    fn match_at(&self, place: &ReservedPlace, name: &OsStr) -> bool {
        let (name, begin, end) = (name.as_bytes(), self.begin.as_bytes(), self.end.as_bytes());
        name.len() >= begin.len() + end.len()
            && name.starts_with(begin)
            && name.ends_with(end)
            && place_of(&self.dir).is_some_and(|own| own == *place)
    }

    /// Whether that file is one of them, under whatever name it was found.
    fn lead_to(&self, id: FileId) -> bool {
        let is_it = |path: &Path| stat(path).is_ok_and(|stat| FileId::of(&stat) == id);
        match (self.begin.is_empty(), self.end.is_empty()) {
            (false, true) => is_it(&self.dir.join(&self.begin)),
            (true, true) => std::fs::read_dir(&self.dir)
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| is_it(&entry.path())),
            // They are written by this server alone, and gone soon.
            _ => false,
        }
    }
}

/// Whether it may have: where that cannot be told, all its names are looked for.
fn has_other_names(file: BorrowedFd<'_>) -> bool {
    !fstat(file).is_ok_and(|stat| stat.st_nlink <= 1)
}

/// Where a file that was found lies, whatever links led to it.
fn real_place(file: BorrowedFd<'_>) -> Option<(ReservedPlace, OsString)> {
    let path = read_link(descriptor_link(&file)).ok()?;
    Some((place_of(path.parent()?)?, path.file_name()?.to_owned()))
}

/// The place of a directory that is given as an absolute path.
fn place_of(dir: &Path) -> Option<ReservedPlace> {
    deepest(dir, |dir| stat(dir).ok().map(|stat| FileId::of(&stat)))
}

/// The deepest directory on the way to `path` for which `look` finds something, and the rest of the way.
pub(in crate::storage) fn deepest(
    path: &Path,
    look: impl Fn(&Path) -> Option<FileId>,
) -> Option<ReservedPlace> {
    path.ancestors().find_map(|dir| {
        let missing = path.strip_prefix(dir).ok()?;
        Some(ReservedPlace {
            dir: look(dir)?,
            missing: without_dots(missing),
        })
    })
}

/// What a path of directories that do not exist yet leads to.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain
}
