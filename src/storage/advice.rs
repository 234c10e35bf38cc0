//! How an array is going to be read, as the kernel is told.

use std::fs::File;

use rustix::fs::{Advice, fadvise};

use super::array::{Array, State};

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

impl Array {
    /// Says in which order values are going to be read, until it is said anew or the file is closed.
    pub fn advise(&self, pattern: Pattern) {
        let mut state = self.state.lock();
        state.pattern = pattern;
        state.map.advise(pattern);
        if let Some(file) = &state.file {
            advise_file(file, pattern);
        }
    }
}

impl State {
    /// Tells the kernel again, of a file or a mapping that is new.
    pub fn advise_again(&self) {
        if self.pattern != Pattern::Normal {
            self.map.advise(self.pattern);
            if let Some(file) = &self.file {
                advise_file(file, self.pattern);
            }
        }
    }
}

/// It is help: an error changes nothing.
fn advise_file(file: &File, pattern: Pattern) {
    let advice = match pattern {
        Pattern::Normal => Advice::Normal,
        Pattern::Random => Advice::Random,
        Pattern::Sequential => Advice::Sequential,
    };
    let _ = fadvise(file, 0, None, advice);
}
