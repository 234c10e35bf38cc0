//! Several clients on keys of one file: each value says who wrote it and when, so that a lost, doubled or phantom value
//! shows; also when the server is killed while they are at work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::count::Count;
use support::ledger::{APPENDERS, Ledger, ONE_MORE, Tag, appended, check_order};
use support::random::{Episodes, Random};
use support::{Client, Reply, Server};

const ROUNDS: usize = 4;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// One client, until it is over or the server is gone.
struct At<'a> {
    client: Client,
    random: Random,
    over: &'a AtomicBool,
    count: &'a Count,
}

impl At<'_> {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// The reply to a command that is good for the model; `None` if the server was killed.
    fn ask(&mut self, words: &[Vec<u8>]) -> Option<Reply> {
        let mut bytes = Vec::new();
        Client::encode(&mut bytes, words);
        self.client.try_send(&bytes).ok()?;
        let reply = self.client.try_receive().ok()?;
        self.count.command(&String::from_utf8_lossy(&words[0]), 1);
        Some(reply)
    }

    fn words(&mut self, name: &str, rest: &str) -> Vec<Vec<u8>> {
        let key = *self.random.pick(&KEYS);
        let words = [name, key].into_iter().chain(rest.split_whitespace());
        words.map(|word| word.as_bytes().to_vec()).collect()
    }

    /// The next number, and how many values more there may be.
    fn append(mut self, writer: u16, mut next: u32) -> (u32, u32) {
        while self.goes_on() {
            let most = *self.random.pick(&[1, 8, 600, 2000]);
            let values = 1 + self.random.below(most) as u32;
            let bytes = appended(writer, next..next + values);
            // Bytes are what most can be appended with in a time.
            let words = if !self.random.once_in(4) {
                let mut words = self.words("VADDRAW", "");
                words.push(bytes);
                words
            } else {
                let mut words = self.words("VPUSH", "");
                words.extend(
                    Tag::all(&bytes)
                        .iter()
                        .map(|tag| tag.value().to_string().into_bytes()),
                );
                words
            };
            match self.ask(&words) {
                Some(reply) => assert_eq!(reply, Reply::Int(values.into())),
                None => return (next, values),
            }
            next += values;
        }
        (next, 0)
    }

    /// What was popped, and how many values more may have been.
    fn pop(mut self) -> (Vec<Tag>, u64) {
        let mut popped = Vec::new();
        while self.goes_on() {
            let most = *self.random.pick(&[1, 10, 500]);
            let values = 1 + self.random.below(most);
            let words = self.words("VPOP", &values.to_string());
            let Some(reply) = self.ask(&words) else {
                return (popped, values);
            };
            popped.extend(reply.items().iter().map(tag));
        }
        (popped, 0)
    }

    /// How many values were dropped from the head, and how many more may have been.
    fn trim(mut self) -> (u64, u64) {
        let mut dropped = 0;
        while self.goes_on() {
            let most = *self.random.pick(&[1, 5, 300]);
            let values = 1 + self.random.below(most);
            let words = self.words("VTRIM", &format!("{values} -1"));
            match self.ask(&words) {
                Some(Reply::Int(values)) => dropped += values as u64,
                // Values that were to stay were removed, or appended too fast.
                Some(reply) => assert!(
                    reply.clone().error().contains("cannot be removed"),
                    "{reply}"
                ),
                None => return (dropped, values),
            }
        }
        (dropped, 0)
    }

    /// How often 1 was added to which, and how often that may have been more.
    fn add(mut self) -> (HashMap<(u16, u32), u16>, u64) {
        let mut added: HashMap<(u16, u32), u16> = HashMap::new();
        while self.goes_on() {
            let words = self.words("VSIZE", "");
            let Some(size) = self.ask(&words) else {
                return (added, 0);
            };
            let size = size.int() as u64;
            if size == 0 {
                continue;
            }
            let pairs = 1 + self.random.below(10);
            let pairs_of_words: Vec<String> = (0..pairs)
                .map(|_| format!("{} {ONE_MORE}", self.random.below(size)))
                .collect();
            let words = self.words("VINCRBY", &pairs_of_words.join(" "));
            match self.ask(&words) {
                Some(Reply::Array(items)) => {
                    for item in &items {
                        *added.entry(tag(item).key()).or_default() += 1;
                    }
                }
                Some(reply) => assert!(reply.clone().error().contains("out of range"), "{reply}"),
                None => return (added, pairs),
            }
        }
        (added, 0)
    }

    /// Reads all values, and looks for any that no client wrote.
    fn read(mut self) {
        while self.goes_on() {
            let words = match self.random.below(3) {
                0 => self.words("VGETRAW", "0 -1"),
                1 => self.words("VFIND", "0 -1 = 0"),
                _ => self.words("VAGG", "0 -1 COUNT MIN"),
            };
            let Some(reply) = self.ask(&words) else {
                return;
            };
            match reply {
                Reply::Bulk(bytes) => check_order(&Tag::all(&bytes)),
                // Too much of it was changed during the read.
                Reply::Error(text) => assert!(text.contains("was changed while"), "{text}"),
                Reply::Array(items) => match &items[..] {
                    [] | [Reply::Int(0), Reply::Nil] => {}
                    [Reply::Int(_), least] => assert!(tag(least).number > 0, "{least}"),
                    found => panic!("zeros at {found:?}"),
                },
                other => panic!("{other}"),
            }
        }
    }
}

fn tag(reply: &Reply) -> Tag {
    match reply {
        Reply::Int(n) => Tag::of(*n as u64),
        Reply::Bulk(digits) => Tag::of(std::str::from_utf8(digits).unwrap().parse().unwrap()),
        other => panic!("{other} is no value"),
    }
}

#[test]
fn values_of_several_writers_are_neither_lost_nor_doubled_nor_made_up() {
    let count = Count::default();
    for seed in Episodes::new(4) {
        let mut random = Random::new(seed);
        let slack = *random.pick(&["64kb", "64kb", "1mb", "1gb"]);
        let fsync = *random.pick(&["everysec", "no"]);
        let args = format!("max-slack {slack} fsync {fsync}");
        let mut db = Server::setup()
            .module_args(&args)
            .config("appendonly", "yes")
            .config("appendfsync", "always")
            .start();
        for key in KEYS {
            db.say(&format!("MMAP {key} f uint64 WRITABLE"));
        }
        let mut ledger = Ledger::new();
        for _ in 0..ROUNDS {
            let over = AtomicBool::new(false);
            let is_killed = random.once_in(2);
            let time = Duration::from_millis(200 + random.below(500));
            // Without the others, appends wait for growth more often while the head goes; and without pops, what is gone
            // can only be gone from there.
            let others = random.once_in(2);
            let pops = others && random.once_in(2);
            let mut at = || At {
                client: db.client(),
                random: Random::new(random.next()),
                over: &over,
                count: &count,
            };
            let appending: Vec<_> = (0..APPENDERS).map(|writer| (writer, at())).collect();
            let (popping, trimming, adding, reading) = (at(), at(), at(), at());
            std::thread::scope(|scope| {
                let appending: Vec<_> = appending
                    .into_iter()
                    .map(|(writer, at)| {
                        let next = ledger.next[usize::from(writer)];
                        scope.spawn(move || at.append(writer, next))
                    })
                    .collect();
                let popping = pops.then(|| scope.spawn(move || popping.pop()));
                let trimming = scope.spawn(move || trimming.trim());
                let adding = others.then(|| scope.spawn(move || adding.add()));
                let reading = others.then(|| scope.spawn(move || reading.read()));
                // A length of time, and no condition: all of it is spent on looking for faults.
                std::thread::sleep(time);
                if is_killed {
                    db.kill_9();
                    count.kill();
                }
                over.store(true, Ordering::Relaxed);
                for (writer, appending) in appending.into_iter().enumerate() {
                    let (next, perhaps) = appending.join().unwrap();
                    ledger.next[writer] = next;
                    ledger.perhaps_appended[writer] = perhaps;
                }
                if let Some(popping) = popping {
                    let (popped, perhaps) = popping.join().unwrap();
                    ledger.popped = popped;
                    ledger.perhaps_removed += perhaps;
                }
                let (dropped, perhaps) = trimming.join().unwrap();
                ledger.dropped = dropped;
                ledger.perhaps_removed += perhaps;
                if let Some(adding) = adding {
                    (ledger.added, ledger.perhaps_added) = adding.join().unwrap();
                }
                if let Some(reading) = reading {
                    reading.join().unwrap();
                }
            });
            if is_killed {
                db.start_again();
            }
            assert_eq!(db.say("VSYNC a"), "OK");
            let bytes = db.read("f");
            for key in KEYS {
                let found = db.run(&["VGETRAW", key, "0", "-1"]).bytes();
                assert!(
                    found == bytes,
                    "{key}: {}",
                    crate::file::difference(&found, &bytes)
                );
            }
            count.values(bytes.len() as u64 / 8);
            ledger.settle(&Tag::all(&bytes));
        }
        count.episode();
        assert!(!db.log().contains("panicked"), "{}", db.log());
    }
    count.print("several clients at one file");
}
