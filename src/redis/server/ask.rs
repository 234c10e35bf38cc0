//! What the server can be asked for: its commands, its settings, `INFO`.

use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::{ptr, slice};

use redis_module::raw;

use crate::redis::server::context::Ctx;
use crate::redis::server::words::{Strings, Word};

impl Ctx {
    /// Carries out a command of the server. What it answers is not looked at.
    pub fn call(&self, command: &CStr, words: &[Word<'_>]) {
        drop(self.ask(command, words));
    }

    /// What the server answers to a command, unless it refuses it.
    fn ask(&self, command: &CStr, words: &[Word<'_>]) -> Option<CallReply> {
        let strings = Strings::of(words);
        // SAFETY: the context is that of a callback on the main thread; the format takes an array and its length, which
        // the server only reads.
        let reply = unsafe {
            raw::RedisModule_Call.unwrap()(
                self.raw,
                command.as_ptr(),
                c"v".as_ptr(),
                strings.0.as_ptr(),
                strings.0.len(),
            )
        };
        (!reply.is_null()).then_some(CallReply(reply))
    }

    /// Whether the server saves an RDB file or an AOF in the background.
    pub fn is_saving(&self) -> bool {
        let info = self.server_info(c"persistence");
        info.number(c"rdb_bgsave_in_progress") + info.number(c"aof_rewrite_in_progress") > 0
    }

    /// What `INFO section` says.
    pub fn server_info(&self, section: &CStr) -> ServerInfo {
        // SAFETY: as in `flags`; without a context for it, the data are ours to free.
        let data =
            unsafe { raw::RedisModule_GetServerInfo.unwrap()(ptr::null_mut(), section.as_ptr()) };
        ServerInfo { data }
    }

    /// A number among the server's settings, as `CONFIG GET` answers it.
    pub fn config_number(&self, name: &CStr) -> Option<u64> {
        std::str::from_utf8(&self.config_text(name)?)
            .ok()?
            .parse()
            .ok()
    }

    /// A setting of the server's, as `CONFIG GET` answers it.
    pub fn config_text(&self, name: &CStr) -> Option<Vec<u8>> {
        let words = [b"GET", name.to_bytes()].map(Word::Bytes);
        let reply = self.ask(c"CONFIG", &words)?;
        Some(reply.element(1)?.to_vec())
    }

    /// Adds a sample in milliseconds to `LATENCY`. On the main thread.
    pub fn add_latency_sample(&self, event: &CStr, milliseconds: i64) {
        // SAFETY: the server copies the name.
        unsafe { raw::RedisModule_LatencyAddSample.unwrap()(event.as_ptr(), milliseconds) };
    }

    /// The paths that modules were loaded from, as `MODULE LIST` answers them.
    pub fn module_paths(&self) -> Vec<Vec<u8>> {
        let Some(reply) = self.ask(c"MODULE", &[Word::Bytes(b"LIST")]) else {
            return Vec::new();
        };
        let path_in = |module: &CallReply| {
            let mut names = (0..).step_by(2).map_while(|at| module.element(at));
            let at = names.position(|name| name == b"path")?;
            module.element(2 * at + 1).map(<[u8]>::to_vec)
        };
        (0..)
            .map_while(|index| reply.with_element(index, path_in))
            .flatten()
            .collect()
    }
}

/// What a command of the server answered.
struct CallReply(*mut raw::RedisModuleCallReply);

impl CallReply {
    /// An element of an array, if it is a string.
    fn element(&self, index: usize) -> Option<&[u8]> {
        let mut len = 0;
        let element = self.raw_element(index)?;
        // SAFETY: the reply lives, and with it what it holds; the server answers null where it is no string.
        unsafe {
            let text = raw::RedisModule_CallReplyStringPtr.unwrap()(element, &raw mut len);
            (!text.is_null()).then(|| slice::from_raw_parts(text.cast(), len))
        }
    }

    /// Hands `look` an element of an array, if there is one: it is freed with the array.
    fn with_element<T>(&self, index: usize, look: impl FnOnce(&Self) -> T) -> Option<T> {
        self.raw_element(index)
            .map(|element| look(&ManuallyDrop::new(Self(element))))
    }

    fn raw_element(&self, index: usize) -> Option<*mut raw::RedisModuleCallReply> {
        // SAFETY: the reply lives; the server answers null where there is no such element.
        let element = unsafe { raw::RedisModule_CallReplyArrayElement.unwrap()(self.0, index) };
        (!element.is_null()).then_some(element)
    }
}

impl Drop for CallReply {
    fn drop(&mut self) {
        // SAFETY: it came from `RedisModule_Call`, and is freed once.
        unsafe { raw::RedisModule_FreeCallReply.unwrap()(self.0) };
    }
}

/// A section of `INFO`.
pub struct ServerInfo {
    data: *mut raw::RedisModuleServerInfoData,
}

impl ServerInfo {
    /// A field, if there is one of that name.
    pub fn field(&self, name: &CStr) -> Option<&[u8]> {
        // SAFETY: the data live as long as `self`, and so does the text, which is NUL-terminated.
        unsafe {
            let text = raw::RedisModule_ServerInfoGetFieldC.unwrap()(self.data, name.as_ptr());
            (!text.is_null()).then(|| CStr::from_ptr(text).to_bytes())
        }
    }

    /// A field that is a number; 0 where it is missing.
    pub fn number(&self, name: &CStr) -> u64 {
        self.field(name)
            .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for ServerInfo {
    fn drop(&mut self) {
        // SAFETY: made by `server_info` without a context, freed once.
        unsafe { raw::RedisModule_FreeServerInfo.unwrap()(ptr::null_mut(), self.data) };
    }
}

/// Whether writes are to wait, and nothing may be sent to replicas, as by `CLIENT PAUSE` and during `FAILOVER`. On the
/// main thread only.
pub fn writes_are_paused() -> bool {
    // SAFETY: the call takes nothing.
    unsafe { raw::RedisModule_AvoidReplicaTraffic.is_some_and(|ask| ask() != 0) }
}
