//! Events of the server.

use std::ffi::{c_int, c_void};

use redis_module::raw;

use crate::redis::server::context::Ctx;

/// What the server calls with the subevent and its data.
pub type Handler = extern "C" fn(*mut raw::RedisModuleCtx, raw::RedisModuleEvent, u64, *mut c_void);

/// Events that the module being loaded is told of. They end when this is dropped, unless they are [kept](Self::keep): Redis
/// 7.0 goes on to call a module that it could not load.
pub struct Subscriptions<'a> {
    ctx: &'a Ctx,
    events: Vec<raw::RedisModuleEvent>,
}

impl<'a> Subscriptions<'a> {
    /// None so far. The context is that of OnLoad.
    pub fn new(ctx: &'a Ctx) -> Self {
        Self {
            ctx,
            events: Vec::new(),
        }
    }

    pub fn ctx(&self) -> &Ctx {
        self.ctx
    }

    /// Subscribes to an event, by its number; `false` if the server does not know it.
    pub fn add(&mut self, id: u64, handler: Handler) -> bool {
        let event = raw::RedisModuleEvent { id, dataver: 1 };
        let taken = self.set(event, Some(handler));
        if taken {
            self.events.push(event);
        }
        taken
    }

    /// The module is loaded.
    pub fn keep(mut self) {
        self.events.clear();
    }

    fn set(&self, event: raw::RedisModuleEvent, handler: Option<Handler>) -> bool {
        // SAFETY: the context is that of OnLoad; without a handler the call ends a subscription, which must be there.
        let status = unsafe {
            raw::RedisModule_SubscribeToServerEvent.unwrap()(
                self.ctx.raw(),
                event,
                handler.map(|handler| handler as _),
            )
        };
        status == raw::REDISMODULE_OK as c_int
    }
}

impl Drop for Subscriptions<'_> {
    fn drop(&mut self) {
        for event in &self.events {
            self.set(*event, None);
        }
    }
}
