//! `VMGET key index [index ...]`: several values.

use std::ffi::CStr;

use super::arguments::{Index, index};
use super::reply::Replier;
use crate::redis::api::{Args, Command, Ctx, Outcome};
use crate::redis::binding;

/// `VMGET key index [index ...]`: replies with an array of the values, nil where there is none.
///
/// Fails if an index is not an integer.
pub struct VMGet;

impl Command for VMGet {
    const NAME: &'static CStr = c"VMGET";
    const FLAGS: &'static CStr = c"readonly";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect(3..)?;
        let indices = (2..args.len())
            .map(|position| index(args, position))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(binding) = binding::for_reading(ctx, args)? else {
            ctx.reply_array(indices.len());
            indices.iter().for_each(|_| ctx.reply_null());
            return Ok(());
        };
        let view = binding.bound()?.view()?;
        let replier = Replier::new(ctx, binding.item);
        let mut value = vec![0; binding.item.size()];
        ctx.reply_array(indices.len());
        for index in indices {
            if matches!(index, Index::At(index) if view.get(index, &mut value)) {
                replier.value(&value);
            } else {
                ctx.reply_null();
            }
        }
        Ok(())
    }
}
