//! What the server says that happens.

use std::ffi::{c_int, c_void};

use redis_module::raw;

use crate::redis::server::context::Ctx;
use crate::redis::server::guarded::guarded;

/// Something that happens to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A database is about to be emptied, or was.
    Flush,
    /// Two databases have changed places.
    Swap,
    /// The server is about to exit, by `SHUTDOWN` or a signal.
    Shutdown,
    /// `CONFIG SET`.
    ConfigChange,
    /// A module was loaded or unloaded.
    ModuleChange,
    /// It begins to save an RDB file, in a child if anything else goes on. In a child it says so in the child.
    SavesRdb { in_child: bool },
    /// It begins to save an AOF.
    SavesAof,
    /// It has saved, or failed to.
    SavingEnds,
    /// It begins to load an RDB file.
    LoadsRdb,
    /// It begins to load an AOF.
    LoadsAof,
    /// It begins to load what its primary sends.
    LoadsFromPrimary,
    /// It has loaded, or failed to.
    LoadingEnds,
    /// It is made a primary or a replica.
    RoleChange,
    /// A replica is there.
    ReplicaOnline,
    /// A replica is gone.
    ReplicaOffline,
    /// It forks, or its child has ended.
    Fork,
    /// Its clock, ten times a second or as `hz` says.
    Tick,
    /// It begins to move slots to another node, all at once.
    ExportBegins,
    /// It has moved them, or failed to.
    ExportEnds,
}

/// Who is told of events.
pub trait Listener {
    fn notice(ctx: &Ctx, event: Event);
}

/// What every server tells.
const EVENTS: [u64; 11] = [
    raw::REDISMODULE_EVENT_FLUSHDB,
    raw::REDISMODULE_EVENT_SWAPDB,
    raw::REDISMODULE_EVENT_SHUTDOWN,
    raw::REDISMODULE_EVENT_CONFIG,
    raw::REDISMODULE_EVENT_MODULE_CHANGE,
    raw::REDISMODULE_EVENT_PERSISTENCE,
    raw::REDISMODULE_EVENT_LOADING,
    raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
    raw::REDISMODULE_EVENT_REPLICA_CHANGE,
    raw::REDISMODULE_EVENT_FORK_CHILD,
    raw::REDISMODULE_EVENT_CRON_LOOP,
];

/// Valkey's constants that redis-module does not know, from its `src/valkeymodule.h`. Other servers use the same numbers
/// for other things.
const EVENT_ATOMIC_SLOT_MIGRATION: u64 = 19;
const EXPORT_STARTED: u64 = 1;
const EXPORT_ABORTED: u64 = 3;
const EXPORT_COMPLETED: u64 = 5;

impl Event {
    fn of(event: u64, subevent: u64) -> Option<Self> {
        Some(match (event, subevent) {
            (raw::REDISMODULE_EVENT_FLUSHDB, _) => Self::Flush,
            (raw::REDISMODULE_EVENT_SWAPDB, _) => Self::Swap,
            (raw::REDISMODULE_EVENT_SHUTDOWN, _) => Self::Shutdown,
            (raw::REDISMODULE_EVENT_CONFIG, _) => Self::ConfigChange,
            (raw::REDISMODULE_EVENT_MODULE_CHANGE, _) => Self::ModuleChange,
            (raw::REDISMODULE_EVENT_PERSISTENCE, what) => match what {
                raw::REDISMODULE_SUBEVENT_PERSISTENCE_RDB_START => {
                    Self::SavesRdb { in_child: true }
                }
                raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_RDB_START => {
                    Self::SavesRdb { in_child: false }
                }
                raw::REDISMODULE_SUBEVENT_PERSISTENCE_AOF_START
                | raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_AOF_START => Self::SavesAof,
                _ => Self::SavingEnds,
            },
            (raw::REDISMODULE_EVENT_LOADING, what) => match what {
                raw::REDISMODULE_SUBEVENT_LOADING_RDB_START => Self::LoadsRdb,
                raw::REDISMODULE_SUBEVENT_LOADING_AOF_START => Self::LoadsAof,
                raw::REDISMODULE_SUBEVENT_LOADING_REPL_START => Self::LoadsFromPrimary,
                _ => Self::LoadingEnds,
            },
            (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, _) => Self::RoleChange,
            (
                raw::REDISMODULE_EVENT_REPLICA_CHANGE,
                raw::REDISMODULE_SUBEVENT_REPLICA_CHANGE_ONLINE,
            ) => Self::ReplicaOnline,
            (raw::REDISMODULE_EVENT_REPLICA_CHANGE, _) => Self::ReplicaOffline,
            (raw::REDISMODULE_EVENT_FORK_CHILD, _) => Self::Fork,
            (raw::REDISMODULE_EVENT_CRON_LOOP, _) => Self::Tick,
            (EVENT_ATOMIC_SLOT_MIGRATION, EXPORT_STARTED) => Self::ExportBegins,
            (EVENT_ATOMIC_SLOT_MIGRATION, EXPORT_ABORTED | EXPORT_COMPLETED) => Self::ExportEnds,
            _ => return None,
        })
    }
}

/// Events that the module being loaded is told of. They end when this is dropped, unless they are [kept](Self::keep): Redis
/// 7.0 goes on to call a module that it could not load.
pub struct Subscriptions<'a> {
    ctx: &'a Ctx,
    events: Vec<raw::RedisModuleEvent>,
}

impl<'a> Subscriptions<'a> {
    /// None so far. The context is that of OnLoad.
    pub fn new(ctx: &'a Ctx) -> Self {
        Self {
            ctx,
            events: Vec::new(),
        }
    }

    /// Has a listener told of all that every server tells; `false` if this one does not.
    pub fn add_all<L: Listener>(&mut self) -> bool {
        EVENTS.into_iter().all(|event| self.add::<L>(event))
    }

    /// Has a listener told of slots that are moved all at once; `false` if the server moves none in this way.
    pub fn add_slot_migrations<L: Listener>(&mut self) -> bool {
        self.ctx.server_info(c"server").field(c"server_name") == Some(b"valkey")
            && self.add::<L>(EVENT_ATOMIC_SLOT_MIGRATION)
    }

    /// The module is loaded.
    pub fn keep(mut self) {
        self.events.clear();
    }

    fn add<L: Listener>(&mut self, id: u64) -> bool {
        let event = raw::RedisModuleEvent { id, dataver: 1 };
        let taken = self.set(event, Some(notice::<L>));
        if taken {
            self.events.push(event);
        }
        taken
    }

    fn set(&self, event: raw::RedisModuleEvent, handler: Option<Handler>) -> bool {
        // SAFETY: the context is that of OnLoad; without a handler the call ends a subscription, which must be there.
        let status = unsafe {
            raw::RedisModule_SubscribeToServerEvent.unwrap()(
                self.ctx.raw(),
                event,
                handler.map(|handler| handler as _),
            )
        };
        status == raw::REDISMODULE_OK as c_int
    }
}

impl Drop for Subscriptions<'_> {
    fn drop(&mut self) {
        for event in &self.events {
            self.set(*event, None);
        }
    }
}

/// What the server calls with the subevent and its data.
type Handler = extern "C" fn(*mut raw::RedisModuleCtx, raw::RedisModuleEvent, u64, *mut c_void);

extern "C" fn notice<L: Listener>(
    raw_ctx: *mut raw::RedisModuleCtx,
    event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guarded("a server event", || {
        if let Some(event) = Event::of(event.id, subevent) {
            // SAFETY: the server's context for this call.
            let ctx = unsafe { Ctx::new(raw_ctx) };
            L::notice(&ctx, event);
        }
    });
}
