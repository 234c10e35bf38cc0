//! The categories by which ACL rules name commands: `@read` and so on, and `@mmap` for all of this module.

use std::ffi::{CStr, CString, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

use redis_module::raw;

use crate::redis::server::context::Ctx;
use crate::redis::server::description::{Description, KeyAccess};

/// The category of all commands of this module.
const CATEGORY: &CStr = c"mmap";

/// Whether the server has [`CATEGORY`].
static HAS_CATEGORY: AtomicBool = AtomicBool::new(false);

/// Adds the category `@mmap`, where the server can: Redis from 7.4 on, Valkey from 8.0 on. The commands come after it.
pub fn add_category(ctx: &Ctx) {
    // SAFETY: the table of the API was filled when the module was loaded and is only read; the context is that of
    // OnLoad, and the name is copied.
    let added =
        unsafe { raw::RedisModule_AddACLCategory.map(|add| add(ctx.raw(), CATEGORY.as_ptr())) };
    match added {
        Some(status) if status == raw::REDISMODULE_OK as c_int => {
            HAS_CATEGORY.store(true, Ordering::Relaxed);
        }
        Some(_) => tracing::warn!(
            "the server does not accept the ACL category @mmap: name the commands one by one in ACL rules"
        ),
        None => {}
    }
}

/// Puts a command into its categories; `false` if the server refuses.
///
/// # Safety
/// `command` is a command of this module, and OnLoad has not ended.
pub(super) unsafe fn set_categories(
    command: *mut raw::RedisModuleCommand,
    description: &Description,
) -> bool {
    // Redis 7.0 has no such call.
    // SAFETY: by the caller's word; the text is copied.
    unsafe {
        raw::RedisModule_SetCommandACLCategories.is_none_or(|set| {
            set(command, categories(description).as_ptr()) == raw::REDISMODULE_OK as c_int
        })
    }
}

fn categories(command: &Description) -> CString {
    let access = match command.key_access {
        KeyAccess::Read => "read",
        _ => "write",
    };
    let is_fast = command
        .flags
        .to_bytes()
        .split(u8::is_ascii_whitespace)
        .any(|flag| flag == b"fast");
    let speed = if is_fast { "fast" } else { "slow" };
    let own = if HAS_CATEGORY.load(Ordering::Relaxed) {
        " mmap"
    } else {
        ""
    };
    let dangerous = if command.is_dangerous {
        " dangerous"
    } else {
        ""
    };
    CString::new(format!("{access} {speed}{dangerous}{own}")).expect("words have no NUL")
}
