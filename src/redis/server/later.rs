//! Work that the main thread does later: soon, or at a time.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw;

use crate::redis::server::context::Ctx;
use crate::redis::server::detached;
use crate::redis::server::guarded::guarded;

/// Has the server run `work` on its main thread, soon. It can be called from any thread.
pub fn on_main_thread(work: Box<dyn FnOnce() + Send>) {
    let work = Box::into_raw(Box::new(work)).cast::<c_void>();
    // SAFETY: the callback frees what it gets, and the server calls it once. The call fails only without a callback.
    unsafe { raw::RedisModule_EventLoopAddOneShot.unwrap()(Some(run_work), work) };
}

extern "C" fn run_work(work: *mut c_void) {
    // SAFETY: made by `on_main_thread`, for this one call.
    let work = unsafe { Box::from_raw(work.cast::<Box<dyn FnOnce() + Send>>()) };
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("work on the main thread panicked: this is a bug in the mmap module");
    }
}

/// Has the server run `work` after a delay in milliseconds, with a context by which it may send to replicas. On the main thread
/// only.
pub fn after(milliseconds: i64, work: Box<dyn FnOnce(&Ctx)>) {
    let detached = detached::context();
    if detached.is_null() {
        return;
    }
    let work = Box::into_raw(Box::new(work)).cast::<c_void>();
    // SAFETY: this is the main thread; the callback frees what it gets, and the server calls it once.
    unsafe {
        raw::RedisModule_CreateTimer.unwrap()(detached, milliseconds, Some(on_timer), work);
    }
}

extern "C" fn on_timer(raw_ctx: *mut raw::RedisModuleCtx, work: *mut c_void) {
    // SAFETY: made by `after`, for this one call.
    let work = unsafe { Box::from_raw(work.cast::<Box<dyn FnOnce(&Ctx)>>()) };
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Ctx::new(raw_ctx) };
    guarded("a timer", || work(&ctx));
}
