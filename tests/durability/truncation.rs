//! Another process truncates a mapped file while all kinds of commands use it: the server lives, other keys are right,
//! and the key answers right values or an error that names the file, until `MMAP` opens it again.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use support::random::{Random, rounds, seed};
use support::{Client, Reply, Server};

/// Values in the file at the start of each round; all of them are 7, as are those that commands write.
const COUNT: u64 = 20_000;

/// Zeros are not wrong: the rest of a page in which a file was cut reads as zeros, without any fault, until the module
/// looks at the length; and a file that is cut between that look and the next write becomes longer by a hole. No process
/// can close that gap from outside the kernel (see docs/design.md). Anything else would be garbage.
fn check(reply: &Reply, command: &str) {
    match reply {
        Reply::Error(text) => assert!(
            text.contains("'victim'"),
            "{command}: the error does not name the file: {text}"
        ),
        Reply::Bulk(bytes) => {
            assert!(bytes == b"7" || bytes == b"0", "{command}: {reply}");
        }
        Reply::Array(items) => items.iter().for_each(|item| check(item, command)),
        Reply::Int(_) | Reply::Nil | Reply::Status(_) => {}
        other => panic!("{command}: {other}"),
    }
}

fn use_victim(mut client: Client, mut random: Random, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let commands: Vec<_> = (0..50)
            .map(|_| {
                let at = random.below(COUNT);
                match random.below(10) {
                    0 => format!("VGET v {at}"),
                    1 => format!("VMGET v 0 {at} {}", COUNT - 1),
                    2 => format!("VSET v {at} 7"),
                    3 => "VPOP v 3".to_owned(),
                    4 if random.once_in(20) => "VALL v".to_owned(),
                    5 => format!("VADD v{}", " 7".repeat(1000)),
                    6 if random.once_in(50) => "VSYNC v".to_owned(),
                    _ => "VADD v 7".to_owned(),
                }
            })
            .collect();
        let words: Vec<Vec<_>> = commands
            .iter()
            .map(|command| command.split(' ').collect())
            .collect();
        for (reply, command) in client.pipeline(&words).iter().zip(&commands) {
            check(reply, command);
        }
    }
}

/// `pace`: how much is written to another array at the same time, at most.
fn truncate_again_and_again(fsync: &str, pace: u64) {
    let (rounds, seed) = (rounds(50), seed());
    let mut random = Random::new(seed);
    let mut db = Server::setup().config("mmap.fsync", fsync).start();
    db.say("MMAP other other");
    let mut others = 0;
    let mut errors = 0;
    for round in 0..rounds {
        db.write("victim", 7f64.to_le_bytes().repeat(COUNT as usize));
        assert_eq!(
            db.int("MMAP v victim") as u64,
            COUNT,
            "seed {seed}, round {round}"
        );
        // To nothing, to a half, to whole pages, to anywhere within a page.
        let cut = round % 4;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (client, random, stop) = (db.client(), Random::new(random.next()), &stop);
                scope.spawn(move || use_victim(client, random, stop));
            }
            let before = random.below(pace);
            db.client()
                .push_one_by_one("other", others..others + before);
            others += before;
            let file = File::options().write(true).open(db.path("victim")).unwrap();
            let len = file.metadata().unwrap().len();
            let to = match cut {
                0 => 0,
                1 => len / 2,
                2 => len / 2 / 4096 * 4096,
                _ => random.below(len + 1),
            };
            file.set_len(to).unwrap();
            db.client()
                .push_one_by_one("other", others..others + pace / 4);
            others += pace / 4;
            stop.store(true, Ordering::Relaxed);
        });
        assert!(db.is_running(), "seed {seed}, round {round}");
        errors += u64::from(db.ask("VGET v 0").is_error());
        db.say("DEL v");
        assert_eq!(db.int("VSIZE other") as u64, others);
        assert_eq!(
            db.say(&format!("VGET other {}", others - 1)),
            format!("{}", others - 1)
        );
    }
    assert_eq!(db.ask("VALL other").items().len() as u64, others);
    println!(
        "{rounds} truncations, seed {seed}: the key then answered {errors} times with an error"
    );
    assert!(errors > 0, "seed {seed}: no truncation was noticed");
}

#[test]
fn the_server_survives_truncation_by_others() {
    truncate_again_and_again("everysec", 3000);
}

#[test]
fn the_server_survives_truncation_by_others_under_always() {
    truncate_again_and_again("always", 40);
}
