//! `INFO mmap`.

use std::ffi::{CString, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw;

use super::api::Ctx;
use super::config;
use super::store;

/// Has the server ask for our part of `INFO`; `false` if it does not.
pub fn register(ctx: &Ctx) -> bool {
    // SAFETY: the context is that of OnLoad.
    let status = unsafe { raw::RedisModule_RegisterInfoFunc.unwrap()(ctx.raw(), Some(info)) };
    status == raw::REDISMODULE_OK as c_int
}

extern "C" fn info(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: c_int) {
    // A crash may have come while a lock was held, and a report must not wait for it.
    if for_crash_report == 0 && catch_unwind(AssertUnwindSafe(|| fill(ctx))).is_err() {
        tracing::error!("INFO panicked: this is a bug in the mmap module");
    }
}

fn fill(ctx: *mut raw::RedisModuleInfoCtx) {
    // SAFETY: the context is valid during the callback; an empty name is the section `mmap` itself.
    let wanted = unsafe { raw::RedisModule_InfoAddSection.unwrap()(ctx, c"".as_ptr()) };
    if wanted != raw::REDISMODULE_OK as c_int {
        return;
    }
    let store = store();
    let totals = store.totals();
    let stats = store.stats();
    for (name, value) in [
        ("arrays", totals.arrays),
        ("values", totals.values),
        ("bytes_used", totals.bytes_used),
        ("bytes_mapped", totals.bytes_mapped),
        ("slack_bytes", totals.slack_bytes),
        ("arrays_refusing_writes", totals.arrays_refusing_writes),
        ("growths_ahead", stats.growths_ahead.get()),
        ("growths_inline", stats.growths_inline.get()),
        ("growth_waits", stats.growth_waits.get()),
        ("trims", stats.trims.get()),
        ("syncs", stats.syncs.get()),
        ("jobs_queued", store.jobs_queued() as u64),
        ("errors", stats.errors.get()),
    ] {
        let name = CString::new(name).expect("names have no NUL");
        // SAFETY: as above; the name is copied.
        unsafe {
            raw::RedisModule_InfoAddFieldULongLong.unwrap()(ctx, name.as_ptr(), value);
        }
    }
    let fsync = CString::new(config::fsync_name(store.settings().fsync())).expect("no NUL");
    // SAFETY: as above.
    unsafe {
        raw::RedisModule_InfoAddFieldCString.unwrap()(ctx, c"fsync".as_ptr(), fsync.as_ptr());
    }
}
