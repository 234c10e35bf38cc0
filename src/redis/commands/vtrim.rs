//! `VTRIM key start stop`: keeps a range and removes the rest.

use std::ffi::{CStr, c_int};

use crate::redis::execution::background::run;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::commit::{announce, reply_when_durable};
use crate::redis::execution::range::RequestedRange;
use crate::redis::execution::scan::expect_inline;
use crate::redis::keys::lookup;
use crate::redis::replication::Change;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};
use crate::storage::Task;

/// `VTRIM key start stop`: keeps the values from `start` to `stop` and removes all others, so that the value at
/// `start` is at index 0 afterwards. Replies with the number of values removed. The range is that of `LRANGE`; an
/// empty one removes all; where there is no such key, nothing is removed.
///
/// Values at the end go as with `VPOP`. Where values at the head go, those that stay are copied to a new file that
/// takes the place of the old one, in the background, while only this client waits.
///
/// Fails if the range is not one of integers, the key is bound read-only, or a new file cannot be
/// put in the place of the old one; then the head stays.
pub struct VTrim;

impl Command for VTrim {
    const NAME: &'static CStr = c"vtrim";
    const FLAGS: &'static CStr = c"write";
    const ARITY: c_int = 4;
    const KEY_ACCESS: KeyAccess = KeyAccess::Delete;
    const SUMMARY: &'static CStr = c"Keeps a range of values of an array and removes the rest";
    const COMPLEXITY: &'static CStr =
        c"O(1) at the end; O(N) where N is the number of values kept, in the background, at the head";
    const ARGS: &'static [Arg] = &[Arg::KEY, Arg::integer(c"start"), Arg::integer(c"stop")];
    const SINCE: &'static CStr = c"0.2.0";
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"Answers 0 for a key that does not exist")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let wanted = RequestedRange::parse(args, 2)?;
        let Some(opened) = lookup::for_removal(ctx, args)? else {
            ctx.reply_count(0);
            return Ok(());
        };
        let (key, binding) = opened.parts();
        let bound = binding.writable(key)?;
        let mut writer = bound.writer()?;
        let range = wanted.of(writer.span().count);
        if range.start > 0 && !ctx.may_block() {
            expect_inline(range.end - range.start, binding.item)?;
        }
        let trim = writer.begin_trim(&range)?;
        let end = writer.span().end();
        drop(writer);
        if trim.tail > 0 {
            announce(key, bound, c"vtrim", Change::Shortened { end });
        }
        if trim.head > 0 {
            return run(ctx, key, bound, Task::Trim(trim), true);
        }
        reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(trim.tail))
    }
}
