//! From the key of a command to what it holds.

use std::ops::Deref;
use std::sync::Arc;

use crate::redis::keys::binding::{Binding, KeyTarget};
use crate::redis::keys::remembered;
use crate::redis::server::{Args, Ctx, Failure, Key, Mode, Named, OpenValue, TypeHandle};
use crate::storage::types::excerpt;

/// A key of a command, and what it holds for as long as that runs.
pub struct Opened<'a> {
    named: Named<'a>,
    held: Held<'a>,
}

enum Held<'a> {
    Open(OpenValue<'a, Binding>),
    Remembered(remembered::SharedBinding),
}

impl<'a> Opened<'a> {
    /// The key, and what it holds.
    #[inline]
    pub fn parts(&self) -> (&Named<'a>, &Binding) {
        (&self.named, self)
    }

    #[inline]
    fn remembered(named: Named<'a>, binding: remembered::SharedBinding) -> Self {
        Self {
            named,
            held: Held::Remembered(binding),
        }
    }
}

impl Deref for Opened<'_> {
    type Target = Binding;

    #[inline]
    fn deref(&self) -> &Binding {
        match &self.held {
            Held::Open(binding) => binding,
            Held::Remembered(binding) => binding,
        }
    }
}

/// The key of a command that reads, if it exists.
///
/// # Errors
/// `WRONGTYPE`.
#[inline]
pub fn for_reading<'a>(
    ctx: &'a Ctx,
    args: Args<'a>,
) -> Result<Option<OpenValue<'a, Binding>>, Failure> {
    value_of(Key::open(ctx, args, Mode::Read))
}

/// [`for_reading`], for a command that takes little more than the look-up. What the key led to may be remembered: the server
/// still looks whether the key is there, which counts as a hit.
///
/// # Errors
/// `WRONGTYPE`.
#[inline(always)]
pub fn for_short_reading<'a>(ctx: &'a Ctx, args: Args<'a>) -> Result<Option<Opened<'a>>, Failure> {
    let named = Named::of(ctx, args);
    match remembered::find_to_read(named.database(), named.name()) {
        Some(binding) => Ok(named.exists().then(|| Opened::remembered(named, binding))),
        None => look_up(named, Mode::Read),
    }
}

/// What a key holds, together with the key; `None` if there is nothing under it.
#[inline]
fn value_of(key: Key<'_>) -> Result<Option<OpenValue<'_, Binding>>, Failure> {
    match OpenValue::of(key, &DATA_TYPE) {
        Ok(binding) => Ok(Some(binding)),
        Err(key) if key.is_empty() => Ok(None),
        Err(_) => Err(Failure::WrongType),
    }
}

/// The key of a command that writes, and what it holds.
///
/// # Errors
/// If there is no such key, or it is of another type.
#[inline(always)]
pub fn for_writing<'a>(ctx: &'a Ctx, args: Args<'a>) -> Result<Opened<'a>, Failure> {
    for_removal(ctx, args)?.ok_or_else(|| missing_key(args))
}

/// The key of a command that removes values, and what it holds; `None` where there is no key, as of what is not there
/// nothing is removed.
///
/// # Errors
/// `WRONGTYPE`.
#[inline(always)]
pub fn for_removal<'a>(ctx: &'a Ctx, args: Args<'a>) -> Result<Option<Opened<'a>>, Failure> {
    let named = Named::of(ctx, args);
    match remembered::find(named.database(), named.name()) {
        Some(binding) => Ok(Some(Opened::remembered(named, binding))),
        None => look_up(named, Mode::Write),
    }
}

#[inline(never)]
fn look_up(named: Named<'_>, mode: Mode) -> Result<Option<Opened<'_>>, Failure> {
    let key = Key::open_named(named, mode);
    if remembered::is_worth_it(named.name()) {
        remember(&key);
    }
    Ok(value_of(key)?.map(|binding| Opened {
        named,
        held: Held::Open(binding),
    }))
}

/// Remembers what a key leads to, if that is an array for longer than until it expires.
fn remember(key: &Key<'_>) {
    if let Some(binding) = key.share(&DATA_TYPE)
        && matches!(binding.target, KeyTarget::Open(_))
        && !key.expires()
    {
        remembered::remember(key.database(), key.name(), binding);
    }
}

/// The error of a command that needs an array where there is no key.
#[cold]
pub fn missing_key(args: Args<'_>) -> Failure {
    let key = excerpt(args.get(1));
    Failure::Message(format!(
        "no such key '{key}': bind a file to it first, with MMAP {key} path"
    ))
}

/// Something happened to a key: if it is one that waits for its primary, this may be a new name of it.
pub fn note_name(ctx: &Ctx, name: &[u8]) {
    Key::with(ctx, name, Mode::Read, |key| {
        if let Some(binding) = value(key)
            && let KeyTarget::Unavailable { reason, .. } = &binding.target
        {
            reason.set_name(key.full_name());
        }
    });
}

/// The type of such keys.
pub static DATA_TYPE: TypeHandle<Binding> = TypeHandle::new();

/// What an open key holds, if it is of this type.
#[inline]
pub fn value<'k>(key: &'k Key<'_>) -> Option<&'k Binding> {
    key.value(&DATA_TYPE)
}

/// What an open key holds, to be changed: nothing remembered about it may be used any more.
pub fn value_mut<'k>(key: &'k mut Key<'_>) -> Option<&'k mut Binding> {
    remembered::forget_all();
    key.value_mut(&DATA_TYPE)
}

/// Gives an empty key its binding.
pub fn set_value(key: &mut Key<'_>, binding: Binding) {
    key.set_value(&DATA_TYPE, Arc::new(binding));
}
