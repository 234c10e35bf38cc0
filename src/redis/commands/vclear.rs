//! `VCLEAR key`: removes all values.

use std::ffi::{CStr, c_int};

use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::commit::{announce, reply_when_durable};
use crate::redis::keys::lookup;
use crate::redis::replication::Change;
use crate::redis::server::{Args, Ctx, Outcome};

/// `VCLEAR key`: removes all values, so that the file is 0 bytes long. Replies with their number.
///
/// Fails if the key is bound read-only or not at all.
pub struct VClear;

impl Command for VClear {
    const NAME: &'static CStr = c"vclear";
    const FLAGS: &'static CStr = c"write";
    const ARITY: c_int = 2;
    const KEY_ACCESS: KeyAccess = KeyAccess::Delete;
    const SUMMARY: &'static CStr = c"Removes all values of an array";
    const COMPLEXITY: &'static CStr = c"O(1)";
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"Answers 0 for a key that does not exist")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let Some(opened) = lookup::for_removal(ctx, args)? else {
            ctx.reply_count(0);
            return Ok(());
        };
        let (key, binding) = opened.parts();
        let bound = binding.writable(key)?;
        let mut writer = bound.writer()?;
        let cleared = writer.clear()?;
        let end = writer.span().end();
        drop(writer);
        if cleared > 0 {
            announce(key, bound, c"vclear", Change::Shortened { end });
        }
        reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(cleared))
    }
}
