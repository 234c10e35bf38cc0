//! What a client is answered.

use std::ffi::{CStr, CString};

use redis_module::raw;

use crate::redis::server::context::Ctx;
use crate::redis::server::failure::Failure;

/// How a client may be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resp {
    Two,
    Three,
}

impl Ctx {
    pub fn resp(&self) -> Resp {
        if self.flags() & raw::REDISMODULE_CTX_FLAGS_RESP3 != 0 {
            Resp::Three
        } else {
            Resp::Two
        }
    }

    /// Replies with an error.
    pub fn reply_failure(&self, failure: &Failure) {
        match failure {
            // SAFETY: as in `flags`.
            Failure::WrongArity => unsafe {
                raw::RedisModule_WrongArity.unwrap()(self.raw);
            },
            Failure::WrongType => self
                .reply_error(c"WRONGTYPE Operation against a key holding the wrong kind of value"),
            Failure::Cold(_) | Failure::Message(_) => {
                self.reply_error(&line(&format!("ERR {failure}")));
            }
        }
    }

    fn reply_error(&self, text: &CStr) {
        // SAFETY: as in `flags`; the text is copied.
        unsafe { raw::RedisModule_ReplyWithError.unwrap()(self.raw, text.as_ptr()) };
    }

    #[inline]
    pub fn reply_integer(&self, value: i64) {
        // SAFETY: as in `flags`.
        unsafe { raw::RedisModule_ReplyWithLongLong.unwrap()(self.raw, value) };
    }

    /// Replies with a number of things; there are never more than 2^63.
    pub fn reply_count(&self, count: u64) {
        self.reply_integer(count.cast_signed());
    }

    pub fn reply_null(&self) {
        // SAFETY: as in `flags`.
        unsafe { raw::RedisModule_ReplyWithNull.unwrap()(self.raw) };
    }

    #[inline]
    pub fn reply_bulk(&self, bytes: &[u8]) {
        // SAFETY: as in `flags`; the bytes are copied.
        unsafe {
            raw::RedisModule_ReplyWithStringBuffer.unwrap()(
                self.raw,
                bytes.as_ptr().cast(),
                bytes.len(),
            )
        };
    }

    pub fn reply_ok(&self) {
        // SAFETY: as in `reply_error`.
        unsafe { raw::RedisModule_ReplyWithSimpleString.unwrap()(self.raw, c"OK".as_ptr()) };
    }

    /// A double of RESP3.
    pub fn reply_double(&self, value: f64) {
        // SAFETY: as in `flags`.
        unsafe { raw::RedisModule_ReplyWithDouble.unwrap()(self.raw, value) };
    }

    /// A big number of RESP3.
    pub fn reply_big_number(&self, digits: &[u8]) {
        // SAFETY: as in `reply_bulk`.
        unsafe {
            raw::RedisModule_ReplyWithBigNumber.unwrap()(
                self.raw,
                digits.as_ptr().cast(),
                digits.len(),
            )
        };
    }

    /// Begins an array of `len` replies, which must follow.
    pub fn reply_array(&self, len: usize) {
        // SAFETY: as in `flags`.
        unsafe { raw::RedisModule_ReplyWithArray.unwrap()(self.raw, len as _) };
    }

    /// Begins a map of `len` pairs, which must follow: in RESP2 an array of twice as many replies.
    pub fn reply_map(&self, len: usize) {
        // SAFETY: as in `flags`.
        unsafe { raw::RedisModule_ReplyWithMap.unwrap()(self.raw, len as _) };
    }

    /// Begins an array whose length is known when it ends.
    pub fn reply_array_of_unknown_length(&self) -> OpenArray<'_> {
        // SAFETY: as in `flags`.
        unsafe {
            raw::RedisModule_ReplyWithArray.unwrap()(self.raw, raw::REDISMODULE_POSTPONED_LEN as _)
        };
        OpenArray { ctx: self }
    }
}

/// A reply that has begun.
pub struct OpenArray<'a> {
    ctx: &'a Ctx,
}

impl OpenArray<'_> {
    /// Says how many elements came.
    pub fn end(self, len: u64) {
        // SAFETY: the context is that of the array, which was begun with an unknown length.
        unsafe { raw::RedisModule_ReplySetArrayLength.unwrap()(self.ctx.raw, len as _) };
    }
}

/// A text as one C string without line breaks, which would end a reply early.
pub fn line(text: &str) -> CString {
    let bytes: Vec<u8> = text
        .bytes()
        .map(|byte| if byte.is_ascii_control() { b' ' } else { byte })
        .collect();
    CString::new(bytes).expect("control characters were replaced")
}
