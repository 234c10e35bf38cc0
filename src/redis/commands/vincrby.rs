//! `VINCRBY key index increment [index increment ...]`: adds to values in place.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::{expect_pairs, paired_indices, pairs};
use crate::redis::execution::cold::expect_in_ram_for_writing;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::commit::{announce, reply_when_durable};
use crate::redis::execution::reply::Replier;
use crate::redis::keys::binding::Binding;
use crate::redis::keys::lookup;
use crate::redis::replication::Change;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Outcome};
use crate::storage::Span;
use crate::storage::cold::touched::Touched;
use crate::storage::types::{AddError, Kind, excerpt};

/// `VINCRBY key index increment [index increment ...]`: adds to all values, or to none; where an index comes
/// twice, both increments are added. Replies with an array of the new values, one for each pair.
///
/// Fails if an index is out of range, an increment is no number of the array's type, a result is out of the
/// type's range, NaN or infinite, the values are strings, or the key is bound read-only or not at all.
pub struct VIncrBy;

impl Command for VIncrBy {
    const NAME: &'static CStr = c"vincrby";
    const FLAGS: &'static CStr = c"write fast";
    const ARITY: c_int = -4;
    const KEY_ACCESS: KeyAccess = KeyAccess::ReadAndUpdate;
    const SUMMARY: &'static CStr = c"Adds to values of an array in place";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of values";
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::block(
            c"index-increment",
            &[Arg::integer(c"index"), Arg::string(c"increment")],
        )
        .multiple(),
    ];
    const SINCE: &'static CStr = c"0.2.0";
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"A negative index counts from the end")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        expect_pairs(args)?;
        let opened = lookup::for_writing(ctx, args)?;
        let (key, binding) = opened.parts();
        let bound = binding.writable(key)?;
        let item = binding.item;
        if item.kind() == Kind::String {
            return Err(strings(binding));
        }
        let indices = |count| paired_indices(args, count, binding);
        expect_in_ram_for_writing(ctx, bound, |count| {
            Touched::Each(indices(count).unwrap_or_default().into_vec())
        })?;
        let mut writer = bound.overwriter(pairs(args), pairs(args))?;
        let Span { head, count } = writer.span();
        let indices = indices(count)?;
        let new = writer.update(&indices, |pair, value| {
            let position = 2 * pair + 3;
            let increment = args.get(position);
            item.add(value, increment).map_err(|error| match error {
                AddError::Increment(error) => Failure::Message(format!(
                    "increment '{}' (argument {position}) {error}",
                    excerpt(increment)
                )),
                AddError::Result(error) => Failure::Message(format!(
                    "index {} (argument {}): the new value {error}; nothing was changed",
                    indices[pair],
                    position - 1
                )),
                AddError::Strings => strings(binding),
            })
        })?;
        drop(writer);
        let change = Change::Scattered {
            head,
            indices: &indices,
            bytes: &new,
        };
        announce(key, bound, c"vincrby", change);
        reply_when_durable(ctx, bound, move |ctx| {
            let replier = Replier::new(ctx, item);
            let values = new.chunks_exact(item.size());
            ctx.reply_array(values.len());
            values.for_each(|value| replier.value(value));
        })
    }
}

fn strings(binding: &Binding) -> Failure {
    Failure::Message(format!("the values of '{}' are strings", binding.path))
}
