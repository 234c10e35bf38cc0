//! Random commands on a real server, compared with a model of each file: every reply, and the file at rest byte for byte,
//! with restarts and kills in between, also while several clients are at work; and several clients at once on keys of the
//! same file.
//!
//! `MMAP_SEED` repeats an episode, `MMAP_ROUNDS` or `MMAP_SECONDS` make a run longer. What clients do at once, and when a
//! server is killed, is the system's choice; a seed repeats the commands.

mod aggregates;
mod commands;
mod count;
mod expected;
mod file;
mod in_flight;
mod together;
mod values;

use std::collections::BTreeSet;

use commands::{COMMANDS, Command};
use count::Count;
use expected::Expected;
use file::File;
use support::random::{Episodes, Random};
use support::{Client, Reply, Server, wait_until};
use values::{KINDS, Value};

/// Commands between two looks at everything.
const STEPS: usize = 400;

/// A server whose settings are chance.
fn server(random: &mut Random) -> Server {
    let slack = *random.pick(&["64kb", "1mb", "1gb"]);
    let fsync = *random.pick(&["everysec", "everysec", "no", "always"]);
    Server::setup()
        .module_args(&format!("max-slack {slack} fsync {fsync}"))
        .config("appendonly", "yes")
        // Otherwise the server may reply before a binding is in the AOF.
        .config("appendfsync", "always")
        .start()
}

fn bind_all(db: &Server, files: &[File]) {
    for file in files {
        for key in &file.keys {
            file.bind(db, key);
        }
    }
}

/// A file of each type, with a header or without.
fn files() -> Vec<File> {
    let of = |kind| [false, true].map(|npy| File::new(kind, npy, npy));
    let mut files: Vec<File> = KINDS.into_iter().flat_map(of).collect();
    files.push(File::large());
    files
}

/// Scripts have no arrays that hold nil, no maps, and numbers that are doubles.
fn passes_through_scripts(expected: &Expected) -> bool {
    let is_exact = |n: i128| n.abs() < 1 << 53;
    match expected {
        Expected::Array(all) => all
            .iter()
            .all(|one| !matches!(one, Expected::Nil) && passes_through_scripts(one)),
        Expected::Int(n) | Expected::Value(Value::Int(n)) | Expected::Equal(Value::Int(n)) => {
            is_exact(*n)
        }
        Expected::Fields(_) => false,
        _ => true,
    }
}

/// How a command reaches the server.
fn ask(client: &mut Client, random: &mut Random, command: &Command) -> Reply {
    let is_refused_early = command.name() == "VREPLICATE";
    match random.below(10) {
        0 if !is_refused_early => {
            client.say("MULTI");
            client.run(&command.words);
            client.ask("EXEC").items().remove(0)
        }
        // They take no more arguments than some thousands.
        1 if command.words.len() < 200
            && !is_refused_early
            && passes_through_scripts(&command.expected) =>
        {
            let mut call: Vec<&[u8]> = vec![b"EVAL", b"return redis.call(unpack(ARGV))", b"1"];
            call.push(&command.words[1]);
            call.extend(command.words.iter().map(Vec::as_slice));
            client.run(&call)
        }
        _ => client.run(&command.words),
    }
}

fn check_reply(count: &Count, file: &File, command: &Command, reply: &Reply) {
    assert!(
        command.expected.is(file.kind, reply),
        "{}: {:.2000}, expected {:.2000}; before it, {}",
        command.describe(),
        reply.to_string(),
        format!("{:?}", command.expected),
        file.describe()
    );
    let is_answered =
        !matches!(command.expected, Expected::Error(_)) || command.name() == "VREPLICATE";
    if is_answered {
        count.command(&command.name(), command.expected.len(file.kind));
    }
}

/// One command on one file.
fn step(client: &mut Client, random: &mut Random, count: &Count, file: &mut File) {
    let command = file.command(random);
    let reply = ask(client, random, &command);
    check_reply(count, file, &command, &reply);
    if let Some(after) = command.after {
        file.bytes = after;
    }
}

/// All that the keys hold, and some files at rest: that takes a sync of each.
fn check_all(db: &Server, random: &mut Random, count: &Count, files: &[File]) {
    let mut client = db.client();
    for file in files {
        count.values(file.check_whole(&mut client));
        // A key that went by FLUSHALL ASYNC, also while the AOF was loaded, has its file until another thread has freed it.
        wait_until("the file has its two keys only", || {
            client.ask(&format!("VSTAT {}", file.keys[1])).pairs()["keys"] == Reply::Int(2)
        });
        if random.once_in(4) {
            assert_eq!(db.say(&format!("VSYNC {}", file.keys[0])), "OK");
            file.check_bytes(&db.read(&file.path));
            count.values(file.count() as u64);
        }
    }
}

/// One of the files, rarely the large one.
fn pick(random: &mut Random, files: &[File]) -> usize {
    loop {
        let which = random.below(files.len() as u64) as usize;
        if !files[which].is_large || random.once_in(8) {
            return which;
        }
    }
}

fn refused(client: &mut Client, file: &File) {
    let key = &file.keys[0];
    assert!(client.run(&["COPY", key, "copy"]).is_error(), "COPY {key}");
    let renamed = client.run(&["RENAME", key, "renamed"]);
    assert!(!renamed.is_error(), "{renamed}");
    assert!(!client.run(&["RENAME", "renamed", key]).is_error());
}

/// Keys go, files stay; at once, they are what they were.
fn unbind_and_bind(db: &Server, random: &mut Random, files: &[File]) {
    let file = random.pick(files);
    match random.below(6) {
        0 => {
            let command = *random.pick(&["FLUSHALL", "FLUSHALL ASYNC", "FLUSHALL SYNC"]);
            assert_eq!(db.say(command), "OK");
            bind_all(db, files);
        }
        1 => {
            let [one, other] = &file.keys;
            assert_eq!(db.say(&format!("UNLINK {one} {other}")), "(integer) 2");
            // A key's end is a command's end for the file.
            file.check_bytes(&db.read(&file.path));
            file.bind(db, other);
            file.bind(db, one);
        }
        _ => {
            let key = &file.keys[0];
            assert_eq!(db.say(&format!("DEL {key}")), "(integer) 1");
            file.bind(db, key);
        }
    }
}

#[test]
fn every_reply_and_every_file_is_that_of_the_model() {
    let count = Count::default();
    for seed in Episodes::new(3) {
        let mut random = Random::new(seed);
        let mut db = server(&mut random);
        let mut files = files();
        bind_all(&db, &files);
        for _ in 0..8 {
            let mut clients = [db.client(), db.client().resp3()];
            for _ in 0..STEPS {
                let client = &mut clients[random.below(2) as usize];
                let which = pick(&mut random, &files);
                step(client, &mut random, &count, &mut files[which]);
            }
            refused(&mut clients[0], &files[0]);
            unbind_and_bind(&db, &mut random, &files);
            drop(clients);
            match random.below(5) {
                0 | 1 => {
                    db.kill_9();
                    count.kill();
                    db.start_again();
                }
                2 => {
                    db.restart();
                    count.restart();
                }
                3 => {
                    assert!(!db.ask("BGREWRITEAOF").is_error());
                    db.wait_for_background_jobs();
                }
                _ => {}
            }
            check_all(&db, &mut random, &count, &files);
        }
        count.episode();
        assert!(!db.log().contains("panicked"), "{}", db.log());
    }
    count.print("one client at a time");
    // One episode has too few for each to come.
    if count.commands() > 5000 {
        for (name, _, _) in COMMANDS {
            assert!(count.answered(name) > 0, "{name} was never answered");
        }
    }
}

#[test]
fn each_command_of_the_module_is_in_the_model() {
    let db = Server::start();
    let list = db.ask("COMMAND LIST FILTERBY MODULE mmap").items();
    let of_module: BTreeSet<String> = list
        .into_iter()
        .map(|name| name.text().to_uppercase())
        .collect();
    let of_model = COMMANDS.iter().map(|(name, _, _)| (*name).to_owned());
    // There it is the name of another command, which the module shares.
    let of_model: BTreeSet<String> = of_model
        .filter(|name| name != "VADD" || !db.has_vector_sets())
        .filter(|name| name != "VREPLICATE" || !db.hides_internal_commands())
        .collect();
    assert_eq!(of_module, of_model, "tests/model/commands.rs lists them");
}
