//! `VADD` where the server has one of its own: the vector sets of Redis 8.

use std::ffi::CStr;

use redis_module::raw;

use crate::redis::server::context::{Ctx, string_bytes};

const OURS: &CStr = c"vpush";

/// The words one of which vector sets want as the third of their `VADD`.
const THEIRS: [&[u8]; 3] = [b"REDUCE", b"FP32", b"VALUES"];

/// Has `VADD key value ...` mean `VPUSH key value ...`, before the server looks the command up. It then is
/// `VPUSH` for everything: ACL rules, `MULTI`, scripts, statistics.
///
/// # Errors
/// If the server takes no command filter.
pub fn share_vadd(ctx: &Ctx) -> Result<(), String> {
    // SAFETY: the context is that of OnLoad.
    let filter =
        unsafe { raw::RedisModule_RegisterCommandFilter.unwrap()(ctx.raw(), Some(rename), 0) };
    if filter.is_null() {
        return Err("VADD is taken, and the server accepts no command filter".to_owned());
    }
    tracing::info!(
        "the server has a VADD of its own: VADD key value ... is carried out as VPUSH, \
         VADD key REDUCE|FP32|VALUES ... is left to vector sets"
    );
    Ok(())
}

extern "C" fn rename(filter: *mut raw::RedisModuleCommandFilterCtx) {
    // SAFETY: the filter context is valid during the call; positions are checked against the count, and the
    // server takes the new string over.
    unsafe {
        if raw::RedisModule_CommandFilterArgsCount.unwrap()(filter) < 3 {
            return;
        }
        let argument = |at| string_bytes(raw::RedisModule_CommandFilterArgGet.unwrap()(filter, at));
        if !argument(0).eq_ignore_ascii_case(b"VADD") {
            return;
        }
        let third = argument(2);
        if THEIRS.iter().any(|word| third.eq_ignore_ascii_case(word)) {
            return;
        }
        let name = raw::RedisModule_CreateString.unwrap()(
            std::ptr::null_mut(),
            OURS.as_ptr(),
            OURS.count_bytes(),
        );
        raw::RedisModule_CommandFilterArgReplace.unwrap()(filter, 0, name);
    }
}
