//! `VSTAT key`: everything about one array.

use std::ffi::{CStr, c_int};

use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::keys::binding::{Binding, Target};
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
                Field::Count(count) => ctx.reply_count(*count),
                Field::Text(text) => ctx.reply_bulk(text),
                Field::Nil => ctx.reply_null(),
            }
        }
        Ok(())
    }
}

enum Field<'a> {
    Count(u64),
    Text(std::borrow::Cow<'a, [u8]>),
    Nil,
}

impl<'a> Field<'a> {
    fn text(text: &'a str) -> Self {
        Self::Text(text.as_bytes().into())
    }

    fn or_nil(count: Option<u64>) -> Self {
        count.map_or(Self::Nil, Self::Count)
    }
}

fn fields(binding: &Binding) -> Vec<(&'static str, Field<'_>)> {
    let mut fields = vec![
        ("path", Field::Text(binding.path.as_bytes().into())),
        ("type", Field::text(binding.item.name())),
        (
            "dtype",
            Field::Text(dtype::of(binding.item).into_bytes().into()),
        ),
        ("item-size", Field::Count(binding.item.size() as u64)),
        (
            "mode",
            Field::text(match binding.access {
                Access::Writable => "writable",
                Access::ReadOnly => "read-only",
            }),
        ),
    ];
    match &binding.target {
        Target::Open(bound) => add_status(&mut fields, bound, store().status(bound)),
        Target::Unavailable { reason, count } => fields.extend([
            ("state", Field::text("unavailable")),
            ("why", Field::Text(reason.to_string().into_bytes().into())),
            (
                "last-error",
                Field::Text(reason.to_string().into_bytes().into()),
            ),
            ("keys", Field::Count(1)),
            ("count", Field::Count(*count)),
            ("capacity", Field::Count(0)),
            ("bytes", Field::Count(count * binding.item.size() as u64)),
            ("file-bytes", Field::Nil),
            ("synced", Field::Nil),
            ("resident", Field::Nil),
        ]),
    }
    fields
}

fn add_status(fields: &mut Vec<(&'static str, Field<'_>)>, bound: &Bound, status: Status) {
    let state = match status.state {
        ArrayState::Exact => "exact",
        ArrayState::Slack => "slack",
        ArrayState::Refused => "refused",
        ArrayState::Lost => "lost",
        ArrayState::Unlinked => "unlinked",
        ArrayState::Incomplete => "incomplete",
    };
    let text = |text: Option<String>| match text {
        Some(text) => Field::Text(text.into_bytes().into()),
        None => Field::Nil,
    };
    fields.extend([
        ("state", Field::text(state)),
        ("why", text(status.why)),
        ("last-error", text(status.last_error)),
        ("keys", Field::Count(bound.keys() as u64)),
        ("count", Field::Count(status.count)),
        ("capacity", Field::Count(status.capacity)),
        ("bytes", Field::Count(status.bytes)),
        ("file-bytes", Field::Count(status.file_bytes)),
        ("synced", Field::or_nil(status.synced)),
        ("resident", Field::or_nil(status.resident)),
    ]);
}
