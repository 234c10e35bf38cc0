//! Whether a path names the place where a file is to be made.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use parking_lot::Mutex;
use rustix::fs::fstat;

use crate::storage::files::identity::FileId;
use crate::storage::files::path::FilePath;
use crate::storage::files::reserved::{ReservedPlace, deepest};

/// For how long a directory is remembered: another one may take its name.
const MEMORY: Duration = Duration::from_secs(1);

/// Where the directories of arrays are, which is looked up once while many files are made: all arrays may have files of one name.
pub(super) struct Directories(Mutex<Remembered>);

struct Remembered {
    since: Instant,
    places: HashMap<PathBuf, ReservedPlace>,
}

impl Directories {
    pub fn new() -> Self {
        Self(Mutex::new(Remembered {
            since: Instant::now(),
            places: HashMap::new(),
        }))
    }

    fn place_of(&self, root: &Dir, dir: &Path) -> Option<ReservedPlace> {
        let mut remembered = self.0.lock();
        if remembered.since.elapsed() > MEMORY {
            remembered.places.clear();
            remembered.since = Instant::now();
        }
        if let Some(place) = remembered.places.get(dir) {
            return Some(place.clone());
        }
        let place = place_of(root, dir)?;
        remembered.places.insert(dir.to_owned(), place.clone());
        Some(place)
    }
}

/// The place of a directory below the root directory.
pub(super) fn place_of(root: &Dir, dir: &Path) -> Option<ReservedPlace> {
    deepest(dir, |dir| {
        let dir = match dir.as_os_str().is_empty() {
            true => Path::new("."),
            false => dir,
        };
        let dir = root.open_dir(dir).ok()?;
        fstat(&dir).ok().map(|stat| FileId::of(&stat))
    })
}

/// A place below the root directory, whether there is a file or not.
pub struct Sought<'a> {
    root: &'a Dir,
    directories: &'a Directories,
    dir: &'a Path,
    name: &'a OsStr,
    /// Of its directory, if that can be looked at.
    place: OnceCell<Option<ReservedPlace>>,
}

impl<'a> Sought<'a> {
    pub(super) fn new(root: &'a Dir, directories: &'a Directories, path: &'a FilePath) -> Self {
        let (dir, name) = path.split();
        Self {
            root,
            directories,
            dir,
            name,
            place: OnceCell::new(),
        }
    }

    /// Whether the path of an array names it: directly, by `..`, or by symbolic links to directories.
    pub fn is_of(&self, path: &FilePath) -> bool {
        let (dir, name) = path.split();
        if name != self.name || dir == self.dir {
            return name == self.name;
        }
        let place = self.place.get_or_init(|| place_of(self.root, self.dir));
        place.is_some() && self.directories.place_of(self.root, dir) == *place
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use crate::storage::Root;
    use crate::storage::tests::path;

    #[test]
    fn a_place_is_known_by_all_its_names() {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("dir")).unwrap();
        symlink("dir", dir.path().join("link")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let names = [
            &["f", "./f", "dir/../f", "link/../f"][..],
            &["dir/f", "link/f", "./dir//f", "dir/../link/f"],
            &["missing/f", "missing/a/../f"],
            &["g"],
        ];
        let numbered: Vec<_> = names
            .iter()
            .enumerate()
            .flat_map(|(i, names)| names.iter().map(move |name| (i, path(name))))
            .collect();
        for (i, one) in &numbered {
            let sought = root.sought(one);
            for (j, other) in &numbered {
                assert_eq!(sought.is_of(other), i == j, "{one} {other}");
            }
        }
    }
}
