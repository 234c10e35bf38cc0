//! What happens when the server loads the module, and when it shuts down.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw;

use crate::redis::keys::binding;
use crate::redis::module::{acl, info, latency, own_files, vector_sets};
use crate::redis::server::context as api;
use crate::redis::server::context::{Args, Ctx, log};
use crate::redis::server::detached;
use crate::redis::server::events::{Handler, Subscriptions};
use crate::redis::{STORE, commands, persistence as rdb, replication, settings};
use crate::storage::{Root, Store, real_path};

const NAME: &[u8] = b"mmap\0";
/// 200 for 0.2.0, as Redis' own modules count.
const VERSION: c_int = 10_000 * number(env!("CARGO_PKG_VERSION_MAJOR"))
    + 100 * number(env!("CARGO_PKG_VERSION_MINOR"))
    + number(env!("CARGO_PKG_VERSION_PATCH"));

const fn number(digits: &str) -> c_int {
    match c_int::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("Cargo's versions are numbers"),
    }
}

/// The server calls it first.
///
/// # Safety
/// Only the server may call it, with what its module API promises.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    raw_ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: this fills the table of the API; nothing before it may call the server or allocate.
    let status = unsafe {
        raw::Export_RedisModule_Init(
            raw_ctx,
            NAME.as_ptr().cast(),
            VERSION,
            raw::REDISMODULE_APIVER_1 as c_int,
        )
    };
    if status != raw::REDISMODULE_OK as c_int {
        return status;
    }
    let ctx = Ctx::new(raw_ctx);
    // SAFETY: the server passes `argc` strings that live during the call.
    let args = unsafe { Args::from_raw(argv, argc) };
    detached::install(&ctx);
    let reason = match catch_unwind(AssertUnwindSafe(|| load(&ctx, args))) {
        Ok(Ok(())) => return raw::REDISMODULE_OK as c_int,
        Ok(Err(reason)) => reason,
        Err(_) => "it panicked: this is a bug".to_owned(),
    };
    log(raw_ctx, c"warning", &format!("cannot load: {reason}"));
    detached::remove();
    raw::REDISMODULE_ERR as c_int
}

/// Loads the module, or leaves nothing behind: neither threads nor anything at the server that would still lead here. What
/// the server itself takes back (commands, settings, the type) comes first, then what is ended by being dropped, and then
/// what cannot fail.
fn load(ctx: &Ctx, args: Args<'_>) -> Result<(), String> {
    crate::redis::module::log::install();
    // SAFETY: the table was filled by Export_RedisModule_Init and is only read from now on.
    if unsafe { raw::RedisModule_LoadConfigs }.is_none() {
        return Err("this server is too old: Redis 7.0 or Valkey 7.2 is needed".to_owned());
    }
    let dir = settings::load(ctx, args)?;
    let root = Root::open(&dir)
        .map_err(|e| format!("mmap.dir '{}' cannot be opened: {e}", dir.display()))?;
    tracing::info!("files are below '{}'", root.path().display());
    for missing in root.check_system()? {
        if missing.is_grave {
            tracing::warn!("{missing}");
        } else {
            tracing::info!("{missing}");
        }
    }
    if !binding::register(ctx) {
        return Err("the server does not take its key type".to_owned());
    }
    acl::add_category(ctx);
    let vadd_is_taken = commands::register_all(ctx)?;
    if !info::register(ctx) {
        return Err("the server does not take its part of INFO".to_owned());
    }
    let mut events = Subscriptions::new(ctx);
    let options = raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS
        | raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED
        | replication::subscribe_to_slot_migrations(&mut events);
    if !HANDLERS
        .into_iter()
        .all(|(event, handler)| events.add(event, handler))
    {
        return Err("the server does not tell of its events".to_owned());
    }
    let store = Store::new(root, settings::threads())
        .map_err(|e| format!("cannot start the module's threads: {e}"))?;
    if vadd_is_taken {
        vector_sets::share_vadd(ctx)?;
    }

    events.keep();
    // The module is loaded once, as the server unloads none with a type of its own.
    let _ = STORE.set(store);
    // SAFETY: the context is that of OnLoad.
    unsafe { raw::RedisModule_SetModuleOptions.unwrap()(ctx.raw(), options as c_int) };
    settings::apply();
    own_files::look_up(ctx);
    warn_of_mixed_files(ctx);
    rdb::look_up_limit(ctx);
    replication::missing::listen(ctx);
    Ok(())
}

const HANDLERS: [(u64, Handler); 10] = [
    (raw::REDISMODULE_EVENT_FLUSHDB, rdb::restored::on_flush),
    (raw::REDISMODULE_EVENT_SHUTDOWN, on_shutdown),
    (raw::REDISMODULE_EVENT_CONFIG, on_config_change),
    (raw::REDISMODULE_EVENT_MODULE_CHANGE, on_module_change),
    (raw::REDISMODULE_EVENT_PERSISTENCE, rdb::on_persistence),
    (raw::REDISMODULE_EVENT_LOADING, rdb::on_loading),
    (
        raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
        replication::on_replicas_changed,
    ),
    (
        raw::REDISMODULE_EVENT_REPLICA_CHANGE,
        replication::on_replicas_changed,
    ),
    (
        raw::REDISMODULE_EVENT_FORK_CHILD,
        replication::on_replicas_changed,
    ),
    (raw::REDISMODULE_EVENT_CRON_LOOP, on_cron),
];

/// Says in the log if commands come to the directory where the server keeps its own files.
fn warn_of_mixed_files(ctx: &Ctx) {
    let root = crate::redis::store().root().path();
    let dir = own_files::server_directory(ctx);
    if real_path(&dir).is_ok_and(|dir| dir.starts_with(root)) {
        tracing::warn!(
            "mmap.dir is '{}', where the server keeps files of its own: no key can be bound to those it is known by, but \
             arrays should have a directory of their own; set mmap.dir to one",
            root.display()
        );
    }
}

/// `CONFIG SET`. With `crash-log-enabled` it puts the server's own signal handlers in place or takes them away.
extern "C" fn on_config_change(
    raw_ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    api::guarded("a server event", || {
        crate::redis::store().handle_faults_again();
        latency::forget_threshold();
        let ctx = Ctx::new(raw_ctx);
        rdb::look_up_limit(&ctx);
        own_files::look_up(&ctx);
    });
}

/// A module was loaded or unloaded.
extern "C" fn on_module_change(
    raw_ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    api::guarded("a server event", || {
        own_files::look_up(&Ctx::new(raw_ctx));
    });
}

/// The server's own clock, ten times a second by default.
extern "C" fn on_cron(
    raw_ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    api::guarded("a server event", || {
        let ctx = Ctx::new(raw_ctx);
        crate::redis::store().notice_faults();
        latency::report(&ctx);
        replication::tick(&ctx);
    });
}

/// The server is about to exit, by `SHUTDOWN` or a signal: the one time when the main thread waits for disks.
extern "C" fn on_shutdown(
    _ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    api::guarded("shutting down", || {
        api::cancel_all();
        crate::redis::store().settle_all();
    });
}
