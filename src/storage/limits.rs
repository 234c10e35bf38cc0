//! What the system allows this process.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use rustix::process::{Resource, getrlimit};

/// How long a file may become, in bytes (`ulimit -f`); `None` if there is no limit. A write beyond it fails with
/// `EFBIG`, once [`survive_file_size_limit`] was called.
pub fn file_size() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// How many files the process may have open (`ulimit -n`); `None` if there is no limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// What is to be left of the address space for the server, in bytes, where `ulimit -v` does not bound it.
const ADDRESSES_LEFT: u64 = 64 << 30;

/// Whether a mapping of so many bytes leaves enough of the address space for the server: a quarter of what `ulimit -v` allows,
/// or [`ADDRESSES_LEFT`].
pub fn leaves_room(len: usize) -> bool {
    let left = getrlimit(Resource::As)
        .current
        .map_or(ADDRESSES_LEFT, |limit| limit / 4);
    let Some(len) = usize::try_from(left)
        .ok()
        .and_then(|left| left.checked_add(len))
    else {
        return false;
    };
    // SAFETY: a new mapping that nobody can touch, which costs no memory; it is unmapped at once.
    unsafe {
        let probe = libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        probe != libc::MAP_FAILED && libc::munmap(probe, len) == 0
    }
}

/// Has a write beyond [`file_size`] fail, of this module and of the server: by default the kernel ends the process by
/// SIGXFSZ. A handler that is there already, or that the signal is ignored, is left as it is.
///
/// The handler does nothing: unlike one that ignores the signal, it does not pass to programs that the server starts.
///
/// # Errors
/// The system's.
pub fn survive_file_size_limit() -> io::Result<()> {
    extern "C" fn do_nothing(_: libc::c_int) {}

    // SAFETY: a structure of integers and pointers, for which zero means none.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(libc::c_int) = do_nothing;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_RESTART;
    let mut current = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the pointers are null or point at structures of the right type; the handler is async-signal-safe.
    let status = unsafe {
        match libc::sigaction(libc::SIGXFSZ, ptr::null(), current.as_mut_ptr()) {
            0 if current.assume_init_ref().sa_sigaction == libc::SIG_DFL => {
                libc::sigaction(libc::SIGXFSZ, &raw const action, ptr::null_mut())
            }
            status => status,
        }
    };
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
