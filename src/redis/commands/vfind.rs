//! `VFIND key start stop comparison value [comparison value] [LIMIT offset count | COUNT count] [WITHVALUES] [LEN]`: where
//! values are that fulfil conditions.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::{count, number, place};
use crate::redis::execution::bounds;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::range::RequestedRange;
use crate::redis::execution::reply::Replier;
use crate::redis::execution::scan::reply_from_scan;
use crate::redis::keys::lookup;
use crate::redis::server::memory;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Outcome, Resp};
use crate::storage::questions::aggregate::compare::Comparison;
use crate::storage::questions::find::{Condition, Find, Keep, Matches};
use crate::storage::types::{ItemType, excerpt, parse_index};

/// Most conditions: those of an interval.
const MOST_CONDITIONS: usize = 2;

const COMPARISONS: [(&[u8], Comparison); 7] = [
    (b"=", Comparison::Equal),
    (b"==", Comparison::Equal),
    (b"!=", Comparison::NotEqual),
    (b"<", Comparison::Less),
    (b"<=", Comparison::LessOrEqual),
    (b">", Comparison::Greater),
    (b">=", Comparison::GreaterOrEqual),
];

/// A comparison, as `COMMAND DOCS` has it.
const COMPARISON: Arg = Arg::one_of(
    c"comparison",
    &[
        Arg::word(c"equal", c"="),
        Arg::word(c"not-equal", c"!="),
        Arg::word(c"less", c"<"),
        Arg::word(c"at-most", c"<="),
        Arg::word(c"greater", c">"),
        Arg::word(c"at-least", c">="),
    ],
);

/// A condition, as `COMMAND DOCS` has it.
const CONDITION: &[Arg] = &[COMPARISON, Arg::string(c"value")];

/// `VFIND key start stop comparison value [comparison value]`: replies with the indices, ascending, of all values in the
/// range for which all comparisons hold. A value to compare with need not be one of the array's type.
///
/// With `LIMIT offset count`, as in `ZRANGE`, without the first `offset` of them and with at most `count`; `LIMIT count` is
/// short for an offset of 0. With `COUNT count`, as in `XAUTOCLAIM`, replies with two things: the `start` for the next call,
/// 0 when there are no more, and the first `count` indices. `WITHVALUES` adds each value after its index, as pairs in RESP3.
/// With `LEN` (or, as in version 0.2, `COUNT` without a number) replies with their number only.
///
/// Fails if a word is unknown, a value cannot be compared with those of the array, or a list would be too long.
pub struct VFind;

impl Command for VFind {
    const NAME: &'static CStr = c"vfind";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = -6;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::integer(c"start"),
        Arg::integer(c"stop"),
        Arg::block(c"condition", CONDITION),
        Arg::block(c"second-condition", CONDITION).optional(),
        Arg::one_of(
            c"part",
            &[
                Arg::block(c"limit", &[Arg::integer(c"offset"), Arg::integer(c"count")])
                    .after(c"LIMIT"),
                Arg::integer(c"count").after(c"COUNT"),
            ],
        )
        .optional(),
        Arg::word(c"withvalues", c"WITHVALUES").optional(),
        Arg::word(c"len", c"LEN").optional(),
    ];
    const SINCE: &'static CStr = c"0.2.0";
    const SUMMARY: &'static CStr = c"Returns the indices of the values that fulfil conditions";
    const COMPLEXITY: &'static CStr =
        c"O(N) where N is the number of values in the range; done in the background if there are many";
    const HISTORY: &'static [(&'static CStr, &'static CStr)] = &[(
        c"0.3.0",
        c"COUNT count, LIMIT with an offset, WITHVALUES, LEN and ==; integers compare with any number; a list is whole or an error",
    )];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let wanted = RequestedRange::parse(args, 2)?;
        let wish = FindArguments::parse(args)?;
        let Some(binding) = lookup::for_reading(ctx, args)? else {
            return wish.reply(ctx, ctx.resp(), ItemType::DOUBLE, &Matches::default());
        };
        let item = binding.item;
        let conditions = wish.conditions(args, item)?;
        let (limit, keep) = (wish.limit(item), wish.keep());
        let query = move || Find::new(item, conditions.clone(), limit, keep);
        let reply = move |ctx: &Ctx, resp, matches: Matches| wish.reply(ctx, resp, item, &matches);
        reply_from_scan(ctx, binding.bound()?, wanted, 1, query, reply)
    }
}

/// Which of the values that are found the reply tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// At most `count` of them after `offset`.
    List { offset: u64, count: u64 },
    /// The first ones, and where to go on.
    Page { count: u64 },
}

impl Part {
    const ALL: Self = Self::List {
        offset: 0,
        count: u64::MAX,
    };
}

/// What the arguments ask for.
struct FindArguments {
    /// Comparisons, and the numbers of the arguments that are compared with.
    comparisons: Vec<(Comparison, usize)>,
    part: Part,
    with_values: bool,
    /// Whether their number is enough.
    is_number: bool,
}

impl FindArguments {
    fn parse(args: Args<'_>) -> Result<Self, Failure> {
        let mut wish = Self {
            comparisons: Vec::new(),
            part: Part::ALL,
            with_values: false,
            is_number: false,
        };
        let mut position = wish.parse_comparisons(args)?;
        let mut part = None;
        while position < args.len() {
            position += wish.parse_option(args, position, &mut part)?;
        }
        wish.part = part.unwrap_or(Part::ALL);
        if wish.is_number && (wish.with_values || matches!(wish.part, Part::Page { .. })) {
            return Err(Failure::Message(
                "syntax error: LEN replies with a number, which has no WITHVALUES and no COUNT"
                    .to_owned(),
            ));
        }
        Ok(wish)
    }

    /// Where the options begin.
    fn parse_comparisons(&mut self, args: Args<'_>) -> Result<usize, Failure> {
        let mut position = 4;
        while position < args.len() && self.comparisons.len() < MOST_CONDITIONS {
            let Some(comparison) = comparison(args.get(position)) else {
                break;
            };
            if position + 1 == args.len() {
                return Err(syntax_error(args, position));
            }
            self.comparisons.push((comparison, position + 1));
            position += 2;
        }
        if self.comparisons.is_empty() {
            return Err(syntax_error(args, position));
        }
        Ok(position)
    }

    /// How many arguments the option at a position has. `part` is what one before has told, or this one tells.
    fn parse_option(
        &mut self,
        args: Args<'_>,
        position: usize,
        part: &mut Option<Part>,
    ) -> Result<usize, Failure> {
        let numbers = (position + 1..args.len())
            .take_while(|&next| parse_index(args.get(next)).is_ok())
            .count();
        let (told, len) = match (args.get(position).to_ascii_uppercase().as_slice(), numbers) {
            (b"LIMIT" | b"COUNT", 1..) if part.is_some() => {
                return Err(Failure::Message(format!(
                    "syntax error at '{}' (argument {position}): LIMIT and COUNT exclude each other, and each may \
                     be given once",
                    excerpt(args.get(position))
                )));
            }
            (b"COUNT", 1..) => {
                let count = number(args, position + 1, "count", 1)?;
                (Part::Page { count }, 2)
            }
            (b"LIMIT", 2..) => {
                let offset = number(args, position + 1, "offset", 0)?;
                // As in ZRANGE, a negative count is no limit.
                let count = parse_index(args.get(position + 2)).unwrap_or(-1);
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                (Part::List { offset, count }, 3)
            }
            (b"LIMIT", _) if position + 1 < args.len() => {
                let count = count(args, position + 1)?;
                (Part::List { offset: 0, count }, 2)
            }
            (b"WITHVALUES", _) => {
                self.with_values = true;
                return Ok(1);
            }
            (b"LEN" | b"COUNT", _) => {
                self.is_number = true;
                return Ok(1);
            }
            _ => return Err(syntax_error(args, position)),
        };
        *part = Some(told);
        Ok(len)
    }

    fn conditions(&self, args: Args<'_>, item: ItemType) -> Result<Vec<Condition>, Failure> {
        let condition = |&(comparison, position)| {
            let place = place(args, position, item)?;
            Ok(Condition::new(comparison, place, item)?)
        };
        let conditions = self.comparisons.iter().map(condition);
        Ok(conditions
            .collect::<Result<Vec<_>, Failure>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// What one match takes in a reply at most, in bytes.
    fn bytes_per_match(&self, item: ItemType) -> u64 {
        bounds::NUMBER
            + if self.with_values {
                bounds::in_reply(item)
            } else {
                0
            }
    }

    /// How many matches a reply has at most.
    fn most(&self, item: ItemType) -> u64 {
        bounds::LARGEST / self.bytes_per_match(item)
    }

    /// How many matches are looked for at most.
    fn limit(&self, item: ItemType) -> u64 {
        match self.part {
            Part::List { offset, count } if self.is_number => offset.saturating_add(count),
            // One more than a reply has tells that there are more.
            Part::List { offset, count } => offset.saturating_add(count).min(self.most(item) + 1),
            Part::Page { count } => count.min(self.most(item)),
        }
    }

    fn keep(&self) -> Keep {
        match (self.is_number, self.with_values) {
            (true, _) => Keep::Number,
            (false, false) => Keep::Indices,
            (false, true) => Keep::IndicesAndValues,
        }
    }

    fn reply(&self, ctx: &Ctx, resp: Resp, item: ItemType, matches: &Matches) -> Outcome {
        let offset = match self.part {
            Part::List { offset, .. } => offset.min(matches.count),
            Part::Page { .. } => 0,
        };
        if self.is_number {
            ctx.reply_count(matches.count - offset);
            return Ok(());
        }
        let most = self.most(item);
        if matches.count > most {
            return Err(Failure::Message(format!(
                "more than {most} values were found, and a reply has no room for more: use COUNT n, whose reply says \
                 where to continue, or LIMIT with a smaller offset and count"
            )));
        }
        memory::expect(matches.count * self.bytes_per_match(item))?;
        if let Part::Page { .. } = self.part {
            ctx.reply_array(2);
            ctx.reply_count(self.next(item, matches));
        }
        let (indices, size) = (&matches.indices[offset as usize..], item.size());
        if !self.with_values {
            ctx.reply_array(indices.len());
            indices.iter().for_each(|&index| ctx.reply_count(index));
            return Ok(());
        }
        // As HRANDFIELD has them.
        ctx.reply_array(match resp {
            Resp::Two => 2 * indices.len(),
            Resp::Three => indices.len(),
        });
        let values = matches.values.chunks_exact(size).skip(offset as usize);
        let replier = Replier::speaking(ctx, item, resp);
        for (&index, value) in indices.iter().zip(values) {
            if resp == Resp::Three {
                ctx.reply_array(2);
            }
            ctx.reply_count(index);
            replier.value(value);
        }
        Ok(())
    }

    /// The `start` from which the range is to be gone through next; 0 if that is done.
    fn next(&self, item: ItemType, matches: &Matches) -> u64 {
        match matches.indices.last() {
            Some(&last) if matches.count == self.limit(item) && last + 1 < matches.end => last + 1,
            _ => 0,
        }
    }
}

fn comparison(word: &[u8]) -> Option<Comparison> {
    let found = COMPARISONS.iter().find(|(text, _)| *text == word);
    found.map(|&(_, comparison)| comparison)
}

fn syntax_error(args: Args<'_>, position: usize) -> Failure {
    Failure::Message(format!(
        "syntax error at '{}' (argument {position}): expected VFIND key start stop comparison value \
         [comparison value] [LIMIT offset count | COUNT n] [WITHVALUES] [LEN], where a comparison is one of = != < <= > >=",
        excerpt(args.get(position))
    ))
}
