//! The library that this module is.

use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

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
