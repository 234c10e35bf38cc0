//! Short commands remember which array a key leads to. Whatever moves, replaces, expires or evicts a key, the next of them
//! goes where looking the key up would lead it: `VAGG` looks it up, and tells.

use support::random::{Random, rounds, seed};
use support::{Client, Reply, Server, wait_until};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const FILES: [&str; 5] = ["f0", "f1", "f2", "f3", "f4"];
const DATABASES: [&str; 2] = ["0", "1"];

/// What happens between two writes to the same key. `K` and `L` stand for keys, `F` for a file, `D` for the other database.
const EVENTS: [&[&str]; 36] = [
    &["DEL K"],
    &["UNLINK K"],
    &["DEL K", "MMAP K F"],
    &["UNLINK K", "MMAP K F"],
    &["SET K text"],
    &["SADD set x", "SUNIONSTORE K set"],
    &["DEL K", "RPUSH K 1"],
    &["RENAME K L"],
    &["RENAMENX K L"],
    &["RENAME K elsewhere", "MMAP K F"],
    &["SET text x", "RENAME text K"],
    &["SET text x", "COPY text K REPLACE"],
    &["MOVE K D"],
    &["SWAPDB 0 1"],
    &["MULTI", "SWAPDB 0 1", "VPUSH K 1", "EXEC"],
    &["FLUSHDB"],
    &["FLUSHDB ASYNC"],
    &["FLUSHALL"],
    &["FLUSHALL ASYNC"],
    &["FLUSHALL ASYNC", "MMAP K F"],
    &["EXPIRE K 1000"],
    &["EXPIRE K 1000", "PERSIST K"],
    &["PEXPIRE K 1", "DEBUG SLEEP 0.003"],
    &["EXPIRE K -1"],
    &["PEXPIRE K 1", "DEBUG SLEEP 0.003", "MMAP K F"],
    &["PEXPIRE K 1", "VPUSH K 1", "DEBUG SLEEP 0.003"],
    &[
        "PEXPIRE K 1",
        "RENAME K L",
        "VPUSH L 1",
        "DEBUG SLEEP 0.003",
    ],
    &["MULTI", "VPUSH K 1", "DEL K", "VPUSH K 2", "EXEC"],
    &["MULTI", "DEL K", "MMAP K F", "VPUSH K 2", "EXEC"],
    &["EVAL redis.call('DEL',KEYS[1]) 1 K"],
    &["EVAL redis.pcall('VPUSH',KEYS[1],1);redis.call('SET',KEYS[1],1) 1 K"],
    &["CONFIG SET maxmemory 1", "PING", "CONFIG SET maxmemory 0"],
    &["DEBUG RELOAD"],
    &["VCLEAR K"],
    &["MMAP K F", "VTRIM K 1 -1"],
    &["PING"],
];

struct Keys {
    client: Client,
    random: Random,
    written: u64,
}

impl Keys {
    /// A command with its placeholders filled.
    fn words(
        &self,
        template: &str,
        key: &str,
        other: &str,
        file: &str,
        database: &str,
    ) -> Vec<String> {
        let fill = |word: &str| match word {
            "K" => key.to_owned(),
            "L" => other.to_owned(),
            "F" => file.to_owned(),
            "D" => database.to_owned(),
            word => word.to_owned(),
        };
        // A script has spaces of its own.
        match template.strip_prefix("EVAL ") {
            Some(script) => {
                let (script, keys) = script.rsplit_once(" 1 ").unwrap();
                ["EVAL", script, "1"]
                    .map(str::to_owned)
                    .into_iter()
                    .chain([fill(keys)])
                    .collect()
            }
            None => template.split(' ').map(fill).collect(),
        }
    }

    fn event(&mut self) -> (Vec<Vec<String>>, String) {
        let templates = *self.random.pick(&EVENTS);
        let (key, other) = (*self.random.pick(&NAMES), *self.random.pick(&NAMES));
        let file = *self.random.pick(&FILES);
        let here = self.random.below(2) as usize;
        let mut commands = vec![vec!["SELECT".to_owned(), DATABASES[here].to_owned()]];
        commands.extend(
            templates
                .iter()
                .map(|template| self.words(template, key, other, file, DATABASES[1 - here])),
        );
        let text = commands
            .iter()
            .map(|words| words.join(" "))
            .collect::<Vec<_>>()
            .join("; ");
        (commands, text)
    }

    /// A read of each key and a write to it, and what is there before and after by commands that look the key up.
    fn probes(&mut self, commands: &mut Vec<Vec<String>>) -> Vec<(String, usize, String)> {
        let mut probes = Vec::new();
        for database in DATABASES {
            commands.push(vec!["SELECT".to_owned(), database.to_owned()]);
            for name in NAMES {
                self.written += 1;
                let value = self.written.to_string();
                probes.push((
                    format!("{name} of database {database}"),
                    commands.len(),
                    value.clone(),
                ));
                for words in [
                    vec!["VSIZE", name],
                    vec!["VAGG", name, "0", "-1", "COUNT"],
                    vec!["VPUSH", name, &value],
                    vec!["TYPE", name],
                    vec!["VGET", name, "-1"],
                    vec!["VAGG", name, "0", "-1", "MAX"],
                ] {
                    commands.push(words.into_iter().map(str::to_owned).collect());
                }
            }
        }
        probes
    }

    /// Has something happen, and reads and writes each key, all in one go; so the server's clock has no time to tick in between.
    /// Two writes come first, so that what is remembered is used.
    fn step(&mut self, before: &str) -> u64 {
        let mut commands = Vec::new();
        for database in DATABASES {
            commands.push(vec!["SELECT".to_owned(), database.to_owned()]);
            for name in NAMES.iter().cycle().take(2 * NAMES.len()) {
                commands.push(["VPUSH", name, "0"].map(str::to_owned).to_vec());
            }
        }
        let (event, text) = self.event();
        commands.extend(event);
        let probes = self.probes(&mut commands);
        let replies = self.client.pipeline(&commands);
        let mut reached = 0;
        for (key, at, value) in probes {
            let (size, count) = (replies[at].to_string(), replies[at + 1].to_string());
            let as_counted = match &replies[at] {
                Reply::Error(_) => size == count,
                _ => format!("[{size}]") == count,
            };
            assert!(
                as_counted,
                "{before}after {text}: VSIZE of {key} answers {size}, VAGG COUNT {count}"
            );
            let (write, kind, last) = (
                &replies[at + 2],
                replies[at + 3].to_string(),
                &replies[at + 4],
            );
            let greatest = replies[at + 5].to_string();
            let fits = match write {
                Reply::Int(1) => {
                    reached += 1;
                    kind == "mmaparray"
                        && *last == Reply::Bulk(value.clone().into_bytes())
                        && greatest == format!("[{value}]")
                }
                Reply::Error(error) if error.starts_with("ERR no such key") => kind == "none",
                Reply::Error(error) if error.starts_with("WRONGTYPE") => {
                    !["none", "mmaparray"].contains(&kind.as_str())
                }
                _ => false,
            };
            assert!(
                fits,
                "{before}after {text}: VPUSH of {value} to {key} answers {write}, TYPE {kind}, VGET -1 {last}, VAGG MAX {greatest}"
            );
        }
        reached
    }

    fn bind_some(&mut self) {
        for database in DATABASES {
            self.client.say(&format!("SELECT {database}"));
            for name in NAMES {
                if self.random.once_in(2) {
                    let file = self.random.pick(&FILES);
                    self.client.say(&format!("DEL {name}"));
                    self.client.say(&format!("MMAP {name} {file}"));
                }
            }
        }
    }
}

fn start() -> Server {
    Server::setup()
        .config("enable-debug-command", "yes")
        .config("maxmemory-policy", "allkeys-random")
        .config("repl-diskless-sync-delay", "0")
        .start()
}

#[test]
fn writes_go_where_a_look_up_leads_whatever_happens_to_keys() {
    let seed = seed();
    let db = start();
    // What has expired stays until a look-up finds it.
    assert_eq!(db.say("DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    let mut keys = Keys {
        client: db.client(),
        random: Random::new(seed),
        // More than what events write.
        written: 10,
    };
    let mut reached = 0;
    for step in 0..rounds(300) {
        if step % 4 == 0 {
            keys.bind_some();
        }
        reached += keys.step(&format!("MMAP_SEED={seed}, step {step}: "));
    }
    assert!(
        reached > rounds(300),
        "hardly a write reached an array: {reached}"
    );
}

#[test]
fn writes_go_where_a_look_up_leads_after_restore() {
    let db = start();
    db.say("MMAP a f");
    db.say("VPUSH a 1 2 3");
    let dump = db.ask("DUMP a").bytes();
    db.say("SET text x");
    let text = db.ask("DUMP text").bytes();
    for _ in 0..3 {
        assert_eq!(db.int("VPUSH a 4"), 1);
    }
    assert_eq!(
        db.run(&[b"RESTORE", &b"a"[..], b"0", &dump, b"REPLACE"])
            .to_string(),
        "OK"
    );
    assert_eq!(db.int("VPUSH a 5"), 1);
    assert_eq!(db.say("VALL a"), "[1, 2, 3, 5]");
    assert_eq!(
        db.run(&[b"RESTORE", &b"a"[..], b"0", &text, b"REPLACE"])
            .to_string(),
        "OK"
    );
    assert!(db.error("VPUSH a 6").starts_with("WRONGTYPE"));
}

#[test]
fn writes_go_where_a_look_up_leads_after_the_server_was_a_replica() {
    let other = start();
    other.say("MMAP a other");
    other.say("VPUSH a 7");
    for load in ["swapdb", "disabled"] {
        let db = Server::setup()
            .config("repl-diskless-load", load)
            .config("repl-diskless-sync-delay", "0")
            .start();
        db.say("MMAP a own");
        db.say("MMAP b b");
        for _ in 0..3 {
            assert_eq!(db.int("VPUSH a 1"), 1);
            assert_eq!(db.int("VPUSH b 1"), 1);
        }
        db.say(&format!("REPLICAOF 127.0.0.1 {}", other.port()));
        wait_until("the replica has synchronised", || {
            db.info("replication", "master_link_status") == "up"
        });
        wait_until("the values have come", || db.say("VALL a") == "[7]");
        db.say("REPLICAOF NO ONE");
        assert_eq!(db.int("VPUSH a 8"), 1, "{load}");
        assert_eq!(db.say("VALL a"), "[7, 8]");
        assert!(db.error("VPUSH b 2").starts_with("ERR no such key"));
        assert_eq!(db.file_len("own"), 3 * 8);
    }
}
