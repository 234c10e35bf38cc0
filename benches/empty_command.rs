//! A module with one command that does nothing but reply: what any module command costs at least, with the
//! same arguments. `benches/run` compares with it.

use std::ffi::c_int;

use redis_module::raw;

#[global_allocator]
static ALLOCATOR: redis_module::alloc::RedisAlloc = redis_module::alloc::RedisAlloc;

extern "C" fn empty(
    ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the context is valid during the command.
    unsafe { raw::RedisModule_ReplyWithLongLong.unwrap()(ctx, i64::from(argc)) }
}

/// # Safety
/// Only the server may call it.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    // SAFETY: the server passes its own context; the strings are NUL-terminated.
    unsafe {
        let status = raw::Export_RedisModule_Init(ctx, c"empty".as_ptr(), 1, 1);
        if status != raw::REDISMODULE_OK as c_int {
            return status;
        }
        raw::RedisModule_CreateCommand.unwrap()(
            ctx,
            c"EMPTY".as_ptr(),
            Some(empty),
            c"write fast".as_ptr(),
            1,
            1,
            1,
        )
    }
}
