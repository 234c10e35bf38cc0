//! The arguments of a command as `COMMAND DOCS` tells them, so that `redis-cli` and other clients complete and hint
//! them.

use std::ffi::{CStr, c_int};
use std::ptr;

use redis_module::raw;

/// One argument. A command lists its arguments in [`Command::ARGS`](crate::redis::execution::command::Command::ARGS):
///
/// ```ignore
/// const ARGS: &'static [Arg] = &[
///     Arg::KEY,
///     Arg::string(c"value").multiple(),
///     Arg::integer(c"count").after(c"COUNT").optional(),
/// ];
/// ```
#[derive(Clone, Copy)]
pub struct Arg {
    name: &'static CStr,
    kind: ArgKind,
    /// The word before the value, or the word itself where there is no value.
    token: Option<&'static CStr>,
    is_optional: bool,
    is_multiple: bool,
}

#[derive(Clone, Copy)]
enum ArgKind {
    Key,
    String,
    Integer,
    Word,
    OneOf(&'static [Arg]),
    Block(&'static [Arg]),
}

impl Arg {
    /// The key, which is argument 1 of every command.
    pub const KEY: Self = Self::new(c"key", ArgKind::Key);

    const fn new(name: &'static CStr, kind: ArgKind) -> Self {
        Self {
            name,
            kind,
            token: None,
            is_optional: false,
            is_multiple: false,
        }
    }

    /// Text: also a value of an array, whose type is not known before the key is.
    pub const fn string(name: &'static CStr) -> Self {
        Self::new(name, ArgKind::String)
    }

    /// An integer.
    pub const fn integer(name: &'static CStr) -> Self {
        Self::new(name, ArgKind::Integer)
    }

    /// A fixed word, such as `WRITABLE`.
    pub const fn word(name: &'static CStr, word: &'static CStr) -> Self {
        Self::new(name, ArgKind::Word).after(word)
    }

    /// One of several arguments.
    pub const fn one_of(name: &'static CStr, choices: &'static [Self]) -> Self {
        Self::new(name, ArgKind::OneOf(choices))
    }

    /// Several arguments that come together.
    pub const fn block(name: &'static CStr, parts: &'static [Self]) -> Self {
        Self::new(name, ArgKind::Block(parts))
    }

    /// The argument with a fixed word before it, such as `COUNT count`.
    pub const fn after(self, word: &'static CStr) -> Self {
        Self {
            token: Some(word),
            ..self
        }
    }

    /// The argument may be left out.
    pub const fn optional(self) -> Self {
        Self {
            is_optional: true,
            ..self
        }
    }

    /// The argument may come more than once.
    pub const fn multiple(self) -> Self {
        Self {
            is_multiple: true,
            ..self
        }
    }

    fn flags(&self) -> u32 {
        let mut flags = raw::REDISMODULE_CMD_ARG_NONE;
        if self.is_optional {
            flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
        }
        if self.is_multiple {
            flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
        }
        flags
    }
}

/// Arguments in the form that `RedisModule_SetCommandInfo` reads.
pub struct RawArgs {
    /// Lists, each ended by an argument without a name. They point at one another, so none may move its elements.
    lists: Vec<Box<[raw::RedisModuleCommandArg]>>,
}

impl RawArgs {
    pub fn of(args: &[Arg]) -> Self {
        let mut raw = Self { lists: Vec::new() };
        raw.add(args);
        raw
    }

    /// The list of the command's own arguments, for as long as `self` lives.
    pub fn as_mut_ptr(&mut self) -> *mut raw::RedisModuleCommandArg {
        self.lists
            .last_mut()
            .map_or(ptr::null_mut(), |list| list.as_mut_ptr())
    }

    /// Adds a list behind the lists it points at.
    fn add(&mut self, args: &[Arg]) -> *mut raw::RedisModuleCommandArg {
        let mut list: Vec<_> = args.iter().map(|arg| self.convert(arg)).collect();
        list.push(raw_arg(ptr::null()));
        self.lists.push(list.into_boxed_slice());
        self.as_mut_ptr()
    }

    fn convert(&mut self, arg: &Arg) -> raw::RedisModuleCommandArg {
        let (type_, subargs) = match arg.kind {
            ArgKind::Key => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
                ptr::null_mut(),
            ),
            ArgKind::String => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
                ptr::null_mut(),
            ),
            ArgKind::Integer => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
                ptr::null_mut(),
            ),
            ArgKind::Word => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
                ptr::null_mut(),
            ),
            ArgKind::OneOf(choices) => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
                self.add(choices),
            ),
            ArgKind::Block(parts) => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
                self.add(parts),
            ),
        };
        raw::RedisModuleCommandArg {
            type_,
            token: arg.token.map_or(ptr::null(), CStr::as_ptr),
            flags: arg.flags() as c_int,
            subargs,
            ..raw_arg(arg.name.as_ptr())
        }
    }
}

/// An argument with a name and nothing else; without a name, the end of a list.
fn raw_arg(name: *const std::ffi::c_char) -> raw::RedisModuleCommandArg {
    raw::RedisModuleCommandArg {
        name,
        type_: raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
        // The first and only key specification; it counts for keys alone.
        key_spec_index: 0,
        token: ptr::null(),
        summary: ptr::null(),
        since: ptr::null(),
        flags: 0,
        deprecated_since: ptr::null(),
        subargs: ptr::null_mut(),
        display_text: ptr::null(),
    }
}
