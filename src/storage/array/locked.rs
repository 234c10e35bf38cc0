//! An array whose lock is held: whoever reads or changes its state has one of these, or a [`View`] or a [`Writer`] made of it.
//!
//! **No method with `&mut self` lets go of the lock**, and so nothing changes under it but by that method. One that may wait
//! takes `self` by value and gives another back: what the array is by then is to be looked at again. The methods below are the
//! only ones that wait. "Checks after waits" in `docs/design.md` lists who calls them.
//!
//! [`View`]: crate::storage::array::view::View
//! [`Writer`]: crate::storage::array::writer::Writer

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::array::lock::StateGuard;
use crate::storage::array::state::State;
use crate::storage::error::Result;
use crate::storage::lock_order::{OfMark, OrderedGuard};

/// An array and its lock. What is read from it is true as long as it lives, for threads of this process.
pub struct Locked<'a> {
    pub(in crate::storage) array: &'a Arc<Array>,
    guard: StateGuard<'a>,
}

impl Array {
    /// Takes the lock.
    #[inline]
    pub(in crate::storage) fn lock(self: &Arc<Self>) -> Locked<'_> {
        Locked {
            guard: self.state.lock(),
            array: self,
        }
    }

    /// Takes the lock, unless another thread holds it.
    #[cfg(test)]
    pub(in crate::storage) fn try_lock(self: &Arc<Self>) -> Option<Locked<'_>> {
        let guard = self.state.try_lock()?;
        Some(Locked { array: self, guard })
    }
}

impl<'a> Locked<'a> {
    /// Waits until the end of the file is free, while others have the lock.
    ///
    /// # Errors
    /// If the worker, who has it, is dead.
    pub(in crate::storage) fn wait_for_end(self) -> Result<Self> {
        let Self { array, guard } = self;
        let guard = guard.wait_for_end(|| array.shared.worker_alive())?;
        Ok(Self { array, guard })
    }

    /// Does something without the lock.
    pub(in crate::storage) fn unlocked<R>(self, work: impl FnOnce() -> R) -> (Self, R) {
        let Self { array, guard } = self;
        let (guard, result) = guard.unlocked(work);
        (Self { array, guard }, result)
    }

    /// Lets go of the lock, and those go first who wait for it.
    pub(in crate::storage) fn unlock_fair(self) {
        self.guard.unlock_fair();
    }

    /// Gives the end of the file to those who wait for it.
    pub(in crate::storage) fn free_end(&mut self) {
        self.guard.free_end();
    }

    /// Waits until no other thread sets the mark. What is returned may outlive the lock: setting a mark can wait for the journal.
    pub(in crate::storage) fn marking(&self) -> OrderedGuard<'a, OfMark, ()> {
        self.guard.marking()
    }

    /// Waits until no thread reads the file for a snapshot.
    pub(in crate::storage) fn wait_for_readers(&self) {
        self.guard.wait_for_readers(&self.array.reading);
    }

    /// The file.
    ///
    /// # Errors
    /// If it is closed.
    pub(in crate::storage) fn file(&self) -> Result<Arc<File>> {
        self.open.file().cloned().ok_or_else(|| self.array.closed())
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.guard
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.guard
    }
}
