//! The file system of each server of the long run, and what takes its room.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use support::mounts::{self, Mounted, format_ext4};
use support::random::Random;
use support::{Server, Setup};

/// The size of each, in MiB.
const MIB: u64 = 160;
/// Unit of `st_blocks`, in bytes.
const SECTOR: u64 = 512;

/// A file system for each server, and how it is set up there.
pub struct Disks(Vec<(Mounted, TempDir)>);

/// A file that takes room.
struct Taken {
    /// Its name, or how a server keeps it that has none.
    how: String,
    len: u64,
    /// Bytes that are allocated.
    allocated: u64,
}

impl Disks {
    pub fn new(count: usize) -> Result<Disks, String> {
        mounts::be_private()?;
        let disk = |_| {
            let temp = tempfile::tempdir().unwrap();
            let image = temp.path().join("image");
            format_ext4(&image, MIB)?;
            Ok((Mounted::image(&image)?, temp))
        };
        (0..count).map(disk).collect::<Result<_, _>>().map(Disks)
    }

    pub fn setup(&self, i: usize) -> Setup {
        let dir = self.path(i).display();
        // Some restart by their AOF, some by the RDB file of their last synchronisation.
        let aof = if i.is_multiple_of(3) { "yes" } else { "no" };
        Server::setup()
            .module_args(&format!("dir {dir}"))
            .config("appendonly", aof)
            .config("appendfsync", "always")
            .config("repl-diskless-sync-delay", "0")
            .config("repl-backlog-size", "4mb")
    }

    fn path(&self, i: usize) -> &Path {
        self.0[i].0.path()
    }

    pub fn fill_up(&self, i: usize) -> PathBuf {
        let path = self.path(i).join("ballast");
        if let Ok(mut file) = std::fs::File::create(&path) {
            for size in [1 << 20, 4096] {
                let block = vec![1; size];
                while file.write(&block).is_ok_and(|written| written > 0) {}
            }
        }
        path
    }

    fn names(&self, i: usize) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(i)).unwrap();
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    }

    /// One of the files of arrays of a server.
    pub fn file(&self, i: usize, random: &mut Random) -> Option<PathBuf> {
        let files: Vec<_> = self
            .names(i)
            .into_iter()
            .filter(|path| is_of_array(path))
            .collect();
        (!files.is_empty()).then(|| random.pick(&files).clone())
    }

    /// Removes the files of keys that were given up, as their operator does: `DEL` leaves them. `is_given_up` says of a name
    /// whether it is such a key's, and `keys` are those that the server has.
    pub fn remove_given_up(
        &self,
        i: usize,
        keys: &BTreeSet<String>,
        is_given_up: impl Fn(&str) -> bool,
    ) {
        for path in self.names(i).into_iter().filter(|path| is_of_array(path)) {
            let name = path.file_name().unwrap().to_string_lossy();
            let key = name.strip_suffix(".replaced").unwrap_or(&name);
            if is_given_up(key) && !keys.contains(key) {
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// The files of a server that have a name.
    fn named(&self, i: usize) -> Vec<Taken> {
        let files = self.names(i).into_iter();
        let taken = files.filter_map(|path| {
            let how = path.file_name().unwrap().to_string_lossy().into_owned();
            Some(taken(how, &std::fs::symlink_metadata(path).ok()?))
        });
        taken.collect()
    }

    /// The files without a name that a process has open or mapped.
    fn nameless(&self, i: usize, pid: &str) -> Vec<Taken> {
        let device = std::fs::metadata(self.path(i)).unwrap().dev();
        let mut found: BTreeMap<u64, Taken> = BTreeMap::new();
        for kind in ["fd", "map_files"] {
            let entries = std::fs::read_dir(format!("/proc/{pid}/{kind}"));
            for entry in entries.into_iter().flatten().flatten() {
                let Ok(metadata) = std::fs::metadata(entry.path()) else {
                    continue;
                };
                if metadata.dev() != device || metadata.nlink() > 0 {
                    continue;
                }
                let how = format!("{kind}/{} ", entry.file_name().to_string_lossy());
                found
                    .entry(metadata.ino())
                    .or_insert_with(|| taken(String::new(), &metadata))
                    .how
                    .push_str(&how);
            }
        }
        found.into_values().collect()
    }

    /// What a server's disk has free, and each file that takes room there, those without a name included.
    pub fn usage(&self, i: usize, pid: &str) -> String {
        let stat = rustix::fs::statvfs(self.path(i)).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        let mut text = format!("{} KiB free\n", free / 1024);
        let named = self.named(i).into_iter();
        for Taken {
            how,
            len,
            allocated,
        } in named.chain(self.nameless(i, pid))
        {
            let allocated = allocated / 1024;
            text += &format!("    {allocated:7} KiB for {len} bytes: {how}\n");
        }
        text
    }

    /// The files of a server that take more room than their bytes do, or have no name: an array that is exact and whole has
    /// neither.
    pub fn kept_for_nothing(&self, i: usize, pid: &str) -> Vec<String> {
        // Extended attributes and a tree of extents may take a block each.
        const BESIDE: u64 = 16 << 10;
        let named = self.named(i).into_iter();
        let overlong = named.filter(|file| file.allocated > file.len + BESIDE);
        let all = overlong.chain(self.nameless(i, pid));
        all.map(|file| format!("{} bytes for {}: {}", file.allocated, file.len, file.how))
            .collect()
    }
}

fn is_of_array(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('{'))
}

fn taken(how: String, metadata: &std::fs::Metadata) -> Taken {
    Taken {
        how,
        len: metadata.len(),
        allocated: metadata.blocks() * SECTOR,
    }
}
