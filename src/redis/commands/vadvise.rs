//! `VADVISE key advice [start stop]`: what is going to be read.

use std::ffi::{CStr, c_int};
use std::ops::Range;

use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::range::RequestedRange;
use crate::redis::execution::scan::expect_inline;
use crate::redis::keys::lookup;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Outcome};
use crate::redis::store;
use crate::storage::memory::pattern::Pattern;
use crate::storage::types::excerpt;
use crate::storage::{Bound, Cancel, Error};

/// `VADVISE key RANDOM|SEQUENTIAL|NORMAL`: says in which order values are going to be read, and replies `OK`.
/// `VADVISE key WILLNEED [start stop]`: has values read into RAM in the background, and replies `OK` at once.
/// `VADVISE key DONTNEED [start stop]`: writes the array to disk and drops the values from RAM; replies `OK` when that
/// is done. The range is that of `LRANGE`, and all values where it is left out.
///
/// Fails if there is no such key, a word is unknown, or the disk reports an error.
pub struct VAdvise;

impl Command for VAdvise {
    const NAME: &'static CStr = c"vadvise";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = -3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::one_of(
            c"advice",
            &[
                Arg::word(c"random", c"RANDOM"),
                Arg::word(c"sequential", c"SEQUENTIAL"),
                Arg::word(c"normal", c"NORMAL"),
                Arg::block(
                    c"of-a-range",
                    &[
                        Arg::one_of(
                            c"advice",
                            &[
                                Arg::word(c"willneed", c"WILLNEED"),
                                Arg::word(c"dontneed", c"DONTNEED"),
                            ],
                        ),
                        Arg::block(c"range", &[Arg::integer(c"start"), Arg::integer(c"stop")])
                            .optional(),
                    ],
                ),
            ],
        ),
    ];
    const SINCE: &'static CStr = c"0.2.0";
    const SUMMARY: &'static CStr = c"Says how an array is going to be read";
    const COMPLEXITY: &'static CStr =
        c"O(1); reading and dropping values is O(N), in the background, where N is their number";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let advice = Advice::parse(args)?;
        let wanted = range(args, &advice)?;
        let Some(binding) = lookup::for_reading(ctx, args)? else {
            return Err(lookup::missing_key(args));
        };
        let bound = binding.bound()?;
        let count = bound.view()?.count();
        let values = wanted.map_or(0..count, |wanted| wanted.of(count));
        match advice {
            Advice::Pattern(pattern) => bound.advise(pattern),
            Advice::WillNeed => {
                store().bring_in_ahead_of_need(bound.share(), values);
            }
            Advice::DontNeed => return drop_values(ctx, bound, values),
        }
        ctx.reply_ok();
        Ok(())
    }
}

enum Advice {
    Pattern(Pattern),
    WillNeed,
    DontNeed,
}

impl Advice {
    fn parse(args: Args<'_>) -> Result<Self, Failure> {
        let word = args.get(2);
        Ok(match word.to_ascii_uppercase().as_slice() {
            b"RANDOM" => Self::Pattern(Pattern::Random),
            b"SEQUENTIAL" => Self::Pattern(Pattern::Sequential),
            b"NORMAL" => Self::Pattern(Pattern::Normal),
            b"WILLNEED" => Self::WillNeed,
            b"DONTNEED" => Self::DontNeed,
            _ => {
                return Err(Failure::Message(format!(
                    "unknown advice '{}' (argument 2): use RANDOM, SEQUENTIAL, NORMAL, WILLNEED or DONTNEED",
                    excerpt(word)
                )));
            }
        })
    }
}

/// The range that is asked for, if one is.
fn range(args: Args<'_>, advice: &Advice) -> Result<Option<RequestedRange>, Failure> {
    match (args.len(), advice) {
        (3, _) => Ok(None),
        // The kernel would divide the mapping at its ends, and a process can have 65530 of them.
        (5, Advice::Pattern(_)) => Err(Failure::Message(format!(
            "{} applies to a whole array: leave out start and stop (arguments 3 and 4)",
            excerpt(args.get(2)).to_ascii_uppercase()
        ))),
        (5, _) => RequestedRange::parse(args, 3).map(Some),
        _ => Err(Failure::WrongArity),
    }
}

/// Writes the array to disk, drops values from RAM, and replies. The client waits, and when it goes away that is given up; where
/// it cannot be kept waiting, the server does.
fn drop_values(ctx: &Ctx, bound: &Bound, values: Range<u64>) -> Outcome {
    if !ctx.may_block() {
        expect_inline(values.end - values.start, bound.item())?;
        bound.sync()?;
        store().drop_pages(bound.share(), values)?;
        ctx.reply_ok();
        return Ok(());
    }
    let cancel = Cancel::default();
    let waiting = ctx.block_with(&cancel);
    let array = bound.share();
    let reply = move |result: Result<(), String>| {
        waiting.end(Box::new(|ctx, _| {
            result.map_err(Failure::Message)?;
            ctx.reply_ok();
            Ok(())
        }));
    };
    let synced = move |synced: Result<(), &Error>| match synced {
        Ok(()) => store().drop_pages_in_background(array, values, cancel, |dropped| {
            reply(dropped.map_err(|error| error.to_string()));
        }),
        Err(error) => reply(Err(error.to_string())),
    };
    store().sync_in_background(bound, false, Box::new(synced));
    Ok(())
}
