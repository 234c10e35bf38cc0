//! A random workload of every command, with the link cut in the middle: primary, replica and its replica end the same.

use crate::pair::{Pair, assert_same, follow};
use crate::random::{Random, rounds, seed};
use crate::support::{Reply, Server};

const KEYS: [&str; 4] = ["doubles", "ints", "names", "second"];

/// Two writes that reach replicas as one transaction.
const SCRIPT: &str =
    "redis.call('VPUSH', KEYS[1], ARGV[1], ARGV[1]) return redis.call('VPOP', KEYS[1])";

fn value(random: &mut Random, key: &str) -> String {
    match key {
        "names" => format!("n{}", random.below(1000)),
        _ => random.below(1_000_000).to_string(),
    }
}

/// One command, as often as not a large one, so that files take on slack and lose it again.
fn command(random: &mut Random) -> Vec<String> {
    let key = *random.pick(&KEYS);
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    match random.below(12) {
        0..=4 => {
            let count = if random.once_in(10) { 2000 } else { 3 };
            let mut command = words(&["VPUSH", key]);
            command.extend((0..count).map(|_| value(random, key)));
            command
        }
        5 | 6 => {
            let mut command = words(&["VSET", key]);
            for _ in 0..random.below(4) + 1 {
                command.extend([random.below(30).to_string(), value(random, key)]);
            }
            command
        }
        7 | 8 => words(&["VPOP", key, &random.below(50).to_string()]),
        9 if random.once_in(20) => words(&["VCLEAR", key]),
        9 if random.once_in(3) => {
            let (from, to) = (random.below(20), random.below(200) + 20);
            words(&["VTRIM", key, &from.to_string(), &to.to_string()])
        }
        9 if key != "names" => words(&["VINCRBY", key, "0", "1", "3", "-2", "0", "1"]),
        10 if random.once_in(3) => words(&[
            "VFILL",
            key,
            &random.below(40).to_string(),
            "-1",
            &value(random, key),
        ]),
        10 if key == "ints" => words(&["VADDRAW", key, "abcdefgh"]),
        11 if key == "ints" => words(&["VSETRAW", key, &random.below(30).to_string(), "abcd"]),
        10 if random.once_in(10) => words(&["DEL", key]),
        11 if random.once_in(10) => words(&["EXPIRE", key, "0"]),
        10 if random.once_in(4) => words(&["RENAME", key, &format!("renamed:{key}")]),
        10 if random.once_in(4) => words(&["UNLINK", &format!("renamed:{key}")]),
        11 if random.once_in(4) => words(&["PERSIST", key]),
        11 if random.once_in(4) => words(&["EXPIRE", key, "1000"]),
        11 if random.once_in(4) => words(&["EVAL", SCRIPT, "1", key, &value(random, key)]),
        _ => words(&["VSIZE", key]),
    }
}

fn map(server: &Server) {
    for command in [
        "MMAP doubles dir/doubles.f64 double WRITABLE",
        "MMAP ints ints int32 WRITABLE",
        "MMAP names names string 9 WRITABLE",
        "MMAP second ints int32 WRITABLE",
    ] {
        let reply = server.ask(command);
        assert!(matches!(reply, Reply::Int(_)), "{command}: {reply}");
    }
}

#[test]
fn after_any_workload_with_link_cuts_both_are_the_same() {
    for round in 0..rounds(3) {
        let seed = seed().wrapping_add(round);
        println!("MMAP_SEED={seed}");
        let mut random = Random::new(seed);
        let pair = Pair::start();
        let last = Server::start();
        follow(&last, &pair.replica);
        std::fs::create_dir(pair.primary.path("dir")).unwrap();
        map(&pair.primary);
        let mut client = pair.primary.client();
        for i in 0..1500 {
            let reply = client.run(&command(&mut random));
            // An index may be out of range, and a key gone: then nothing happened, on both.
            if let Reply::Error(text) = &reply {
                assert!(
                    ["out of range", "no such key", "the new value"]
                        .iter()
                        .any(|part| text.contains(part)),
                    "{text}"
                );
            }
            match random.below(200) {
                0 => map(&pair.primary),
                1 => assert!(client.int("CLIENT KILL TYPE replica") <= 1),
                // Long enough for the backlog to be used, or too long for it.
                2 => assert!(pair.replica.int("CLIENT KILL TYPE master") <= 1),
                3 if i % 2 == 0 => {
                    assert_eq!(client.say("CONFIG SET repl-backlog-size 16384"), "OK");
                }
                4 => {
                    let fsync = *random.pick(&["always", "everysec", "no"]);
                    let server = *random.pick(&[&pair.primary, &pair.replica]);
                    assert_eq!(server.say(&format!("CONFIG SET mmap.fsync {fsync}")), "OK");
                }
                _ => {}
            }
        }
        map(&pair.primary);
        assert_same(&pair.primary, &pair.replica);
        assert_same(&pair.primary, &last);
    }
}
