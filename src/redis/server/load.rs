//! Loading the module.

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw;

use crate::redis::server::args::Args;
use crate::redis::server::context::Ctx;
use crate::redis::server::detached;
use crate::redis::server::log::log;

/// A module, as the server gets to know it.
pub trait Module {
    const NAME: &'static CStr;
    const VERSION: c_int;

    /// Registers all that the module has, or leaves nothing behind.
    ///
    /// # Errors
    /// Why the server cannot load it.
    fn load(ctx: &Ctx, args: Args<'_>) -> Result<(), String>;
}

/// What the server calls first.
///
/// # Safety
/// Only the server may call it, with what its module API promises for `RedisModule_OnLoad`.
pub unsafe fn on_load<M: Module>(
    raw_ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: this fills the table of the API; nothing before it may call the server or allocate.
    let status = unsafe {
        raw::Export_RedisModule_Init(
            raw_ctx,
            M::NAME.as_ptr(),
            M::VERSION,
            raw::REDISMODULE_APIVER_1 as c_int,
        )
    };
    if status != raw::REDISMODULE_OK as c_int {
        return status;
    }
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Ctx::new(raw_ctx) };
    // SAFETY: the server passes `argc` strings that live during the call.
    let args = unsafe { Args::from_raw(argv, argc) };
    detached::install(&ctx);
    let reason = match catch_unwind(AssertUnwindSafe(|| M::load(&ctx, args))) {
        Ok(Ok(())) => return raw::REDISMODULE_OK as c_int,
        Ok(Err(reason)) => reason,
        Err(_) => "it panicked: this is a bug".to_owned(),
    };
    log(c"warning", &format!("cannot load: {reason}"));
    detached::remove();
    raw::REDISMODULE_ERR as c_int
}

impl Ctx {
    /// Whether the server has settings of modules: Redis from 7.0 on, Valkey from 7.2 on.
    pub fn has_module_settings(&self) -> bool {
        // SAFETY: the table was filled when the module was loaded, and is only read from then on.
        unsafe { raw::RedisModule_LoadConfigs }.is_some()
    }

    /// Has the server give the registered settings their values, while the module is being loaded; `false` if it does not
    /// accept them.
    pub fn load_settings(&self) -> bool {
        // SAFETY: the context is that of OnLoad.
        let status = unsafe { raw::RedisModule_LoadConfigs.unwrap()(self.raw()) };
        status == raw::REDISMODULE_OK as c_int
    }

    /// Tells the server what the module can do: errors of an RDB that is read, changed keys, and, where the server has those,
    /// slots that are moved all at once.
    pub fn set_module_options(&self, handles_slot_migrations: bool) {
        /// Valkey's, which redis-module does not know: from its `src/valkeymodule.h`.
        const HANDLE_ATOMIC_SLOT_MIGRATION: u32 = 1 << 5;
        let migrations = if handles_slot_migrations {
            HANDLE_ATOMIC_SLOT_MIGRATION
        } else {
            0
        };
        let options = raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS
            | raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED
            | migrations;
        // SAFETY: the context is that of OnLoad.
        unsafe { raw::RedisModule_SetModuleOptions.unwrap()(self.raw(), options as c_int) };
    }
}
