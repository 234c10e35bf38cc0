//! What an array asks of the thread that attends to it. The thread stands above: it implements [`Attendant`], and the array
//! knows no more of it.

use std::sync::Arc;

use crate::storage::memory::mapping::Mapping;

/// What an array has done for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::storage) enum Chore {
    /// Grow the file before it is needed.
    Grow,
    /// Take the page faults of the next window.
    Prefault,
    /// Trim the file once the load pauses: a command gave it slack.
    Watch,
    /// A sync failed: writes are refused until one succeeds.
    SyncAgain,
    /// It was written to after a sync: sync it in time.
    SyncInTime,
    /// Sync what was written now, of all arrays: it has become much.
    WriteBack,
    /// Give the file its exact length soon: the array was cleared.
    Trim,
    /// Close the file if no key is bound to it any more.
    Retire,
}

/// Who does chores for arrays of type `A`. No thread waits for a chore: if the worker has died, chores are dropped.
pub(in crate::storage) trait Attendant<A>: Send + Sync {
    /// Has a chore done.
    fn ask(&self, array: &Arc<A>, chore: Chore);

    /// Lets go of a mapping: that takes long where much is mapped.
    fn unmap(&self, map: Arc<Mapping>);

    /// All open arrays. No lock of one may be held.
    fn arrays(&self) -> Vec<Arc<A>>;
}
