//! Taking page faults ahead of the values, so that the main thread does not.

use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::{Array, PREFAULT_WINDOW};
use crate::storage::array::state::State;

impl Array {
    /// The values have come near the end of what is prepared: asks the worker for more.
    #[cold]
    pub(in crate::storage) fn ask_for_more(self: &Arc<Self>, state: &mut State, end: u64) {
        if end >= state.grow_at && !state.growth_asked {
            state.growth_asked = true;
            self.ask(Chore::Grow);
        }
        if end >= state.prefault_at {
            state.prefault_at = u64::MAX;
            self.ask(Chore::Prefault);
        }
    }

    /// Takes the page faults of the next window. The worker calls it.
    pub(in crate::storage) fn prefault(&self) {
        let (map, from, to) = {
            let state = self.state.lock();
            if !state.slack {
                return;
            }
            let end = self.end_of_values(&state);
            let to = (end + PREFAULT_WINDOW).min(state.file_len);
            (Arc::clone(&state.map), end.max(state.prefaulted_to), to)
        };
        map.populate(from, to);
        let mut state = self.state.lock();
        if !Arc::ptr_eq(&state.map, &map) || !state.slack || state.file_len < to {
            // It has another file or another length: what comes next asks for its own window.
            return;
        }
        state.prefaulted_to = to;
        state.prefault_at = if to == state.file_len {
            u64::MAX
        } else {
            to.saturating_sub(PREFAULT_WINDOW / 2).max(1)
        };
    }
}
