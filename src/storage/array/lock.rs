//! The lock of an array's state, and what goes with it. It knows no array: `array/locked.rs` puts both together.

use crate::storage::array::state::State;
use crate::storage::lock_order::{OfMark, OfState, Ordered};
use crate::storage::primitives::Condvar;

/// The state of an array, behind its lock.
pub(in crate::storage) struct Lock {
    pub(super) state: Ordered<OfState, State>,
    /// Held while the mark is set.
    pub(super) marking: Ordered<OfMark, ()>,
    /// Signalled when the end of the file becomes free.
    pub(super) end_freed: Condvar,
}

impl Lock {
    pub fn new(state: State) -> Self {
        Self {
            state: Ordered::new(state),
            marking: Ordered::new(()),
            end_freed: Condvar::new(),
        }
    }
}
