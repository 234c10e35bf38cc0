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
