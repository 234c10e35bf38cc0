//! File systems of a test's own. They are mounted where only the test and its children see them, and go away with it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Gives the current thread, and all that it starts, mounts of its own. Says why not, if it cannot.
pub fn be_private() -> Result<(), String> {
    // SAFETY: the call takes no pointers.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(format!(
            "no mount namespace: {}",
            std::io::Error::last_os_error()
        ));
    }
    run("mount", &["--make-rprivate", "/"])
}

/// Runs a program that must succeed; its words if it does not.
pub fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} {}: {}", args.join(" "), said.trim()))
    }
}

/// Makes an ext4 file system of so many MiB in a new file, with blocks of 4 KiB as on any large disk.
pub fn format_ext4(image: &Path, mib: u64) -> Result<(), String> {
    let file = std::fs::File::create(image).map_err(|e| e.to_string())?;
    file.set_len(mib << 20).map_err(|e| e.to_string())?;
    let options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
    let image = image.to_str().unwrap();
    let args = ["-q", "-F", "-b", "4096", "-m", "0", "-J", "size=4", "-E"];
    run("mkfs.ext4", &[&args[..], &[options, image]].concat())
}

/// A file system that is unmounted when dropped.
pub struct Mounted {
    at: TempDir,
}

impl Mounted {
    fn new(mount: impl FnOnce(&Path) -> Result<(), String>) -> Result<Mounted, String> {
        let at = tempfile::Builder::new()
            .prefix("mmap-mount-")
            .tempdir()
            .unwrap();
        mount(at.path())?;
        Ok(Mounted { at })
    }

    /// The ext4 file system in a file, by way of a loop device.
    pub fn image(image: &Path) -> Result<Mounted, String> {
        Mounted::new(|at| {
            let (image, at) = (image.to_str().unwrap(), at.to_str().unwrap());
            run("mount", &["-t", "ext4", "-o", "loop", image, at])
        })
    }

    pub fn tmpfs(mib: u64) -> Result<Mounted, String> {
        Mounted::new(|at| {
            let size = format!("size={mib}m");
            let at = at.to_str().unwrap();
            run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", at])
        })
    }

    /// A FUSE file system that is served through an open `/dev/fuse`.
    pub fn fuse(options: &str) -> Result<Mounted, String> {
        Mounted::new(|at| {
            let at = CString::new(at.as_os_str().as_bytes()).unwrap();
            let options = CString::new(options).unwrap();
            // SAFETY: all strings end in NUL and outlive the call.
            let result = unsafe {
                libc::mount(
                    c"mmap-test".as_ptr(),
                    at.as_ptr(),
                    c"fuse".as_ptr(),
                    libc::MS_NOSUID | libc::MS_NODEV,
                    options.as_ptr().cast(),
                )
            };
            match result {
                0 => Ok(()),
                _ => Err(format!("FUSE: {}", std::io::Error::last_os_error())),
            }
        })
    }

    pub fn path(&self) -> &Path {
        self.at.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let Ok(at) = CString::new(self.path().as_os_str().as_bytes()) else {
            return;
        };
        // Lazily: a server that is being killed may have files open for another moment.
        // SAFETY: the path ends in NUL.
        if unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) } != 0 {
            eprintln!(
                "{}: {}",
                self.path().display(),
                std::io::Error::last_os_error()
            );
        }
    }
}
