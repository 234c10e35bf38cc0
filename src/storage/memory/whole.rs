//! Stores over values such that each of them is the old one or the new one, whenever the process is killed.
//!
//! A process ends between two instructions. `memcpy` copies seven bytes by two stores of four, so that a `kill -9` between them
//! leaves a value that no one wrote. Here one instruction stores all of a value, of up to [`LONGEST`] bytes; what it stores
//! around the value stays as it is. No instruction of every processor stores more.

use std::ops::Range;
use std::ptr;

/// Longest value that is stored as a whole, in bytes.
pub(in crate::storage) const LONGEST: usize = 16;

/// No page is smaller, in bytes.
const PAGE: usize = 4096;

/// The addresses that [`copy`] touches for bytes at some: none outside their pages.
pub fn reach(bytes: Range<usize>) -> Range<usize> {
    bytes.start & !(PAGE - 1)..bytes.end.next_multiple_of(PAGE)
}

/// Copies values of `size` bytes over others. Values of more than [`LONGEST`] bytes may be left half old and half new.
///
/// # Safety
/// As of [`ptr::copy_nonoverlapping`] of `len` bytes. The pages at `to` must be mapped as a whole, and no other thread may store to
/// the [`LONGEST`] bytes around.
pub unsafe fn copy(from: *const u8, to: *mut u8, len: usize, size: usize) {
    // SAFETY: by the caller's word.
    unsafe {
        match size {
            1 | 2 | 4 | 8 | 16 => copy_powers(from, to, len, size),
            3 => copy_between::<4>(from, to, len, size),
            5..8 => copy_between::<8>(from, to, len, size),
            9..LONGEST => copy_between::<LONGEST>(from, to, len, size),
            _ => ptr::copy_nonoverlapping(from, to, len),
        }
    }
}

/// Values of a power of two bytes: what begins with a value ends with one.
///
/// # Safety
/// As [`copy`].
unsafe fn copy_powers(from: *const u8, to: *mut u8, len: usize, size: usize) {
    let in_longest = len - len % LONGEST;
    // SAFETY: by the caller's word.
    unsafe {
        for at in (0..in_longest).step_by(LONGEST) {
            store(to.add(at), from.add(at), LONGEST);
        }
        for at in (in_longest..len).step_by(size) {
            store(to.add(at), from.add(at), size);
        }
    }
}

/// Values of other sizes: each is stored with bytes of those around it, `WIDTH` in all.
///
/// # Safety
/// As [`copy`].
unsafe fn copy_between<const WIDTH: usize>(from: *const u8, to: *mut u8, len: usize, size: usize) {
    let others = WIDTH - size;
    for at in (0..len).step_by(size) {
        // Another page may have to come from the disk.
        let is_before_in_page = (to.addr() + at) % PAGE >= others;
        // SAFETY: by the caller's word; what lies around the value is in its pages, and if it is not the first, what lies before
        // it was stored just now.
        unsafe {
            match (is_before_in_page, at) {
                (true, 1..) => store(to.add(at - others), from.add(at - others), WIDTH),
                (true, 0) => store_among::<WIDTH>(to.sub(others), others, from, size),
                (false, _) => store_among::<WIDTH>(to.add(at), 0, from.add(at), size),
            }
        }
    }
}

/// Stores a value with the bytes around it as they are.
///
/// # Safety
/// As [`copy`]; at `to` there must be `WIDTH` bytes, and the value's place begins `offset` bytes behind that.
unsafe fn store_among<const WIDTH: usize>(
    to: *mut u8,
    offset: usize,
    value: *const u8,
    size: usize,
) {
    let mut word = [0; WIDTH];
    // SAFETY: by the caller's word.
    unsafe {
        ptr::copy_nonoverlapping(to, word.as_mut_ptr(), WIDTH);
        ptr::copy_nonoverlapping(value, word[offset..][..size].as_mut_ptr(), size);
        store(to, word.as_ptr(), WIDTH);
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
    use memmap2::MmapMut;
    use rustix::param::page_size;

    use super::*;
    use crate::storage::files::access::Access;
    use crate::storage::memory::guard;
    use crate::storage::memory::mapping::Mapping;

    #[test]
    fn values_of_every_size_are_copied_and_nothing_else_changes() {
        let from: Vec<u8> = (0..20_000_u32).map(|i| (i * 7) as u8).collect();
        let mut pages = MmapMut::map_anon(5 * PAGE).unwrap();
        for size in 1..40 {
            for count in [1, 2, 3, 7, 64, 300] {
                let len = size * count;
                let aligned = PAGE - PAGE % size;
                for start in [0, size, 5 * size, 20 * size, aligned - size, aligned] {
                    pages.fill(0xee);
                    // SAFETY: all has its place, and the pages are this thread's.
                    unsafe { copy(from.as_ptr(), pages[start..].as_mut_ptr(), len, size) };
                    let what = format!("{count} of {size} at {start}");
                    assert_eq!(pages[start..][..len], from[..len], "{what}");
                    let begin = pages.as_ptr().addr();
                    let reach = reach(begin + start..begin + start + len);
                    assert!(reach.start >= begin && reach.end <= begin + pages.len());
                    let mut around = pages[..start].iter().chain(&pages[start + len..]);
                    assert!(around.all(|&byte| byte == 0xee), "{what}");
                }
            }
        }
    }

    #[test]
    fn a_page_that_was_cut_off_is_an_error_wherever_in_it_a_value_lies() {
        guard::install().unwrap();
        let page = page_size() as u64;
        for size in [1_u64, 3, 7, 8, 11, 15, 16] {
            for at in [page, page + 1, page + size, page - 1, 2 * page - size] {
                let file = tempfile::tempfile().unwrap();
                file.set_len(2 * page).unwrap();
                let map = Mapping::covering(&file, 2 * page, Access::Writable).unwrap();
                file.set_len(page).unwrap();
                let value = vec![1; size as usize];
                let written = map.overwrite(at, &value, value.len());
                let is_behind = at + size > page;
                assert_eq!(written.is_err(), is_behind, "{size} bytes at {at}");
            }
        }
    }
}
