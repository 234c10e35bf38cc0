//! `VSETRAW key index bytes`: overwrites values with bytes.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::{index_below, whole_values};
use crate::redis::execution::cold::expect_in_ram_for_writing;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::commit::{announce, reply_when_durable};
use crate::redis::keys::lookup;
use crate::redis::replication::Change;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Outcome};
use crate::storage::Span;
use crate::storage::cold::touched::Touched;

/// `VSETRAW key index bytes`: puts the values that lie in `bytes` back to back in the place of those from `index`
/// on. Replies with their number.
///
/// Fails if the bytes are not whole values or reach beyond the last value, or the key is bound read-only or not
/// at all.
pub struct VSetRaw;

impl Command for VSetRaw {
    const NAME: &'static CStr = c"vsetraw";
    const FLAGS: &'static CStr = c"write";
    const ARITY: c_int = 4;
    const KEY_ACCESS: KeyAccess = KeyAccess::Update;
    const SUMMARY: &'static CStr = c"Sets values of an array in place, given as bytes";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of bytes";
    const ARGS: &'static [Arg] = &[Arg::KEY, Arg::integer(c"index"), Arg::string(c"bytes")];
    const SINCE: &'static CStr = c"0.2.0";
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"A negative index counts from the end")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let opened = lookup::for_writing(ctx, args)?;
        let (key, binding) = opened.parts();
        let bound = binding.writable(key)?;
        let (bytes, values) = whole_values(args, 3, binding.item)?;
        // Values that begin at the end are none.
        let none = u64::from(values == 0);
        let index = |count: u64| index_below(args, 2, count.saturating_add(none), binding);
        if values > 0 {
            expect_in_ram_for_writing(ctx, bound, |count| {
                index(count).map_or(Touched::Range(0..0), |index| {
                    Touched::Range(index..index + values)
                })
            })?;
        }
        let mut writer = bound.overwriter(1, values as usize)?;
        let Span { head, count } = writer.span();
        let index = index(count)?;
        if values > 0 {
            writer.set_from(index, bytes)?;
            drop(writer);
            let position = head + index;
            announce(key, bound, c"vsetraw", Change::Values { position, bytes });
        } else {
            drop(writer);
        }
        reply_when_durable(ctx, bound, move |ctx| ctx.reply_count(values))
    }
}
