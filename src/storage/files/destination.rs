//! Where a file without a name is to go, and how it takes the place of the one that is there.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;

use cap_std::fs::Dir;
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, linkat, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::storage::error::{Error, Result};
use crate::storage::files::identity::FileId;
use crate::storage::files::path::{FilePath, REPLACED};
use crate::storage::files::unnamed::Nameless;
use crate::storage::system::{Call, attempt};

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
    pub(super) link: RawFd,
    pub(super) id: FileId,
    pub(super) place: Nameless,
    pub(super) name: OsString,
}

impl Destination {
    /// Gives the file its name, in place of any that has it. It is on disk when the file is, not before: on ext4, XFS and
    /// btrfs `fsync` of a file that was renamed takes its name along.
    ///
    /// # Errors
    /// Any I/O error of the operating system; then nothing has changed.
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
                "file '{}' had other contents: they are now in '{}', beside it",
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
