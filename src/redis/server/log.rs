//! The log of the server.

use std::ffi::CStr;

use redis_module::raw;

use crate::redis::server::detached;
use crate::redis::server::reply::line;

/// Writes a line to the log, from any thread, as of this module.
pub fn log(level: &CStr, text: &str) {
    let text = line(text);
    // SAFETY: the format takes one C string; the server allows a detached or null context from any thread.
    unsafe {
        raw::RedisModule_Log.unwrap()(
            detached::context(),
            level.as_ptr(),
            c"%s".as_ptr().cast(),
            text.as_ptr(),
        );
    }
}
