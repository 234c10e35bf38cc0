//! `VSYNC key`: waits until everything is on disk.

use std::ffi::{CStr, c_int};

use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::commit::sync_then;
use crate::redis::keys::lookup;
use crate::redis::server::{Args, Ctx, Failure, Outcome};

/// `VSYNC key`: replies `OK` once all that came before is on disk and the file has its exact length. Only
/// this client waits.
///
/// Fails if there is no such key, or the disk reports an error.
pub struct VSync;

impl Command for VSync {
    const NAME: &'static CStr = c"vsync";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = 2;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Waits until an array is on disk";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of bytes not yet on disk";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let Some(binding) = lookup::for_reading(ctx, args)? else {
            return Err(lookup::missing_key(args));
        };
        sync_then(ctx, binding.bound()?, true, |ctx, synced| {
            synced.map_err(Failure::Message)?;
            ctx.reply_ok();
            Ok(())
        })
    }
}
