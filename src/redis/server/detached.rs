//! A context of this module that lives as long as the module does, for calls that only want to know whose they are.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw;

use crate::redis::server::context::Ctx;

static DETACHED: AtomicPtr<raw::RedisModuleCtx> = AtomicPtr::new(ptr::null_mut());

/// Makes it, when the module is loaded.
pub fn install(ctx: &Ctx) {
    // SAFETY: the context is that of OnLoad.
    let detached = unsafe { raw::RedisModule_GetDetachedThreadSafeContext.unwrap()(ctx.raw()) };
    DETACHED.store(detached, Ordering::Release);
}

/// The context; null where the module is not loaded, which the log takes for no module in particular. Other calls belong on
/// the main thread.
pub fn context() -> *mut raw::RedisModuleCtx {
    DETACHED.load(Ordering::Acquire)
}

/// Frees it, when the module cannot be loaded: the server is about to free the module that it names.
///
/// No other thread may be using it: those of the module have ended.
pub fn remove() {
    let detached = DETACHED.swap(ptr::null_mut(), Ordering::AcqRel);
    if !detached.is_null() {
        // SAFETY: made by `install`, and nothing has it any more.
        unsafe { raw::RedisModule_FreeThreadSafeContext.unwrap()(detached) };
    }
}
