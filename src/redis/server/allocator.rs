//! Memory of the server: small pieces as the server itself takes them, large ones so that there being none is an error.

use std::alloc::{GlobalAlloc, Layout};

use redis_module::alloc::RedisAlloc;
use redis_module::raw;

/// From so many bytes on, memory that cannot be had is an error for those who ask for it by `try_reserve`; for less the
/// server ends, as it does for its own.
const LARGE: usize = 64 << 10;

/// The server's allocator, so that `maxmemory` and `INFO memory` see what the module takes. It works inside a server only.
pub struct ServerAllocator;

// SAFETY: as of the server's allocator, which both ways of asking lead to.
unsafe impl GlobalAlloc for ServerAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE {
            return alloc_large(layout);
        }
        // SAFETY: by the caller's word.
        unsafe { RedisAlloc.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: by the caller's word; the server frees both kinds in the same way.
        unsafe { RedisAlloc.dealloc(memory, layout) }
    }
}

/// Memory of the server, or null if there is none.
#[cold]
fn alloc_large(layout: Layout) -> *mut u8 {
    // SAFETY: the table of the API is filled before anything is allocated. What is as long as a multiple of its alignment is
    // aligned by jemalloc; more than 16 is asked for by nobody.
    unsafe {
        match raw::RedisModule_TryAlloc {
            Some(try_alloc) => try_alloc(layout.pad_to_align().size()).cast(),
            None => RedisAlloc.alloc(layout),
        }
    }
}
