//! Commands as clients send them, before the server looks them up.

use std::ffi::{CStr, c_int};
use std::ptr;

use redis_module::raw;

use crate::redis::server::args::string_bytes;
use crate::redis::server::context::Ctx;
use crate::redis::server::guarded::guarded;

/// What looks at every command of every client.
pub trait Filter {
    fn look_at(command: &mut FilteredWords);
}

/// The words of a command.
pub struct FilteredWords(*mut raw::RedisModuleCommandFilterCtx);

impl FilteredWords {
    pub fn len(&self) -> usize {
        // SAFETY: the context is valid while the filter is called, which gets this.
        let count = unsafe { raw::RedisModule_CommandFilterArgsCount.unwrap()(self.0) };
        usize::try_from(count).unwrap_or(0)
    }

    pub fn get(&self, index: usize) -> Option<&[u8]> {
        // SAFETY: as above; the server answers null where there is no such word, and keeps those that there are as long as
        // they are not replaced, for which this would have to be borrowed.
        unsafe {
            let word = raw::RedisModule_CommandFilterArgGet.unwrap()(self.0, index as c_int);
            (!word.is_null()).then(|| string_bytes(word))
        }
    }

    pub fn replace(&mut self, index: usize, word: &CStr) {
        // SAFETY: as above; the server takes the new string over.
        unsafe {
            let word = raw::RedisModule_CreateString.unwrap()(
                ptr::null_mut(),
                word.as_ptr(),
                word.count_bytes(),
            );
            raw::RedisModule_CommandFilterArgReplace.unwrap()(self.0, index as c_int, word);
        }
    }
}

/// Has a filter look at every command from now on; `false` if the server takes none.
pub fn register<F: Filter>(ctx: &Ctx) -> bool {
    // SAFETY: the context is that of OnLoad.
    let filter = unsafe {
        raw::RedisModule_RegisterCommandFilter.unwrap()(ctx.raw(), Some(look_at::<F>), 0)
    };
    !filter.is_null()
}

extern "C" fn look_at<F: Filter>(filter: *mut raw::RedisModuleCommandFilterCtx) {
    guarded("a command filter", || {
        F::look_at(&mut FilteredWords(filter))
    });
}
