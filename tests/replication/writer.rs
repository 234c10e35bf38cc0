//! A client that writes to one array while primaries change, and knows what the array must hold.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::random::Random;
use support::{Client, Reply, StopAtEnd, wait_at_most};

/// How long a failover may take.
pub const LONG: Duration = Duration::from_secs(180);

pub struct Writer {
    key: String,
    /// The servers that may be the primary.
    ports: Vec<u16>,
    primary: usize,
    client: Option<Client>,
    values: Vec<i64>,
    random: Random,
}

impl Writer {
    /// The first of `ports` is the primary now. The key is bound to an empty array of `int64`.
    pub fn new(key: &str, ports: &[u16]) -> Writer {
        Writer {
            key: key.to_owned(),
            ports: ports.to_vec(),
            primary: 0,
            client: None,
            values: Vec::new(),
            random: Random::new(ports[0].into()),
        }
    }

    /// Writes until it is told to stop, and counts what was acknowledged.
    pub fn run(mut self, stop: &AtomicBool, acknowledged: &AtomicU64) -> Written {
        while !stop.load(Ordering::Relaxed) {
            let (command, after) = self.next();
            match self.ask(&[&command]) {
                Ok(replies) if !replies[0].is_error() => {
                    self.values = after;
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                _ => self.find_out(after),
            }
        }
        Written {
            key: self.key,
            values: self.values,
        }
    }

    /// A command, and what the array holds after it.
    fn next(&mut self) -> (String, Vec<i64>) {
        let Writer { key, random, .. } = self;
        let mut after = self.values.clone();
        let value = random.below(1 << 40) as i64;
        let count = after.len() as u64;
        let command = match random.below(8) {
            0 if count > 0 => {
                let index = random.below(count);
                after[index as usize] = value;
                format!("VSET {key} {index} {value}")
            }
            1 if count > 0 => {
                let index = random.below(count);
                after[index as usize] += 5;
                format!("VINCRBY {key} {index} 5")
            }
            2 => {
                let pops = random.below(4).min(count);
                after.truncate((count - pops) as usize);
                format!("VPOP {key} {pops}")
            }
            _ => {
                after.extend([value, -value]);
                format!("VPUSH {key} {value} -{value}")
            }
        };
        (command, after)
    }

    /// All commands at once, and their replies.
    fn ask(&mut self, commands: &[&str]) -> std::io::Result<Vec<Reply>> {
        let client = match &mut self.client {
            Some(client) => client,
            None => self
                .client
                .insert(Client::try_connect(self.ports[self.primary])?),
        };
        let mut bytes = Vec::new();
        for command in commands {
            Client::encode(&mut bytes, &command.split(' ').collect::<Vec<_>>());
        }
        let replies = client
            .try_send(&bytes)
            .and_then(|()| commands.iter().map(|_| client.try_receive()).collect());
        if replies.is_err() {
            self.client = None;
        }
        replies
    }

    /// After a command that was not acknowledged: asks who is primary now whether it was carried out.
    fn find_out(&mut self, after: Vec<i64>) {
        // A write that changes nothing; only a primary takes it.
        let write = format!("VPOP {} 0", self.key);
        let read = format!("VALL {}", self.key);
        let mut held = Vec::new();
        wait_at_most(LONG, "a primary answers", || {
            let replies = self.ask(&["MULTI", &write, &read, "EXEC"]);
            if let Ok([_, _, _, Reply::Array(replies)]) = replies.as_deref()
                && let [Reply::Array(_), Reply::Array(values)] = &replies[..]
            {
                held = values.iter().cloned().map(Reply::int).collect();
                return true;
            }
            self.primary = (self.primary + 1) % self.ports.len();
            self.client = None;
            false
        });
        assert!(
            held == self.values || held == after,
            "{}: {} values were acknowledged, a write that was not makes it {}, and there are {}",
            self.key,
            self.values.len(),
            after.len(),
            held.len()
        );
        self.values = held;
    }
}

/// What a [`Writer`] left.
pub struct Written {
    pub key: String,
    pub values: Vec<i64>,
}

/// Several [`Writer`]s that write while `work` is done, which gets a function that waits until each has gone on.
pub fn while_writing(
    keys: &[impl AsRef<str>],
    ports: &[u16],
    work: impl FnOnce(&dyn Fn()),
) -> Vec<Written> {
    let stop = AtomicBool::new(false);
    let acknowledged: Vec<AtomicU64> = keys.iter().map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        let writers: Vec<_> = keys
            .iter()
            .zip(&acknowledged)
            .map(|(key, acknowledged)| {
                let writer = Writer::new(key.as_ref(), ports);
                let stop = &stop;
                scope.spawn(move || writer.run(stop, acknowledged))
            })
            .collect();
        // Whatever goes wrong, the writers end.
        let writing = StopAtEnd(&stop);
        work(&|| {
            for count in &acknowledged {
                let goal = count.load(Ordering::Relaxed) + 50;
                wait_at_most(LONG, "each client has written on", || {
                    count.load(Ordering::Relaxed) >= goal
                        || writers.iter().any(|writer| writer.is_finished())
                });
            }
        });
        drop(writing);
        writers.into_iter().map(|w| w.join().unwrap()).collect()
    })
}
