//! Which file a key that is being loaded may have.

use crate::redis::keys::binding;
use crate::redis::keys::binding::Binding;
use crate::redis::keys::lookup;
use crate::redis::keys::unavailable::Unavailable;
use crate::redis::mode::phase::Phase;
use crate::redis::mode::role::is_replica;
use crate::redis::server::rdb::RdbReader;
use crate::redis::store;
use crate::storage::{Error, FilePath, MayBecome};

/// What a file says of the key that the value is for, if it is that key's; empty where the server does not name the key.
pub fn owner(rdb: &RdbReader) -> Vec<u8> {
    rdb.key_name()
        .map_or_else(Vec::new, |key| binding::owner(key.database, &key.name))
}

/// Hands `look` what the key still holds, if it is an array: the server deletes that once the new value is there.
pub fn with_former<T>(rdb: &RdbReader, look: impl FnOnce(Option<&mut Binding>) -> T) -> T {
    rdb.with_key(|key| look(key.and_then(lookup::value_mut)))
}

/// What `RESTORE` may do with the file at `path`. The sender of a dump is unknown, so the rights on the key decide.
pub fn may_become(rdb: &RdbReader, path: &FilePath) -> Result<MayBecome, Error> {
    let key = owner(rdb);
    with_former(rdb, |former| {
        let former = former.as_deref();
        let own = former.and_then(Binding::why_unavailable);
        Unavailable::check_not_awaited(path, own)?;
        Unavailable::check_not_awaited(&path.aside(), own)?;
        let former = former.and_then(|former| {
            let array = former.target_array().ok()?;
            Some((array, former.access))
        });
        store().may_become(path, &key, former)
    })
}

/// Fails unless a key may be bound to the file that is there, of which no values came.
pub fn check_bindable(rdb: &RdbReader, path: &FilePath, phase: Phase) -> Result<(), Error> {
    match phase {
        Phase::Idle if !is_replica() => match may_become(rdb, path)? {
            MayBecome::Anything => Ok(()),
            MayBecome::Itself => Err(Error::OfOther {
                path: path.to_string(),
            }),
        },
        Phase::Idle | Phase::LoadingFromPrimary => store().check_array(path),
        _ => Ok(()),
    }
}
