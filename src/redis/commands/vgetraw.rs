//! `VGETRAW key start stop`: the bytes of a range of values.

use std::ffi::{CStr, c_int};

use crate::redis::execution::bounds::LARGEST;
use crate::redis::execution::cold::expect_in_ram;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::range::RequestedRange;
use crate::redis::execution::scratch::with_scratch;
use crate::redis::keys::lookup;
use crate::redis::server::memory;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Outcome};
use crate::storage::cold::touched::Touched;

/// `VGETRAW key start stop`: replies with the values from `start` to `stop` as they lie in the file; an empty
/// string if there are none. The range is that of `LRANGE`.
///
/// Fails if the range is not one of integers, or longer than 512 MB.
pub struct VGetRaw;

impl Command for VGetRaw {
    const NAME: &'static CStr = c"vgetraw";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = 4;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns a range of values of an array as bytes";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of bytes";
    const ARGS: &'static [Arg] = &[Arg::KEY, Arg::integer(c"start"), Arg::integer(c"stop")];
    const SINCE: &'static CStr = c"0.2.0";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let wanted = RequestedRange::parse(args, 2)?;
        let Some(binding) = lookup::for_short_reading(ctx, args)? else {
            ctx.reply_bulk(b"");
            return Ok(());
        };
        let bound = binding.bound()?;
        let mut view = bound.view()?;
        let range = wanted.of(view.count());
        let values = range.end - range.start;
        let bytes = values * binding.item.size() as u64;
        if bytes > LARGEST {
            return Err(Failure::Message(format!(
                "a reply has the bytes of at most {} values of type {}, not of {values}: ask for a smaller range",
                LARGEST / binding.item.size() as u64,
                binding.item
            )));
        }
        expect_in_ram(ctx, bound, &mut view, || Touched::Range(range.clone()))?;
        // A reply that has begun cannot become an error, so all is read before.
        with_scratch(bytes as usize, |values| {
            view.read(range.start, values)?;
            memory::expect(bytes)?;
            ctx.reply_bulk(values);
            Ok(())
        })
    }
}
