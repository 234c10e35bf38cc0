//! The module's part of `INFO`.

use std::ffi::{CStr, CString, c_int};

use redis_module::raw;

use crate::redis::server::context::Ctx;
use crate::redis::server::guarded::guarded;
use crate::redis::server::reply::line;

/// What answers `INFO`.
pub trait InfoSource {
    fn fill(info: &Info);
}

/// What a field says.
pub enum InfoValue {
    Number(u64),
    Text(String),
}

/// A field, by its name.
pub type Field = (CString, InfoValue);

impl From<u64> for InfoValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for InfoValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// An answer to `INFO` that is being put together.
pub struct Info(*mut raw::RedisModuleInfoCtx);

impl Info {
    /// Begins a section; `false` if it was not asked for.
    pub fn section(&self, name: &CStr) -> bool {
        // SAFETY: the context is valid during the callback that gets this, and the name is copied.
        let status = unsafe { raw::RedisModule_InfoAddSection.unwrap()(self.0, name.as_ptr()) };
        status == raw::REDISMODULE_OK as c_int
    }

    /// A field of the section that was begun last.
    pub fn field(&self, name: &CStr, value: &InfoValue) {
        match value {
            InfoValue::Number(number) => self.number(name, *number),
            InfoValue::Text(text) => self.text(name, text),
        }
    }

    fn number(&self, name: &CStr, number: u64) {
        // SAFETY: as above.
        unsafe { raw::RedisModule_InfoAddFieldULongLong.unwrap()(self.0, name.as_ptr(), number) };
    }

    fn text(&self, name: &CStr, text: &str) {
        let text = line(text);
        // SAFETY: as above; the text is copied.
        unsafe {
            raw::RedisModule_InfoAddFieldCString.unwrap()(self.0, name.as_ptr(), text.as_ptr());
        }
    }
}

/// Has the server ask for our part of `INFO`; `false` if it does not.
pub fn register<S: InfoSource>(ctx: &Ctx) -> bool {
    // SAFETY: the context is that of OnLoad.
    let status = unsafe { raw::RedisModule_RegisterInfoFunc.unwrap()(ctx.raw(), Some(fill::<S>)) };
    status == raw::REDISMODULE_OK as c_int
}

extern "C" fn fill<S: InfoSource>(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: c_int) {
    // A crash may have come while a lock was held, and a report must not wait for it.
    if for_crash_report == 0 {
        guarded("INFO", || S::fill(&Info(ctx)));
    }
}
