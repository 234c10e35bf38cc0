//! A Redis module that binds files of raw values to keys. See `README.md` for what it does and
//! `docs/design.md` for how.

#[cfg(not(target_endian = "little"))]
compile_error!(
    "values lie little-endian in files that other programs map: a big-endian machine would misread them"
);

mod redis;
pub mod storage;

#[cfg(not(any(test, feature = "system-alloc")))]
#[global_allocator]
static ALLOCATOR: redis::server::allocator::ServerAllocator =
    redis::server::allocator::ServerAllocator;
