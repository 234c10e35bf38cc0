//! Which values an array has.

/// Which values an array has at one moment. A *position* is the number of values that were ever before one: its index,
/// and those that were dropped from the head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Number of values that were dropped from the head so far: the position of the first one.
    pub head: u64,
    /// Number of values.
    pub count: u64,
}

impl Span {
    /// The position behind the last value.
    pub fn end(self) -> u64 {
        self.head + self.count
    }
}
