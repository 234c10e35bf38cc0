//! What a file should hold, how it is made and looked at.

use std::ops::Range;

use crate::commands::{self, Command};
use crate::values::{Kind, Value};
use support::random::Random;
use support::{Client, Server};

/// Length of a new `.npy` file's header.
const HEADER: usize = 128;

pub struct File {
    pub kind: Kind,
    /// As `MMAP` is told.
    words: &'static str,
    pub path: String,
    pub keys: [String; 2],
    /// Whether its values are such that sums of floats are exact.
    pub tame: bool,
    /// It gets millions of values, and commands that take bytes or ranges.
    pub is_large: bool,
    /// The values, as they should lie in the file.
    pub bytes: Vec<u8>,
    /// So many of the next commands search it: it was sorted for that.
    searches: u32,
}

impl File {
    pub fn new((words, kind): (&'static str, Kind), npy: bool, tame: bool) -> File {
        let name = words.replace([' ', '<'], "");
        let path = format!(
            "{name}{}{}",
            if tame { "" } else { ".wild" },
            if npy { ".npy" } else { "" }
        );
        File {
            kind,
            words,
            keys: [format!("a{path}"), format!("b{path}")],
            path,
            tame,
            is_large: false,
            bytes: Vec::new(),
            searches: 0,
        }
    }

    pub fn large() -> File {
        File {
            path: "large".to_owned(),
            keys: ["alarge".to_owned(), "blarge".to_owned()],
            is_large: true,
            ..File::new(("uint8", Kind::Unsigned(1)), false, true)
        }
    }

    /// Binds one of its keys.
    pub fn bind(&self, db: &Server, key: &str) {
        let bound = db.say(&format!("MMAP {key} {} {} WRITABLE", self.path, self.words));
        assert_eq!(bound, format!("(integer) {}", self.count()), "MMAP {key}");
    }

    pub fn describe(&self) -> String {
        let first: Vec<Value> = self
            .values(0..self.count().min(12))
            .map(|(_, v)| v)
            .collect();
        format!("{} with {} values, {first:?}...", self.path, self.count())
    }

    pub fn count(&self) -> usize {
        self.bytes.len() / self.kind.size()
    }

    pub fn item(&self, index: usize) -> &[u8] {
        let size = self.kind.size();
        &self.bytes[index * size..][..size]
    }

    pub fn value(&self, index: usize) -> Value {
        self.kind.decode(self.item(index))
    }

    /// Values, with their indices.
    pub fn values(&self, range: Range<usize>) -> impl Iterator<Item = (usize, Value)> + Clone + '_ {
        range.map(|index| (index, self.value(index)))
    }

    /// In bytes.
    pub fn span(&self, range: &Range<usize>) -> Range<usize> {
        range.start * self.kind.size()..range.end * self.kind.size()
    }

    /// An index within the array, or near it; and the same counted from the end.
    pub fn index(&self, random: &mut Random) -> i64 {
        let n = self.count() as i64;
        let index = random.below(n as u64 + 2) as i64;
        if random.once_in(2) {
            index
        } else {
            index - n - 1
        }
    }

    /// Which value an index means, if there is one.
    pub fn at(&self, index: i64) -> Option<usize> {
        let n = self.count() as i64;
        let index = if index < 0 { index + n } else { index };
        (0..n).contains(&index).then_some(index as usize)
    }

    pub fn range(&self, start: i64, stop: i64) -> Range<usize> {
        let n = self.count() as i64;
        let from = |index: i64| if index < 0 { index + n } else { index };
        let (start, stop) = (from(start).max(0), from(stop).min(n - 1));
        if start > stop {
            0..0
        } else {
            start as usize..stop as usize + 1
        }
    }

    pub fn is_sorted(&self) -> bool {
        let mut values = self.values(0..self.count()).map(|(_, value)| value);
        let Some(mut last) = values.next() else {
            return true;
        };
        values.all(|value| {
            let fits = !value.sorts_before(&last);
            last = value;
            fits
        })
    }

    /// A command on it, and what is to become of it.
    pub fn command(&mut self, random: &mut Random) -> Command {
        if self.searches > 0 {
            self.searches -= 1;
            if let Some(search) = commands::search(self, random) {
                return search;
            }
        }
        let command = commands::any(self, random);
        if command.sorts {
            self.searches = 4;
        }
        command
    }

    /// All values, by ways to read them. Says how many there are.
    pub fn check_whole(&self, client: &mut Client) -> u64 {
        for key in &self.keys {
            let found = client.run(&["VGETRAW", key, "0", "-1"]).bytes();
            assert!(
                found == self.bytes,
                "VGETRAW {key}: {}; {}",
                difference(&found, &self.bytes),
                self.describe()
            );
        }
        2 * self.count() as u64
    }

    /// The file at rest.
    pub fn check_bytes(&self, bytes: &[u8]) {
        let is_npy = self.path.ends_with(".npy");
        let (header, values) = bytes.split_at(if is_npy { HEADER.min(bytes.len()) } else { 0 });
        assert!(
            values == self.bytes,
            "{}: {}; {}",
            self.path,
            difference(values, &self.bytes),
            self.describe()
        );
        if is_npy {
            let text = header.escape_ascii().to_string();
            assert!(
                text.contains(&format!("({},)", self.count())),
                "{}: {text}",
                self.path
            );
        }
    }
}

/// Where two files differ first.
pub fn difference(found: &[u8], expected: &[u8]) -> String {
    let same = found
        .iter()
        .zip(expected)
        .take_while(|(a, b)| a == b)
        .count();
    let near = |bytes: &[u8]| {
        bytes[same.min(bytes.len())..]
            .iter()
            .take(32)
            .copied()
            .collect::<Vec<_>>()
    };
    format!(
        "{} bytes for {}, from byte {same} on {:?} for {:?}",
        found.len(),
        expected.len(),
        near(found),
        near(expected)
    )
}
