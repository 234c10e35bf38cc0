//! Commands that the module makes: for the AOF, for replicas, for the server itself.

use std::ffi::CStr;
use std::ptr;

use redis_module::raw;

use crate::redis::server::context::Ctx;

/// Who is to get a propagated command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    Aof,
    Replicas,
    /// No one: the server only counts a change, for its next snapshot.
    SnapshotOnly,
}

/// An argument of a propagated command.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

/// Strings of the server.
pub(super) struct Strings(pub(super) Vec<*mut raw::RedisModuleString>);

impl Strings {
    pub(super) fn of(words: &[Word<'_>]) -> Self {
        let create = |bytes: &[u8]| {
            // SAFETY: the bytes are copied; without a context the string is ours.
            unsafe {
                raw::RedisModule_CreateString.unwrap()(
                    ptr::null_mut(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                )
            }
        };
        let string = |word: &Word<'_>| match word {
            Word::Bytes(bytes) => create(bytes),
            Word::Number(number) => create(number.to_string().as_bytes()),
        };
        Self(words.iter().map(string).collect())
    }
}

impl Drop for Strings {
    fn drop(&mut self) {
        for &string in &self.0 {
            // SAFETY: made by `of` without a context, given up once.
            unsafe { raw::RedisModule_FreeString.unwrap()(ptr::null_mut(), string) };
        }
    }
}

impl Ctx {
    /// Sends a command to the AOF or to replicas, with the database of this context.
    pub fn propagate(&self, to: Audience, command: &CStr, words: &[Word<'_>]) {
        let format = match to {
            Audience::Aof => c"vR",
            Audience::Replicas => c"vA",
            Audience::SnapshotOnly => c"vAR",
        };
        let strings = Strings::of(words);
        // SAFETY: the format takes an array and its length; the server retains the strings.
        unsafe {
            raw::RedisModule_Replicate.unwrap()(
                self.raw,
                command.as_ptr(),
                format.as_ptr(),
                strings.0.as_ptr(),
                strings.0.len(),
            );
        }
    }
}

/// Commands from which a key can be made again: those of an AOF that is being rewritten.
pub struct Aof(*mut raw::RedisModuleIO);

impl Aof {
    /// # Safety
    /// The server has given the handle for the time for which this is used.
    pub unsafe fn from_raw(raw: *mut raw::RedisModuleIO) -> Self {
        Self(raw)
    }

    /// Adds a command.
    pub fn emit(&self, command: &CStr, words: &[Word<'_>]) {
        let strings = Strings::of(words);
        // SAFETY: the handle is valid by the word of `from_raw`; the format takes an array and its length, which the server
        // only reads.
        unsafe {
            raw::RedisModule_EmitAOF.unwrap()(
                self.0,
                command.as_ptr(),
                c"v".as_ptr(),
                strings.0.as_ptr(),
                strings.0.len(),
            );
        }
    }
}
