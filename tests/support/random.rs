//! Chance that can be repeated.

use std::time::{Duration, Instant, SystemTime};

/// Numbers that follow from a seed.
pub struct Random(fastrand::Rng);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(fastrand::Rng::with_seed(seed))
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "the numbers never end, and a loop over them would not either"
    )]
    pub fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound)
    }

    /// A number below the length of something.
    pub fn index(&mut self, len: usize) -> usize {
        self.0.usize(..len)
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.index(all.len())]
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `MMAP_SEED`, or one of the clock's. A test that fails shows it, as all that it printed.
pub fn seed() -> u64 {
    let seed = number("MMAP_SEED")
        .unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    println!("MMAP_SEED={seed}");
    seed
}

/// `MMAP_ROUNDS`, or so many.
pub fn rounds(otherwise: u64) -> u64 {
    number("MMAP_ROUNDS").unwrap_or(otherwise)
}

/// Seeds, one for each episode of a long test, which are printed: `MMAP_SEED` repeats one. They are as many as
/// `MMAP_ROUNDS` says, or as begin within `MMAP_SECONDS`.
pub struct Episodes {
    next: u64,
    left: u64,
    until: Option<Instant>,
}

impl Episodes {
    /// So many where the environment says nothing.
    pub fn new(otherwise: u64) -> Episodes {
        let seconds = number("MMAP_SECONDS").map(Duration::from_secs);
        let is_repeated = number("MMAP_SEED").is_some();
        let otherwise = match (seconds, is_repeated) {
            (Some(_), _) => u64::MAX,
            (None, true) => 1,
            (None, false) => otherwise,
        };
        Episodes {
            next: seed(),
            left: rounds(otherwise),
            until: seconds.map(|seconds| Instant::now() + seconds),
        }
    }
}

impl Iterator for Episodes {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let is_over = self.until.is_some_and(|until| Instant::now() > until);
        if self.left == 0 || is_over {
            return None;
        }
        self.left -= 1;
        let seed = self.next;
        self.next = seed.wrapping_add(1);
        println!("MMAP_SEED={seed}");
        Some(seed)
    }
}
