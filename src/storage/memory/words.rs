//! Words that a process shares with the children that it forks: what one of them stores, the others see.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// A number of words, all 0 at first. Memory is taken only for those that were stored to.
pub(in crate::storage) struct SharedWords {
    first: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the memory belongs to the value as long as that lives, and is looked at through atomics alone.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// # Errors
    /// If there is no such memory.
    pub fn new(len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let memory = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                len * size_of::<AtomicU64>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
            )
        }?;
        let first = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { first, len })
    }

    pub fn get(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.len, "there is no such word");
        // SAFETY: the mapping has `len` words, which begin at a page, and lives as long as `self`.
        unsafe { self.first.add(index).as_ref() }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: the mapping is whole, and no reference into it outlives `self`.
        let unmapped = unsafe {
            munmap(
                self.first.as_ptr().cast(),
                self.len * size_of::<AtomicU64>(),
            )
        };
        debug_assert!(unmapped.is_ok());
    }
}
