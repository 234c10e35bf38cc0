//! Nothing that was acknowledged is lost when the server, the disk or the file fails. `MMAP_ROUNDS` makes the tests
//! longer, `MMAP_SEED` repeats one.

mod always;
mod crash;
mod fork;
mod full_disk;
mod overwrite;
mod trim;
mod truncation;
