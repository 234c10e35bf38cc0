//! `VSIZE key`, `VCOUNT key`, `VLEN key`: the number of values.

use std::ffi::{CStr, c_int};

use crate::redis::execution::command::{Command, KeyAccess, alias};
use crate::redis::keys::lookup;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};

/// `VSIZE key`: replies with the number of values; 0 if there is no such key.
pub struct VSize;

impl Command for VSize {
    const NAME: &'static CStr = c"vsize";
    const FLAGS: &'static CStr = c"readonly fast";
    const ARITY: c_int = 2;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns the number of values of an array";
    const COMPLEXITY: &'static CStr = c"O(1)";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let count = match lookup::for_short_reading(ctx, args)? {
            Some(binding) => binding.bound()?.view()?.count(),
            None => 0,
        };
        ctx.reply_count(count);
        Ok(())
    }
}

alias! {
    /// `VCOUNT key`: the same command under the name it has in RedisMMap.
    VCount = c"vcount" of VSize, since c"0.1.0"
}

alias! {
    /// `VLEN key`: the same command under the name that `LLEN`, `HLEN` and `STRLEN` suggest.
    VLen = c"vlen" of VSize, since c"0.3.0"
}
