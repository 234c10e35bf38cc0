//! The directory below which all files lie, and the only way to open one.

use std::ffi::{OsStr, OsString};
use std::fs::{File, read_link};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use parking_lot::RwLock;
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, StatxFlags, fcntl_lock,
    fstat, fstatvfs, linkat, open, openat, renameat, renameat_with, statat, statx, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::storage::error::{Error, Result};
use crate::storage::files::path;
use crate::storage::files::path::{FilePath, REPLACED};
use crate::storage::files::reserved::{Place, Reserved, deepest};
use crate::storage::files::unnamed::Nameless;
use crate::storage::format::record::this_boot;
use crate::storage::system;
use crate::storage::system::{Call, Missing, attempt};

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading; the file must exist.
    ReadOnly,
    /// Reading and appending, as the only writer.
    Writable,
}

/// What makes a file that file, under whatever name: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    pub(in crate::storage) device: u64,
    pub(in crate::storage) inode: u64,
}

impl FileId {
    pub(in crate::storage) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }

    fn of_file(file: &File, path: &FilePath) -> Result<Self> {
        let stat = fstat(file).map_err(|errno| Error::io("look up", path, errno))?;
        Ok(Self::of(&stat))
    }
}

/// Tells a file from all others of a machine, in all processes and containers on it, and from those that had its inode
/// before: boot id, device, inode, time of birth in nanoseconds (0 where the file system does not keep it).
pub type Identity = [u8; 40];

/// The identity of an open file.
///
/// # Errors
/// The system's.
pub(in crate::storage) fn identity(file: impl AsFd) -> rustix::io::Result<Identity> {
    let FileId { device, inode } = FileId::of(&fstat(&file)?);
    let born = statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME)
        .ok()
        .filter(|stat| stat.stx_mask & StatxFlags::BTIME.bits() != 0)
        .map_or(0, |stat| {
            stat.stx_btime.tv_sec * 1_000_000_000 + i64::from(stat.stx_btime.tv_nsec)
        });
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&this_boot());
    bytes[16..24].copy_from_slice(&device.to_le_bytes());
    bytes[24..32].copy_from_slice(&inode.to_le_bytes());
    bytes[32..].copy_from_slice(&born.to_le_bytes());
    Ok(bytes)
}

/// A regular file that was found but not opened, so that looking at it disturbs nothing:
/// a FIFO does not block, and closing the handle drops no POSIX lock (`O_PATH`, see `open(2)`).
pub struct Found {
    handle: File,
    pub id: FileId,
}

impl Found {
    /// Whether it is the file that another server has told of.
    pub fn is(&self, identity: &[u8]) -> bool {
        self::identity(&self.handle).is_ok_and(|ours| ours == identity)
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
}

impl Root {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// The system's, if it is missing, not a directory or not accessible.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        let configured = std::path::absolute(path)?;
        // What `canonicalize` would say, whose memory must not be freed here: see clippy.toml.
        let path = read_link(descriptor_link(&dir))?;
        Ok(Self {
            dir,
            path,
            configured,
            reserved: RwLock::default(),
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
        let place = || self.place_of(parent);
        if self.reserved.read().holds(name, place, found) {
            return Err(Error::Reserved {
                path: path.to_string(),
            });
        }
        Ok(())
    }

    fn place_of(&self, dir: &Path) -> Option<Place> {
        deepest(dir, |dir| {
            let dir = match dir.as_os_str().is_empty() {
                true => Path::new("."),
                false => dir,
            };
            let dir = self.dir.open_dir(dir).ok()?;
            fstat(&dir).ok().map(|stat| FileId::of(&stat))
        })
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

    /// How many bytes there is room for on its file system.
    pub(in crate::storage) fn free_bytes(&self) -> rustix::io::Result<u64> {
        let system = fstatvfs(&self.dir)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }

    /// Opens a directory below the root.
    ///
    /// # Errors
    /// The system's.
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

    /// Opens a file that was found. It is the very same file even if the name was given to another meanwhile.
    ///
    /// # Errors
    /// The system's, for example when permission is denied.
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
    /// The system's; also if something appeared at that path in the meantime.
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

/// The name by which this process reaches what it has open.
pub(in crate::storage) fn descriptor_link(open: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", open.as_raw_fd())
}

/// The path of what is at `path`, without links and dots.
///
/// # Errors
/// The system's.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    read_link(descriptor_link(&open(path, flags, Mode::empty())?))
}

/// What becomes of directories that are missing above a new file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Above {
    /// There can be no such file.
    MustExist,
    /// They are made.
    IsMade,
}

/// Where a file without a name is to go.
pub struct Destination {
    /// The descriptor of the file, which is another's.
    link: RawFd,
    id: FileId,
    place: Nameless,
    name: OsString,
}

impl Destination {
    /// Gives the file its name, in place of any that has it. It is on disk when the file is, not before: on ext4, XFS and
    /// btrfs `fsync` of a file that was renamed takes its name along.
    ///
    /// # Errors
    /// The system's; then nothing has changed.
    pub fn install(mut self, path: &FilePath) -> Result<()> {
        self.link_and_rename()
            .map_err(|errno| Error::io("create", path, errno))
    }

    /// As [`Self::install`], but keeps the file that has the name, if there is one, with `.replaced` behind its name. At
    /// each moment one of the two has the name. `aside_gives_way` says whether a file that was set aside so before may go:
    /// there is never more than one. Says how all that is undone.
    ///
    /// # Errors
    /// [`Error::SetAside`] if it may not; the system's; then nothing has changed.
    pub fn install_beside_former(mut self, path: &FilePath, aside_gives_way: bool) -> Result<Undo> {
        let dir = self.place.dir().try_clone();
        let mut undo = Undo {
            dir: dir.map_err(|error| Error::io("create", path, error))?,
            aside: None,
            name: self.name.clone(),
            path: path.clone(),
        };
        undo.aside = self
            .set_former_aside(aside_gives_way)
            .map_err(|errno| match errno {
                Errno::EXIST => Error::SetAside {
                    path: path.to_string(),
                    aside: path.aside().to_string(),
                },
                errno => Error::io("set aside", path, errno),
            })?;
        // The name is as much a part of the file as its bytes.
        let named = self.link_and_rename();
        if let Err(errno) = named.and_then(|()| self.place.sync_directory()) {
            undo.carry_out();
            return Err(Error::io("create", path, errno));
        }
        Ok(undo)
    }

    /// Gives the file that has the final name another one, and says which.
    fn set_former_aside(&self, aside_gives_way: bool) -> rustix::io::Result<Option<OsString>> {
        let mut aside = self.name.clone();
        aside.push(REPLACED);
        let mut named = self.name_aside(&aside);
        if named == Err(Errno::EXIST) && aside_gives_way {
            unlinkat(self.place.dir(), &*aside, AtFlags::empty())?;
            named = self.name_aside(&aside);
        }
        match named {
            Ok(()) => Ok(Some(aside)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Gives the file a second name, so that it keeps the first until the new file takes that; where the file system
    /// knows no second names, another one.
    fn name_aside(&self, aside: &OsStr) -> rustix::io::Result<()> {
        let dir = self.place.dir();
        let linked = attempt(Call::Linkat, || {
            linkat(dir, &*self.name, dir, aside, AtFlags::empty())
        });
        match linked {
            Ok(Some(())) => return Ok(()),
            Ok(None) | Err(Errno::MLINK) => {}
            Err(errno) => return Err(errno),
        }
        let renamed = attempt(Call::RenameNoReplace, || {
            renameat_with(dir, &*self.name, dir, aside, RenameFlags::NOREPLACE)
        })?;
        match renamed {
            Some(()) => Ok(()),
            None => self.reserve_and_rename(aside),
        }
    }

    /// Renames the file to a name that nothing has.
    fn reserve_and_rename(&self, aside: &OsStr) -> rustix::io::Result<()> {
        let dir = self.place.dir();
        statat(dir, &*self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        // Once a file of ours has the name, only that one is replaced.
        drop(openat(dir, aside, flags, Mode::RUSR | Mode::WUSR)?);
        renameat(dir, &*self.name, dir, aside).inspect_err(|_| {
            // What is left is an empty file of ours, and the error is the caller's.
            let _ = unlinkat(dir, aside, AtFlags::empty());
        })
    }

    fn link_and_rename(&mut self) -> rustix::io::Result<()> {
        self.place.give_name(&self.link)?;
        self.place.rename_to(&self.name, self.id)
    }
}

/// How a file that was given its name gives way again to the one that had it.
pub struct Undo {
    dir: Dir,
    name: OsString,
    /// The name of the file that was there before, if one was.
    aside: Option<OsString>,
    path: FilePath,
}

impl Undo {
    /// Says in the log that another file was there before.
    pub fn report(&self) {
        if let Some(aside) = &self.aside {
            tracing::warn!(
                "file '{}' held something else: that is now in '{}', beside it",
                self.path,
                aside.display()
            );
        }
    }

    /// Gives the name back, whether the new file has it by now or not.
    pub fn carry_out(self) {
        let dir = &self.dir;
        let remove = |name: &OsStr| match unlinkat(dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            result => result,
        };
        let result = match &self.aside {
            // Two names of one file are left as they are by `rename`; then one of them goes here.
            Some(aside) => renameat(dir, &**aside, dir, &*self.name).and_then(|()| remove(aside)),
            None => remove(&self.name),
        };
        if let Err(errno) = result {
            tracing::error!("{}", Error::io("take back", &self.path, errno));
        }
    }
}

/// Takes the advisory lock that keeps a second writer away, or says who holds it.
///
/// A POSIX lock and not `flock`: a child of `fork` does not inherit it, so a background save that
/// outlives a killed server does not keep the next server out. Its known flaw, that closing *any*
/// descriptor of the file drops it, is why each file is open at most once (see [`crate::storage::store::registry`]).
///
/// # Errors
/// [`Error::Locked`] if another process holds it.
pub fn lock(file: &File, path: &FilePath) -> Result<()> {
    match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::AGAIN | Errno::ACCESS) => {
            let asked = Flock::from(FlockType::WriteLock);
            let holder = match fcntl_getlk(file, &asked) {
                Ok(Some(Flock { pid: Some(pid), .. })) => format!("pid {}", pid.as_raw_nonzero()),
                _ => "unknown pid".to_owned(),
            };
            Err(Error::Locked {
                path: path.to_string(),
                holder,
            })
        }
        Err(errno) => Err(Error::io("lock", path, errno)),
    }
}

/// Gives up the lock that [`lock`] took, and keeps the file open.
///
/// # Errors
/// Any I/O error of the operating system.
pub fn unlock(file: &File, path: &FilePath) -> Result<()> {
    fcntl_lock(file, FlockOperation::NonBlockingUnlock)
        .map_err(|errno| Error::io("unlock", path, errno))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::time::{Duration, Instant};

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

    #[test]
    fn a_file_with_the_inode_of_a_former_one_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let make = || {
            let file = File::create(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            (file.metadata().unwrap().ino(), identity(&file).unwrap())
        };
        let (inode, former) = make();
        // The clock by which files are born ticks every few milliseconds.
        let start = Instant::now();
        loop {
            let (next, identity) = make();
            if next != inode || identity != former {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }
}
