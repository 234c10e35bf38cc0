//! Clients that wait, while the server does not.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::Mutex;
use redis_module::raw;

use crate::redis::server::args::Args;
use crate::redis::server::context::Ctx;
use crate::redis::server::failure::{Failure, Outcome};
use crate::redis::server::reply::Resp;
use crate::storage::Cancel;

/// How a waiting client is answered; it gets the arguments of its command.
pub type Pending = Box<dyn FnOnce(&Ctx, Args<'_>) -> Outcome + Send>;

impl Ctx {
    /// Keeps the client waiting, not the server. The reply comes when the [`Waiting`] is over.
    pub fn block(&self) -> Waiting {
        // SAFETY: as in `flags`. There is no timeout; a client that goes away has its reply freed.
        let client = unsafe {
            raw::RedisModule_BlockClient.unwrap()(
                self.raw,
                Some(reply_to_waiting),
                None,
                Some(free_pending),
                0,
            )
        };
        Waiting {
            client: Some(client),
        }
    }

    /// As [`Self::block`], for work that is worth nothing to a client that goes away: then it is cancelled.
    pub fn block_with(&self, cancel: &Cancel) -> WaitingForWork {
        let waiting = self.block();
        let client = waiting.client.expect("it has just begun to wait");
        CANCELS
            .lock()
            .get_or_insert_default()
            .insert(client.addr(), cancel.clone());
        // SAFETY: the client is blocked, and cannot have gone while this command runs. A context that is made now
        // need not look at the client later, when it may have gone.
        let ctx = unsafe {
            raw::RedisModule_SetDisconnectCallback.unwrap()(client, Some(on_disconnect));
            raw::RedisModule_BlockedClientMeasureTimeStart.unwrap()(client);
            raw::RedisModule_GetThreadSafeContext.unwrap()(client)
        };
        WaitingForWork {
            resp: self.resp(),
            // SAFETY: `WaitingForWork` frees the context when it is done with it.
            ctx: unsafe { Ctx::new(ctx) },
            waiting,
        }
    }
}

/// What is to be cancelled when a waiting client goes away, by the address of its handle.
static CANCELS: Mutex<Option<HashMap<usize, Cancel>>> = Mutex::new(None);

extern "C" fn on_disconnect(
    _ctx: *mut raw::RedisModuleCtx,
    client: *mut raw::RedisModuleBlockedClient,
) {
    if let Some(cancel) = CANCELS
        .lock()
        .as_ref()
        .and_then(|all| all.get(&client.addr()))
    {
        cancel.cancel();
    }
}

/// Cancels all work that clients wait for.
pub fn cancel_all() {
    for cancel in CANCELS.lock().iter().flat_map(HashMap::values) {
        cancel.cancel();
    }
}

/// A client that waits. If this is dropped, as by a thread that dies, the client is told.
pub struct Waiting {
    /// `None` when the wait is over.
    client: Option<*mut raw::RedisModuleBlockedClient>,
}

// SAFETY: the server allows a blocked client to be unblocked from any thread.
unsafe impl Send for Waiting {}

impl Waiting {
    /// Ends the wait; `reply` runs on the server's main thread, unless the client is gone.
    pub fn end(mut self, reply: Pending) {
        self.finish(reply);
    }

    fn finish(&mut self, reply: Pending) {
        let Some(client) = self.client.take() else {
            return;
        };
        let reply = Box::into_raw(Box::new(reply)).cast::<c_void>();
        // SAFETY: the client was blocked and is unblocked once; `free_pending` frees the reply.
        unsafe { raw::RedisModule_UnblockClient.unwrap()(client, reply) };
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.finish(Box::new(|_, _| Err(Failure::internal())));
    }
}

/// A client that waits for work that another thread does. If the work is dropped undone, the client is told.
pub struct WaitingForWork {
    resp: Resp,
    ctx: Ctx,
    waiting: Waiting,
}

// SAFETY: the server allows the context of a blocked client to be used for replies on any one thread, and freed there.
unsafe impl Send for WaitingForWork {}

impl WaitingForWork {
    /// Ends the wait with a reply that is put together on this thread, without the server's lock. A reply that fails has not
    /// begun.
    pub fn reply(mut self, reply: impl FnOnce(&Ctx, Resp) -> Outcome) {
        match reply(&self.ctx, self.resp) {
            Ok(()) => self.finish(Box::new(|_, _| Ok(()))),
            Err(failure) => self.fail(failure),
        }
    }

    /// Ends the wait with a reply that is put together on the main thread.
    pub fn end(mut self, pending: Pending) {
        self.finish(pending);
    }

    /// Ends the wait with an error.
    pub fn fail(mut self, failure: Failure) {
        // Errors are counted by the server, on its own thread.
        self.finish(Box::new(|_, _| Err(failure)));
    }

    fn finish(&mut self, pending: Pending) {
        let Some(client) = self.waiting.client else {
            return;
        };
        if let Some(cancels) = CANCELS.lock().as_mut() {
            cancels.remove(&client.addr());
        }
        // SAFETY: the client is still blocked, and the context was made for it; both are used for the last time.
        unsafe {
            raw::RedisModule_BlockedClientMeasureTimeEnd.unwrap()(client);
            raw::RedisModule_FreeThreadSafeContext.unwrap()(self.ctx.raw);
        }
        self.waiting.finish(pending);
    }
}

impl Drop for WaitingForWork {
    fn drop(&mut self) {
        self.finish(Box::new(|_, _| Err(Failure::internal())));
    }
}

extern "C" fn reply_to_waiting(
    raw_ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    let ctx = Ctx {
        raw: raw_ctx,
        ends_wait: true,
    };
    // SAFETY: the server passes the client's `argc` strings, which live during the call.
    let args = unsafe { Args::from_raw(argv, argc) };
    // SAFETY: the private data is what `Waiting::end` made, and is freed only after this callback.
    let reply = unsafe {
        let data = raw::RedisModule_GetBlockedClientPrivateData.unwrap()(raw_ctx);
        &mut *data.cast::<Pending>()
    };
    let reply = std::mem::replace(reply, Box::new(|_, _| Ok(())));
    match catch_unwind(AssertUnwindSafe(|| reply(&ctx, args))) {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => ctx.reply_failure(&failure),
        Err(_) => ctx.reply_failure(&Failure::internal()),
    }
    raw::REDISMODULE_OK as c_int
}

extern "C" fn free_pending(_ctx: *mut raw::RedisModuleCtx, data: *mut c_void) {
    // SAFETY: made by `Waiting::end`, and freed by the server's one call of this.
    drop(unsafe { Box::from_raw(data.cast::<Pending>()) });
}
