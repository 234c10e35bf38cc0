//! What replication does when something happens to the server: its role, its replicas, loading, the clock.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::redis::mode::listening::{are_slots_exported, is_listening, set_listening};
use crate::redis::mode::{listening, role};
use crate::redis::replication::{doubt, fill, followed, joining, long_writes, missing, received};
use crate::redis::server::{Ctx, writes_are_paused};
use crate::redis::settings;

/// Checks whether there are replicas or other listeners. The server announces when that may have changed: before it forks
/// for a replica that joins, and when replicas connect or disconnect.
pub fn look_for_replicas(ctx: &Ctx) {
    let replication = ctx.server_info(c"replication");
    // A node of a Cluster takes up the link to its primary after it has loaded its data.
    let is_primary =
        replication.field(c"role") == Some(b"master") && ctx.primary_in_cluster().is_none();
    let has_replicas = replication.number(c"connected_slaves") > 0
        || replication.number(c"repl_backlog_active") > 0;
    let is_heard = has_replicas || are_slots_exported();
    set_listening(is_primary && is_heard);
    let was_replica = role::set_replica(!is_primary);
    // This is asked often, and applying settings goes through all arrays.
    if was_replica == is_primary {
        settings::apply();
    }
    match (was_replica, is_primary) {
        (true, true) => {
            missing::take_over();
            long_writes::take_over();
            followed::be_primary();
        }
        (false, false) => {
            long_writes::stop_all();
            fill::stop_all();
        }
        _ => {}
    }
}

/// The server has loaded its RDB file.
pub fn loaded_from_disk(ctx: &Ctx) {
    look_for_replicas(ctx);
    missing::begin_to_catch_up();
    followed::loaded_from_disk();
    doubt::doubt_what_was_loaded();
    joining::loaded_from_disk();
}

/// The server has loaded its AOF, which says nothing of its primary's stream.
pub fn loaded_from_aof(ctx: &Ctx) {
    look_for_replicas(ctx);
    followed::loaded_from_disk();
    doubt::doubt_what_was_loaded();
}

/// The server has loaded what its primary has sent.
pub fn loaded_from_primary() {
    missing::begin_to_catch_up();
    followed::loaded_from_primary();
    received::loaded_from_primary();
}

/// Replicas come and go, the server is made a primary or a replica, or it forks.
pub fn replicas_changed(ctx: &Ctx) {
    look_for_replicas(ctx);
    joining::replicas_changed();
}

/// A replica is there that may have joined just now.
pub fn replica_online(ctx: &Ctx) {
    joining::replica_joined();
    replicas_changed(ctx);
}

/// Slots begin to move to another node, all at once.
pub fn export_begins(ctx: &Ctx) {
    listening::export_begins();
    look_for_replicas(ctx);
}

/// Slots have moved to another node, or are not going to.
pub fn export_ends(ctx: &Ctx) {
    listening::export_ends();
    look_for_replicas(ctx);
}

/// The number of ticks of the server's clock between two looks whether replicas are gone for good.
const TICKS: u32 = 100;

/// The server's clock, ten times a second or as `hz` says.
pub fn tick(ctx: &Ctx) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // The first tick finds out what the configuration made of this server.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    if count == 0 || is_listening() && count.is_multiple_of(TICKS) {
        look_for_replicas(ctx);
    }
    doubt::resolve_doubt(ctx);
    long_writes::go_on(ctx);
    missing::tick(ctx);
    received::tick(ctx);
    if is_listening() && !writes_are_paused() {
        joining::send_what_the_stream_lacks(ctx);
    }
}
