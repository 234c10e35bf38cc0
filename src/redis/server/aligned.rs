//! Memory that is aligned to more than the server's own allocator promises.

use std::alloc::Layout;
use std::ptr;

/// Every server aligns its memory to a word, and some to no more: without `malloc_usable_size` (musl), `zmalloc` keeps the
/// size of a block in a word before it, so that none is aligned to 16.
pub const WORD: usize = size_of::<usize>();

/// Memory for a layout that is aligned to more than a word, within a block that is longer. The word before the memory says
/// where the block begins. Null where `take` gives that.
pub fn alloc_aligned(take: impl FnOnce(usize) -> *mut u8, layout: Layout) -> *mut u8 {
    // The sum is at most isize::MAX + 1, as a layout ends there, rounded up to its alignment.
    let block = take(layout.size() + layout.align());
    if block.is_null() {
        return ptr::null_mut();
    }
    // Blocks are aligned to a word, so that there is one at least before the next multiple.
    let skipped = layout.align() - block.addr() % layout.align();
    debug_assert!(skipped >= WORD);
    // SAFETY: both lie in the block: at most `align` bytes are skipped, and at least a word.
    unsafe {
        let memory = block.add(skipped);
        memory.cast::<*mut u8>().sub(1).write(block);
        memory
    }
}

/// The block that memory from [`alloc_aligned`] lies in.
///
/// # Safety
/// It does come from there, and was not freed.
pub unsafe fn block_of(memory: *mut u8) -> *mut u8 {
    // SAFETY: that word was written when the memory was taken.
    unsafe { memory.cast::<*mut u8>().sub(1).read() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks as of a server whose `malloc` aligns to 8 and to no more: `offset` words behind a multiple of 4096.
    fn exercise(offset: usize, layout: Layout) {
        let mut pages = vec![0xaa_u8; layout.size() + 2 * layout.align() + 3 * 4096];
        let start = pages.as_mut_ptr();
        let mut end = ptr::null_mut();
        let take = |size: usize| {
            // SAFETY: the vector is that long.
            let block = unsafe { start.add(start.align_offset(4096)).add(offset * WORD) };
            end = block.wrapping_add(size);
            block
        };
        let memory = alloc_aligned(take, layout);
        assert_eq!(memory.addr() % layout.align(), 0, "{layout:?}");
        let block = start.wrapping_add(start.align_offset(4096) + offset * WORD);
        assert!(memory >= block.wrapping_add(WORD));
        assert!(memory.wrapping_add(layout.size()) <= end);
        // SAFETY: it was allocated so, and what is written to is behind the word.
        unsafe {
            memory.write_bytes(0xff, layout.size());
            assert_eq!(block_of(memory), block);
        }
    }

    #[test]
    fn memory_is_aligned_wherever_the_server_has_room() {
        for align in [16, 32, 64, 128, 4096] {
            for size in [1, 16, 48, 80, 4096, 70_000] {
                for offset in 0..17 {
                    exercise(offset, Layout::from_size_align(size, align).unwrap());
                }
            }
        }
    }

    #[test]
    fn there_being_no_memory_is_told() {
        let layout = Layout::from_size_align(1 << 40, 64).unwrap();
        assert!(alloc_aligned(|_| ptr::null_mut(), layout).is_null());
        let largest = Layout::from_size_align(isize::MAX as usize - 4095, 4096).unwrap();
        let asked = |size| {
            assert_eq!(size, isize::MAX as usize + 1);
            ptr::null_mut()
        };
        assert!(alloc_aligned(asked, largest).is_null());
    }
}
