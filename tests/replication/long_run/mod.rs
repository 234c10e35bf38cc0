//! The long run: whatever happens to a primary with two replicas under Sentinel, and to a Cluster of three and three, all
//! values that are answered were written, and all that `WAIT` acknowledged is there, or is answered with an error.
//!
//! `MMAP_SECONDS` says how long each takes; `MMAP_SEED` repeats the faults, if not their moments.

mod clients;
mod disks;
mod ledger;
mod sentinel;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clients::{Find, Run, Writer, read};
use disks::Disks;
use ledger::{Ledger, Tally};

use crate::cluster::{Cluster, address, redis_cli};
use sentinel::Sentinel;
use support::random::{Random, seed};
use support::{Patience, Reply, Server, StopAtEnd, cannot_run, wait_at_most};

/// How long each run takes if nothing else is said.
const SHORT: Duration = Duration::from_secs(12);
/// How long it may take all servers to be whole again after a fault. A replica asks again after twice as long each time.
const HEALED: Duration = Duration::from_secs(180);
/// For how long of that clients go on to write.
const UNDER_LOAD: Duration = Duration::from_secs(20);
const READERS: u64 = 2;
/// How often servers are looked at while they are waited for.
const LOOK: Duration = Duration::from_millis(10);

/// Servers, and who is what.
trait Deployment {
    fn servers(&self) -> &[Server];
    fn servers_mut(&mut self) -> &mut [Server];
    /// What clients may know of it.
    fn find(&self) -> Box<dyn Find>;
    /// Has a replica take over, in one of the ways there are. Says which.
    fn fail_over(&self, random: &mut Random) -> Option<&'static str>;
    /// Has keys go to another server, where that is possible.
    fn reshard(&self, random: &mut Random) -> bool;
    /// Whether each replica follows a primary, and all servers agree on that.
    fn is_linked(&self) -> bool;
    /// What an operator does where servers do not find together by themselves.
    fn mend(&self);
}

/// What is answered, or nothing: Sentinel cuts the connections of all clients when it makes a server another's replica.
fn text(server: &Server, command: &str) -> String {
    match server.try_ask(command) {
        Some(Reply::Bulk(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Some(reply) => reply.to_string(),
        None => String::new(),
    }
}

/// A field of `INFO` or `CLUSTER INFO`; empty if there is no answer.
fn field(server: &Server, command: &str, name: &str) -> String {
    let text = text(server, command);
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().to_owned()
}

fn replication(server: &Server, name: &str) -> String {
    field(server, "INFO replication", name)
}

fn process_id(server: &Server) -> String {
    field(server, "INFO server", "process_id")
}

fn is_primary(server: &Server) -> bool {
    replication(server, "role") == "master"
}

struct OfCluster(Cluster);

/// How many slots go to another node at once.
const RESHARDED: u32 = 1200;

/// The number of slots that a node has, by its own line of `CLUSTER NODES`: `... myself,master ... connected 0-5460 5462`.
fn slots_of(node: &Server) -> u32 {
    let nodes = text(node, "CLUSTER NODES");
    let line = nodes.lines().find(|line| line.contains("myself"));
    let ranges = line.unwrap_or_default().split(' ').skip(8);
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u32>().ok()? - first.parse::<u32>().ok()? + 1)
    };
    ranges.filter_map(count).sum()
}

struct ClusterPorts(Vec<u16>);

impl Find for ClusterPorts {
    fn primary(&self) -> Option<u16> {
        // Any node says where to go. One that is down is not asked twice.
        let nanos = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_nanos();
        Some(self.0[nanos as usize / 1000 % self.0.len()])
    }

    fn replicas(&self) -> i64 {
        1
    }

    fn all(&self) -> Vec<u16> {
        self.0.clone()
    }

    fn is_cluster(&self) -> bool {
        true
    }
}

impl Deployment for OfCluster {
    fn servers(&self) -> &[Server] {
        &self.0.nodes
    }

    fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.0.nodes
    }

    fn find(&self) -> Box<dyn Find> {
        Box::new(ClusterPorts(
            self.0.nodes.iter().map(Server::port).collect(),
        ))
    }

    fn fail_over(&self, random: &mut Random) -> Option<&'static str> {
        let replicas: Vec<_> = self
            .0
            .nodes
            .iter()
            .filter(|node| !is_primary(node))
            .collect();
        if replicas.is_empty() {
            return None;
        }
        let how = *random.pick(&[
            "CLUSTER FAILOVER",
            "CLUSTER FAILOVER FORCE",
            "CLUSTER FAILOVER TAKEOVER",
        ]);
        let replica: &Server = random.pick::<&Server>(&replicas);
        (text(replica, how) == "OK").then_some(how)
    }

    fn reshard(&self, random: &mut Random) -> bool {
        let nodes = self.0.nodes.iter();
        let primaries: Vec<_> = nodes.filter(|node| is_primary(node)).collect();
        let (from, to) = (random.pick(&primaries), random.pick(&primaries));
        // One that gives its last slot away becomes a replica of the other (Valkey).
        if from.port() == to.port() || slots_of(from) <= RESHARDED {
            return false;
        }
        let reshard = [
            "--cluster",
            "reshard",
            &address(from),
            "--cluster-from",
            &text(from, "CLUSTER MYID"),
            "--cluster-to",
            &text(to, "CLUSTER MYID"),
            "--cluster-slots",
            &RESHARDED.to_string(),
            "--cluster-pipeline",
            "20",
            "--cluster-yes",
        ];
        let (is_done, said) = redis_cli(&reshard);
        if !is_done {
            println!("reshard: {}", said.lines().last().unwrap_or_default());
            self.mend();
        }
        is_done
    }

    /// A failover soon after a reshard can leave slots that no node has (Redis 7.0).
    fn mend(&self) {
        for node in &self.0.nodes {
            let [state, slots] =
                ["cluster_state", "cluster_slots_ok"].map(|name| field(node, "CLUSTER INFO", name));
            println!("  {}: state {state}, {slots} slots", node.port());
        }
        let Some(node) = self.0.nodes.iter().find(|node| is_primary(node)) else {
            return;
        };
        let (is_done, said) = redis_cli(&["--cluster", "fix", &address(node), "--cluster-yes"]);
        if !is_done {
            println!("fix: {}", said.lines().last().unwrap_or_default());
        }
    }

    fn is_linked(&self) -> bool {
        let nodes = &self.0.nodes;
        let primaries = nodes.iter().filter(|node| is_primary(node)).count();
        primaries == 3
            && nodes.iter().all(|node| {
                field(node, "CLUSTER INFO", "cluster_state") == "ok"
                    && !text(node, "CLUSTER NODES").contains("fail")
                    && match is_primary(node) {
                        true => replication(node, "connected_slaves") == "1",
                        false => replication(node, "master_link_status") == "up",
                    }
            })
    }
}

struct Nemesis<'a> {
    deployment: &'a mut dyn Deployment,
    disks: &'a Disks,
    ledgers: &'a [Ledger],
    tally: &'a Tally,
    /// Has clients pause that write.
    hold: &'a AtomicBool,
    random: Random,
}

fn sleep(random: &mut Random, milliseconds: std::ops::Range<u64>) {
    let pause = milliseconds.start + random.below(milliseconds.end - milliseconds.start);
    std::thread::sleep(Duration::from_millis(pause));
}

impl Nemesis<'_> {
    fn primaries(&self) -> BTreeSet<u16> {
        let servers = self.deployment.servers().iter();
        servers
            .filter(|server| is_primary(server))
            .map(Server::port)
            .collect()
    }

    fn replica(&mut self) -> Option<usize> {
        let servers = self.deployment.servers();
        let replicas: Vec<usize> = (0..servers.len())
            .filter(|&i| !is_primary(&servers[i]))
            .collect();
        (!replicas.is_empty()).then(|| *self.random.pick(&replicas))
    }

    fn wait_until_linked(&self) {
        let (mut patience, mut alone) = (Patience::of(HEALED), Some(Patience::of(HEALED / 3)));
        while !self.deployment.is_linked() {
            assert!(
                !patience.is_over(),
                "waited {HEALED:?} in vain until all replicas follow their primaries"
            );
            if alone.as_mut().is_some_and(Patience::is_over) {
                alone = None;
                self.deployment.mend();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What a server lacks, and its number, if any does.
    fn lacks(&self) -> Option<(usize, String)> {
        let servers = self.deployment.servers().iter().enumerate();
        let mut lacking = servers.filter_map(|(i, server)| {
            let told = [
                "arrays_incomplete",
                "keys_unavailable",
                "fills",
                "catching_up",
            ]
            .map(|name| {
                let value = field(server, "INFO mmap", &format!("mmap_{name}"));
                format!("{name}={value}")
            });
            let is_whole = told.iter().all(|told| told.ends_with("=0"));
            (!is_whole).then(|| (i, format!("{}: {}", server.port(), told.join(" "))))
        });
        lacking.next()
    }

    /// Waits until no array of any server lacks anything.
    fn wait_until_whole(&self) {
        let mut last = String::new();
        let (start, mut patience, mut told) = (Instant::now(), Patience::of(HEALED), 0);
        loop {
            // With writers that bind files again and again, some array is always on its way. But only they give up what a
            // primary lacks, after a takeover that was forced on a replica that did not have it.
            let turn = start.elapsed().as_secs() / UNDER_LOAD.as_secs();
            self.hold.store(turn % 2 == 1, Ordering::Relaxed);
            let lacks = self.lacks();
            if let Some((i, lacks)) = &lacks {
                if *lacks != last {
                    println!("  {lacks}");
                    last.clone_from(lacks);
                }
                if turn > told {
                    told = turn;
                    println!(
                        "  after {} s, {}",
                        start.elapsed().as_secs(),
                        self.usage(*i)
                    );
                }
            } else if self.deployment.is_linked() {
                break;
            }
            if patience.is_over() {
                for i in 0..self.deployment.servers().len() {
                    println!("  {}", self.usage(i));
                }
                panic!("waited {HEALED:?} in vain until all arrays are whole");
            }
            std::thread::sleep(LOOK);
        }
        self.hold.store(false, Ordering::Relaxed);
        self.remove_given_up();
    }

    /// What takes the room of a server's disk.
    fn usage(&self, i: usize) -> String {
        let server = &self.deployment.servers()[i];
        let usage = self.disks.usage(i, &process_id(server));
        format!("{}: {usage}", server.port())
    }

    /// `DEL` leaves the files of keys that were given up, and so does a slot that moves: an operator removes them.
    fn remove_given_up(&self) {
        for (i, server) in self.deployment.servers().iter().enumerate() {
            if let Some(Reply::Array(keys)) = server.try_ask("KEYS *") {
                let keys = keys.into_iter().map(Reply::text).collect();
                let is_given_up = |key: &str| self.ledgers.iter().any(|it| it.is_former(key));
                self.disks.remove_given_up(i, &keys, is_given_up);
            }
        }
    }

    /// Room that no array needs is given back, once all are whole and no client writes.
    fn check_room(&self) {
        for (i, server) in self.deployment.servers().iter().enumerate() {
            let pid = process_id(server);
            let mut patience = Patience::of(HEALED);
            loop {
                let kept = self.disks.kept_for_nothing(i, &pid);
                if kept.is_empty() {
                    break;
                }
                if patience.is_over() {
                    let what = format!("{} takes room for nothing: {kept:#?}", server.port());
                    // It is no wrong value: the long run is to find its cause, a short one says it.
                    if std::env::var_os("MMAP_SECONDS").is_some() {
                        self.tally.differs(what);
                    } else {
                        println!("{what}");
                    }
                    break;
                }
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Waits until each replica has applied all that its primary sent before.
    fn wait_for_the_streams(&self) {
        let servers = self.deployment.servers();
        let offset = |server: &Server, name: &str| replication(server, name).parse::<u64>().ok();
        wait_at_most(HEALED, "replicas have what was sent to them", || {
            servers
                .iter()
                .filter(|server| !is_primary(server))
                .all(|replica| {
                    let port = replication(replica, "master_port");
                    let primary = servers
                        .iter()
                        .find(|server| server.port().to_string() == port);
                    let sent = primary.and_then(|primary| offset(primary, "master_repl_offset"));
                    sent.is_some() && offset(replica, "slave_repl_offset") >= sent
                })
        });
    }

    /// Does something, and says what.
    fn strike(&mut self) -> Option<&'static str> {
        let count = self.deployment.servers().len() as u64;
        let which = self.random.below(count) as usize;
        let kind = self.random.below(10);
        // Two that are down at once are more than is promised for.
        if kind < 4 {
            self.wait_until_linked();
        }
        let before = self.primaries();
        let what = match kind {
            0 | 1 => {
                let server = &mut self.deployment.servers_mut()[which];
                let (port, was_primary) = (server.port(), is_primary(server));
                server.kill_9();
                if was_primary {
                    wait_at_most(HEALED, "another takes over", || {
                        let servers = self.deployment.servers().iter();
                        let mut others = servers.filter(|server| server.port() != port);
                        others.any(|server| is_primary(server) && !before.contains(&server.port()))
                    });
                }
                sleep(&mut self.random, 0..2000);
                self.deployment.servers_mut()[which].start_again_at_its_port();
                if was_primary {
                    "kill of a primary"
                } else {
                    "kill of a replica"
                }
            }
            2 => {
                let server = &self.deployment.servers()[which];
                server.stop();
                sleep(&mut self.random, 100..6000);
                server.go_on();
                "stop"
            }
            3 => self.deployment.fail_over(&mut self.random)?,
            4 => {
                let ballast = self.disks.fill_up(which);
                sleep(&mut self.random, 500..3000);
                let _ = std::fs::remove_file(ballast);
                "full disk"
            }
            5 => {
                let i = self.replica()?;
                let path = self.disks.file(i, &mut self.random)?;
                let file = std::fs::File::options().write(true).open(&path).ok()?;
                let len = file.metadata().ok()?.len();
                file.set_len(self.random.below(len.max(1))).ok()?;
                "truncation"
            }
            6 => {
                let i = self.replica()?;
                std::fs::remove_file(self.disks.file(i, &mut self.random)?).ok()?;
                "lost file"
            }
            7 => {
                self.wait_until_whole();
                if !self.deployment.reshard(&mut self.random) {
                    return None;
                }
                "reshard"
            }
            _ => {
                text(
                    &self.deployment.servers()[which],
                    "CLIENT KILL TYPE replica",
                );
                "cut link"
            }
        };
        let is_new = !self.primaries().is_subset(&before);
        if is_new {
            self.tally.count("failover");
        }
        Some(what)
    }
}

/// Whatever is the matter with them is over: primaries and replicas hold the same.
fn compare_all(deployment: &dyn Deployment, ledgers: &[Ledger], tally: &Tally) {
    let mut digests: std::collections::HashMap<String, Vec<(u16, String)>> = Default::default();
    for server in deployment.servers() {
        let mut client = server.client();
        client.ask("READONLY");
        for ledger in ledgers {
            let key = ledger.key();
            let digest = client.ask(&format!("DEBUG DIGEST-VALUE {key}")).to_string();
            // Of the nodes of a Cluster, two have it.
            if !digest.contains("0000000000000000000000000000000000000000") {
                digests
                    .entry(key)
                    .or_default()
                    .push((server.port(), digest));
            }
        }
    }
    for (key, found) in digests {
        tally.count("array compared at the end");
        if found.iter().any(|(_, digest)| *digest != found[0].1) {
            tally.differs(format!("{key} at the end: {found:?}"));
        }
    }
}

/// Prints what a run has seen that fails before its end.
struct ToldAtAFailure<'a> {
    name: &'a str,
    tally: &'a Tally,
}

impl Drop for ToldAtAFailure<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tally.print(self.name);
        }
    }
}

fn run(name: &str, deployment: &mut dyn Deployment, disks: &Disks) {
    let seed = seed();
    println!("MMAP_SEED={seed}");
    let length = std::env::var("MMAP_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .map_or(SHORT, Duration::from_secs);
    let ledgers = Ledger::all();
    let (tally, stop, hold) = (
        Tally::default(),
        AtomicBool::new(false),
        AtomicBool::new(false),
    );
    let looks: Vec<AtomicU64> = ledgers.iter().map(|_| AtomicU64::default()).collect();
    let _told_at_a_failure = ToldAtAFailure {
        name,
        tally: &tally,
    };
    let find = deployment.find();
    let clients = Run {
        find: &*find,
        tally: &tally,
        stop: &stop,
        hold: &hold,
    };
    let mut nemesis = Nemesis {
        deployment: &mut *deployment,
        disks,
        ledgers: &ledgers,
        tally: &tally,
        hold: &hold,
        random: Random::new(seed),
    };
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for (i, (ledger, looks)) in (1..).zip(ledgers.iter().zip(&looks)) {
            let writer = Writer::new(&clients, ledger, looks, seed + i);
            scope.spawn(move || writer.work());
        }
        for i in 0..READERS {
            let (clients, ledgers) = (&clients, &ledgers);
            scope.spawn(move || read(clients, ledgers, seed + 100 + i));
        }
        let start = Instant::now();
        while start.elapsed() < length && !tally.has_differences() {
            sleep(&mut nemesis.random, 200..1500);
            if let Some(what) = nemesis.strike() {
                println!("{:4} s: {what}", start.elapsed().as_secs());
                tally.count(what);
            }
            if nemesis.random.once_in(2) {
                nemesis.wait_until_whole();
            }
        }
        nemesis.wait_until_linked();
        nemesis.wait_until_whole();
        // Writers look once more at what is there, each on a new connection, and go on.
        let now = || looks.iter().map(|looks| looks.load(Ordering::Relaxed));
        let before: Vec<u64> = now().collect();
        for server in nemesis.deployment.servers() {
            text(server, "CLIENT KILL TYPE normal");
        }
        wait_at_most(HEALED, "all writers have connected again", || {
            tally.has_differences() || now().zip(&before).all(|(now, before)| now > *before)
        });
        stop.store(true, Ordering::Relaxed);
    });
    // Nothing is written any more: what was written reaches all, and then they hold the same.
    if !tally.has_differences() {
        nemesis.wait_until_whole();
        nemesis.wait_for_the_streams();
        nemesis.check_room();
    }
    compare_all(deployment, &ledgers, &tally);
    if tally.has_differences() {
        for server in deployment.servers() {
            println!("--- {}:\n{}", server.port(), server.log());
        }
    }
    tally.report(name);
}

#[test]
fn the_long_run_under_sentinel() {
    match Disks::new(3) {
        Err(why) => cannot_run(&why),
        Ok(disks) => run("Sentinel", &mut Sentinel::start(|i| disks.setup(i)), &disks),
    }
}

#[test]
fn the_long_run_in_a_cluster() {
    match Disks::new(6) {
        Err(why) => cannot_run(&why),
        Ok(disks) => run(
            "Cluster",
            &mut OfCluster(Cluster::of(|i| disks.setup(i))),
            &disks,
        ),
    }
}
