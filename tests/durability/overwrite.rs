//! A value that was being overwritten when the server was killed is the old one or the new one, and a command that was
//! overwriting several has overwritten all of them or none.

use std::collections::BTreeSet;
use std::time::Duration;

use support::random::{Random, rounds};
use support::{Client, Server};

/// Bytes of all values that are filled, and of those that one command sets.
const FILLED: usize = 800_000;
const SET: usize = 4000;
/// How long a server is at work before it is killed, in microseconds.
const SOON: u64 = 5000;
const DIGITS: [&str; 2] = ["1", "9"];

/// Types whose values lie across words, across the pages of a file, or take more than a word.
const TYPES: [(&str, usize); 8] = [
    ("string 3", 3),
    ("string 7", 7),
    ("string 11", 11),
    ("string 15", 15),
    ("long_double", 16),
    ("string 17", 17),
    ("string 100", 100),
    ("string 5000", 5000),
];

/// A value of a type: as many digits as it has bytes, or as 15 of its 16 bytes can tell.
fn value(digit: &str, size: usize) -> String {
    digit.repeat(if size == 16 { 15 } else { size })
}

/// A server with an array whose values are to be overwritten.
struct Overwritten {
    db: Server,
    size: usize,
    count: usize,
}

impl Overwritten {
    fn new(words: &str, size: usize, bytes: usize) -> Self {
        let db = Server::setup()
            .config("appendonly", "yes")
            .config("appendfsync", "always")
            .start();
        assert_eq!(db.int(&format!("MMAP k f {words} WRITABLE")), 0);
        let (first, count) = (value(DIGITS[0], size), (bytes / size).max(1));
        let mut push = vec!["VPUSH", "k"];
        push.extend(std::iter::repeat_n(first.as_str(), count));
        assert_eq!(db.run(&push).int(), count as i64);
        Self { db, size, count }
    }

    /// Gives all values that digit, and says by which command.
    fn fill(&self, digit: &str) -> [String; 5] {
        let command = ["VFILL", "k", "0", "-1", &value(digit, self.size)].map(str::to_owned);
        assert_eq!(self.db.run(&command).int(), self.count as i64);
        command
    }

    fn bytes(&self) -> Vec<u8> {
        let bytes = self.db.ask("VGETRAW k 0 -1").bytes();
        assert_eq!(bytes.len(), self.count * self.size);
        bytes
    }

    fn values(&self) -> BTreeSet<Vec<u8>> {
        self.bytes().chunks(self.size).map(<[u8]>::to_vec).collect()
    }

    /// Kills the server while a client sends `batch` again and again, for up to `longest` microseconds and one millisecond.
    fn kill_meanwhile(&mut self, batch: &[u8], longest: u64, random: &mut Random) {
        let mut client = self.db.client();
        std::thread::scope(|scope| {
            // It always has more to do than it has done.
            scope.spawn(|| while client.try_send(batch).is_ok() {});
            std::thread::sleep(Duration::from_micros(1000 + random.below(longest)));
            self.db.kill_9();
        });
        self.db.start_again();
    }
}

/// Kills a server while a client fills an array again and again, so many times between its first value and its last.
fn kill_while_it_fills(words: &str, size: usize, kills: u64, random: &mut Random) {
    let mut array = Overwritten::new(words, size, FILLED);
    let (mut whole, mut batch) = (BTreeSet::new(), Vec::new());
    for digit in DIGITS {
        let fill = array.fill(digit);
        whole.extend(array.values());
        Client::encode(&mut batch, &fill);
    }
    assert_eq!(whole.len(), 2);
    let mut in_between = 0;
    for attempt in 1.. {
        assert!(
            attempt < 100 * kills,
            "it is never killed while it fills the array"
        );
        // On a busy machine the server may not have come to it so soon.
        array.kill_meanwhile(&batch, SOON * (1 + attempt / 50), random);
        let found = array.values();
        assert!(
            found.is_subset(&whole),
            "{words}: a value that no client sent is there: {found:?}"
        );
        in_between += u64::from(found.len() == 2);
        if in_between == kills {
            println!("{words}: {in_between} of {attempt} kills were in the middle");
            return;
        }
    }
}

/// Kills a server while a client overwrites all values by one command, again and again.
fn kill_while_it_sets(words: &str, size: usize, kills: u64, random: &mut Random) {
    let mut array = Overwritten::new(words, size, SET);
    let (mut whole, mut batch) = (BTreeSet::new(), Vec::new());
    for digit in DIGITS {
        array.fill(digit);
        let bytes = array.bytes();
        Client::encode(&mut batch, &[&b"VSETRAW"[..], b"k", b"0", &bytes]);
        whole.insert(bytes);
    }
    let mut seen = BTreeSet::new();
    for _ in 0..kills {
        array.kill_meanwhile(&batch, SOON, random);
        let found = array.bytes();
        assert!(
            whole.contains(&found),
            "{words}: half of a VSETRAW is there: {:?}",
            array.values()
        );
        seen.insert(found);
    }
    println!("{words}: {} of 2 were found", seen.len());
}

#[test]
fn an_overwritten_value_is_the_old_or_the_new_one() {
    let mut random = Random::new(support::random::seed());
    let kills = 8 * rounds(1);
    for (words, size) in TYPES {
        kill_while_it_fills(words, size, kills, &mut random);
    }
}

#[test]
fn a_command_that_overwrites_several_values_is_in_or_out() {
    let mut random = Random::new(support::random::seed());
    let kills = 30 * rounds(1);
    for (words, size) in TYPES {
        kill_while_it_sets(words, size, kills, &mut random);
    }
}
