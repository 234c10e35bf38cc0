//! What a command is, and how the server gets to know it.

use std::ffi::{CStr, c_int};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use redis_module::raw;

use crate::redis::module::acl;
use crate::redis::server::context::{
    Args, Ctx, Failure, Outcome, on_main_thread, writes_are_paused,
};
use crate::redis::server::usage::{Arg, RawArgs};
use crate::redis::{replication, store};
use crate::storage::Cancel;
use crate::storage::cold::touched::Cold;

/// What a command does to its key. ACL rules such as `%R~pattern` go by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyAccess {
    /// Reads the value and changes nothing.
    Read,
    /// Adds to the value.
    Insert,
    /// Changes values that are there.
    Update,
    /// Changes values that are there and replies with them.
    ReadAndUpdate,
    /// Removes values.
    Delete,
    /// Removes values and replies with them.
    ReadAndDelete,
}

impl KeyAccess {
    fn flags(self) -> u32 {
        match self {
            Self::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
            Self::Insert => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_INSERT,
            Self::Update => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_UPDATE,
            Self::ReadAndUpdate => {
                raw::REDISMODULE_CMD_KEY_RW
                    | raw::REDISMODULE_CMD_KEY_ACCESS
                    | raw::REDISMODULE_CMD_KEY_UPDATE
            }
            Self::Delete => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_DELETE,
            Self::ReadAndDelete => {
                raw::REDISMODULE_CMD_KEY_RW
                    | raw::REDISMODULE_CMD_KEY_ACCESS
                    | raw::REDISMODULE_CMD_KEY_DELETE
            }
        }
    }
}

/// A command of this module. The key is always argument 1.
pub trait Command {
    const NAME: &'static CStr;
    /// As `RedisModule_CreateCommand` takes them.
    const FLAGS: &'static CStr;
    /// Number of arguments, the name included; negative: at least so many.
    const ARITY: c_int;
    const KEY_ACCESS: KeyAccess;
    /// What `COMMAND DOCS` says.
    const SUMMARY: &'static CStr;
    const COMPLEXITY: &'static CStr;
    /// All arguments after the name, as `COMMAND DOCS` tells them.
    const ARGS: &'static [Arg] = &[Arg::KEY];
    /// Whether it can do more than its key tells, so that ACL rules withhold it by `-@dangerous`.
    const IS_DANGEROUS: bool = false;
    /// The version of the module that has it first.
    const SINCE: &'static CStr = c"0.1.0";
    /// Versions in which it changed, and what did.
    const HISTORY: &'static [(&'static CStr, &'static CStr)] = &[];

    /// Carries out the command and replies, or replies nothing and fails.
    ///
    /// # Errors
    /// What the client is to be told.
    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome;
}

/// Registers a command; `false` if the name is taken.
pub fn register<C: Command>(ctx: &Ctx) -> bool {
    // SAFETY: `ctx` is the context of OnLoad; the strings are NUL-terminated and copied by the server.
    let status = unsafe {
        raw::RedisModule_CreateCommand.unwrap()(
            ctx.raw(),
            C::NAME.as_ptr(),
            Some(entry::<C>),
            C::FLAGS.as_ptr(),
            1,
            1,
            1,
        )
    };
    let created = status == raw::REDISMODULE_OK as c_int;
    if created && !describe::<C>(ctx) {
        // The command works without; what is missing is help, and finer ACL rules.
        tracing::warn!("the server does not take the description of {:?}", C::NAME);
    }
    created
}

/// Tells the server the command's arity, what it does to its key, its documentation and its ACL categories.
fn describe<C: Command>(ctx: &Ctx) -> bool {
    let version = raw::RedisModuleCommandInfoVersion {
        version: 1,
        sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
        sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
        sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
    };
    // SAFETY: structures of numbers and pointers, for which zero means none; a list ends with such a one.
    let [mut key, end] = unsafe { mem::zeroed::<[raw::RedisModuleCommandKeySpec; 2]>() };
    key.flags = u64::from(C::KEY_ACCESS.flags());
    key.begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    key.bs.index = raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos: 1 };
    key.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
    key.fk.range = raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
        lastkey: 0,
        keystep: 1,
        limit: 0,
    };
    let mut keys = [key, end];
    let mut args = RawArgs::of(C::ARGS);
    let entry = |since, changes| raw::RedisModuleCommandHistoryEntry { since, changes };
    let changes = C::HISTORY
        .iter()
        .map(|(since, change)| entry(since.as_ptr(), change.as_ptr()));
    let mut history: Vec<_> = changes.chain([entry(ptr::null(), ptr::null())]).collect();
    let info = raw::RedisModuleCommandInfo {
        version: &raw const version,
        summary: C::SUMMARY.as_ptr(),
        complexity: C::COMPLEXITY.as_ptr(),
        since: C::SINCE.as_ptr(),
        history: if C::HISTORY.is_empty() {
            ptr::null_mut()
        } else {
            history.as_mut_ptr()
        },
        tips: ptr::null(),
        arity: C::ARITY,
        key_specs: keys.as_mut_ptr(),
        args: args.as_mut_ptr(),
    };
    // SAFETY: the context is that of OnLoad, and everything that is passed is copied by the server.
    unsafe {
        let command = raw::RedisModule_GetCommand.unwrap()(ctx.raw(), C::NAME.as_ptr());
        !command.is_null()
            && raw::RedisModule_SetCommandInfo.unwrap()(command, &raw const info)
                == raw::REDISMODULE_OK as c_int
            && acl::set_categories(command, C::KEY_ACCESS, C::FLAGS, C::IS_DANGEROUS)
    }
}

extern "C" fn entry<C: Command>(
    raw_ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    let ctx = Ctx::new(raw_ctx);
    // SAFETY: the server passes `argc` strings that live as long as the command runs.
    let args = unsafe { Args::from_raw(argv, argc) };
    let outcome = catch_unwind(AssertUnwindSafe(|| C::run(&ctx, args)));
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(Failure::Cold(cold))) => run_when_in_ram::<C>(&ctx, *cold),
        Ok(Err(failure)) => ctx.reply_failure(&failure),
        Err(_) => {
            tracing::error!("{:?} panicked: this is a bug in the mmap module", C::NAME);
            ctx.reply_failure(&Failure::internal());
        }
    }
    raw::REDISMODULE_OK as c_int
}

/// Keeps the client waiting until values are in RAM, and then carries out its command from the beginning: meanwhile
/// anything may have happened to the key.
#[cold]
fn run_when_in_ram<C: Command>(ctx: &Ctx, cold: Cold) {
    store().stats().cold_waits.add_one();
    let cancel = Cancel::default();
    let waiting = ctx.block_with(&cancel);
    let go_on = move || {
        waiting.end(Box::new(|ctx, args| {
            // The server calls this some commands later, and `CLIENT PAUSE` or `FAILOVER` may have been one of them.
            if C::KEY_ACCESS != KeyAccess::Read && writes_are_paused() {
                return Err(Failure::Message(
                    "writes were paused while this one waited for the disk: nothing was written, try again"
                        .to_owned(),
                ));
            }
            C::run(ctx, args)
        }));
    };
    store().bring_in(cold, cancel, move || {
        if C::KEY_ACCESS == KeyAccess::Read {
            go_on();
        } else {
            on_main_thread(Box::new(|| replication::when_writes_go_on(Box::new(go_on))));
        }
    });
}
