//! What is read: by the server from its files or its primary, and by `RESTORE`.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::redis::keys::binding::Binding;
use crate::redis::mode::phase::Phase;
use crate::redis::mode::role::is_replica;
use crate::redis::persistence::format::{After, Before, VERSION, contents, state};
use crate::redis::persistence::header::Header;
use crate::redis::persistence::plan::Plan;
use crate::redis::persistence::restored;
use crate::redis::replication::{missing, received};
use crate::redis::server::rdb::{Damaged, RdbReader};
use crate::redis::store;
use crate::storage::types::ItemType;
use crate::storage::{Access, Bound, Error, Former, Import, MayBecome, Undo, check_head};

/// Reads what a key holds, which was saved in some version. `None` if it cannot be loaded.
pub fn load(rdb: &RdbReader, version: c_int) -> Option<Arc<Binding>> {
    let mut undo = None;
    let result = catch_unwind(AssertUnwindSafe(|| load_binding(rdb, version, &mut undo)));
    let reason = match result {
        Ok(Ok(binding)) => {
            let binding = Arc::new(binding);
            restored::note(&binding, undo);
            return Some(binding);
        }
        Ok(Err(Damaged(reason))) => reason,
        Err(_) => "it panicked: this is a bug in the mmap module".to_owned(),
    };
    tracing::error!("cannot load a key of this module: {reason}");
    if let Some(undo) = undo {
        undo.carry_out();
    }
    None
}

fn load_binding(
    rdb: &RdbReader,
    version: c_int,
    undo: &mut Option<Undo>,
) -> Result<Binding, Damaged> {
    if version > VERSION {
        return Err(Damaged(format!(
            "it was saved by a newer version of the module (format {version}, this one knows {VERSION})"
        )));
    }
    let header = Header::read(rdb, version)?;
    let phase = Phase::now();
    match header.contents {
        contents::NONE | contents::EARLIER => header.bind(rdb, phase),
        contents::VALUES => load_values(rdb, header, phase, undo),
        contents::UNAVAILABLE => {
            let reason = rdb.text()?;
            match phase {
                Phase::Idle => Err(Damaged(reason)),
                Phase::LoadingFromPrimary => {
                    // Asking for it would get the same answer.
                    Ok(header.unavailable(format!("at the primary: {reason}"), false))
                }
                _ => header.bind(rdb, phase),
            }
        }
        other => Err(Damaged(format!("contents of unknown kind {other}"))),
    }
}

/// Makes a file of the values, or passes them over.
fn load_values(
    rdb: &RdbReader,
    header: Header,
    phase: Phase,
    undo: &mut Option<Undo>,
) -> Result<Binding, Damaged> {
    let mut before = Before::default();
    before.pass(rdb)?;
    if before.state != state::WHOLE && phase == Phase::Idle {
        return Err(Damaged(
            "it was dumped while its values were on their way from a primary".to_owned(),
        ));
    }
    let mut plan = Plan::of(rdb, &header, &before, phase);
    let import = match &mut plan {
        Plan::MakeFile(import, _) => Some(import),
        _ => None,
    };
    let values = read_values(rdb, header.item, import)?;
    let is_possible = check_head(before.head, &header.path).map_err(|error| error.to_string());
    if let Err(damage) = values.damage.map_or(Ok(()), Err).and(is_possible) {
        if matches!(plan, Plan::KeepFile) {
            tracing::warn!("{damage}; file '{}' counts", header.path);
            return header.bind(rdb, phase);
        }
        // All of it was read, so that a server that loads can go on with the next key.
        return header.without_file(phase, damage);
    }
    let (import, may_become) = match plan {
        Plan::KeepFile => return header.bind(rdb, phase),
        Plan::Refuse(reason) => return header.without_file(phase, reason),
        Plan::NeverTake(reason) => return Ok(header.unavailable(reason, false)),
        Plan::MakeFile(import, may_become) => (import, may_become),
    };
    let former = match phase {
        _ if may_become == MayBecome::Itself => Former::MustBeSame,
        // What a replica has is a copy of what its primary has set aside.
        Phase::Idle if !is_replica() => Former::SetAsideInTurn(undo),
        _ => Former::Replaced,
    };
    let made = match values.failure {
        None => make_file(import, values.count, &before, header.access, former)
            .map_err(|error| error.to_string()),
        Some(failure) => Err(failure),
    };
    match made {
        Ok(bound) => {
            if phase == Phase::LoadingFile {
                tracing::warn!(
                    "file '{}' was missing: it was made again from {} values in the RDB",
                    header.path,
                    values.count
                );
            }
            Ok(header.open(bound))
        }
        Err(reason) => header.without_file(phase, reason),
    }
}

/// Gives the first `count` of the values that were read the name of their file.
fn make_file(
    mut import: Import,
    count: u64,
    before: &Before,
    access: Access,
    former: Former<'_>,
) -> Result<Bound, Error> {
    import.truncate(count)?;
    import.set_head(before.head)?;
    if before.state == state::WHOLE {
        return import.finish(store(), access, former);
    }
    // What is missing may be in the file that is here: it stays until the rest has come.
    let bound = import.finish_by_and_by(store())?;
    if before.state != state::FILLING {
        missing::miss(&bound, "the server that sent it lacked values, too");
    }
    Ok(bound)
}

/// What came after the values.
struct Values {
    /// How many of them count.
    count: u64,
    /// Why none of them can be used, if that is so.
    damage: Option<String>,
    /// Why they are not all there, or could not be appended.
    failure: Option<String>,
}

/// Reads all values, and appends them to `import` while nothing has failed.
fn read_values(
    rdb: &RdbReader,
    item: ItemType,
    mut import: Option<&mut Import>,
) -> Result<Values, Damaged> {
    let mut checksum = crc32fast::Hasher::new();
    let mut values_read = 0;
    let mut are_whole = true;
    let mut appended = Ok(());
    loop {
        let is_last = rdb.bytes(|bytes| {
            checksum.update(bytes);
            received(bytes.len());
            values_read += (bytes.len() / item.size()) as u64;
            are_whole &= bytes.len().is_multiple_of(item.size());
            if let (Ok(()), Some(import)) = (&appended, &mut import) {
                appended = import.append(bytes);
            }
            bytes.is_empty()
        })?;
        if is_last {
            break;
        }
    }
    let mut after = After::default();
    after.pass(rdb)?;
    let count = after.count;
    let is_true = after.checksum == u64::from(checksum.finalize());
    let damage = if !is_true || !are_whole {
        Some("the values are damaged: their checksum does not match".to_owned())
    } else if count > values_read {
        Some(format!(
            "it should hold {count} values, but holds {values_read}"
        ))
    } else {
        None
    };
    let unreadable = String::from_utf8_lossy(&after.failure);
    let failure = match appended {
        Err(error) => Some(error.to_string()),
        Ok(()) if unreadable.is_empty() => None,
        Ok(()) => Some(format!("not all values could be saved: {unreadable}")),
    };
    Ok(Values {
        count,
        damage,
        failure,
    })
}
