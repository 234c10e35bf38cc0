//! What the server is doing with RDB data at the moment.

use std::collections::HashSet;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use redis_module::raw;

use crate::redis::mode::listening::is_snapshot_for_replicas;
use crate::redis::replication;
use crate::redis::server::context::{Ctx, guarded};
use crate::redis::settings;
use crate::redis::settings::RdbContents;

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

    fn enter(self) {
        PHASE.store(self as u8, Ordering::Relaxed);
        *SEEN.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the values go along with what is saved.
    pub fn takes_contents(self) -> bool {
        match (settings::rdb_contents(), self) {
            (RdbContents::No, _) | (_, Self::SavingAof) => false,
            (RdbContents::Yes, _) => true,
            (RdbContents::Auto, phase) => phase != Self::SavingFile,
        }
    }
}

/// Whether the server is writing an AOF; else it is asked for commands to send to another server.
pub fn is_saving_aof() -> bool {
    Phase::now() == Phase::SavingAof
}

/// Notes that a file's values are in this RDB; `false` if that was noted before.
pub fn first_time(file: &[u8]) -> bool {
    SEEN.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .insert(file.to_vec())
}

/// The server begins or ends to save. In a child it says so in the child.
pub extern "C" fn on_persistence(
    raw_ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guarded("a server event", || {
        let phase = match subevent {
            raw::REDISMODULE_SUBEVENT_PERSISTENCE_RDB_START
                if is_snapshot_for_replicas(&Ctx::new(raw_ctx)) =>
            {
                Phase::SavingForReplicas
            }
            raw::REDISMODULE_SUBEVENT_PERSISTENCE_RDB_START
            | raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_RDB_START => Phase::SavingFile,
            raw::REDISMODULE_SUBEVENT_PERSISTENCE_AOF_START
            | raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_AOF_START => Phase::SavingAof,
            _ => Phase::Idle,
        };
        phase.enter();
    });
}

/// The server begins or ends to load.
pub extern "C" fn on_loading(
    raw_ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guarded("a server event", || {
        let before = Phase::now();
        let phase = match subevent {
            raw::REDISMODULE_SUBEVENT_LOADING_RDB_START => Phase::LoadingFile,
            raw::REDISMODULE_SUBEVENT_LOADING_AOF_START => Phase::LoadingAof,
            raw::REDISMODULE_SUBEVENT_LOADING_REPL_START => Phase::LoadingFromPrimary,
            _ => Phase::Idle,
        };
        phase.enter();
        let ctx = Ctx::new(raw_ctx);
        match (before, phase) {
            (_, Phase::LoadingFile | Phase::LoadingAof) => replication::look_for_replicas(&ctx),
            (Phase::LoadingFile, Phase::Idle) => replication::loaded_from_disk(&ctx),
            (Phase::LoadingFromPrimary, Phase::Idle) => replication::loaded_from_primary(),
            _ => {}
        }
    });
}
