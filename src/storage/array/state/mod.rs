//! What an array's lock protects, in parts with fields of their own.
//!
//! Uses `files`, `memory`, `threads` and the settings. Knows no array.

pub(in crate::storage) mod burst_limiter;
pub(in crate::storage) mod durability;
pub(in crate::storage) mod extent;
pub(in crate::storage) mod loss;
pub(in crate::storage) mod pace;
pub(in crate::storage) mod span;
pub(in crate::storage) mod tail;
pub(in crate::storage) mod undo;
pub(in crate::storage) mod usage;
pub(in crate::storage) mod watch;

use std::fs::File;
use std::sync::Arc;

use crate::storage::array::state::burst_limiter::BurstLimiter;
use crate::storage::array::state::durability::Durability;
use crate::storage::array::state::extent::Extent;
use crate::storage::array::state::loss::Loss;
use crate::storage::array::state::span::Span;
use crate::storage::array::state::tail::{LengthToken, Tail};
use crate::storage::array::state::undo::Snapshots;
use crate::storage::array::state::usage::Usage;
use crate::storage::array::state::watch::Watch;
use crate::storage::memory::mapping::Mapping;
use crate::storage::memory::pattern::{Pattern, advise_file};
use crate::storage::memory::presence::Look;

/// What the lock protects.
pub(in crate::storage) struct State {
    /// `None` once the array is closed.
    pub file: Option<Arc<File>>,
    pub usage: Usage,
    pub map: Arc<Mapping>,
    /// How to find out what of it is in RAM.
    pub look: Look,
    /// How it is going to be read.
    pub pattern: Pattern,
    pub extent: Extent,
    pub tail: Tail,
    pub durability: Durability,
    pub loss: Loss,
    /// Notes what is written while the array is copied without its head.
    pub watch: Watch,
    /// Number of writes so far; tells load from calm.
    pub writes: u64,
    pub burst: BurstLimiter,
    /// Who is to be told of changes.
    pub snapshots: Snapshots,
}

impl State {
    /// Whether it has slack and a mark, and nothing stands against a write: [`Array::check_writable`] would find nothing to do.
    #[inline]
    pub fn is_plainly_writable(&self) -> bool {
        self.extent.has_slack()
            && self.usage.is_writable()
            && self.durability.is_marked()
            && self.file.is_some()
            && !self.loss.is_lost()
            && self.durability.refusal().is_none()
    }

    /// Whether it is the file of the array.
    pub fn is_of(&self, file: &Arc<File>) -> bool {
        self.file
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, file))
    }

    /// Which values there are.
    #[inline]
    pub fn span(&self) -> Span {
        self.extent.span()
    }

    /// The right to set the length of the file, unless that is the worker's now.
    pub fn may_set_length(&self) -> Option<LengthToken> {
        self.tail.may_set_length(self.extent.has_slack())
    }

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
