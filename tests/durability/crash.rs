//! SIGKILL at any moment (R3): afterwards each array holds what was acknowledged, exactly. The one command in flight on
//! each connection may have been carried out or not. Each connection has an array of its own, so that its model is exact.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::random::{Random, rounds, seed};
use support::{Client, Patience, Reply, Server};

/// How often a server is killed in a round.
const KILLS: usize = 3;

/// A type of values, and the value of each number in it: as text and as it lies in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Item {
    Double,
    Int64,
    Float,
    Text(usize),
}

const ITEMS: [Item; 5] = [
    Item::Double,
    Item::Int64,
    Item::Float,
    Item::Text(13),
    Item::Text(1000),
];

impl Item {
    fn name(self) -> String {
        match self {
            Item::Double => "double".into(),
            Item::Int64 => "int64".into(),
            Item::Float => "float".into(),
            Item::Text(size) => format!("string {size}"),
        }
    }

    /// Numbers are never 0, so that no value looks like space that was never written.
    fn text(self, number: u32) -> String {
        match self {
            Item::Text(_) => format!("v{number}"),
            _ => number.to_string(),
        }
    }

    fn append_bytes(self, number: u32, out: &mut Vec<u8>) {
        match self {
            Item::Double => out.extend(f64::from(number).to_le_bytes()),
            Item::Int64 => out.extend(i64::from(number).to_le_bytes()),
            // All numbers stay below 2^24, which a float holds exactly.
            Item::Float => out.extend((number as f32).to_le_bytes()),
            Item::Text(size) => {
                let from = out.len();
                out.extend(self.text(number).bytes());
                out.resize(from + size, 0);
            }
        }
    }

    fn bytes(self, model: &[u32]) -> Vec<u8> {
        let mut out = Vec::new();
        model.iter().for_each(|&n| self.append_bytes(n, &mut out));
        out
    }
}

/// What one command makes of an array.
#[derive(Clone, Debug)]
enum Step {
    Add(Vec<u32>),
    Set(Vec<(usize, u32)>),
    Pop(usize),
    /// Removes so many at the head.
    Trim(usize),
    Clear,
}

impl Step {
    fn apply(&self, model: &mut Vec<u32>) {
        match self {
            Step::Add(numbers) => model.extend(numbers),
            Step::Set(pairs) => pairs.iter().for_each(|&(at, n)| model[at] = n),
            Step::Pop(count) => model.truncate(model.len().saturating_sub(*count)),
            Step::Trim(head) => drop(model.drain(..(*head).min(model.len()))),
            Step::Clear => model.clear(),
        }
    }

    fn encode(&self, key: &str, item: Item, buffer: &mut Vec<u8>) {
        let mut words = match self {
            Step::Add(_) => vec!["VPUSH".to_owned(), key.to_owned()],
            Step::Set(_) => vec!["VSET".to_owned(), key.to_owned()],
            Step::Pop(count) => vec!["VPOP".to_owned(), key.to_owned(), count.to_string()],
            Step::Trim(head) => ["VTRIM", key, &head.to_string(), "-1"]
                .map(str::to_owned)
                .into(),
            Step::Clear => vec!["VCLEAR".to_owned(), key.to_owned()],
        };
        match self {
            Step::Add(numbers) => words.extend(numbers.iter().map(|&n| item.text(n))),
            Step::Set(pairs) => words.extend(
                pairs
                    .iter()
                    .flat_map(|&(at, n)| [at.to_string(), item.text(n)]),
            ),
            _ => {}
        }
        Client::encode(buffer, &words);
    }
}

/// How a connection loads its array.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// One command at a time, with rests: the file keeps its exact length.
    Typing,
    /// One value a command, pipelined.
    Single,
    /// Many values a command, pipelined: the array goes through many growths.
    Bulk,
    /// Pops, sets, trims and clears among appends.
    Mixed,
}

const LOADS: [Load; 4] = [Load::Typing, Load::Single, Load::Bulk, Load::Mixed];

struct Writer {
    key: String,
    item: Item,
    model: Vec<u32>,
    /// Commands that were sent and not acknowledged when the server was killed.
    in_flight: Vec<Step>,
    next: u32,
    path: String,
}

impl Writer {
    fn numbers(&mut self, count: u64) -> Vec<u32> {
        (0..count)
            .map(|_| {
                self.next = self.next % ((1 << 24) - 1) + 1;
                self.next
            })
            .collect()
    }

    fn next_step(&mut self, load: Load, len: usize, random: &mut Random) -> Step {
        match load {
            Load::Typing | Load::Single => Step::Add(self.numbers(1)),
            Load::Bulk => {
                let count =
                    100 + random.below(900) / if self.item == Item::Text(1000) { 20 } else { 1 };
                Step::Add(self.numbers(count))
            }
            Load::Mixed => match random.below(100) {
                0 => Step::Clear,
                1..=9 => Step::Pop(1 + random.below(40) as usize),
                10..=11 => Step::Pop(len / 2),
                12..=13 => Step::Trim(random.below(len as u64 + 1) as usize),
                14..=29 if len > 0 => Step::Set(
                    (0..1 + random.below(2))
                        .map(|_| (random.below(len as u64) as usize, self.numbers(1)[0]))
                        .take(1)
                        .collect(),
                ),
                30..=39 => {
                    let count =
                        random.below(2000) / if self.item == Item::Text(1000) { 20 } else { 1 };
                    Step::Add(self.numbers(count + 1))
                }
                _ => Step::Add(self.numbers(1)),
            },
        }
    }

    /// Writes until the server is gone.
    fn write(
        &mut self,
        mut client: Client,
        load: Load,
        mut random: Random,
        acknowledged: &AtomicU64,
    ) {
        loop {
            let depth = match load {
                Load::Typing => 1,
                Load::Single => 500,
                Load::Bulk => 10,
                Load::Mixed => 1 + random.below(100),
            };
            let mut buffer = Vec::new();
            let mut after = self.model.len();
            for _ in 0..depth {
                let step = self.next_step(load, after, &mut random);
                after = match &step {
                    Step::Add(numbers) => after + numbers.len(),
                    Step::Set(_) => after,
                    Step::Pop(count) | Step::Trim(count) => after.saturating_sub(*count),
                    Step::Clear => 0,
                };
                step.encode(&self.key, self.item, &mut buffer);
                self.in_flight.push(step);
            }
            if client.try_send(&buffer).is_err() {
                return;
            }
            for _ in 0..depth {
                match client.try_receive() {
                    Ok(Reply::Error(text)) => panic!("{}: {text}", self.key),
                    Ok(_) => self.in_flight.remove(0).apply(&mut self.model),
                    Err(_) => return,
                }
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            if matches!(load, Load::Typing) {
                // The pace of a person with quick fingers; nothing is waited for.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Compares with what is there, and takes it as the model from now on. Says how many values it compared.
    fn compare(&mut self, db: &Server) -> Result<usize, String> {
        let command = format!(
            "MMAP {} {} {} WRITABLE",
            self.key,
            self.path,
            self.item.name()
        );
        let count = match db.ask(&command) {
            Reply::Int(count) => count as usize,
            other => return Err(format!("{command}: {other}")),
        };
        let size = self.item.bytes(&[1]).len();
        let bytes = read_settled(&db.path(&self.path), count * size);
        if bytes.len() != count * size {
            return Err(format!(
                "{}: {} bytes for {count} values of {size}",
                self.key,
                bytes.len()
            ));
        }
        // A pipeline is carried out in order: any number of the commands in flight may have been.
        let mut candidate = self.model.clone();
        let mut steps = std::mem::take(&mut self.in_flight).into_iter();
        loop {
            if candidate.len() == count && self.item.bytes(&candidate) == bytes {
                self.model = candidate;
                return Ok(count);
            }
            match steps.next() {
                Some(step) => step.apply(&mut candidate),
                None => break,
            }
        }
        let expected = self.item.bytes(&self.model);
        let right = bytes
            .chunks(size)
            .zip(expected.chunks(size))
            .take_while(|(a, b)| a == b)
            .count();
        Err(format!(
            "{} ({:?}): {count} values, {} acknowledged, the first {right} right",
            self.key,
            self.item,
            self.model.len()
        ))
    }
}

/// The bytes of a file without writers, once it has its final length.
fn read_settled(path: &Path, len: usize) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if bytes.len() != len {
        eprintln!("{}: {} bytes, not {len}", path.display(), bytes.len());
    }
    bytes
}

fn one_round(round: u64, seed: u64) -> (usize, Vec<String>) {
    let mut random = Random::new(seed.wrapping_add(round));
    let fsync = *random.pick(&["everysec", "everysec", "always", "no"]);
    let aof = random.once_in(2);
    let slack = *random.pick(&["65536", "1048576", "1073741824"]);
    let mut db = Server::setup()
        .config("mmap.fsync", fsync)
        .config("mmap.max-slack", slack)
        .config("appendonly", if aof { "yes" } else { "no" })
        .start();
    let mut writers: Vec<_> = (0..5)
        .map(|k| Writer {
            key: format!("k{k}"),
            item: *random.pick(&ITEMS),
            model: Vec::new(),
            in_flight: Vec::new(),
            next: 0,
            path: format!("f{k}"),
        })
        .collect();
    for writer in &writers {
        let command = format!(
            "MMAP {} {} {} WRITABLE",
            writer.key,
            writer.path,
            writer.item.name()
        );
        assert_eq!(db.int(&command), 0);
    }
    if !aof {
        db.save();
    }
    let mut compared = 0;
    let mut differences = Vec::new();
    // The same arrays are killed several times, so that they grow old.
    for kill in 1..=KILLS {
        let loads: Vec<_> = writers.iter().map(|_| *random.pick(&LOADS)).collect();
        let reader = random.once_in(3).then(|| {
            let reader = Server::setup().sharing_files_of(&db).start();
            for writer in &writers {
                reader.ask(&format!(
                    "MMAP {} {} {}",
                    writer.key,
                    writer.path,
                    writer.item.name()
                ));
            }
            reader
        });
        let wait = Duration::from_millis(5 + random.below(900));
        let acknowledged = AtomicU64::new(0);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (writer, &load) in writers.iter_mut().zip(&loads) {
                let client = db.client();
                let random = Random::new(random.next());
                let acknowledged = &acknowledged;
                scope.spawn(move || writer.write(client, load, random, acknowledged));
            }
            if let Some(reader) = &reader {
                let mut client = reader.client();
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        for k in 0..5 {
                            client.ask(&format!("VSIZE k{k}"));
                        }
                    }
                });
            }
            // A random moment, which is what this test is about; at the last, some values were acknowledged before.
            std::thread::sleep(wait);
            let mut patience = Patience::of(Duration::from_secs(60));
            while kill == KILLS && acknowledged.load(Ordering::Relaxed) == 0 && !patience.is_over()
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            db.kill_9();
            over.store(true, Ordering::Relaxed);
        });
        for writer in &mut writers {
            match random.below(4) {
                0 => {
                    let path = format!("{}m", writer.path);
                    std::fs::rename(db.path(&writer.path), db.path(&path)).unwrap();
                    writer.path = path;
                }
                1 => {
                    let path = format!("{}c", writer.path);
                    std::fs::copy(db.path(&writer.path), db.path(&path)).unwrap();
                    std::fs::remove_file(db.path(&writer.path)).unwrap();
                    writer.path = path;
                }
                _ => {}
            }
        }
        drop(reader);
        db.start_again();
        for writer in &mut writers {
            if db.say(&format!("VFILEPATH {}", writer.key)) != writer.path {
                db.ask(&format!("DEL {}", writer.key));
            }
            match writer.compare(&db) {
                Ok(values) => compared += values,
                Err(what) => differences.push(format!(
                    "round {round}, fsync {fsync}, max-slack {slack}, loads {loads:?}, {} acknowledged: {what}",
                    acknowledged.load(Ordering::Relaxed)
                )),
            }
        }
        if !differences.is_empty() {
            break;
        }
        if !aof {
            db.save();
        }
    }
    (compared, differences)
}

#[test]
fn everything_acknowledged_survives_sigkill_at_any_moment() {
    let (rounds, seed) = (rounds(20), seed());
    let mut compared = 0;
    let mut differences = Vec::new();
    for round in 0..rounds {
        let (values, different) = one_round(round, seed);
        compared += values;
        differences.extend(different);
    }
    println!(
        "{rounds} rounds of three kills, seed {seed}: {compared} values checked, {} arrays differ",
        differences.len()
    );
    assert!(compared > 0, "seed {seed}: no value was compared");
    assert!(
        differences.is_empty(),
        "seed {seed}:\n{}",
        differences.join("\n")
    );
}
