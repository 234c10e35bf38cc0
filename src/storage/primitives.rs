//! The locks of the storage layer that more than one of its threads waits for: `parking_lot`'s, or under `--cfg shuttle`
//! such as let `shuttle` decide which thread goes on (`interleavings.rs`).

#[cfg(not(shuttle))]
pub(in crate::storage) use parking_lot::{Condvar, Mutex, MutexGuard};

#[cfg(shuttle)]
pub(in crate::storage) use explored::{Condvar, Mutex, MutexGuard};

/// To be called where a system call takes long: others go on then.
#[cfg(not(shuttle))]
pub(in crate::storage) const fn others_go_on() {}

/// To be called where a system call takes long: others go on then.
#[cfg(shuttle)]
pub(in crate::storage) fn others_go_on() {
    shuttle::thread::yield_now();
}

/// What is used of `parking_lot`, by what `shuttle` has of the standard library.
#[cfg(shuttle)]
mod explored {
    use std::ops::{Deref, DerefMut};
    use std::time::Duration;

    use shuttle::sync;

    #[derive(Default)]
    pub struct Mutex<T>(sync::Mutex<T>);

    pub struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        /// `None` only within the methods that let go of it.
        guard: Option<sync::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard {
                mutex: self,
                guard: Some(self.0.lock().unwrap()),
            }
        }

        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            Some(MutexGuard {
                mutex: self,
                guard: Some(self.0.try_lock().ok()?),
            })
        }
    }

    impl<T> MutexGuard<'_, T> {
        pub fn unlocked<R>(guard: &mut Self, work: impl FnOnce() -> R) -> R {
            guard.guard = None;
            let result = work();
            guard.guard = Some(guard.mutex.0.lock().unwrap());
            result
        }

        pub fn unlock_fair(guard: Self) {
            drop(guard);
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.guard.as_ref().expect("it is held")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.guard.as_mut().expect("it is held")
        }
    }

    pub struct Condvar(sync::Condvar);

    impl Condvar {
        pub fn new() -> Self {
            Self(sync::Condvar::new())
        }

        /// No time passes: a wait that no thread ends is found as a deadlock.
        pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) {
            let held = guard.guard.take().expect("it is held");
            guard.guard = Some(self.0.wait(held).unwrap());
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}
