//! Clients of the long run: one that writes to each array, and some that read from any server.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::HEALED;
use super::ledger::{self, Kind, Ledger, SLOTS, Tally};
use support::random::Random;
use support::{Client, Patience, Reply};

/// Longer than a server is ever stopped: what was sent to it is answered, or its connection is cut, so that nothing is
/// carried out after its client has gone on.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an array may be refused by a primary until it is given up.
const REFUSED: Duration = Duration::from_secs(6);
/// The same where the disk is full, as it is for much shorter.
const FULL: Duration = Duration::from_secs(30);
/// A log is trimmed when it has more values than this.
const LONG_LOG: u64 = 60_000;

/// Where the primary of a key is.
pub trait Find: Sync {
    /// The port of a server that is a primary, as far as is known.
    fn primary(&self) -> Option<u16>;
    /// How many replicas must have a write so that it counts as acknowledged.
    fn replicas(&self) -> i64;
    /// The ports of all servers.
    fn all(&self) -> Vec<u16>;
    /// Whether it is a Cluster.
    fn is_cluster(&self) -> bool;
}

pub struct Run<'a> {
    pub find: &'a dyn Find,
    pub tally: &'a Tally,
    pub stop: &'a AtomicBool,
    /// While it is set, clients that write pause.
    pub hold: &'a AtomicBool,
}

fn encode(commands: &[Vec<Vec<u8>>], asking: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for command in commands {
        if asking {
            Client::encode(&mut bytes, &["ASKING"]);
        }
        Client::encode(&mut bytes, command);
    }
    bytes
}

fn words(command: &str) -> Vec<Vec<u8>> {
    command.split(' ').map(|word| word.into()).collect()
}

pub struct Writer<'a> {
    run: &'a Run<'a>,
    ledger: &'a Ledger,
    /// How often it has found on a new connection what was acknowledged.
    looks: &'a AtomicU64,
    random: Random,
    connection: Option<Client>,
    /// To go to next, as a node of a Cluster said.
    redirected: Option<u16>,
    asking: bool,
    /// The last number of the log, or version of the table.
    last: u64,
    /// The last number that was acknowledged by `WAIT`, or the version of each value.
    acknowledged: u64,
    versions: Vec<u64>,
    refused_since: Option<Instant>,
    /// Keys that are to be deleted.
    abandoned: Vec<String>,
}

impl<'a> Writer<'a> {
    pub fn new(run: &'a Run<'a>, ledger: &'a Ledger, looks: &'a AtomicU64, seed: u64) -> Self {
        Self {
            run,
            ledger,
            looks,
            random: Random::new(seed),
            connection: None,
            redirected: None,
            asking: false,
            last: 0,
            acknowledged: 0,
            versions: vec![0; SLOTS as usize],
            refused_since: None,
            abandoned: Vec::new(),
        }
    }

    pub fn work(mut self) {
        while !self.run.stop.load(Ordering::Relaxed) {
            if self.run.hold.load(Ordering::Relaxed) || self.step().is_none() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        // Once more, at the end: what was acknowledged is there.
        self.connection = None;
        let mut patience = Patience::of(HEALED);
        while self.connect().is_none() {
            if patience.is_over() {
                let key = self.ledger.key();
                let what = format!("{key} is not answered at the end");
                return self.run.tally.differs(what);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn step(&mut self) -> Option<()> {
        if self.connection.is_none() {
            self.connect()?;
        }
        match self.ledger.kind {
            Kind::Log => self.write_log(),
            Kind::Table => self.write_table(),
        }
    }

    /// Sends commands on the connection that there is; without an answer it is gone. Each reply that is an error ends
    /// this, and is dealt with.
    fn ask(&mut self, commands: &[Vec<Vec<u8>>]) -> Option<Vec<Reply>> {
        let client = self.connection.as_mut()?;
        let bytes = encode(commands, self.asking);
        let times = if self.asking { 2 } else { 1 };
        let replies: io::Result<Vec<Reply>> = client.try_send(&bytes).and_then(|()| {
            (0..commands.len() * times)
                .map(|_| client.try_receive())
                .collect()
        });
        let Ok(replies) = replies else {
            self.connection = None;
            return None;
        };
        let replies: Vec<Reply> = replies.into_iter().skip(times - 1).step_by(times).collect();
        let error = replies.iter().find_map(|reply| match reply {
            Reply::Error(text) => Some(text.clone()),
            Reply::Array(items) => items.iter().find_map(|item| match item {
                Reply::Error(text) => Some(text.clone()),
                _ => None,
            }),
            _ => None,
        });
        match error {
            None => {
                self.refused_since = None;
                Some(replies)
            }
            Some(text) => {
                self.refused(&text);
                None
            }
        }
    }

    fn refused(&mut self, text: &str) {
        self.connection = None;
        self.asking = false;
        let port = || text.rsplit(':').next()?.parse().ok();
        let first = text.split(' ').next().unwrap_or_default();
        match first {
            "MOVED" => self.redirected = port(),
            "ASK" => {
                self.redirected = port();
                self.asking = true;
            }
            _ => {}
        }
        let known = [
            "MOVED",
            "ASK",
            "READONLY",
            "CLUSTERDOWN",
            "TRYAGAIN",
            "LOADING",
            "MASTERDOWN",
            "UNBLOCKED",
            "EXECABORT",
        ];
        if known.contains(&first) {
            return self.run.tally.count(&format!("write answered by {first}"));
        }
        let what = text.split(['\'', ':', '(']).next().unwrap_or_default();
        self.run
            .tally
            .count(&format!("write answered by {what}..."));
        let harmless = [
            "became a replica",
            "its head is being removed already",
            "writes are paused",
        ];
        if harmless.iter().any(|part| text.contains(part)) {
            return;
        }
        // What a primary refuses does not heal by itself. An array that a full disk has made incomplete says so for ever.
        let limit = match text.contains("No space left") {
            true => FULL,
            false => REFUSED,
        };
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        if since.elapsed() > limit {
            println!("{} is given up: {text}", self.ledger.key());
            self.run.tally.given_up.fetch_add(1, Ordering::Relaxed);
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        let former = self.ledger.key();
        self.ledger.give_up();
        self.last = self.last.max(self.ledger.base());
        self.acknowledged = 0;
        self.versions.fill(0);
        self.refused_since = None;
        self.abandoned.push(former);
    }

    /// Deletes keys that were given up: they would count as incomplete.
    fn delete_abandoned(&mut self) -> Option<()> {
        while let Some(key) = self.abandoned.last() {
            let del = words(&format!("DEL {key}"));
            self.ask(&[del])?;
            self.abandoned.pop();
        }
        Some(())
    }

    fn open(&mut self) -> Option<()> {
        let port = match self.redirected.take() {
            Some(port) => port,
            None => {
                self.asking = false;
                self.run.find.primary()?
            }
        };
        let mut client = Client::try_connect(port).ok()?;
        client.set_patience(Some(PATIENCE));
        self.connection = Some(client);
        Some(())
    }

    /// Connects, and finds out what the primary has: nothing that was acknowledged may be missing.
    fn connect(&mut self) -> Option<()> {
        self.open()?;
        self.delete_abandoned()?;
        let key = self.ledger.key();
        let mmap = words(&format!("MMAP {key} {key} int64 WRITABLE"));
        let count = match self.ask(&[mmap])?[0] {
            Reply::Int(count) => count as u64,
            _ => return None,
        };
        match self.ledger.kind {
            Kind::Log => {
                let last = match &self.ask(&[words(&format!("VGET {key} -1"))])?[0] {
                    Reply::Int(last) => *last as u64,
                    _ => self.ledger.base(),
                };
                if last < self.acknowledged {
                    self.run.tally.differs(format!(
                        "{key}: {} was acknowledged by WAIT, and the last of {count} values is {last}",
                        self.acknowledged
                    ));
                    self.acknowledged = 0;
                }
                self.last = last;
            }
            Kind::Table if count < SLOTS => self.fill_table(count)?,
            Kind::Table => self.look_at_table()?,
        }
        self.looks.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    /// Appends what a new table lacks.
    fn fill_table(&mut self, count: u64) -> Option<()> {
        let key = self.ledger.key();
        if self.versions.iter().any(|&version| version > 0) {
            self.run.tally.differs(format!(
                "{key}: {SLOTS} values were acknowledged, and there are {count}"
            ));
            self.versions.fill(0);
        }
        self.last = self.last.max(1);
        self.ledger.attempt(self.last);
        for first in (count..SLOTS).step_by(40_000) {
            let slots = first..SLOTS.min(first + 40_000);
            let bytes = slots.flat_map(|slot| ledger::of_slot(slot, 1).to_le_bytes());
            let command = vec![
                b"VADDRAW".to_vec(),
                key.clone().into_bytes(),
                bytes.collect(),
            ];
            self.ask(&[command])?;
        }
        Some(())
    }

    fn look_at_table(&mut self) -> Option<()> {
        let key = self.ledger.key();
        let replies = self.ask(&[words(&format!("VGETRAW {key} 0 -1"))])?;
        let Reply::Bulk(bytes) = &replies[0] else {
            return None;
        };
        match self.ledger.check(&key, 0, bytes) {
            Ok(count) => drop(self.run.tally.compared.fetch_add(count, Ordering::Relaxed)),
            Err(what) => {
                self.run.tally.differs(format!("at the primary: {what}"));
                return None;
            }
        }
        for (slot, bytes) in bytes.chunks_exact(8).enumerate() {
            let version = ledger::version(u64::from_le_bytes(bytes.try_into().unwrap()));
            if version < self.versions[slot] {
                self.run.tally.differs(format!(
                    "{key}: version {} of index {slot} was acknowledged by WAIT, and there is {version}",
                    self.versions[slot]
                ));
                self.versions.fill(0);
                break;
            }
        }
        Some(())
    }

    /// Sends a write, at times with the question whether replicas have it. Says whether they do.
    fn write(&mut self, command: Vec<Vec<u8>>, wait: bool) -> Option<bool> {
        self.run.tally.writes.fetch_add(1, Ordering::Relaxed);
        if !wait {
            return self.ask(&[command]).map(|_| false);
        }
        let replicas = self.run.find.replicas();
        // A long write is told of while its client is blocked: PING has the server note how far that is.
        let commands = [
            command,
            words("PING"),
            words(&format!("WAIT {replicas} 1000")),
        ];
        if self.asking {
            return None;
        }
        let replies = self.ask(&commands)?;
        let is_acknowledged = matches!(replies[2], Reply::Int(count) if count >= replicas);
        if is_acknowledged {
            self.run.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Some(is_acknowledged)
    }

    /// Unbinds the file and binds it again, so that its contents are sent.
    fn bind_again(&mut self) -> Option<()> {
        let key = self.ledger.key();
        if self.asking {
            return None;
        }
        let mmap = format!("MMAP {key} {key} int64 WRITABLE");
        let commands = ["MULTI", &format!("DEL {key}"), &mmap, "EXEC"].map(words);
        self.ask(&commands).map(drop)
    }

    fn write_log(&mut self) -> Option<()> {
        let key = self.ledger.key();
        match self.random.below(200) {
            0 => return self.bind_again(),
            1..=4 => {
                let Reply::Int(count) = self.ask(&[words(&format!("VSIZE {key}"))])?[0] else {
                    return None;
                };
                if (count as u64) < LONG_LOG {
                    return Some(());
                }
                let head = LONG_LOG / 2 + self.random.below(1000);
                self.write(words(&format!("VTRIM {key} {head} -1")), false)?;
                return Some(());
            }
            _ => {}
        }
        let count = match self.random.below(4) {
            0 => 1 + self.random.below(400),
            _ => 1 + self.random.below(5),
        };
        let last = self.last + count;
        self.ledger.attempt(last);
        let mut command = words(&format!("VPUSH {key}"));
        command.extend((self.last + 1..=last).map(|value| value.to_string().into_bytes()));
        let wait = self.random.once_in(8);
        let is_acknowledged = self.write(command, wait)?;
        self.last = last;
        if is_acknowledged {
            self.acknowledged = last;
        }
        Some(())
    }

    fn write_table(&mut self) -> Option<()> {
        let key = self.ledger.key();
        if self.random.once_in(300) {
            return self.bind_again();
        }
        let version = self.last + 1;
        self.last = version;
        self.ledger.attempt(version);
        let (command, slots): (_, Vec<u64>) = match self.random.below(100) {
            0 => {
                let from = self.random.below(SLOTS / 20);
                let value = ledger::of_fill(version);
                (
                    format!("VFILL {key} {from} -1 {value}"),
                    (from..SLOTS).collect(),
                )
            }
            1..=9 => {
                let from = self.random.below(SLOTS - 2000);
                let (to, value) = (from + self.random.below(2000), ledger::of_fill(version));
                (
                    format!("VFILL {key} {from} {to} {value}"),
                    (from..=to).collect(),
                )
            }
            _ => {
                let slots: Vec<u64> = (0..1 + self.random.below(20))
                    .map(|_| self.random.below(SLOTS))
                    .collect();
                let pairs = slots
                    .iter()
                    .map(|&slot| format!(" {slot} {}", ledger::of_slot(slot, version)));
                (format!("VSET {key}{}", pairs.collect::<String>()), slots)
            }
        };
        let wait = self.random.once_in(4);
        if self.write(words(&command), wait)? {
            for slot in slots {
                self.versions[slot as usize] = version;
            }
        }
        Some(())
    }
}

/// Reads from any server, primary or replica: what it answers was written.
pub fn read(run: &Run<'_>, ledgers: &[Ledger], seed: u64) {
    let mut random = Random::new(seed);
    while !run.stop.load(Ordering::Relaxed) {
        let port = *random.pick(&run.find.all());
        let Ok(mut client) = Client::try_connect(port) else {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        client.set_patience(Some(Duration::from_secs(2)));
        for _ in 0..20 {
            if read_once(run, ledgers, &mut random, &mut client).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn read_once(
    run: &Run<'_>,
    ledgers: &[Ledger],
    random: &mut Random,
    client: &mut Client,
) -> io::Result<()> {
    let ledger = random.pick(ledgers);
    let key = ledger.key();
    let first = random.below(match ledger.kind {
        Kind::Log => LONG_LOG,
        Kind::Table => SLOTS,
    });
    let last = first + random.below(50_000);
    let commands = [
        words("READONLY"),
        words(&format!("VGETRAW {key} {first} {last}")),
    ];
    let commands = if run.find.is_cluster() {
        &commands[..]
    } else {
        &commands[1..]
    };
    client.try_send(&encode(commands, false))?;
    let mut reply = Reply::Nil;
    for _ in commands {
        reply = client.try_receive()?;
    }
    match reply {
        Reply::Bulk(bytes) => match ledger.check(&key, first, &bytes) {
            Ok(count) => drop(run.tally.compared.fetch_add(count, Ordering::Relaxed)),
            // The name may have been another array's by then.
            Err(_) if ledger.key() != key => {}
            Err(what) => run.tally.differs(what),
        },
        Reply::Error(text) => {
            let what = text.split(['\'', ':', '(']).next().unwrap_or_default();
            run.tally.count(&format!(
                "read answered by {}...",
                what.split_at(what.len().min(40)).0
            ));
        }
        other => run.tally.differs(format!("{key}: {other}")),
    }
    Ok(())
}
