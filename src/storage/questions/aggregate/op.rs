//! What can be asked of values.

use crate::storage::types::Kind;

/// What can be asked of values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Number of values.
    Count,
    Sum,
    Min,
    Max,
    /// Arithmetic mean.
    Avg,
    /// Variance of the population: numpy's with `ddof=0`.
    Var,
    /// The square root of the variance.
    Std,
    /// Index of the first least value.
    ArgMin,
    ArgMax,
}

impl Op {
    /// All, by name. `MEAN` is what numpy calls `AVG`.
    pub const ALL: [(&'static str, Self); 10] = [
        ("COUNT", Self::Count),
        ("SUM", Self::Sum),
        ("MIN", Self::Min),
        ("MAX", Self::Max),
        ("AVG", Self::Avg),
        ("MEAN", Self::Avg),
        ("VAR", Self::Var),
        ("STD", Self::Std),
        ("ARGMIN", Self::ArgMin),
        ("ARGMAX", Self::ArgMax),
    ];

    /// Its name; the first, if it has two.
    pub fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, op)| *op == self);
        named.map_or("", |(name, _)| name)
    }

    /// Whether it can be asked of values of this kind: strings can be compared but not added up.
    pub fn is_possible(self, kind: Kind) -> bool {
        kind != Kind::String || !matches!(self, Self::Sum | Self::Avg | Self::Var | Self::Std)
    }
}
