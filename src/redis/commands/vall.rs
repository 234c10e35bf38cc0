//! `VALL key`: all values.

use std::ffi::{CStr, c_int};

use super::reply::Replier;
use crate::redis::api::{Args, Ctx, Outcome};
use crate::redis::binding;
use crate::redis::command::{Command, KeyAccess};

/// How many bytes are copied out of the mapping at once.
const CHUNK: usize = 64 * 1024;

/// `VALL key`: replies with an array of all values, an empty one if there is no such key.
///
/// If the file turns out to be unreadable on the way, the last element of the array is the error.
pub struct VAll;

impl Command for VAll {
    const NAME: &'static CStr = c"vall";
    const FLAGS: &'static CStr = c"readonly";
    const ARITY: c_int = 2;
    const KEY_ACCESS: KeyAccess = KeyAccess::Read;
    const SUMMARY: &'static CStr = c"Returns all values of an array";
    const COMPLEXITY: &'static CStr = c"O(N) where N is the number of values";

    fn run(ctx: &Ctx, args: Args<'_>) -> Outcome {
        let Some(binding) = binding::for_reading(ctx, args)? else {
            ctx.reply_array(0);
            return Ok(());
        };
        let mut view = binding.bound()?.view()?;
        let count = view.count();
        let size = binding.item.size();
        let per_chunk = (CHUNK / size).max(1);
        let mut buffer = vec![0; per_chunk * size];
        let replier = Replier::new(ctx, binding.item);
        let replies = ctx.reply_array_of_unknown_length();
        let mut index = 0;
        while index < count {
            let values = (count - index).min(per_chunk as u64);
            let chunk = &mut buffer[..values as usize * size];
            if let Err(error) = view.read(index, chunk) {
                // The reply has begun: it ends early, with the error as its last element.
                ctx.reply_failure(&error.into());
                replies.end(index + 1);
                return Ok(());
            }
            for value in chunk.chunks_exact(size) {
                replier.value(value);
            }
            index += values;
        }
        replies.end(count);
        Ok(())
    }
}
