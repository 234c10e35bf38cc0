//! The key type of the module: what the server calls for its values.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

use redis_module::raw;

use crate::redis::server::args::string_bytes;
use crate::redis::server::context::Ctx;
use crate::redis::server::guarded::guarded;
use crate::redis::server::rdb::{RdbReader, RdbWriter};
use crate::redis::server::type_handle::TypeHandle;
use crate::redis::server::words::Aof;

/// A type of values of keys.
pub trait DataType: Sized {
    /// As `TYPE` answers it. The server wants nine characters.
    const NAME: &'static CStr;
    /// The version of what [`Self::save`] writes.
    const VERSION: c_int;

    /// Reads a value that was saved in some version. `None` if it cannot be loaded.
    fn load(rdb: &RdbReader, version: c_int) -> Option<Arc<Self>>;
    /// Saves a value. It may be in a child: nothing may wait for a lock.
    fn save(&self, rdb: &RdbWriter);
    /// Sends the commands from which a key can be made again. As for [`Self::save`].
    fn rewrite(&self, aof: &Aof, key: &[u8]);
    /// How much memory a value takes, in bytes.
    fn memory_usage(&self) -> usize;
    /// `DEBUG DIGEST`.
    fn digest(&self, digest: &Digest);
    /// The server gives a value up; it may be on its lazy-free thread.
    fn free(self: Arc<Self>);
    /// `COPY` of one key to another is refused: the server says that it failed, and this may say why.
    fn refuse_copy(&self, from: &[u8], to: &[u8]);
    /// A key of the type is unlinked, before its value is given up.
    fn unlinked(key: &[u8]);
    /// Something happened to a key of any type that it outlives: it may have been given a time to live, say.
    fn touched(ctx: &Ctx, key: &[u8]);
}

/// Registers a type, while the module is being loaded; `false` if the server does not take it.
pub fn register<T: DataType>(ctx: &Ctx, handle: &TypeHandle<T>) -> bool {
    let mut methods = raw::RedisModuleTypeMethods {
        version: raw::REDISMODULE_TYPE_METHOD_VERSION as u64,
        rdb_load: Some(load::<T>),
        rdb_save: Some(save::<T>),
        aof_rewrite: Some(rewrite::<T>),
        mem_usage: Some(memory_usage::<T>),
        digest: Some(digest::<T>),
        free: Some(free::<T>),
        copy2: Some(refuse_copy::<T>),
        unlink: Some(unlinked::<T>),
        // SAFETY: a structure of integers and optional function pointers, for which zero means none.
        ..unsafe { std::mem::zeroed() }
    };
    // SAFETY: the context is that of OnLoad, the name is NUL-terminated, and the methods are copied.
    let data_type = unsafe {
        raw::RedisModule_CreateDataType.unwrap()(
            ctx.raw(),
            T::NAME.as_ptr(),
            T::VERSION,
            &raw mut methods,
        )
    };
    // SAFETY: it was made just now; `load` below and `Key::set_value` make all its values.
    unsafe { handle.set(data_type) };
    !data_type.is_null()
}

extern "C" fn load<T: DataType>(rdb: *mut raw::RedisModuleIO, version: c_int) -> *mut c_void {
    // SAFETY: the server passes a handle that is valid during this call, on its main thread.
    let rdb = unsafe { RdbReader::from_raw(rdb) };
    match catch_unwind(AssertUnwindSafe(|| T::load(&rdb, version))) {
        Ok(Some(value)) => Arc::into_raw(value).cast_mut().cast(),
        Ok(None) => ptr::null_mut(),
        Err(_) => {
            tracing::error!("loading a key panicked: this is a bug in the mmap module");
            ptr::null_mut()
        }
    }
}

extern "C" fn save<T: DataType>(rdb: *mut raw::RedisModuleIO, value: *mut c_void) {
    // SAFETY: the server passes a value of this type, and a handle that is valid during this call.
    let (rdb, value) = unsafe { (RdbWriter::from_raw(rdb), &*value.cast::<T>()) };
    guarded("saving a key", || value.save(&rdb));
}

extern "C" fn rewrite<T: DataType>(
    aof: *mut raw::RedisModuleIO,
    key: *mut raw::RedisModuleString,
    value: *mut c_void,
) {
    // SAFETY: as in `save`; the server keeps the string during this call.
    let (aof, key, value) = unsafe { (Aof::from_raw(aof), string_bytes(key), &*value.cast::<T>()) };
    guarded("rewriting a key", || value.rewrite(&aof, key));
}

extern "C" fn memory_usage<T: DataType>(value: *const c_void) -> usize {
    // SAFETY: the server passes a value of this type.
    let value = unsafe { &*value.cast::<T>() };
    catch_unwind(AssertUnwindSafe(|| value.memory_usage())).unwrap_or(0)
}

extern "C" fn digest<T: DataType>(digest: *mut raw::RedisModuleDigest, value: *mut c_void) {
    // SAFETY: the server passes a value of this type, on its main thread.
    let value = unsafe { &*value.cast::<T>() };
    guarded("DEBUG DIGEST", || value.digest(&Digest(digest)));
}

extern "C" fn free<T: DataType>(value: *mut c_void) {
    // SAFETY: the server gives the value up, once.
    let value = unsafe { Arc::from_raw(value.cast_const().cast::<T>()) };
    guarded("unbinding a key", || value.free());
}

extern "C" fn refuse_copy<T: DataType>(
    ctx: *mut raw::RedisModuleKeyOptCtx,
    value: *const c_void,
) -> *mut c_void {
    // SAFETY: as in `save`.
    let value = unsafe { &*value.cast::<T>() };
    guarded("COPY", || {
        // SAFETY: the table of the API was filled when the module was loaded; the context is that of this call, during which
        // the server keeps the names.
        let (from, to) = unsafe {
            (
                raw::RedisModule_GetKeyNameFromOptCtx.map(|get| string_bytes(get(ctx))),
                raw::RedisModule_GetToKeyNameFromOptCtx.map(|get| string_bytes(get(ctx))),
            )
        };
        value.refuse_copy(from.unwrap_or_default(), to.unwrap_or_default());
    });
    ptr::null_mut()
}

extern "C" fn unlinked<T: DataType>(key: *mut raw::RedisModuleString, _value: *const c_void) {
    // SAFETY: the server keeps the string during this call, and it is used in it alone.
    guarded("unlinking a key", || {
        T::unlinked(unsafe { string_bytes(key) })
    });
}

/// Has a type told of what happens to keys in general; `false` if the server does not tell.
pub fn listen_to_keys<T: DataType>(ctx: &Ctx) -> bool {
    // SAFETY: the context is that of OnLoad.
    let status = unsafe {
        raw::RedisModule_SubscribeToKeyspaceEvents.unwrap()(
            ctx.raw(),
            raw::REDISMODULE_NOTIFY_GENERIC as c_int,
            Some(touched::<T>),
        )
    };
    status == raw::REDISMODULE_OK as c_int
}

extern "C" fn touched<T: DataType>(
    ctx: *mut raw::RedisModuleCtx,
    _kind: c_int,
    _event: *const c_char,
    key: *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the server keeps context and string during this call, and they are used in it alone.
    guarded("a keyspace event", || unsafe {
        T::touched(&Ctx::new(ctx), string_bytes(key))
    });
    raw::REDISMODULE_OK as c_int
}

/// What `DEBUG DIGEST` is made of.
pub struct Digest(*mut raw::RedisModuleDigest);

impl Digest {
    pub fn add(&self, bytes: &[u8]) {
        // SAFETY: the handle lives as long as the callback that gets this; the bytes are only read.
        unsafe {
            raw::RedisModule_DigestAddStringBuffer.unwrap()(
                self.0,
                bytes.as_ptr().cast(),
                bytes.len(),
            );
        }
    }

    /// What was added is one value.
    pub fn end(&self) {
        // SAFETY: as above.
        unsafe { raw::RedisModule_DigestEndSequence.unwrap()(self.0) };
    }
}
