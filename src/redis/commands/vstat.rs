//! `VSTAT key`: everything about one array.

use std::ffi::{CStr, c_int};

use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::keys::binding::{Binding, KeyTarget};
use crate::redis::keys::lookup;
use crate::redis::server::{Args, Ctx, Outcome};
use crate::redis::store;
use crate::storage::types::dtype;
use crate::storage::{Access, ArrayState, Bound, Status};

/// `VSTAT key`: replies with a map of everything about the array; nil if there is no such key. It also answers while
/// the file is missing or lost.
pub struct VStat;

impl Command for VStat {
    const NAME: &'static CStr = c"vstat";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = 2;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns everything about an array and its file";
    const COMPLEXITY: &'static CStr =
        c"O(N) where N is the number of pages of the file, at most 65536";
    const SINCE: &'static CStr = c"0.2.0";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let Some(binding) = lookup::for_reading(ctx, args)? else {
            ctx.reply_null();
            return Ok(());
        };
        let fields = fields(&binding);
        ctx.reply_map(fields.len());
        for (name, field) in &fields {
            ctx.reply_bulk(name.as_bytes());
            match field {
                StatField::Count(count) => ctx.reply_count(*count),
                StatField::Text(text) => ctx.reply_bulk(text),
                StatField::Nil => ctx.reply_null(),
            }
        }
        Ok(())
    }
}

enum StatField<'a> {
    Count(u64),
    Text(std::borrow::Cow<'a, [u8]>),
    Nil,
}

impl<'a> StatField<'a> {
    fn text(text: &'a str) -> Self {
        Self::Text(text.as_bytes().into())
    }

    fn or_nil(count: Option<u64>) -> Self {
        count.map_or(Self::Nil, Self::Count)
    }
}

fn fields(binding: &Binding) -> Vec<(&'static str, StatField<'_>)> {
    let mut fields = vec![
        ("path", StatField::Text(binding.path.as_bytes().into())),
        ("type", StatField::text(binding.item.name())),
        (
            "dtype",
            StatField::Text(dtype::of(binding.item).into_bytes().into()),
        ),
        ("item-size", StatField::Count(binding.item.size() as u64)),
        (
            "mode",
            StatField::text(match binding.access {
                Access::Writable => "writable",
                Access::ReadOnly => "read-only",
            }),
        ),
    ];
    match &binding.target {
        KeyTarget::Open(bound) => add_status(&mut fields, bound, store().status(bound)),
        KeyTarget::Unavailable { reason, count } => fields.extend([
            ("state", StatField::text("unavailable")),
            (
                "why",
                StatField::Text(reason.to_string().into_bytes().into()),
            ),
            (
                "last-error",
                StatField::Text(reason.to_string().into_bytes().into()),
            ),
            ("keys", StatField::Count(1)),
            ("count", StatField::Count(*count)),
            ("capacity", StatField::Count(0)),
            (
                "bytes",
                StatField::Count(count * binding.item.size() as u64),
            ),
            ("file-bytes", StatField::Nil),
            ("synced", StatField::Nil),
            ("resident", StatField::Nil),
        ]),
    }
    fields
}

fn add_status(fields: &mut Vec<(&'static str, StatField<'_>)>, bound: &Bound, status: Status) {
    let state = match status.state {
        ArrayState::Exact => "exact",
        ArrayState::Slack => "slack",
        ArrayState::Refused => "refused",
        ArrayState::Lost => "lost",
        ArrayState::Unlinked => "unlinked",
        ArrayState::Incomplete => "incomplete",
    };
    let text = |text: Option<String>| match text {
        Some(text) => StatField::Text(text.into_bytes().into()),
        None => StatField::Nil,
    };
    fields.extend([
        ("state", StatField::text(state)),
        ("why", text(status.why)),
        ("last-error", text(status.last_error)),
        ("keys", StatField::Count(bound.keys() as u64)),
        ("count", StatField::Count(status.count)),
        ("capacity", StatField::Count(status.capacity)),
        ("bytes", StatField::Count(status.bytes)),
        ("file-bytes", StatField::Count(status.file_bytes)),
        ("synced", StatField::or_nil(status.synced)),
        ("resident", StatField::or_nil(status.resident)),
    ]);
}
