//! How long work learns that its client is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that tells a job that no client waits for it any more. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    said: Arc<AtomicBool>,
    /// What cancels this job as well.
    also: Option<Arc<AtomicBool>>,
}

impl Cancel {
    /// A word of its own that is also said when `other` is.
    pub fn also_by(other: &Self) -> Self {
        Self {
            said: Arc::default(),
            also: Some(Arc::clone(&other.said)),
        }
    }

    pub fn cancel(&self) {
        self.said.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        let is_said = |word: &Arc<AtomicBool>| word.load(Ordering::Relaxed);
        is_said(&self.said) || self.also.as_ref().is_some_and(is_said)
    }
}
