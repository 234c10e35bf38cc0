//! Random commands on a real server, compared with a model of each file: every reply, and the file at rest byte for byte,
//! with restarts and kills in between; and several clients at once on keys of the same file.
//!
//! `MMAP_SEED` repeats a run, `MMAP_ROUNDS` makes it longer.

mod file;
mod together;

use file::{File, KINDS};
use support::random::{Random, rounds, seed};
use support::{Client, Reply, Server};

/// Commands between two looks at everything.
const STEPS: usize = 150;

/// How a command reaches the server.
fn ask(client: &mut Client, random: &mut Random, words: &[String]) -> Reply {
    match random.below(10) {
        0 => {
            client.say("MULTI");
            client.run(words);
            client.ask("EXEC").items().remove(0)
        }
        // A script makes its reply from RESP2, and knows no doubles: it is for those that reply with integers.
        1 if ["VPUSH", "VSET", "VTRIM", "VCLEAR", "VSIZE", "VFILL"].contains(&&*words[0]) => {
            let mut call = vec!["EVAL", "return redis.call(unpack(ARGV))", "1", &words[1]];
            call.extend(words.iter().map(String::as_str));
            client.run(&call)
        }
        _ => client.run(words),
    }
}

/// One command on one file: as a user would type it, and what the model says.
fn step(client: &mut Client, random: &mut Random, file: &mut File) {
    let (words, expected) = file.command(random);
    let reply = ask(client, random, &words);
    assert_eq!(
        file::text(&reply),
        expected,
        "{words:?} on {}",
        file.describe()
    );
}

fn refused(client: &mut Client, file: &File) {
    let key = &file.keys[0];
    assert!(client.run(&["COPY", key, "copy"]).is_error(), "COPY {key}");
    let renamed = client.run(&["RENAME", key, "renamed"]);
    assert!(!renamed.is_error(), "{renamed}");
    assert!(!client.run(&["RENAME", "renamed", key]).is_error());
}

#[test]
fn every_reply_and_every_file_is_that_of_the_model() {
    let seed = seed();
    for round in 0..rounds(12) {
        println!("MMAP_SEED={seed}, round {round}");
        let mut random = Random::new(seed.wrapping_add(round));
        let slack = *random.pick(&["64kb", "1mb", "1gb"]);
        let mut db = Server::setup()
            .module_args(&format!("max-slack {slack}"))
            .config("appendonly", "yes")
            // Otherwise the server may reply before a binding is in the AOF.
            .config("appendfsync", "always")
            .start();
        let mut files: Vec<File> = KINDS
            .iter()
            .flat_map(|kind| [false, true].map(|npy| File::new(kind, npy)))
            .collect();
        for file in &files {
            for key in &file.keys {
                assert_eq!(
                    db.say(&format!("MMAP {key} {} {} WRITABLE", file.path, file.kind)),
                    "(integer) 0"
                );
            }
        }
        for _ in 0..8 {
            let mut clients = [db.client(), db.client().resp3()];
            for _ in 0..STEPS {
                let client = &mut clients[random.below(2) as usize];
                let file = &mut files[random.below(2 * KINDS.len() as u64) as usize];
                step(client, &mut random, file);
            }
            refused(&mut clients[0], &files[0]);
            if random.once_in(3) {
                // The key goes, the file stays; at once, it is what it was.
                let file = &files[random.below(files.len() as u64) as usize];
                let key = &file.keys[0];
                assert_eq!(db.say(&format!("DEL {key}")), "(integer) 1");
                let bound = db.say(&format!("MMAP {key} {} {} WRITABLE", file.path, file.kind));
                assert_eq!(bound, format!("(integer) {}", file.values.len()));
            }
            drop(clients);
            match random.below(4) {
                0 => {
                    db.kill_9();
                    db.start_again();
                }
                1 => db.restart(),
                _ => {}
            }
            let mut client = db.client();
            for file in &files {
                file.check_whole(&mut client);
                assert_eq!(db.say(&format!("VSYNC {}", file.keys[0])), "OK");
                file.check_bytes(&db.read(&file.path));
            }
        }
        assert!(!db.log().contains("panicked"), "{}", db.log());
    }
}
