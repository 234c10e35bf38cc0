//! `VSYNC key`: waits until everything is on disk.

use std::ffi::CStr;

use super::commit::sync_then;
use crate::redis::api::{Args, Command, Ctx, Failure, Outcome};
use crate::redis::binding;

/// `VSYNC key`: replies `OK` once all that came before is on disk and the file has its exact length. Only
/// this client waits.
///
/// Fails if there is no such key, or the disk reports an error.
pub struct VSync;

impl Command for VSync {
    const NAME: &'static CStr = c"VSYNC";
    const FLAGS: &'static CStr = c"readonly";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect(2..=2)?;
        let Some(binding) = binding::for_reading(ctx, args)? else {
            return Err(binding::missing_key());
        };
        sync_then(ctx, binding.bound()?, true, |ctx, synced| {
            synced.map_err(Failure::Message)?;
            ctx.reply_ok();
            Ok(())
        })
    }
}
