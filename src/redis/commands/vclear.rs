//! `VCLEAR key`: removes all values.

use std::ffi::CStr;

use super::commit::reply_when_durable;
use crate::redis::api::{Args, Command, Ctx, Outcome};
use crate::redis::binding;

/// `VCLEAR key`: removes all values, so that the file is 0 bytes long. Replies with their number.
///
/// Fails if the key is bound read-only or not at all.
pub struct VClear;

impl Command for VClear {
    const NAME: &'static CStr = c"VCLEAR";
    const FLAGS: &'static CStr = c"write";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect(2..=2)?;
        let (key, binding) = binding::for_writing(ctx, args)?;
        let bound = binding.writable()?;
        let cleared = bound.clear()?;
        key.signal_modified();
        reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(cleared))
    }
}
