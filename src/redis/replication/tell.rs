//! What replicas are told of a write.

use std::ops::Range;
use std::sync::Arc;

use crate::redis::mode::listening::is_listening;
use crate::redis::replication::message::{COMMAND, file_words};
use crate::redis::server::{Audience, Ctx, Named, Word};
use crate::redis::settings;
use crate::redis::store;
use crate::storage::{Array, Bound};

/// What a write did to an array, at the positions that its values had while it held the lock: another thread may have
/// dropped values from the head since.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// These are the last values now, up to a position.
    Appended { end: u64, bytes: &'a [u8] },
    /// From a position on, the values are these.
    Values { position: u64, bytes: &'a [u8] },
    /// The i-th index, counted from the position of the head, has the i-th value.
    Scattered {
        head: u64,
        indices: &'a [u64],
        bytes: &'a [u8],
    },
    /// A range of positions has one value.
    Filled {
        positions: &'a Range<u64>,
        value: &'a [u8],
    },
    /// Values were removed at the end: there are none from a position on.
    Shortened { end: u64 },
    /// Values were removed at the head.
    HeadDropped,
}

/// Tells replicas what a write did.
#[inline]
pub fn wrote(key: &Named<'_>, bound: &Bound, change: Change<'_>) {
    if is_listening() {
        tell(key, bound, change);
    } else if settings::counts_writes() {
        let name = Word::Bytes(key.name());
        key.ctx()
            .propagate(Audience::SnapshotOnly, COMMAND, &[name]);
    }
}

#[cold]
fn tell(key: &Named<'_>, bound: &Bound, change: Change<'_>) {
    let size = bound.item().size();
    let name = Word::Bytes(key.name());
    let mut words = vec![name];
    match change {
        Change::HeadDropped => return tell_head(key.ctx(), key.name(), bound),
        Change::Shortened { end } => words.extend([Word::Bytes(b"LENGTH/2"), Word::Number(end)]),
        Change::Appended { end, bytes } => words.extend([
            Word::Bytes(b"APPEND/2"),
            Word::Number(end - (bytes.len() / size) as u64),
            Word::Bytes(bytes),
        ]),
        Change::Filled { positions, value } => words.extend([
            Word::Bytes(b"REPEAT/2"),
            Word::Number(positions.start),
            Word::Number(positions.end - positions.start),
            Word::Bytes(value),
        ]),
        Change::Values { position, bytes } => words.extend([
            Word::Bytes(b"SET/2"),
            Word::Number(position),
            Word::Bytes(bytes),
        ]),
        Change::Scattered {
            head,
            indices,
            bytes,
        } => {
            words.push(Word::Bytes(b"SET/2"));
            for (&index, value) in indices.iter().zip(bytes.chunks_exact(size)) {
                words.extend([Word::Number(head + index), Word::Bytes(value)]);
            }
        }
    }
    key.ctx().propagate(Audience::Replicas, COMMAND, &words);
}

/// Tells replicas how many values were dropped from the head of an array so far.
pub fn tell_head(ctx: &Ctx, key: &[u8], array: &Array) {
    tell_of_file(ctx, key, b"HEAD/2", array, &[Word::Number(array.head())]);
}

/// Tells replicas something of a file, whatever key has it by then.
pub fn tell_of_file(ctx: &Ctx, key: &[u8], operation: &[u8], array: &Array, what: &[Word<'_>]) {
    if is_listening() {
        let words = file_words(key, operation, array.path(), what);
        ctx.propagate(Audience::Replicas, COMMAND, &words);
    }
}

/// Tells replicas that they have all of a long write.
pub fn announce_end(ctx: &Ctx, key: &[u8], array: &Arc<Array>) {
    // The path of one that is not bound any more may be that of another file by now.
    if !store().is_bound(array) {
        return;
    }
    array.set_unannounced(array.unannounced().saturating_sub(1));
    tell_of_file(ctx, key, b"END/2", array, &[]);
}
