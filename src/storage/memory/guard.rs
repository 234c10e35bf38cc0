//! Page faults that the system cannot serve, as errors: when another process truncated a mapped file, or its
//! disk fails, touching the page raises SIGBUS, which by default ends the server.
//!
//! Each access to mapped memory announces its range to the handler. A fault within it gets fresh pages of zeros in place
//! of the whole range, so that the access can end, and is remembered; the access then is an error, and the array is not
//! used again until it is reopened. Page by page, an access to many of them would use up the mappings that a process
//! can have. libwayland treats its clients' pools the same way (`wl_shm_buffer_begin_access`). Any other SIGBUS goes to
//! whoever handled it before, the server's crash report.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, compiler_fence, fence};

use rustix::param::page_size;

/// Size of the system's pages, in bytes. A signal handler may not ask for it.
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// A page of the range could not be read or written; what was read is not what the file holds.
#[derive(Debug)]
pub struct Fault;

/// An access that a thread is making.
struct MappedAccess<'a> {
    start: usize,
    end: usize,
    /// What is to be set when a page is lost.
    lost: &'a AtomicBool,
}

/// A thread that accesses mapped memory. It is never freed: there are few threads, and a signal handler may look at it.
struct Accessor {
    thread: libc::pthread_t,
    /// The [`MappedAccess`] that it is making, if any.
    access: AtomicPtr<c_void>,
    next: *const Accessor,
}

/// All of them. The handler goes through this list, since it may be run on a thread of the server's that was never here,
/// and there the first use of a thread-local may allocate.
static ACCESSORS: AtomicPtr<Accessor> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    /// This thread's own.
    static ACCESSOR: Cell<*const Accessor> = const { Cell::new(ptr::null()) };
}

impl Accessor {
    #[inline]
    fn of_this_thread() -> &'static Self {
        ACCESSOR.with(|own| {
            if own.get().is_null() {
                own.set(Self::register());
            }
            // SAFETY: it was made by `register` and is never freed.
            unsafe { &*own.get() }
        })
    }

    #[cold]
    fn register() -> *const Self {
        // SAFETY: the call takes nothing and cannot fail.
        let thread = unsafe { libc::pthread_self() };
        let own = Box::into_raw(Box::new(Self {
            thread,
            access: AtomicPtr::new(ptr::null_mut()),
            next: ptr::null(),
        }));
        let mut first = ACCESSORS.load(Ordering::Acquire);
        loop {
            // SAFETY: no other thread has it yet.
            unsafe { (*own).next = first };
            match ACCESSORS.compare_exchange(first, own, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return own,
                Err(now) => first = now,
            }
        }
    }
}

/// Ends an access, also if it panics: what it announced is on the stack.
struct Announced(&'static Accessor);

impl Drop for Announced {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        self.0.access.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

/// Runs `access`, which touches mapped memory in `range` only.
///
/// # Errors
/// If a page could not be read.
#[inline]
pub fn guarded<R>(range: Range<usize>, access: impl FnOnce() -> R) -> Result<R, Fault> {
    guarded_with_others(range, &AtomicBool::new(false), access)
}

/// [`guarded`], for memory that other threads touch at the same time: they all pass the same `lost`, which is set before
/// the page is replaced, so that a reader of the zeros in its place finds it set.
///
/// # Errors
/// If a page could not be read, now or before.
#[inline]
pub fn guarded_with_others<R>(
    range: Range<usize>,
    lost: &AtomicBool,
    access: impl FnOnce() -> R,
) -> Result<R, Fault> {
    let accessor = Accessor::of_this_thread();
    let current = MappedAccess {
        start: range.start,
        end: range.end,
        lost,
    };
    let current = (&raw const current).cast_mut().cast::<c_void>();
    accessor.access.store(current, Ordering::Relaxed);
    let announced = Announced(accessor);
    // The handler runs on this thread: only the compiler could reorder this.
    compiler_fence(Ordering::SeqCst);
    let result = access();
    drop(announced);
    // What was read is looked at before the flag.
    fence(Ordering::Acquire);
    if lost.load(Ordering::Relaxed) {
        Err(Fault)
    } else {
        Ok(result)
    }
}

static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Puts the handler in place, before or after others' handlers.
///
/// # Errors
/// Any I/O error of the operating system.
pub fn install() -> io::Result<()> {
    PAGE.store(page_size(), Ordering::Relaxed);
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
    if !is_served(address) {
        pass_on(signal, info, context);
    }
}

/// Has the access of this thread to that address go on, if there is one.
fn is_served(address: usize) -> bool {
    // SAFETY: as in `register`; it is but a look at a register.
    let thread = unsafe { libc::pthread_self() };
    let mut next = ACCESSORS.load(Ordering::Acquire).cast_const();
    // SAFETY: none of the list is ever freed.
    while let Some(accessor) = unsafe { next.as_ref() } {
        next = accessor.next;
        if accessor.thread != thread {
            // A thread that has ended may have had the same number, and makes no access.
            continue;
        }
        let access = accessor.access.load(Ordering::Relaxed);
        // SAFETY: null, or on the stack of the access that was interrupted, on this thread.
        let Some(access) = (unsafe { access.cast::<MappedAccess<'_>>().as_ref() }) else {
            continue;
        };
        if (access.start..access.end).contains(&address) {
            access.lost.store(true, Ordering::SeqCst);
            return replace(access.start..access.end, address);
        }
    }
    false
}

/// Puts pages of zeros in the place of a range that was announced: of all of it or, where the system does not give so
/// much, of a part around the address.
fn replace(range: Range<usize>, address: usize) -> bool {
    let page = PAGE.load(Ordering::Relaxed);
    let start = range.start & !(page - 1);
    let pages = (range.end - start).div_ceil(page);
    let (mut first, mut pages) = (start, pages);
    // SAFETY: errno is this thread's, and is put back.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    let replaced = loop {
        if replace_pages(first, pages * page) {
            break true;
        }
        if pages == 1 {
            break false;
        }
        // The half with the address; where they are odd, the halves share a page.
        let half = pages.div_ceil(2);
        if address >= first + half * page {
            first += (pages - half) * page;
        }
        pages = half;
    };
    // SAFETY: as above.
    unsafe { *errno = saved };
    replaced
}

fn replace_pages(start: usize, len: usize) -> bool {
    // SAFETY: the pages belong to a mapping of ours, which the interrupted access keeps alive; there is no Rust reference
    // into it. mmap is a plain system call here.
    let mapped = unsafe {
        libc::mmap(
            ptr::without_provenance_mut(start),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    mapped != libc::MAP_FAILED
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use memmap2::{MmapOptions, MmapRaw};

    use super::*;

    const PAGES: usize = 140_000;

    fn truncated_mapping() -> (File, MmapRaw) {
        install().unwrap();
        let file = tempfile::tempfile().unwrap();
        let len = PAGES * page_size();
        file.set_len(len as u64).unwrap();
        let map = MmapOptions::new().len(len).map_raw(&file).unwrap();
        file.set_len(0).unwrap();
        (file, map)
    }

    /// Number of mappings of this process in a range.
    fn mappings_in(range: &Range<usize>) -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let start = |line: &str| usize::from_str_radix(line.split('-').next().unwrap(), 16);
        maps.lines()
            .filter(|line| range.contains(&start(line).unwrap()))
            .count()
    }

    /// A process has 65530 mappings by default.
    #[test]
    fn an_access_to_any_number_of_lost_pages_takes_few_mappings() {
        let (_file, map) = truncated_mapping();
        let start = map.as_ptr().addr();
        let range = start..start + map.len();
        let sum = guarded(range.clone(), || {
            // Pages side by side would become one mapping.
            let pages = (0..PAGES).step_by(2).map(|page| page * page_size() + 17);
            // SAFETY: all of it is mapped.
            pages
                .map(|at| u64::from(unsafe { map.as_ptr().add(at).read_volatile() }))
                .sum::<u64>()
        });
        sum.unwrap_err();
        assert!(mappings_in(&range) <= 3, "{}", mappings_in(&range));
        // The pages there now are anonymous, and can be touched.
        guarded(range, || 0).unwrap();
    }

    #[test]
    fn what_was_not_announced_stays_as_it_is() {
        let (file, map) = truncated_mapping();
        file.set_len(map.len() as u64).unwrap();
        let page = page_size();
        // SAFETY: mapped, and the file has the page.
        unsafe { map.as_mut_ptr().add(20 * page).write_volatile(7) };
        file.set_len(21 * page as u64).unwrap();
        let lost = map.as_ptr().addr() + 30 * page;
        let touch = || {
            // SAFETY: mapped.
            unsafe { map.as_mut_ptr().add(30 * page + 5).write_volatile(1) };
        };
        guarded(lost + 5..lost + 6, touch).unwrap_err();
        // SAFETY: mapped, and the file has the page.
        assert_eq!(unsafe { map.as_ptr().add(20 * page).read_volatile() }, 7);
        guarded(lost - page..lost, || {
            // SAFETY: mapped.
            unsafe { map.as_ptr().add(29 * page).read_volatile() }
        })
        .unwrap_err();
    }
}
