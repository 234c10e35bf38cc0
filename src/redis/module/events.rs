//! What the module does when something happens to the server: all events in one table.

use crate::redis::keys::remembered;
use crate::redis::mode::listening::is_snapshot_for_replicas;
use crate::redis::mode::phase::Phase;
use crate::redis::module::{latency, own_files};
use crate::redis::persistence::{look_up_limit, restored};
use crate::redis::server::events::{Event, Listener};
use crate::redis::server::{Ctx, cancel_all};
use crate::redis::{replication, store};

/// Who is told of all events.
pub struct Events;

impl Listener for Events {
    fn notice(ctx: &Ctx, event: Event) {
        // Events are rare, and many of them change what keys lead to.
        remembered::forget_all();
        match event {
            Event::Flush => restored::keep(),
            Event::Swap => {}
            Event::Shutdown => shut_down(),
            Event::ConfigChange => take_over_settings(ctx),
            Event::ModuleChange => own_files::look_up(ctx),
            Event::SavesRdb { in_child: true } if is_snapshot_for_replicas(ctx) => {
                Phase::SavingForReplicas.enter();
            }
            Event::SavesRdb { .. } => Phase::SavingFile.enter(),
            Event::SavesAof => Phase::SavingAof.enter(),
            Event::SavingEnds => Phase::Idle.enter(),
            Event::LoadsRdb => {
                Phase::LoadingFile.enter();
                replication::look_for_replicas(ctx);
            }
            Event::LoadsAof => {
                Phase::LoadingAof.enter();
                replication::look_for_replicas(ctx);
            }
            Event::LoadsFromPrimary => Phase::LoadingFromPrimary.enter(),
            Event::LoadingEnds => end_loading(ctx),
            Event::RoleChange | Event::ReplicaOffline => replication::replicas_changed(ctx),
            Event::Fork => {
                store().note_fork();
                replication::replicas_changed(ctx);
            }
            Event::ReplicaOnline => replication::replica_online(ctx),
            Event::Tick => tick(ctx),
            Event::ExportBegins => replication::export_begins(ctx),
            Event::ExportEnds => replication::export_ends(ctx),
        }
    }
}

fn end_loading(ctx: &Ctx) {
    let before = Phase::now();
    Phase::Idle.enter();
    match before {
        Phase::LoadingFile => replication::loaded_from_disk(ctx),
        Phase::LoadingAof => replication::loaded_from_aof(ctx),
        Phase::LoadingFromPrimary => replication::loaded_from_primary(),
        _ => {}
    }
}

/// `CONFIG SET`. With `crash-log-enabled` it puts the server's own signal handlers in place or takes them away.
fn take_over_settings(ctx: &Ctx) {
    store().handle_faults_again();
    latency::forget_threshold();
    look_up_limit(ctx);
    own_files::look_up(ctx);
}

fn tick(ctx: &Ctx) {
    store().notice_faults();
    latency::report(ctx);
    replication::tick(ctx);
    // It changes with settings and with the role: a replica evicts nothing by itself.
    remembered::set_for_reads(!ctx.evicts());
}

/// The one time when the main thread waits for disks.
fn shut_down() {
    cancel_all();
    store().settle_all();
}
