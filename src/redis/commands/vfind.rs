//! `VFIND key start stop comparison value [comparison value] [LIMIT n] [COUNT]`: where values are that fulfil conditions.

use std::ffi::{CStr, c_int};

use crate::redis::execution::arguments::{count, one_encoded};
use crate::redis::execution::bounds;
use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::range::Wanted;
use crate::redis::execution::scan::reply_from_scan;
use crate::redis::keys::binding;
use crate::redis::server::context::{Args, Ctx, Failure, Outcome};
use crate::redis::server::memory;
use crate::redis::server::usage::Arg;
use crate::storage::questions::aggregate::kernel::Comparison;
use crate::storage::questions::find::{Condition, Find, Matches};
use crate::storage::types::{ItemType, excerpt};

/// How many indices are replied with at most where no `LIMIT` is given.
const DEFAULT_LIMIT: u64 = 1_000_000;
/// With more indices a reply would be too long.
const MOST_INDICES: u64 = bounds::LARGEST / bounds::NUMBER;
/// Most conditions: those of an interval.
const MOST_CONDITIONS: usize = 2;

const COMPARISONS: [(&[u8], Comparison); 6] = [
    (b"=", Comparison::Equal),
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

/// `VFIND key start stop comparison value [comparison value] [LIMIT n] [COUNT]`: replies with the indices, ascending, of
/// the first `n` values in the range for which all comparisons hold; with `COUNT` with their number only.
///
/// Fails if a word is unknown, or a value is not one of the array's type.
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
        Arg::block(c"condition", &[COMPARISON, Arg::string(c"value")]).multiple(),
        Arg::integer(c"n").after(c"LIMIT").optional(),
        Arg::word(c"count", c"COUNT").optional(),
    ];
    const SINCE: &'static CStr = c"0.2.0";
    const SUMMARY: &'static CStr = c"Returns the indices of the values that fulfil conditions";
    const COMPLEXITY: &'static CStr =
        c"O(N) where N is the number of values in the range; done in the background if there are many";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let wanted = Wanted::parse(args, 2)?;
        let wish = Wish::parse(args)?;
        let count_only = wish.count_only;
        let reply = move |ctx: &Ctx, matches: Matches| {
            if count_only {
                ctx.reply_count(matches.count);
                return Ok(());
            }
            expect_indices(matches.count)?;
            ctx.reply_array(matches.indices.len());
            for index in matches.indices {
                ctx.reply_count(index);
            }
            Ok(())
        };
        let Some(binding) = binding::for_reading(ctx, args)? else {
            return reply(ctx, Matches::default());
        };
        let item = binding.item;
        let conditions = wish.conditions(args, item)?;
        let query = move || Find::new(item, conditions.clone(), wish.limit, count_only);
        reply_from_scan(
            ctx,
            binding.bound()?,
            wanted,
            1,
            query,
            move |ctx, _, matches| reply(ctx, matches),
        )
    }
}

/// What the arguments ask for.
struct Wish {
    /// Comparisons, and the numbers of the arguments that are compared with.
    comparisons: Vec<(Comparison, usize)>,
    limit: u64,
    count_only: bool,
}

impl Wish {
    fn parse(args: Args<'_>) -> Result<Self, Failure> {
        let mut wish = Self {
            comparisons: Vec::new(),
            limit: u64::MAX,
            count_only: false,
        };
        let mut limit = None;
        let mut position = 4;
        while position < args.len() {
            let word = args.get(position);
            let has_value = position + 1 < args.len();
            if word.eq_ignore_ascii_case(b"COUNT") && position > 4 {
                wish.count_only = true;
                position += 1;
            } else if word.eq_ignore_ascii_case(b"LIMIT") && position > 4 && has_value {
                limit = Some(count(args, position + 1)?);
                position += 2;
            } else {
                let comparison = comparison(word).filter(|_| {
                    has_value
                        && limit.is_none()
                        && !wish.count_only
                        && wish.comparisons.len() < MOST_CONDITIONS
                });
                let comparison = comparison.ok_or_else(|| syntax_error(word, position))?;
                wish.comparisons.push((comparison, position + 1));
                position += 2;
            }
        }
        let unlimited = if wish.count_only {
            u64::MAX
        } else {
            DEFAULT_LIMIT
        };
        wish.limit = limit.unwrap_or(unlimited);
        if !wish.count_only {
            // One more than a reply has tells that there are more.
            wish.limit = wish.limit.min(MOST_INDICES + 1);
        }
        Ok(wish)
    }

    fn conditions(&self, args: Args<'_>, item: ItemType) -> Result<Vec<Condition>, Failure> {
        let condition = |&(comparison, position)| {
            let value = one_encoded(args, position, item)?;
            Ok(Condition { comparison, value })
        };
        self.comparisons.iter().map(condition).collect()
    }
}

/// Whether a reply may have so many indices.
///
/// # Errors
/// If they are too many, or there is no memory for them.
fn expect_indices(indices: u64) -> Outcome {
    if indices > MOST_INDICES {
        return Err(Failure::Message(format!(
            "more than {MOST_INDICES} values were found, and a reply has no more indices: use COUNT or a smaller LIMIT, \
             or go on from where a first reply ends"
        )));
    }
    memory::expect(indices * bounds::NUMBER)
}

fn comparison(word: &[u8]) -> Option<Comparison> {
    let found = COMPARISONS.iter().find(|(text, _)| *text == word);
    found.map(|&(_, comparison)| comparison)
}

fn syntax_error(word: &[u8], position: usize) -> Failure {
    Failure::Message(format!(
        "syntax error at '{}' (argument {position}): expected VFIND key start stop comparison value \
         [comparison value] [LIMIT n] [COUNT], where a comparison is one of = != < <= > >=",
        excerpt(word)
    ))
}
