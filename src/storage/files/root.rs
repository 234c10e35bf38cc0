//! The directory below which all files lie, and the only way to open one.

use std::ffi::OsStr;
use std::fs::{File, read_link};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use parking_lot::RwLock;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};

use crate::storage::error::{Error, Result};
use crate::storage::files::access::{Access, lock};
use crate::storage::files::calls as disk;
use crate::storage::files::destination::{Above, Destination};
use crate::storage::files::identity::{FileId, identity};
use crate::storage::files::path;
use crate::storage::files::path::FilePath;
use crate::storage::files::reserved::Reserved;
use crate::storage::files::sought::{Directories, Sought, place_of};
use crate::storage::files::unnamed::Nameless;
use crate::storage::system;
use crate::storage::system::{Missing, descriptor_link};

/// A regular file that was found but not opened, so that looking at it disturbs nothing:
/// a FIFO does not block, and closing the handle drops no POSIX lock (`O_PATH`, see `open(2)`).
pub struct Found {
    handle: File,
    pub id: FileId,
}

impl Found {
    /// Whether it is the file that another server has told of.
    pub fn is(&self, theirs: &[u8]) -> bool {
        identity(&self.handle).is_ok_and(|ours| ours == theirs)
    }

    /// The path by which this process reaches it.
    pub(in crate::storage) fn link(&self) -> String {
        descriptor_link(&self.handle)
    }
}

/// The root directory, held open: renaming it or changing the server's directory changes nothing.
///
/// `cap-std` keeps all look-ups below it: by `openat2` with `RESOLVE_BENEATH`, or step by step where the kernel
/// or a sandbox has no `openat2`.
pub struct Root {
    dir: Dir,
    path: PathBuf,
    /// As it was asked for; symbolic links may lead to it.
    configured: PathBuf,
    reserved: RwLock<Reserved>,
    directories: Directories,
}

impl Root {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// Any I/O error of the operating system, if it is missing, not a directory or not accessible.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        let configured = std::path::absolute(path)?;
        // What `canonicalize` would say, whose memory must not be freed here: see clippy.toml.
        let path = read_link(descriptor_link(&dir)).map_err(|error| {
            let why = "/proc must be mounted, as files are opened by /proc/self/fd";
            io::Error::new(error.kind(), format!("{error}: {why}"))
        })?;
        Ok(Self {
            dir,
            path,
            configured,
            reserved: RwLock::default(),
            directories: Directories::new(),
        })
    }

    /// The path of a file below this directory, from the text that a user gave: relative to it, or absolute. It is kept
    /// relative, so that another machine may have the directory elsewhere.
    ///
    /// # Errors
    /// [`Error::Path`] if it is empty, too long, or holds a control character; [`Error::Escapes`] if it is absolute and
    /// lies elsewhere. That it stays below in spite of `..` and symbolic links is the kernel's to check, at each open.
    pub fn path_of(&self, text: &[u8]) -> Result<FilePath> {
        if !text.starts_with(b"/") {
            return FilePath::new(text);
        }
        let path = Path::new(OsStr::from_bytes(text));
        let below = path
            .strip_prefix(&self.path)
            .or_else(|_| path.strip_prefix(&self.configured))
            .map_err(|_| self.escapes(path))?;
        match below.as_os_str().as_bytes() {
            b"" => FilePath::new(b"."),
            below => FilePath::new(below),
        }
    }

    fn escapes(&self, path: &Path) -> Error {
        let shown = |path: &OsStr| path::shown(path.as_bytes());
        Error::Escapes {
            path: shown(path.as_os_str()),
            root: shown(self.path.as_os_str()),
            name: shown(path.file_name().unwrap_or(OsStr::new("file"))),
        }
    }

    /// An error of `cap-std`, which makes up one of its own for a path that leads outside.
    fn lookup_error(&self, operation: &'static str, path: &FilePath, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
            self.escapes(path.as_ref())
        } else {
            Error::io(operation, path, error)
        }
    }

    /// Says which files nothing may be bound to from now on; those of before do not count any more.
    pub fn reserve(&self, mut reserved: Reserved) {
        reserved.relate_to(&self.path);
        *self.reserved.write() = reserved;
    }

    /// Fails if a path names a file that is reserved, whether it exists or not.
    fn check_not_reserved(&self, path: &FilePath, found: Option<&Found>) -> Result<()> {
        let (parent, name) = path.split();
        let found = found.map(|found| (found.handle.as_fd(), found.id));
        let place = || place_of(&self.dir, parent);
        if self.reserved.read().holds(name, place, found) {
            return Err(Error::Reserved {
                path: path.to_string(),
            });
        }
        Ok(())
    }

    /// The place that a path names, whether there is a file or not.
    pub fn sought<'a>(&'a self, path: &'a FilePath) -> Sought<'a> {
        Sought::new(&self.dir, &self.directories, path)
    }

    /// Finds out which system calls are refused on this machine and below this directory. Before it has, none of the
    /// store's may be made.
    ///
    /// # Errors
    /// If one that is needed would end the process; the text says which.
    pub fn check_system(&self) -> std::result::Result<Vec<Missing>, String> {
        system::check(&self.dir)
    }

    /// Where the directory was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Inode and time of birth, which a restart of the machine does not change.
    pub(in crate::storage) fn identity(&self) -> rustix::io::Result<[u8; 16]> {
        let identity = identity(&self.dir)?;
        Ok(*identity.last_chunk().expect("an identity is longer"))
    }

    /// The path by which this process reaches the directory, whatever its name is.
    pub(in crate::storage) fn link(&self) -> String {
        descriptor_link(&self.dir)
    }

    /// How many bytes there is room for on its file system; `None` if that does not say.
    pub(in crate::storage) fn free_bytes(&self) -> Option<u64> {
        disk::free_bytes(&self.dir)
    }

    /// Opens a directory below the root.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub(in crate::storage) fn open_dir(&self, path: &Path) -> io::Result<Dir> {
        self.dir.open_dir(path)
    }

    /// Looks for a regular file; `None` if there is nothing at that path.
    ///
    /// # Errors
    /// If the path leaves the root (by `..` or a symbolic link), names something that is not a regular
    /// file or is [reserved](Self::reserve), or cannot be looked up.
    pub fn find(&self, path: &FilePath) -> Result<Option<Found>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(OFlags::PATH.bits().cast_signed());
        let handle = match self.dir.open_with(path, &options) {
            Ok(handle) => handle.into_std(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.check_not_reserved(path, None).map(|()| None);
            }
            Err(error) => return Err(self.lookup_error("look up", path, error)),
        };
        let stat = fstat(&handle).map_err(|errno| Error::io("look up", path, errno))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => None,
            FileType::Directory => Some("a directory"),
            FileType::Fifo => Some("a FIFO"),
            FileType::Socket => Some("a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
            _ => Some("a special file"),
        };
        match kind {
            Some(kind) => Err(Error::NotRegular {
                path: path.to_string(),
                kind,
            }),
            None => {
                let found = Found {
                    handle,
                    id: FileId::of(&stat),
                };
                self.check_not_reserved(path, Some(&found))?;
                Ok(Some(found))
            }
        }
    }

    /// Opens a file that was found. It is the very same file even if another one has got its name.
    ///
    /// # Errors
    /// Any I/O error of the operating system, for example when permission is denied.
    pub fn open_found(&self, found: &Found, path: &FilePath, access: Access) -> Result<File> {
        let (mode, operation) = match access {
            Access::ReadOnly => (OFlags::RDONLY, "open"),
            Access::Writable => (OFlags::RDWR, "open for writing"),
        };
        // An `O_PATH` descriptor is opened for real through /proc: see open(2), "O_PATH".
        open(
            descriptor_link(&found.handle),
            mode | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
            Mode::empty(),
        )
        .map(File::from)
        .map_err(|errno| Error::io(operation, path, errno))
    }

    /// Creates an empty file, readable and writable by its owner alone.
    ///
    /// # Errors
    /// Any I/O error of the operating system; also if something appeared at that path in the meantime.
    pub fn create(&self, path: &FilePath) -> Result<(File, FileId)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = match self.dir.open_with(path, &options) {
            Ok(file) => file.into_std(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Path {
                    path: path.to_string(),
                    why: "is a symbolic link to nothing",
                });
            }
            Err(error) => return Err(self.create_error(path, error)),
        };
        match FileId::of_file(&file, path) {
            Ok(id) => Ok((file, id)),
            Err(error) => {
                self.remove(path);
                Err(error)
            }
        }
    }

    /// Removes a file that was created just now, and cannot be used.
    pub fn remove(&self, path: &FilePath) {
        if let Err(error) = self.dir.remove_file(path) {
            tracing::warn!("{}", Error::io("remove", path, error));
        }
    }

    /// Creates a file that has no name yet, on the file system of `path`; `above` says what becomes of directories above it
    /// that are missing.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_nameless(
        &self,
        path: &FilePath,
        above: Above,
    ) -> Result<(File, FileId, Destination)> {
        self.check_not_reserved(path, None)?;
        let (parent, name) = path.split();
        let dir = if parent.as_os_str().is_empty() {
            self.dir.try_clone()
        } else {
            match above {
                Above::MustExist => Ok(()),
                Above::IsMade => self.dir.create_dir_all(parent),
            }
            .and_then(|()| self.dir.open_dir(parent))
        }
        .map_err(|error| self.create_error(path, error))?;
        let (file, place) =
            Nameless::create(dir).map_err(|errno| Error::io("create", path, errno))?;
        let id = FileId::of_file(&file, path)?;
        // Only `/proc` names it; the descriptor belongs to the array, which outlives this.
        let destination = Destination {
            link: file.as_raw_fd(),
            id,
            place,
            name: name.to_owned(),
        };
        Ok((file, id, destination))
    }

    fn create_error(&self, path: &FilePath, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::NotFound {
            return Error::Missing {
                path: path.to_string(),
                hint: ", and neither does its directory: create the directory first",
            };
        }
        self.lookup_error("create", path, error)
    }

    /// Fails if another process has locked the file.
    ///
    /// # Errors
    /// [`Error::Locked`].
    pub fn check_unlocked(&self, found: &Found, path: &FilePath) -> Result<()> {
        lock(&self.open_found(found, path, Access::Writable)?, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_root_has_no_links_and_is_absolute() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(Root::open(&link.join("../link/.")).unwrap().path(), real);
        assert!(Root::open(Path::new(".")).unwrap().path().is_absolute());
    }
}
