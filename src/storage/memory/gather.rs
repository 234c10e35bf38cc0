//! Copying items from here and there.

use std::ptr;

/// Copies the item at each index, if there is one, into `out`.
///
/// # Safety
/// `items` must point at `count` mapped items of `size` bytes, which no Rust reference is into.
#[inline(always)]
pub unsafe fn gather(
    items: *const u8,
    count: u64,
    size: usize,
    indices: impl Iterator<Item = u64>,
    out: &mut [u8],
) {
    for (index, out) in indices.zip(out.chunks_exact_mut(size)) {
        if index < count {
            // SAFETY: by the caller's word; `out` is `size` bytes long.
            unsafe {
                let item = items.add(index as usize * size);
                ptr::copy_nonoverlapping(item, out.as_mut_ptr(), size);
            }
        }
    }
}
