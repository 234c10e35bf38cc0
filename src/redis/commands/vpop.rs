//! `VPOP key [count]`: removes values at the end.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::count;
use crate::redis::execution::bounds::expect_buffered_reply;
use crate::redis::execution::cold::expect_in_ram_for_writing;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::commit::{announce, reply_when_durable_and_exact};
use crate::redis::execution::reply::Replier;
use crate::redis::keys::lookup;
use crate::redis::replication::Change;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};
use crate::storage::cold::touched::Touched;

/// `VPOP key`: removes the last value and replies with it, nil if there is none.
/// `VPOP key count`: the same for up to `count` values, as an array, the last value first. Nil if there is no such key.
///
/// Fails if the key is bound read-only, or `count` is not a number of values.
pub struct VPop;

impl Command for VPop {
    const NAME: &'static CStr = c"vpop";
    const FLAGS: &'static CStr = c"write fast";
    const ARITY: c_int = -2;
    const KEY_ACCESS: KeyAccess = KeyAccess::ReadAndDelete;
    const SUMMARY: &'static CStr = c"Removes and returns the last values of an array";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of values";
    const ARGS: &'static [Arg] = &[Arg::KEY, Arg::integer(c"count").optional()];
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"Answers nil for a key that does not exist")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect_at_most(3)?;
        let wanted = if args.len() == 3 {
            Some(count(args, 2)?)
        } else {
            None
        };
        // As LPOP, also with a count.
        let Some(opened) = lookup::for_removal(ctx, args)? else {
            ctx.reply_null();
            return Ok(());
        };
        let (key, binding) = opened.parts();
        let bound = binding.writable(key)?;
        let item = binding.item;
        let most = bound.view()?.count().min(wanted.unwrap_or(1));
        expect_buffered_reply(most, item)?;
        expect_in_ram_for_writing(ctx, bound, |count| {
            Touched::Range(count.saturating_sub(wanted.unwrap_or(1))..count)
        })?;
        let mut writer = bound.writer()?;
        let popped = writer.pop(wanted.unwrap_or(1))?;
        let end = writer.span().end();
        drop(writer);
        if !popped.is_empty() {
            announce(key, bound, c"vpop", Change::Shortened { end });
        }
        reply_when_durable_and_exact(ctx, bound, move |ctx| {
            let replier = Replier::new(ctx, item);
            let values = popped.chunks_exact(item.size()).rev();
            if wanted.is_some() {
                ctx.reply_array(values.len());
            } else if popped.is_empty() {
                ctx.reply_null();
            }
            values.for_each(|value| replier.value(value));
        })
    }
}
