//! A random workload of every command, with the link cut in the middle: primary, replica and its replica end the same.

use crate::pair::{Pair, assert_same, follow};
use support::random::{Random, rounds, seed};
use support::{Client, Reply, Server, wait_until};

/// Keys, and how each is mapped. Two are the same array, wherever they are.
const KEYS: [(&str, &str); 5] = [
    ("doubles", "dir/doubles.f64 double WRITABLE"),
    ("ints", "ints int32 WRITABLE"),
    ("names", "names string 9 WRITABLE"),
    ("second", "ints int32 WRITABLE"),
    ("npy", "array.npy int64 WRITABLE"),
];

/// The databases in use.
const DATABASES: [usize; 2] = [0, 1];

/// Whole values of every type in use, in bytes.
const RAW: usize = 72;

/// Two writes that reach replicas as one transaction.
const SCRIPT: &str =
    "redis.call('VPUSH', KEYS[1], ARGV[1], ARGV[1]) return redis.call('VPOP', KEYS[1])";

type Words = Vec<Vec<u8>>;

fn words(command: &str) -> Words {
    command.split(' ').map(|word| word.into()).collect()
}

/// The errors that a command may answer with. Nothing has happened then, on any server.
fn allowed_errors(command: &str) -> &'static [&'static str] {
    match command {
        "MMAP" => &["is bound already"],
        "COPY" => &["failed to copy"],
        "RENAME" | "RENAMENX" => &["no such key"],
        "VPUSH" | "VADDRAW" | "EVAL" => &["no such key"],
        "VSET" | "VSETRAW" | "VFILL" => &["no such key", "out of range"],
        "VINCRBY" => &[
            "no such key",
            "out of range",
            "the new value",
            "are strings",
        ],
        _ => &[],
    }
}

#[track_caller]
fn check(command: &Words, reply: &Reply) {
    let show = || command.join(&b' ').escape_ascii().to_string();
    let name = std::str::from_utf8(&command[0]).unwrap();
    if let Reply::Error(text) = reply {
        let is_allowed = allowed_errors(name).iter().any(|part| text.contains(part));
        assert!(is_allowed, "{}: {text}", show());
    }
    // A copy would be a second key with a file of its own.
    assert!(name != "COPY" || *reply != Reply::Int(1), "{}", show());
}

/// What an array held once.
struct Dump {
    key: String,
    path: String,
    payload: Vec<u8>,
}

/// A client of the primary.
struct Workload {
    random: Random,
    client: Client,
    database: usize,
    dumps: Vec<Dump>,
}

impl Workload {
    fn key(&mut self) -> String {
        let (key, _) = *self.random.pick(&KEYS);
        match self.random.below(10) {
            0 => format!("renamed:{key}"),
            _ => key.to_owned(),
        }
    }

    /// A value of every type in use.
    fn value(&mut self) -> String {
        self.random.below(1_000_000).to_string()
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..RAW).map(|_| self.random.below(256) as u8).collect()
    }

    /// One command, as often as not a large one, so that files take on slack and lose it again.
    fn command(&mut self) -> Words {
        match self.random.below(13) {
            0..=4 => self.push(),
            5 | 6 => self.set(),
            7 | 8 => {
                let (key, count) = (self.key(), self.random.below(50));
                words(&format!("VPOP {key} {count}"))
            }
            9 => self.raw(),
            10 | 11 => self.other_write(),
            _ => self.of_the_keyspace(),
        }
    }

    fn push(&mut self) -> Words {
        let mut command = words(&format!("VPUSH {}", self.key()));
        let count = if self.random.once_in(10) { 2000 } else { 3 };
        command.extend((0..count).map(|_| self.value().into_bytes()));
        command
    }

    fn set(&mut self) -> Words {
        let mut command = words(&format!("VSET {}", self.key()));
        for _ in 0..=self.random.below(4) {
            let index = self.random.below(30).to_string();
            command.extend([index.into_bytes(), self.value().into_bytes()]);
        }
        command
    }

    fn raw(&mut self) -> Words {
        let (key, index) = (self.key(), self.random.below(30));
        let mut command = match self.random.below(2) {
            0 => words(&format!("VADDRAW {key}")),
            _ => words(&format!("VSETRAW {key} {index}")),
        };
        command.push(self.bytes());
        command
    }

    fn other_write(&mut self) -> Words {
        let (key, value) = (self.key(), self.value());
        let (from, to) = (self.random.below(20), self.random.below(200) + 20);
        match self.random.below(20) {
            0 => words(&format!("VCLEAR {key}")),
            1..=5 => words(&format!("VTRIM {key} {from} {to}")),
            6..=10 => words(&format!("VFILL {key} {from} -1 {value}")),
            11..=15 => words(&format!("VINCRBY {key} 0 1 3 -2 0 1")),
            _ => {
                let mut command = words("EVAL");
                command.push(SCRIPT.into());
                command.extend(words(&format!("1 {key} {value}")));
                command
            }
        }
    }

    /// What the server does with keys of any type.
    fn of_the_keyspace(&mut self) -> Words {
        let (key, other, database) = (self.key(), self.key(), 1 - self.database);
        words(&match self.random.below(30) {
            0 | 1 => format!("DEL {key}"),
            2 => format!("UNLINK {key}"),
            3 => format!("EXPIRE {key} 0"),
            4..=6 => format!("EXPIRE {key} 1000"),
            7 | 8 => format!("PERSIST {key}"),
            9..=11 => format!("RENAME {key} renamed:{key}"),
            12 | 13 => format!("RENAME {key} {other}"),
            14..=17 => format!("RENAMENX {key} {other}"),
            18..=21 => format!("MOVE {key} {database}"),
            22 | 23 => "SWAPDB 0 1".to_owned(),
            24..=26 => format!("COPY {key} copy:{key} DB {database}"),
            27 => "FLUSHDB ASYNC".to_owned(),
            _ => {
                let (key, file) = *self.random.pick(&KEYS);
                format!("MMAP {key} {file}")
            }
        })
    }

    #[track_caller]
    fn run(&mut self, command: &Words) {
        let reply = self.client.run(command);
        check(command, &reply);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0 => self.map(),
            1 | 2 => self.select(1 - self.database),
            3..=5 => self.dump(),
            6..=8 => self.restore(),
            9..=14 => self.transaction(),
            _ => {
                let command = self.command();
                self.run(&command);
            }
        }
    }

    /// Maps what is not there.
    fn map(&mut self) {
        for (key, file) in KEYS {
            self.run(&words(&format!("MMAP {key} {file}")));
        }
    }

    fn select(&mut self, database: usize) {
        assert_eq!(self.client.say(&format!("SELECT {database}")), "OK");
        self.database = database;
    }

    fn transaction(&mut self) {
        let commands: Vec<_> = (0..=self.random.below(4)).map(|_| self.command()).collect();
        assert_eq!(self.client.say("MULTI"), "OK");
        for command in &commands {
            assert_eq!(self.client.run(command).to_string(), "QUEUED");
        }
        let replies = self.client.ask("EXEC").items();
        assert_eq!(replies.len(), commands.len());
        commands.iter().zip(&replies).for_each(|(c, r)| check(c, r));
    }

    fn dump(&mut self) {
        let key = self.key();
        if let Reply::Bulk(payload) = self.client.ask(&format!("DUMP {key}")) {
            let path = self.client.ask(&format!("VFILEPATH {key}")).text();
            self.dumps.push(Dump { key, path, payload });
        }
    }

    /// An array becomes what it was before, unless its file is also that of another key.
    fn restore(&mut self) {
        if self.dumps.is_empty() {
            return;
        }
        let at = self.random.below(self.dumps.len() as u64) as usize;
        let Dump { key, path, payload } = self.dumps.swap_remove(at);
        let key = match self.random.below(4) {
            0 => self.key(),
            _ => key,
        };
        let owners = self.owners(&path);
        let is_free = owners
            .iter()
            .all(|owner| *owner == (self.database, key.clone()));
        // Until then, keys that `FLUSHDB ASYNC` removed have their files.
        wait_until("what was flushed is freed", || {
            let memory = self.client.ask("INFO memory").text();
            memory.contains("lazyfree_pending_objects:0\r")
        });
        let command = [b"RESTORE".as_slice(), key.as_bytes(), b"0", &payload];
        let reply = self.client.run(&[&command[..], &[b"REPLACE"]].concat());
        // What no key is bound to is the key's that was last, as the file says.
        let root = self.client.ask("CONFIG GET mmap.dir").items()[1]
            .clone()
            .text();
        let claim = |path: &str| {
            let mut claim = [0; 64];
            let file = std::path::Path::new(&root).join(path);
            let len = rustix::fs::getxattr(&file, "user.mmap.key", &mut claim).ok()?;
            Some(claim[..len].to_vec())
        };
        let last = claim(&path);
        let is_ours = last == Some(format!("{}:{key}", self.database).into_bytes());
        // What was set aside when another key had the file, as before it was renamed, does not give way.
        let aside = claim(&format!("{path}.replaced"));
        let may_be_set_aside = aside.is_none() || aside == last;
        let is_due = is_free && (is_ours || !owners.is_empty()) && may_be_set_aside;
        match &reply {
            Reply::Error(text) => assert!(
                !is_due && text.contains("Bad data format"),
                "{key} of '{path}', which {owners:?} have: {text}"
            ),
            _ => assert!(
                is_free && reply.to_string() == "OK",
                "{key} of '{path}', which {owners:?} have: {reply}"
            ),
        }
    }

    /// The keys that are bound to a file, in any database.
    fn owners(&mut self, path: &str) -> Vec<(usize, String)> {
        let mut owners = Vec::new();
        let selected = self.database;
        for database in DATABASES {
            self.select(database);
            for key in self.client.ask("KEYS *").items() {
                let key = key.text();
                if self.client.ask(&format!("VFILEPATH {key}")).text() == path {
                    owners.push((database, key));
                }
            }
        }
        self.select(selected);
        owners
    }
}

/// Disturbs the link, or changes a setting.
fn disturb(random: &mut Random, pair: &Pair) {
    match random.below(160) {
        // A replica has several connections while one is for its snapshot (Redis 8), or just after it was cut off.
        0 => assert!(pair.primary.int("CLIENT KILL TYPE replica") >= 0),
        // Long enough for the backlog to be used, or too long for it.
        1 => assert!(pair.replica.int("CLIENT KILL TYPE master") <= 1),
        2 => {
            let set = pair.primary.say("CONFIG SET repl-backlog-size 16384");
            assert_eq!(set, "OK");
        }
        3 => {
            let fsync = *random.pick(&["always", "everysec", "no"]);
            let server = *random.pick(&[&pair.primary, &pair.replica]);
            assert_eq!(server.say(&format!("CONFIG SET mmap.fsync {fsync}")), "OK");
        }
        _ => {}
    }
}

#[test]
fn after_any_workload_with_link_cuts_both_are_the_same() {
    let seed = seed();
    for round in 0..rounds(3) {
        println!("MMAP_SEED={seed}, round {round}");
        let seed = seed.wrapping_add(round);
        let pair = Pair::start();
        let last = Server::start();
        follow(&last, &pair.replica);
        std::fs::create_dir(pair.primary.path("dir")).unwrap();
        let mut workload = Workload {
            random: Random::new(seed),
            client: pair.primary.client(),
            database: 0,
            dumps: Vec::new(),
        };
        workload.map();
        for _ in 0..1500 {
            workload.step();
            disturb(&mut workload.random, &pair);
        }
        workload.map();
        assert_same(&pair.primary, &pair.replica);
        assert_same(&pair.primary, &last);
    }
}
