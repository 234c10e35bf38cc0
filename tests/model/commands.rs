//! Every command of the module on one file, with arguments by chance, and what it should answer and do.

use std::ops::Range;

use crate::aggregates::{OPS, OPS_OF_TEXT, answer};
use crate::expected::Expected;
use crate::file::File;
use crate::values::{Kind, Value};
use support::random::Random;

pub struct Command {
    pub words: Vec<Vec<u8>>,
    pub expected: Expected,
    /// The values afterwards, if it changes them.
    pub after: Option<Vec<u8>>,
    pub torn: Torn,
    /// It made the array fit to be searched.
    pub sorts: bool,
}

/// What a `kill -9` may leave of a command that is being carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Torn {
    /// All or nothing.
    Never,
    /// Each of the values that it sets is an old or a new one.
    Values,
    /// The tail is gone, the head is not: so many bytes are left.
    Tail(usize),
}

type Make = fn(&str, &File, &mut Random) -> Option<Command>;

/// Each command of the module, and how often it comes. `MODULE LIST` is compared with these names.
pub const COMMANDS: [(&str, u64, Make); 31] = [
    ("VADD", 10, append),
    ("VPUSH", 10, append),
    ("VADDRAW", 8, append_raw),
    ("VGET", 5, get),
    ("VMGET", 5, get_several),
    ("VALL", 2, all),
    ("VSET", 6, set),
    ("VSETRAW", 4, set_raw),
    ("VINCRBY", 8, increment),
    ("VPOP", 8, pop),
    ("VCLEAR", 1, clear),
    ("VSIZE", 2, size),
    ("VCOUNT", 1, size),
    ("VLEN", 1, size),
    ("VITEMSIZE", 1, item_size),
    ("VTYPE", 1, kind),
    ("VFILEPATH", 1, path),
    ("VSTAT", 2, stat),
    ("VGETRAW", 4, get_raw),
    ("VSLICE", 4, slice),
    ("VLAST", 4, last),
    ("VFILL", 4, fill),
    ("VTRIM", 4, trim),
    ("VADVISE", 1, advise),
    ("VSYNC", 1, sync),
    ("VAGG", 8, aggregate),
    ("VBUCKETS", 5, buckets),
    ("VFIND", 6, find),
    ("VSEARCH", 3, search_or_sort),
    ("MMAP", 1, bind_again),
    ("VREPLICATE", 1, replicate),
];

/// A large file gets those that do not take or give each value as a word.
const OF_LARGE: [&str; 16] = [
    "VADDRAW", "VSET", "VSETRAW", "VINCRBY", "VPOP", "VCLEAR", "VSIZE", "VSTAT", "VGETRAW",
    "VFILL", "VTRIM", "VADVISE", "VSYNC", "VAGG", "VBUCKETS", "VFIND",
];
/// Length up to which it grows, in bytes: long enough for writes and scans by other threads.
const LARGE: usize = 6 << 20;

pub fn any(file: &File, random: &mut Random) -> Command {
    loop {
        let total = COMMANDS.iter().map(|(_, weight, _)| weight).sum();
        let mut left = random.below(total);
        let (name, _, make) = COMMANDS
            .iter()
            .find(|(_, weight, _)| {
                let found = left < *weight;
                left = left.saturating_sub(*weight);
                found
            })
            .expect("it is below the total");
        if file.is_large && !OF_LARGE.contains(name) {
            continue;
        }
        if let Some(command) = make(name, file, random) {
            return command;
        }
    }
}

impl Command {
    fn read(words: &str, expected: Expected) -> Option<Command> {
        Some(Command {
            words: words
                .split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect(),
            expected,
            after: None,
            torn: Torn::Never,
            sorts: false,
        })
    }

    fn refused(words: &str, part: &'static str) -> Option<Command> {
        Command::read(words, Expected::Error(part))
    }

    fn with(mut self, word: Vec<u8>) -> Command {
        self.words.push(word);
        self
    }

    fn leaves(mut self, after: Vec<u8>) -> Command {
        self.after = Some(after);
        self
    }

    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.words[0]).into_owned()
    }

    pub fn describe(&self) -> String {
        let words = self.words.iter().take(24);
        words
            .map(|word| word.escape_ascii().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn key<'a>(file: &'a File, random: &mut Random) -> &'a str {
    &file.keys[random.below(2) as usize]
}

fn bounds(file: &File, random: &mut Random) -> (String, Range<usize>) {
    let (start, stop) = match random.below(4) {
        0 => (0, -1),
        _ => (file.index(random), file.index(random)),
    };
    (format!("{start} {stop}"), file.range(start, stop))
}

/// Text that is no value of the type.
fn no_value(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Text(size) => vec![b'x'; size + 1],
        kind if kind.is_integer() => (kind.least_and_greatest().1 + 1).to_string().into(),
        _ => b"1,5".to_vec(),
    }
}

fn append(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    // Now and then more than a page.
    let count = match random.below(8) {
        0 => 1 + random.below(3000),
        1..4 => 1,
        _ => 1 + random.below(40),
    };
    let words = format!("{name} {}", key(file, random));
    let mut command = Command::read(&words, Expected::Int(count.into()))?;
    let mut after = file.bytes.clone();
    for _ in 0..count {
        let value = file.kind.random(random, file.tame);
        after.extend(file.kind.encode(&value));
        command.words.push(file.kind.text(&value, random));
    }
    if random.once_in(30) {
        let bad = 2 + random.below(count) as usize;
        command.words[bad] = no_value(file.kind);
        command.expected = Expected::Error("argument");
        return Some(command);
    }
    Some(command.leaves(after))
}

fn append_raw(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let words = format!("{name} {}", key(file, random));
    if file.kind.size() > 1 && random.once_in(20) {
        let command = Command::refused(&words, "is not a multiple of")?;
        return Some(command.with(vec![1; file.kind.size() + 1]));
    }
    let mut bytes = Vec::new();
    if file.is_large {
        if file.bytes.len() > LARGE {
            return None;
        }
        let block: Vec<u8> = (0..997).map(|_| random.below(256) as u8).collect();
        bytes = block.repeat(1 + random.below(1500) as usize);
    } else {
        let most = if random.once_in(8) { 3000 } else { 40 };
        for _ in 0..1 + random.below(most) {
            bytes.extend(file.kind.random_bytes(random, file.tame));
        }
    }
    let count = bytes.len() / file.kind.size();
    let command = Command::read(&words, Expected::Int(count as i128))?;
    let after = [&file.bytes[..], &bytes].concat();
    Some(command.with(bytes).leaves(after))
}

fn value_at(file: &File, index: i64) -> Expected {
    let found = file
        .at(index)
        .map(|index| Expected::Value(file.value(index)));
    found.unwrap_or(Expected::Nil)
}

fn get(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let key = key(file, random);
    if random.once_in(30) {
        return Command::refused(&format!("{name} {key} 1.5"), "is not an integer");
    }
    let index = file.index(random);
    Command::read(&format!("{name} {key} {index}"), value_at(file, index))
}

fn get_several(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let indices: Vec<i64> = (0..1 + random.below(20))
        .map(|_| file.index(random))
        .collect();
    let expected = indices.iter().map(|&index| value_at(file, index)).collect();
    let text: Vec<String> = indices.iter().map(i64::to_string).collect();
    let words = format!("{name} {} {}", key(file, random), text.join(" "));
    Command::read(&words, Expected::Array(expected))
}

fn values(file: &File, range: Range<usize>, step: usize) -> Expected {
    let values = file.values(range).step_by(step);
    Expected::Array(values.map(|(_, value)| Expected::Value(value)).collect())
}

fn all(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let words = format!("{name} {}", key(file, random));
    Command::read(&words, values(file, 0..file.count(), 1))
}

fn set(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let mut command = Command::read(&format!("{name} {}", key(file, random)), Expected::Nil)?;
    let mut after = file.bytes.clone();
    let pairs = 1 + random.below(12);
    let mut missing = false;
    for _ in 0..pairs {
        let index = file.index(random);
        let value = file.kind.random(random, file.tame);
        command.words.push(index.to_string().into());
        command.words.push(file.kind.text(&value, random));
        match file.at(index) {
            Some(index) => {
                after[file.span(&(index..index + 1))].copy_from_slice(&file.kind.encode(&value))
            }
            None => missing = true,
        }
    }
    if missing {
        command.expected = Expected::Error("is out of range");
        return Some(command);
    }
    if random.once_in(30) {
        *command.words.last_mut()? = no_value(file.kind);
        command.expected = Expected::Error("argument");
        return Some(command);
    }
    command.expected = Expected::Int(pairs.into());
    command.torn = Torn::Values;
    Some(command.leaves(after))
}

fn set_raw(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let index = file.index(random);
    let most = if file.is_large { 100_000 } else { 60 };
    let bytes: Vec<u8> = (0..1 + random.below(most))
        .flat_map(|_| file.kind.random_bytes(random, file.tame))
        .collect();
    let count = bytes.len() / file.kind.size();
    let words = format!("{name} {} {index}", key(file, random));
    let Some(from) = file.at(index).filter(|from| from + count <= file.count()) else {
        return Some(Command::refused(&words, "is out of range")?.with(bytes));
    };
    let mut after = file.bytes.clone();
    after[file.span(&(from..from + count))].copy_from_slice(&bytes);
    let mut command = Command::read(&words, Expected::Int(count as i128))?;
    command.torn = Torn::Values;
    Some(command.with(bytes).leaves(after))
}

/// The sum, `None` if it is none of the type; nothing if the model cannot tell.
fn add(kind: Kind, value: &Value, increment: &Value) -> Option<Option<Value>> {
    Some(match (kind, value, increment) {
        (Kind::Float, Value::Float(a), Value::Float(b)) => {
            let sum = *a as f32 + *b as f32;
            sum.is_finite().then(|| Value::Float(sum.into()))
        }
        (Kind::Double, Value::Float(a), Value::Float(b)) => {
            Some(a + b).filter(|sum| sum.is_finite()).map(Value::Float)
        }
        (Kind::LongDouble, Value::Float(a), Value::Float(b)) => {
            let small = |x: &f64| x.abs() < 1e12 && (x * 1024.0).fract() == 0.0;
            match (a.is_finite(), small(a) && small(b)) {
                (false, _) => None,
                (true, true) => Some(Value::Float(a + b)),
                _ => return None,
            }
        }
        (kind, Value::Int(a), Value::Int(b)) if kind.is_integer() => {
            let (least, greatest) = kind.least_and_greatest();
            let sum = a + b;
            (least..=greatest).contains(&sum).then_some(Value::Int(sum))
        }
        _ => return None,
    })
}

fn increment(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let mut command = Command::read(&format!("{name} {}", key(file, random)), Expected::Nil)?;
    if file.kind.is_text() {
        command = command.with(b"0".to_vec()).with(b"1".to_vec());
        command.expected = Expected::Error("are strings");
        return Some(command);
    }
    let mut after = file.bytes.clone();
    let mut replies = Vec::new();
    let mut error = None;
    let mut indices = Vec::new();
    for _ in 0..1 + random.below(8) {
        // The same index may come twice.
        let index = match indices.last() {
            Some(&index) if random.once_in(4) => index,
            _ => file.index(random),
        };
        indices.push(index);
        let increment = match file.kind {
            kind if kind.is_integer() => Value::Int(random.below(20) as i128 - 10),
            // Long doubles get such as keep them exact.
            _ => Value::Float((random.below(200) as f64 - 100.0) / 8.0 + 0.0),
        };
        command.words.push(index.to_string().into());
        command.words.push(file.kind.text(&increment, random));
        let Some(at) = file.at(index) else {
            // All indices are looked at before the first sum.
            error = Some("is out of range");
            continue;
        };
        if error.is_some() {
            continue;
        }
        let span = file.span(&(at..at + 1));
        match add(
            file.kind,
            &file.kind.decode(&after[span.clone()]),
            &increment,
        )? {
            Some(sum) => {
                after[span].copy_from_slice(&file.kind.encode(&sum));
                replies.push(Expected::Value(sum));
            }
            None => error = Some("nothing was changed"),
        }
    }
    if error.is_some() {
        let missing = indices.iter().any(|&index| file.at(index).is_none());
        command.expected = Expected::Error(if missing {
            "is out of range"
        } else {
            "nothing was changed"
        });
        return Some(command);
    }
    command.expected = Expected::Array(replies);
    command.torn = Torn::Values;
    Some(command.leaves(after))
}

fn pop(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let key = key(file, random);
    let n = file.count();
    let one = random.once_in(2);
    let count = if one { 1 } else { random.below(30) as usize }.min(n);
    let left = file.bytes[..file.span(&(0..n - count)).end].to_vec();
    if one {
        let popped = n
            .checked_sub(1)
            .map(|last| Expected::Value(file.value(last)));
        let command = Command::read(&format!("{name} {key}"), popped.unwrap_or(Expected::Nil))?;
        return Some(command.leaves(left));
    }
    let popped: Vec<Value> = file.values(n - count..n).map(|(_, value)| value).collect();
    let popped = popped.into_iter().rev().map(Expected::Value).collect();
    let command = Command::read(&format!("{name} {key} {count}"), Expected::Array(popped))?;
    Some(command.leaves(left))
}

fn clear(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let words = format!("{name} {}", key(file, random));
    let command = Command::read(&words, Expected::Int(file.count() as i128))?;
    Some(command.leaves(Vec::new()))
}

fn size(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let words = format!("{name} {}", key(file, random));
    Command::read(&words, Expected::Int(file.count() as i128))
}

fn item_size(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let words = format!("{name} {}", key(file, random));
    Command::read(&words, Expected::Int(file.kind.size() as i128))
}

fn kind(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let words = format!("{name} {}", key(file, random));
    Command::read(&words, Expected::text(file.kind.name()))
}

fn path(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let words = format!("{name} {}", key(file, random));
    Command::read(&words, Expected::text(&*file.path))
}

fn stat(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let (count, bytes) = (file.count() as i128, file.bytes.len());
    let fields = vec![
        ("path", Expected::text(&*file.path)),
        ("type", Expected::text(file.kind.name())),
        ("item-size", Expected::Int(file.kind.size() as i128)),
        ("mode", Expected::text("writable")),
        ("state", Expected::OneOf(&["exact", "slack"])),
        ("why", Expected::Nil),
        // Those that go in the background count until they are gone.
        ("keys", Expected::AtLeast(2)),
        ("count", Expected::Int(count)),
        ("capacity", Expected::AtLeast(count as i64)),
        ("bytes", Expected::Int(bytes as i128)),
        ("file-bytes", Expected::AtLeast(bytes as i64)),
    ];
    let words = format!("{name} {}", key(file, random));
    Command::read(&words, Expected::Fields(fields))
}

fn get_raw(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let (text, range) = bounds(file, random);
    let words = format!("{name} {} {text}", key(file, random));
    Command::read(
        &words,
        Expected::Bytes(file.bytes[file.span(&range)].to_vec()),
    )
}

fn slice(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let (text, range) = bounds(file, random);
    let words = format!("{name} {} {text}", key(file, random));
    if random.once_in(2) {
        return Command::read(&words, values(file, range, 1));
    }
    let step = 1 + random.below(9) as usize;
    Command::read(&format!("{words} STEP {step}"), values(file, range, step))
}

fn last(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let (n, count) = (file.count(), random.below(50) as usize);
    let words = format!("{name} {} {count}", key(file, random));
    Command::read(&words, values(file, n.saturating_sub(count)..n, 1))
}

fn fill(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let (text, range) = bounds(file, random);
    let words = format!("{name} {} {text}", key(file, random));
    if random.once_in(30) {
        let command = Command::refused(&words, "argument")?;
        return Some(command.with(no_value(file.kind)));
    }
    let value = file.kind.random(random, file.tame);
    let mut after = file.bytes.clone();
    after[file.span(&range)].copy_from_slice(&file.kind.encode(&value).repeat(range.len()));
    let mut command = Command::read(&words, Expected::Int(range.len() as i128))?;
    command.torn = Torn::Values;
    Some(command.with(file.kind.text(&value, random)).leaves(after))
}

fn trim(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let n = file.count() as i64;
    let (start, stop) = match random.below(4) {
        // Mostly little, so that there is something left.
        0 => (file.index(random), file.index(random)),
        1 => (random.below(4) as i64, -1),
        _ => (random.below(9) as i64, n - 1 - random.below(9) as i64),
    };
    let range = file.range(start, stop);
    let removed = n - range.len() as i64;
    let words = format!("{name} {} {start} {stop}", key(file, random));
    let mut command = Command::read(&words, Expected::Int(removed.into()))?;
    let span = file.span(&range);
    command.torn = Torn::Tail(span.end);
    Some(command.leaves(file.bytes[span].to_vec()))
}

fn advise(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let key = key(file, random);
    let advice = *random.pick(&["RANDOM", "SEQUENTIAL", "NORMAL", "WILLNEED", "DONTNEED"]);
    let range = match advice {
        "WILLNEED" | "DONTNEED" if random.once_in(2) => format!(" {}", bounds(file, random).0),
        _ => String::new(),
    };
    Command::read(&format!("{name} {key} {advice}{range}"), Expected::Ok)
}

fn sync(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    Command::read(&format!("{name} {}", key(file, random)), Expected::Ok)
}

/// Some operations, and whether NaN is left out.
fn operations(file: &File, random: &mut Random) -> (Vec<&'static str>, bool) {
    let all = if file.kind.is_text() {
        &OPS_OF_TEXT[..]
    } else {
        &OPS[..]
    };
    let ops = (0..1 + random.below(5))
        .map(|_| *random.pick(all))
        .collect();
    (ops, random.once_in(3))
}

fn answers(file: &File, range: Range<usize>, ops: &[&str], skip_nan: bool) -> Expected {
    let one = |op: &&str| answer(file.kind, op, file.values(range.clone()), skip_nan);
    Expected::Array(ops.iter().map(one).collect())
}

fn aggregate(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let (text, range) = bounds(file, random);
    let words = format!("{name} {} {text}", key(file, random));
    if file.kind.is_text() && random.once_in(10) {
        return Command::refused(&format!("{words} COUNT SUM"), "is not possible");
    }
    let (ops, skip_nan) = operations(file, random);
    let expected = answers(file, range, &ops, skip_nan);
    let end = if skip_nan { " SKIPNAN" } else { "" };
    Command::read(&format!("{words} {}{end}", ops.join(" ")), expected)
}

fn buckets(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let (text, range) = bounds(file, random);
    let parts = 1 + random.below(12) as usize;
    let (ops, skip_nan) = operations(file, random);
    let bound = |i: usize| range.start + i * range.len() / parts;
    let expected = (0..parts).map(|i| answers(file, bound(i)..bound(i + 1), &ops, skip_nan));
    let expected = Expected::Array(expected.collect());
    let end = if skip_nan { " SKIPNAN" } else { "" };
    let key = key(file, random);
    Command::read(
        &format!("{name} {key} {text} {parts} {}{end}", ops.join(" ")),
        expected,
    )
}

fn holds(comparison: &str, value: &Value, with: &Value) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = value.compare(with);
    match comparison {
        "=" => order == Some(Equal),
        "!=" => order != Some(Equal),
        "<" => order == Some(Less),
        "<=" => matches!(order, Some(Less | Equal)),
        ">" => order == Some(Greater),
        _ => matches!(order, Some(Greater | Equal)),
    }
}

fn find(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let (text, range) = bounds(file, random);
    let conditions: Vec<(&str, Value)> = (0..1 + random.below(2))
        .map(|_| {
            let value = match random.below(2) {
                // One that is there, mostly; a long double of other bytes has no such text.
                0 if !range.is_empty() && file.kind != Kind::LongDouble => {
                    file.value(range.start + random.below(range.len() as u64) as usize)
                }
                _ => file.kind.random(random, file.tame),
            };
            (*random.pick(&["=", "!=", "<", "<=", ">", ">="]), value)
        })
        .collect();
    let found = file
        .values(range)
        .filter(|(_, value)| conditions.iter().all(|(op, with)| holds(op, value, with)))
        .map(|(index, _)| index as i128);
    let words = format!("{name} {} {text}", key(file, random));
    let mut command = Command::read(&words, Expected::Nil)?;
    for (comparison, value) in &conditions {
        command.words.push(comparison.as_bytes().to_vec());
        command.words.push(file.kind.text(value, random));
    }
    let limit = match random.below(2) {
        0 if !file.is_large => usize::MAX,
        _ => 1 + random.below(20) as usize,
    };
    if limit < usize::MAX {
        command = command
            .with(b"LIMIT".to_vec())
            .with(limit.to_string().into());
    }
    let found = found.take(limit);
    command.expected = if random.once_in(3) {
        command = command.with(random.pick(&["COUNT", "LEN"]).as_bytes().to_vec());
        Expected::Int(found.count() as i128)
    } else {
        Expected::Array(found.map(Expected::Int).collect())
    };
    Some(command)
}

/// A search, if the array is sorted.
pub fn search(file: &File, random: &mut Random) -> Option<Command> {
    if !file.is_sorted() {
        return None;
    }
    let value = match random.below(2) {
        0 if file.count() > 0 && file.kind != Kind::LongDouble => {
            file.value(random.below(file.count() as u64) as usize)
        }
        _ => file.kind.random(random, file.tame),
    };
    let side = *random.pick(&["", "LEFT", "RIGHT"]);
    let before = |other: &Value| match side {
        "RIGHT" => !value.sorts_before(other),
        _ => other.sorts_before(&value),
    };
    let found = file
        .values(0..file.count())
        .filter(|(_, other)| before(other))
        .count();
    let words = format!("VSEARCH {}", key(file, random));
    let mut command = Command::read(&words, Expected::Int(found as i128))?;
    command.words.push(file.kind.text(&value, random));
    if !side.is_empty() {
        command.words.push(side.as_bytes().to_vec());
    }
    Some(command)
}

fn search_or_sort(_: &str, file: &File, random: &mut Random) -> Option<Command> {
    if let Some(search) = search(file, random) {
        return Some(search);
    }
    let mut items: Vec<(Value, &[u8])> = file
        .values(0..file.count())
        .map(|(index, value)| (value, file.item(index)))
        .collect();
    items.sort_by(|(a, _), (b, _)| b.sorts_before(a).cmp(&a.sorts_before(b)));
    let sorted: Vec<u8> = items
        .iter()
        .flat_map(|(_, bytes)| *bytes)
        .copied()
        .collect();
    let words = format!("VSETRAW {} 0", key(file, random));
    let mut command = Command::read(&words, Expected::Int(file.count() as i128))?;
    command.torn = Torn::Values;
    command.sorts = true;
    Some(command.with(sorted.clone()).leaves(sorted))
}

fn bind_again(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let key = key(file, random);
    if random.once_in(2) {
        let words = format!("{name} {key} another.f64 double WRITABLE");
        return Command::refused(&words, "is bound already");
    }
    let typed = file.kind.name();
    let size = file.kind.size();
    let size = if file.kind.is_text() {
        format!(" {size}")
    } else {
        String::new()
    };
    let words = format!("{name} {key} {} {typed}{size}", file.path);
    Command::read(&words, Expected::Int(file.count() as i128))
}

fn replicate(name: &str, file: &File, random: &mut Random) -> Option<Command> {
    let words = format!("{name} {} APPEND/2 0 x", key(file, random));
    // Redis 8 hides it: there it is an unknown command.
    Command::refused(&words, "VREPLICATE")
}
