//! Arrays in RDB files, in `DUMP`, and on the way to a replica: the binding always, the values where they are
//! wanted. `docs/design.md`, "RDB and AOF", gives the format.

use std::collections::HashSet;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use redis_module::raw;

use super::api::{Ctx, guarded};
use super::binding::Binding;
use super::config::{self, RdbContents};
use super::replication;
use super::store;
use crate::storage::types::ItemType;
use crate::storage::{Access, Bound, FileId, FilePath, Former, Import};

/// Version of what [`save`] writes. Version 1 had no contents.
pub const VERSION: c_int = 2;

/// How much of the values is written at a time, in bytes.
const CHUNK: usize = 1 << 20;
/// The most that `DUMP` takes along, in bytes: the server builds a dump in memory, and `RESTORE` gets it as one
/// argument, of which `proto-max-bulk-len` allows 512 MiB.
const DUMP_LIMIT: u64 = (512 << 20) - (1 << 20);

/// What follows the binding.
mod contents {
    /// Nothing: the file has them.
    pub const NONE: u64 = 0;
    /// The values.
    pub const VALUES: u64 = 1;
    /// Nothing: they came with an earlier key that is bound to the same file.
    pub const EARLIER: u64 = 2;
    /// The reason why they cannot be had.
    pub const UNAVAILABLE: u64 = 3;
}

/// What the server is doing with RDB data, by the events it sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Phase {
    /// Nothing: a call of [`save`] is `DUMP`, one of [`load`] is `RESTORE`.
    Idle,
    /// It saves to a file.
    SavingFile,
    /// It saves for the AOF.
    SavingAof,
    /// It saves for replicas.
    SavingForReplicas,
    /// It loads an RDB file.
    LoadingFile,
    /// It loads an AOF.
    LoadingAof,
    /// It loads what its primary sent.
    LoadingFromPrimary,
}

static PHASE: AtomicU8 = AtomicU8::new(Phase::Idle as u8);
/// The files whose values are in the RDB that is being saved or loaded. One file may be under several keys.
static SEEN: Mutex<Option<HashSet<Vec<u8>>>> = Mutex::new(None);

impl Phase {
    fn now() -> Self {
        let number = PHASE.load(Ordering::Relaxed);
        [
            Self::Idle,
            Self::SavingFile,
            Self::SavingAof,
            Self::SavingForReplicas,
            Self::LoadingFile,
            Self::LoadingAof,
            Self::LoadingFromPrimary,
        ]
        .into_iter()
        .find(|phase| *phase as u8 == number)
        .unwrap_or(Self::Idle)
    }

    fn enter(self) {
        PHASE.store(self as u8, Ordering::Relaxed);
        *SEEN.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the values go along with what is saved.
    fn takes_contents(self) -> bool {
        match (config::rdb_contents(), self) {
            (RdbContents::No, _) | (_, Self::SavingAof) => false,
            (RdbContents::Yes, _) => true,
            (RdbContents::Auto, phase) => phase != Self::SavingFile,
        }
    }
}

/// Whether the server is writing an AOF; else it is asked for commands to send to another server.
pub fn is_saving_aof() -> bool {
    Phase::now() == Phase::SavingAof
}

/// Notes that a file's values are in this RDB; `false` if that was noted before.
pub fn first_time(file: &[u8]) -> bool {
    SEEN.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .insert(file.to_vec())
}

/// The server begins or ends to save. In a child it says so in the child.
pub extern "C" fn on_persistence(
    raw_ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guarded("a server event", || {
        let phase = match subevent {
            raw::REDISMODULE_SUBEVENT_PERSISTENCE_RDB_START
                if replication::is_snapshot_for_replicas(&Ctx::new(raw_ctx)) =>
            {
                Phase::SavingForReplicas
            }
            raw::REDISMODULE_SUBEVENT_PERSISTENCE_RDB_START
            | raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_RDB_START => Phase::SavingFile,
            raw::REDISMODULE_SUBEVENT_PERSISTENCE_AOF_START
            | raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_AOF_START => Phase::SavingAof,
            _ => Phase::Idle,
        };
        phase.enter();
    });
}

/// The server begins or ends to load.
pub extern "C" fn on_loading(
    raw_ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guarded("a server event", || {
        let before = Phase::now();
        let phase = match subevent {
            raw::REDISMODULE_SUBEVENT_LOADING_RDB_START => Phase::LoadingFile,
            raw::REDISMODULE_SUBEVENT_LOADING_AOF_START => Phase::LoadingAof,
            raw::REDISMODULE_SUBEVENT_LOADING_REPL_START => Phase::LoadingFromPrimary,
            _ => Phase::Idle,
        };
        phase.enter();
        if before == Phase::LoadingFile && phase == Phase::Idle {
            replication::loaded_from_disk(&Ctx::new(raw_ctx));
        }
    });
}

/// The server's side of an RDB, to write to.
struct Writer(*mut raw::RedisModuleIO);

impl Writer {
    fn bytes(&self, bytes: &[u8]) {
        // SAFETY: the server gave us the handle for the time of this call; the bytes are copied.
        unsafe {
            raw::RedisModule_SaveStringBuffer.unwrap()(self.0, bytes.as_ptr().cast(), bytes.len());
        }
    }

    fn number(&self, number: u64) {
        // SAFETY: as above.
        unsafe { raw::RedisModule_SaveUnsigned.unwrap()(self.0, number) };
    }

    fn failed(&self) -> bool {
        // SAFETY: as above.
        unsafe { raw::RedisModule_IsIOError.unwrap()(self.0) != 0 }
    }
}

pub extern "C" fn save(rdb: *mut raw::RedisModuleIO, value: *mut c_void) {
    // SAFETY: the server passes a value of this type. It may be in a child: nothing here waits for a lock.
    let binding = unsafe { &*value.cast::<Binding>() };
    guarded("saving a key", || save_binding(&Writer(rdb), binding));
}

fn save_binding(rdb: &Writer, binding: &Binding) {
    rdb.bytes(binding.path.as_bytes());
    rdb.bytes(binding.item.name().as_bytes());
    rdb.number(binding.item.size() as u64);
    rdb.number(u64::from(binding.access == Access::Writable));
    rdb.number(binding.published_count());
    let phase = Phase::now();
    if !phase.takes_contents() {
        rdb.number(contents::NONE);
        return;
    }
    let unavailable = |reason: &str| {
        rdb.number(contents::UNAVAILABLE);
        rdb.bytes(reason.as_bytes());
    };
    match binding.target_array() {
        Err(failure) => unavailable(&failure.to_string()),
        Ok(array) if phase == Phase::Idle && array.bytes_used() > DUMP_LIMIT => {
            let reason = format!(
                "file '{}' holds {} bytes, more than the {DUMP_LIMIT} that DUMP and MIGRATE take along",
                binding.path,
                array.bytes_used()
            );
            tracing::warn!("{reason}");
            unavailable(&reason);
        }
        Ok(array) if phase != Phase::Idle && !first_time(&array.id().on_this_machine()) => {
            rdb.number(contents::EARLIER);
        }
        Ok(array) => save_values(rdb, array),
    }
}

/// The values, read from the file in pieces: a child has no copy of them, and needs none.
fn save_values(rdb: &Writer, array: &Bound) {
    rdb.number(contents::VALUES);
    rdb.bytes(&array.id().on_this_machine());
    rdb.number(array.head());
    rdb.number(u64::from(array.is_incomplete()) | u64::from(array.unannounced()) << 1);
    let size = array.item().size();
    let per_chunk = (CHUNK / size).max(1);
    let mut buffer = vec![0; per_chunk * size];
    let count = array.published_count();
    let mut checksum = crc32fast::Hasher::new();
    let mut saved = 0;
    let mut failure = String::new();
    while saved < count && !rdb.failed() {
        let wanted = (count - saved).min(per_chunk as u64) as usize;
        match array.read_values(saved, &mut buffer[..wanted * size]) {
            // The array became shorter since the child was forked. A replica is told of it after this.
            Ok(0) => break,
            Ok(values) => {
                let bytes = &buffer[..values as usize * size];
                checksum.update(bytes);
                rdb.bytes(bytes);
                saved += values;
            }
            Err(error) => {
                failure = format!("cannot read '{}': {error}", array.path());
                tracing::error!("while saving: {failure}");
                break;
            }
        }
    }
    rdb.bytes(b"");
    rdb.number(u64::from(checksum.finalize()));
    // What lies behind the values of an array that was shortened meanwhile is none.
    rdb.number(array.count_in_file().map_or(saved, |now| now.min(saved)));
    rdb.bytes(failure.as_bytes());
}

/// The server's side of an RDB, to read from.
struct Reader(*mut raw::RedisModuleIO);

/// Why an RDB or a dump cannot be loaded.
struct Damaged(String);

impl<E: std::fmt::Display> From<E> for Damaged {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Reader {
    /// The next string, handed to `read`.
    fn bytes<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Result<T, Damaged> {
        let mut len = 0;
        // SAFETY: the server answers null on an error, else `len` bytes that are ours to free.
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

    fn number(&self) -> Result<u64, Damaged> {
        // SAFETY: the handle is valid during the call of `load`.
        let number = unsafe { raw::RedisModule_LoadUnsigned.unwrap()(self.0) };
        // SAFETY: as above.
        if unsafe { raw::RedisModule_IsIOError.unwrap()(self.0) } != 0 {
            return Err(Damaged("the data end early".to_owned()));
        }
        Ok(number)
    }

    fn text(&self) -> Result<String, Damaged> {
        self.bytes(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

pub extern "C" fn load(rdb: *mut raw::RedisModuleIO, version: c_int) -> *mut c_void {
    match catch_unwind(AssertUnwindSafe(|| load_binding(&Reader(rdb), version))) {
        Ok(Ok(binding)) => Box::into_raw(Box::new(binding)).cast(),
        Ok(Err(Damaged(reason))) => {
            tracing::error!("cannot load a key of this module: {reason}");
            ptr::null_mut()
        }
        Err(_) => {
            tracing::error!("loading a key panicked: this is a bug in the mmap module");
            ptr::null_mut()
        }
    }
}

/// What is known of an array before its values.
struct Header {
    path: FilePath,
    item: ItemType,
    access: Access,
    count: u64,
}

impl Header {
    fn restore(self) -> Binding {
        Binding::restore(self.path, self.item, self.access, self.count)
    }

    fn unavailable(self, reason: String) -> Binding {
        Binding::unavailable(self.path, self.item, self.access, self.count, reason)
    }

    fn open(self, bound: Bound) -> Binding {
        Binding::open(self.path, self.item, self.access, bound)
    }
}

fn load_binding(rdb: &Reader, version: c_int) -> Result<Binding, Damaged> {
    if version > VERSION {
        return Err(Damaged(format!(
            "it was saved by a newer version of the module (format {version}, this one knows {VERSION})"
        )));
    }
    let path = rdb.bytes(FilePath::new)??;
    let type_name = rdb.bytes(<[u8]>::to_vec)?;
    let size = rdb.number()?;
    let item = ItemType::parse(&type_name, Some(size.to_string().as_bytes()))?;
    let access = match rdb.number()? {
        0 => Access::ReadOnly,
        _ => Access::Writable,
    };
    let header = Header {
        path,
        item,
        access,
        count: rdb.number()?,
    };
    let phase = Phase::now();
    let contents = if version == 1 {
        contents::NONE
    } else {
        rdb.number()?
    };
    match contents {
        contents::NONE if phase == Phase::Idle => {
            let bound = store().bind(&header.path, item, access, false)?;
            Ok(header.open(bound))
        }
        contents::NONE | contents::EARLIER => Ok(header.restore()),
        contents::VALUES => load_values(rdb, header, phase),
        contents::UNAVAILABLE => {
            let reason = rdb.text()?;
            match phase {
                Phase::Idle => Err(Damaged(reason)),
                Phase::LoadingFromPrimary => {
                    Ok(header.unavailable(format!("at the primary: {reason}")))
                }
                _ => Ok(header.restore()),
            }
        }
        other => Err(Damaged(format!("contents of unknown kind {other}"))),
    }
}

/// Makes a file of the values, or passes them over where the file that is there wins.
fn load_values(rdb: &Reader, header: Header, phase: Phase) -> Result<Binding, Damaged> {
    let identity = rdb.bytes(<[u8]>::to_vec)?;
    let head = rdb.number()?;
    let flags = rdb.number()?;
    let (is_incomplete, unannounced) = (flags & 1 != 0, (flags >> 1) as u32);
    let existing = store().identify(&header.path);
    let import = match (&existing, phase) {
        // The file is the data, and is newer than any copy of it. What was lost is not taken from an AOF, which
        // is history.
        (Ok(Some(_)) | Err(_), Phase::LoadingFile) | (_, Phase::LoadingAof) => None,
        (Ok(Some(id)), Phase::LoadingFromPrimary) if is_that_file(*id, &identity) => {
            Some(Err(shared_directory(&header.path)))
        }
        _ => Some(
            store()
                .check_unowned(&header.path, phase == Phase::LoadingFromPrimary)
                .and_then(|()| store().import(&header.path, header.item))
                .map_err(|error| error.to_string()),
        ),
    };
    let (import, mut failure) = match import {
        None => (None, None),
        Some(Ok(import)) => (Some(import), None),
        Some(Err(reason)) => (None, Some(reason)),
    };
    let values = read_values(rdb, header.item, import.as_ref(), &mut failure)?;
    let Some(import) = import else {
        return match failure {
            None => Ok(header.restore()),
            Some(reason) if phase == Phase::Idle => Err(Damaged(reason)),
            Some(reason) => Ok(header.unavailable(reason)),
        };
    };
    // What is missing of values on their way may be in the file that is here.
    let former = match phase {
        Phase::Idle => Former::SetAside,
        _ if is_incomplete => Former::SetAside,
        _ => Former::Replaced,
    };
    let bound = match failure {
        None => import
            .truncate(values)
            .and_then(|()| import.set_head(head))
            .and_then(|()| import.finish(store(), header.access, former))
            .map_err(|error| error.to_string()),
        Some(reason) => Err(reason),
    };
    match bound {
        Ok(bound) => {
            bound.set_incomplete(is_incomplete);
            bound.set_unannounced(unannounced);
            if phase == Phase::LoadingFile {
                tracing::warn!(
                    "file '{}' was missing: it was made anew of {values} values in the RDB",
                    header.path
                );
            }
            Ok(header.open(bound))
        }
        Err(reason) if phase == Phase::Idle => Err(Damaged(reason)),
        Err(reason) => Ok(header.unavailable(reason)),
    }
}

/// Reads all values, and appends them while nothing has failed. Says how many of them count.
fn read_values(
    rdb: &Reader,
    item: ItemType,
    import: Option<&Import>,
    failure: &mut Option<String>,
) -> Result<u64, Damaged> {
    let mut checksum = crc32fast::Hasher::new();
    let mut bytes_read = 0;
    loop {
        let is_last = rdb.bytes(|bytes| {
            checksum.update(bytes);
            bytes_read += bytes.len() as u64;
            if failure.is_none()
                && let Some(import) = import
                && let Err(error) = import.append(bytes)
            {
                *failure = Some(error.to_string());
            }
            bytes.is_empty()
        })?;
        if is_last {
            break;
        }
    }
    let is_whole = rdb.number()? == u64::from(checksum.finalize())
        && bytes_read.is_multiple_of(item.size() as u64);
    if !is_whole {
        return Err(Damaged(
            "the values are damaged: their checksum does not match".to_owned(),
        ));
    }
    let count = rdb.number()?;
    let unreadable = rdb.text()?;
    if !unreadable.is_empty() && failure.is_none() {
        *failure = Some(format!("not all values could be saved: {unreadable}"));
    }
    Ok(count)
}

/// Whether a file of ours is the very file of another server.
pub fn is_that_file(id: FileId, identity: &[u8]) -> bool {
    id.on_this_machine() == identity
}

/// Why a replica does not touch a file.
pub fn shared_directory(path: &FilePath) -> String {
    format!(
        "file '{path}' is the primary's own: this replica has the same directory; give it one of its own by mmap.dir"
    )
}

/// `DEBUG DIGEST`: over type and values, wherever the file lies.
pub extern "C" fn digest(digest: *mut raw::RedisModuleDigest, value: *mut c_void) {
    // SAFETY: the server passes a value of this type, on its main thread.
    let binding = unsafe { &*value.cast::<Binding>() };
    guarded("DEBUG DIGEST", || {
        let add = |bytes: &[u8]| {
            // SAFETY: the handle is valid during this call; the bytes are only read.
            unsafe {
                raw::RedisModule_DigestAddStringBuffer.unwrap()(
                    digest,
                    bytes.as_ptr().cast(),
                    bytes.len(),
                );
            }
        };
        add(binding.item.name().as_bytes());
        add(binding.item.size().to_string().as_bytes());
        let size = binding.item.size();
        let per_chunk = (CHUNK / size).max(1) as u64;
        match binding.bound().map(|bound| bound.view()) {
            Ok(Ok(mut view)) => {
                let mut index = 0;
                while index < view.count() {
                    let values = per_chunk.min(view.count() - index);
                    let mut bytes = vec![0; values as usize * size];
                    if view.read(index, &mut bytes).is_err() {
                        break;
                    }
                    add(&bytes);
                    index += values;
                }
            }
            _ => add(b"unavailable"),
        }
        // SAFETY: as above.
        unsafe { raw::RedisModule_DigestEndSequence.unwrap()(digest) };
    });
}
