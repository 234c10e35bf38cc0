//! `VMGET key index [index ...]`: several values.

use std::ffi::{CStr, c_int};

use super::arguments::{Index, index};
use super::cold::expect_in_ram;
use super::reply::Replier;
use crate::redis::api::{Args, Ctx, Outcome};
use crate::redis::binding;
use crate::redis::command::{Command, KeyAccess};
use crate::redis::usage::Arg;
use crate::storage::cold::Touched;

/// `VMGET key index [index ...]`: replies with an array of the values, nil where there is none.
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

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let indices = (2..args.len())
            .map(|position| index(args, position))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(binding) = binding::for_reading(ctx, args)? else {
            ctx.reply_array(indices.len());
            indices.iter().for_each(|_| ctx.reply_null());
            return Ok(());
        };
        // All values are read before the reply begins: once it has, it cannot become an error.
        let size = binding.item.size();
        let bound = binding.bound()?;
        let mut view = bound.view()?;
        expect_in_ram(ctx, bound, &mut view, || {
            let there = indices.iter().filter_map(|index| match index {
                Index::At(index) => Some(*index),
                Index::Outside => None,
            });
            Touched::Each(there.collect())
        })?;
        let mut values = vec![0; indices.len() * size];
        let mut found = Vec::with_capacity(indices.len());
        for (index, value) in indices.iter().zip(values.chunks_exact_mut(size)) {
            found.push(match index {
                Index::At(index) => view.get(*index, value)?,
                Index::Outside => false,
            });
        }
        drop(view);
        let replier = Replier::new(ctx, binding.item);
        ctx.reply_array(found.len());
        for (found, value) in found.into_iter().zip(values.chunks_exact(size)) {
            if found {
                replier.value(value);
            } else {
                ctx.reply_null();
            }
        }
        Ok(())
    }
}
