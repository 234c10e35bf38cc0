//! Memory of the server: small pieces as the server itself takes them, large ones so that there being none is an error.

use std::alloc::{GlobalAlloc, Layout};

use redis_module::alloc::RedisAlloc;
use redis_module::raw;

use crate::redis::server::aligned::{WORD, alloc_aligned, block_of};

/// From this size in bytes on, a failed allocation is an error for callers of `try_reserve`. Smaller ones end the server when
/// they fail, as its own do.
const LARGE: usize = 64 << 10;

/// The server's allocator, so that `maxmemory` and `INFO memory` see what the module takes. It works inside a server only.
pub struct ServerAllocator;

// SAFETY: as of the server's allocator, which both ways of asking lead to.
unsafe impl GlobalAlloc for ServerAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= WORD {
            return take(layout.size());
        }
        alloc_aligned(take, layout)
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let block = if layout.align() <= WORD {
            memory
        } else {
            // SAFETY: by the caller's word it comes from `alloc` with this layout.
            unsafe { block_of(memory) }
        };
        // SAFETY: the server frees both kinds in the same way.
        unsafe { RedisAlloc.dealloc(block, layout) }
    }
}

/// A block of the server's, aligned to a word.
#[inline]
fn take(size: usize) -> *mut u8 {
    if size >= LARGE {
        return take_large(size);
    }
    // SAFETY: a size and an alignment that a layout had.
    unsafe { RedisAlloc.alloc(Layout::from_size_align_unchecked(size, 1)) }
}

/// A block of the server's, or null if there is none.
#[cold]
fn take_large(size: usize) -> *mut u8 {
    // SAFETY: the table of the API is filled before anything is allocated.
    unsafe {
        match raw::RedisModule_TryAlloc {
            Some(try_alloc) => try_alloc(size).cast(),
            None => RedisAlloc.alloc(Layout::from_size_align_unchecked(size, 1)),
        }
    }
}
