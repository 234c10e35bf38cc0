//! Page faults that the system cannot serve, as errors: when another process truncated a mapped file, or its
//! disk fails, touching the page raises SIGBUS, which by default ends the server.
//!
//! Each access to mapped memory announces its range to the handler. A fault within it gets a fresh page of
//! zeros in place of the lost one, so that the access can end, and is remembered; the access then is an error,
//! and the array is not used again until it is opened anew. libwayland treats its clients' pools the same way
//! (`wl_shm_buffer_begin_access`). Any other SIGBUS goes to whoever handled it before, the server's crash report.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, compiler_fence, fence};

/// Size of the pages that are replaced. Replacing less than a larger page of the system would fail, and the
/// fault then is treated as a foreign one.
const PAGE: usize = 4096;

/// A page of the range could not be read or written; what was read is not what the file holds.
#[derive(Debug)]
pub struct Fault;

/// The access that the current thread is making. Atomics, as a signal handler reads and writes them.
struct Access {
    start: AtomicUsize,
    end: AtomicUsize,
    /// What is to be set when a page is lost.
    lost: AtomicPtr<AtomicBool>,
}

thread_local! {
    // Constant and without destructor: a signal handler may use it.
    static ACCESS: Access = const {
        Access {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            lost: AtomicPtr::new(ptr::null_mut()),
        }
    };
}

/// Runs `access`, which touches mapped memory in `range` only.
///
/// # Errors
/// If a page was not to be had.
#[inline]
pub fn guarded<R>(range: Range<usize>, access: impl FnOnce() -> R) -> Result<R, Fault> {
    guarded_with_others(range, &AtomicBool::new(false), access)
}

/// [`guarded`], for memory that other threads touch at the same time: they all pass the same `lost`, which is set before
/// the page is replaced, so that whoever reads of the zeros in its place finds it set.
///
/// # Errors
/// If a page was not to be had, now or before.
#[inline]
pub fn guarded_with_others<R>(
    range: Range<usize>,
    lost: &AtomicBool,
    access: impl FnOnce() -> R,
) -> Result<R, Fault> {
    ACCESS.with(|current| {
        let flag = ptr::from_ref(lost).cast_mut();
        current.lost.store(flag, Ordering::Relaxed);
        current.start.store(range.start, Ordering::Relaxed);
        current.end.store(range.end, Ordering::Relaxed);
        // The handler runs on this thread: only the compiler could reorder this.
        compiler_fence(Ordering::SeqCst);
        let result = access();
        compiler_fence(Ordering::SeqCst);
        current.end.store(0, Ordering::Relaxed);
        // What was read is looked at before the flag.
        fence(Ordering::Acquire);
        if lost.load(Ordering::Relaxed) {
            Err(Fault)
        } else {
            Ok(result)
        }
    })
}

static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Puts the handler in place, before or after others' handlers.
///
/// # Errors
/// The system's.
pub fn install() -> io::Result<()> {
    // SAFETY: a structure of integers and pointers, for which zero means none.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_sigbus;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    let mut previous = MaybeUninit::zeroed();
    // SAFETY: both point at structures of the right type; the handler keeps to what is async-signal-safe.
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const action, previous.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and filled it.
    let previous = unsafe { previous.assume_init() };
    if previous.sa_sigaction != handler as usize {
        // A second set means that the handler was put in place again: the first predecessor stands.
        let _ = PREVIOUS.set(previous);
    }
    Ok(())
}

extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid `info`.
    let address = unsafe { (*info).si_addr() } as usize;
    let ours = ACCESS.with(|access| {
        let range = access.start.load(Ordering::Relaxed)..access.end.load(Ordering::Relaxed);
        if !range.contains(&address) {
            return false;
        }
        // SAFETY: the flag of the access that was interrupted, which has a reference to it.
        let lost = unsafe { &*access.lost.load(Ordering::Relaxed) };
        lost.store(true, Ordering::SeqCst);
        replace_page(address)
    });
    if !ours {
        pass_on(signal, info, context);
    }
}

/// Puts a page of zeros where the lost one was.
fn replace_page(address: usize) -> bool {
    let page = ptr::without_provenance_mut::<c_void>(address & !(PAGE - 1));
    // SAFETY: the page belongs to a mapping of ours, which the interrupted access keeps alive; nobody has a
    // Rust reference into it. mmap is a plain system call here, and errno is put back.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        let mapped = libc::mmap(
            page,
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        );
        *errno = saved;
        mapped != libc::MAP_FAILED
    }
}

/// Hands a fault that is not ours to the handler before us; the default ends the process.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let previous = PREVIOUS.get();
    match previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction) {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: back to the default, under which the fault, repeated on return, ends the process.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        handler if previous.is_some_and(|p| p.sa_flags & libc::SA_SIGINFO != 0) => {
            // SAFETY: with SA_SIGINFO the address is that of a function of this type.
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without SA_SIGINFO the address is that of a function of this type.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}
