//! `VITEMSIZE key`, `VTYPE key`, `VFILEPATH key`: what a key is bound to.

use std::ffi::{CStr, c_int};

use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::keys::lookup;
use crate::redis::server::{Args, Ctx, Outcome};

/// `VITEMSIZE key`: bytes per value; 0 if there is no such key.
pub struct VItemSize;

impl Command for VItemSize {
    const NAME: &'static CStr = c"vitemsize";
    const FLAGS: &'static CStr = c"readonly fast";
    const ARITY: c_int = 2;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns the number of bytes per value of an array";
    const COMPLEXITY: &'static CStr = c"O(1)";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let binding = lookup::for_reading(ctx, args)?;
        ctx.reply_count(binding.map_or(0, |binding| binding.item.size() as u64));
        Ok(())
    }
}

/// `VTYPE key`: the name of the type of the values; nil if there is no such key.
pub struct VType;

impl Command for VType {
    const NAME: &'static CStr = c"vtype";
    const FLAGS: &'static CStr = c"readonly fast";
    const ARITY: c_int = 2;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns the type of the values of an array";
    const COMPLEXITY: &'static CStr = c"O(1)";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        match lookup::for_reading(ctx, args)? {
            Some(binding) => ctx.reply_bulk(binding.item.name().as_bytes()),
            None => ctx.reply_null(),
        }
        Ok(())
    }
}

/// `VFILEPATH key`: the path as it was given to `MMAP`; nil if there is no such key.
pub struct VFilePath;

impl Command for VFilePath {
    const NAME: &'static CStr = c"vfilepath";
    const FLAGS: &'static CStr = c"readonly fast";
    const ARITY: c_int = 2;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns the path of the file that a key is bound to";
    const COMPLEXITY: &'static CStr = c"O(1)";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        match lookup::for_reading(ctx, args)? {
            Some(binding) => ctx.reply_bulk(binding.path.as_bytes()),
            None => ctx.reply_null(),
        }
        Ok(())
    }
}
