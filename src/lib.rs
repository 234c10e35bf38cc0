//! A Redis module that binds files of raw values to keys. See `README.md` for what it does and
//! `docs/design.md` for how.

#[cfg(not(target_endian = "little"))]
compile_error!(
    "values lie little-endian in files that other programs map: a big-endian machine would misread them"
);

mod redis;
pub mod storage;

use std::ffi::c_int;

use redis_module::raw;

use crate::redis::module::load::MmapModule;
use crate::redis::server::load::on_load;

/// The server calls it first.
///
/// # Safety
/// Only the server may call it, with what its module API promises.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the server looks for this name")]
pub unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: by the caller's word.
    unsafe { on_load::<MmapModule>(ctx, argv, argc) }
}

#[cfg(not(any(test, feature = "system-alloc")))]
#[global_allocator]
static ALLOCATOR: redis::server::allocator::ServerAllocator =
    redis::server::allocator::ServerAllocator;
