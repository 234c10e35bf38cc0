//! `VREPLICATE`: what a primary tells its replicas. [`crate::redis::replication`] says what it means.

use std::ffi::{CStr, c_int};
use std::sync::Arc;

use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::keys::binding;
use crate::redis::keys::binding::Binding;
use crate::redis::keys::lookup;
use crate::redis::keys::unavailable::{Unavailable, not_received, shared_directory};
use crate::redis::mode::role::is_replica;
use crate::redis::replication;
use crate::redis::replication::copy::Gone;
use crate::redis::replication::{copy, followed, missing};
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Key, Mode, Outcome};
use crate::redis::store;
use crate::storage::types::{ItemType, excerpt};
use crate::storage::{
    Access, Array, Bound, Completeness, Error, FilePath, can_hold, parse_position,
};

/// `VREPLICATE key operation ...`: carries out what the primary did. Only a primary may send it.
///
/// An array that this replica cannot use answers its clients with the reason; what comes for it is passed over.
pub struct VReplicate;

impl Command for VReplicate {
    const NAME: &'static CStr = c"vreplicate";
    const FLAGS: &'static CStr = c"write no-monitor internal";
    const ARITY: c_int = -3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Update;
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::string(c"operation"),
        Arg::string(c"argument").optional().multiple(),
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
        if let Err(failure) = carry_out(ctx, args) {
            if !is_replica() {
                // Slots that move to this node: they stay where they are.
                return Err(failure);
            }
            refuse(ctx, args, &failure);
        }
        ctx.reply_ok();
        Ok(())
    }
}

/// Carries out a word of the stream. What an array cannot take is noted there; what comes back is that the word was not
/// understood or is about no array that can be found out.
fn carry_out(ctx: &Ctx, args: Args<'_>) -> Outcome {
    let operation = args.get(2);
    let Some(slash) = operation.iter().rposition(|&byte| byte == b'/') else {
        return carry_out_legacy(ctx, args, operation);
    };
    match &operation[..slash] {
        _ if operation[slash + 1..] != *b"2" => Err(unknown(args, 2)),
        b"BIND" => bind(ctx, args),
        b"APPEND" => {
            let (position, bytes) = (number(args, 3)?, values(args, 4)?);
            change(ctx, args, Gone::Nothing, |array| {
                copy::append(array, position, bytes)
            })
        }
        b"SET" => set(ctx, args),
        b"REPEAT" => repeat(ctx, args),
        b"LENGTH" => length(ctx, args),
        b"FILL" => fill(ctx, args, 4, path(args, 3)),
        b"FILLED" => fill_up(ctx, args, 4, path(args, 3)),
        b"REFILL" => refill(args),
        b"HEAD" => head(ctx, args, 4, path(args, 3)),
        b"FAILED" => Err(Failure::Message(failure(args)?)),
        b"BEGIN" => long_writes(args, |writes| writes + 1),
        b"END" => long_writes(args, |writes| writes.saturating_sub(1)),
        // What was true of an earlier moment says nothing of what the files hold now.
        b"HOLDS" | b"ONLINE" if followed::is_old(ctx) => Ok(()),
        b"HOLDS" => holds(args),
        b"ONLINE" => {
            missing::is_online(ctx, (3..args.len()).map(|at| args.get(at)));
            Ok(())
        }
        _ => Err(unknown(args, 2)),
    }
}

/// What primaries of versions 0.1.0 and 0.2.0 send. The path of a file is in place of the key.
fn carry_out_legacy(ctx: &Ctx, args: Args<'_>, operation: &[u8]) -> Outcome {
    let path = || Ok::<_, Failure>(FilePath::new(args.get(1))?);
    let expect = |count| {
        if args.len() == count {
            Ok(())
        } else {
            Err(unknown(args, 2))
        }
    };
    match operation {
        b"BIND" => bind(ctx, args),
        b"SET" => set(ctx, args),
        b"REPEAT" => repeat(ctx, args),
        b"LENGTH" => length(ctx, args),
        b"FILL" => expect(5).and_then(|()| fill(ctx, args, 3, path())),
        b"FILLED" => expect(4).and_then(|()| fill_up(ctx, args, 3, path())),
        b"HEAD" => expect(4).and_then(|()| head(ctx, args, 3, path())),
        _ => Err(unknown(args, 2)),
    }
}

/// A word that a replica cannot make sense of may have changed any array that it names: that is incomplete from now on.
#[cold]
fn refuse(ctx: &Ctx, args: Args<'_>, failure: &Failure) {
    copy::pass_over();
    let mut key = Key::open(ctx, args, Mode::Write);
    let by_key = lookup::value(&key).and_then(|binding| binding.target_array().ok());
    let by_path = [1, 3]
        .into_iter()
        .filter_map(|position| FilePath::new(word(args, position).ok()?).ok())
        .find_map(|path| store().find_copy(&path).ok()?);
    let why = failure.to_string();
    match by_key.map(Bound::share).or(by_path) {
        Some(array) => missing::miss(&array, &why),
        // A key that should be there is not to look like an empty array.
        None if args.get(2).starts_with(b"BIND") && key.is_empty() => {
            let path = path(args, 3).or_else(|_| Ok(FilePath::new(b"unknown")?));
            if let Ok::<_, Failure>(path) = path {
                let (item, access, name) =
                    (ItemType::DOUBLE, Access::ReadOnly, Some(key.full_name()));
                let binding = Binding::unavailable(path, item, access, 0, why, name);
                lookup::set_value(&mut key, binding);
            }
        }
        None => {
            tracing::error!("{why}; it names no array of this server");
            missing::miss_something();
        }
    }
}

/// A change of the array of a key.
fn change(
    ctx: &Ctx,
    args: Args<'_>,
    gone: Gone,
    change: impl FnOnce(&Arc<Array>) -> Result<(), Error>,
) -> Outcome {
    let key = Key::open(ctx, args, Mode::Write);
    let binding = lookup::value(&key);
    let Some(bound) = binding.and_then(|binding| binding.target_array().ok()) else {
        // The key answers with the reason, or was deleted by what this server has read already.
        copy::pass_over();
        // Other keys of that file would show it without this change.
        if let Some(path) = binding
            .filter(|_| is_replica())
            .map(|binding| &binding.path)
            && Unavailable::wants(path)
            && let Some(array) = store().find_copy(path)?
        {
            missing::miss(&array, "a change was of a key that is unavailable");
        }
        return Ok(());
    };
    copy::apply(bound, gone, change)?;
    key.signal_modified();
    sync_as_set(bound)
}

/// A change of the array of a file, whatever key has it by now.
fn change_file(
    ctx: &Ctx,
    args: Args<'_>,
    path: &FilePath,
    gone: Gone,
    change: impl FnOnce(&Arc<Array>) -> Result<(), Error>,
) -> Outcome {
    if let Some(array) = copy::array_at(path)? {
        copy::apply(&array, gone, change)?;
        // What is not whole yet is not vouched for.
        return match array.completeness() {
            Completeness::Whole => sync_as_set(&array),
            _ => Ok(()),
        };
    }
    copy::pass_over();
    // A file of two names may have got the other one at the primary.
    let key = Key::open(ctx, args, Mode::Write);
    let binding = lookup::value(&key).filter(|_| is_replica());
    if let Some(array) = binding.and_then(|binding| binding.target_array().ok()) {
        missing::miss(
            array,
            &format!("a change was of file '{path}', which is not open here"),
        );
    }
    Ok(())
}

fn set(ctx: &Ctx, args: Args<'_>) -> Outcome {
    let mut pieces = Vec::with_capacity(args.len() / 2);
    for position in (3..args.len()).step_by(2) {
        pieces.push((number(args, position)?, values(args, position + 1)?));
    }
    change(ctx, args, Gone::Nothing, |array| {
        pieces
            .iter()
            .try_for_each(|(position, bytes)| copy::put(array, *position, bytes))
    })
}

fn repeat(ctx: &Ctx, args: Args<'_>) -> Outcome {
    let (position, count, value) = (number(args, 3)?, number(args, 4)?, values(args, 5)?);
    change(ctx, args, Gone::Nothing, |array| {
        copy::repeat(array, position, count, value)
    })
}

fn length(ctx: &Ctx, args: Args<'_>) -> Outcome {
    let position = number(args, 3)?;
    change(ctx, args, Gone::From(position), |array| {
        copy::shorten(array, position)
    })
}

/// A path of a file that may be none.
type GivenPath = Result<FilePath, Failure>;

/// The words about a file, whose numbers begin at argument `at`.
fn fill(ctx: &Ctx, args: Args<'_>, at: usize, path: GivenPath) -> Outcome {
    let (position, bytes) = (number(args, at)?, values(args, at + 1)?);
    change_file(ctx, args, &path?, Gone::Nothing, |array| {
        copy::fill(array, position, bytes)
    })
}

fn fill_up(ctx: &Ctx, args: Args<'_>, at: usize, path: GivenPath) -> Outcome {
    let position = number(args, at)?;
    change_file(ctx, args, &path?, Gone::Nothing, |array| {
        copy::fill_up(array, position)
    })
}

fn head(ctx: &Ctx, args: Args<'_>, at: usize, path: GivenPath) -> Outcome {
    let position = number(args, at)?;
    change_file(ctx, args, &path?, Gone::Before(position), |array| {
        copy::drop_head(array, position)
    })
}

/// With `mmap.fsync always` a replica, too, goes on when it is on disk.
fn sync_as_set(array: &Arc<Array>) -> Outcome {
    if store().settings().fsync() == crate::storage::Fsync::Always {
        array.sync()?;
    }
    Ok(())
}

/// Where the contents are to come again.
fn refill(args: Args<'_>) -> Outcome {
    let path = path(args, 3)?;
    let (head, unannounced) = (number(args, 4)?, number(args, 5)? as u32);
    let Some(array) = copy::array_at(&path)? else {
        copy::pass_over();
        if !Unavailable::wants(&path) {
            tracing::warn!("the primary sends file '{path}' again, which is not open here");
            missing::miss_something();
        }
        return Ok(());
    };
    if let Err(error) = copy::refill(&array, head, unannounced) {
        copy::pass_over();
        missing::miss(&array, &error.to_string());
    }
    Ok(())
}

/// A long write begins or ends at the primary.
fn long_writes(args: Args<'_>, count: impl Fn(u32) -> u32) -> Outcome {
    if let Some(array) = store().find_copy(&path(args, 3)?)? {
        array.set_unannounced(count(array.unannounced()));
    }
    Ok(())
}

/// What the primary's files hold.
fn holds(args: Args<'_>) -> Outcome {
    for position in (3..args.len()).step_by(3) {
        let (head, end) = (number(args, position + 1)?, number(args, position + 2)?);
        if let Some(array) = store().find_copy(&path(args, position)?)?
            && let Err(error) = copy::compare(&array, head, end)
        {
            missing::miss(&array, &error.to_string());
        }
    }
    Ok(())
}

/// Why a node that gives slots away cannot send what is in them.
fn failure(args: Args<'_>) -> Result<String, Failure> {
    let reason = String::from_utf8_lossy(word(args, 4)?);
    let key = excerpt(args.get(1));
    Ok(format!("key '{key}' cannot be moved: {reason}"))
}

/// An argument that is a path.
fn path(args: Args<'_>, position: usize) -> Result<FilePath, Failure> {
    Ok(FilePath::new(word(args, position)?)?)
}

/// An argument that is values.
fn values<'a>(args: Args<'a>, position: usize) -> Result<&'a [u8], Failure> {
    word(args, position)
}

/// `VREPLICATE key BIND path type size mode count head state identity`.
fn bind(ctx: &Ctx, args: Args<'_>) -> Outcome {
    let path = path(args, 3)?;
    let item = ItemType::parse(word(args, 4)?, Some(word(args, 5)?))?;
    let access = match word(args, 6)? {
        b"WRITABLE" => Access::Writable,
        b"READONLY" => Access::ReadOnly,
        _ => return Err(unknown(args, 6)),
    };
    let count = number(args, 7)?;
    if !can_hold(item, count) {
        return Err(unknown(args, 7));
    }
    let head = number(args, 8)?;
    let state = word(args, 9)?;
    let identity = word(args, 10)?;
    let mut key = Key::open(ctx, args, Mode::Write);
    let owner = binding::owner(key.database(), key.name());
    let make_file =
        |contents| copy::make_file((&path, &owner), item, access, count, head, contents);
    let is_shared = store().is_that_file(&path, identity);
    let bound = match state {
        _ if is_shared => Err(shared_directory(&path)),
        // What was to become that file had no room: another file is there.
        b"SHARED" if Unavailable::wants(&path) && store().find_copy(&path)?.is_none() => {
            Err(not_received(&path))
        }
        b"SHARED" => store()
            .check_array(&path)
            .and_then(|()| store().bind(&path, item, access, false))
            .map_err(|error| error.to_string()),
        b"AGAIN" => copy::bind_again(&path, item, access, head)
            .transpose()
            .unwrap_or_else(|| make_file(true))
            .map_err(|error| error.to_string()),
        b"FILLING" => make_file(true).map_err(|error| error.to_string()),
        b"EMPTY" => make_file(false).map_err(|error| error.to_string()),
        _ => return Err(unknown(args, 9)),
    };
    let binding = match bound {
        Ok(bound) => Binding::open(path, item, access, bound),
        Err(reason) if !is_replica() => return Err(Failure::Message(reason)),
        Err(reason) => {
            copy::pass_over();
            if !is_shared {
                store().note_former(&path);
            }
            let key = (!is_shared).then(|| key.full_name());
            Binding::unavailable(path, item, access, count, reason, key)
        }
    };
    replication::write_to_aof(&key, &binding);
    lookup::set_value(&mut key, binding);
    key.signal_modified();
    key.notify(c"mmap");
    Ok(())
}

/// The argument at a position, which a primary of this version always sends.
fn word<'a>(args: Args<'a>, position: usize) -> Result<&'a [u8], Failure> {
    if position < args.len() {
        Ok(args.get(position))
    } else {
        Err(Failure::WrongArity)
    }
}

/// A number of values, or the position of one.
fn number(args: Args<'_>, position: usize) -> Result<u64, Failure> {
    parse_position(word(args, position)?).ok_or_else(|| unknown(args, position))
}

fn unknown(args: Args<'_>, position: usize) -> Failure {
    Failure::Message(format!(
        "VREPLICATE: '{}' (argument {position}) is not understood: does the primary run another version of the module?",
        excerpt(args.get(position))
    ))
}
