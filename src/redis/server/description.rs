//! What the server is told of a command.

use std::ffi::{CStr, c_int};

use redis_module::raw;

use crate::redis::server::usage::Arg;

/// What a command does to its key. ACL rules such as `%R~pattern` go by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyAccess {
    /// Reads the value and changes nothing.
    Read,
    /// Adds to the value.
    Insert,
    /// Changes values that are there.
    Update,
    /// Changes values that are there and replies with them.
    ReadAndUpdate,
    /// Removes values.
    Delete,
    /// Removes values and replies with them.
    ReadAndDelete,
}

impl KeyAccess {
    pub(super) fn flags(self) -> u32 {
        match self {
            Self::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
            Self::Insert => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_INSERT,
            Self::Update => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_UPDATE,
            Self::ReadAndUpdate => {
                raw::REDISMODULE_CMD_KEY_RW
                    | raw::REDISMODULE_CMD_KEY_ACCESS
                    | raw::REDISMODULE_CMD_KEY_UPDATE
            }
            Self::Delete => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_DELETE,
            Self::ReadAndDelete => {
                raw::REDISMODULE_CMD_KEY_RW
                    | raw::REDISMODULE_CMD_KEY_ACCESS
                    | raw::REDISMODULE_CMD_KEY_DELETE
            }
        }
    }
}

/// What the server is told of a command. The key is always argument 1.
#[derive(Clone, Copy)]
pub struct Description {
    pub name: &'static CStr,
    /// As `RedisModule_CreateCommand` takes them.
    pub flags: &'static CStr,
    /// Number of arguments, including the name; negative: the minimum.
    pub arity: c_int,
    pub key_access: KeyAccess,
    pub summary: &'static CStr,
    pub complexity: &'static CStr,
    pub args: &'static [Arg],
    pub is_dangerous: bool,
    pub since: &'static CStr,
    /// Versions in which it changed, and what did.
    pub history: &'static [(&'static CStr, &'static CStr)],
}
