//! Sums of doubles with the rounding errors kept beside them.

/// An unevaluated sum of two doubles: what was added, and what rounding lost of it.
///
/// The result is as if it had been calculated with twice the precision and rounded once (Ogita, Rump and Oishi,
/// "Accurate sum and dot product", 2005), so that neither the order nor the number of the parts shows.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Sum {
    high: f64,
    low: f64,
}

/// `a + b`, rounded, and the error of that: together they are exact.
#[inline(always)]
pub(in crate::storage) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

impl Sum {
    /// What two lanes of the same kernel have added up.
    #[inline(always)]
    pub(in crate::storage) fn new(high: f64, low: f64) -> Self {
        Self { high, low }
    }

    /// Adds one number.
    #[inline(always)]
    pub fn add(&mut self, value: f64) {
        let (high, error) = two_sum(self.high, value);
        self.high = high;
        self.low += error;
    }

    /// Adds another sum.
    #[inline(always)]
    pub fn merge(&mut self, other: Self) {
        self.add(other.high);
        self.low += other.low;
    }

    /// The sum divided by `count`, as the nearest double and about what that lacks.
    pub fn mean(self, count: u64) -> (f64, f64) {
        let count = count as f64;
        let mean = self.value() / count;
        let rest = mean.mul_add(-count, self.high) + self.low;
        (mean, rest / count)
    }

    /// The sum, rounded. What overflowed, was infinite or NaN on the way is so in the end, as in numpy.
    pub fn value(self) -> f64 {
        let sum = self.high + self.low;
        // Once the sum is infinite its errors are NaN.
        if sum.is_nan() { self.high } else { sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(values: &[f64]) -> f64 {
        let mut sum = Sum::default();
        values.iter().for_each(|&value| sum.add(value));
        sum.value()
    }

    #[test]
    fn what_rounding_loses_is_kept() {
        assert_eq!(sum_of(&[1e16, 1.0, 1.0, -1e16]), 2.0);
        assert_eq!(sum_of(&[0.1; 10]), 1.0);
    }

    #[test]
    fn infinities_and_nan_are_as_in_a_plain_sum() {
        let infinity = f64::INFINITY;
        assert_eq!(sum_of(&[1.0, infinity, 2.0]), infinity);
        assert_eq!(sum_of(&[-infinity, 1.0]), -infinity);
        assert!(sum_of(&[infinity, -infinity]).is_nan());
        assert!(sum_of(&[1.0, f64::NAN, 2.0]).is_nan());
        assert_eq!(sum_of(&[f64::MAX, f64::MAX]), infinity);
    }

    #[test]
    fn sums_of_parts_are_the_sum_of_all() {
        let mut whole = Sum::default();
        let mut parts = Sum::default();
        for round in 0..100 {
            let mut part = Sum::default();
            for i in 0..100 {
                let value = f64::from(round * 100 + i) * 1e-3 - 4.0;
                whole.add(value);
                part.add(value);
            }
            parts.merge(part);
        }
        assert_eq!(whole.value(), parts.value());
    }
}
