//! `VFILL key start stop value`: one value in many places.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::with_encoded;
use crate::redis::execution::background::run;
use crate::redis::execution::cold::expect_in_ram_for_writing;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::range::RequestedRange;
use crate::redis::execution::scan::expect_inline;
use crate::redis::keys::lookup;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};
use crate::storage::cold::touched::Touched;
use crate::storage::{Span, Task};

/// More than this, in bytes, is not filled while the server waits: it takes milliseconds.
const LONG: u64 = 4 << 20;

/// `VFILL key start stop value`: sets all values from `start` to `stop`, and replies with their number. The range is
/// that of `LRANGE`.
///
/// A long range is filled in the background, from its start to its end, while only this client waits.
///
/// Fails if the range is not one of integers, the value is not one of the array's type, or the key is bound
/// read-only or not at all.
pub struct VFill;

impl Command for VFill {
    const NAME: &'static CStr = c"vfill";
    const FLAGS: &'static CStr = c"write";
    const ARITY: c_int = 5;
    const KEY_ACCESS: KeyAccess = KeyAccess::Update;
    const SUMMARY: &'static CStr = c"Sets a range of values of an array to one value";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of values";
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::integer(c"start"),
        Arg::integer(c"stop"),
        Arg::string(c"value"),
    ];
    const SINCE: &'static CStr = c"0.2.0";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let wanted = RequestedRange::parse(args, 2)?;
        let opened = lookup::for_writing(ctx, args)?;
        let (key, binding) = opened.parts();
        let bound = binding.writable(key)?;
        // By position: other threads may drop values from the head before their turn comes.
        let Span { head, count } = bound.view()?.span();
        let range = wanted.of(count);
        let positions = head + range.start..head + range.end;
        let bytes = (range.end - range.start) * binding.item.size() as u64;
        let long = bytes > LONG;
        if !ctx.may_block() {
            expect_inline(range.end - range.start, binding.item)?;
        }
        if !long {
            expect_in_ram_for_writing(ctx, bound, |_| Touched::Range(range.clone()))?;
        }
        with_encoded(
            binding.item,
            std::iter::once(args.get(4)),
            |_| 4,
            |value| {
                let task = Task::Fill {
                    positions,
                    value: value.into(),
                };
                run(ctx, key, bound, task, long)
            },
        )
    }
}
