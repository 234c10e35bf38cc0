//! The key type: what a key of this module holds, and how it goes into RDB and AOF. The values never do.

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;

use redis_module::raw;

use super::api::{Args, Ctx, Failure, Key, Mode, string_bytes};
use super::store;
use super::unavailable::Unavailable;
use crate::storage::types::ItemType;
use crate::storage::{Access, Bound, FilePath};

/// The name of the type, as `TYPE` answers it. The server wants nine characters.
const NAME: &std::ffi::CStr = c"mmaparray";
/// Version of what `rdb_save` writes.
const ENCODING_VERSION: c_int = 1;

/// What a key holds.
pub struct Binding {
    /// As it was given to `MMAP`.
    pub path: FilePath,
    pub item: ItemType,
    pub access: Access,
    pub target: Target,
}

/// Where a key leads.
pub enum Target {
    Open(Bound),
    /// The file could not be opened when the server started.
    Unavailable {
        reason: Unavailable,
        /// Number of values when it was last seen.
        count: u64,
    },
}

impl Binding {
    /// Binds a file that must exist; where it cannot be opened, the binding remembers why.
    fn restore(path: FilePath, item: ItemType, access: Access, count: u64) -> Self {
        let target = match store().bind(&path, item, access, false) {
            Ok(bound) => Target::Open(bound),
            Err(error) => {
                tracing::warn!(
                    "{error}; its key answers with this error until the file is back and MMAP is called again"
                );
                Target::Unavailable {
                    reason: Unavailable::new(&error),
                    count,
                }
            }
        };
        Self {
            path,
            item,
            access,
            target,
        }
    }

    /// As [`Self::restore`], of a file whose number of values is not known.
    pub fn restore_from_aof(path: FilePath, item: ItemType, access: Access) -> Self {
        Self::restore(path, item, access, 0)
    }

    /// The array.
    ///
    /// # Errors
    /// If the file was not there when the server started, and has not been bound again.
    #[inline]
    pub fn bound(&self) -> Result<&Bound, Failure> {
        match &self.target {
            Target::Open(bound) => Ok(bound),
            Target::Unavailable { reason, .. } => Err(Failure::Message(format!(
                "{reason}; when the file is back, MMAP the key again"
            ))),
        }
    }

    /// The array, for a command that writes.
    ///
    /// # Errors
    /// Also if this key was bound read-only, whatever other keys are.
    #[inline]
    pub fn writable(&self) -> Result<&Bound, Failure> {
        let bound = self.bound()?;
        if self.access == Access::ReadOnly {
            return Err(Failure::Message(format!(
                "file '{}' is bound read-only to this key: DEL the key and MMAP it again with WRITABLE",
                self.path
            )));
        }
        Ok(bound)
    }

    /// Number of values, without waiting for a lock: this is for the child that saves.
    fn published_count(&self) -> u64 {
        match &self.target {
            Target::Open(bound) => bound.published_count(),
            Target::Unavailable { count, .. } => *count,
        }
    }
}

/// The key of a command that reads, if it exists.
///
/// # Errors
/// `WRONGTYPE`.
pub fn for_reading<'a>(ctx: &'a Ctx, args: Args<'_>) -> Result<Option<&'a mut Binding>, Failure> {
    let key = Key::open(ctx, args, Mode::Read);
    match value(&key) {
        None if !key.is_empty() => Err(Failure::WrongType),
        binding => Ok(binding),
    }
}

/// The key of a command that writes, and what it holds.
///
/// # Errors
/// If there is no such key, or it is of another type.
#[inline]
pub fn for_writing<'a>(
    ctx: &'a Ctx,
    args: Args<'_>,
) -> Result<(Key<'a>, &'a mut Binding), Failure> {
    let key = Key::open(ctx, args, Mode::Write);
    match value(&key) {
        Some(binding) => Ok((key, binding)),
        None if key.is_empty() => Err(missing_key()),
        None => Err(Failure::WrongType),
    }
}

/// The error of a command that needs an array where there is no key.
pub fn missing_key() -> Failure {
    Failure::Message("no such key: bind a file to it first, with MMAP key path".to_owned())
}

/// What an open key holds, if it is of this type.
#[inline]
pub fn value<'a>(key: &Key<'a>) -> Option<&'a mut Binding> {
    // SAFETY: `rdb_load` and `set_value` make all values of this type from a `Box<Binding>`.
    unsafe { key.value(data_type()) }
}

/// Gives an empty key its binding.
pub fn set_value(key: &Key<'_>, binding: Binding) {
    key.set_value(data_type(), Box::new(binding));
}

struct DataType(*mut raw::RedisModuleType);

// SAFETY: the server makes it once and never changes it; it is only compared and handed back.
unsafe impl Send for DataType {}
// SAFETY: as above.
unsafe impl Sync for DataType {}

static DATA_TYPE: OnceLock<DataType> = OnceLock::new();

#[inline]
fn data_type() -> *mut raw::RedisModuleType {
    DATA_TYPE
        .get()
        .map_or(ptr::null_mut(), |data_type| data_type.0)
}

/// Registers the type; `false` if the server does not take it.
pub fn register(ctx: &Ctx) -> bool {
    let mut methods = raw::RedisModuleTypeMethods {
        version: raw::REDISMODULE_TYPE_METHOD_VERSION as u64,
        rdb_load: Some(rdb_load),
        rdb_save: Some(rdb_save),
        aof_rewrite: Some(aof_rewrite),
        mem_usage: Some(mem_usage),
        free: Some(free),
        // SAFETY: a structure of integers and optional function pointers, for which zero means none.
        ..unsafe { std::mem::zeroed() }
    };
    // SAFETY: the context is that of OnLoad, the name is NUL-terminated, and the methods are copied.
    let data_type = unsafe {
        raw::RedisModule_CreateDataType.unwrap()(
            ctx.raw(),
            NAME.as_ptr(),
            ENCODING_VERSION,
            &raw mut methods,
        )
    };
    !data_type.is_null() && DATA_TYPE.set(DataType(data_type)).is_ok()
}

extern "C" fn rdb_save(rdb: *mut raw::RedisModuleIO, value: *mut c_void) {
    // SAFETY: the server passes a value of this type. It may be in a child: nothing here waits for a lock.
    let binding = unsafe { &*value.cast::<Binding>() };
    let save_bytes = |bytes: &[u8]| {
        // SAFETY: the bytes are copied into the RDB.
        unsafe {
            raw::RedisModule_SaveStringBuffer.unwrap()(rdb, bytes.as_ptr().cast(), bytes.len());
        }
    };
    // SAFETY: as above.
    let save_number = |number| unsafe { raw::RedisModule_SaveUnsigned.unwrap()(rdb, number) };
    save_bytes(binding.path.as_bytes());
    save_bytes(binding.item.name().as_bytes());
    save_number(binding.item.size() as u64);
    save_number(u64::from(binding.access == Access::Writable));
    save_number(binding.published_count());
}

extern "C" fn rdb_load(rdb: *mut raw::RedisModuleIO, version: c_int) -> *mut c_void {
    let loaded = catch_unwind(AssertUnwindSafe(|| load(rdb, version)));
    match loaded {
        Ok(Ok(binding)) => Box::into_raw(Box::new(binding)).cast(),
        Ok(Err(reason)) => {
            tracing::error!("cannot load a key of this module: {reason}");
            ptr::null_mut()
        }
        Err(_) => ptr::null_mut(),
    }
}

fn load(rdb: *mut raw::RedisModuleIO, version: c_int) -> Result<Binding, String> {
    if version > ENCODING_VERSION {
        return Err(format!(
            "it was saved by a newer version of the module (format {version}, this one knows {ENCODING_VERSION})"
        ));
    }
    let path = load_bytes(rdb)?;
    let type_name = load_bytes(rdb)?;
    // SAFETY: the server checks what it reads; an error is asked for below.
    let [size, writable, count] =
        std::array::from_fn(|_| unsafe { raw::RedisModule_LoadUnsigned.unwrap()(rdb) });
    // SAFETY: as above.
    if unsafe { raw::RedisModule_IsIOError.unwrap()(rdb) } != 0 {
        return Err("the RDB ends early".to_owned());
    }
    let path = FilePath::new(&path).map_err(|e| e.to_string())?;
    let item = ItemType::parse(&type_name, Some(size.to_string().as_bytes()))
        .map_err(|e| e.to_string())?;
    let access = if writable != 0 {
        Access::Writable
    } else {
        Access::ReadOnly
    };
    Ok(Binding::restore(path, item, access, count))
}

fn load_bytes(rdb: *mut raw::RedisModuleIO) -> Result<Vec<u8>, String> {
    // SAFETY: the server answers null on an error; the string is ours and freed after it was copied.
    unsafe {
        let string = raw::RedisModule_LoadString.unwrap()(rdb);
        if string.is_null() {
            return Err("the RDB ends early".to_owned());
        }
        let bytes = string_bytes(string).to_vec();
        raw::RedisModule_FreeString.unwrap()(ptr::null_mut(), string);
        Ok(bytes)
    }
}

extern "C" fn aof_rewrite(
    aof: *mut raw::RedisModuleIO,
    key: *mut raw::RedisModuleString,
    value: *mut c_void,
) {
    // SAFETY: as in `rdb_save`.
    let binding = unsafe { &*value.cast::<Binding>() };
    let path = binding.path.as_bytes();
    let type_name = binding.item.name();
    let size = binding.item.size().to_string();
    let mode: &[u8] = match binding.access {
        Access::Writable => b"WRITABLE",
        Access::ReadOnly => b"",
    };
    let format = if mode.is_empty() { c"sbbb" } else { c"sbbbb" };
    // SAFETY: the format says what follows: a string and then pointers with lengths. A `b` less is read
    // where there is no mode.
    unsafe {
        raw::RedisModule_EmitAOF.unwrap()(
            aof,
            c"MMAP".as_ptr(),
            format.as_ptr(),
            key,
            path.as_ptr().cast::<c_char>(),
            path.len(),
            type_name.as_ptr().cast::<c_char>(),
            type_name.len(),
            size.as_ptr().cast::<c_char>(),
            size.len(),
            mode.as_ptr().cast::<c_char>(),
            mode.len(),
        );
    }
}

extern "C" fn mem_usage(value: *const c_void) -> usize {
    // SAFETY: as in `rdb_save`.
    let binding = unsafe { &*value.cast::<Binding>() };
    size_of::<Binding>() + binding.path.as_bytes().len() + Bound::memory_usage()
}

extern "C" fn free(value: *mut c_void) {
    // SAFETY: the server gives the value up, once; it may be on its lazy-free thread.
    let binding = unsafe { Box::from_raw(value.cast::<Binding>()) };
    if catch_unwind(AssertUnwindSafe(|| drop(binding))).is_err() {
        tracing::error!("unbinding a key panicked: this is a bug in the mmap module");
    }
}
