//! Whatever happens to a primary and its replica: in the end both hold the same, and so do their files.

use crate::pair::{assert_same, follow};
use support::random::{Random, rounds, seed};
use support::{Client, Reply, Server, wait_until};

/// What a round does to the two.
const EVENTS: usize = 12;

struct Two {
    servers: [Server; 2],
    primary: usize,
    /// Clients that wait for long writes, whatever comes of them.
    waiting: Vec<Client>,
    /// How many files were made so far.
    files: u32,
}

impl Two {
    fn start() -> Two {
        let server = || {
            Server::setup()
                .config("repl-backlog-size", "64mb")
                .config("repl-diskless-sync-delay", "0")
                .start()
        };
        let two = Two {
            servers: [server(), server()],
            primary: 0,
            waiting: Vec::new(),
            files: 0,
        };
        follow(two.replica(), two.primary());
        two
    }

    fn primary(&self) -> &Server {
        &self.servers[self.primary]
    }

    fn replica(&self) -> &Server {
        &self.servers[1 - self.primary]
    }

    fn map(&self) {
        for command in [
            "MMAP ints ints int32 WRITABLE",
            "MMAP big big uint8 WRITABLE",
        ] {
            let mut reply = self.primary().ask(command);
            // One whose key was given up is taken on purpose alone.
            if matches!(&reply, Reply::Error(text) if text.contains("MMAP ... INCOMPLETE")) {
                reply = self.primary().ask(&format!("{command} INCOMPLETE"));
            }
            assert!(matches!(reply, Reply::Int(_)), "{command}: {reply}");
        }
        if self.primary().int("VSIZE big") < 16 << 20 {
            let bytes = vec![1_u8; 24 << 20];
            self.primary().run(&[b"VADDRAW".as_slice(), b"big", &bytes]);
        }
    }

    /// A file that was there before it is bound, so that its contents are sent by and by.
    fn map_a_file(&mut self, random: &mut Random) {
        self.files += 1;
        let name = format!("file{}", self.files);
        let bytes: Vec<u8> = (0..random.below(6 << 20))
            .map(|i| (i % 249) as u8)
            .collect();
        self.primary().write(&name, bytes);
        let reply = self
            .primary()
            .ask(&format!("MMAP {name} {name} uint8 WRITABLE"));
        assert!(matches!(reply, Reply::Int(_)), "{reply}");
    }

    fn long_write(&mut self, random: &mut Random) {
        let command = match random.below(3) {
            0 => format!("VTRIM big {} -1", random.below(100_000)),
            _ => format!("VFILL big {} -1 {}", random.below(1000), random.below(256)),
        };
        let mut client = self.primary().client();
        client.send(&command.split_whitespace().collect::<Vec<_>>());
        self.waiting.push(client);
    }

    fn write(&mut self, random: &mut Random) {
        let index = random.below(1000);
        let value = random.below(100);
        let command = match random.below(40) {
            0..=19 => format!("VPUSH ints {value} {index} {value}"),
            20..=24 => format!("VSET ints {index} {value}"),
            25..=29 => format!("VSET big {} {value}", index * 1000),
            30..=32 => format!("VPOP ints {value}"),
            33 | 34 => format!("VPUSH big {value} {value}"),
            35 => format!("VFILL ints {value} -1 {index}"),
            36 => format!("VTRIM ints {value} -1"),
            37 => return self.long_write(random),
            38 if random.once_in(4) => return self.map_a_file(random),
            38 => "VPOP big 1000".to_owned(),
            _ => "VINCRBY ints 0 1 1 1".to_owned(),
        };
        let reply = self.primary().ask(&command);
        if let Reply::Error(text) = reply {
            assert!(
                ["out of range", "its head is being removed already"]
                    .iter()
                    .any(|part| text.contains(part)),
                "{command}: {text}"
            );
        }
    }

    /// Something happens, and the two find each other again.
    fn event(&mut self, random: &mut Random) {
        if random.once_in(2) {
            let server = random.pick(&self.servers);
            server.save();
        }
        let old = self.primary;
        let what = match random.below(9) {
            0 => {
                self.primary().ask("CLIENT KILL TYPE replica");
                "a cut of the link"
            }
            1 => {
                assert_eq!(self.primary().say("CLIENT PAUSE 300 WRITE"), "OK");
                "a pause"
            }
            2 | 3 => {
                let start = self.primary().ask("FAILOVER TIMEOUT 20000");
                assert_eq!(start.to_string(), "OK");
                self.primary = 1 - self.primary;
                "a failover"
            }
            4 => {
                assert_eq!(self.replica().say("REPLICAOF NO ONE"), "OK");
                self.primary = 1 - self.primary;
                follow(&self.servers[old], self.primary());
                "a change of roles by hand"
            }
            5 => {
                self.servers[old].kill_9();
                self.servers[old].start_again();
                follow(self.replica(), self.primary());
                "a crash of the primary, which comes back"
            }
            6 => {
                self.servers[old].kill_9();
                self.primary = 1 - self.primary;
                assert_eq!(self.primary().say("REPLICAOF NO ONE"), "OK");
                self.servers[old].start_again();
                follow(&self.servers[old], self.primary());
                "a crash of the primary, which follows the other"
            }
            7 => {
                self.servers[old].kill_9();
                self.primary = 1 - self.primary;
                assert_eq!(self.primary().say("REPLICAOF NO ONE"), "OK");
                let primary = format!("127.0.0.1 {}", self.primary().port());
                self.servers[old].start_again_with("replicaof", &primary);
                "a crash of the primary, which is started as a replica"
            }
            _ => {
                self.servers[1 - old].kill_9();
                self.servers[1 - old].start_again();
                follow(self.replica(), self.primary());
                "a crash of the replica"
            }
        };
        println!("{what}");
        wait_until("the two have found each other", || {
            // A replica that is busy notices later that its link was cut.
            self.primary().info("replication", "role") == "master"
                && self.primary().info("replication", "connected_slaves") == "1"
                && self.replica().info("replication", "master_link_status") == "up"
        });
        // Whatever they are told, if the server is still there.
        for mut client in self.waiting.drain(..) {
            let _ = client.try_receive();
        }
    }

    /// Of a file that the primary did not get whole, the key says so, and what to do.
    fn give_up_incomplete_files(&self) {
        for key in self.primary().ask("KEYS *").items() {
            let key = key.text();
            if let Reply::Error(text) = self.primary().ask(&format!("VSIZE {key}")) {
                assert!(text.contains("replace the file by a copy"), "{text}");
                self.primary().ask(&format!("DEL {key}"));
            }
        }
    }
}

#[test]
fn whatever_happens_both_end_the_same() {
    let seed = seed();
    for round in 0..rounds(1) {
        println!("MMAP_SEED={seed}, round {round}");
        let seed = seed.wrapping_add(round);
        let mut random = Random::new(seed);
        let mut two = Two::start();
        for _ in 0..EVENTS {
            two.map();
            for _ in 0..random.below(300) {
                two.write(&mut random);
            }
            two.event(&mut random);
            two.give_up_incomplete_files();
            // As often as not, the next thing happens before they are the same.
            if random.once_in(2) {
                assert_same(two.primary(), two.replica());
            }
        }
        assert_same(two.primary(), two.replica());
    }
}
