//! `VSEARCH key value [LEFT|RIGHT]`: where a value belongs in sorted data.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::one_encoded;
use crate::redis::execution::cold::expect_in_ram;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::keys::binding;
use crate::redis::server::context::{Args, Ctx, Failure, Outcome};
use crate::redis::server::usage::Arg;
use crate::storage::cold::touched::Touched;
use crate::storage::questions::search::{Side, search_sorted};
use crate::storage::types::excerpt;

/// `VSEARCH key value [LEFT|RIGHT]`: replies with the index before which `value` is to be inserted for a sorted array to
/// stay sorted: before the values that equal it (`LEFT`, the default) or after them. Where the array is not sorted in
/// ascending order, the reply means nothing.
///
/// Fails if the value is not one of the array's type.
pub struct VSearch;

impl Command for VSearch {
    const NAME: &'static CStr = c"vsearch";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = -3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::string(c"value"),
        Arg::one_of(
            c"side",
            &[Arg::word(c"left", c"LEFT"), Arg::word(c"right", c"RIGHT")],
        )
        .optional(),
    ];
    const SINCE: &'static CStr = c"0.2.0";
    const SUMMARY: &'static CStr = c"Returns the index at which a value belongs in a sorted array";
    const COMPLEXITY: &'static CStr = c"O(log(N)) where N is the number of values";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect_at_most(4)?;
        let side = match args.from(3).next() {
            None => Side::Left,
            Some(word) if word.eq_ignore_ascii_case(b"LEFT") => Side::Left,
            Some(word) if word.eq_ignore_ascii_case(b"RIGHT") => Side::Right,
            Some(word) => {
                return Err(Failure::Message(format!(
                    "side '{}' (argument 3) is neither LEFT nor RIGHT",
                    excerpt(word)
                )));
            }
        };
        let Some(binding) = binding::for_reading(ctx, args)? else {
            ctx.reply_count(0);
            return Ok(());
        };
        let value = one_encoded(args, 2, binding.item)?;
        let bound = binding.bound()?;
        let mut view = bound.view()?;
        expect_in_ram(ctx, bound, &mut view, || Touched::Search {
            item: binding.item,
            value: value.clone(),
            side,
        })?;
        ctx.reply_count(search_sorted(&mut view, binding.item, &value, side)?);
        Ok(())
    }
}
