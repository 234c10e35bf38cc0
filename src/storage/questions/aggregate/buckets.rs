//! A range divided into parts, each of which is asked the same.

use std::collections::TryReserveError;
use std::ops::Range;

use crate::storage::questions::aggregate::{Answer, Partial, Question};
use crate::storage::scan::background::Query;

/// A question to each of several parts of a range: the i-th of n parts of m values begins at i × m / n, rounded down,
/// and so has m / n values, rounded down or up.
#[derive(Clone, Debug)]
pub struct Buckets {
    question: Question,
    number: u64,
}

impl Buckets {
    /// Divides the range into `number` parts; one part is the range.
    pub fn new(question: Question, number: u64) -> Self {
        Self { question, number }
    }

    /// Makes room for the first `number` buckets: for all of them at once, so that they are moved once at most.
    fn make_room(&self, partials: &mut Vec<Partial>, number: usize) -> Result<(), TryReserveError> {
        if partials.len() < number {
            partials.try_reserve_exact(self.number as usize - partials.len())?;
            partials.resize(number, Partial::default());
        }
        Ok(())
    }

    /// The part that has the value at `index`, and the index after its last value.
    fn bucket(&self, range: &Range<u64>, index: u64) -> (u64, u64) {
        if self.number == 1 {
            return (0, range.end);
        }
        let wide = u128::from;
        let (len, number) = (wide(range.end - range.start), wide(self.number));
        let bucket = ((wide(index - range.start) + 1) * number - 1) / len;
        let end = (bucket + 1) * len / number;
        // Neither is more than the 64-bit number that it comes from.
        (bucket as u64, range.start + end as u64)
    }
}

impl Query for Buckets {
    /// The buckets that a block has values of, in order.
    type Part = Vec<(u64, Partial)>;
    /// Of each bucket that has values so far.
    type Whole = Vec<Partial>;
    type Answer = Vec<Vec<Answer>>;

    fn take_in(
        &self,
        range: &Range<u64>,
        part: &mut Self::Part,
        index: u64,
        bytes: &[u8],
    ) -> Result<(), TryReserveError> {
        let size = self.question.item.size();
        let (mut index, mut bytes) = (index, bytes);
        while !bytes.is_empty() {
            let (bucket, end) = self.bucket(range, index);
            let values = ((bytes.len() / size) as u64).min(end - index);
            let (here, rest) = bytes.split_at(values as usize * size);
            if part.last().is_none_or(|&(last, _)| last != bucket) {
                part.try_reserve(1)?;
                part.push((bucket, Partial::default()));
            }
            if let Some((_, partial)) = part.last_mut() {
                self.question.take_in(partial, index, here);
            }
            (index, bytes) = (index + values, rest);
        }
        Ok(())
    }

    fn merge(&self, partials: &mut Vec<Partial>, part: Self::Part) -> Result<(), TryReserveError> {
        for (bucket, partial) in part {
            let bucket = bucket as usize;
            self.make_room(partials, bucket + 1)?;
            self.question.merge(&mut partials[bucket], partial);
        }
        Ok(())
    }

    fn answer(
        &self,
        _: &Range<u64>,
        mut partials: Vec<Partial>,
    ) -> Result<Self::Answer, TryReserveError> {
        let number = self.number as usize;
        self.make_room(&mut partials, number)?;
        let mut answers = Vec::new();
        answers.try_reserve_exact(number)?;
        answers.extend(
            partials
                .iter()
                .map(|partial| self.question.answers(partial)),
        );
        Ok(answers)
    }
}
