//! A Redis module that binds files of raw values to keys. See `README.md` for what it does and
//! `docs/design.md` for how.

mod redis;
pub mod storage;

/// The server's allocator, so that `maxmemory` and `INFO memory` see what the module takes. It works inside a
/// server only.
#[cfg(not(any(test, feature = "system-alloc")))]
#[global_allocator]
static ALLOCATOR: redis_module::alloc::RedisAlloc = redis_module::alloc::RedisAlloc;
