//! The order in which locks are taken, as types.
//!
//! A lock has a [`Level`]. A thread that holds one may take only such as come after it: so no two threads can wait for each other.
//! Who takes a lock under another that is at hand shows that one ([`Ordered::lock_under`]): the wrong order does not compile. A lock
//! that is only ever taken under another is handed out by that alone (`Locked::marking`), or is a field of what that protects.
//!
//! No type can tell what a thread holds where a function takes a lock for itself. So in the unit tests of this layer each is noted
//! while it is held, and one that is taken out of order panics, whether another thread is in the way or not. Elsewhere a level costs
//! nothing.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard};

use crate::storage::primitives::{Condvar, Mutex, MutexGuard};

/// A place in the order.
pub(in crate::storage) trait Level {
    /// Under a lock only those of higher numbers are taken.
    const NUMBER: u32;
}

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)+) => {$(
        $(#[$doc])*
        pub(in crate::storage) struct $name;

        impl Level for $name {
            const NUMBER: u32 = $number;
        }
    )+};
}

levels! {
    /// The files that are being filled: which of them still count is asked of the registry.
    OfFillings = 1,
    /// An array that is being synced.
    OfSync = 2,
    /// Which files are open.
    OfRegistry = 3,
    /// The state of one array. No thread has those of two.
    OfState = 4,
    /// A file that is not closed for as long.
    OfReading = 5,
    /// The mark of a file, and the old values that a snapshot keeps.
    OfMark = 6,
    OfLog = 7,
    /// The windows into files.
    OfWindows = 8,
    /// What went wrong last.
    OfMessage = 9,
}

/// That this thread holds a lock of a level.
struct NotedLevel<L: Level>(PhantomData<L>);

impl<L: Level> NotedLevel<L> {
    #[inline(always)]
    fn end(self) {}
}

#[cfg(all(test, not(shuttle)))]
mod noted {
    use std::cell::RefCell;

    use super::{Level, NotedLevel, PhantomData};

    thread_local! {
        /// The levels of the locks that this thread holds.
        static LEVELS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }

    impl<L: Level> NotedLevel<L> {
        /// To be called before the lock is waited for.
        pub fn note() -> Self {
            LEVELS.with_borrow_mut(|levels| {
                let last = levels.iter().max().copied().unwrap_or(0);
                assert!(
                    last < L::NUMBER || std::thread::panicking(),
                    "a lock of level {} is taken under one of level {last}",
                    L::NUMBER
                );
                levels.push(L::NUMBER);
            });
            Self(PhantomData)
        }
    }

    impl<L: Level> Drop for NotedLevel<L> {
        fn drop(&mut self) {
            LEVELS.with_borrow_mut(|levels| {
                if let Some(own) = levels.iter().rposition(|level| *level == L::NUMBER) {
                    levels.remove(own);
                }
            });
        }
    }
}

#[cfg(not(all(test, not(shuttle))))]
impl<L: Level> NotedLevel<L> {
    #[inline(always)]
    fn note() -> Self {
        Self(PhantomData)
    }
}

/// A lock that has its place in the order.
pub(in crate::storage) struct Ordered<L, T> {
    lock: Mutex<T>,
    level: PhantomData<fn() -> L>,
}

/// What an [`Ordered`] lock protects, while it is held.
pub(in crate::storage) struct OrderedGuard<'a, L: Level, T> {
    guard: MutexGuard<'a, T>,
    held: NotedLevel<L>,
}

impl<L: Level, T> Ordered<L, T> {
    pub fn new(value: T) -> Self {
        Self {
            lock: Mutex::new(value),
            level: PhantomData,
        }
    }

    #[inline]
    pub fn lock(&self) -> OrderedGuard<'_, L, T> {
        let held = NotedLevel::note();
        OrderedGuard {
            guard: self.lock.lock(),
            held,
        }
    }

    /// As [`Self::lock`], by who holds another one: with those in the wrong order it does not compile.
    #[inline]
    pub fn lock_under<Outer: Level, U>(
        &self,
        _: &OrderedGuard<'_, Outer, U>,
    ) -> OrderedGuard<'_, L, T> {
        const { assert!(Outer::NUMBER < L::NUMBER, "the other lock comes first") };
        self.lock()
    }

    /// What it protects, unless another thread holds the lock.
    #[cfg(test)]
    pub fn try_lock(&self) -> Option<OrderedGuard<'_, L, T>> {
        let held = NotedLevel::note();
        let guard = self.lock.try_lock()?;
        Some(OrderedGuard { guard, held })
    }
}

impl<L, T> fmt::Debug for Ordered<L, T> {
    /// What it protects is not looked at: another thread may hold the lock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ordered").finish_non_exhaustive()
    }
}

impl<L: Level, T: Default> Default for Ordered<L, T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<L: Level, T> OrderedGuard<'_, L, T> {
    /// Does something without the lock.
    pub fn unlocked<R>(self, work: impl FnOnce() -> R) -> (Self, R) {
        let Self { mut guard, held } = self;
        held.end();
        let result = MutexGuard::unlocked(&mut guard, work);
        let held = NotedLevel::note();
        (Self { guard, held }, result)
    }

    /// Waits without the lock until a condition is signalled, or so long.
    pub fn wait_for(self, condition: &Condvar, longest: Duration) -> Self {
        let Self { mut guard, held } = self;
        held.end();
        condition.wait_for(&mut guard, longest);
        let held = NotedLevel::note();
        Self { guard, held }
    }

    /// Lets go of the lock, and those go first who wait for it.
    pub fn unlock_fair(self) {
        MutexGuard::unlock_fair(self.guard);
    }
}

impl<L: Level, T> Deref for OrderedGuard<'_, L, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<L: Level, T> DerefMut for OrderedGuard<'_, L, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// A lock that several threads may hold to read, and that has its place in the order.
pub(in crate::storage) struct OrderedRw<L> {
    lock: RwLock<()>,
    level: PhantomData<fn() -> L>,
}

/// An [`OrderedRw`] that is held.
pub(in crate::storage) struct OrderedRwGuard<L: Level, G> {
    _guard: G,
    _held: NotedLevel<L>,
}

impl<L: Level> OrderedRw<L> {
    pub fn new() -> Self {
        Self {
            lock: RwLock::new(()),
            level: PhantomData,
        }
    }

    /// Holds it to read.
    pub fn read(&self) -> OrderedRwGuard<L, RwLockReadGuard<'_, ()>> {
        let held = NotedLevel::note();
        OrderedRwGuard {
            _guard: self.lock.read(),
            _held: held,
        }
    }

    /// Waits until no thread holds it, by who holds another one.
    pub fn wait_for_readers<Outer: Level, U>(&self, _: &OrderedGuard<'_, Outer, U>) {
        const { assert!(Outer::NUMBER < L::NUMBER, "the other lock comes first") };
        let _held = NotedLevel::<L>::note();
        drop(self.lock.write());
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn registry_and_state() -> (Ordered<OfRegistry, u8>, Ordered<OfState, u8>) {
        (Ordered::new(1), Ordered::new(2))
    }

    #[test]
    fn locks_are_taken_in_their_order() {
        let (registry, state) = registry_and_state();
        let entries = registry.lock();
        let held = state.lock();
        assert_eq!((*entries, *held), (1, 2));
        // Which one is let go of first is of no matter.
        drop(entries);
        drop(held);
        drop(state.lock());
        drop(registry.lock());
    }

    #[test]
    #[should_panic(expected = "a lock of level 3 is taken under one of level 4")]
    fn a_lock_that_comes_first_is_not_taken_second() {
        let (registry, state) = registry_and_state();
        let _held = state.lock();
        let _entries = registry.lock();
    }

    #[test]
    #[should_panic(expected = "a lock of level 4 is taken under one of level 4")]
    fn no_thread_has_the_states_of_two_arrays() {
        let ((_, one), (_, other)) = (registry_and_state(), registry_and_state());
        let _one = one.lock();
        let _other = other.lock();
    }

    #[test]
    fn who_waits_without_a_lock_may_take_those_before_it() {
        let (registry, state) = registry_and_state();
        let (held, ()) = state.lock().unlocked(|| drop(registry.lock()));
        held.unlock_fair();
        drop(registry.lock());
    }
}
