//! `VSLICE key start stop [STEP n]`, `VLAST key count`: ranges of values.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::{count, step};
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::range::RequestedRange;
use crate::redis::execution::slice::reply_slice;
use crate::redis::keys::lookup;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};

/// `VSLICE key start stop [STEP n]`: replies with an array of the values from `start` to `stop`, or of every
/// `n`-th of them, beginning with the first. The range is that of `LRANGE`.
///
/// Fails if the range or the step is not one of integers, or the reply would be too large.
pub struct VSlice;

impl Command for VSlice {
    const NAME: &'static CStr = c"vslice";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = -4;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns a range of values of an array";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of values returned";
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::integer(c"start"),
        Arg::integer(c"stop"),
        Arg::integer(c"n").after(c"STEP").optional(),
    ];
    const SINCE: &'static CStr = c"0.2.0";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect_at_most(6)?;
        let wanted = RequestedRange::parse(args, 2)?;
        let step = step(args, 4)?;
        match lookup::for_short_reading(ctx, args)? {
            Some(binding) => reply_slice(ctx, &binding, step, |count| wanted.of(count)),
            None => {
                ctx.reply_array(0);
                Ok(())
            }
        }
    }
}

/// `VLAST key count`: replies with an array of the last `count` values, or of all if there are fewer, in the order
/// in which they lie in the file.
///
/// Fails if `count` is not a number of values, or the reply would be too large.
pub struct VLast;

impl Command for VLast {
    const NAME: &'static CStr = c"vlast";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = 3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns the last values of an array";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of values returned";
    const ARGS: &'static [Arg] = &[Arg::KEY, Arg::integer(c"count")];
    const SINCE: &'static CStr = c"0.2.0";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let wanted = count(args, 2)?;
        match lookup::for_short_reading(ctx, args)? {
            Some(binding) => reply_slice(ctx, &binding, 1, |count| {
                count.saturating_sub(wanted)..count
            }),
            None => {
                ctx.reply_array(0);
                Ok(())
            }
        }
    }
}
