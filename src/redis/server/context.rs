//! The module API as safe Rust, as far as the hot path needs it: `redis-module`'s own command path copies and
//! retains every argument. All raw calls of command handlers are here.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::{fmt, ptr, slice};

use redis_module::raw;

use crate::redis::server::detached;
use crate::storage::Cancel;
use crate::storage::cold::touched::Cold;

/// Why a command fails.
#[derive(Debug)]
pub enum Failure {
    WrongArity,
    WrongType,
    /// It cannot go on before values are in RAM: it is run again then. See [`command`](crate::redis::execution::command).
    Cold(Box<Cold>),
    /// Anything else: the text after `ERR `.
    Message(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongArity => "wrong number of arguments",
            Self::WrongType => "wrong kind of value",
            Self::Cold(_) => "values are not in RAM",
            Self::Message(text) => text,
        })
    }
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

/// The context of a callback.
pub struct Ctx {
    raw: *mut raw::RedisModuleCtx,
    /// Whether the client has waited, and is to get its reply now.
    ends_wait: bool,
}

/// How a client may be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resp {
    Two,
    Three,
}

impl Ctx {
    pub fn new(raw: *mut raw::RedisModuleCtx) -> Self {
        Self {
            raw,
            ends_wait: false,
        }
    }

    /// Whether the client has waited and is to get its reply now.
    pub fn ends_wait(&self) -> bool {
        self.ends_wait
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

    /// Whether this server is a node of a Cluster.
    pub fn is_in_cluster(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_CLUSTER != 0
    }

    /// Whether this server follows a primary. A node of a Cluster says so later than [`Self::primary_in_cluster`].
    pub fn is_replica(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_SLAVE != 0
    }

    /// Selects the database in which keys are opened.
    pub fn select(&self, database: c_int) -> bool {
        // SAFETY: as in `flags`.
        let status = unsafe { raw::RedisModule_SelectDb.unwrap()(self.raw, database) };
        status == raw::REDISMODULE_OK as c_int
    }

    /// Whether the client of this command can be kept waiting: not in `MULTI`, in a script, or when the
    /// command comes from the primary, nor twice.
    pub fn may_block(&self) -> bool {
        let inline = raw::REDISMODULE_CTX_FLAGS_MULTI
            | raw::REDISMODULE_CTX_FLAGS_LUA
            | raw::REDISMODULE_CTX_FLAGS_REPLICATED
            | raw::REDISMODULE_CTX_FLAGS_LOADING
            | raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING;
        !self.ends_wait && self.flags() & inline == 0
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

    /// Whether the command comes from the primary of this server.
    pub fn is_from_primary(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_REPLICATED != 0
    }

    /// Sends a command to the AOF or to replicas, with the database of this context.
    pub fn propagate(&self, to: Audience, command: &CStr, words: &[Word<'_>]) {
        let format = match to {
            Audience::Aof => c"vR",
            Audience::Replicas => c"vA",
            Audience::Nobody => c"vAR",
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

    /// As [`Self::block`], for work that is worth nothing to a client that goes away: then it is cancelled.
    pub fn block_with(&self, cancel: &Cancel) -> WaitingForWork {
        let waiting = self.block();
        lock(&CANCELS)
            .get_or_insert_default()
            .insert(waiting.client.addr(), cancel.clone());
        // SAFETY: the client is blocked, and cannot have gone while this command runs. A context that is made now
        // need not look at the client later, when it may have gone.
        let ctx = unsafe {
            raw::RedisModule_SetDisconnectCallback.unwrap()(waiting.client, Some(on_disconnect));
            raw::RedisModule_BlockedClientMeasureTimeStart.unwrap()(waiting.client);
            raw::RedisModule_GetThreadSafeContext.unwrap()(waiting.client)
        };
        WaitingForWork {
            resp: self.resp(),
            ctx: Ctx::new(ctx),
            waiting: Some(waiting),
        }
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

/// Whether writes are to wait, and nothing may be sent to replicas, as by `CLIENT PAUSE` and during `FAILOVER`. On the
/// main thread only.
pub fn writes_are_paused() -> bool {
    // SAFETY: the call takes nothing.
    unsafe { raw::RedisModule_AvoidReplicaTraffic.is_some_and(|ask| ask() != 0) }
}

/// What is to be cancelled when a waiting client goes away, by the address of its handle.
static CANCELS: Mutex<Option<HashMap<usize, Cancel>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

extern "C" fn on_disconnect(
    _ctx: *mut raw::RedisModuleCtx,
    client: *mut raw::RedisModuleBlockedClient,
) {
    if let Some(cancel) = lock(&CANCELS)
        .as_ref()
        .and_then(|all| all.get(&client.addr()))
    {
        cancel.cancel();
    }
}

/// Cancels all work that clients wait for.
pub fn cancel_all() {
    for cancel in lock(&CANCELS).iter().flat_map(HashMap::values) {
        cancel.cancel();
    }
}

/// Who is to get a propagated command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    Aof,
    Replicas,
    /// Nobody; but the server counts a change, for its next snapshot.
    Nobody,
}

/// An argument of a propagated command.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

/// Strings of the server.
struct Strings(Vec<*mut raw::RedisModuleString>);

impl Strings {
    fn of(words: &[Word<'_>]) -> Self {
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

/// How a waiting client is answered; it gets the arguments of its command.
pub type Pending = Box<dyn FnOnce(&Ctx, Args<'_>) -> Outcome + Send>;

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

/// A client that waits for work that another thread does. If the work is dropped undone, the client is told.
pub struct WaitingForWork {
    resp: Resp,
    ctx: Ctx,
    waiting: Option<Waiting>,
}

// SAFETY: the server allows the context of a blocked client to be used for replies on any one thread, and freed there.
unsafe impl Send for WaitingForWork {}

impl WaitingForWork {
    /// Ends the wait with a reply that is put together on this thread, without the server's lock. A reply that fails has not
    /// begun.
    pub fn reply(mut self, reply: impl FnOnce(&Ctx, Resp) -> Outcome) {
        match reply(&self.ctx, self.resp) {
            Ok(()) => self.finish(Box::new(|_, _| Ok(()))),
            Err(failure) => self.fail(failure),
        }
    }

    /// Ends the wait with a reply that is put together on the main thread.
    pub fn end(mut self, pending: Pending) {
        self.finish(pending);
    }

    /// Ends the wait with an error.
    pub fn fail(mut self, failure: Failure) {
        // Errors are counted by the server, on its own thread.
        self.finish(Box::new(|_, _| Err(failure)));
    }

    fn finish(&mut self, pending: Pending) {
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        if let Some(cancels) = lock(&CANCELS).as_mut() {
            cancels.remove(&waiting.client.addr());
        }
        // SAFETY: the client is still blocked, and the context was made for it; both are used for the last time.
        unsafe {
            raw::RedisModule_BlockedClientMeasureTimeEnd.unwrap()(waiting.client);
            raw::RedisModule_FreeThreadSafeContext.unwrap()(self.ctx.raw);
        }
        waiting.end(pending);
    }
}

impl Drop for WaitingForWork {
    fn drop(&mut self) {
        self.finish(Box::new(|_, _| Err(Failure::internal())));
    }
}

extern "C" fn reply_to_waiting(
    raw_ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    let ctx = Ctx {
        raw: raw_ctx,
        ends_wait: true,
    };
    // SAFETY: the server passes the client's `argc` strings, which live during the call.
    let args = unsafe { Args::from_raw(argv, argc) };
    // SAFETY: the private data is what `Waiting::end` made, and is freed only after this callback.
    let reply = unsafe {
        let data = raw::RedisModule_GetBlockedClientPrivateData.unwrap()(raw_ctx);
        &mut *data.cast::<Pending>()
    };
    let reply = std::mem::replace(reply, Box::new(|_, _| Ok(())));
    match catch_unwind(AssertUnwindSafe(|| reply(&ctx, args))) {
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

/// Has the server run `work` in so many milliseconds, with a context by which it may send to replicas. On the main thread
/// only.
pub fn after(milliseconds: i64, work: Box<dyn FnOnce(&Ctx)>) {
    let detached = detached::context();
    if detached.is_null() {
        return;
    }
    let work = Box::into_raw(Box::new(work)).cast::<c_void>();
    // SAFETY: this is the main thread; the callback frees what it gets, and the server calls it once.
    unsafe {
        raw::RedisModule_CreateTimer.unwrap()(detached, milliseconds, Some(on_timer), work);
    }
}

extern "C" fn on_timer(raw_ctx: *mut raw::RedisModuleCtx, work: *mut c_void) {
    // SAFETY: made by `after`, for this one call.
    let work = unsafe { Box::from_raw(work.cast::<Box<dyn FnOnce(&Ctx)>>()) };
    guarded("a timer", || work(&Ctx::new(raw_ctx)));
}

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
        Self::open_named(ctx, args.argv[1], mode)
    }

    #[inline]
    fn open_named(ctx: &'a Ctx, name: *mut raw::RedisModuleString, mode: Mode) -> Self {
        let flags = match mode {
            Mode::Read => raw::REDISMODULE_READ,
            Mode::Write => raw::REDISMODULE_READ | raw::REDISMODULE_WRITE,
        };
        // SAFETY: context and name are valid for the time of the command.
        let raw = unsafe { raw::RedisModule_OpenKey.unwrap()(ctx.raw, name, flags as c_int) };
        Self { raw, ctx, name }
    }

    /// Opens a key by its name, in the database of the context, and hands it to `look`.
    pub fn with<T>(ctx: &'a Ctx, name: &[u8], mode: Mode, look: impl FnOnce(&Self) -> T) -> T {
        let strings = Strings::of(&[Word::Bytes(name)]);
        let name = strings.0[0];
        let key = Self::open_named(ctx, name, mode);
        let result = look(&key);
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
        // SAFETY: the name is an argument of the command, or lives as long as the context.
        unsafe { string_bytes(self.name) }
    }

    pub fn ctx(&self) -> &'a Ctx {
        self.ctx
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

impl Drop for Key<'_> {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once; null is allowed.
        unsafe { raw::RedisModule_CloseKey.unwrap()(self.raw) };
    }
}

/// The name of the key that a value is being loaded for; `None` if the server does not say.
///
/// # Safety
/// The server has passed `io` to a callback that loads a value, which has not returned yet.
pub unsafe fn name_of_key_of(io: *mut raw::RedisModuleIO) -> Option<KeyName> {
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
pub unsafe fn with_key_of<T>(
    io: *mut raw::RedisModuleIO,
    look: impl FnOnce(Option<&Key<'_>>) -> T,
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
    let key = Key {
        raw,
        ctx: &ctx,
        name,
    };
    let result = catch_unwind(AssertUnwindSafe(|| look((!key.is_empty()).then_some(&key))));
    drop(key);
    // SAFETY: nothing refers to them any more, and each is freed once.
    unsafe {
        raw::RedisModule_FreeString.unwrap()(ptr::null_mut(), name);
        raw::RedisModule_FreeThreadSafeContext.unwrap()(ctx.raw);
    }
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The file that this module was loaded from, as the server named it then.
pub fn own_library() -> Option<PathBuf> {
    let address: fn() -> Option<PathBuf> = own_library;
    // SAFETY: a structure of pointers, for which zero means none.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: any address may be asked for; the name belongs to the loader, for as long as the library is loaded.
    let name = unsafe {
        if libc::dladdr(address as *const c_void, &raw mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        CStr::from_ptr(info.dli_fname)
    };
    Some(OsStr::from_bytes(name.to_bytes()).into())
}

/// Runs what the server calls back, into which no panic may go. `what` names it in the log.
pub fn guarded(what: &str, callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        tracing::error!("{what} panicked: this is a bug in the mmap module");
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
