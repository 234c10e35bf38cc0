//! The module API as safe Rust, as far as the hot path needs it: `redis-module`'s own command path copies and
//! retains every argument. All raw calls of command handlers are here.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use redis_module::raw;

/// Why a command fails.
#[derive(Debug)]
pub enum Failure {
    WrongArity,
    WrongType,
    /// Anything else: the text after `ERR `.
    Message(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Message(error.to_string())
    }
}

impl Failure {
    /// The failure of a command that panicked.
    pub fn internal() -> Self {
        Self::Message("internal error of the mmap module; see the server's log".to_owned())
    }
}

pub type Outcome = Result<(), Failure>;

/// The arguments of a command; number 0 is its name.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    argv: &'a [*mut raw::RedisModuleString],
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
        string_bytes(self.argv[index])
    }

    /// The arguments from `index` on.
    #[inline]
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + 'a {
        self.argv[index..]
            .iter()
            .map(|&string| string_bytes(string))
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

/// The bytes of a server string. `'a` is the caller's to choose: the time for which the server keeps it.
#[inline]
pub fn string_bytes<'a>(string: *const raw::RedisModuleString) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: `string` is one of the server's; it answers a pointer to `len` bytes that lives as long as it.
    unsafe {
        let bytes = raw::RedisModule_StringPtrLen.unwrap_unchecked()(string, &raw mut len);
        slice::from_raw_parts(bytes.cast(), len)
    }
}

/// The context of a callback.
pub struct Ctx {
    raw: *mut raw::RedisModuleCtx,
}

/// How a client may be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resp {
    Two,
    Three,
}

impl Ctx {
    pub fn new(raw: *mut raw::RedisModuleCtx) -> Self {
        Self { raw }
    }

    pub fn raw(&self) -> *mut raw::RedisModuleCtx {
        self.raw
    }

    fn flags(&self) -> u32 {
        // SAFETY: the context is valid for as long as the callback runs.
        unsafe { raw::RedisModule_GetContextFlags.unwrap()(self.raw) as u32 }
    }

    pub fn resp(&self) -> Resp {
        if self.flags() & raw::REDISMODULE_CTX_FLAGS_RESP3 != 0 {
            Resp::Three
        } else {
            Resp::Two
        }
    }

    /// Whether the server is reading its own AOF or RDB.
    pub fn is_loading(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_LOADING != 0
    }

    /// Whether the client of this command can be kept waiting: not in `MULTI`, in a script, or when the
    /// command comes from the primary.
    pub fn may_block(&self) -> bool {
        let inline = raw::REDISMODULE_CTX_FLAGS_MULTI
            | raw::REDISMODULE_CTX_FLAGS_LUA
            | raw::REDISMODULE_CTX_FLAGS_REPLICATED
            | raw::REDISMODULE_CTX_FLAGS_LOADING
            | raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING;
        self.flags() & inline == 0
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
            Failure::Message(message) => self.reply_error(&line(&format!("ERR {message}"))),
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

    /// Begins an array whose length is known when it ends.
    pub fn reply_array_of_unknown_length(&self) -> OpenArray<'_> {
        // SAFETY: as in `flags`.
        unsafe {
            raw::RedisModule_ReplyWithArray.unwrap()(self.raw, raw::REDISMODULE_POSTPONED_LEN as _)
        };
        OpenArray { ctx: self }
    }

    /// Sends the command, as it came, to the AOF and to replicas.
    pub fn replicate_verbatim(&self) {
        // SAFETY: as in `flags`.
        unsafe { raw::RedisModule_ReplicateVerbatim.unwrap()(self.raw) };
    }

    /// Sends another command than the one that came to the AOF and to replicas.
    pub fn replicate(&self, name: &CStr, words: &[&[u8]]) {
        let format = CString::new("b".repeat(words.len())).expect("there is no NUL in it");
        let word = |i: usize| words.get(i).copied().unwrap_or_default();
        assert!(
            words.len() <= 5,
            "a call has as many arguments as are passed below"
        );
        // SAFETY: the format says how many of the pairs of pointer and length that follow are read.
        unsafe {
            raw::RedisModule_Replicate.unwrap()(
                self.raw,
                name.as_ptr(),
                format.as_ptr(),
                word(0).as_ptr(),
                word(0).len(),
                word(1).as_ptr(),
                word(1).len(),
                word(2).as_ptr(),
                word(2).len(),
                word(3).as_ptr(),
                word(3).len(),
                word(4).as_ptr(),
                word(4).len(),
            );
        }
    }

    /// Keeps the client waiting, not the server. The reply comes when the [`Waiting`] is over.
    pub fn block(&self) -> Waiting {
        // SAFETY: as in `flags`. There is no timeout; a client that goes away has its reply freed.
        let client = unsafe {
            raw::RedisModule_BlockClient.unwrap()(
                self.raw,
                Some(reply_to_waiting),
                None,
                Some(free_pending),
                0,
            )
        };
        Waiting { client }
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
fn line(text: &str) -> CString {
    let bytes: Vec<u8> = text
        .bytes()
        .map(|byte| if byte.is_ascii_control() { b' ' } else { byte })
        .collect();
    CString::new(bytes).expect("control characters were replaced")
}

/// How a waiting client is answered.
pub type Pending = Box<dyn FnOnce(&Ctx) -> Outcome + Send>;

/// A client that waits.
pub struct Waiting {
    client: *mut raw::RedisModuleBlockedClient,
}

// SAFETY: the server allows a blocked client to be unblocked from any thread.
unsafe impl Send for Waiting {}

impl Waiting {
    /// Ends the wait; `reply` runs on the server's main thread, unless the client is gone.
    pub fn end(self, reply: Pending) {
        let reply = Box::into_raw(Box::new(reply)).cast::<c_void>();
        // SAFETY: `client` was blocked and is unblocked once; `free_pending` frees the reply.
        unsafe { raw::RedisModule_UnblockClient.unwrap()(self.client, reply) };
    }
}

extern "C" fn reply_to_waiting(
    raw_ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    let ctx = Ctx { raw: raw_ctx };
    // SAFETY: the private data is what `Waiting::end` made, and is freed only after this callback.
    let reply = unsafe {
        let data = raw::RedisModule_GetBlockedClientPrivateData.unwrap()(raw_ctx);
        &mut *data.cast::<Pending>()
    };
    let reply = std::mem::replace(reply, Box::new(|_| Ok(())));
    match catch_unwind(AssertUnwindSafe(|| reply(&ctx))) {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => ctx.reply_failure(&failure),
        Err(_) => ctx.reply_failure(&Failure::internal()),
    }
    raw::REDISMODULE_OK as c_int
}

extern "C" fn free_pending(_ctx: *mut raw::RedisModuleCtx, data: *mut c_void) {
    // SAFETY: made by `Waiting::end`, and freed by the server's one call of this.
    drop(unsafe { Box::from_raw(data.cast::<Pending>()) });
}

/// Has the server run `work` on its main thread, soon. It can be called from any thread.
pub fn on_main_thread(work: Box<dyn FnOnce() + Send>) {
    let work = Box::into_raw(Box::new(work)).cast::<c_void>();
    // SAFETY: the callback frees what it gets, and the server calls it once. The call fails only without a callback.
    unsafe { raw::RedisModule_EventLoopAddOneShot.unwrap()(Some(run_work), work) };
}

extern "C" fn run_work(work: *mut c_void) {
    // SAFETY: made by `on_main_thread`, for this one call.
    let work = unsafe { Box::from_raw(work.cast::<Box<dyn FnOnce() + Send>>()) };
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("work on the main thread panicked: this is a bug in the mmap module");
    }
}

/// The name of a key in its database, when its command is over.
pub struct KeyName {
    database: c_int,
    name: Box<[u8]>,
}

impl KeyName {
    /// Tells clients that watch or cache this key that it has changed. On the main thread only.
    pub fn signal_modified(&self) {
        // SAFETY: this is the main thread, which holds the server's lock. The context and the string are made and freed
        // here.
        unsafe {
            let ctx = raw::RedisModule_GetThreadSafeContext.unwrap()(std::ptr::null_mut());
            raw::RedisModule_SelectDb.unwrap()(ctx, self.database);
            let name = raw::RedisModule_CreateString.unwrap()(
                ctx,
                self.name.as_ptr().cast(),
                self.name.len(),
            );
            raw::RedisModule_SignalModifiedKey.unwrap()(ctx, name);
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

/// An open key.
pub struct Key<'a> {
    raw: *mut raw::RedisModuleKey,
    ctx: &'a Ctx,
    name: *mut raw::RedisModuleString,
}

impl<'a> Key<'a> {
    /// Opens the key that argument 1 names.
    #[inline]
    pub fn open(ctx: &'a Ctx, args: Args<'_>, mode: Mode) -> Self {
        let flags = match mode {
            Mode::Read => raw::REDISMODULE_READ,
            Mode::Write => raw::REDISMODULE_READ | raw::REDISMODULE_WRITE,
        };
        let name = args.argv[1];
        // SAFETY: context and name are valid for the time of the command.
        let raw = unsafe { raw::RedisModule_OpenKey.unwrap()(ctx.raw, name, flags as c_int) };
        Self { raw, ctx, name }
    }

    /// Whether there is nothing under this key.
    pub fn is_empty(&self) -> bool {
        // SAFETY: a key that does not exist may be null, which the server allows here.
        unsafe {
            raw::RedisModule_KeyType.unwrap()(self.raw) == raw::REDISMODULE_KEYTYPE_EMPTY as c_int
        }
    }

    /// The value of a key of that type.
    ///
    /// # Safety
    /// All values of `data_type` must be a `Box<T>` turned into a pointer.
    #[inline]
    pub unsafe fn value<T>(&self, data_type: *mut raw::RedisModuleType) -> Option<&'a mut T> {
        // SAFETY: a null key is allowed; the type was compared; by the caller's word it is a `T`, which
        // lives until the key is deleted, after the command. One reference exists: one key handle does.
        unsafe {
            if raw::RedisModule_ModuleTypeGetType.unwrap()(self.raw) != data_type {
                return None;
            }
            Some(&mut *raw::RedisModule_ModuleTypeGetValue.unwrap()(self.raw).cast::<T>())
        }
    }

    /// Gives an empty key its value.
    pub fn set_value<T>(&self, data_type: *mut raw::RedisModuleType, value: Box<T>) {
        // SAFETY: the key is open for writing; the server owns the value from now on, and frees it by the
        // type's `free`.
        unsafe {
            raw::RedisModule_ModuleTypeSetValue.unwrap()(
                self.raw,
                data_type,
                Box::into_raw(value).cast(),
            );
        }
    }

    /// Its name and database, for when the command is over.
    pub fn full_name(&self) -> KeyName {
        KeyName {
            // SAFETY: the context is valid for the time of the command.
            database: unsafe { raw::RedisModule_GetSelectedDb.unwrap()(self.ctx.raw) },
            name: self.name().into(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'a [u8] {
        string_bytes(self.name)
    }

    /// Tells clients that watch or cache this key that it has changed.
    #[inline]
    pub fn signal_modified(&self) {
        // SAFETY: context and name are valid for the time of the command.
        unsafe { raw::RedisModule_SignalModifiedKey.unwrap()(self.ctx.raw, self.name) };
    }
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once; null is allowed.
        unsafe { raw::RedisModule_CloseKey.unwrap()(self.raw) };
    }
}

/// Writes a line to the server's log.
pub fn log(ctx: *mut raw::RedisModuleCtx, level: &CStr, text: &str) {
    let text = line(text);
    // SAFETY: the format takes one C string; the server allows a detached or null context from any thread.
    unsafe {
        raw::RedisModule_Log.unwrap()(
            ctx,
            level.as_ptr(),
            c"%s".as_ptr().cast::<c_char>(),
            text.as_ptr(),
        );
    }
}
