//! A primary and two replicas, and a Sentinel that looks after them.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::clients::Find;
use super::{Deployment, replication};
use crate::pair::follow;
use crate::writer::LONG;
use support::random::Random;
use support::{Client, Reply, Server, Setup, server_program, wait_at_most};

pub struct Sentinel {
    servers: Vec<Server>,
    port: u16,
    process: Child,
    _temp: TempDir,
}

impl Sentinel {
    #[track_caller]
    pub fn start(setup: impl Fn(usize) -> Setup) -> Sentinel {
        let servers: Vec<Server> = (0..3).map(|i| setup(i).start()).collect();
        for replica in &servers[1..] {
            follow(replica, &servers[0]);
        }
        let temp = tempfile::tempdir().unwrap();
        let config = temp.path().join("sentinel.conf");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let lines = [
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("dir {}", temp.path().display()),
            format!("sentinel monitor all 127.0.0.1 {} 1", servers[0].port()),
            "sentinel down-after-milliseconds all 1500".to_owned(),
            "sentinel failover-timeout all 8000".to_owned(),
            "sentinel parallel-syncs all 2".to_owned(),
        ];
        std::fs::write(&config, lines.join("\n") + "\n").unwrap();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(server_program())
            .arg(&config)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let sentinel = Sentinel {
            servers,
            port,
            process,
            _temp: temp,
        };
        wait_at_most(LONG, "the Sentinel knows both replicas", || {
            Client::try_connect(port).is_ok_and(|mut client| {
                let known = client.ask("SENTINEL REPLICAS all");
                matches!(known, Reply::Array(replicas) if replicas.len() == 2)
            })
        });
        sentinel
    }

    fn primary(&self) -> Option<u16> {
        primary(self.port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn primary(sentinel: u16) -> Option<u16> {
    let mut client = Client::try_connect(sentinel).ok()?;
    client.set_patience(Some(Duration::from_secs(5)));
    let mut bytes = Vec::new();
    Client::encode(&mut bytes, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "all"]);
    client.try_send(&bytes).ok()?;
    match client.try_receive().ok()? {
        Reply::Array(address) => address[1].clone().text().parse().ok(),
        _ => None,
    }
}

struct Ports {
    sentinel: u16,
    all: Vec<u16>,
}

impl Find for Ports {
    fn primary(&self) -> Option<u16> {
        primary(self.sentinel)
    }

    fn replicas(&self) -> i64 {
        2
    }

    fn all(&self) -> Vec<u16> {
        self.all.clone()
    }

    fn is_cluster(&self) -> bool {
        false
    }
}

impl Deployment for Sentinel {
    fn servers(&self) -> &[Server] {
        &self.servers
    }

    fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    fn find(&self) -> Box<dyn Find> {
        Box::new(Ports {
            sentinel: self.port,
            all: self.servers.iter().map(Server::port).collect(),
        })
    }

    fn fail_over(&self, _: &mut Random) -> Option<&'static str> {
        let before = self.primary();
        let reply = Client::try_connect(self.port)
            .ok()?
            .ask("SENTINEL FAILOVER all");
        if reply.is_error() {
            return None;
        }
        wait_at_most(LONG, "the Sentinel names another", || {
            self.primary() != before
        });
        Some("SENTINEL FAILOVER")
    }

    fn reshard(&self, _: &mut Random) -> bool {
        false
    }

    fn mend(&self) {}

    fn is_linked(&self) -> bool {
        let Some(primary) = self.primary() else {
            return false;
        };
        self.servers.iter().all(|server| {
            if server.port() == primary {
                return replication(server, "role") == "master"
                    && replication(server, "connected_slaves") == "2";
            }
            replication(server, "role") == "slave"
                && replication(server, "master_port") == primary.to_string()
                && replication(server, "master_link_status") == "up"
        })
    }
}
