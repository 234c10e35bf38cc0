//! What the worker does when nothing is urgent.

use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::memory::mapping::Mapping;
use crate::storage::store::post::Done;

/// What may wait for the disk.
pub(super) enum Slow {
    /// Sync the array soon, without saying so.
    SyncSoon(Arc<Array>),
    Trim(Arc<Array>),
    Sync {
        array: Arc<Array>,
        exact: bool,
        done: Done,
    },
    Retire(Arc<Array>),
    Unmap(Arc<Mapping>),
}

/// What failed and is tried again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Sync,
    Watch,
    Retire,
}
