//! Power cuts on a real file system (R4 in the specification).
//!
//! A server writes to ext4 on a disk that remembers what reached it and when (see `support::disk`). Afterwards the disk is
//! rebuilt as it was at many moments, each is mounted (the journal replays) and read by a fresh server under another
//! boot id. A disk may keep what it was not told to flush or lose it, in any order: every other cut has it lose
//! half of that.
//!
//! `MMAP_ROUNDS` is the number of cuts per test, `MMAP_SEED` repeats a choice of moments, `MMAP_ANY_TIME` has each moment be
//! as likely as any other, as it is in life, where the rule is to prefer those at which much is under way.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use support::disk::{Disk, Event, Kind};
use support::mounts::{self, Mounted, format_ext4};
use support::random::{Random, rounds, seed};
use support::{Client, Reply, Server, StopAtEnd, cannot_run, doubles};

/// How old what is missing under `everysec` may be: the worker's second, a sync, and the machine's mood.
const YOUNG: Duration = Duration::from_millis(2500);
/// How long a server writes.
const LOAD: Duration = Duration::from_secs(4);

/// One writer, with a file and a connection of its own. The i-th value is i + 1, so none is zero.
#[derive(Clone, Copy, Debug)]
struct Writer {
    name: &'static str,
    /// Values a command, commands at once, milliseconds of rest.
    values: u64,
    commands: u64,
    rest_ms: u64,
}

/// Appends so slow that the file keeps its exact length.
const UNHURRIED: &[Writer] = &[
    Writer {
        name: "one",
        values: 1,
        commands: 1,
        rest_ms: 3,
    },
    Writer {
        name: "few",
        values: 7,
        commands: 1,
        rest_ms: 10,
    },
];
/// Unhurried appends across pages.
const PAGES: &[Writer] = &[Writer {
    name: "thousand",
    values: 1000,
    commands: 1,
    rest_ms: 70,
}];
/// Bursts that give a file slack, and pauses in which it loses it.
const BURSTS: &[Writer] = &[
    Writer {
        name: "burst",
        values: 1,
        commands: 2000,
        rest_ms: 350,
    },
    Writer {
        name: "wide",
        values: 300,
        commands: 20,
        rest_ms: 450,
    },
];
/// Load without pause, through growths.
const LOADED: &[Writer] = &[
    Writer {
        name: "steady",
        values: 1,
        commands: 100,
        rest_ms: 20,
    },
    Writer {
        name: "heavy",
        values: 500,
        commands: 8,
        rest_ms: 15,
    },
];

/// What a client was told, and when.
struct Told {
    count: u64,
    position: usize,
    at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// All that was acknowledged.
    Everything,
    /// What is missing is young.
    Young,
    /// A prefix.
    Prefix,
}

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(|failed_test| failed_test.into_inner())
}

fn write_for_a_while(
    mut client: Client,
    writer: Writer,
    disk: &Disk,
    stop: &AtomicBool,
) -> Vec<Told> {
    let mut told = Vec::new();
    let mut count = 0;
    loop {
        let mut buffer = Vec::new();
        let first = count;
        for i in 0..writer.commands {
            let from = first + i * writer.values;
            let mut words = vec!["VPUSH".to_owned(), writer.name.to_owned()];
            words.extend((from + 1..=from + writer.values).map(|n| n.to_string()));
            Client::encode(&mut buffer, &words);
        }
        client.try_send(&buffer).unwrap();
        for _ in 0..writer.commands {
            assert_eq!(client.receive(), Reply::Int(writer.values as i64));
            count += writer.values;
            told.push(Told {
                count,
                position: disk.position(),
                at: Instant::now(),
            });
        }
        if stop.load(Ordering::SeqCst) {
            return told;
        }
        // The pace of the load, not a wait for anything.
        std::thread::sleep(Duration::from_millis(writer.rest_ms));
    }
}

struct Recorded {
    events: Vec<Event>,
    /// Up to here the files were being created.
    begin: usize,
    told: Vec<(Writer, Vec<Told>)>,
}

fn record(base: &Path, work: &Path, fsync: &str, writers: &[Writer]) -> Result<Recorded, String> {
    let disk = Disk::new(base, &work.join("live"))?;
    let mount = Mounted::image(&disk.path())?;
    let server = Server::setup()
        .module_args(&format!("dir {}", mount.path().display()))
        .config("mmap.fsync", fsync)
        .config("mmap.max-slack", "65536")
        .start();
    for writer in writers {
        server.say(&format!("MMAP {0} {0}", writer.name));
    }
    mounts::run("sync", &["-f", mount.path().to_str().unwrap()])?;
    let begin = disk.position();
    let stop = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        let (disk, stop) = (&disk, &stop);
        let threads: Vec<_> = writers
            .iter()
            .map(|&writer| {
                let client = server.client();
                scope.spawn(move || (writer, write_for_a_while(client, writer, disk, stop)))
            })
            .collect();
        let _stop = StopAtEnd(stop);
        std::thread::sleep(LOAD / 2);
        if fsync == "no" {
            // As a client may. Without it nothing need be on disk by then, and nothing would be compared.
            for writer in writers {
                assert_eq!(server.say(&format!("VSYNC {}", writer.name)), "OK");
            }
        }
        std::thread::sleep(LOAD / 2);
        stop.store(true, Ordering::SeqCst);
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let end = disk.position();
    drop(server);
    drop(mount);
    let mut events = disk.into_events();
    events.truncate(end);
    Ok(Recorded {
        events,
        begin,
        told,
    })
}

fn apply(image: &File, event: &Event) {
    if let Kind::Write { offset, data } = &event.kind {
        image.write_all_at(data, *offset).unwrap();
    }
}

/// The same, but each block of 4 KiB only by chance.
fn apply_some(image: &File, event: &Event, random: &mut Random) {
    if let Kind::Write { offset, data } = &event.kind {
        for (i, block) in data.chunks(4096).enumerate() {
            if random.below(2) == 0 {
                image.write_all_at(block, offset + i as u64 * 4096).unwrap();
            }
        }
    }
}

/// What a fresh server finds on a disk, per writer: the values, or why there are none.
fn read_back(image: &Path, boot_id: &Path, writers: &[Writer]) -> Vec<Result<Vec<u8>, String>> {
    let mount = Mounted::image(image).unwrap();
    let server = Server::setup()
        .launched_by(&[
            "unshare",
            "-m",
            "sh",
            "-c",
            "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"",
            boot_id.to_str().unwrap(),
        ])
        .module_args(&format!("dir {}", mount.path().display()))
        .start();
    writers
        .iter()
        .map(|writer| {
            let count = match server.ask(&format!("MMAP {0} {0}", writer.name)) {
                Reply::Int(count) => count as usize,
                other => return Err(other.to_string()),
            };
            let bytes = std::fs::read(mount.join(writer.name)).unwrap();
            assert_eq!(bytes.len(), count * 8, "{}: R1", writer.name);
            Ok(bytes)
        })
        .collect()
}

/// What is wrong with what was found, if anything.
fn judge(
    found: &Result<Vec<u8>, String>,
    told: &[Told],
    promise: Promise,
    position: usize,
    at: Instant,
) -> Result<Duration, String> {
    let bytes = found.as_ref().map_err(Clone::clone)?;
    let count = bytes.len() as u64 / 8;
    let expected = doubles((1..=count).map(|n| n as f64));
    if *bytes != expected {
        let right = bytes
            .chunks(8)
            .zip(expected.chunks(8))
            .take_while(|(a, b)| a == b)
            .count();
        let zeros = bytes
            .chunks(8)
            .skip(right)
            .filter(|value| *value == [0; 8])
            .count();
        let wrong = bytes.len() / 8 - right;
        return Err(format!(
            "no prefix: {zeros} zeros among {wrong} values after {right} right ones"
        ));
    }
    let before: Vec<_> = told
        .iter()
        .filter(|told| told.position < position)
        .collect();
    let acknowledged = before.last().map_or(0, |told| told.count);
    let oldest_missing = before.iter().find(|told| told.count > count);
    let age = oldest_missing.map_or(Duration::ZERO, |told| at.saturating_duration_since(told.at));
    match promise {
        Promise::Everything if count < acknowledged => Err(format!(
            "lost: {count} values of {acknowledged} that were acknowledged"
        )),
        Promise::Young if age > YOUNG => Err(format!(
            "lost: {count} values of {acknowledged}; the oldest missing one was {age:?} old"
        )),
        _ => Ok(age),
    }
}

fn cut_power(fsync: &str, promise: Promise, writers: &[Writer]) {
    let _alone = alone();
    if let Err(why) = mounts::be_private() {
        return cannot_run(&why);
    }
    let temp = tempfile::tempdir().unwrap();
    let base = temp.path().join("base");
    format_ext4(&base, 128).unwrap();
    let recorded = match record(&base, temp.path(), fsync, writers) {
        Ok(recorded) => recorded,
        Err(why) => return cannot_run(&why),
    };
    let boot_id = temp.path().join("boot_id");
    std::fs::write(&boot_id, "01234567-89ab-4cde-8f01-23456789abcd\n").unwrap();

    let seed = seed();
    let mut random = Random::new(seed);
    let events = &recorded.events;
    let flushes: Vec<_> = (recorded.begin..events.len())
        .filter(|&i| matches!(events[i].kind, Kind::Flush))
        .collect();
    let rounds = rounds(6);
    let at_any_time = std::env::var_os("MMAP_ANY_TIME").is_some();
    let mut cuts: Vec<_> = (0..rounds)
        .map(|round| {
            let position = match round % 4 {
                // Whatever the other moments are, one has something to compare.
                _ if round == 0 => events.len(),
                // At any time, at any write, and right after a flush, when a journal has just been committed.
                _ if at_any_time && recorded.begin < events.len() => {
                    let (begin, end) = (events[recorded.begin].at, events[events.len() - 1].at);
                    let at = begin
                        + (end - begin).mul_f64(random.below(1 << 20) as f64 / f64::from(1 << 20));
                    events.partition_point(|event| event.at <= at)
                }
                0 | 1 if !flushes.is_empty() => {
                    flushes[random.below(flushes.len() as u64) as usize] + 1
                }
                _ => {
                    recorded.begin
                        + random.below((events.len() - recorded.begin) as u64 + 1) as usize
                }
            };
            (position, round % 2 == 1)
        })
        .collect();
    cuts.sort_unstable();

    let state = temp.path().join("state");
    std::fs::copy(&base, &state).unwrap();
    let state_file = File::options().write(true).open(&state).unwrap();
    let mut applied = 0;
    let mut wrong = Vec::new();
    let mut values = 0;
    let mut oldest = BTreeMap::new();
    for (position, volatile) in cuts {
        // What was flushed is there; what came later, by the disk's mood.
        let flushed = events[..position]
            .iter()
            .rposition(|event| matches!(event.kind, Kind::Flush))
            .map_or(0, |last| last + 1);
        let certain = if volatile { flushed } else { position };
        // Cuts are in order, but a flush may lie before the cut before.
        if certain < applied {
            std::fs::copy(&base, &state).unwrap();
            applied = 0;
        }
        events[applied..certain]
            .iter()
            .for_each(|event| apply(&state_file, event));
        applied = certain;
        let cut = temp.path().join("cut");
        std::fs::copy(&state, &cut).unwrap();
        let cut_file = File::options().write(true).open(&cut).unwrap();
        for event in &events[certain..position] {
            apply_some(&cut_file, event, &mut random);
        }
        drop(cut_file);
        let writers: Vec<_> = recorded.told.iter().map(|(writer, _)| *writer).collect();
        let at = events[position - 1].at;
        let found = read_back(&cut, &boot_id, &writers);
        for ((writer, told), found) in recorded.told.iter().zip(found) {
            match judge(&found, told, promise, position, at) {
                Ok(age) => {
                    let seen: &mut Duration = oldest.entry(writer.name).or_default();
                    *seen = age.max(*seen);
                    values += found.unwrap().len() / 8;
                }
                Err(what) => wrong.push(format!(
                    "{}: cut at event {position} of {}, {} disk: {what}",
                    writer.name,
                    events.len(),
                    if volatile { "forgetful" } else { "orderly" },
                )),
            }
        }
    }
    println!(
        "{rounds} power cuts, seed {seed}, {} flushes: {values} values right, {} arrays wrong; oldest missing: {oldest:?}",
        flushes.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    // What is young may be all of it, where the machine is slow.
    assert!(
        values > 0 || promise == Promise::Young,
        "seed {seed}: no value was compared"
    );
}

macro_rules! power_cuts {
    ($($name:ident: $fsync:literal, $promise:ident, $writers:ident;)*) => {
        $(#[test]
        fn $name() {
            cut_power($fsync, Promise::$promise, $writers);
        })*
    };
}

/// One array, and no other writer that makes the file system commit.
const LONELY: &[Writer] = &[UNHURRIED[0]];

power_cuts! {
    under_everysec_one_unhurried_array_lacks_what_is_young: "everysec", Young, LONELY;
    under_always_one_unhurried_array_survives: "always", Everything, LONELY;
    under_always_unhurried_appends_survive: "always", Everything, UNHURRIED;
    under_always_unhurried_appends_across_pages_survive: "always", Everything, PAGES;
    under_always_bursts_survive: "always", Everything, BURSTS;
    under_always_load_survives: "always", Everything, LOADED;
    under_everysec_unhurried_appends_lack_what_is_young: "everysec", Young, UNHURRIED;
    under_everysec_unhurried_appends_across_pages_lack_what_is_young: "everysec", Young, PAGES;
    under_everysec_bursts_lack_what_is_young: "everysec", Young, BURSTS;
    under_everysec_load_lacks_what_is_young: "everysec", Young, LOADED;
    without_fsync_a_prefix_survives: "no", Prefix, BURSTS;
    without_fsync_an_unhurried_prefix_survives: "no", Prefix, UNHURRIED;
}
