//! `VSEARCH key value [value ...] [LEFT|RIGHT]`: where values belong in sorted data.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::place;
use crate::redis::execution::bounds;
use crate::redis::execution::cold::expect_in_ram;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::scan::MOST_INLINE;
use crate::redis::keys::lookup;
use crate::redis::server::memory;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Outcome};
use crate::storage::cold::touched::Touched;
use crate::storage::questions::search::{Side, Target, search_sorted};
use crate::storage::types::ItemType;

/// At how many values one command looks at most: about half a second's work, where they are far apart.
const MOST_LOOKS: u64 = 1 << 24;

/// `VSEARCH key value [value ...] [LEFT|RIGHT]`: replies with the index before which `value` is to be inserted for a
/// sorted array to stay sorted: before the values that equal it (`LEFT`, the default) or after them; with several values,
/// with an array of these indices. Where the array is not sorted in ascending order, the reply means nothing.
///
/// Fails if a value cannot be compared with those of the array.
pub struct VSearch;

impl Command for VSearch {
    const NAME: &'static CStr = c"vsearch";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = -3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::string(c"value").multiple(),
        Arg::one_of(
            c"side",
            &[Arg::word(c"left", c"LEFT"), Arg::word(c"right", c"RIGHT")],
        )
        .optional(),
    ];
    const SINCE: &'static CStr = c"0.2.0";
    const SUMMARY: &'static CStr = c"Returns the index at which a value belongs in a sorted array";
    const COMPLEXITY: &'static CStr =
        c"O(M*log(N)) where N is the number of values in the array and M the number of values searched for";
    const HISTORY: &'static [(&'static CStr, &'static CStr)] = &[(
        c"0.3.0",
        c"Several values; integers compare with any number",
    )];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let (values, side) = match side(args) {
            Some(side) => (args.len() - 3, side),
            None => (args.len() - 2, Side::Left),
        };
        bounds::expect_numbers(values as u64)?;
        let texts = args.from(2).map(<[u8]>::len).sum::<usize>();
        memory::expect((texts + values * size_of::<Target>()) as u64)?;
        let Some(binding) = lookup::for_reading(ctx, args)? else {
            reply(ctx, &vec![0; values]);
            return Ok(());
        };
        let item = binding.item;
        let bound = binding.bound()?;
        let mut view = bound.view()?;
        expect_searches(values as u64, view.count(), item)?;
        let target = |position| {
            let place = place(args, position, item).map_err(|error| or_side(error, args, position));
            Ok::<_, Failure>(Target::new(place?, side))
        };
        let targets: Vec<_> = (2..2 + values).map(target).collect::<Result<_, _>>()?;
        expect_in_ram(ctx, bound, &mut view, || Touched::Searches {
            item,
            targets: targets.clone(),
        })?;
        let mut find = |target: &Target| search_sorted(&mut view, item, target);
        let indices: Vec<_> = targets.iter().map(&mut find).collect::<Result<_, _>>()?;
        reply(ctx, &indices);
        Ok(())
    }
}

/// Checks that `values` may be searched for while the server waits.
///
/// # Errors
/// If that takes too long.
fn expect_searches(values: u64, count: u64, item: ItemType) -> Outcome {
    let looks = u64::from(u64::BITS - count.leading_zeros()).max(1);
    let most = (MOST_LOOKS / looks).min(MOST_INLINE / (looks * item.size() as u64));
    if values <= most.max(1) {
        return Ok(());
    }
    Err(Failure::Message(format!(
        "in {count} values of type {item} a command searches for at most {most} values, not {values}: send them in parts"
    )))
}

/// One index as an integer, several as an array.
fn reply(ctx: &Ctx, indices: &[u64]) {
    if let [index] = indices {
        return ctx.reply_count(*index);
    }
    ctx.reply_array(indices.len());
    for &index in indices {
        ctx.reply_count(index);
    }
}

/// The side that the last argument names, where it is not the only value.
fn side(args: Args<'_>) -> Option<Side> {
    let last = args.from(3).last()?;
    if last.eq_ignore_ascii_case(b"LEFT") {
        Some(Side::Left)
    } else if last.eq_ignore_ascii_case(b"RIGHT") {
        Some(Side::Right)
    } else {
        None
    }
}

/// The last of several arguments may have been meant as a side.
fn or_side(error: Failure, args: Args<'_>, position: usize) -> Failure {
    if position > 2 && position + 1 == args.len() {
        return Failure::Message(format!("{error}, nor LEFT or RIGHT"));
    }
    error
}
