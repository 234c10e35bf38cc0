//! What a file should hold, and what each command should answer.

use std::ops::Range;

use support::random::Random;
use support::{Client, Reply};

/// All types, as `MMAP` names them.
pub const KINDS: [&str; 12] = [
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float",
    "double",
    "long_double",
    "S4",
];

/// Small whole numbers, which all types hold and print alike; strings hold their digits.
pub struct File {
    pub kind: &'static str,
    pub path: String,
    pub keys: [String; 2],
    pub values: Vec<i64>,
}

/// A reply as words, alike in RESP2 and RESP3.
pub fn text(reply: &Reply) -> String {
    match reply {
        Reply::Int(n) => n.to_string(),
        Reply::Bulk(bytes) => bytes.escape_ascii().to_string(),
        Reply::Double(text) => text.clone(),
        Reply::Nil => "nil".to_owned(),
        Reply::Array(items) => list(items.iter().map(text)),
        other => other.to_string(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

impl File {
    pub fn new(kind: &'static str, npy: bool) -> File {
        let path = format!("{kind}{}", if npy { ".npy" } else { "" });
        File {
            kind,
            keys: [format!("a{path}"), format!("b{path}")],
            path,
            values: Vec::new(),
        }
    }

    pub fn describe(&self) -> String {
        let n = self.values.len();
        format!(
            "{} with {n} values, {:?}...",
            self.path,
            &self.values[..n.min(20)]
        )
    }

    fn is_string(&self) -> bool {
        self.kind == "S4"
    }

    fn encode(&self, value: i64) -> Vec<u8> {
        match self.kind {
            "int8" | "uint8" => (value as i8).to_le_bytes().into(),
            "int16" | "uint16" => (value as i16).to_le_bytes().into(),
            "int32" | "uint32" => (value as i32).to_le_bytes().into(),
            "int64" | "uint64" => value.to_le_bytes().into(),
            "float" => (value as f32).to_le_bytes().into(),
            "double" => (value as f64).to_le_bytes().into(),
            "long_double" if value == 0 => vec![0; 16],
            "long_double" => {
                let shift = (value as u64).leading_zeros();
                let exponent = 16_383 + 63 - u128::from(shift);
                (exponent << 64 | u128::from((value as u64) << shift))
                    .to_le_bytes()
                    .into()
            }
            _ => {
                let mut bytes = value.to_string().into_bytes();
                bytes.resize(4, 0);
                bytes
            }
        }
    }

    fn bytes(&self, values: &[i64]) -> Vec<u8> {
        values
            .iter()
            .flat_map(|&value| self.encode(value))
            .collect()
    }

    /// An index within the array, or near it; and the same counted from the end.
    fn index(&self, random: &mut Random) -> i64 {
        let n = self.values.len() as i64;
        let index = random.below(n as u64 + 2) as i64;
        if random.once_in(2) {
            index
        } else {
            index - n - 1
        }
    }

    fn at(&self, index: i64) -> Option<usize> {
        let n = self.values.len() as i64;
        let index = if index < 0 { index + n } else { index };
        (0..n).contains(&index).then_some(index as usize)
    }

    fn range(&self, start: i64, stop: i64) -> Range<usize> {
        let n = self.values.len() as i64;
        let from = |index: i64| if index < 0 { index + n } else { index };
        let (start, stop) = (from(start).max(0), from(stop).min(n - 1));
        if start > stop {
            0..0
        } else {
            start as usize..stop as usize + 1
        }
    }

    /// A command, and the reply to it; the model is as after it.
    pub fn command(&mut self, random: &mut Random) -> (Vec<String>, String) {
        let key = random.pick(&self.keys).clone();
        let (start, stop) = (self.index(random), self.index(random));
        let range = self.range(start, stop);
        let value = random.below(100) as i64;
        let n = self.values.len();
        let nil = "nil".to_owned();
        let shown = |value: &i64| value.to_string();
        let (words, reply) = match random.below(16) {
            0..4 => {
                // Now and then more than a page.
                let count = if random.once_in(8) {
                    3000
                } else {
                    1 + random.below(40)
                };
                let new: Vec<i64> = (0..count).map(|_| random.below(100) as i64).collect();
                let words: Vec<String> = new.iter().map(shown).collect();
                self.values.extend(new);
                (
                    format!("VPUSH {key} {}", words.join(" ")),
                    count.to_string(),
                )
            }
            4 => {
                let found = self.at(start).map(|i| shown(&self.values[i]));
                (format!("VGET {key} {start}"), found.unwrap_or(nil))
            }
            5 => {
                let found = [start, stop, 0].map(|index| {
                    self.at(index)
                        .map_or(nil.clone(), |i| shown(&self.values[i]))
                });
                (
                    format!("VMGET {key} {start} {stop} 0"),
                    list(found.into_iter()),
                )
            }
            6 => match (self.at(start), self.at(stop)) {
                (Some(i), Some(j)) => {
                    self.values[i] = value;
                    self.values[j] = value + 1;
                    (
                        format!("VSET {key} {start} {value} {stop} {}", value + 1),
                        "2".to_owned(),
                    )
                }
                _ => (format!("VSIZE {key}"), n.to_string()),
            },
            7 => {
                let popped = self.values.pop();
                (format!("VPOP {key}"), popped.as_ref().map_or(nil, shown))
            }
            8 => {
                let count = random.below(30) as usize;
                let popped = self.values.split_off(n.saturating_sub(count));
                (
                    format!("VPOP {key} {count}"),
                    list(popped.iter().rev().map(shown)),
                )
            }
            9 if random.once_in(3) => {
                let kept = self.values[range].to_vec();
                let removed = n - kept.len();
                self.values = kept;
                (format!("VTRIM {key} {start} {stop}"), removed.to_string())
            }
            9 | 10 => {
                let found = self.values[range].iter().step_by(3).map(shown);
                (format!("VSLICE {key} {start} {stop} STEP 3"), list(found))
            }
            11 => {
                let count = range.len();
                self.values[range].fill(value);
                (
                    format!("VFILL {key} {start} {stop} {value}"),
                    count.to_string(),
                )
            }
            12 if random.once_in(4) => {
                self.values.clear();
                (format!("VCLEAR {key}"), n.to_string())
            }
            12 | 13 if !self.is_string() => {
                let part = &self.values[range.clone()];
                let sum: i64 = part.iter().sum();
                let least = part.iter().min();
                let first = least.and_then(|least| part.iter().position(|x| x == least));
                let first = first.map_or(nil.clone(), |i| (i + range.start).to_string());
                let answers = [
                    part.len().to_string(),
                    sum.to_string(),
                    least.map_or(nil.clone(), shown),
                    part.iter().max().map_or(nil, shown),
                    first,
                ];
                (
                    format!("VAGG {key} {start} {stop} COUNT SUM MIN MAX ARGMIN"),
                    list(answers.into_iter()),
                )
            }
            14 if !self.is_string() => {
                let part = &self.values[range.clone()];
                let sums = (0..3).map(|i| {
                    let [from, to] = [i, i + 1].map(|i| i * part.len() / 3);
                    format!("[{}]", part[from..to].iter().sum::<i64>())
                });
                (format!("VBUCKETS {key} {start} {stop} 3 SUM"), list(sums))
            }
            12..15 => (
                format!("{} {key}", random.pick(&["VSIZE", "VCOUNT", "VLEN"])),
                n.to_string(),
            ),
            _ => self.find(&key, start, stop, range, value, random),
        };
        (words.split(' ').map(str::to_owned).collect(), reply)
    }

    /// `VFIND` in one of its forms, and what it should answer.
    fn find(
        &self,
        key: &str,
        start: i64,
        stop: i64,
        range: Range<usize>,
        value: i64,
        random: &mut Random,
    ) -> (String, String) {
        let is_above = !self.is_string() && random.once_in(2);
        let end = range.end;
        let found: Vec<usize> = range
            .filter(|&i| self.values[i] == value || is_above && self.values[i] > value)
            .collect();
        let comparison = if is_above {
            // No integer type has this value.
            format!("> {}.5", value - 1)
        } else {
            format!("= {value}")
        };
        let words = format!("VFIND {key} {start} {stop} {comparison}");
        let indices = |found: &[usize]| list(found.iter().map(usize::to_string));
        let [offset, count] = [0, 1].map(|least| least + random.below(4) as usize);
        match random.below(4) {
            0 => (words, indices(&found)),
            1 => {
                let rest = &found[offset.min(found.len())..];
                let reply = indices(&rest[..count.min(rest.len())]);
                (format!("{words} LIMIT {offset} {count}"), reply)
            }
            2 => {
                let page = &found[..count.min(found.len())];
                let next = page.last().map_or(0, |last| last + 1);
                let is_last = page.len() < count || next == end;
                let next = if is_last { 0 } else { next };
                (
                    format!("{words} COUNT {count}"),
                    format!("[{next}, {}]", indices(page)),
                )
            }
            _ => (format!("{words} LEN"), found.len().to_string()),
        }
    }

    /// All values, by each way to read them.
    pub fn check_whole(&self, client: &mut Client) {
        let all = list(self.values.iter().map(ToString::to_string));
        for key in &self.keys {
            let found = text(&client.run(&["VALL", key]));
            assert!(
                found == all,
                "VALL {key} is {:.300}: {}",
                found,
                self.describe()
            );
            let raw = client.run(&["VGETRAW", key, "0", "-1"]).bytes();
            assert!(
                raw == self.bytes(&self.values),
                "VGETRAW {}",
                self.describe()
            );
        }
    }

    /// The file at rest.
    pub fn check_bytes(&self, bytes: &[u8]) {
        let values = self.bytes(&self.values);
        let header = if self.path.ends_with(".npy") { 128 } else { 0 };
        assert_eq!(bytes.len(), header + values.len(), "{}", self.describe());
        assert!(bytes[header..] == values, "{}", self.describe());
    }
}
