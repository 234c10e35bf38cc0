//! `VGET key index`: one value.

use std::ffi::{CStr, c_int};
use std::iter;

use crate::redis::execution::arguments::index;
use crate::redis::execution::cold::expect_in_ram;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::reply::Replier;
use crate::redis::keys::lookup;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};
use crate::storage::cold::touched::Touched;

/// Values up to this size, in bytes, are copied to the stack; longer strings to the heap.
pub const ON_STACK: usize = 64;

/// `VGET key index`: replies with the value at `index`, counted from 0, or from -1 at the end; nil if there is none.
///
/// Fails if `index` is not an integer.
pub struct VGet;

impl Command for VGet {
    const NAME: &'static CStr = c"vget";
    const FLAGS: &'static CStr = c"readonly fast";
    const ARITY: c_int = 3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns the value at an index of an array";
    const COMPLEXITY: &'static CStr = c"O(1)";
    const ARGS: &'static [Arg] = &[Arg::KEY, Arg::integer(c"index")];
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"A negative index counts from the end")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let index = index(args, 2)?;
        let Some(binding) = lookup::for_short_reading(ctx, args)? else {
            ctx.reply_null();
            return Ok(());
        };
        let size = binding.item.size();
        let mut on_stack = [0; ON_STACK];
        let mut on_heap = Vec::new();
        let value = if size <= ON_STACK {
            &mut on_stack[..size]
        } else {
            on_heap.resize(size, 0);
            &mut on_heap[..]
        };
        let bound = binding.bound()?;
        let mut view = bound.view()?;
        let index = index.of(view.count());
        if index >= view.count() {
            ctx.reply_null();
            return Ok(());
        }
        expect_in_ram(ctx, bound, &mut view, || Touched::Each(vec![index]))?;
        view.read(index, value)?;
        drop(view);
        Replier::new(ctx, binding.item).values(iter::once(Some(&*value)));
        Ok(())
    }
}
