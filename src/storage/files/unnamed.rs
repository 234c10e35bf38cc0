//! A new file that has no name until it is whole: whatever fails before leaves nothing behind.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::Dir;
use parking_lot::Mutex;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, fstat, fsync, linkat, openat, renameat, statat, unlinkat,
};
use rustix::io::{Errno, Result};

use crate::storage::files::identity::FileId;
use crate::storage::system::descriptor_link;
use crate::storage::system::{Call, attempt, is_refusal};

/// Makes names of this process unique.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Where a file without a name will get one. The file itself belongs to its creator.
pub struct Nameless {
    dir: Dir,
    /// A name that the file bears on the way to its final one, which only `rename(2)` can put in place of another
    /// file; where the file system knows no files without a name, all along.
    temporary: Option<String>,
}

impl Nameless {
    /// Makes an empty file, readable and writable by its owner alone.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn create(dir: Dir) -> Result<(File, Self)> {
        let (file, temporary) = match open_unnamed(&dir)? {
            Some(file) => (file, None),
            None => {
                let (file, name) = open_named(&dir)?;
                (file, Some(name))
            }
        };
        Ok((File::from(file), Self { dir, temporary }))
    }

    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Gives the file, which is the one that was created, its temporary name, if it has none.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn give_name(&mut self, file: &impl AsRawFd) -> Result<&str> {
        if self.temporary.is_none() {
            let ((), name) = with_unused_name(|name| link(file, &self.dir, name))?;
            self.temporary = Some(name);
        }
        Ok(self.temporary.as_deref().unwrap_or_default())
    }

    /// Gives the file, which is `file` and has its temporary name, the final one, in place of any file that has it.
    ///
    /// # Errors
    /// Any I/O error of the operating system; `ESTALE` if another process has given the temporary name to another file.
    pub fn rename_to(&mut self, name: &OsStr, file: FileId) -> Result<()> {
        let temporary = self.temporary.take().ok_or(Errno::NOENT)?;
        // Should it not be ours, it is not ours to remove either.
        self.check(temporary.as_ref(), file)?;
        if let Err(errno) = renameat(&self.dir, &*temporary, &self.dir, name) {
            self.temporary = Some(temporary);
            return Err(errno);
        }
        // Between the look and the renaming it may have been exchanged.
        self.check(name, file)
    }

    fn check(&self, name: &OsStr, file: FileId) -> Result<()> {
        let stat = statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileId::of(&stat) == file {
            Ok(())
        } else {
            Err(Errno::STALE)
        }
    }

    /// Waits until the names in its directory are on disk.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn sync_directory(&self) -> Result<()> {
        // The one that is held open is for look-ups only.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fsync(openat(&self.dir, ".", flags, Mode::empty())?)
    }
}

impl Drop for Nameless {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary
            && let Err(error) = unlinkat(&self.dir, &**name, AtFlags::empty())
        {
            tracing::error!("cannot remove '{name}': {error}");
        }
    }
}

const READ_WRITE: OFlags = OFlags::RDWR.union(OFlags::CLOEXEC);
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

fn open_named(dir: &Dir) -> Result<(OwnedFd, String)> {
    let create = READ_WRITE | OFlags::CREATE | OFlags::EXCL;
    with_unused_name(|name| openat(dir, name, create, PRIVATE))
}

/// `None` if there are no files without a name here, or they cannot be given one.
fn open_unnamed(dir: &Dir) -> Result<Option<OwnedFd>> {
    let open = || match openat(dir, ".", READ_WRITE | OFlags::TMPFILE, PRIVATE) {
        Ok(file) => Ok(Some(file)),
        // Kernels without this flag see an attempt to write to a directory.
        Err(Errno::ISDIR | Errno::NOENT) => Ok(None),
        Err(errno) if is_refusal(errno) => Ok(None),
        Err(errno) => Err(errno),
    };
    let Some(file) = open()? else {
        return Ok(None);
    };
    let device = fstat(&file)?.st_dev;
    let known = CAN_NAME.lock().iter().find(|(d, _)| *d == device).copied();
    if let Some((_, can)) = known {
        return Ok(can.then_some(file));
    }
    let named = attempt(Call::Linkat, || {
        with_unused_name(|name| link(&file, dir, name))
    })?;
    CAN_NAME.lock().push((device, named.is_some()));
    match named {
        Some(((), name)) => {
            unlinkat(dir, &*name, AtFlags::empty())?;
            // A file is given a name once.
            open()
        }
        None => Ok(None),
    }
}

/// Devices, and whether a file that was made there without a name can get one: not every sandbox and file system has that.
static CAN_NAME: Mutex<Vec<(u64, bool)>> = Mutex::new(Vec::new());

fn link(file: &impl AsRawFd, dir: &Dir, name: &str) -> Result<()> {
    let link = descriptor_link(file);
    linkat(CWD, &*link, dir, name, AtFlags::SYMLINK_FOLLOW)
}

/// Tries names until one is not taken: by what a process of the same id left when it was killed.
fn with_unused_name<T>(attempt: impl Fn(&str) -> Result<T>) -> Result<(T, String)> {
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!(".mmap-{}-{number}", std::process::id());
        match attempt(&name) {
            Err(Errno::EXIST) => {}
            result => return result.map(|done| (done, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use cap_std::ambient_authority;

    use super::*;

    fn names(dir: &Dir) -> Vec<String> {
        let mut names: Vec<_> = dir
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_file_appears_whole_in_place_of_another_or_not_at_all() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        dir.write("f", "old").unwrap();

        let (file, mut place) = Nameless::create(dir.try_clone().unwrap()).unwrap();
        let id = |file: &File| FileId::of(&rustix::fs::fstat(file).unwrap());
        assert_eq!(place.rename_to("f".as_ref(), id(&file)), Err(Errno::NOENT));
        place.give_name(&file).unwrap();
        assert_eq!(names(&dir).len(), 2);
        drop(place);
        assert_eq!(names(&dir), ["f"]);

        let (mut file, mut place) = Nameless::create(dir.try_clone().unwrap()).unwrap();
        assert_eq!(names(&dir), ["f"]);
        file.write_all(b"new").unwrap();
        place.give_name(&file).unwrap();
        place.rename_to("f".as_ref(), id(&file)).unwrap();
        place.sync_directory().unwrap();
        drop(place);
        assert_eq!(names(&dir), ["f"]);
        assert_eq!(dir.read("f").unwrap(), b"new");
    }

    #[test]
    fn where_no_unnamed_file_can_be_named_one_has_a_name_from_the_start() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        let (file, name) = open_named(&dir).unwrap();
        let mut place = Nameless {
            dir: dir.try_clone().unwrap(),
            temporary: Some(name.clone()),
        };
        assert_eq!(place.give_name(&file).unwrap(), name);
        let id = FileId::of(&fstat(&file).unwrap());
        place.rename_to("f".as_ref(), id).unwrap();
        assert_eq!(names(&dir), ["f"]);
    }

    #[test]
    fn a_name_that_a_killed_process_left_is_passed_over() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        // Other tests take numbers, too.
        let next = NUMBER.load(Ordering::Relaxed);
        for number in next..next + 100 {
            let name = format!(".mmap-{}-{number}", std::process::id());
            dir.write(name, "").unwrap();
        }
        let (file, mut place) = Nameless::create(dir.try_clone().unwrap()).unwrap();
        place.give_name(&file).unwrap();
        let id = FileId::of(&rustix::fs::fstat(&file).unwrap());
        place.rename_to("f".as_ref(), id).unwrap();
        assert!(dir.exists("f"));
    }

    #[test]
    fn a_name_that_was_given_to_another_file_is_not_taken_for_ours() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        dir.write("f", "old").unwrap();
        dir.write("theirs", "theirs").unwrap();
        let (file, mut place) = Nameless::create(dir.try_clone().unwrap()).unwrap();
        let id = FileId::of(&rustix::fs::fstat(&file).unwrap());
        let temporary = place.give_name(&file).unwrap().to_owned();
        dir.rename("theirs", &dir, &temporary).unwrap();
        assert_eq!(place.rename_to("f".as_ref(), id), Err(Errno::STALE));
        drop(place);
        assert_eq!(dir.read("f").unwrap(), b"old");
        assert_eq!(dir.read(&temporary).unwrap(), b"theirs");
    }
}
