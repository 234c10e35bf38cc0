//! What is known of an array without any lock.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use crate::storage::array::state::span::Span;

/// What a forked child may know: locks may be held in it for ever, by threads that it does not have. Descriptor and head
/// change together, by one store, as the server may fork at any instruction of another thread.
pub(in crate::storage) struct Published {
    slots: [PublishedSlot; 2],
    current: AtomicUsize,
}

struct PublishedSlot {
    /// -1 once the file is closed.
    fd: AtomicI32,
    head: AtomicU64,
    count: AtomicU64,
}

impl PublishedSlot {
    fn new(fd: i32, extent: Span) -> Self {
        Self {
            fd: AtomicI32::new(fd),
            head: AtomicU64::new(extent.head),
            count: AtomicU64::new(extent.count),
        }
    }
}

impl Published {
    pub fn new(file: &File, extent: Span) -> Self {
        let slot = || PublishedSlot::new(file.as_raw_fd(), extent);
        Self {
            slots: [slot(), slot()],
            current: AtomicUsize::new(0),
        }
    }

    fn current(&self) -> &PublishedSlot {
        &self.slots[self.current.load(Ordering::Acquire)]
    }

    /// The descriptor, unless the file is closed, and which values it has.
    pub fn get(&self) -> (Option<RawFd>, Span) {
        let slot = self.current();
        let fd = slot.fd.load(Ordering::Acquire);
        let span = Span {
            head: slot.head.load(Ordering::Acquire),
            count: slot.count.load(Ordering::Acquire),
        };
        ((fd >= 0).then_some(fd), span)
    }

    pub fn head(&self) -> u64 {
        self.current().head.load(Ordering::Acquire)
    }

    pub fn count(&self) -> u64 {
        self.current().count.load(Ordering::Acquire)
    }

    /// Under the lock of the array, as all that changes it.
    pub fn set_count(&self, count: u64) {
        self.current().count.store(count, Ordering::Release);
    }

    pub fn set_head(&self, head: u64) {
        self.current().head.store(head, Ordering::Release);
    }

    pub fn replace(&self, file: Option<&File>, extent: Span) {
        let next = 1 - self.current.load(Ordering::Acquire);
        let slot = &self.slots[next];
        let fd = file.map_or(-1, AsRawFd::as_raw_fd);
        slot.fd.store(fd, Ordering::Release);
        slot.head.store(extent.head, Ordering::Release);
        slot.count.store(extent.count, Ordering::Release);
        self.current.store(next, Ordering::Release);
    }
}
