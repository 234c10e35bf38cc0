//! SIGKILL during `VTRIM`: the array is the old one, the new one, or (where both ends were to go) the old one
//! without its tail.

use std::time::Duration;

use support::random::{Random, rounds, seed};
use support::{Server, as_doubles};

#[test]
fn a_killed_trim_leaves_the_old_array_or_the_new_one() {
    let (rounds, seed) = (rounds(20), seed());
    let mut random = Random::new(seed);
    let mut outcomes = [0; 3];
    let mut db = Server::setup().config("appendonly", "yes").start();
    let mut model: Vec<f64> = Vec::new();
    let mut next = 0.0;
    let path = if random.once_in(2) { "f" } else { "f.npy" };
    db.say(&format!("MMAP db {path} double WRITABLE"));
    for round in 0..rounds {
        while model.len() < 2_000_000 {
            let block: Vec<f64> = (0..100_000).map(|i| next + f64::from(i)).collect();
            next += 100_000.0;
            let bytes: Vec<u8> = block.iter().flat_map(|n| n.to_le_bytes()).collect();
            db.run(&[&b"VADDRAW"[..], b"db", &bytes]);
            model.extend(block);
        }
        let head = random.below(model.len() as u64 / 2) as usize;
        let tail = random.below(2) as usize * random.below(1000) as usize;
        let stop = -1 - tail as i64;
        let mut client = db.client();
        client.send(&["VTRIM", "db", &head.to_string(), &stop.to_string()]);
        // A random moment, which is what this test is about.
        std::thread::sleep(Duration::from_micros(random.below(25_000)));
        db.kill_9();
        db.start_again();
        let found = as_doubles(&db.run(&["VGETRAW", "db", "0", "-1"]).bytes());
        let shorter = model.len() - tail;
        let outcome = [&model[..], &model[..shorter], &model[head..shorter]]
            .iter()
            .position(|&expected| found == expected);
        let Some(outcome) = outcome else {
            panic!(
                "seed {seed}, round {round}: {} values are neither all {}, nor without the last {tail}, nor without the first {head}, too",
                found.len(),
                model.len()
            );
        };
        outcomes[outcome] += 1;
        model = found;
        let expected_len = model.len() * 8 + if path == "f" { 0 } else { 128 };
        assert_eq!(db.file_len(path), expected_len as u64, "seed {seed}");
    }
    println!("{rounds} kills, seed {seed}: {outcomes:?} old, without its tail, new");
}
