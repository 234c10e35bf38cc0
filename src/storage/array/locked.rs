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
use std::time::Duration;

use crate::storage::array::handle::Array;
use crate::storage::array::state::State;
use crate::storage::error::Result;
use crate::storage::lock_order::{OfMark, OfState, OrderedGuard};

/// How often a command that waits for the worker looks whether it is still alive.
const WORKER_CHECK: Duration = Duration::from_millis(100);

/// An array and its lock. What is read from it is true as long as it lives, for threads of this process.
pub struct Locked<'a> {
    pub(in crate::storage) array: &'a Arc<Array>,
    state: OrderedGuard<'a, OfState, State>,
}

impl Array {
    /// Takes the lock.
    #[inline]
    pub(in crate::storage) fn lock(self: &Arc<Self>) -> Locked<'_> {
        Locked {
            state: self.state.state.lock(),
            array: self,
        }
    }

    /// Takes the lock, unless another thread holds it.
    #[cfg(test)]
    pub(in crate::storage) fn try_lock(self: &Arc<Self>) -> Option<Locked<'_>> {
        let state = self.state.state.try_lock()?;
        Some(Locked { array: self, state })
    }
}

impl<'a> Locked<'a> {
    /// Waits until the end of the file is free, while others have the lock.
    ///
    /// # Errors
    /// If the worker, who has it, is dead.
    pub(in crate::storage) fn wait_for_end(mut self) -> Result<Self> {
        while !self.tail.is_free() {
            self.array.shared.worker_alive()?;
            let Self { array, state } = self;
            let state = state.wait_for(&array.state.end_freed, WORKER_CHECK);
            self = Self { array, state };
        }
        Ok(self)
    }

    /// Does something without the lock.
    pub(in crate::storage) fn unlocked<R>(self, work: impl FnOnce() -> R) -> (Self, R) {
        let Self { array, state } = self;
        let (state, result) = state.unlocked(work);
        (Self { array, state }, result)
    }

    /// Lets go of the lock, and those go first who wait for it.
    pub(in crate::storage) fn unlock_fair(self) {
        self.state.unlock_fair();
    }

    /// Gives the end of the file to those who wait for it.
    pub(in crate::storage) fn free_end(&mut self) {
        self.tail.free();
        self.array.state.end_freed.notify_all();
    }

    /// Waits until no other thread sets the mark. What is returned may outlive the lock: setting a mark can wait for the journal.
    pub(in crate::storage) fn marking(&self) -> OrderedGuard<'a, OfMark, ()> {
        self.array.state.marking.lock_under(&self.state)
    }

    /// Waits until no thread reads the file for a snapshot.
    pub(in crate::storage) fn wait_for_readers(&self) {
        self.array.reading.wait_for_readers(&self.state);
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
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}
