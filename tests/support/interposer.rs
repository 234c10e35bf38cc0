//! A library between the server and the system that makes calls on the files of one array fail: see `interpose.c`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

/// A call that can fail. The numbers are those of `interpose.c`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Msync = 1,
    Fdatasync,
    Fsync,
    Ftruncate,
    Fallocate,
    Mmap,
    Fstat,
    Pwrite,
    Pread,
    Fsetxattr,
    Fgetxattr,
    SyncFileRange,
}

/// As errno: a write of half the bytes, and no error.
pub const SHORT: i32 = 0;

/// All further calls.
pub const FOR_GOOD: i64 = i64::MAX / 2;

static LIBRARY: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let temp = tempfile::tempdir().unwrap();
    let library = temp.path().join("interpose.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("interpose.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .status()
        .expect("cc runs");
    assert!(built.success(), "cc {}: {built}", source.display());
    (temp, library)
});

/// What is to fail, shared with a server.
pub struct Plan {
    path: PathBuf,
    file: File,
}

impl Plan {
    /// Nothing fails yet.
    pub fn new(path: PathBuf) -> Plan {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.set_len(4096).unwrap();
        Plan { path, file }
    }

    /// Words that start a server on whose files that begin so the plan is carried out.
    pub fn launcher(&self, files: &Path) -> Vec<String> {
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", LIBRARY.1.display()),
            format!("MMAP_FAULT_PLAN={}", self.path.display()),
            format!("MMAP_FAULT_FILES={}", files.display()),
        ]
    }

    /// After `skip` calls that succeed, `times` calls fail.
    pub fn fail(&self, call: Call, errno: i32, skip: i64, times: i64) {
        self.heal();
        let fields = [i64::from(errno), skip, times, 0].map(i64::to_le_bytes);
        self.file.write_all_at(&fields.concat(), 8).unwrap();
        self.set_call(call as i64);
    }

    /// Nothing fails from now on.
    pub fn heal(&self) {
        self.set_call(0);
    }

    /// How many calls have failed since `fail`.
    pub fn hits(&self) -> i64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 32).unwrap();
        i64::from_le_bytes(bytes)
    }

    fn set_call(&self, call: i64) {
        self.file.write_all_at(&call.to_le_bytes(), 0).unwrap();
    }
}
