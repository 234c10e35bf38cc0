//! Whether this server is a primary or follows one.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this server follows a primary: then the primary's limits count, not its own.
static IS_REPLICA: AtomicBool = AtomicBool::new(false);

/// Whether this server follows a primary.
pub fn is_replica() -> bool {
    IS_REPLICA.load(Ordering::Relaxed)
}

/// The server is a replica, or a primary; says whether it was a replica so far.
pub fn set_replica(is_replica: bool) -> bool {
    IS_REPLICA.swap(is_replica, Ordering::Relaxed)
}
