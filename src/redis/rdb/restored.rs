//! `RESTORE` between the moment when its file is made and that when the key is there. In between, the server reads what
//! follows the value in the dump, and may refuse it, or finds that the key has expired by now: then it gives the new
//! value up, and all is to be as it was.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};

use redis_module::raw;

use super::phase::Phase;
use crate::redis::api::{Ctx, guarded};
use crate::storage::Undo;

/// A value that was made and is under no key yet.
struct Pending {
    /// The address of the value.
    value: usize,
    undo: Undo,
}

static PENDING: Mutex<Option<Pending>> = Mutex::new(None);

fn take(is_it: impl FnOnce(&mut Pending) -> bool) -> Option<Undo> {
    let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
    pending.take_if(is_it).map(|pending| pending.undo)
}

/// Has the server say when a key was restored.
pub fn subscribe(ctx: &Ctx) -> bool {
    // SAFETY: the context is that of OnLoad.
    let status = unsafe {
        raw::RedisModule_SubscribeToKeyspaceEvents.unwrap()(
            ctx.raw(),
            raw::REDISMODULE_NOTIFY_GENERIC as c_int,
            Some(on_event),
        )
    };
    status == raw::REDISMODULE_OK as c_int
}

extern "C" fn on_event(
    _ctx: *mut raw::RedisModuleCtx,
    _type: c_int,
    event: *const c_char,
    _key: *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the server passes a NUL-terminated string.
    if unsafe { CStr::from_ptr(event) } == c"restore" {
        guarded("a keyspace event", keep);
    }
    raw::REDISMODULE_OK as c_int
}

/// Notes how what was done for a new value is undone, if it is for `RESTORE`.
pub fn note(value: *const c_void, undo: Option<Undo>) {
    keep();
    if Phase::now() != Phase::Idle {
        undo.iter().for_each(Undo::report);
        return;
    }
    let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
    *pending = undo.map(|undo| Pending {
        value: value.addr(),
        undo,
    });
}

/// The value is under its key: nothing is undone any more.
pub fn keep() {
    if let Some(undo) = take(|_| true) {
        undo.report();
    }
}

/// The server gives a value up: if it never was under a key, its file goes, too.
pub fn undo(value: *const c_void) {
    if let Some(undo) = take(|pending| pending.value == value.addr()) {
        tracing::warn!("a key was not restored after all: its file is taken back");
        undo.carry_out();
    }
}
