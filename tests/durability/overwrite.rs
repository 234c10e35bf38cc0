//! A value that was being overwritten when the server was killed is the old one or the new one.

use std::collections::BTreeSet;
use std::time::Duration;

use support::random::{Random, rounds};
use support::{Client, Server};

const COUNT: usize = 50_000;
const VALUES: [&str; 2] = ["111111111111111", "999999999999999"];

/// Types whose values lie across words, across the pages of a file, or take two words.
const TYPES: [(&str, usize); 5] = [
    ("string 3", 3),
    ("string 7", 7),
    ("string 11", 11),
    ("string 15", 15),
    ("long_double", 16),
];

/// Kills a server while a client fills an array again and again, so many times between its first value and its last.
fn kill_while_it_fills(words: &str, size: usize, kills: u64, random: &mut Random) {
    let mut db = Server::setup()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .start();
    let value = |digits: &'static str| &digits[..size.min(digits.len())];
    assert_eq!(db.int(&format!("MMAP k f {words} WRITABLE")), 0);
    let mut push = vec!["VPUSH", "k"];
    push.extend([value(VALUES[0]); COUNT]);
    assert_eq!(db.run(&push).int(), COUNT as i64);
    let known = |bytes: Vec<u8>| -> BTreeSet<Vec<u8>> {
        assert_eq!(bytes.len(), COUNT * size);
        bytes.chunks(size).map(<[u8]>::to_vec).collect()
    };
    let mut whole = BTreeSet::new();
    for digits in VALUES {
        assert_eq!(
            db.int(&format!("VFILL k 0 -1 {}", value(digits))),
            COUNT as i64
        );
        whole.extend(known(db.ask("VGETRAW k 0 -1").bytes()));
    }
    assert_eq!(whole.len(), 2);
    let mut batch = Vec::new();
    for digits in VALUES {
        Client::encode(&mut batch, &["VFILL", "k", "0", "-1", value(digits)]);
    }
    let mut in_between = 0;
    for attempt in 1.. {
        assert!(
            attempt < 100 * kills,
            "it is never killed while it fills the array"
        );
        let mut client = db.client();
        std::thread::scope(|scope| {
            // It always has more to do than it has done.
            scope.spawn(|| while client.try_send(&batch).is_ok() {});
            std::thread::sleep(Duration::from_micros(1000 + random.below(5000)));
            db.kill_9();
        });
        db.start_again();
        let found = known(db.ask("VGETRAW k 0 -1").bytes());
        assert!(
            found.is_subset(&whole),
            "{words}: a value that no client sent is there: {found:?}"
        );
        in_between += u64::from(found.len() == 2);
        if in_between == kills {
            println!("{words}: {kills} of {attempt} kills were in the middle");
            return;
        }
    }
}

#[test]
fn an_overwritten_value_is_the_old_or_the_new_one() {
    let mut random = Random::new(support::random::seed());
    let kills = 8 * rounds(1);
    for (words, size) in TYPES {
        kill_while_it_fills(words, size, kills, &mut random);
    }
}
