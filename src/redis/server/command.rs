//! How the server gets to know a command, and calls it.

use std::ffi::{CStr, CString, c_int};
use std::{mem, ptr};

use redis_module::raw;

use crate::redis::server::acl;
use crate::redis::server::args::Args;
use crate::redis::server::context::Ctx;
use crate::redis::server::description::Description;
use crate::redis::server::usage::RawArgs;

/// What the server calls for a command.
pub trait EntryPoint {
    /// Carries out the command and replies. No panic may come out of it.
    fn call(ctx: &Ctx, args: Args<'_>);
}

/// A flag that Redis knows from 8.0 on: clients do not see such a command, and only the primary and the AOF may call it.
/// A server that does not know it refuses the whole command, and so it is left out there.
const INTERNAL: &str = "internal";

/// Registers a command; `false` if the name is taken.
pub fn register<E: EntryPoint>(ctx: &Ctx, command: &Description) -> bool {
    let mut created = create::<E>(ctx, command, command.flags);
    if !created && let Some(flags) = without_internal(command.flags) {
        created = create::<E>(ctx, command, &flags);
    }
    if created && !describe(ctx, command) {
        // The command works without; what is missing is help, and finer ACL rules.
        tracing::warn!(
            "the server does not accept the description of {:?}",
            command.name
        );
    }
    created
}

/// The flags without [`INTERNAL`], if it is among them.
fn without_internal(flags: &CStr) -> Option<CString> {
    let flags = flags.to_str().expect("flags are ASCII");
    let (internal, others): (Vec<_>, Vec<_>) = flags
        .split_ascii_whitespace()
        .partition(|&flag| flag == INTERNAL);
    let others = CString::new(others.join(" ")).expect("flags have no NUL");
    (!internal.is_empty()).then_some(others)
}

fn create<E: EntryPoint>(ctx: &Ctx, command: &Description, flags: &CStr) -> bool {
    // SAFETY: `ctx` is the context of OnLoad; the strings are NUL-terminated and copied by the server.
    let status = unsafe {
        raw::RedisModule_CreateCommand.unwrap()(
            ctx.raw(),
            command.name.as_ptr(),
            Some(entry::<E>),
            flags.as_ptr(),
            1,
            1,
            1,
        )
    };
    status == raw::REDISMODULE_OK as c_int
}

/// Tells the server the command's arity, what it does to its key, its documentation and its ACL categories.
fn describe(ctx: &Ctx, description: &Description) -> bool {
    let version = raw::RedisModuleCommandInfoVersion {
        version: 1,
        sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
        sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
        sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
    };
    // SAFETY: structures of numbers and pointers, for which zero means none; a list ends with such a one.
    let [mut key, end] = unsafe { mem::zeroed::<[raw::RedisModuleCommandKeySpec; 2]>() };
    key.flags = u64::from(description.key_access.flags());
    key.begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    key.bs.index = raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos: 1 };
    key.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
    key.fk.range = raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
        lastkey: 0,
        keystep: 1,
        limit: 0,
    };
    let mut keys = [key, end];
    let mut args = RawArgs::of(description.args);
    let entry = |since, changes| raw::RedisModuleCommandHistoryEntry { since, changes };
    let changes = description
        .history
        .iter()
        .map(|(since, change)| entry(since.as_ptr(), change.as_ptr()));
    let mut history: Vec<_> = changes.chain([entry(ptr::null(), ptr::null())]).collect();
    let info = raw::RedisModuleCommandInfo {
        version: &raw const version,
        summary: description.summary.as_ptr(),
        complexity: description.complexity.as_ptr(),
        since: description.since.as_ptr(),
        history: if description.history.is_empty() {
            ptr::null_mut()
        } else {
            history.as_mut_ptr()
        },
        tips: ptr::null(),
        arity: description.arity,
        key_specs: keys.as_mut_ptr(),
        args: args.as_mut_ptr(),
    };
    // SAFETY: the context is that of OnLoad, and everything that is passed is copied by the server.
    unsafe {
        let command = raw::RedisModule_GetCommand.unwrap()(ctx.raw(), description.name.as_ptr());
        !command.is_null()
            && raw::RedisModule_SetCommandInfo.unwrap()(command, &raw const info)
                == raw::REDISMODULE_OK as c_int
            && acl::set_categories(command, description)
    }
}

extern "C" fn entry<E: EntryPoint>(
    raw_ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Ctx::new(raw_ctx) };
    // SAFETY: the server passes `argc` strings that live as long as the command runs.
    let args = unsafe { Args::from_raw(argv, argc) };
    E::call(&ctx, args);
    raw::REDISMODULE_OK as c_int
}
