//! In which order memory and files are going to be read, as the kernel is told.

use std::fs::File;

use rustix::fs::{Advice, fadvise};

use crate::storage::system::{Call, attempt};

/// The order in which values are going to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pattern {
    /// The kernel reads some more than it is asked for.
    #[default]
    Normal,
    /// It reads only what it is asked for.
    Random,
    /// It reads far ahead.
    Sequential,
}

/// Tells the kernel in which order a file is going to be read. It is help: an error changes nothing.
pub(in crate::storage) fn advise_file(file: &File, pattern: Pattern) {
    let advice = match pattern {
        Pattern::Normal => Advice::Normal,
        Pattern::Random => Advice::Random,
        Pattern::Sequential => Advice::Sequential,
    };
    let _ = attempt(Call::Fadvise, || fadvise(file, 0, None, advice));
}
