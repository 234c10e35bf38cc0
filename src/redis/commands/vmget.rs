//! `VMGET key index [index ...]`: several values.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::{Indices, put_indices};
use crate::redis::execution::bounds::expect_buffered_reply;
use crate::redis::execution::cold::expect_in_ram;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::reply::Replier;
use crate::redis::execution::scratch::with_scratch;
use crate::redis::keys::lookup;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};
use crate::storage::cold::touched::Touched;

/// `VMGET key index [index ...]`: replies with an array of the values, nil where there is none. A negative
/// index counts from the end.
///
/// Fails if an index is not an integer, or the file cannot be read.
pub struct VMGet;

impl Command for VMGet {
    const NAME: &'static CStr = c"vmget";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = -3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns the values at several indices of an array";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of indices";
    const ARGS: &'static [Arg] = &[Arg::KEY, Arg::integer(c"index").multiple()];
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"A negative index counts from the end")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let mut indices = Indices::new();
        put_indices(args, 2, &mut indices)?;
        let Some(binding) = lookup::for_short_reading(ctx, args)? else {
            ctx.reply_array(indices.len());
            indices.iter().for_each(|_| ctx.reply_null());
            return Ok(());
        };
        expect_buffered_reply(indices.len() as u64, binding.item)?;
        // All values are read before the reply begins: once it has, it cannot become an error.
        let size = binding.item.size();
        let bound = binding.bound()?;
        let mut view = bound.view()?;
        let count = view.count();
        let places = || indices.iter().map(|index| index.of(count));
        expect_in_ram(ctx, bound, &mut view, || {
            Touched::Each(places().filter(|&index| index < count).collect())
        })?;
        with_scratch(indices.len() * size, |values| {
            view.gather(places(), values)?;
            drop(view);
            ctx.reply_array(indices.len());
            let values = places().zip(values.chunks_exact(size));
            Replier::new(ctx, binding.item)
                .values(values.map(|(index, value)| (index < count).then_some(value)));
            Ok(())
        })
    }
}
