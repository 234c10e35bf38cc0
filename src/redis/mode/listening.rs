//! Who listens to what this server writes: replicas, and nodes of a Cluster that take slots over.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::redis::server::{Ctx, ServerInfo};

/// Whether there is anybody to be told: a replica, a backlog for one that comes back, or a node of the Cluster that takes
/// slots over.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// Whether anybody is to be told of writes.
#[inline]
pub fn is_listening() -> bool {
    LISTENING.load(Ordering::Relaxed)
}

/// Notes whether there is anybody to be told.
pub fn set_listening(is_listening: bool) {
    LISTENING.store(is_listening, Ordering::Relaxed);
}

/// Whether a replica waits for the snapshot that is about to be made. How that state is called differs between
/// servers; a replica that waits for nothing is `online`.
pub fn is_snapshot_for_replicas(ctx: &Ctx) -> bool {
    replicas(&ctx.server_info(c"replication"))
        .iter()
        .any(|replica| replica.state != b"online")
}

/// A replica, as `INFO replication` lists it.
pub struct Replica<'a> {
    pub state: &'a [u8],
    /// How much of the stream it has acknowledged, in bytes.
    pub acknowledged: u64,
}

/// The replicas that `INFO replication` lists: `slave0:ip=...,port=...,state=online,offset=123,lag=0`.
pub fn replicas(info: &ServerInfo) -> Vec<Replica<'_>> {
    (0..info.number(c"connected_slaves"))
        .filter_map(|i| {
            let name = std::ffi::CString::new(format!("slave{i}")).ok()?;
            let mut replica = Replica {
                state: b"",
                acknowledged: 0,
            };
            for field in info.field(&name)?.split(|&byte| byte == b',') {
                if let Some(state) = field.strip_prefix(b"state=") {
                    replica.state = state;
                } else if let Some(offset) = field.strip_prefix(b"offset=") {
                    replica.acknowledged = std::str::from_utf8(offset).ok()?.parse().ok()?;
                }
            }
            Some(replica)
        })
        .collect()
}

/// How many migrations of slots away from this node are under way.
static EXPORTS: AtomicU32 = AtomicU32::new(0);

/// A migration of slots away from this node begins.
pub fn export_begins() {
    EXPORTS.fetch_add(1, Ordering::Relaxed);
}

/// A migration of slots away from this node has ended.
pub fn export_ends() {
    EXPORTS.fetch_sub(1, Ordering::Relaxed);
}

/// Whether slots are being moved away from this node.
pub fn are_slots_exported() -> bool {
    EXPORTS.load(Ordering::Relaxed) > 0
}
