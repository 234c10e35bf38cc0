//! Several clients at work, each on files of its own, while the server is killed: what was acknowledged is there, and of
//! the commands in flight so many, from the first on, as the server came to.

use std::collections::VecDeque;
use std::time::Duration;

use crate::commands::{Command, Torn};
use crate::count::Count;
use crate::file::File;
use crate::{bind_all, check_all, check_reply, files, pick, server};
use support::Client;
use support::random::{Episodes, Random};

const CLIENTS: usize = 3;
const KILLS: usize = 5;

/// A command that was sent.
struct Sent {
    file: usize,
    command: Command,
}

/// What a client knew when the server died.
struct Work {
    files: Vec<File>,
    /// What each file held after the last command on it that was acknowledged.
    known: Vec<Vec<u8>>,
    in_flight: VecDeque<Sent>,
}

impl Work {
    /// Sends commands, several before it looks at the first reply, until the server is gone.
    fn go_on(mut self, mut client: Client, mut random: Random, count: &Count) -> Work {
        loop {
            let mut batch = Vec::new();
            for _ in 0..1 + random.below(12) {
                let file = pick(&mut random, &self.files);
                let command = self.files[file].command(&mut random);
                Client::encode(&mut batch, &command.words);
                if let Some(after) = &command.after {
                    self.files[file].bytes.clone_from(after);
                }
                self.in_flight.push_back(Sent { file, command });
            }
            if client.try_send(&batch).is_err() {
                return self;
            }
            while !self.in_flight.is_empty() {
                let Ok(reply) = client.try_receive() else {
                    return self;
                };
                let Sent { file, command } = self.in_flight.pop_front().unwrap();
                check_reply(count, &self.files[file], &command, &reply);
                if let Some(after) = command.after {
                    self.known[file] = after;
                }
            }
        }
    }

    /// The files as the server has them now, if they may be so.
    fn settle(self, found: Vec<Vec<u8>>) -> Vec<File> {
        let Work {
            mut files,
            mut known,
            in_flight,
        } = self;
        let is_found = in_flight.iter().any(|Sent { file, command }| {
            let is_there = known == found;
            let Some(after) = &command.after else {
                return is_there;
            };
            let size = files[*file].kind.size();
            let others = (0..found.len()).all(|i| i == *file || known[i] == found[i]);
            let is_torn =
                others && is_torn(&command.torn, size, &known[*file], after, &found[*file]);
            if !is_there && !is_torn {
                known[*file].clone_from(after);
            }
            is_there || is_torn
        });
        let sent: Vec<String> = in_flight
            .iter()
            .map(|sent| format!("{:.200}", sent.command.describe()))
            .collect();
        for (i, file) in files.iter_mut().enumerate() {
            assert!(
                is_found || known[i] == found[i],
                "{}: {}; in flight were {sent:#?}",
                file.path,
                crate::file::difference(&found[i], &known[i])
            );
            file.bytes.clone_from(&found[i]);
        }
        files
    }
}

/// Whether that may be left of a command that was being carried out.
fn is_torn(torn: &Torn, size: usize, before: &[u8], after: &[u8], found: &[u8]) -> bool {
    match torn {
        Torn::Never => false,
        Torn::Tail(end) => found == &before[..*end],
        Torn::Values => {
            found.len() == before.len()
                && found
                    .chunks(size)
                    .zip(before.chunks(size).zip(after.chunks(size)))
                    .all(|(found, (before, after))| found == before || found == after)
        }
    }
}

#[test]
fn what_clients_were_told_is_there_when_the_server_was_killed_meanwhile() {
    let count = Count::default();
    for seed in Episodes::new(6) {
        let mut random = Random::new(seed);
        let mut db = server(&mut random);
        let mut all = files();
        bind_all(&db, &all);
        for _ in 0..KILLS {
            let mut shares: Vec<Vec<File>> = (0..CLIENTS).map(|_| Vec::new()).collect();
            for file in all.drain(..) {
                shares[random.below(CLIENTS as u64) as usize].push(file);
            }
            let clients: Vec<_> = shares
                .into_iter()
                .filter(|files| !files.is_empty())
                .map(|files| {
                    let client = if random.once_in(2) {
                        db.client()
                    } else {
                        db.client().resp3()
                    };
                    (files, client, Random::new(random.next()))
                })
                .collect();
            let time = Duration::from_millis(20 + random.below(600));
            let work: Vec<Work> = std::thread::scope(|scope| {
                let count = &count;
                let at_work: Vec<_> = clients
                    .into_iter()
                    .map(|(files, client, random)| {
                        let known = files.iter().map(|file| file.bytes.clone()).collect();
                        let work = Work {
                            files,
                            known,
                            in_flight: VecDeque::new(),
                        };
                        scope.spawn(move || work.go_on(client, random, count))
                    })
                    .collect();
                // A length of time, and no condition: it may die at any moment.
                std::thread::sleep(time);
                db.kill_9();
                at_work
                    .into_iter()
                    .map(|work| work.join().unwrap())
                    .collect()
            });
            count.kill();
            db.start_again();
            let mut client = db.client();
            for work in work {
                let mut read =
                    |file: &File| client.run(&["VGETRAW", &file.keys[0], "0", "-1"]).bytes();
                let found = work.files.iter().map(&mut read).collect();
                all.extend(work.settle(found));
            }
            check_all(&db, &mut random, &count, &all);
        }
        count.episode();
        assert!(!db.log().contains("panicked"), "{}", db.log());
    }
    count.print("killed at work");
}
