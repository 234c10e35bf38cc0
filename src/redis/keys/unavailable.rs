//! Keys whose file could not be opened when the server started, or made when its primary told of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::redis::server::KeyName;
use crate::redis::store;
use crate::storage::{Error, FilePath};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A key whose contents a replica would have if it asked for them.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub key: KeyName,
    pub path: FilePath,
}

/// The file of a key that is unavailable, and the key, where a replica may ask its primary for it.
struct Awaited {
    path: FilePath,
    key: Option<KeyName>,
}

/// By the number of its [`Unavailable`].
static AWAITED: Mutex<BTreeMap<u64, Awaited>> = Mutex::new(BTreeMap::new());

/// Why the file of a key could not be opened. As long as one lives, it is counted.
pub struct Unavailable {
    reason: String,
    number: u64,
    is_wanted: bool,
}

impl Unavailable {
    /// `key` says whose contents these are, where a replica may ask its primary for them.
    pub fn new(reason: &impl ToString, path: FilePath, key: Option<KeyName>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        COUNT.fetch_add(1, Ordering::Relaxed);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let is_wanted = key.is_some();
        AWAITED.lock().insert(number, Awaited { path, key });
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
        let mut awaited = AWAITED.lock();
        let wanted = awaited.get_mut(&self.number);
        if let Some(wanted) = wanted.and_then(|awaited| awaited.key.as_mut()) {
            *wanted = key;
        }
    }

    /// Whether there is such a key of a file: what is found under that path is something else.
    pub fn wants(path: &FilePath) -> bool {
        let is_it = |awaited: &Awaited| awaited.key.is_some() && awaited.path == *path;
        AWAITED.lock().values().any(is_it)
    }

    /// Fails if such a key, other than `own`, waits for a file at that path: one that is made there for another key would be
    /// both keys' after a restart.
    ///
    /// # Errors
    /// [`Error::InUse`].
    pub fn check_not_awaited(path: &FilePath, own: Option<&Self>) -> Result<(), Error> {
        let own = own.map(|own| own.number);
        let sought = store().root().sought(path);
        let is_it = |(number, awaited): (&u64, &Awaited)| {
            Some(*number) != own && sought.is_of(&awaited.path)
        };
        if AWAITED.lock().iter().any(is_it) {
            return Err(Error::InUse {
                path: path.to_string(),
            });
        }
        Ok(())
    }

    /// Those whose contents may be asked for.
    pub fn wanted() -> Vec<Wanted> {
        let wanted = |awaited: &Awaited| {
            let (key, path) = (awaited.key.clone()?, awaited.path.clone());
            Some(Wanted { key, path })
        };
        AWAITED.lock().values().filter_map(wanted).collect()
    }
}

impl Drop for Unavailable {
    fn drop(&mut self) {
        AWAITED.lock().remove(&self.number);
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
