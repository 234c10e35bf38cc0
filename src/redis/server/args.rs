//! The arguments of a command, as the server has them: `redis-module` would copy and retain each.

use std::ffi::c_int;
use std::slice;

use redis_module::raw;

use crate::redis::server::failure::{Failure, Outcome};

/// The arguments of a command; number 0 is its name.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    pub(super) argv: &'a [*mut raw::RedisModuleString],
}

impl<'a> Args<'a> {
    /// # Safety
    /// `argv` points at `argc` strings of the server, which live for `'a`.
    pub unsafe fn from_raw(argv: *mut *mut raw::RedisModuleString, argc: c_int) -> Self {
        let argv = match argc {
            // The server may pass null where there is nothing.
            0 => &[],
            // SAFETY: by the caller's word.
            _ => unsafe { slice::from_raw_parts(argv, argc as usize) },
        };
        Self { argv }
    }

    pub fn len(&self) -> usize {
        self.argv.len()
    }

    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        // SAFETY: by the word of `from_raw` the strings live for `'a`.
        unsafe { string_bytes(self.argv[index]) }
    }

    /// The arguments from `index` on.
    #[inline]
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + 'a {
        self.argv[index..]
            .iter()
            // SAFETY: as in `get`.
            .map(|&string| unsafe { string_bytes(string) })
    }

    /// The second one of each pair of arguments from `index` on.
    #[inline]
    pub fn seconds(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + 'a {
        let (pairs, _) = self.argv[index..].as_chunks();
        pairs
            .iter()
            // SAFETY: as in `get`.
            .map(|&[_, second]| unsafe { string_bytes(second) })
    }

    /// Fails if there are more arguments, the name included. That there are enough, the server sees to.
    pub fn expect_at_most(&self, count: usize) -> Outcome {
        if self.argv.len() <= count {
            Ok(())
        } else {
            Err(Failure::WrongArity)
        }
    }
}

/// The bytes of a server string.
///
/// # Safety
/// `string` is one of the server's, which keeps it and leaves it as it is for `'a`.
#[inline]
pub unsafe fn string_bytes<'a>(string: *const raw::RedisModuleString) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: by the caller's word; the server answers a pointer to `len` bytes that lives as long as the string.
    unsafe {
        let bytes = raw::RedisModule_StringPtrLen.unwrap_unchecked()(string, &raw mut len);
        slice::from_raw_parts(bytes.cast(), len)
    }
}
