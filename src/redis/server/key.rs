//! Keys: opening them, their values, and who is told of a change.

use std::ffi::{CStr, c_int};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::ptr::NonNull;
use std::sync::Arc;

use redis_module::raw;

use crate::redis::server::args::{Args, string_bytes};
use crate::redis::server::context::Ctx;
use crate::redis::server::type_handle::TypeHandle;
use crate::redis::server::words::{Strings, Word};

/// The name of a key in its database, when its command is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyName {
    pub database: c_int,
    pub name: Box<[u8]>,
}

impl KeyName {
    /// Tells clients that watch or cache this key, and those who listen to events, that it has changed. On the main
    /// thread only.
    pub fn announce(&self, event: &CStr) {
        // SAFETY: this is the main thread, which holds the server's lock. The context and the string are made and freed
        // here.
        unsafe {
            let ctx = raw::RedisModule_GetThreadSafeContext.unwrap()(ptr::null_mut());
            raw::RedisModule_SelectDb.unwrap()(ctx, self.database);
            let name = raw::RedisModule_CreateString.unwrap()(
                ctx,
                self.name.as_ptr().cast(),
                self.name.len(),
            );
            raw::RedisModule_SignalModifiedKey.unwrap()(ctx, name);
            raw::RedisModule_NotifyKeyspaceEvent.unwrap()(
                ctx,
                raw::REDISMODULE_NOTIFY_MODULE,
                event.as_ptr(),
                name,
            );
            raw::RedisModule_FreeString.unwrap()(ctx, name);
            raw::RedisModule_FreeThreadSafeContext.unwrap()(ctx);
        }
    }
}

/// What an open key is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Read,
    Write,
}

/// A key by its name, in the database of a command.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    ctx: &'a Ctx,
    name: *mut raw::RedisModuleString,
}

impl<'a> Named<'a> {
    /// The key that argument 1 names.
    #[inline]
    pub fn of(ctx: &'a Ctx, args: Args<'a>) -> Self {
        Self {
            ctx,
            name: args.argv[1],
        }
    }

    /// Its name and database, for when the command is over.
    pub fn full_name(&self) -> KeyName {
        KeyName {
            database: self.database(),
            name: self.name().into(),
        }
    }

    /// The number of its database.
    pub fn database(&self) -> c_int {
        // SAFETY: the context is valid for the time of the command.
        unsafe { raw::RedisModule_GetSelectedDb.unwrap()(self.ctx.raw) }
    }

    /// Its name.
    pub fn name(&self) -> &'a [u8] {
        // SAFETY: the name is an argument of the command, or lives for `'a`.
        unsafe { string_bytes(self.name) }
    }

    pub fn ctx(&self) -> &'a Ctx {
        self.ctx
    }

    /// Whether there is something under it: a look-up for reading, which counts as a hit or a miss and ends what has expired.
    /// The key does not become a more recent one by it.
    #[inline]
    pub fn exists(&self) -> bool {
        // SAFETY: context and name are valid for the time of the command.
        unsafe { raw::RedisModule_KeyExists.unwrap()(self.ctx.raw, self.name) != 0 }
    }

    /// Tells those who listen to keyspace events that something happened to this key.
    #[inline]
    pub fn notify(&self, event: &CStr) {
        // SAFETY: context and name are valid for the time of the command; the event is copied.
        unsafe {
            raw::RedisModule_NotifyKeyspaceEvent.unwrap()(
                self.ctx.raw,
                raw::REDISMODULE_NOTIFY_MODULE,
                event.as_ptr(),
                self.name,
            )
        };
    }

    /// Tells clients that watch or cache this key that it has changed.
    #[inline]
    pub fn signal_modified(&self) {
        // SAFETY: context and name are valid for the time of the command.
        unsafe { raw::RedisModule_SignalModifiedKey.unwrap()(self.ctx.raw, self.name) };
    }
}

/// An open key.
pub struct Key<'a> {
    raw: *mut raw::RedisModuleKey,
    named: Named<'a>,
}

impl<'a> Deref for Key<'a> {
    type Target = Named<'a>;

    #[inline]
    fn deref(&self) -> &Named<'a> {
        &self.named
    }
}

impl<'a> Key<'a> {
    /// Opens the key that argument 1 names.
    #[inline]
    pub fn open(ctx: &'a Ctx, args: Args<'a>, mode: Mode) -> Self {
        Self::open_named(Named::of(ctx, args), mode)
    }

    /// Looks up what has that name.
    #[inline]
    pub fn open_named(named: Named<'a>, mode: Mode) -> Self {
        let flags = match mode {
            Mode::Read => raw::REDISMODULE_READ,
            Mode::Write => raw::REDISMODULE_READ | raw::REDISMODULE_WRITE,
        };
        // SAFETY: context and name are valid for the time of the command.
        let raw =
            unsafe { raw::RedisModule_OpenKey.unwrap()(named.ctx.raw, named.name, flags as c_int) };
        Self { raw, named }
    }

    /// Opens a key by its name, in the database of the context, and hands it to `look`.
    pub fn with<T>(ctx: &Ctx, name: &[u8], mode: Mode, look: impl FnOnce(&mut Key<'_>) -> T) -> T {
        let strings = Strings::of(&[Word::Bytes(name)]);
        let named = Named {
            ctx,
            name: strings.0[0],
        };
        let mut key = Key::open_named(named, mode);
        let result = look(&mut key);
        drop(key);
        drop(strings);
        result
    }

    /// Whether there is nothing under this key.
    pub fn is_empty(&self) -> bool {
        // SAFETY: a key that does not exist may be null, which the server allows here.
        unsafe {
            raw::RedisModule_KeyType.unwrap()(self.raw) == raw::REDISMODULE_KEYTYPE_EMPTY as c_int
        }
    }

    /// Whether it goes away by itself one day.
    pub fn expires(&self) -> bool {
        // SAFETY: the key is open, or null, which the server allows here.
        unsafe {
            raw::RedisModule_GetExpire.unwrap()(self.raw)
                != raw::mstime_t::from(raw::REDISMODULE_NO_EXPIRE)
        }
    }

    #[inline]
    fn raw_value<T>(&self, data_type: &TypeHandle<T>) -> Option<NonNull<T>> {
        let data_type = data_type.raw();
        // SAFETY: a null key is allowed; the type is compared.
        unsafe {
            if data_type.is_null()
                || raw::RedisModule_ModuleTypeGetType.unwrap()(self.raw) != data_type
            {
                return None;
            }
            NonNull::new(raw::RedisModule_ModuleTypeGetValue.unwrap()(self.raw).cast::<T>())
        }
    }

    /// The value of a key of that type, for as long as the key is open.
    #[inline]
    pub fn value<T>(&self, data_type: &TypeHandle<T>) -> Option<&T> {
        // SAFETY: the handle guarantees that it is a `T`. It lives until the key is deleted, which does not
        // happen while the key is open; changing it takes the key by `&mut`.
        self.raw_value(data_type)
            .map(|value| unsafe { value.as_ref() })
    }

    /// The value of a key of that type, to be changed; `None` also while it is [shared](Self::share).
    pub fn value_mut<T>(&mut self, data_type: &TypeHandle<T>) -> Option<&mut T> {
        let mut value = self.raw_value(data_type)?;
        // SAFETY: by the word of the handle it came from an `Arc`, of which the server has one count. If there is no other,
        // nothing else has a pointer to it, and this handle of the key is borrowed for as long as the value is.
        unsafe {
            let mut counted = ManuallyDrop::new(Arc::from_raw(value.as_ptr()));
            Arc::get_mut(&mut counted)?;
            Some(value.as_mut())
        }
    }

    /// The value of a key of that type, also beyond the time when the key is open.
    pub fn share<T>(&self, data_type: &TypeHandle<T>) -> Option<Arc<T>> {
        let value = self.raw_value(data_type)?.as_ptr();
        // SAFETY: as in `value_mut`; the server's count stays.
        Some(unsafe {
            Arc::increment_strong_count(value);
            Arc::from_raw(value)
        })
    }

    /// Gives an empty key its value.
    pub fn set_value<T>(&mut self, data_type: &TypeHandle<T>, value: Arc<T>) {
        // SAFETY: the key is open for writing; the server owns this count of the value from now on, and gives it up by the
        // type's `free`.
        unsafe {
            raw::RedisModule_ModuleTypeSetValue.unwrap()(
                self.raw,
                data_type.raw(),
                Arc::into_raw(value).cast_mut().cast(),
            );
        }
    }
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once; null is allowed.
        unsafe { raw::RedisModule_CloseKey.unwrap()(self.raw) };
    }
}

/// An open key and its value.
pub struct OpenValue<'a, T> {
    /// Kept open.
    _key: Key<'a>,
    value: NonNull<T>,
}

impl<'a, T> OpenValue<'a, T> {
    /// Gives the key back if it has no value of that type.
    #[inline]
    pub fn of(key: Key<'a>, data_type: &TypeHandle<T>) -> Result<Self, Key<'a>> {
        match key.raw_value(data_type) {
            Some(value) => Ok(Self { _key: key, value }),
            None => Err(key),
        }
    }
}

impl<T> Deref for OpenValue<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: as in `Key::value`: the key is in here, so that it is open and nothing changes its value.
        unsafe { self.value.as_ref() }
    }
}

/// The name of the key that a value is being loaded for; `None` if the server does not say.
///
/// # Safety
/// The server has passed `io` to a callback that loads a value, which has not returned yet.
pub(super) unsafe fn name_of_key_of(io: *mut raw::RedisModuleIO) -> Option<KeyName> {
    // SAFETY: by the caller's word. The name is the server's, and lives as long as `io`.
    unsafe {
        let name = raw::RedisModule_GetKeyNameFromIO.unwrap()(io);
        (!name.is_null()).then(|| KeyName {
            database: raw::RedisModule_GetDbIdFromIO.unwrap()(io),
            name: string_bytes(name).into(),
        })
    }
}

/// Hands `look` the key that a value is being loaded for, as it is before; `None` if there is no such key.
///
/// # Safety
/// The server has passed `io` to a callback that loads a value, on the main thread, and that has not returned yet.
pub(super) unsafe fn with_key_of<T>(
    io: *mut raw::RedisModuleIO,
    look: impl FnOnce(Option<&mut Key<'_>>) -> T,
) -> T {
    // SAFETY: by the caller's word. The name is the server's, and lives as long as `io`; it may be on the server's stack, so
    // that it is copied. The context and the copy are freed below, after the key was closed.
    let (ctx, name) = unsafe {
        let name = raw::RedisModule_GetKeyNameFromIO.unwrap()(io);
        if name.is_null() {
            return look(None);
        }
        let ctx = raw::RedisModule_GetThreadSafeContext.unwrap()(ptr::null_mut());
        raw::RedisModule_SelectDb.unwrap()(ctx, raw::RedisModule_GetDbIdFromIO.unwrap()(io));
        let bytes = string_bytes(name);
        let copy = raw::RedisModule_CreateString.unwrap()(
            ptr::null_mut(),
            bytes.as_ptr().cast(),
            bytes.len(),
        );
        (Ctx::new(ctx), copy)
    };
    let flags = raw::REDISMODULE_READ | raw::REDISMODULE_OPEN_KEY_NOTOUCH;
    // SAFETY: context and name were made above.
    let raw = unsafe { raw::RedisModule_OpenKey.unwrap()(ctx.raw, name, flags as c_int) };
    let mut key = Key {
        raw,
        named: Named { ctx: &ctx, name },
    };
    let result = catch_unwind(AssertUnwindSafe(|| {
        look((!key.is_empty()).then_some(&mut key))
    }));
    drop(key);
    // SAFETY: nothing refers to them any more, and each is freed once.
    unsafe {
        raw::RedisModule_FreeString.unwrap()(ptr::null_mut(), name);
        raw::RedisModule_FreeThreadSafeContext.unwrap()(ctx.raw);
    }
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
