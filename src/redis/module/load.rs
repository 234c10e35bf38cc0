//! What happens when the server loads the module.

use std::ffi::{CStr, c_int};

use crate::redis::keys::binding::Binding;
use crate::redis::keys::lookup::DATA_TYPE;
use crate::redis::keys::remembered;
use crate::redis::module::events::Events;
use crate::redis::module::info::MmapInfo;
use crate::redis::module::register::register_commands;
use crate::redis::module::{log, own_files, vector_sets};
use crate::redis::persistence::look_up_limit;
use crate::redis::server::data_type::{listen_to_keys, register};
use crate::redis::server::events::Subscriptions;
use crate::redis::server::load::Module;
use crate::redis::server::{Args, Ctx, acl, info};
use crate::redis::{STORE, replication, settings};
use crate::storage::{Root, Store, real_path};

/// 300 for 0.3.0, as Redis' own modules count.
const VERSION: c_int = 10_000 * number(env!("CARGO_PKG_VERSION_MAJOR"))
    + 100 * number(env!("CARGO_PKG_VERSION_MINOR"))
    + number(env!("CARGO_PKG_VERSION_PATCH"));

const fn number(digits: &str) -> c_int {
    match c_int::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("Cargo's versions are numbers"),
    }
}

/// What the server loads.
pub struct MmapModule;

impl Module for MmapModule {
    const NAME: &'static CStr = c"mmap";
    const VERSION: c_int = VERSION;

    fn load(ctx: &Ctx, args: Args<'_>) -> Result<(), String> {
        load(ctx, args)
    }
}

/// Loads the module, or leaves nothing behind: neither threads nor anything at the server that would still lead here. What
/// the server itself takes back (commands, settings, the type) comes first, then what is ended by being dropped, and then
/// what cannot fail.
fn load(ctx: &Ctx, args: Args<'_>) -> Result<(), String> {
    log::install();
    if !ctx.has_module_settings() {
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
    if !register(ctx, &DATA_TYPE) {
        return Err("the server does not accept the module's key type".to_owned());
    }
    acl::add_category(ctx);
    let vadd_is_taken = register_commands(ctx)?;
    if !info::register::<MmapInfo>(ctx) {
        return Err("the server does not accept the module's INFO sections".to_owned());
    }
    let mut events = Subscriptions::new(ctx);
    let handles_slot_migrations = events.add_slot_migrations::<Events>();
    if !events.add_all::<Events>() {
        return Err("the server does not accept the module's event handlers".to_owned());
    }
    let store = Store::new(root, settings::threads())
        .map_err(|e| format!("cannot start the module's threads: {e}"))?;
    if vadd_is_taken {
        vector_sets::share_vadd(ctx)?;
    }
    if listen_to_keys::<Binding>(ctx) {
        remembered::install();
    }

    events.keep();
    // The module is loaded once, as the server unloads none with a type of its own.
    let _ = STORE.set(store);
    ctx.set_module_options(handles_slot_migrations);
    settings::apply();
    own_files::look_up(ctx);
    warn_of_mixed_files(ctx);
    look_up_limit(ctx);
    replication::missing::listen(ctx);
    Ok(())
}

/// Says in the log if commands come to the directory where the server keeps its own files.
fn warn_of_mixed_files(ctx: &Ctx) {
    let root = crate::redis::store().root().path();
    let dir = own_files::server_directory(ctx);
    if real_path(&dir).is_ok_and(|dir| dir.starts_with(root)) {
        tracing::warn!(
            "mmap.dir is '{}', where the server keeps its own files: those that the module knows cannot be bound, but \
             arrays should have a directory of their own; set mmap.dir to one",
            root.display()
        );
    }
}
