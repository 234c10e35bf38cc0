//! What is to be done with values that come along: whose file counts, the one that is there or the one that comes.

use crate::redis::keys::unavailable::shared_directory;
use crate::redis::mode::phase::Phase;
use crate::redis::mode::role::is_replica;
use crate::redis::persistence::format::{Before, state};
use crate::redis::persistence::header::Header;
use crate::redis::persistence::rights::{may_become, owner};
use crate::redis::server::rdb::RdbReader;
use crate::redis::store;
use crate::storage::{Above, Import, MayBecome};

/// What is to be done with values that come along.
pub enum Plan {
    /// The file that is there counts: they are passed over.
    KeepFile,
    /// They become the file, if the one that is there may become that.
    MakeFile(Import, MayBecome),
    /// They cannot, and why.
    Refuse(String),
    /// They never may, and why.
    NeverTake(String),
}

impl Plan {
    pub fn of(rdb: &RdbReader, header: &Header, before: &Before, phase: Phase) -> Self {
        if let Some(flaw) = &header.flaw {
            return Self::Refuse(flaw.clone());
        }
        let existing = store().identify(&header.path);
        let check_unowned = || {
            store().check_unowned(&header.path, true)?;
            Ok(MayBecome::Anything)
        };
        let checked = match (phase, existing) {
            // What was lost is not taken from an AOF, which is history.
            (Phase::LoadingAof, _) => return Self::KeepFile,
            // The file is the data, and is newer than any copy of it.
            (Phase::LoadingFile, Ok(Some(_)) | Err(_)) => return Self::KeepFile,
            // That was the state of a moment, from which this server has gone on.
            (Phase::LoadingFile, _) if header.saver.is_for_replicas => return Self::KeepFile,
            (Phase::LoadingFromPrimary, _)
                if store().is_that_file(&header.path, &before.identity) =>
            {
                return Self::NeverTake(shared_directory(&header.path));
            }
            (Phase::LoadingFromPrimary, _) => check_unowned(),
            // A primary has checked that. A key that is about to be freed by another thread may still have the file here.
            (Phase::Idle, _) if is_replica() => check_unowned(),
            _ => store()
                .has_room_for(&header.path)
                .and_then(|()| may_become(rdb, &header.path)),
        };
        // A client that hands in a dump makes no directories.
        let above = match phase {
            Phase::Idle if !is_replica() => Above::MustExist,
            _ => Above::IsMade,
        };
        let import = checked.and_then(|may_become| {
            let is_whole_copy = phase == Phase::LoadingFromPrimary && before.state == state::WHOLE;
            let mut import = match may_become {
                MayBecome::Anything if is_whole_copy => {
                    store().import_copy(&header.path, header.item, before.head)?
                }
                _ => store().import(&header.path, header.item, above)?,
            };
            import.set_owner(&owner(rdb));
            Ok(Self::MakeFile(import, may_become))
        });
        import.unwrap_or_else(|error| Self::Refuse(error.to_string()))
    }
}
