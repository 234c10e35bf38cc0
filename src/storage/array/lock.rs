//! The lock of an array. A function that has `&mut State` cannot let go of it, and so nothing changes under it. One that
//! may wait has to own a [`Locked`], gives it up, and gets another back: what the array is by then is to be looked at
//! again. "Waits and what is looked at after them" in `docs/design.md` lists them.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::storage::array::state::State;
use crate::storage::error::Result;
use crate::storage::primitives::{Condvar, Mutex, MutexGuard};

/// How often a command that waits for the worker looks whether it is still alive.
const WORKER_CHECK: Duration = Duration::from_millis(100);

/// The state of an array, behind its lock.
pub(in crate::storage) struct Lock {
    state: Mutex<State>,
    /// Held while the mark is set. No lock is taken under it.
    marking: Mutex<()>,
    /// Signalled when the end of the file becomes free.
    end_freed: Condvar,
}

/// The state of an array, while the lock is held. It cannot be lent to anyone who could wait with it.
pub(in crate::storage) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    lock: &'a Lock,
}

impl Lock {
    pub fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            marking: Mutex::new(()),
            end_freed: Condvar::new(),
        }
    }

    #[inline]
    pub fn lock(&self) -> Locked<'_> {
        Locked {
            state: self.state.lock(),
            lock: self,
        }
    }

    /// The state, unless another thread holds the lock.
    #[cfg(test)]
    pub fn try_lock(&self) -> Option<Locked<'_>> {
        let state = self.state.try_lock()?;
        Some(Locked { state, lock: self })
    }

    /// Waits until no other thread sets the mark. The state comes first: who has it may ask.
    pub fn marking(&self, _: &State) -> MutexGuard<'_, ()> {
        self.marking.lock()
    }

    /// Gives the end of the file to those who wait for it.
    pub fn free_end(&self, state: &mut State) {
        state.tail.free();
        self.end_freed.notify_all();
    }
}

impl Locked<'_> {
    /// Waits until the end of the file is free, while others have the lock. `is_in_vain` is asked now and then.
    ///
    /// # Errors
    /// That of `is_in_vain`.
    pub fn wait_for_end(mut self, is_in_vain: impl Fn() -> Result<()>) -> Result<Self> {
        while !self.tail.is_free() {
            is_in_vain()?;
            self.lock.end_freed.wait_for(&mut self.state, WORKER_CHECK);
        }
        Ok(self)
    }

    /// Does something without the lock.
    pub fn unlocked<R>(mut self, work: impl FnOnce() -> R) -> (Self, R) {
        let result = MutexGuard::unlocked(&mut self.state, work);
        (self, result)
    }

    /// Lets go of the lock, and those go first who wait for it.
    pub fn unlock_fair(self) {
        MutexGuard::unlock_fair(self.state);
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
