//! `MMAP key path [type [size] [WRITABLE]] [INCOMPLETE]`, `MMAP key path.npy [type [size]] [WRITABLE] [INCOMPLETE]`: binds a
//! file to a key.

use std::ffi::{CStr, c_int};

use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::keys::binding;
use crate::redis::keys::binding::{Binding, KeyTarget};
use crate::redis::keys::lookup;
use crate::redis::keys::unavailable::not_received;
use crate::redis::mode::role::is_replica;
use crate::redis::server::usage::Arg;
use crate::redis::server::{Args, Ctx, Failure, Key, Mode, Outcome};
use crate::redis::{replication, store};
use crate::storage::types::{ItemType, excerpt};
use crate::storage::{Access, Bound, FilePath};

/// `MMAP key path`: writable `double`s, in a file that is created if it is missing.
/// `MMAP key path type [size] [WRITABLE]`: any type, read-only unless `WRITABLE`, which may also stand before it.
///
/// `MMAP key path.npy [type [size]] [WRITABLE]`: a `.npy` file, whose header says its type; read-only unless
/// `WRITABLE`. Only with a type and `WRITABLE` is one created.
///
/// With `INCOMPLETE` a file that lacks values, which never came from a primary, is taken as it is; else it is refused.
///
/// Replies with the number of values. On a key that is bound already to that file (and as that type and mode,
/// where given) it only replies; on a key whose file was missing when the server started it binds it again.
///
/// Fails if the file cannot be opened as such an array, or the key holds anything else.
pub struct Mmap;

impl Command for Mmap {
    const NAME: &'static CStr = c"mmap";
    const FLAGS: &'static CStr = c"write deny-oom";
    const ARITY: c_int = -3;
    const KEY_ACCESS: KeyAccess = KeyAccess::Insert;
    /// It opens files that others made.
    const IS_DANGEROUS: bool = true;
    const SUMMARY: &'static CStr = c"Binds a file of raw values to a key";
    const COMPLEXITY: &'static CStr = c"O(1)";
    const ARGS: &'static [Arg] = &[
        Arg::KEY,
        Arg::string(c"path"),
        Arg::one_of(c"type", TYPES).optional(),
        Arg::word(c"writable", c"WRITABLE").optional(),
        Arg::word(c"incomplete", c"INCOMPLETE").optional(),
    ];
    const HISTORY: &'static [(&'static CStr, &'static CStr)] = &[(
        c"0.3.0",
        c"numpy's codes for types, an absolute path, WRITABLE before the type, and INCOMPLETE",
    )];

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        args.expect_at_most(7)?;
        let wish = MmapArguments::parse(args)?;
        let mut key = Key::open(ctx, args, Mode::Write);
        let count = if ctx.is_loading() && wish.incomplete {
            load_out_of_date(&mut key, wish)?
        } else if key.is_empty() {
            bind(ctx, &mut key, wish)?
        } else {
            rebind(ctx, &mut key, &wish)?
        };
        ctx.reply_count(count);
        Ok(())
    }
}

/// The types, as they are hinted; only `string` needs a size. A numpy dtype is `f8`, `<i4`, `S16` and so on.
const TYPES: &[Arg] = &[
    Arg::word(c"int8", c"int8"),
    Arg::word(c"uint8", c"uint8"),
    Arg::word(c"int16", c"int16"),
    Arg::word(c"uint16", c"uint16"),
    Arg::word(c"int32", c"int32"),
    Arg::word(c"uint32", c"uint32"),
    Arg::word(c"int64", c"int64"),
    Arg::word(c"uint64", c"uint64"),
    Arg::word(c"float", c"float"),
    Arg::word(c"double", c"double"),
    Arg::word(c"long_double", c"long_double"),
    Arg::integer(c"size").after(c"string"),
    Arg::string(c"numpy-dtype"),
];

/// What the arguments ask for.
struct MmapArguments {
    path: FilePath,
    item: Option<ItemType>,
    /// Whether `WRITABLE` was said.
    writable: bool,
    /// Whether `INCOMPLETE` was said.
    incomplete: bool,
}

impl MmapArguments {
    fn parse(args: Args<'_>) -> Result<Self, Failure> {
        let path = store().root().path_of(args.get(2))?;
        let mut words: Vec<&[u8]> = args.from(3).collect();
        let mut take = |word: &[u8]| {
            let position = words
                .iter()
                .position(|given| given.eq_ignore_ascii_case(word));
            position.map(|position| words.remove(position)).is_some()
        };
        let writable = take(b"WRITABLE");
        let incomplete = take(b"INCOMPLETE");
        // Else it would be taken for the name or the size of a type.
        for word in &words {
            if let Some(meant) = misspelt(word) {
                return Err(Failure::Message(format!(
                    "syntax error at '{}': expected {meant}",
                    excerpt(word)
                )));
            }
        }
        let item = match words[..] {
            [] => None,
            [name] => Some(ItemType::parse(name, None)?),
            [name, size] => Some(ItemType::parse(name, Some(size))?),
            _ => {
                return Err(Failure::Message(
                    "syntax error: expected MMAP key path [type [size]] [WRITABLE]".to_owned(),
                ));
            }
        };
        Ok(Self {
            path,
            item,
            writable,
            incomplete,
        })
    }

    /// The mode of a new binding.
    fn access(&self) -> Access {
        if self.writable || self.item.is_none() && !self.path.is_npy() {
            Access::Writable
        } else {
            Access::ReadOnly
        }
    }

    /// The type of a new binding: as it was given, as the header of a `.npy` file says, or `double`.
    fn item(&self) -> Result<ItemType, Failure> {
        match self.item {
            Some(item) => Ok(item),
            None if self.path.is_npy() => Ok(store().npy_item(&self.path)?),
            None => Ok(ItemType::DOUBLE),
        }
    }
}

/// Which word another one is meant to be, as no type is called so.
fn misspelt(word: &[u8]) -> Option<&'static str> {
    let start = word.get(..4)?;
    ["WRITABLE", "INCOMPLETE"]
        .into_iter()
        .find(|meant| start.eq_ignore_ascii_case(&meant.as_bytes()[..4]))
}

fn bind(ctx: &Ctx, key: &mut Key<'_>, wish: MmapArguments) -> Result<u64, Failure> {
    let item = wish.item()?;
    let access = wish.access();
    let binding = if ctx.is_loading() {
        // The AOF is history: if a file that it names is gone, no empty one is created.
        let binding = Binding::restore_from_aof(wish.path, item, access);
        if binding.target_array().is_ok_and(|array| array.went_down()) {
            replication::doubt_stream("its machine went down");
        }
        binding
    } else {
        store().has_room_for(&wish.path)?;
        let bound = store().bind(&wish.path, item, access, true)?;
        take_as_it_is(&bound, wish.incomplete)?;
        Binding::open(wish.path, item, access, bound)
    };
    let is_alone = binding.target_array().is_ok_and(|bound| bound.is_alone());

    let count = match &binding.target {
        KeyTarget::Open(bound) => bound.view()?.count(),
        KeyTarget::Unavailable { count, .. } => *count,
    };
    binding::note_owner(key, &binding);
    replication::bound(key, &binding, is_alone);
    lookup::set_value(key, binding);
    key.signal_modified();
    key.notify(c"mmap");
    Ok(count)
}

/// In an AOF `INCOMPLETE` says that what the primary wrote was not received: the file that is there is something else.
fn load_out_of_date(key: &mut Key<'_>, wish: MmapArguments) -> Result<u64, Failure> {
    if !key.is_empty() && lookup::value(key).is_none() {
        return Err(Failure::WrongType);
    }
    let (access, item) = (wish.access(), wish.item()?);
    let (reason, name) = (not_received(&wish.path), key.full_name());
    let binding = Binding::unavailable(wish.path, item, access, 0, reason, Some(name));
    lookup::set_value(key, binding);
    Ok(0)
}

/// The key is bound already. The same wish again is answered; any other is an error.
fn rebind(ctx: &Ctx, key: &mut Key<'_>, wish: &MmapArguments) -> Result<u64, Failure> {
    let Some(binding) = lookup::value(key) else {
        return Err(Failure::WrongType);
    };
    let fits = wish.item.is_none_or(|item| item == binding.item)
        && (!wish.writable || binding.access == Access::Writable);
    match &binding.target {
        KeyTarget::Open(bound) => {
            let same_file = store()
                .identify(&wish.path)
                .is_ok_and(|id| id == Some(bound.id()));
            if same_file && fits {
                if bound.is_lost() {
                    store().reopen(bound, &binding.path, binding.access)?;
                    replication::bound(key, binding, true);
                }
                if wish.incomplete && !is_replica() && bound.is_incomplete() {
                    take_as_it_is(bound, true)?;
                    // A replica may have applied what could not be applied here.
                    replication::resend(ctx, bound);
                }
                // The key may have had another name, or its database another number.
                binding::note_owner(key, binding);
                return Ok(binding.bound()?.view()?.count());
            }
            if wish.path == binding.path && !same_file {
                return Err(Failure::Message(format!(
                    "file '{}' was replaced or removed after it was bound to key '{}': DEL the key and MMAP it again",
                    binding.path,
                    excerpt(key.name())
                )));
            }
            Err(bound_already(key, binding))
        }
        KeyTarget::Unavailable { reason, .. } if wish.path == binding.path && fits => {
            let bound = store().bind(&binding.path, binding.item, binding.access, false)?;
            // The file that is there is not what the primary told of, and a full disk may have had no room to note that. In an AOF
            // this is how its contents came later.
            if reason.is_wanted() && bound.is_alone() && !ctx.is_loading() {
                bound.miss(&reason.to_string());
            }
            take_as_it_is(&bound, wish.incomplete)?;
            let count = bound.view()?.count();
            let is_alone = bound.is_alone();
            if let Some(binding) = lookup::value_mut(key) {
                binding.target = KeyTarget::Open(bound);
            }
            if let Some(binding) = lookup::value(key) {
                binding::note_owner(key, binding);
                replication::bound(key, binding, is_alone);
            }
            Ok(count)
        }
        KeyTarget::Unavailable { .. } => Err(bound_already(key, binding)),
    }
}

/// A file that lacks values is only bound where that is wanted.
fn take_as_it_is(bound: &Bound, incomplete: bool) -> Result<(), Failure> {
    if !bound.is_incomplete() || !incomplete && !bound.is_alone() {
        return Ok(());
    }
    let (path, why) = (bound.path(), bound.why_incomplete());
    if !incomplete {
        return Err(Failure::Message(format!(
            "file '{path}' is incomplete, because not all of its values came from a primary ({why}): replace it with a copy from a \
             server that has them, or accept it as it is with MMAP ... INCOMPLETE"
        )));
    }
    if !store().has_its_name(bound) {
        return Err(Failure::Message(format!(
            "the new contents of file '{path}' have not all arrived: DEL the key first, and MMAP ... INCOMPLETE \
             accepts the old file"
        )));
    }
    tracing::warn!("file '{path}' is incomplete ({why}); MMAP accepts it as it is");
    bound.take_as_whole()?;
    Ok(())
}

fn bound_already(key: &Key<'_>, binding: &Binding) -> Failure {
    let mode = match binding.access {
        Access::Writable => "writable",
        Access::ReadOnly => "read-only",
    };
    Failure::Message(format!(
        "key '{}' is bound already to file '{}' as {}, {mode}: DEL the key first",
        excerpt(key.name()),
        binding.path,
        binding.item
    ))
}
