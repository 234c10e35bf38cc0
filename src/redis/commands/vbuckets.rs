//! `VBUCKETS key start stop n op [op ...] [SKIPNAN]`: aggregates of each of n parts of a range.

use std::ffi::{CStr, c_int};

use crate::redis::commands::vagg::{Asked, OP, SKIPNAN, aggregate};
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::range::RequestedRange;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Outcome};
use crate::storage::types::{excerpt, parse_index};

/// Most parts: a chart has fewer pixels, and their answers are put together in memory.
const MOST_BUCKETS: u64 = 1_000_000;

/// `VBUCKETS key start stop n op [op ...] [SKIPNAN]`: divides the range into `n` parts, the i-th of which (from 0) begins
/// at i × length / n, rounded down. Replies with an array of `n` arrays, each as that of `VAGG`.
///
/// Fails as `VAGG` does, and if `n` is not an integer from 1 to 1000000.
pub struct VBuckets;

impl Command for VBuckets {
    const NAME: &'static CStr = c"vbuckets";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = -6;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::integer(c"start"),
        Arg::integer(c"stop"),
        Arg::integer(c"n"),
        OP,
        SKIPNAN,
    ];
    const SINCE: &'static CStr = c"0.2.0";
    const SUMMARY: &'static CStr =
        c"Divides a range of an array into parts and returns aggregates of each";
    const COMPLEXITY: &'static CStr =
        c"O(N + M) where N is the number of values in the range and M that of parts; done in the background if there are many values";
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"MEAN; SKIPNAN may stand anywhere")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let wanted = RequestedRange::parse(args, 2)?;
        let buckets = buckets(args, 4)?;
        let asked = Asked::parse(args, 5)?;
        aggregate(ctx, args, wanted, asked, buckets, Ctx::reply_array)
    }
}

fn buckets(args: Args<'_>, position: usize) -> Result<u64, Failure> {
    parse_index(args.get(position))
        .ok()
        .and_then(|number| u64::try_from(number).ok())
        .filter(|number| (1..=MOST_BUCKETS).contains(number))
        .ok_or_else(|| {
            Failure::Message(format!(
                "number of parts '{}' (argument {position}) is not an integer from 1 to {MOST_BUCKETS}",
                excerpt(args.get(position))
            ))
        })
}
