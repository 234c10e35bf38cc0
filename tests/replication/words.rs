//! A primary that is broken or hostile, over a real link: it sends valid commands mixed with damaged ones. The replica must
//! survive and read them all. Arrays that got valid commands only hold the right values; all others answer with values that
//! were sent for them, or with an error.
//!
//! `MMAP_ROUNDS` says how many rounds there are, `MMAP_SEED` with which chance.

use std::collections::HashSet;

use crate::hostile::Primary;
use support::random::{Random, rounds, seed};
use support::{Reply, Server};

/// How many rounds there are in CI.
const ROUNDS: u64 = 1000;
/// Words of a round.
const WORDS: u64 = 40;

/// What stands where it means something else, or nothing.
const NONSENSE: &[&str] = &[
    "",
    "-1",
    "1e3",
    "\0",
    "x",
    "AGAIN",
    "FILLING",
    "SHARED",
    "EMPTY",
    "READONLY",
    "WRITABLE",
    "string",
    "int8",
    "16",
    "0",
    "fc",
    "fd",
    "fe",
    "../f",
    "/etc",
    "fc/x",
    "c",
    "d",
    "e",
    "nokey",
    "18446744073709551616",
];

/// Of today, of versions 0.1.0 and 0.2.0, and of none.
const OPERATIONS: &[&str] = &[
    "BIND", "SET", "REPEAT", "LENGTH", "FILL", "FILLED", "HEAD", "BIND/2", "APPEND/2", "SET/2",
    "REPEAT/2", "LENGTH/2", "FILL/2", "FILLED/2", "REFILL/2", "HEAD/2", "FAILED/2", "BEGIN/2",
    "END/2", "HOLDS/2", "ONLINE/2", "APPEND/3", "/2", "NOTHING",
];

type Words = Vec<Vec<u8>>;

fn word(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn number(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// An array of doubles, as a primary has it.
struct Array {
    key: &'static str,
    path: &'static str,
    head: u64,
    values: Vec<f64>,
}

impl Array {
    fn new(key: &'static str, path: &'static str) -> Array {
        Array {
            key,
            path,
            head: 0,
            values: Vec::new(),
        }
    }

    fn end(&self) -> u64 {
        self.head + self.values.len() as u64
    }

    /// `VREPLICATE key operation`, and arguments.
    fn words(&self, operation: &str, args: &[Vec<u8>]) -> Words {
        let mut words = vec![word("VREPLICATE"), word(self.key), word(operation)];
        words.extend_from_slice(args);
        words
    }

    fn bind(&self) -> Words {
        let args = [
            word(self.path),
            word("double"),
            word("8"),
            word("WRITABLE"),
            word("0"),
            word("0"),
            word("EMPTY"),
            vec![1; 40],
        ];
        self.words("BIND/2", &args)
    }

    fn bytes(&self, from: usize, len: usize) -> Vec<u8> {
        let values = &self.values[from..from + len];
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    }

    /// Changes the array, and says how a primary tells of it.
    fn change(&mut self, random: &mut Random, chance: &mut Values) -> Vec<Words> {
        let len = self.values.len() as u64;
        let few = 1 + random.below(9);
        match random.below(11) {
            0..=2 => {
                let position = self.end();
                self.values.extend((0..few).map(|_| chance.next()));
                let bytes = self.bytes(len as usize, few as usize);
                vec![self.words("APPEND/2", &[number(position), bytes])]
            }
            3 | 4 if len > 0 => {
                let mut args = Vec::new();
                for _ in 0..1 + random.below(3) {
                    let index = random.below(len) as usize;
                    self.values[index] = chance.next();
                    args.push(number(self.head + index as u64));
                    args.push(self.bytes(index, 1));
                }
                vec![self.words("SET/2", &args)]
            }
            5 => {
                let start = random.below(len + 1);
                let value = chance.next();
                self.values
                    .resize(self.values.len().max((start + few) as usize), 0.0);
                self.values[start as usize..(start + few) as usize].fill(value);
                let args = [
                    number(self.head + start),
                    number(few),
                    value.to_le_bytes().to_vec(),
                ];
                vec![self.words("REPEAT/2", &args)]
            }
            6 if len > 4 => {
                self.values.truncate((len - few.min(len)) as usize);
                vec![self.words("LENGTH/2", &[number(self.end())])]
            }
            7 if len > 20 => {
                self.values.drain(..few as usize);
                self.head += few;
                vec![self.words("HEAD/2", &[word(self.path), number(self.head)])]
            }
            8 => {
                let writes = [word(self.path)];
                vec![self.words("BEGIN/2", &writes), self.words("END/2", &writes)]
            }
            9 => {
                let all = [word(self.path), number(self.head), number(self.end())];
                vec![self.words("HOLDS/2", &all)]
            }
            10 => {
                let half = self.values.len() / 2;
                let path = || word(self.path);
                let fill = |from: usize, len| {
                    let position = number(self.head + from as u64);
                    self.words("FILL/2", &[path(), position, self.bytes(from, len)])
                };
                vec![
                    self.words("REFILL/2", &[path(), number(self.head), word("0")]),
                    fill(0, half),
                    fill(half, self.values.len() - half),
                    self.words("FILLED/2", &[path(), number(self.end())]),
                ]
            }
            _ => Vec::new(),
        }
    }
}

/// Values of which each comes once, and none is 0.
struct Values(u64);

impl Values {
    fn next(&mut self) -> f64 {
        self.0 += 1;
        self.0 as f64
    }
}

/// Damages one of the words, or their order. Arrays of which only the truth is told are never named: their names are too long for
/// chance.
fn damage(random: &mut Random, words: &mut Words) {
    for _ in 0..=random.below(2) {
        let at = 1 + random.below(words.len() as u64 - 1) as usize;
        match random.below(9) {
            0 => words.truncate(at.max(3)),
            1 if words.len() > 3 => drop(words.remove(at)),
            2 => {
                let copy = words[at].clone();
                words.insert(at, copy);
            }
            3 => {
                let other = 1 + random.below(words.len() as u64 - 1) as usize;
                words.swap(at, other);
            }
            4 => {
                let shift = random.below(64);
                let around = (1_u64 << shift)
                    .wrapping_add(random.below(3))
                    .wrapping_sub(1);
                let small = random.below(100);
                words[at] = number(*random.pick(&[around, around, small, u64::MAX]));
            }
            5 => {
                let nonsense = random.pick(NONSENSE);
                words[at] = word(nonsense);
            }
            6 => {
                let operation = random.pick(OPERATIONS);
                words[2] = word(operation);
            }
            7 => {
                let len = random.below(words[at].len() as u64 + 1) as usize;
                words[at].truncate(len);
            }
            _ => {
                let len = *random.pick(&[1, 7, 8, 9, 64, 100_000]);
                words[at] = (0..len).map(|_| random.next() as u8).collect();
            }
        }
    }
}

/// The values that words may have set somewhere, as they lie in a file.
fn note_sent(words: &Words, sent: &mut HashSet<[u8; 8]>) {
    for word in &words[3..] {
        sent.extend(
            word.chunks_exact(8)
                .map(|value| <[u8; 8]>::try_from(value).unwrap()),
        );
    }
}

/// What damaged words may have come to: an error, or values that came; zeros only where a `BIND` or another type may be. Says how
/// many values there are.
fn check_damaged(
    replica: &Server,
    key: &str,
    sent: &HashSet<[u8; 8]>,
    story: &dyn Fn(&Server) -> String,
) -> usize {
    if replica.say(&format!("VTYPE {key}")) != "double" {
        return 0;
    }
    let size = replica.ask(&format!("VSIZE {key}"));
    if size.is_error() || size.int() > 20_000 {
        return 0;
    }
    let raw = replica.ask(&format!("VGETRAW {key} 0 -1"));
    if raw.is_error() {
        return 0;
    }
    let bytes = raw.bytes();
    for value in bytes.chunks_exact(8) {
        assert!(
            sent.contains(value),
            "{key} has {}, which never came\n{}",
            value.escape_ascii(),
            story(replica)
        );
    }
    bytes.len() / 8
}

#[test]
fn a_replica_outlives_damaged_words_and_tells_nothing_but_what_came() {
    let (seed, rounds) = (seed(), rounds(ROUNDS));
    println!("MMAP_SEED={seed}");
    let mut random = Random::new(seed);
    let mut values = Values(0);
    // So that a number that could be right takes no disk.
    let replica = Server::setup().launched_by(&["prlimit", "--fsize=33554432"]);
    let mut primary = Primary::of(replica);
    let (mut done, mut compared, mut again, mut damaged) = (0_u64, 0_u64, 0_u64, 0);
    while done < rounds {
        done += 1;
        let mut told = Vec::new();
        let mut sent = HashSet::new();
        let mut arrays = [
            Array::new("told-1", "f-told-1"),
            Array::new("told-2", "f-told-2"),
            Array::new("c", "fc"),
            Array::new("d", "fd"),
        ];
        told.push(vec![word("FLUSHALL")]);
        told.extend(arrays.iter().map(Array::bind));
        let mut makes_zeros = false;
        for _ in 0..WORDS {
            let which = random.below(4) as usize;
            for mut words in arrays[which].change(&mut random, &mut values) {
                if which >= 2 && random.once_in(2) {
                    if random.once_in(4) {
                        words = arrays[which].bind();
                    }
                    damage(&mut random, &mut words);
                    // A binding may be of as many zeros as it says.
                    makes_zeros |= words[2].starts_with(b"BIND");
                }
                note_sent(&words, &mut sent);
                told.push(words);
            }
        }
        if makes_zeros {
            sent.insert([0; 8]);
        }
        let story = |replica: &Server| story(done, seed, &told, replica);
        let mut is_there = told.iter().all(|words| primary.try_send(words).is_ok());
        is_there &= primary.try_wait();
        assert!(primary.replica.is_running(), "{}", story(&primary.replica));
        if is_there {
            let replies: Vec<Reply> = arrays[..2]
                .iter()
                .map(|array| primary.replica.ask(&format!("VGETRAW {} 0 -1", array.key)))
                .collect();
            for key in ["c", "d", "e"] {
                damaged += check_damaged(&primary.replica, key, &sent, &story);
            }
            // What it answered while it gave its history up is that of no keys.
            is_there = primary.try_wait();
            for (array, reply) in arrays
                .iter()
                .zip(replies)
                .take(if is_there { 2 } else { 0 })
            {
                compared += 1;
                let (expected, replica) = (array.bytes(0, array.values.len()), &primary.replica);
                assert!(
                    !reply.is_error(),
                    "{}: {reply}\n{}",
                    array.key,
                    story(replica)
                );
                assert!(
                    reply.bytes() == expected,
                    "{}\n{}",
                    array.key,
                    story(replica)
                );
            }
        }
        remove_strays(&primary.replica, &arrays);
        if !is_there {
            again += 1;
            primary.synchronise_again();
        }
    }
    let log = primary.replica.log();
    assert!(!log.contains("panicked"), "MMAP_SEED={seed}: {log}");
    println!(
        "{done} rounds, {compared} arrays compared, {damaged} values after damaged words, {again} times synchronised again"
    );
    assert!(compared > done / 2, "too few arrays were compared");
    // Most damage leaves an array incomplete, but not all.
    assert!(done < 30 || damaged > 0, "nothing was seen of damage");
}

/// Removes files that damaged words had made: there would be gigabytes of them in the end.
fn remove_strays(replica: &Server, arrays: &[Array]) {
    for file in std::fs::read_dir(replica.dir()).unwrap() {
        let file = file.unwrap();
        let name = file.file_name();
        let is_the_servers = [&b"dump"[..], b"temp"]
            .iter()
            .any(|start| name.as_encoded_bytes().starts_with(start));
        if !is_the_servers && arrays.iter().all(|array| name != array.path) {
            // A thread of the server's may be faster.
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// What the replica was told in a round, and the end of its log.
fn story(round: u64, seed: u64, told: &[Words], replica: &Server) -> String {
    let line = |words: &Words| {
        let words = words.iter().map(|word| {
            let end = word.len().min(60);
            format!("\"{}\"", word[..end].escape_ascii())
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let told: Vec<_> = told.iter().map(line).collect();
    let log = replica.log();
    let lines: Vec<_> = log.lines().collect();
    let log = &lines[lines.len().saturating_sub(30)..];
    format!(
        "round {round} of MMAP_SEED={seed}\n{}\n{}",
        told.join("\n"),
        log.join("\n")
    )
}
