//! What is written: the binding, and the values where they are wanted.

use crate::redis::keys::binding::Binding;
use crate::redis::mode::phase::{Phase, first_time};
use crate::redis::mode::role::is_replica;
use crate::redis::persistence::dump;
use crate::redis::persistence::format::{
    After, Before, Origin, SavedHeader, Saver, VERSION, contents, state,
};
use crate::redis::server::rdb::{Damaged, RdbWriter};
use crate::redis::settings::RdbContents;
use crate::redis::{settings, store};
use crate::storage::{Access, Bound, Completeness, Moment};

/// Saves what a key holds. It may be in a child: nothing here waits for a lock.
pub fn save(rdb: &RdbWriter, binding: &Binding) {
    // Writing does not fail here: the server keeps the error of a file.
    let _: Result<(), Damaged> = save_binding(rdb, binding);
}

/// Whether the values go along with what is saved.
fn takes_contents(phase: Phase) -> bool {
    match (settings::rdb_contents(), phase) {
        (RdbContents::No, _) | (_, Phase::SavingAof) => false,
        (RdbContents::Yes, _) => true,
        (RdbContents::Auto, phase) => phase != Phase::SavingFile,
    }
}

fn save_binding(rdb: &RdbWriter, binding: &Binding) -> Result<(), Damaged> {
    let phase = Phase::now();
    let array = binding.target_array().ok();
    let is_out_of_date = binding.is_out_of_date();
    let mut header = SavedHeader {
        path: match phase {
            Phase::SavingForReplicas => binding.path_for_peers(),
            _ => &binding.path,
        }
        .as_bytes()
        .to_vec(),
        type_name: binding.item.name().into(),
        item_size: binding.item.size() as u64,
        is_writable: binding.access == Access::Writable,
        count: binding.published_count(),
        origin: Origin {
            is_primary: !is_replica(),
            is_resent: array.is_some_and(|array| array.is_resent()),
            unannounced: array.map_or(0, |array| array.unannounced()),
            // That is what 0.3.0 knows of a file that it is not to show.
            is_incomplete_unnoted: is_out_of_date
                || array.is_some_and(|array| array.is_incomplete_unnoted()),
            is_out_of_date,
            is_doubted: array.is_some_and(|array| array.completeness().is_in_doubt()),
        },
        saver: Saver {
            is_for_replicas: phase == Phase::SavingForReplicas,
            identity: store().identity().to_vec(),
        },
        contents: contents::NONE,
    };
    let mut save_header = |contents| {
        header.contents = contents;
        header.pass(rdb, VERSION)
    };
    if !takes_contents(phase) {
        return save_header(contents::NONE);
    }
    let array = match phase {
        // No primary would send the missing values to the server that gets the dump.
        Phase::Idle => binding.bound(),
        _ => binding.target_array(),
    };
    let unavailable = match array {
        Err(failure) => failure.to_string(),
        Ok(array) => match array.moment() {
            Err(error) => error.to_string(),
            Ok(moment) if phase != Phase::Idle && !first_time(&moment.identity()) => {
                return save_header(contents::EARLIER);
            }
            Ok(moment) => match dump::check(array, phase) {
                Ok(()) => {
                    save_header(contents::VALUES)?;
                    return save_values(rdb, array, &moment);
                }
                Err(reason) => {
                    tracing::warn!("{reason}");
                    reason
                }
            },
        },
    };
    save_header(contents::UNAVAILABLE)?;
    rdb.bytes(unavailable.as_bytes());
    Ok(())
}

/// The values, read from the file in pieces: a child has no copy of them, and needs none.
fn save_values(rdb: &RdbWriter, array: &Bound, moment: &Moment<'_>) -> Result<(), Damaged> {
    let mut before = Before {
        identity: moment.identity().to_vec(),
        head: moment.span().head,
        state: match array.completeness() {
            // What this server does not vouch for, its replicas must not show either.
            Completeness::Doubted | Completeness::Unconfirmed
                if Phase::now() == Phase::SavingForReplicas =>
            {
                state::MISSED
            }
            Completeness::Whole | Completeness::Doubted | Completeness::Unconfirmed => state::WHOLE,
            Completeness::Filling => state::FILLING,
            Completeness::Gap | Completeness::Missed => state::MISSED,
        },
    };
    before.pass(rdb)?;
    let mut checksum = crc32fast::Hasher::new();
    // If the array becomes shorter during this, the stream tells replicas so later.
    let (count, result) = moment.read_in_pieces(|_, bytes| {
        checksum.update(bytes);
        rdb.bytes(bytes);
        !rdb.failed()
    });
    let failure = match result {
        Ok(()) => String::new(),
        Err(error) => format!("cannot read '{}': {error}", array.path()),
    };
    if !failure.is_empty() {
        tracing::error!("while saving: {failure}");
    }
    rdb.bytes(b"");
    let mut after = After {
        checksum: checksum.finalize().into(),
        count,
        failure: failure.into_bytes(),
    };
    after.pass(rdb)
}
