//! `VADD key value [value ...]`, `VPUSH key value [value ...]`: appends.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::with_encoded;
use crate::redis::execution::command::{Command, KeyAccess, alias};
use crate::redis::execution::commit::{announce, reply_when_durable};
use crate::redis::keys::lookup;
use crate::redis::replication::Change;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};

/// `VADD key value [value ...]`: appends all values, or none. Replies with their number.
///
/// Fails if a value is not one of the array's type, the key is bound read-only or not at all, or the disk is full.
pub struct VAdd;

impl Command for VAdd {
    const NAME: &'static CStr = c"vadd";
    const FLAGS: &'static CStr = c"write fast";
    const ARITY: c_int = -3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Insert;
    const SUMMARY: &'static CStr = c"Appends values to an array";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of values";
    const ARGS: &'static [Arg] = &[Arg::KEY, Arg::string(c"value").multiple()];

    #[inline]
    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let opened = lookup::for_writing(ctx, args)?;
        let (key, binding) = opened.parts();
        let bound = binding.writable(key)?;
        with_encoded(
            binding.item,
            args.from(2),
            |i| i + 2,
            |bytes| {
                let end = bound.append(bytes)?.end();
                announce(key, bound, c"vadd", Change::Appended { end, bytes });
                let added = (args.len() - 2) as u64;
                reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(added))
            },
        )
    }
}

alias! {
    /// `VPUSH key value [value ...]`: the same command under a name that no server has.
    VPush = c"vpush" of VAdd, since c"0.1.0"
}
