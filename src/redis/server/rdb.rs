//! The server's side of an RDB or a dump, to write to and to read from.

use redis_module::raw;

use crate::redis::server::key::{Key, KeyName, name_of_key_of, with_key_of};

/// What is being saved.
pub struct RdbWriter(*mut raw::RedisModuleIO);

impl RdbWriter {
    /// # Safety
    /// The server has given the handle to a callback that saves, which returns after the last use of this.
    pub(super) unsafe fn from_raw(raw: *mut raw::RedisModuleIO) -> Self {
        Self(raw)
    }

    pub fn bytes(&self, bytes: &[u8]) {
        // SAFETY: the handle is valid by the word of `from_raw`; the bytes are copied.
        unsafe {
            raw::RedisModule_SaveStringBuffer.unwrap()(self.0, bytes.as_ptr().cast(), bytes.len());
        }
    }

    pub fn number(&self, number: u64) {
        // SAFETY: as above.
        unsafe { raw::RedisModule_SaveUnsigned.unwrap()(self.0, number) };
    }

    pub fn failed(&self) -> bool {
        // SAFETY: as above.
        unsafe { raw::RedisModule_IsIOError.unwrap()(self.0) != 0 }
    }
}

/// What is being loaded.
pub struct RdbReader(*mut raw::RedisModuleIO);

/// Why an RDB or a dump cannot be loaded.
pub struct Damaged(pub String);

impl<E: std::fmt::Display> From<E> for Damaged {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl RdbReader {
    /// # Safety
    /// The server has given the handle to a callback that loads, on the main thread, which returns after the last use of this.
    pub(super) unsafe fn from_raw(raw: *mut raw::RedisModuleIO) -> Self {
        Self(raw)
    }

    /// The next string, handed to `read`.
    pub fn bytes<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Result<T, Damaged> {
        let mut len = 0;
        // SAFETY: the handle is valid by the word of `from_raw`; the server answers null on an error, else `len` bytes that
        // are ours to free.
        unsafe {
            let bytes = raw::RedisModule_LoadStringBuffer.unwrap()(self.0, &raw mut len);
            if bytes.is_null() {
                return Err(Damaged("the data end early".to_owned()));
            }
            let result = read(std::slice::from_raw_parts(bytes.cast(), len));
            raw::RedisModule_Free.unwrap()(bytes.cast());
            Ok(result)
        }
    }

    pub fn number(&self) -> Result<u64, Damaged> {
        // SAFETY: as above.
        let number = unsafe { raw::RedisModule_LoadUnsigned.unwrap()(self.0) };
        // SAFETY: as above.
        if unsafe { raw::RedisModule_IsIOError.unwrap()(self.0) } != 0 {
            return Err(Damaged("the data end early".to_owned()));
        }
        Ok(number)
    }

    pub fn text(&self) -> Result<String, Damaged> {
        self.bytes(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The name of the key that the value is for; `None` if the server does not say.
    pub fn key_name(&self) -> Option<KeyName> {
        // SAFETY: by the word of `from_raw`.
        unsafe { name_of_key_of(self.0) }
    }

    /// Hands `look` the key that the value is for, as it is before; `None` if there is no such key.
    pub fn with_key<T>(&self, look: impl FnOnce(Option<&mut Key<'_>>) -> T) -> T {
        // SAFETY: by the word of `from_raw`.
        unsafe { with_key_of(self.0, look) }
    }
}
