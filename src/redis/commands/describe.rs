//! `VITEMSIZE key`, `VTYPE key`, `VFILEPATH key`: what a key is bound to.

use std::ffi::CStr;

use crate::redis::api::{Args, Command, Ctx, Outcome};
use crate::redis::binding;

/// `VITEMSIZE key`: bytes per value; 0 if there is no such key.
pub struct VItemSize;

impl Command for VItemSize {
    const NAME: &'static CStr = c"VITEMSIZE";
    const FLAGS: &'static CStr = c"readonly fast";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect(2..=2)?;
        let binding = binding::for_reading(ctx, args)?;
        ctx.reply_count(binding.map_or(0, |binding| binding.item.size() as u64));
        Ok(())
    }
}

/// `VTYPE key`: the name of the type of the values; nil if there is no such key.
pub struct VType;

impl Command for VType {
    const NAME: &'static CStr = c"VTYPE";
    const FLAGS: &'static CStr = c"readonly fast";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect(2..=2)?;
        match binding::for_reading(ctx, args)? {
            Some(binding) => ctx.reply_bulk(binding.item.name().as_bytes()),
            None => ctx.reply_null(),
        }
        Ok(())
    }
}

/// `VFILEPATH key`: the path as it was given to `MMAP`; nil if there is no such key.
pub struct VFilePath;

impl Command for VFilePath {
    const NAME: &'static CStr = c"VFILEPATH";
    const FLAGS: &'static CStr = c"readonly fast";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect(2..=2)?;
        match binding::for_reading(ctx, args)? {
            Some(binding) => ctx.reply_bulk(binding.path.as_bytes()),
            None => ctx.reply_null(),
        }
        Ok(())
    }
}
