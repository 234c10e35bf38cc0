//! What the server is doing with RDB data at the moment.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

/// What the server is doing with RDB data, by the events it sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Nothing: a call of [`save`](crate::redis::persistence::save) is `DUMP`, one of [`load`](crate::redis::persistence::load) is `RESTORE`.
    Idle,
    /// It saves to a file.
    SavingFile,
    /// It saves for the AOF.
    SavingAof,
    /// It saves for replicas.
    SavingForReplicas,
    /// It loads an RDB file.
    LoadingFile,
    /// It loads an AOF.
    LoadingAof,
    /// It loads what its primary sent.
    LoadingFromPrimary,
}

static PHASE: AtomicU8 = AtomicU8::new(Phase::Idle as u8);
/// The files whose values are in the RDB that is being saved or loaded. One file may be under several keys.
static SEEN: Mutex<Option<HashSet<Vec<u8>>>> = Mutex::new(None);

impl Phase {
    pub fn now() -> Self {
        let number = PHASE.load(Ordering::Relaxed);
        [
            Self::Idle,
            Self::SavingFile,
            Self::SavingAof,
            Self::SavingForReplicas,
            Self::LoadingFile,
            Self::LoadingAof,
            Self::LoadingFromPrimary,
        ]
        .into_iter()
        .find(|phase| *phase as u8 == number)
        .unwrap_or(Self::Idle)
    }

    /// Whether the server loads what it has saved itself.
    pub fn loads_own_data(self) -> bool {
        matches!(self, Self::LoadingFile | Self::LoadingAof)
    }

    /// The server is doing that from now on.
    pub fn enter(self) {
        PHASE.store(self as u8, Ordering::Relaxed);
        *SEEN.lock() = None;
    }
}

/// Whether the server is writing an AOF; else it is asked for commands to send to another server.
pub fn is_saving_aof() -> bool {
    Phase::now() == Phase::SavingAof
}

/// Notes that a file's values are in this RDB; `false` if that was noted before.
pub fn first_time(file: &[u8]) -> bool {
    SEEN.lock().get_or_insert_default().insert(file.to_vec())
}
