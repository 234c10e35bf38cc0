//! Why a command fails.

use std::fmt;

use crate::storage::cold::touched::Cold;

/// Why a command fails.
#[derive(Debug)]
pub enum Failure {
    WrongArity,
    WrongType,
    /// It cannot go on before values are in RAM: it is run again then. See [`command`](crate::redis::execution::command).
    Cold(Box<Cold>),
    /// Anything else: the text after `ERR `.
    Message(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongArity => "wrong number of arguments",
            Self::WrongType => "wrong kind of value",
            Self::Cold(_) => "values are not in RAM",
            Self::Message(text) => text,
        })
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Message(error.to_string())
    }
}

impl Failure {
    /// The failure of a command that panicked.
    pub fn internal() -> Self {
        Self::Message("internal error of the mmap module; see the server's log".to_owned())
    }
}

pub type Outcome = Result<(), Failure>;
