//! Many values in one reply.

use std::ops::Range;

use crate::redis::execution::bounds::expect_reply;
use crate::redis::execution::cold::expect_in_ram;
use crate::redis::execution::reply::Replier;
use crate::redis::execution::scratch::with_scratch;
use crate::redis::keys::binding::Binding;
use crate::redis::server::{Ctx, Outcome};
use crate::storage::cold::touched::Touched;

/// How many bytes are copied out of the mapping at once.
const CHUNK: usize = 64 * 1024;

/// Replies with an array of every `step`-th value of the range that `wanted` makes of the number of values.
///
/// If the file turns out to be unreadable on the way, the last element of the array is the error.
///
/// # Errors
/// If they are too many for one reply, or the array cannot be read.
pub fn reply_slice(
    ctx: &Ctx,
    binding: &Binding,
    step: u64,
    wanted: impl FnOnce(u64) -> Range<u64>,
) -> Outcome {
    let bound = binding.bound()?;
    let mut view = bound.view()?;
    let range = wanted(view.count());
    let values = (range.end - range.start).div_ceil(step);
    let size = binding.item.size();
    expect_reply(values, binding.item)?;
    expect_in_ram(ctx, bound, &mut view, || match step {
        1 => Touched::Range(range.clone()),
        _ => Touched::Every {
            range: range.clone(),
            step,
        },
    })?;
    let per_chunk = (CHUNK / size).max(1);
    let replier = Replier::new(ctx, binding.item);
    let reply = |chunk: &[u8]| replier.values(chunk.chunks_exact(size).map(Some));
    with_scratch(per_chunk * size, |scratch| {
        let mut read = |done: u64, chunk: &mut [u8]| {
            let from = range.start + done * step;
            if step == 1 {
                return view.read(from, chunk);
            }
            chunk
                .chunks_exact_mut(size)
                .zip(0..)
                .try_for_each(|(value, i)| view.read(from + i * step, value))
        };
        if values <= per_chunk as u64 {
            // Read before the reply begins, which then costs less, too: its length is known.
            let chunk = &mut scratch[..values as usize * size];
            read(0, chunk)?;
            ctx.reply_array(values as usize);
            reply(chunk);
            return Ok(());
        }
        let replies = ctx.reply_array_of_unknown_length();
        let mut replied = 0;
        while replied < values {
            let in_chunk = (values - replied).min(per_chunk as u64);
            let chunk = &mut scratch[..in_chunk as usize * size];
            if let Err(error) = read(replied, chunk) {
                // The reply has begun: it ends early, with the error as its last element.
                ctx.reply_failure(&error.into());
                replied += 1;
                break;
            }
            reply(chunk);
            replied += in_chunk;
        }
        replies.end(replied);
        Ok(())
    })
}
