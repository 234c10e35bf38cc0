//! Whether there is memory for what a command makes the server take. What the module takes itself may fail; see
//! `allocator.rs`.

use crate::redis::server::Failure;
use crate::storage::memory::available as memory;

/// For less than this, in bytes, it is not looked whether there is memory.
const LOOKED_AT: u64 = 1 << 20;
/// From this size on, what the machine and the server's cgroups have left is checked, too. That takes longer.
const LOOKED_AT_CLOSELY: u64 = 16 << 20;
/// What is to be left for the server when a command has taken its share, in bytes.
const RESERVE: u64 = 64 << 20;

/// Whether `bytes` of memory are available for an allocation that the server itself makes: there it would end itself if
/// there were none. To be asked before anything was written or replied.
///
/// # Errors
/// If there is not.
#[inline]
pub fn expect(bytes: u64) -> Result<(), Failure> {
    if is_little(bytes) {
        return Ok(());
    }
    look_for(bytes)
}

/// Whether it is not even looked whether there is so much.
#[inline]
pub fn is_little(bytes: u64) -> bool {
    bytes < LOOKED_AT
}

#[cold]
fn look_for(bytes: u64) -> Result<(), Failure> {
    let is_there =
        || bytes < LOOKED_AT_CLOSELY || memory::available().is_none_or(|there| bytes <= there);
    if memory::could_be_mapped(bytes.saturating_add(RESERVE)) && is_there() {
        return Ok(());
    }
    Err(none(bytes))
}

/// The failure of a command for which there is no memory.
pub fn none(bytes: u64) -> Failure {
    Failure::Message(format!(
        "there is no memory for this command: it takes about {bytes} bytes; ask for less at a time"
    ))
}
