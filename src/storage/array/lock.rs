//! The lock of an array's state, and what is only to be had while it is held. It knows no array: `array/locked.rs` puts both
//! together.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::storage::array::state::State;
use crate::storage::error::Result;
use crate::storage::lock_order::{OfMark, OfReading, OfState, Ordered, OrderedGuard, OrderedRw};
use crate::storage::primitives::Condvar;

/// How often a command that waits for the worker looks whether it is still alive.
const WORKER_CHECK: Duration = Duration::from_millis(100);

/// The state of an array, behind its lock.
pub(in crate::storage) struct Lock {
    state: Ordered<OfState, State>,
    /// Held while the mark is set.
    marking: Ordered<OfMark, ()>,
    /// Signalled when the end of the file becomes free.
    end_freed: Condvar,
}

/// The state of an array, while the lock is held. Whoever waits gives it up by value, and gets another back.
pub(in crate::storage) struct StateGuard<'a> {
    state: OrderedGuard<'a, OfState, State>,
    lock: &'a Lock,
}

impl Lock {
    pub fn new(state: State) -> Self {
        Self {
            state: Ordered::new(state),
            marking: Ordered::new(()),
            end_freed: Condvar::new(),
        }
    }

    #[inline]
    pub fn lock(&self) -> StateGuard<'_> {
        StateGuard {
            state: self.state.lock(),
            lock: self,
        }
    }

    /// The state, unless another thread holds the lock.
    #[cfg(test)]
    pub fn try_lock(&self) -> Option<StateGuard<'_>> {
        let state = self.state.try_lock()?;
        Some(StateGuard { state, lock: self })
    }
}

impl<'a> StateGuard<'a> {
    /// Waits until no other thread sets the mark. The state comes first: who has it may ask.
    pub fn marking(&self) -> OrderedGuard<'a, OfMark, ()> {
        self.lock.marking.lock_under(&self.state)
    }

    /// Waits until no thread reads the file for a snapshot.
    pub fn wait_for_readers(&self, reading: &OrderedRw<OfReading>) {
        reading.wait_for_readers(&self.state);
    }

    /// Gives the end of the file to those who wait for it.
    pub fn free_end(&mut self) {
        self.tail.free();
        self.lock.end_freed.notify_all();
    }

    /// Waits until the end of the file is free, while others have the lock. `is_in_vain` is asked now and then.
    ///
    /// # Errors
    /// That of `is_in_vain`.
    pub fn wait_for_end(mut self, is_in_vain: impl Fn() -> Result<()>) -> Result<Self> {
        while !self.tail.is_free() {
            is_in_vain()?;
            let Self { state, lock } = self;
            let state = state.wait_for(&lock.end_freed, WORKER_CHECK);
            self = Self { state, lock };
        }
        Ok(self)
    }

    /// Does something without the lock.
    pub fn unlocked<R>(self, work: impl FnOnce() -> R) -> (Self, R) {
        let Self { state, lock } = self;
        let (state, result) = state.unlocked(work);
        (Self { state, lock }, result)
    }

    /// Lets go of the lock, and those go first who wait for it.
    pub fn unlock_fair(self) {
        self.state.unlock_fair();
    }
}

impl Deref for StateGuard<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for StateGuard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}
