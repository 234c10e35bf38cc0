//! `VSIZE key`, `VCOUNT key`: the number of values.

use std::ffi::CStr;

use crate::redis::api::{Args, Command, Ctx, Outcome};
use crate::redis::binding;

/// `VSIZE key`: replies with the number of values; 0 if there is no such key.
pub struct VSize;

impl Command for VSize {
    const NAME: &'static CStr = c"VSIZE";
    const FLAGS: &'static CStr = c"readonly fast";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect(2..=2)?;
        let count = match binding::for_reading(ctx, args)? {
            Some(binding) => binding.bound()?.view()?.count(),
            None => 0,
        };
        ctx.reply_count(count);
        Ok(())
    }
}

/// `VCOUNT key`: the same command under the name it has in RedisMMap.
pub struct VCount;

impl Command for VCount {
    const NAME: &'static CStr = c"VCOUNT";
    const FLAGS: &'static CStr = VSize::FLAGS;

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        VSize::run(ctx, args)
    }
}
