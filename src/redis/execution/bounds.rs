//! How much one command may take: no reply and no buffer is longer than the longest string of a server.

use crate::redis::server::memory;
use crate::redis::server::{Failure, Outcome};
use crate::storage::types::ItemType;

/// What the values of one command, or of its reply, may take in the server's memory, in bytes.
pub const LARGEST: u64 = 512 << 20;
/// What the text of a number takes there at most, about, in bytes.
pub const NUMBER: u64 = 32;
/// What a bulk string takes there besides its bytes, about, in bytes.
const BULK: u64 = 16;

/// What a value of that type takes in a reply at most, about, in bytes.
#[inline]
pub fn in_reply(item: ItemType) -> u64 {
    NUMBER.max(item.size() as u64 + BULK)
}

/// Checks that a reply has room for `values`.
///
/// # Errors
/// If they take too much memory, or there is no memory for them.
pub fn expect_reply(values: u64, item: ItemType) -> Outcome {
    if memory::is_little(values.saturating_mul(in_reply(item))) {
        return Ok(());
    }
    let most = LARGEST / in_reply(item);
    if values > most {
        return Err(Failure::Message(format!(
            "a reply has at most {most} values of type {item}, not {values}: ask for a smaller range, \
             or for its bytes with VGETRAW"
        )));
    }
    memory::expect(values * in_reply(item))
}

/// Checks that a reply has room for `numbers`.
///
/// # Errors
/// As [`expect_reply`].
pub fn expect_numbers(numbers: u64) -> Outcome {
    let most = LARGEST / NUMBER;
    if numbers > most {
        return Err(Failure::Message(format!(
            "a reply has at most {most} numbers, not {numbers}: ask for fewer"
        )));
    }
    memory::expect(numbers * NUMBER)
}

/// As [`expect_reply`], where the values are also held in memory until the reply is there.
///
/// # Errors
/// As [`expect_reply`].
#[inline]
pub fn expect_buffered_reply(values: u64, item: ItemType) -> Outcome {
    let bytes = values.saturating_mul(in_reply(item) + item.size() as u64);
    if memory::is_little(bytes) {
        return Ok(());
    }
    expect_reply(values, item)?;
    memory::expect(bytes)
}

/// Checks that one command may write `values`.
///
/// # Errors
/// If they take too much memory, or there is no memory for them and for what replicas are told of them.
#[inline]
pub fn expect_values(values: usize, item: ItemType) -> Outcome {
    let bytes = values as u64 * item.size() as u64;
    if bytes > LARGEST {
        return Err(too_many_values(values, item));
    }
    // One copy is ours, one is in the words for the replicas, and one on its way to them.
    memory::expect(3 * bytes)
}

#[cold]
fn too_many_values(values: usize, item: ItemType) -> Failure {
    let most = LARGEST / item.size() as u64;
    Failure::Message(format!(
        "a command writes at most {most} values of type {item}, not {values}: nothing was written"
    ))
}
