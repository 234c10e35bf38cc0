//! What an array's lock protects, in parts with fields of their own.
//!
//! Uses `files`, `format`, `memory` and the settings. Knows no array.

pub(in crate::storage) mod burst_limiter;
pub(in crate::storage) mod durability;
pub(in crate::storage) mod extent;
pub(in crate::storage) mod load;
pub(in crate::storage) mod loss;
pub(in crate::storage) mod open_file;
pub(in crate::storage) mod pace;
pub(in crate::storage) mod span;
pub(in crate::storage) mod tail;
pub(in crate::storage) mod undo;
pub(in crate::storage) mod usage;
pub(in crate::storage) mod watch;

use crate::storage::array::state::durability::Durability;
use crate::storage::array::state::extent::Extent;
use crate::storage::array::state::load::Load;
use crate::storage::array::state::loss::Loss;
use crate::storage::array::state::open_file::OpenFile;
use crate::storage::array::state::span::Span;
use crate::storage::array::state::tail::{LengthToken, Tail};
use crate::storage::array::state::undo::Snapshots;
use crate::storage::array::state::usage::Usage;
use crate::storage::array::state::watch::Watch;

/// What the lock protects. It is reached through [`Locked`](crate::storage::array::locked::Locked) alone.
pub struct State {
    pub(in crate::storage) open: OpenFile,
    pub(in crate::storage) usage: Usage,
    pub(in crate::storage) extent: Extent,
    pub(in crate::storage) tail: Tail,
    pub(in crate::storage) durability: Durability,
    pub(in crate::storage) loss: Loss,
    /// Notes what is written while the array is copied without its head.
    pub(in crate::storage) watch: Watch,
    pub(in crate::storage) load: Load,
    /// Who is to be told of changes.
    pub(in crate::storage) snapshots: Snapshots,
}

impl State {
    /// Whether it has slack and a mark, and nothing stands against a write: `Locked::check_writable` would find nothing to do.
    #[inline]
    pub(in crate::storage) fn is_plainly_writable(&self) -> bool {
        self.extent.has_slack()
            && self.usage.is_writable()
            && self.durability.is_marked()
            && !self.open.is_closed()
            && !self.loss.is_lost()
            && self.durability.refusal().is_none()
    }

    /// Which values there are.
    #[inline]
    pub(in crate::storage) fn span(&self) -> Span {
        self.extent.span()
    }

    /// The right to set the length of the file, unless that is the worker's now.
    pub(in crate::storage) fn length_token(&self) -> Option<LengthToken> {
        self.tail.may_set_length(self.extent.has_slack())
    }

    /// Whether anybody reads old values, and is to be told of changes.
    #[inline]
    pub(in crate::storage) fn has_readers(&self) -> bool {
        !self.snapshots.is_empty()
    }

    /// To be called before the values from index `from` to `to` are overwritten.
    #[inline]
    pub(in crate::storage) fn before_change(&mut self, from: u64, to: u64) {
        self.snapshots.before_change(self.open.map(), from, to);
    }

    /// To be called before the values from index `left` on are removed.
    pub(in crate::storage) fn before_cut(&mut self, left: u64) {
        self.snapshots.before_cut(self.open.map(), left);
    }
}
