//! Page faults that waited for a disk.

use std::mem::MaybeUninit;

/// Page faults for which this thread waited for a disk.
pub(in crate::storage) fn major_faults() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it points at a structure of the right type, of integers, for which zero is a value.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_majflt.cast_unsigned()
}
