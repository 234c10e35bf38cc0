//! `VSET key index value [index value ...]`: sets values in place.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::{
    expect_pairs, index_below, paired_indices, pairs, with_encoded,
};
use crate::redis::execution::cold::expect_in_ram_for_writing;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::commit::{announce, reply_when_durable};
use crate::redis::keys::lookup;
use crate::redis::replication::Change;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};
use crate::storage::Span;
use crate::storage::cold::touched::Touched;

/// `VSET key index value [index value ...]`: sets all values, or none; where an index comes twice, the last
/// value stands. Replies with the number of pairs.
///
/// Fails if an index is out of range, a value is not one of the array's type, or the key is bound read-only
/// or not at all.
pub struct VSet;

impl Command for VSet {
    const NAME: &'static CStr = c"vset";
    const FLAGS: &'static CStr = c"write fast";
    const ARITY: c_int = -4;
    const KEY_ACCESS: KeyAccess = KeyAccess::Update;
    const SUMMARY: &'static CStr = c"Sets values of an array in place";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of values";
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::block(
            c"index-value",
            &[Arg::integer(c"index"), Arg::string(c"value")],
        )
        .multiple(),
    ];
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"A negative index counts from the end")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        expect_pairs(args)?;
        let opened = lookup::for_writing(ctx, args)?;
        let (key, binding) = opened.parts();
        let bound = binding.writable(key)?;
        let indices = |count| paired_indices(args, count, binding);
        expect_in_ram_for_writing(ctx, bound, |count| {
            Touched::Each(indices(count).unwrap_or_default().into_vec())
        })?;
        with_encoded(
            binding.item,
            args.seconds(2),
            |i| 2 * i + 3,
            |bytes| {
                let mut writer = bound.overwriter(pairs(args), pairs(args))?;
                let Span { head, count } = writer.span();
                let (one, several);
                let indices = if args.len() == 4 {
                    one = [index_below(args, 2, count, binding)?];
                    &one[..]
                } else {
                    several = indices(count)?;
                    &several[..]
                };
                writer.set(indices, bytes)?;
                drop(writer);
                let change = Change::Scattered {
                    head,
                    indices,
                    bytes,
                };
                announce(key, bound, c"vset", change);
                let pairs = indices.len() as u64;
                reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(pairs))
            },
        )
    }
}
