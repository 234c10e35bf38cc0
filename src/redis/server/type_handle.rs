//! The key type of the module, as the server names it.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw;

/// The server's name for a type, which it has once that is registered. All its values are an `Arc<T>`, as only loading one and
/// [`Key::set_value`](crate::redis::server::Key::set_value) make any. It is only compared and handed back. A load of the module
/// that fails later leaves a name that the next load replaces.
pub struct TypeHandle<T> {
    raw: AtomicPtr<raw::RedisModuleType>,
    values: PhantomData<fn() -> T>,
}

impl<T> TypeHandle<T> {
    pub const fn new() -> Self {
        Self {
            raw: AtomicPtr::new(ptr::null_mut()),
            values: PhantomData,
        }
    }

    /// Null before the type is registered.
    #[inline]
    pub(super) fn raw(&self) -> *mut raw::RedisModuleType {
        self.raw.load(Ordering::Relaxed)
    }

    /// # Safety
    /// The server has made the type, and all its values are an `Arc<T>` turned into a pointer.
    pub(super) unsafe fn set(&self, raw: *mut raw::RedisModuleType) {
        self.raw.store(raw, Ordering::Relaxed);
    }
}
