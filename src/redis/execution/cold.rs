//! Values that are not in RAM: their client waits for them, not the server.

use std::ops::Range;

use crate::redis::server::{Ctx, Failure, Outcome};
use crate::redis::store;
use crate::storage::cold::touched::{Cold, Touched};
use crate::storage::settings::ColdReads;
use crate::storage::{Bound, Fsync, View};

/// Looks, before a command touches values, whether they are in RAM. `touched` is asked only where some may be elsewhere.
///
/// # Errors
/// [`Failure::Cold`], with which the command is to end: it is run again when they are there. Where a client cannot be
/// kept waiting (`MULTI`, scripts) the command goes on, and reads them while the server waits.
#[inline(always)]
pub fn expect_in_ram(
    ctx: &Ctx,
    bound: &Bound,
    view: &mut View<'_>,
    touched: impl FnOnce() -> Touched,
) -> Outcome {
    if bound.is_doubted() {
        look(ctx, bound, view, touched())
    } else {
        Ok(())
    }
}

/// [`expect_in_ram`] for a command that writes in place. With `mmap.fsync always` its client waits for the disk
/// afterwards, and a client can be kept waiting once: then the server waits for the page.
///
/// # Errors
/// As [`expect_in_ram`].
#[inline]
pub fn expect_in_ram_for_writing(
    ctx: &Ctx,
    bound: &Bound,
    touched: impl FnOnce(u64) -> Touched,
) -> Outcome {
    if !bound.is_doubted() || store().settings().fsync() == Fsync::Always {
        return Ok(());
    }
    let mut view = bound.view()?;
    let touched = touched(view.count());
    look(ctx, bound, &mut view, touched)
}

#[cold]
fn look(ctx: &Ctx, bound: &Bound, view: &mut View<'_>, touched: Touched) -> Outcome {
    if are_in_ram(ctx, view, &touched) || !ctx.may_block() {
        return Ok(());
    }
    let array = bound.share();
    Err(Failure::Cold(Box::new(Cold { array, touched })))
}

/// Whether a command that others can carry out is to be left to them, as some of its values are not in RAM.
#[inline]
pub fn must_wait(ctx: &Ctx, bound: &Bound, view: &mut View<'_>, range: &Range<u64>) -> bool {
    let must = bound.is_doubted()
        && !are_in_ram(ctx, view, &Touched::Range(range.clone()))
        && ctx.may_block();
    if must {
        store().stats().cold_waits.add_one();
    }
    must
}

/// Whether a command may touch values without waiting for a disk, as far as that matters to it.
#[cold]
fn are_in_ram(ctx: &Ctx, view: &mut View<'_>, touched: &Touched) -> bool {
    if ctx.ends_wait()
        || store().settings().cold_reads() == ColdReads::Inline
        || view.has_in_ram(touched)
    {
        return true;
    }
    store().stats().cold_reads.add_one();
    false
}
