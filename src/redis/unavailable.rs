//! Keys whose file could not be opened when the server started, counted for `INFO`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Why the file of a key could not be opened. As long as one lives, it is counted.
pub struct Unavailable(String);

impl Unavailable {
    pub fn new(reason: &impl ToString) -> Self {
        COUNT.fetch_add(1, Ordering::Relaxed);
        Self(reason.to_string())
    }

    /// How many there are.
    pub fn count() -> u64 {
        COUNT.load(Ordering::Relaxed)
    }
}

impl Drop for Unavailable {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
