//! Memory for values on their way from a file to a reply, kept from one command to the next.

use std::cell::RefCell;

use crate::redis::server::Failure;
use crate::redis::server::memory;

/// A buffer that served a large command is given back when it is longer than this, in bytes.
const KEPT: usize = 1 << 20;

/// So few bytes are on the stack.
const ON_STACK: usize = 128;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Hands `len` bytes to `then`; what is in them is left over from another command.
///
/// # Errors
/// If there is no such memory, or as `then`.
pub fn with_scratch<R>(
    len: usize,
    then: impl FnOnce(&mut [u8]) -> Result<R, Failure>,
) -> Result<R, Failure> {
    if len <= ON_STACK {
        return then(&mut [0; ON_STACK][..len]);
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch
                .try_reserve_exact(len - scratch.len())
                .map_err(|_| memory::none(len as u64))?;
            scratch.resize(len, 0);
        }
        let result = then(&mut scratch[..len]);
        if scratch.capacity() > KEPT {
            *scratch = Vec::new();
        }
        result
    })
}
