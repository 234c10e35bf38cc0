//! A real server with the module loaded, in a directory of its own, and a client that shows replies exactly as they
//! came over the wire.

pub mod cache;
mod client;
pub mod disk;
pub mod interposer;
pub mod ledger;
pub mod mounts;
pub mod random;
mod server;

pub use client::{Client, Reply};
pub use server::{Server, Setup, module, piped, server_program};

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything waited for should ever take, so that a slow machine is not taken for a broken module.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, condition);
}

#[track_caller]
pub fn wait_at_most(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let mut patience = Patience::of(limit);
    while !condition() {
        assert!(!patience.is_over(), "waited {limit:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Has threads of a scope stop when it is dropped, also where a test fails: the scope would wait for them for ever.
pub struct StopAtEnd<'a>(pub &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long to wait for what should happen. Time for which the machine stood still (a virtual one that was paused, a closed
/// laptop) does not count, as nothing could happen then.
pub struct Patience {
    left: Duration,
    last_look: Instant,
}

impl Patience {
    pub fn of(limit: Duration) -> Self {
        Self {
            left: limit,
            last_look: Instant::now(),
        }
    }

    /// Called every few milliseconds while waiting.
    pub fn is_over(&mut self) -> bool {
        let since = self.last_look.elapsed();
        self.last_look += since;
        self.left = self.left.saturating_sub(since.min(Duration::from_secs(2)));
        self.left.is_zero()
    }
}

/// For what only some machines can do. In CI every test must run, so there a machine that cannot is a failure.
#[track_caller]
pub fn cannot_run(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "this machine cannot run the test: {why}"
    );
    eprintln!("SKIPPED: {why}");
}

pub fn file_len(path: impl AsRef<Path>) -> u64 {
    let path = path.as_ref();
    std::fs::metadata(path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .len()
}

/// What numpy's `tofile` and `struct.pack` write for these values.
pub fn doubles(values: impl IntoIterator<Item = f64>) -> Vec<u8> {
    values.into_iter().flat_map(f64::to_le_bytes).collect()
}

/// The last 64 bytes of a file of `file_len` bytes with slack, as docs/file.md describes them: of an array without values, and of
/// another boot.
pub fn record_of(file_len: u64) -> Vec<u8> {
    let mut record = [0; 64];
    record[..8].copy_from_slice(b"\x89MMAP\n\x01\0");
    record[8..12].copy_from_slice(&8_u32.to_le_bytes());
    record[16..24].copy_from_slice(&file_len.to_le_bytes());
    let checksum = crc32fast::hash(&[&record[..12], &record[16..40]].concat());
    record[12..16].copy_from_slice(&checksum.to_le_bytes());
    record.to_vec()
}

pub fn as_doubles(bytes: &[u8]) -> Vec<f64> {
    assert_eq!(bytes.len() % 8, 0, "a file of doubles has an odd tail");
    bytes
        .chunks_exact(8)
        .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
        .collect()
}
