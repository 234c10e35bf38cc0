//! Keys whose file could not be opened when the server started, or made when its primary told of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::redis::server::KeyName;
use crate::storage::FilePath;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A key whose contents a replica would have if it asked for them.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub key: KeyName,
    pub path: FilePath,
}

/// By the number of its [`Unavailable`].
static WANTED: Mutex<BTreeMap<u64, Wanted>> = Mutex::new(BTreeMap::new());

/// Why the file of a key could not be opened. As long as one lives, it is counted.
pub struct Unavailable {
    reason: String,
    number: u64,
    is_wanted: bool,
}

impl Unavailable {
    /// `wanted` says whose contents these are, where a replica may ask its primary for them.
    pub fn new(reason: &impl ToString, wanted: Option<Wanted>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        COUNT.fetch_add(1, Ordering::Relaxed);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let is_wanted = wanted.is_some();
        if let Some(wanted) = wanted {
            WANTED.lock().insert(number, wanted);
        }
        Self {
            reason: reason.to_string(),
            number,
            is_wanted,
        }
    }

    /// How many there are.
    pub fn count() -> u64 {
        COUNT.load(Ordering::Relaxed)
    }

    /// Whether a replica has not got its contents from its primary. A child that saves asks this, so it takes no lock.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Says under which key it is, if its contents are wanted.
    pub fn set_name(&self, key: KeyName) {
        if let Some(wanted) = WANTED.lock().get_mut(&self.number) {
            wanted.key = key;
        }
    }

    /// Whether there is such a key of a file: what is found under that path is something else.
    pub fn wants(path: &FilePath) -> bool {
        WANTED.lock().values().any(|wanted| wanted.path == *path)
    }

    /// Those whose contents may be asked for.
    pub fn wanted() -> Vec<Wanted> {
        WANTED.lock().values().cloned().collect()
    }
}

impl Drop for Unavailable {
    fn drop(&mut self) {
        WANTED.lock().remove(&self.number);
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Why a replica does not touch a file.
pub fn shared_directory(path: &FilePath) -> String {
    format!(
        "file '{path}' is the primary's own: this replica has the same directory; give it one of its own by mmap.dir"
    )
}

/// Why a key goes on to be unavailable after a restart, whatever file is there.
pub fn not_received(path: &FilePath) -> String {
    format!(
        "file '{path}' is not what the primary had: its contents had not been received when this server was saved"
    )
}
