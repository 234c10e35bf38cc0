//! Taking page faults ahead of the values, so that the main thread does not.

use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::state::State;

impl Array {
    /// The values have come near the end of what is prepared: asks the worker for more.
    #[cold]
    pub(in crate::storage) fn ask_for_more(self: &Arc<Self>, state: &mut State, end: u64) {
        if state.extent.is_growth_due(end) && state.extent.ask_for_growth() {
            self.ask(Chore::Grow);
        }
        if state.extent.take_due_prefault(end) {
            self.ask(Chore::Prefault);
        }
    }

    /// Takes the page faults of the next window. The worker calls it.
    pub(in crate::storage) fn prefault(&self) {
        let (map, window) = {
            let state = self.state.lock();
            let Some(window) = state.extent.next_window() else {
                return;
            };
            (Arc::clone(&state.map), window)
        };
        map.populate(window.start, window.end);
        let mut state = self.state.lock();
        // With another file or another length, what comes next asks for its own window.
        if Arc::ptr_eq(&state.map, &map) {
            state.extent.prefaulted(window.end);
        }
    }
}
