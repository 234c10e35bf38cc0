//! What a file is open for.
//!
//! **Invariant**: while a file is settling nothing is written to it, and the lock on it is kept; one that no key is bound to never
//! is again.

use crate::storage::files::access::Access;

/// What a file is open for, and whether a key is bound to it.
#[derive(Debug)]
pub(in crate::storage) struct Usage {
    open_for: OpenFor,
    unbound: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum OpenFor {
    /// Other processes may write it.
    Reading,
    Writing,
    /// The last key that could write is gone, and not all that was written is on disk yet: until then the lock on the file
    /// is kept.
    Settling,
}

impl OpenFor {
    fn of(access: Access) -> Self {
        match access {
            Access::ReadOnly => Self::Reading,
            Access::Writable => Self::Writing,
        }
    }
}

impl Usage {
    /// Of a file that was opened for a key.
    pub fn new(access: Access) -> Self {
        Self {
            open_for: OpenFor::of(access),
            unbound: false,
        }
    }

    /// The file was opened again.
    pub fn reopened(&mut self, access: Access) {
        self.open_for = OpenFor::of(access);
    }

    #[inline]
    pub fn is_writable(&self) -> bool {
        self.open_for == OpenFor::Writing
    }

    pub fn is_settling(&self) -> bool {
        self.open_for == OpenFor::Settling
    }

    /// For what the file is to be mapped: a sync that is tried again marks pages as changed.
    pub fn mapped_for(&self) -> Access {
        match self.open_for {
            OpenFor::Reading => Access::ReadOnly,
            OpenFor::Writing | OpenFor::Settling => Access::Writable,
        }
    }

    /// No key may write any more.
    pub fn begin_settling(&mut self) {
        if self.is_writable() {
            self.open_for = OpenFor::Settling;
        }
    }

    /// All is on disk: other processes may write.
    pub fn end_settling(&mut self) {
        if self.is_settling() {
            self.open_for = OpenFor::Reading;
        }
    }

    /// Whether no key is bound to it any more, so that it gets no slack again. The next binding is one of another array.
    pub fn is_unbound(&self) -> bool {
        self.unbound
    }

    /// No key is bound to it any more.
    pub fn unbind(&mut self) {
        self.unbound = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_settles_between_writing_and_reading() {
        let mut usage = Usage::new(Access::Writable);
        usage.end_settling();
        assert!(usage.is_writable());
        usage.begin_settling();
        assert!(usage.is_settling() && !usage.is_writable());
        assert_eq!(usage.mapped_for(), Access::Writable);
        usage.end_settling();
        usage.begin_settling();
        assert!(
            !usage.is_settling(),
            "there is nothing to settle of a file that is only read"
        );
        usage.unbind();
        usage.reopened(Access::Writable);
        assert!(usage.is_writable() && usage.is_unbound());
    }
}
