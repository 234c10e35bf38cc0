//! Arrays on a Cluster: three primaries, three replicas, on loopback.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::pair::{assert_same, catch_up};
use crate::writer::{LONG, while_writing};
use support::{Client, Reply, Server, Setup, StopAtEnd, wait_at_most, wait_until};

/// Six servers and their clients keep a machine busy, and nodes that answer late pass for dead.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub struct Cluster {
    pub nodes: Vec<Server>,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    #[track_caller]
    pub fn start() -> Cluster {
        Cluster::of(|_| Server::setup())
    }

    /// Whose nodes do not pass for dead, however busy the machine is: for what no failover is to disturb.
    #[track_caller]
    pub fn steady() -> Cluster {
        let cluster = Cluster::start();
        for node in &cluster.nodes {
            for setting in [
                "cluster-node-timeout 120000",
                "cluster-replica-no-failover yes",
            ] {
                assert_eq!(node.say(&format!("CONFIG SET {setting}")), "OK");
            }
        }
        cluster
    }

    /// Of nodes that are set up like this, by their number.
    #[track_caller]
    pub fn of(setup: impl Fn(usize) -> Setup) -> Cluster {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes: Vec<Server> = (0..6)
            .map(|i| {
                let bus = TcpListener::bind("127.0.0.1:0").unwrap();
                let bus_port = bus.local_addr().unwrap().port();
                drop(bus);
                setup(i)
                    .config("cluster-enabled", "yes")
                    .config("cluster-port", &bus_port.to_string())
                    .config("cluster-node-timeout", "2000")
                    .config("repl-diskless-sync-delay", "0")
                    .start()
            })
            .collect();
        let cluster = Cluster {
            nodes,
            _alone: alone,
        };
        let addresses: Vec<String> = cluster.nodes.iter().map(address).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses);
        create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        redis_cli_must(&create);
        wait_at_most(LONG, "all nodes agree on the cluster", || {
            cluster.nodes.iter().all(|node| {
                node.info_of_cluster("cluster_state") == "ok"
                    && node.ask("CLUSTER NODES").text().matches("slave").count() == 3
            })
        });
        for primary in cluster.primaries() {
            wait_at_most(LONG, "a primary has its replica", || {
                let info = primary.ask("INFO replication").text();
                info.contains("state=online")
            });
        }
        cluster
    }

    fn by_port(&self, port: &str) -> Option<&Server> {
        self.nodes
            .iter()
            .find(|node| node.port().to_string() == port)
    }

    pub fn primaries(&self) -> Vec<&Server> {
        self.nodes.iter().filter(|node| is_primary(node)).collect()
    }

    /// The primary that serves a key.
    pub fn primary_of(&self, key: &str) -> &Server {
        let mut client = Router::new(self.nodes[0].port());
        assert!(!client.ask(&format!("VSIZE {key}")).is_error());
        let port = client.last_port.to_string();
        self.by_port(&port).expect("a node of ours")
    }

    /// The replica of a primary, which answers clients, too.
    pub fn replica_of(&self, primary: &Server) -> &Server {
        let port = primary.port().to_string();
        let is_its =
            |node: &&Server| !is_primary(node) && node.info("replication", "master_port") == port;
        let replica = self.nodes.iter().find(is_its).expect("a replica");
        assert_eq!(replica.say("READONLY"), "OK");
        replica
    }
}

pub trait ClusterNode {
    fn info_of_cluster(&self, field: &str) -> String;
    fn id(&self) -> String;
}

impl ClusterNode for Server {
    fn info_of_cluster(&self, field: &str) -> String {
        let info = self.ask("CLUSTER INFO").text();
        let line = info.lines().find_map(|line| line.strip_prefix(field));
        line.unwrap_or_default().trim_start_matches(':').to_owned()
    }

    fn id(&self) -> String {
        self.ask("CLUSTER MYID").text()
    }
}

pub fn is_primary(node: &Server) -> bool {
    node.info("replication", "role") == "master"
}

pub fn address(node: &Server) -> String {
    format!("127.0.0.1:{}", node.port())
}

/// Runs `redis-cli`, and says whether it succeeded and what it printed.
pub fn redis_cli(args: &[&str]) -> (bool, String) {
    let output = Command::new("redis-cli").args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Runs `redis-cli`, which must succeed.
#[track_caller]
fn redis_cli_must(args: &[&str]) -> String {
    let (is_done, text) = redis_cli(args);
    assert!(is_done, "redis-cli {args:?}: {text}");
    text
}

/// A client that goes where the nodes send it.
pub struct Router {
    start: u16,
    last_port: u16,
    clients: HashMap<u16, Client>,
}

impl Router {
    pub fn new(port: u16) -> Router {
        Router {
            start: port,
            last_port: port,
            clients: HashMap::new(),
        }
    }

    fn try_at(&mut self, port: u16, command: &[&str]) -> std::io::Result<Reply> {
        let client = match self.clients.entry(port) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Client::try_connect(port)?),
        };
        let mut bytes = Vec::new();
        Client::encode(&mut bytes, command);
        let reply = client.try_send(&bytes).and_then(|()| client.try_receive());
        if reply.is_err() {
            self.clients.remove(&port);
        }
        reply
    }

    /// Asks until a node answers for itself. Errors that say to try again are obeyed.
    pub fn ask(&mut self, command: &str) -> Reply {
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut answer = None;
        wait_at_most(LONG, command, || {
            let reply = self.try_at(self.last_port, &words);
            let Ok(reply) = reply else {
                self.last_port = self.start;
                return false;
            };
            let text = match &reply {
                Reply::Error(text) => text.clone(),
                _ => String::new(),
            };
            let target = || text.rsplit(':').next()?.parse::<u16>().ok();
            if text.starts_with("MOVED ") {
                self.last_port = target().unwrap();
                return false;
            }
            if text.starts_with("ASK ") {
                let port = target().unwrap();
                let _ = self.try_at(port, &["ASKING"]);
                match self.try_at(port, &words) {
                    Ok(Reply::Error(text)) if text.starts_with("TRYAGAIN") => return false,
                    Ok(reply) => answer = Some(reply),
                    Err(_) => return false,
                }
                return true;
            }
            if text.starts_with("CLUSTERDOWN") || text.starts_with("TRYAGAIN") {
                return false;
            }
            answer = Some(reply);
            true
        });
        answer.unwrap()
    }
}

/// Whether a node has another for its primary, and the link to it. One reply tells: it may become a primary between two.
pub fn follows(node: &Server, primary: &Server) -> bool {
    let replication = node.ask("INFO replication").text();
    let says = |expected: &str| replication.lines().any(|line| line == expected);
    says(&format!("master_port:{}", primary.port())) && says("master_link_status:up")
}

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// How many slots are moved; moving one takes many commands, whatever is in it.
pub const SLOTS: i64 = 50;

/// Keys in the first slots of the first primary.
#[track_caller]
pub fn keys_in_first_slots(cluster: &Cluster) -> Vec<String> {
    let node = &cluster.nodes[0];
    (0..)
        .map(|i| format!("key:{i}"))
        .filter(|key| node.int(&format!("CLUSTER KEYSLOT {key}")) < SLOTS)
        .take(4)
        .collect()
}

#[track_caller]
pub fn map_and_push(cluster: &Cluster, keys: &[impl AsRef<str>], count: i64) {
    for primary in cluster.primaries() {
        std::fs::create_dir(primary.path("dir")).unwrap();
    }
    let mut client = Router::new(cluster.nodes[0].port());
    for key in keys.iter().map(AsRef::as_ref) {
        let reply = client.ask(&format!("MMAP {key} dir/{key}.i64 int64 WRITABLE"));
        assert_eq!(reply, Reply::Int(0), "{key}");
        for i in 0..count {
            assert_eq!(client.ask(&format!("VPUSH {key} {i}")), Reply::Int(1));
        }
    }
}

/// What an array of that many consecutive numbers holds.
pub fn numbers(count: i64) -> Vec<Reply> {
    (0..count).map(Reply::Int).collect()
}

#[test]
fn a_replica_takes_over_with_everything_that_it_had_acknowledged() {
    let mut cluster = Cluster::start();
    map_and_push(&cluster, &KEYS, 20);
    let through_cli = redis_cli_must(&[
        "-c",
        "-p",
        &cluster.nodes[0].port().to_string(),
        "VSIZE",
        "a",
    ]);
    assert_eq!(through_cli.trim(), "20");

    let victim = cluster.primary_of("a").port();
    let index = cluster
        .nodes
        .iter()
        .position(|n| n.port() == victim)
        .unwrap();
    let mut client = Router::new(victim);
    for i in 20..40 {
        assert_eq!(client.ask(&format!("VPUSH a {i}")), Reply::Int(1));
    }
    assert_eq!(client.ask("WAIT 1 20000"), Reply::Int(1));
    cluster.nodes[index].kill_9();
    let survivor = cluster.nodes[(index + 1) % 6].port();
    let mut client = Router::new(survivor);
    assert_eq!(client.ask("VALL a").items(), numbers(40));
    assert_eq!(client.ask("VPUSH a 40"), Reply::Int(1));
    for key in KEYS {
        let count = if key == "a" { 41 } else { 20 };
        assert_eq!(client.ask(&format!("VALL {key}")).items(), numbers(count));
    }
    // The old primary comes back as a replica of the new one, and throws away nothing that counts.
    cluster.nodes[index].start_again();
    let old = &cluster.nodes[index];
    let new = cluster.primary_of("a");
    wait_at_most(LONG, "the old primary follows", || follows(old, new));
    catch_up(new, old);
    assert_eq!(old.say("READONLY"), "OK");
    assert_eq!(old.ask("VALL a").items(), numbers(41));
    assert_eq!(old.read("dir/a.i64"), new.read("dir/a.i64"));
}

#[test]
fn a_manual_failover_loses_nothing_and_the_old_primary_follows() {
    let cluster = Cluster::start();
    let keys: Vec<_> = (0..4).map(|i| format!("{{slot}}{i}")).collect();
    map_and_push(&cluster, &keys, 0);
    let primary = cluster.primary_of(&keys[0]);
    let mut found = None;
    wait_at_most(LONG, "the primary has its replica", || {
        found = cluster.nodes.iter().find(|node| follows(node, primary));
        found.is_some()
    });
    let replica = found.unwrap();
    let written = while_writing(
        &keys,
        &[primary.port(), replica.port()],
        |wait_for_writes| {
            // There and back; who has just been elected is not elected again for a while.
            for [from, to] in [[primary, replica], [replica, primary]] {
                wait_for_writes();
                assert_eq!(to.say("CLUSTER FAILOVER"), "OK");
                wait_at_most(LONG, "they have changed places", || {
                    is_primary(to) && follows(from, to)
                });
                // A node that does not know yet does not take part in the next one.
                let replicas = format!("CLUSTER REPLICAS {}", to.id());
                wait_at_most(LONG, "all nodes know", || {
                    let knows = |node: &Server| node.say(&replicas).contains(&from.id());
                    cluster.nodes.iter().all(knows)
                });
                wait_for_writes();
            }
        },
    );
    let mut client = Router::new(primary.port());
    for key in &written {
        let expected: Vec<_> = key.values.iter().copied().map(Reply::Int).collect();
        assert_eq!(client.ask(&format!("VALL {}", key.key)).items(), expected);
    }
    assert_eq!(replica.say("READONLY"), "OK");
    assert_same(primary, replica);
}

/// Pushes consecutive numbers from 5 on to each key while something is done, which begins when each has got one, and says how
/// many each has in the end.
#[track_caller]
pub fn while_pushing(cluster: &Cluster, keys: &[String], work: impl FnOnce()) -> Vec<i64> {
    let stop = AtomicBool::new(false);
    let start = cluster.nodes[0].port();
    let counts: Vec<AtomicI64> = keys.iter().map(|_| AtomicI64::new(5)).collect();
    std::thread::scope(|scope| {
        for (key, count) in keys.iter().zip(&counts) {
            let stop = &stop;
            scope.spawn(move || {
                let mut client = Router::new(start);
                while !stop.load(Ordering::Relaxed) {
                    let next = count.load(Ordering::Relaxed);
                    let reply = client.ask(&format!("VPUSH {key} {next}"));
                    assert_eq!(reply, Reply::Int(1), "{key}");
                    count.store(next + 1, Ordering::Relaxed);
                }
            });
        }
        // Whatever goes wrong, the writers end.
        let _stop = StopAtEnd(&stop);
        wait_until("all keys are written to", || {
            counts.iter().all(|count| count.load(Ordering::Relaxed) > 5)
        });
        work();
    });
    counts.into_iter().map(AtomicI64::into_inner).collect()
}

/// Each key holds that many consecutive numbers, and so do the files of its primary and of that one's replicas.
#[track_caller]
pub fn assert_numbers(cluster: &Cluster, keys: &[String], counts: &[i64]) {
    let mut client = Router::new(cluster.nodes[0].port());
    for (key, &count) in keys.iter().zip(counts) {
        assert!(count > 5, "{key} was not written to during the move");
        assert_eq!(client.ask(&format!("VALL {key}")).items(), numbers(count));
        let primary = cluster.primary_of(key);
        let file = format!("dir/{key}.i64");
        let bytes = count as u64 * 8;
        let expected = primary.at_rest(&file, bytes);
        for replica in cluster.nodes.iter().filter(|node| follows(node, primary)) {
            catch_up(primary, replica);
            assert!(replica.at_rest(&file, bytes) == expected, "{file} differs");
        }
    }
}

#[test]
fn slots_move_with_their_arrays_while_these_are_written_to() {
    let cluster = Cluster::steady();
    let keys = keys_in_first_slots(&cluster);
    map_and_push(&cluster, &keys, 5);
    let counts = while_pushing(&cluster, &keys, || {
        // To another primary and back, where the files were left behind.
        let from = cluster.primary_of(&keys[0]);
        let to = *cluster
            .primaries()
            .iter()
            .find(|node| node.port() != from.port())
            .unwrap();
        for [from, to] in [[from, to], [to, from]] {
            wait_at_most(LONG, "all nodes agree on the slots", || {
                let output = Command::new("redis-cli")
                    .args(["--cluster", "check", &address(from)])
                    .output();
                output.unwrap().status.success()
            });
            redis_cli_must(&[
                "--cluster",
                "reshard",
                &address(from),
                "--cluster-from",
                &from.id(),
                "--cluster-to",
                &to.id(),
                "--cluster-slots",
                &SLOTS.to_string(),
                "--cluster-pipeline",
                "100",
                "--cluster-yes",
            ]);
        }
    });
    assert_numbers(&cluster, &keys, &counts);
}
