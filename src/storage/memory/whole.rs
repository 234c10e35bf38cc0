//! Stores over values such that each of them is the old one or the new one, whenever the process is killed.
//!
//! A process ends between two instructions. `memcpy` copies seven bytes by two stores of four, so that a `kill -9` between them
//! leaves a value that no one wrote. Here one instruction stores all of a value, of up to [`LONGEST`] bytes; what it stores
//! around the value stays as it is. No instruction of every processor stores more.

use std::ptr;

use crate::storage::memory::stream;

/// Longest value that is stored as a whole, in bytes.
pub(in crate::storage) const LONGEST: usize = 16;

/// Copies values of `size` bytes over others. Values of more than [`LONGEST`] bytes may be left half old and half new.
///
/// # Safety
/// As of [`ptr::copy_nonoverlapping`] of `len` bytes. Of the memory at `to` the `before` bytes before it must be mapped too, and
/// if these are fewer than [`LONGEST`], as many from `to` on. No other thread may store to them.
#[inline(always)]
pub unsafe fn copy(from: *const u8, to: *mut u8, len: usize, size: usize, before: usize) {
    // SAFETY: by the caller's word.
    unsafe {
        match (size, len) {
            // What is stored most.
            (8, 8) => to
                .cast::<u64>()
                .write_unaligned(from.cast::<u64>().read_unaligned()),
            (1 | 2 | 4 | 8 | 16, _) => copy_powers(from, to, len, size),
            (..LONGEST, _) => copy_between(from, to, len, size, before),
            _ => ptr::copy_nonoverlapping(from, to, len),
        }
    }
}

/// Values of a power of two bytes: a vector that begins with a value ends with one.
///
/// # Safety
/// As [`copy`].
unsafe fn copy_powers(from: *const u8, to: *mut u8, len: usize, size: usize) {
    let in_vectors = len - len % stream::AT_ONCE;
    // SAFETY: by the caller's word.
    unsafe {
        stream::copy(from, to, in_vectors);
        for at in (in_vectors..len).step_by(size) {
            store(to.add(at), from.add(at), size);
        }
    }
}

/// Values that lie across words: each is stored with bytes of those around it.
///
/// # Safety
/// As [`copy`].
unsafe fn copy_between(from: *const u8, to: *mut u8, len: usize, size: usize, before: usize) {
    let width = size.next_power_of_two();
    let mut word = [0; LONGEST];
    for at in (0..len).step_by(size) {
        // Those before the value, which are there, as long as there are as many.
        let left = if before + at + size >= width {
            width - size
        } else {
            0
        };
        // SAFETY: by the caller's word, `width` bytes that begin before the value or with it are mapped.
        unsafe {
            let to = to.add(at).sub(left);
            ptr::copy_nonoverlapping(to, word.as_mut_ptr(), width);
            ptr::copy_nonoverlapping(from.add(at), word[left..].as_mut_ptr(), size);
            store(to, word.as_ptr(), width);
        }
    }
}

/// Stores a power of two bytes, up to [`LONGEST`], by one instruction.
///
/// # Safety
/// As of [`ptr::copy_nonoverlapping`].
#[inline(always)]
unsafe fn store(to: *mut u8, from: *const u8, width: usize) {
    // SAFETY: by the caller's word.
    unsafe {
        match width {
            1 => to.write(from.read()),
            2 => to
                .cast::<u16>()
                .write_unaligned(from.cast::<u16>().read_unaligned()),
            4 => to
                .cast::<u32>()
                .write_unaligned(from.cast::<u32>().read_unaligned()),
            8 => to
                .cast::<u64>()
                .write_unaligned(from.cast::<u64>().read_unaligned()),
            _ => store_16(to, from),
        }
    }
}

/// The compiler makes two stores of a `u128`.
///
/// # Safety
/// As of [`ptr::copy_nonoverlapping`] of sixteen bytes.
#[inline(always)]
unsafe fn store_16(to: *mut u8, from: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: by the caller's word; SSE2 is part of every x86-64.
    unsafe {
        use std::arch::x86_64::{_mm_loadu_si128, _mm_storeu_si128};
        _mm_storeu_si128(to.cast(), _mm_loadu_si128(from.cast()));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: by the caller's word; NEON is part of every aarch64 that Linux runs on.
    unsafe {
        use std::arch::aarch64::{vld1q_u8, vst1q_u8};
        vst1q_u8(to, vld1q_u8(from));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    // SAFETY: by the caller's word.
    unsafe {
        ptr::copy_nonoverlapping(from, to, 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_size_are_copied_and_nothing_else_changes() {
        let from: Vec<u8> = (0..20_000_u32).map(|i| (i * 7) as u8).collect();
        for size in 1..40 {
            for count in [1, 2, 3, 7, 64, 300] {
                for start in [0, 1, 2, 5, 20].map(|values| values * size) {
                    let len = size * count;
                    let mut to = vec![0xee; start + len + LONGEST];
                    let to_values = to[start..].as_mut_ptr();
                    // SAFETY: both have the bytes, and `to` those around them.
                    unsafe { copy(from.as_ptr(), to_values, len, size, start) };
                    assert_eq!(
                        to[start..][..len],
                        from[..len],
                        "{count} of {size} at {start}"
                    );
                    let mut around = to[..start].iter().chain(&to[start + len..]);
                    assert!(
                        around.all(|&byte| byte == 0xee),
                        "{count} of {size} at {start}"
                    );
                }
            }
        }
    }
}
