//! A new file that takes the place of another, all at once.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr, fsetxattr,
    fstat, openat, statat,
};
use rustix::io::Errno;

use crate::storage::error::{Error, Result};
use crate::storage::files::identity::FileId;
use crate::storage::files::path::FilePath;
use crate::storage::files::root::Root;
use crate::storage::files::unnamed::Nameless;
use crate::storage::system::descriptor_link;
use crate::storage::system::{Call, attempt};

/// A file without a name, until it takes that of another.
pub struct Replacement {
    pub file: Arc<File>,
    place: Nameless,
    /// The name of the file that is to be replaced.
    name: OsString,
    old: FileId,
}

impl Replacement {
    /// Makes an empty file beside another one, with its owner, mode and attributes.
    ///
    /// # Errors
    /// If the other one has no name or several, the new one cannot be made, or cannot be like it.
    pub fn of(old: &File, id: FileId, path: &FilePath, root: &Root) -> Result<Self> {
        let (dir, name) = locate(old, id, path, root)?;
        let failed = |errno: Errno| Error::io("make a copy of", path, errno);
        let (file, place) = Nameless::create(dir).map_err(failed)?;
        make_alike(old, &file).map_err(failed)?;
        Ok(Self {
            file: Arc::new(file),
            place,
            name,
            old: id,
        })
    }

    /// Gives the file a name of its own, and opens it by that: a descriptor that was made without a name never knows
    /// one.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn give_name(&mut self, path: &FilePath) -> Result<()> {
        let failed = |errno: Errno| Error::io("name a copy of", path, errno);
        let name = self.place.give_name(&self.file).map_err(failed)?.to_owned();
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let named = openat(self.place.dir(), name, flags, Mode::empty()).map_err(failed)?;
        self.file = Arc::new(File::from(named));
        Ok(())
    }

    /// Gives this file, which has a name of its own, that of the other one, which then has none; says which file
    /// this is.
    ///
    /// # Errors
    /// If another file has got that name, or the system refuses.
    pub fn put_in_place(&mut self, path: &FilePath) -> Result<FileId> {
        let failed = |errno: Errno| Error::io("put a copy in the place of", path, errno);
        let id = FileId::of(&fstat(&*self.file).map_err(failed)?);
        check_name(self.place.dir(), &self.name, self.old, path)?;
        self.place.rename_to(&self.name, id).map_err(failed)?;
        Ok(id)
    }

    /// Waits until the new name is on disk.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn sync_directory(&self, path: &FilePath) -> Result<()> {
        self.place
            .sync_directory()
            .map_err(|errno| Error::io("sync the directory of", path, errno))
    }
}

/// Where an open file is to be found: its directory and its name there.
fn locate(file: &File, id: FileId, path: &FilePath, root: &Root) -> Result<(Dir, OsString)> {
    let stat = file.metadata().map_err(|e| Error::io("look at", path, e))?;
    if stat.nlink() > 1 {
        return Err(Error::Trimming {
            path: path.to_string(),
            why: "it has several names (hard links), of which only one would lead to the new file",
        });
    }
    // The path that was given may go through symbolic links; this one does not.
    let real =
        std::fs::read_link(descriptor_link(file)).map_err(|e| Error::io("look up", path, e))?;
    if let Ok(below) = real.strip_prefix(root.path())
        && let Ok(place) = directory_of(below, id, path, root)
    {
        return Ok(place);
    }
    // The descriptor of a file that was made without a name never knows one; its path leads straight to it.
    directory_of(path.as_ref(), id, path, root)
}

/// The directory of a name below the root, and the name in it, if that leads to that file.
fn directory_of(below: &Path, id: FileId, path: &FilePath, root: &Root) -> Result<(Dir, OsString)> {
    let name = below.file_name().ok_or_else(|| moved(path))?;
    let parent = match below.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let dir = root.open_dir(parent).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => moved(path),
        _ => Error::io("open the directory of", path, e),
    })?;
    check_name(&dir, name, id, path)?;
    Ok((dir, name.to_owned()))
}

fn moved(path: &FilePath) -> Error {
    Error::Trimming {
        path: path.to_string(),
        why: "it was moved or removed since it was bound",
    }
}

/// Fails if a name does not lead to that file.
fn check_name(dir: &Dir, name: impl AsRef<Path>, id: FileId, path: &FilePath) -> Result<()> {
    match statat(dir, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileId::of(&stat) == id => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(moved(path)),
        Err(errno) => Err(Error::io("look up", path, errno)),
    }
}

/// Gives `new` the owner, mode and extended attributes of `old`.
fn make_alike(old: &File, new: &File) -> rustix::io::Result<()> {
    let (like, is) = (fstat(old)?, fstat(new)?);
    if (like.st_uid, like.st_gid) != (is.st_uid, is.st_gid) {
        let owner = Some(Uid::from_raw(like.st_uid));
        let group = Some(Gid::from_raw(like.st_gid));
        // Programs would see it as another file if its owner changed.
        attempt(Call::Fchown, || fchown(new, owner, group))?.ok_or(Errno::PERM)?;
    }
    fchmod(new, Mode::from_raw_mode(like.st_mode))?;
    copy_attributes(old, new)
}

fn copy_attributes(old: &File, new: &File) -> rustix::io::Result<()> {
    let mut names = vec![0_u8; 1 << 16];
    let Some(len) = attempt(Call::ListAttributes, || flistxattr(old, &mut names))? else {
        return Ok(());
    };
    for name in names[..len]
        .split(|&byte| byte == 0)
        .filter(|n| !n.is_empty())
    {
        let mut value = vec![0_u8; 1 << 16];
        let len = match attempt(Call::GetAttribute, || fgetxattr(old, name, &mut value)) {
            Ok(Some(len)) => len,
            // It was removed at this moment.
            Ok(None) | Err(Errno::NODATA) => continue,
            Err(errno) => return Err(errno),
        };
        let set = attempt(Call::SetAttribute, || {
            fsetxattr(new, name, &value[..len], XattrFlags::empty())
        });
        match set {
            // What the system alone may set (labels, capabilities) it has set.
            Ok(_) | Err(Errno::ACCESS) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
