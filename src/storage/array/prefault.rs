//! Taking page faults ahead of the values, so that the main thread does not.

use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;

impl Array {
    /// Takes the page faults of the next window. The worker calls it.
    pub(in crate::storage) fn prefault(self: &Arc<Self>) {
        let (map, window) = {
            let locked = self.lock();
            let Some(window) = locked.extent.next_window() else {
                return;
            };
            (Arc::clone(locked.open.map()), window)
        };
        map.populate(window.start, window.end);
        let mut locked = self.lock();
        // With another file or another length, what comes next asks for its own window.
        if Arc::ptr_eq(locked.open.map(), &map) {
            locked.extent.prefaulted(window.end);
        }
    }
}

impl Locked<'_> {
    /// The values have come near the end of what is prepared: asks the worker for more.
    #[cold]
    pub(in crate::storage) fn ask_for_more(&mut self, end: u64) {
        if self.extent.is_growth_due(end) && self.extent.ask_for_growth() {
            self.array.ask(Chore::Grow);
        }
        if self.extent.take_due_prefault(end) {
            self.array.ask(Chore::Prefault);
        }
    }
}
