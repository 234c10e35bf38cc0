//! `VAGG key start stop op [op ...] [SKIPNAN]`: aggregates of a range of values.

use std::ffi::{CStr, c_int};

use crate::redis::execution::bounds;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::range::RequestedRange;
use crate::redis::execution::reply::Replier;
use crate::redis::execution::scan::{reply_from_scan, reply_with_answers};
use crate::redis::keys::lookup;
use crate::redis::server::memory;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Outcome, Resp};
use crate::storage::questions::aggregate::buckets::Buckets;
use crate::storage::questions::aggregate::{Answer, Op, Partial, Question};
use crate::storage::types::{ItemType, Kind, excerpt};

/// `op [op ...]`, as `COMMAND DOCS` has it.
pub const OP: Arg = Arg::one_of(
    c"op",
    &[
        Arg::word(c"count", c"COUNT"),
        Arg::word(c"sum", c"SUM"),
        Arg::word(c"min", c"MIN"),
        Arg::word(c"max", c"MAX"),
        Arg::word(c"avg", c"AVG"),
        Arg::word(c"mean", c"MEAN"),
        Arg::word(c"var", c"VAR"),
        Arg::word(c"std", c"STD"),
        Arg::word(c"argmin", c"ARGMIN"),
        Arg::word(c"argmax", c"ARGMAX"),
    ],
)
.multiple();

/// `[SKIPNAN]`, as `COMMAND DOCS` has it.
pub const SKIPNAN: Arg = Arg::word(c"skipnan", c"SKIPNAN").optional();

/// `VAGG key start stop op [op ...] [SKIPNAN]`: replies with one answer for each `op`, in their order.
///
/// Fails if `start` or `stop` is not an integer, or an `op` is unknown or not possible for the type.
pub struct VAgg;

impl Command for VAgg {
    const NAME: &'static CStr = c"vagg";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = -5;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::integer(c"start"),
        Arg::integer(c"stop"),
        OP,
        SKIPNAN,
    ];
    const SINCE: &'static CStr = c"0.2.0";
    const SUMMARY: &'static CStr =
        c"Returns aggregates (sum, minimum, mean, ...) of a range of an array";
    const COMPLEXITY: &'static CStr =
        c"O(N) where N is the number of values in the range; done in the background if there are many";
    const HISTORY: &'static [(&'static CStr, &'static CStr)] =
        &[(c"0.3.0", c"MEAN; SKIPNAN may stand anywhere")];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let wanted = RequestedRange::parse(args, 2)?;
        let asked = Asked::parse(args, 4)?;
        aggregate(ctx, args, wanted, asked, 1, |_, _| ())
    }
}

/// Replies with the aggregates of each of `parts` parts of a range, after what `begin` says of their number.
pub fn aggregate(
    ctx: &Ctx,
    args: Args<'_>,
    wanted: RequestedRange,
    asked: Asked,
    parts: u64,
    begin: fn(&Ctx, usize),
) -> Outcome {
    let number = parts * asked.ops.len() as u64;
    let Some(binding) = lookup::for_reading(ctx, args)? else {
        asked.expect_reply(parts, ItemType::DOUBLE)?;
        return reply_with_answers(ctx, number, move |ctx, resp| {
            let nothing = asked.of_nothing();
            begin(ctx, parts as usize);
            for _ in 0..parts {
                asked.reply(ctx, resp, ItemType::DOUBLE, &nothing);
            }
            Ok(())
        });
    };
    let item = binding.item;
    let question = asked.of(item)?;
    asked.expect_reply(parts, item)?;
    let query = move || Buckets::new(question.clone(), parts);
    let reply = move |ctx: &Ctx, resp, answers: Vec<Vec<Answer>>| {
        begin(ctx, answers.len());
        for answers in &answers {
            asked.reply(ctx, resp, item, answers);
        }
        Ok(())
    };
    reply_from_scan(ctx, binding.bound()?, wanted, number, query, reply)
}

/// The end of the arguments: `op [op ...] [SKIPNAN]`, where `SKIPNAN` may stand anywhere.
pub struct Asked {
    ops: Vec<Op>,
    skip_nan: bool,
    /// The numbers of the arguments that they are.
    positions: Vec<usize>,
}

impl Asked {
    /// # Errors
    /// If there is an unknown word, or no `op`.
    pub fn parse(args: Args<'_>, position: usize) -> Result<Self, Failure> {
        let mut asked = Self {
            ops: Vec::with_capacity(args.len() - position),
            skip_nan: false,
            positions: Vec::new(),
        };
        for (position, word) in (position..).zip(args.from(position)) {
            if word.eq_ignore_ascii_case(b"SKIPNAN") {
                asked.skip_nan = true;
                continue;
            }
            let op = operation(word).ok_or_else(|| {
                Failure::Message(format!(
                    "unknown operation '{}' (argument {position}): use {}, and SKIPNAN to leave NaN out",
                    excerpt(word),
                    names()
                ))
            })?;
            asked.ops.push(op);
            asked.positions.push(position);
        }
        if asked.ops.is_empty() {
            return Err(Failure::Message(format!(
                "no operation is given beside SKIPNAN: use {}",
                names()
            )));
        }
        Ok(asked)
    }

    /// The question, to values of that type.
    ///
    /// # Errors
    /// If the type does not have an operation.
    fn of(&self, item: ItemType) -> Result<Question, Failure> {
        let impossible = self
            .positions
            .iter()
            .zip(&self.ops)
            .find(|(_, op)| !op.is_possible(item.kind()));
        if let Some((position, op)) = impossible {
            return Err(Failure::Message(format!(
                "operation '{}' (argument {position}) is not possible for values of type {}",
                op.name(),
                Kind::String.name()
            )));
        }
        Ok(Question::new(item, self.ops.clone(), self.skip_nan))
    }

    /// Checks that a reply has room for the answers of `parts`.
    ///
    /// # Errors
    /// If they take too much memory, or there is no memory for them and what they are put together from.
    fn expect_reply(&self, parts: u64, item: ItemType) -> Outcome {
        let each = |op: &Op| match op {
            Op::Min | Op::Max => bounds::in_reply(item),
            _ => bounds::NUMBER,
        };
        let bytes = self.ops.iter().map(each).sum::<u64>().max(1);
        let most = bounds::LARGEST / bytes;
        if parts > most {
            return Err(Failure::Message(format!(
                "with these {} operations on values of type {item} a reply has at most {most} parts, not {parts}",
                self.ops.len()
            )));
        }
        memory::expect(parts * (2 * bytes + size_of::<Partial>() as u64))
    }

    /// The answers of an array without values.
    fn of_nothing(&self) -> Vec<Answer> {
        Question::new(ItemType::DOUBLE, self.ops.clone(), self.skip_nan).answers_of_nothing()
    }

    /// Replies with an array of the answers.
    fn reply(&self, ctx: &Ctx, resp: Resp, item: ItemType, answers: &[Answer]) {
        ctx.reply_array(answers.len());
        let replier = Replier::speaking(ctx, item, resp);
        for answer in answers {
            match answer {
                Answer::Nothing => ctx.reply_null(),
                Answer::Count(count) => ctx.reply_count(*count),
                Answer::Integer(value) => replier.integer(*value),
                Answer::Double(value) => replier.double(*value),
                Answer::Item(bytes) => replier.value(bytes),
            }
        }
    }
}

/// The operation of that name.
fn operation(word: &[u8]) -> Option<Op> {
    let word = word.to_ascii_uppercase();
    let known = Op::ALL.iter().find(|(name, _)| word == name.as_bytes());
    known.map(|&(_, op)| op)
}

fn names() -> String {
    Op::ALL.map(|(name, _)| name).join(", ")
}
