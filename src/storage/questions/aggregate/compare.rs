//! Which values fulfil a comparison, one byte for each.

use pulp::Simd;

use crate::storage::questions::aggregate::kernel::Kernel;
use crate::storage::questions::aggregate::number::Number;

/// How a value compares with another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Whether `a` compares so with `b`. With NaN only "not equal" holds.
    #[inline(always)]
    pub fn holds<T: PartialOrd + ?Sized>(self, a: &T, b: &T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

/// Sets the byte of each value to 0 that does not compare so with `value`.
pub struct Mask<'a, T> {
    pub comparison: Comparison,
    pub value: T,
    pub mask: &'a mut [u8],
}

impl<T: Number> Kernel<T> for Mask<'_, T> {
    type Output = ();

    #[inline(always)]
    fn over<S: Simd>(self, _: S, xs: &[T]) {
        let Self {
            comparison,
            value,
            mask,
        } = self;
        /// The same loop for each comparison, so that none asks which it is.
        macro_rules! keep {
            ($($name:ident)*) => {
                match comparison {
                    $(Comparison::$name => {
                        for (keep, x) in mask.iter_mut().zip(xs) {
                            *keep &= u8::from(Comparison::$name.holds(x, &value));
                        }
                    })*
                }
            };
        }
        keep!(Equal NotEqual Less LessOrEqual Greater GreaterOrEqual);
    }
}

/// The number of bytes that are not 0, each of which is 1.
#[derive(Clone, Copy)]
pub struct CountOnes;

impl Kernel<u8> for CountOnes {
    type Output = usize;

    #[inline(always)]
    fn over<S: Simd>(self, _: S, xs: &[u8]) -> usize {
        let mut count = 0;
        for &x in xs {
            count += usize::from(x);
        }
        count
    }
}
