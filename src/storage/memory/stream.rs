//! Copying from memory that is read once, at the speed of memory.
//!
//! What is copied stays in the first-level cache, to be worked on. While it is, the memory must not rest: so a copy also
//! asks for as many bytes behind its own, the next ones, which then are on their way. And it is made of vector instructions,
//! since `memcpy` uses `rep movsb` for such lengths, which here took twice as long.

use std::ptr;

use pulp::{Arch, Simd, WithSimd};

/// What a prefetch brings in, in bytes: a line of the caches.
const LINE: usize = 64;

/// Copies `len` bytes.
///
/// # Safety
/// As [`ptr::copy_nonoverlapping`]. What follows the bytes at `from` need not be mapped.
#[inline]
pub unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    Arch::new().dispatch(Copy { from, to, len });
}

struct Copy {
    from: *const u8,
    to: *mut u8,
    len: usize,
}

impl WithSimd for Copy {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { from, to, len } = self;
        let whole = len - len % (2 * LINE);
        // Two lines at a time: of a loop over one, the compiler would make a call of `memcpy`.
        for at in (0..whole).step_by(2 * LINE) {
            for at in [at, at + LINE] {
                prefetch(from.wrapping_add(len + at));
                // SAFETY: the line is within the bytes that the caller vouches for.
                unsafe { ptr::copy_nonoverlapping(from.add(at), to.add(at), LINE) };
            }
        }
        // SAFETY: what is left of the same bytes.
        unsafe { ptr::copy_nonoverlapping(from.add(whole), to.add(whole), len - whole) }
    }
}

/// Has the line of an address brought into the caches. It never faults.
#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, part of every x86-64, for which any address will do.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_alignment_is_copied_and_nothing_else() {
        let from: Vec<u8> = (0..2000_u32).map(|i| (i * 7) as u8).collect();
        for len in (0..600).chain([1023, 1024, 1500]) {
            for start in [0, 1, 8, 33] {
                let mut to = vec![0xee; len + 200];
                // SAFETY: both have the bytes, and are not the same memory.
                unsafe { copy(from[start..].as_ptr(), to[start..].as_mut_ptr(), len) };
                assert_eq!(
                    to[start..start + len],
                    from[start..start + len],
                    "{len} at {start}"
                );
                assert!(
                    to[..start]
                        .iter()
                        .chain(&to[start + len..])
                        .all(|&byte| byte == 0xee)
                );
            }
        }
    }
}
