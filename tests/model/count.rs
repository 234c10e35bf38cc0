//! How much was tried: a model that compares nothing finds nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub struct Count {
    episodes: AtomicU64,
    commands: AtomicU64,
    values: AtomicU64,
    restarts: AtomicU64,
    kills: AtomicU64,
    answered: Mutex<BTreeMap<String, u64>>,
}

impl Count {
    pub fn episode(&self) {
        self.episodes.fetch_add(1, Ordering::Relaxed);
    }

    /// A command that was answered as it should be; `values` of its reply were compared.
    pub fn command(&self, name: &str, values: u64) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.values(values);
        *self
            .answered
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_default() += 1;
    }

    pub fn values(&self, values: u64) {
        self.values.fetch_add(values, Ordering::Relaxed);
    }

    pub fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub fn kill(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a command was answered, and all commands.
    pub fn answered(&self, name: &str) -> u64 {
        self.answered
            .lock()
            .unwrap()
            .get(name)
            .copied()
            .unwrap_or(0)
    }

    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Prints all of it, and fails if nothing was compared.
    pub fn print(&self, test: &str) {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        println!(
            "{test}: {} episodes, {} commands, {} values compared, {} restarts, {} kills",
            of(&self.episodes),
            of(&self.commands),
            of(&self.values),
            of(&self.restarts),
            of(&self.kills)
        );
        assert!(of(&self.values) > 0, "{test}: no value was compared");
    }
}
