//! Taking page faults ahead of the values, so that the main thread does not. Large parts are written by calls, which take none.

use std::sync::Arc;

use crate::storage::array::attendant::Chore;
use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;

impl Array {
    /// Takes the page faults of the next window. The worker calls it.
    pub(in crate::storage) fn prefault(self: &Arc<Self>) {
        let (map, window) = {
            let locked = self.lock();
            if locked.load.comes_in_large_parts() {
                return;
            }
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
    /// An append has brought the values near the end of what is prepared: asks the worker for more.
    #[cold]
    pub(in crate::storage) fn ask_for_more(&mut self, end: u64, is_large: bool) {
        self.load.comes_in(is_large);
        if self.extent.is_growth_due(end) && self.extent.ask_for_growth() {
            self.array.ask(Chore::Grow);
        }
        if !is_large && self.extent.take_due_prefault(end) {
            self.array.ask(Chore::Prefault);
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::storage::array::append::MUCH;
    use crate::storage::store::post::WorkerMessage;
    use crate::storage::tests::{WithoutWorker, without_worker};

    #[test]
    fn no_page_faults_are_taken_for_large_appends() {
        let dir = TempDir::new().unwrap();
        let WithoutWorker { array, jobs, .. } = without_worker(dir.path());
        let window_is_asked_for = || {
            let is_prefault = |job| matches!(job, WorkerMessage::Chore(_, Chore::Prefault));
            jobs.try_iter().any(is_prefault)
        };
        let work = || {
            array.grow_ahead();
            array.prefault();
        };
        let is_prefaulted = || {
            let locked = array.lock();
            locked.extent.is_prefaulted(locked.extent.end() + 8)
        };

        array.append(&[1; MUCH]).unwrap();
        work();
        assert!(array.has_slack() && !is_prefaulted());
        array.append(&[1; MUCH]).unwrap();
        assert!(!window_is_asked_for());
        work();
        assert!(!is_prefaulted());

        array.append(&[1; 8]).unwrap();
        assert!(window_is_asked_for());
        work();
        assert!(is_prefaulted());
    }
}
