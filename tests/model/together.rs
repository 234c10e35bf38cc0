//! Several clients on keys of one file: each value says who wrote it and when, so that a lost, doubled or phantom value shows.

use std::sync::atomic::{AtomicBool, Ordering};

use support::Server;
use support::random::Random;
use support::random::{rounds, seed};

const WRITERS: u64 = 3;
const APPENDS: u64 = 60;

#[test]
fn values_of_several_writers_are_neither_lost_nor_doubled_nor_made_up() {
    let seed = seed();
    for round in 0..rounds(20) {
        println!("MMAP_SEED={seed}, round {round}");
        let mut random = Random::new(seed ^ round);
        let slack = *random.pick(&["64kb", "1mb", "1gb"]);
        let db = Server::setup()
            .module_args(&format!("max-slack {slack}"))
            .start();
        let keys = ["a", "b", "c"];
        for key in keys {
            db.say(&format!("MMAP {key} f int64 WRITABLE"));
        }
        let done = AtomicBool::new(false);
        let mut trimmer = db.client();
        let clients: Vec<_> = (0..WRITERS)
            .map(|writer| (writer, db.client(), random.next()))
            .collect();
        let dropped = std::thread::scope(|scope| {
            let writers: Vec<_> = clients
                .into_iter()
                .map(|(writer, mut client, seed)| {
                    scope.spawn(move || {
                        let mut random = Random::new(seed);
                        let mut next = 0;
                        for _ in 0..APPENDS {
                            let count = 1 + random.below(2000);
                            let bytes: Vec<u8> = (next..next + count)
                                .flat_map(|sequence| ((writer + 1) << 40 | sequence).to_le_bytes())
                                .collect();
                            next += count;
                            let key = *random.pick(&["a", "b", "c"]);
                            let added =
                                client.run(&[&b"VADDRAW"[..], key.as_bytes(), &bytes]).int();
                            assert_eq!(added as u64, count);
                        }
                        next
                    })
                })
                .collect();
            let done = &done;
            let trims = scope.spawn(move || {
                let mut dropped = 0;
                while !done.load(Ordering::Relaxed) {
                    dropped += trimmer.int("VTRIM b 1 -1");
                }
                dropped as u64
            });
            let written: Vec<u64> = writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect();
            done.store(true, Ordering::Relaxed);
            (written, trims.join().unwrap())
        });
        let (written, dropped) = dropped;
        assert_eq!(db.say("VSYNC a"), "OK");
        let bytes = db.read("f");
        let values: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|b| u64::from_le_bytes(b.try_into().unwrap()))
            .collect();
        assert_eq!(values.len() as u64 + dropped, written.iter().sum::<u64>());
        assert_eq!(db.run(&["VGETRAW", "c", "0", "-1"]).bytes(), bytes);
        // What is left of each writer is the end of what it wrote, without a gap.
        for (writer, written) in (0..).zip(written) {
            let left: Vec<u64> = values
                .iter()
                .filter(|&v| v >> 40 == writer + 1)
                .map(|v| v & ((1 << 40) - 1))
                .collect();
            let expected: Vec<u64> = (written - left.len() as u64..written).collect();
            assert!(
                left == expected,
                "writer {writer}: {} values are left of {written}",
                left.len()
            );
        }
        assert!(
            values.iter().all(|v| (1..=WRITERS).contains(&(v >> 40))),
            "a value that nobody wrote"
        );
    }
}
