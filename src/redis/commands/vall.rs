//! `VALL key`: all values.

use std::ffi::{CStr, c_int};

use crate::redis::execution::command::{Command, KeyAccess};
use crate::redis::execution::slice::reply_slice;
use crate::redis::keys::lookup;
use crate::redis::server::{Args, Ctx, Outcome};

/// `VALL key`: replies with an array of all values, an empty one if there is no such key.
///
/// Fails if they are too many for one reply. If the file turns out to be unreadable on the way, the last element of the array is the error.
pub struct VAll;

impl Command for VAll {
    const NAME: &'static CStr = c"vall";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = 2;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns all values of an array";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of values";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        match lookup::for_reading(ctx, args)? {
            Some(binding) => reply_slice(ctx, &binding, 1, |count| 0..count),
            None => {
                ctx.reply_array(0);
                Ok(())
            }
        }
    }
}
