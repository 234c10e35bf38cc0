//! The context of a callback, and what it tells of the server and the client.

use std::ffi::c_int;

use redis_module::raw;

/// The context of a callback.
pub struct Ctx {
    pub(super) raw: *mut raw::RedisModuleCtx,
    /// Whether the client has waited, and is to get its reply now.
    pub(super) ends_wait: bool,
}

impl Ctx {
    /// # Safety
    /// `raw` is a context of the server's, and what is returned is dropped before that ends: with the callback that it was
    /// passed to, or when it is freed.
    pub(super) unsafe fn new(raw: *mut raw::RedisModuleCtx) -> Self {
        Self {
            raw,
            ends_wait: false,
        }
    }

    /// Whether the client has waited and is to get its reply now.
    pub fn ends_wait(&self) -> bool {
        self.ends_wait
    }

    pub fn raw(&self) -> *mut raw::RedisModuleCtx {
        self.raw
    }

    pub(super) fn flags(&self) -> u32 {
        // SAFETY: the context is valid for as long as the callback runs.
        unsafe { raw::RedisModule_GetContextFlags.unwrap()(self.raw) as u32 }
    }

    /// Whether the server is reading its own AOF or RDB.
    pub fn is_loading(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_LOADING != 0
    }

    /// Whether the server evicts keys when it runs out of memory.
    pub fn evicts(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_EVICT != 0
    }

    /// Whether this server is a node of a Cluster.
    pub fn is_in_cluster(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_CLUSTER != 0
    }

    /// Whether this server follows a primary. A node of a Cluster says so later than [`Self::primary_in_cluster`].
    pub fn is_replica(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_SLAVE != 0
    }

    /// Whether the command comes from the primary of this server.
    pub fn is_from_primary(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_REPLICATED != 0
    }

    /// Selects the database in which keys are opened.
    pub fn select(&self, database: c_int) -> bool {
        // SAFETY: as in `flags`.
        let status = unsafe { raw::RedisModule_SelectDb.unwrap()(self.raw, database) };
        status == raw::REDISMODULE_OK as c_int
    }

    /// Whether the client of this command can be kept waiting: not in `MULTI`, in a script, or when the
    /// command comes from the primary, nor twice.
    pub fn may_block(&self) -> bool {
        let inline = raw::REDISMODULE_CTX_FLAGS_MULTI
            | raw::REDISMODULE_CTX_FLAGS_LUA
            | raw::REDISMODULE_CTX_FLAGS_REPLICATED
            | raw::REDISMODULE_CTX_FLAGS_LOADING
            | raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING;
        !self.ends_wait && self.flags() & inline == 0
    }
}
