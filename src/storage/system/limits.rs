//! What the system allows this process.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

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

/// What is to be left of the address space for the server at most, in bytes.
const MOST_LEFT: u64 = 64 << 30;

/// What is to be left of the address space for the server, in bytes: a quarter of what `ulimit -v` allows, or of what there was
/// when it was first asked for, as some programs that run others (valgrind) have less to give than the processor.
fn left_for_the_server() -> u64 {
    static LEFT: OnceLock<u64> = OnceLock::new();
    getrlimit(Resource::As).current.map_or_else(
        || {
            *LEFT.get_or_init(|| {
                let halves = std::iter::successors(Some(MOST_LEFT), |left| Some(left / 2));
                halves
                    .take_while(|&left| left > 0)
                    .find(|&left| has_address_space_for(4 * left))
                    .unwrap_or(0)
            })
        },
        |limit| limit / 4,
    )
}

/// Whether a mapping of `len` bytes leaves enough of the address space for the server.
pub fn leaves_room(len: usize) -> bool {
    left_for_the_server()
        .checked_add(len as u64)
        .is_some_and(has_address_space_for)
}

/// Whether so much of the address space is free in one piece.
fn has_address_space_for(bytes: u64) -> bool {
    let Ok(len) = usize::try_from(bytes) else {
        return false;
    };
    // SAFETY: a new mapping without access, which costs no memory; it is unmapped at once.
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
/// Any I/O error of the operating system.
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
