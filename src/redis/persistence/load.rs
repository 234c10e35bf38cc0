//! What is read: from files, from a primary, and by `RESTORE`. Each has another idea of whose file counts, ours or that which comes.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use redis_module::raw;

use crate::redis::keys::binding;
use crate::redis::keys::binding::Binding;
use crate::redis::mode::{phase::Phase, role::is_replica};
use crate::redis::persistence::{
    Origin, Saver, VERSION, contents, restored, shared_directory, state,
};
use crate::redis::replication;
use crate::redis::replication::missing;
use crate::redis::server::context::{KeyName, name_of_key_of, with_key_of};
use crate::redis::store;
use crate::storage::types::ItemType;
use crate::storage::{
    Above, Access, Bound, Error, FilePath, Former, Import, MayBecome, Undo, check_head,
};

/// The server's side of an RDB, to read from.
struct Reader(*mut raw::RedisModuleIO);

/// Why an RDB or a dump cannot be loaded.
struct Damaged(String);

impl<E: std::fmt::Display> From<E> for Damaged {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Reader {
    /// The next string, handed to `read`.
    fn bytes<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Result<T, Damaged> {
        let mut len = 0;
        // SAFETY: the server answers null on an error, else `len` bytes that are ours to free.
        unsafe {
            let bytes = raw::RedisModule_LoadStringBuffer.unwrap()(self.0, &raw mut len);
            if bytes.is_null() {
                return Err(Damaged("the data end early".to_owned()));
            }
            let result = read(std::slice::from_raw_parts(bytes.cast(), len));
            raw::RedisModule_Free.unwrap()(bytes.cast());
            Ok(result)
        }
    }

    fn number(&self) -> Result<u64, Damaged> {
        // SAFETY: the handle is valid during the call of `load`.
        let number = unsafe { raw::RedisModule_LoadUnsigned.unwrap()(self.0) };
        // SAFETY: as above.
        if unsafe { raw::RedisModule_IsIOError.unwrap()(self.0) } != 0 {
            return Err(Damaged("the data end early".to_owned()));
        }
        Ok(number)
    }

    fn text(&self) -> Result<String, Damaged> {
        self.bytes(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// What a file says of the key that the value is for, if it is that key's; empty where the server does not name the key.
    fn owner(&self) -> Vec<u8> {
        // SAFETY: the handle is valid during the call of `load`.
        unsafe { name_of_key_of(self.0) }
            .map_or_else(Vec::new, |key| binding::owner(key.database, &key.name))
    }

    /// Hands `look` what the key still holds, if it is an array: the server deletes that once the new value is there.
    fn with_former<T>(&self, look: impl FnOnce(Option<&mut Binding>) -> T) -> T {
        // SAFETY: the handle is valid during the call of `load`, which is on the main thread.
        unsafe { with_key_of(self.0, |key| look(key.and_then(binding::value))) }
    }
}

pub extern "C" fn load(rdb: *mut raw::RedisModuleIO, version: c_int) -> *mut c_void {
    let mut undo = None;
    let result = catch_unwind(AssertUnwindSafe(|| {
        load_binding(&Reader(rdb), version, &mut undo)
    }));
    let reason = match result {
        Ok(Ok(binding)) => {
            let value = Box::into_raw(Box::new(binding)).cast();
            restored::note(value, undo);
            return value;
        }
        Ok(Err(Damaged(reason))) => reason,
        Err(_) => "it panicked: this is a bug in the mmap module".to_owned(),
    };
    tracing::error!("cannot load a key of this module: {reason}");
    if let Some(undo) = undo {
        undo.carry_out();
    }
    ptr::null_mut()
}

fn load_binding(rdb: &Reader, version: c_int, undo: &mut Option<Undo>) -> Result<Binding, Damaged> {
    if version > VERSION {
        return Err(Damaged(format!(
            "it was saved by a newer version of the module (format {version}, this one knows {VERSION})"
        )));
    }
    let header = Header::read(rdb, version)?;
    let phase = Phase::now();
    let contents = match version {
        1 => contents::NONE,
        _ => rdb.number()?,
    };
    match contents {
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

/// What is known of an array before its values.
struct Header {
    path: FilePath,
    item: ItemType,
    access: Access,
    count: u64,
    origin: Origin,
    saver: Saver,
    /// The key that it is for.
    key: Option<KeyName>,
    /// Why nothing can be bound: what was read is no path, or no type. The rest can be read all the same.
    flaw: Option<String>,
}

impl Header {
    fn read(rdb: &Reader, version: c_int) -> Result<Self, Damaged> {
        let path = rdb.bytes(<[u8]>::to_vec)?;
        let type_name = rdb.bytes(<[u8]>::to_vec)?;
        let size = rdb.number()?.to_string().into_bytes();
        let parse = || {
            let item = ItemType::parse(&type_name, Some(&size))?;
            Ok::<_, Error>((FilePath::new(&path)?, item))
        };
        let (path, item, flaw) = match parse() {
            Ok((path, item)) => (path, item, None),
            Err(error) => (
                FilePath::unusable(&[&type_name, &size, &path]),
                ItemType::DOUBLE,
                Some(error.to_string()),
            ),
        };
        let access = match rdb.number()? {
            0 => Access::ReadOnly,
            _ => Access::Writable,
        };
        let count = rdb.number()?;
        let origin = match version {
            ..3 => Origin::default(),
            _ => Origin::of_number(rdb.number()?),
        };
        let saver = match version {
            ..4 => Saver::of_old_version(),
            _ => Saver {
                is_for_replicas: rdb.number()? != 0,
                identity: rdb.bytes(<[u8]>::to_vec)?,
            },
        };
        // What was saved by another server, for this one, is what this one goes on from.
        let is_own = !saver.is_for_replicas || saver.identity == store().identity();
        if origin.is_primary && is_own && Phase::now() == Phase::LoadingFile {
            replication::doubt_stream("it was a primary when it saved its RDB file");
        }
        // SAFETY: the handle is valid during the call of `load`.
        let key = unsafe { name_of_key_of(rdb.0) };
        Ok(Self {
            path,
            item,
            access,
            count,
            origin,
            saver,
            key,
            flaw,
        })
    }

    /// Binds the file that is there.
    fn bind(mut self, rdb: &Reader, phase: Phase) -> Result<Binding, Damaged> {
        if let Some(flaw) = self.flaw.take() {
            return self.without_file(phase, flaw);
        }
        if phase == Phase::Idle {
            store().has_room_for(&self.path)?;
        }
        if let Err(error) = check_bindable(rdb, &self.path, phase) {
            return self.without_file(phase, error.to_string());
        }
        let bound = match self.bind_file() {
            Err(Error::TypeConflict { .. }) => self.bind_in_place_of_former(rdb),
            bound => bound,
        };
        match bound {
            Ok(bound) => {
                if phase == Phase::LoadingFile && bound.went_down() {
                    replication::doubt_stream("its machine went down");
                }
                if self.access == Access::Writable {
                    bound.set_owner(&rdb.owner());
                }
                Ok(self.open(bound))
            }
            Err(error) => self.without_file(phase, error.to_string()),
        }
    }

    fn bind_file(&self) -> Result<Bound, Error> {
        store().bind(&self.path, self.item, self.access, false)
    }

    /// Binds a file that the key is bound to as another type, where no other key is: an old binding ends before the
    /// new one begins, as the one follows the other in an AOF.
    fn bind_in_place_of_former(&self, rdb: &Reader) -> Result<Bound, Error> {
        rdb.with_former(|former| {
            let file = store().identify(&self.path)?;
            let is_its_file =
                |former: &&mut Binding| file.is_some_and(|id| former.is_alone_with(id));
            let Some(former) = former.filter(is_its_file) else {
                return self.bind_file();
            };
            former.unbind();
            self.bind_file().inspect_err(|_| former.bind_again())
        })
    }

    fn open(self, bound: Bound) -> Binding {
        // It goes on with its primary's stream from where the RDB was saved.
        if is_replica() && Phase::now() != Phase::Idle {
            bound.set_unannounced(self.origin.unannounced);
            bound.set_sent_anew(self.origin.is_sent_anew);
            if self.origin.is_incomplete_unnoted && Phase::now() == Phase::LoadingFile {
                missing::miss(&bound, "it lacked values when the RDB file was saved");
            }
        }
        Binding::open(self.path, self.item, self.access, bound)
    }

    fn unavailable(self, reason: String, is_wanted: bool) -> Binding {
        let key = self.key.filter(|_| is_wanted);
        Binding::unavailable(self.path, self.item, self.access, self.count, reason, key)
    }

    /// What becomes of a key whose file is not to be had. `RESTORE` is refused; but a replica must have the keys that its
    /// primary has, and so must a server that starts.
    fn without_file(self, phase: Phase, reason: String) -> Result<Binding, Damaged> {
        if phase == Phase::Idle && !is_replica() {
            return Err(Damaged(reason));
        }
        if phase == Phase::LoadingFromPrimary {
            store().note_former(&self.path);
        }
        let is_wanted = is_replica() && phase != Phase::LoadingAof;
        Ok(self.unavailable(reason, is_wanted))
    }
}

/// What is to be done with values that come along.
enum Plan {
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
    fn of(
        rdb: &Reader,
        header: &Header,
        identity: &[u8],
        (head, state): (u64, u64),
        phase: Phase,
    ) -> Self {
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
            (Phase::LoadingFromPrimary, _) if store().is_that_file(&header.path, identity) => {
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
            let is_whole_copy = phase == Phase::LoadingFromPrimary && state == state::WHOLE;
            let mut import = match may_become {
                MayBecome::Anything if is_whole_copy => {
                    store().import_copy(&header.path, header.item, head)?
                }
                _ => store().import(&header.path, header.item, above)?,
            };
            import.set_owner(&rdb.owner());
            Ok(Self::MakeFile(import, may_become))
        });
        import.unwrap_or_else(|error| Self::Refuse(error.to_string()))
    }
}

/// What `RESTORE` may make of the file at `path`: nobody knows who sends a dump, so that the rights on its key count.
fn may_become(rdb: &Reader, path: &FilePath) -> Result<MayBecome, Error> {
    let key = rdb.owner();
    rdb.with_former(|former| {
        let former = former.as_deref().and_then(|former| {
            let array = former.target_array().ok()?;
            Some((array, former.access))
        });
        store().may_become(path, &key, former)
    })
}

/// Fails unless a key may be bound to the file that is there, of which no values came.
fn check_bindable(rdb: &Reader, path: &FilePath, phase: Phase) -> Result<(), Error> {
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

/// Makes a file of the values, or passes them over.
fn load_values(
    rdb: &Reader,
    header: Header,
    phase: Phase,
    undo: &mut Option<Undo>,
) -> Result<Binding, Damaged> {
    let identity = rdb.bytes(<[u8]>::to_vec)?;
    let head = rdb.number()?;
    let state = rdb.number()?;
    if state != state::WHOLE && phase == Phase::Idle {
        return Err(Damaged(
            "it was dumped while its values were on their way from a primary".to_owned(),
        ));
    }
    let mut plan = Plan::of(rdb, &header, &identity, (head, state), phase);
    let import = match &mut plan {
        Plan::MakeFile(import, _) => Some(import),
        _ => None,
    };
    let values = read_values(rdb, header.item, import)?;
    let is_possible = check_head(head, &header.path).map_err(|error| error.to_string());
    if let Err(damage) = values.damage.map_or(Ok(()), Err).and(is_possible) {
        if matches!(plan, Plan::KeepFile) {
            tracing::warn!("{damage}; file '{}' counts", header.path);
            return header.bind(rdb, phase);
        }
        // All of it was read, so that a server that loads can go on with the next key.
        return header.without_file(phase, damage);
    }
    let (mut import, may_become) = match plan {
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
    let finish = || {
        import.truncate(values.count)?;
        import.set_head(head)?;
        if state == state::WHOLE {
            return import.finish(store(), header.access, former);
        }
        // What is missing may be in the file that is here: it stays until the rest has come.
        let bound = import.finish_by_and_by(store())?;
        if state != state::FILLING {
            missing::miss(&bound, "the server that sent it lacked values, too");
        }
        Ok(bound)
    };
    let bound = match values.failure {
        None => finish().map_err(|error: Error| error.to_string()),
        Some(failure) => Err(failure),
    };
    match bound {
        Ok(bound) => {
            if phase == Phase::LoadingFile {
                tracing::warn!(
                    "file '{}' was missing: it was made anew of {} values in the RDB",
                    header.path,
                    values.count
                );
            }
            Ok(header.open(bound))
        }
        Err(reason) => header.without_file(phase, reason),
    }
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
    rdb: &Reader,
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
            replication::received(bytes.len());
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
    let is_true = rdb.number()? == u64::from(checksum.finalize());
    let count = rdb.number()?;
    let damage = if !is_true || !are_whole {
        Some("the values are damaged: their checksum does not match".to_owned())
    } else if count > values_read {
        Some(format!(
            "{count} values are to count, and {values_read} came"
        ))
    } else {
        None
    };
    let unreadable = rdb.text()?;
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
