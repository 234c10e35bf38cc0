//! `VADDRAW key bytes`: appends values as bytes.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::whole_values;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::commit::{announce, reply_when_durable};
use crate::redis::keys::lookup;
use crate::redis::replication::Change;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};

/// `VADDRAW key bytes`: appends the values that lie in `bytes` back to back, as in the file. Replies with their
/// number.
///
/// Fails if the bytes are not whole values, the key is bound read-only or not at all, or the disk is full.
pub struct VAddRaw;

impl Command for VAddRaw {
    const NAME: &'static CStr = c"vaddraw";
    const FLAGS: &'static CStr = c"write";
    const ARITY: c_int = 3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Insert;
    const SUMMARY: &'static CStr = c"Appends values, given as bytes, to an array";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of bytes";
    const ARGS: &'static [Arg] = &[Arg::KEY, Arg::string(c"bytes")];
    const SINCE: &'static CStr = c"0.2.0";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let opened = lookup::for_writing(ctx, args)?;
        let (key, binding) = opened.parts();
        let bound = binding.writable(key)?;
        let (bytes, added) = whole_values(args, 2, binding.item)?;
        if added == 0 {
            ctx.reply_count(0);
            return Ok(());
        }
        let end = bound.append(bytes)?.end();
        announce(key, bound, c"vaddraw", Change::Appended { end, bytes });
        reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(added))
    }
}
