//! `VREPLICATE`: what a primary tells its replicas. [`crate::redis::replication`] says what it means.

use std::ffi::{CStr, c_int};
use std::sync::Arc;

use crate::redis::api::{Args, Ctx, Failure, Key, Mode, Outcome};
use crate::redis::binding::{self, Binding};
use crate::redis::command::{Command, KeyAccess};
use crate::redis::usage::Arg;
use crate::redis::{config, rdb, replication, store};
use crate::storage::types::{ItemType, excerpt};
use crate::storage::{Above, Access, Array, Bound, Error, FilePath, Former, Undo};

/// How much of a repeated value is written at a time, in bytes.
const REPEATED_AT_ONCE: u64 = 1 << 20;

/// `VREPLICATE key operation ...`: carries out what the primary did. Only a primary may send it.
///
/// An array that this replica cannot use answers its clients with the reason; what comes for it is passed over.
pub struct VReplicate;

impl Command for VReplicate {
    const NAME: &'static CStr = c"vreplicate";
    const FLAGS: &'static CStr = c"write no-monitor";
    const ARITY: c_int = -4;
    const KEY_ACCESS: KeyAccess = KeyAccess::Update;
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::string(c"operation"),
        Arg::string(c"argument").multiple(),
    ];
    const SUMMARY: &'static CStr = c"Internal: what a primary tells its replicas";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of bytes";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        if !ctx.is_from_primary() {
            return Err(Failure::Message(
                "VREPLICATE is what a primary sends to its replicas; clients cannot use it"
                    .to_owned(),
            ));
        }
        match args.get(2) {
            b"BIND" => bind(ctx, args)?,
            b"FILL" => fill(args)?,
            b"FILLED" => filled(args)?,
            b"REFILL" => refill(args)?,
            b"HEAD" => head(args)?,
            b"FAILED" => return Err(Failure::Message(failure(args)?)),
            b"BEGIN" => long_writes(args, |writes| writes + 1)?,
            b"END" => long_writes(args, |writes| writes.saturating_sub(1))?,
            operation => change(ctx, args, operation)?,
        }
        ctx.reply_ok();
        Ok(())
    }
}

/// A change of an array that is there.
fn change(ctx: &Ctx, args: Args<'_>, operation: &[u8]) -> Outcome {
    let key = Key::open(ctx, args, Mode::Write);
    let Some(bound) = binding::value(&key).and_then(|binding| binding.target_array().ok()) else {
        return Ok(());
    };
    match operation {
        b"APPEND" => append(bound, number(args, 3)?, word(args, 4)?)?,
        b"SET" => {
            for position in (3..args.len()).step_by(2) {
                put(bound, number(args, position)?, word(args, position + 1)?)?;
            }
        }
        b"REPEAT" => repeat(bound, number(args, 3)?, number(args, 4)?, word(args, 5)?)?,
        b"LENGTH" => bound.writer()?.truncate_at(number(args, 3)?)?,
        _ => return Err(unknown(args, 2)),
    }
    key.signal_modified();
    sync_as_set(bound)
}

/// With `mmap.fsync always` a replica, too, goes on when it is on disk.
fn sync_as_set(bound: &Bound) -> Outcome {
    if store().settings().fsync() == crate::storage::Fsync::Always {
        bound.sync()?;
    }
    Ok(())
}

/// Makes the values from a position on these. What lies before the head is dropped here, too.
fn put(array: &Arc<Array>, position: u64, bytes: &[u8]) -> Result<(), Error> {
    array.writer()?.put(position, bytes).map(drop)
}

/// Makes the values from a position on these, and the last ones.
fn append(array: &Arc<Array>, position: u64, bytes: &[u8]) -> Result<(), Error> {
    let end = position + (bytes.len() / array.item().size()) as u64;
    array.writer()?.put(position, bytes)?.truncate_at(end)
}

/// Makes `count` values from a position on one value.
fn repeat(array: &Arc<Array>, position: u64, count: u64, value: &[u8]) -> Result<(), Error> {
    if value.len() != array.item().size() {
        return Err(Error::NotWhole {
            path: array.path().to_string(),
            bytes: value.len(),
            item_size: array.item().size(),
        });
    }
    // What there is no room for is not tried value by value.
    let end = (position + count).saturating_sub(array.head());
    array.writer()?.extend_to(end)?;
    let at_once = (REPEATED_AT_ONCE / value.len().max(1) as u64).max(1);
    let block = value.repeat(at_once.min(count) as usize);
    let mut done = 0;
    while done < count {
        let values = at_once.min(count - done);
        put(
            array,
            position + done,
            &block[..values as usize * value.len()],
        )?;
        done += values;
    }
    Ok(())
}

/// Drops the values before a position. There are replicas that have done so already.
fn head(args: Args<'_>) -> Outcome {
    if let Some(array) = store().find(&path(args)?)? {
        store().drop_head(&array, number(args, 4)?)?;
    }
    Ok(())
}

fn fill(args: Args<'_>) -> Outcome {
    if let Some(array) = writable_array(args)? {
        put(&array, number(args, 4)?, word(args, 5)?)?;
    }
    Ok(())
}

/// Where the contents are to come anew: what is there is overwritten, unless it lies at other positions.
fn refill(args: Args<'_>) -> Outcome {
    if let Some(array) = writable_array(args)? {
        let head = number(args, 4)?;
        array.set_unannounced(number(args, 5)? as u32);
        array.set_sent_anew(true);
        if array.head() != head {
            array.set_incomplete(true)?;
            array.writer()?.clear_at(head)?;
        }
    }
    Ok(())
}

/// A long write begins or ends at the primary.
fn long_writes(args: Args<'_>, count: impl Fn(u32) -> u32) -> Outcome {
    if let Some(array) = store().find(&path(args)?)? {
        array.set_unannounced(count(array.unannounced()));
    }
    Ok(())
}

/// Why a node that gives slots away cannot send what is in them.
fn failure(args: Args<'_>) -> Result<String, Failure> {
    let reason = String::from_utf8_lossy(word(args, 4)?);
    let key = excerpt(args.get(1));
    Ok(format!("key '{key}' cannot be moved: {reason}"))
}

/// The path in operations on a file.
fn path(args: Args<'_>) -> Result<FilePath, Failure> {
    Ok(FilePath::new(word(args, 3)?)?)
}

/// The array of the file that is named, open for writing even where keys are bound to it read-only.
fn writable_array(args: Args<'_>) -> Result<Option<Arc<Array>>, Failure> {
    let path = path(args)?;
    let array = store().find(&path)?;
    if let Some(array) = &array
        && !array.is_writable()
    {
        store().make_writable(&path, array.item())?;
    }
    Ok(array)
}

fn filled(args: Args<'_>) -> Outcome {
    if let Some(array) = writable_array(args)? {
        array.writer()?.truncate_at(number(args, 4)?)?;
        array.set_incomplete(false)?;
        array.set_sent_anew(false);
    }
    Ok(())
}

/// `VREPLICATE key BIND path type size mode count head state identity`.
fn bind(ctx: &Ctx, args: Args<'_>) -> Outcome {
    let path = FilePath::new(word(args, 3)?)?;
    let item = ItemType::parse(word(args, 4)?, Some(word(args, 5)?))?;
    let access = match word(args, 6)? {
        b"WRITABLE" => Access::Writable,
        b"READONLY" => Access::ReadOnly,
        _ => return Err(unknown(args, 6)),
    };
    let count = number(args, 7)?;
    let head = number(args, 8)?;
    let state = word(args, 9)?;
    let identity = word(args, 10)?;
    let key = Key::open(ctx, args, Mode::Write);
    let bound = match state {
        _ if store().is_that_file(&path, identity) => Err(rdb::shared_directory(&path)),
        b"SHARED" => store()
            .check_array(&path)
            .and_then(|()| store().bind(&path, item, access, false))
            .map_err(|error| error.to_string()),
        _ => {
            let owner = binding::owner(key.database(), key.name());
            make_anew(
                (&path, &owner),
                item,
                access,
                count,
                head,
                state == b"FILLING",
            )
            .map_err(|error| error.to_string())
        }
    };
    if let Err(reason) = &bound
        && !config::is_replica()
    {
        // Slots that move to this node: they stay where they are.
        return Err(Failure::Message(reason.clone()));
    }
    let binding = match bound {
        Ok(bound) => Binding::open(path, item, access, bound),
        Err(reason) => Binding::unavailable(path, item, access, count, reason),
    };
    replication::write_to_aof(&key, &binding);
    binding::set_value(&key, binding);
    key.signal_modified();
    key.notify(c"mmap");
    Ok(())
}

/// The file as a replica has it: of as many values as the primary's, all still zeros. A replica's files are copies, which
/// may be replaced; those of a node that takes slots over are its own.
fn make_anew(
    (path, owner): (&FilePath, &[u8]),
    item: ItemType,
    access: Access,
    count: u64,
    head: u64,
    values_follow: bool,
) -> Result<Bound, Error> {
    let is_replica = config::is_replica();
    if !is_replica {
        store().has_room_for(path)?;
    }
    store().check_unowned(path, is_replica)?;
    let import = store().import(path, item, Above::IsMade)?;
    import.set_owner(owner);
    import.set_head(head)?;
    import.extend_to(count)?;
    let access = if values_follow {
        import.set_incomplete()?;
        Access::Writable
    } else {
        access
    };
    if is_replica {
        return import.finish(store(), access, Former::Replaced);
    }
    let mut former = None;
    let bound = import.finish(store(), access, Former::SetAside(&mut former));
    former.iter().for_each(Undo::report);
    bound
}

/// The argument at a position, which a primary of this version always sends.
fn word<'a>(args: Args<'a>, position: usize) -> Result<&'a [u8], Failure> {
    if position < args.len() {
        Ok(args.get(position))
    } else {
        Err(Failure::WrongArity)
    }
}

/// A number of values, or the position of one: there are less than 2^63 of either, so that two can be added.
fn number(args: Args<'_>, position: usize) -> Result<u64, Failure> {
    std::str::from_utf8(word(args, position)?)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|number| *number <= i64::MAX.cast_unsigned())
        .ok_or_else(|| unknown(args, position))
}

fn unknown(args: Args<'_>, position: usize) -> Failure {
    Failure::Message(format!(
        "VREPLICATE: '{}' (argument {position}) is not understood: does the primary run another version of the module?",
        excerpt(args.get(position))
    ))
}
