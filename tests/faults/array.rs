//! An array under test, and what it must hold by what its clients were told.

use support::interposer::Plan;
use support::{Client, Reply, Server, as_doubles, wait_until};

/// The only errors that a fault may bring about: each names the file.
const KNOWN_ERRORS: [&str; 5] = [
    "cannot ",
    "writes to file ",
    "the write was carried out but may not survive a power cut: cannot ",
    "MMAP the key again",
    "no such key",
];

/// Of long values every 16th is read.
const STEP: usize = 16;

/// One array on whose file calls fail.
pub struct Array<'a> {
    db: &'a Server,
    client: Client,
    key: &'static str,
    file: String,
    /// The words of `MMAP` behind the path, and bytes per value.
    item: (&'static str, usize),
    pub values: Vec<f64>,
    next: f64,
    is_bound: bool,
    /// Errors that commands answered.
    pub errors: Vec<String>,
}

impl<'a> Array<'a> {
    pub fn new(db: &'a Server, key: &'static str, file: String) -> Array<'a> {
        Array {
            db,
            client: db.client(),
            key,
            file,
            item: ("", 8),
            values: Vec::new(),
            next: 1.0,
            is_bound: false,
            errors: Vec::new(),
        }
    }

    /// One whose values are texts of 64 KiB, so that few take much space.
    pub fn of_long_items(mut self) -> Array<'a> {
        self.item = (" string 65535 WRITABLE", 65535);
        self
    }

    /// One that is bound already, and holds these values.
    pub fn bound(db: &'a Server, (key, file): (&'static str, &str), values: Vec<f64>) -> Array<'a> {
        Array {
            values,
            is_bound: true,
            ..Array::new(db, key, file.to_owned())
        }
    }

    /// `None` if the command failed as it may; whether it was carried out all the same.
    fn judge(&mut self, command: &str, reply: Reply) -> (Option<Reply>, bool) {
        let Reply::Error(text) = reply else {
            return (Some(reply), true);
        };
        let text = text.trim_start_matches("ERR ").to_owned();
        let missing = text.starts_with("no such key") && !self.is_bound;
        let known = missing
            || text.contains(&format!("'{}'", self.file))
                && KNOWN_ERRORS.iter().any(|known| text.contains(known));
        assert!(known, "{command}: {text}");
        let carried_out = text.contains("the write was carried out");
        self.errors.push(text);
        (None, carried_out)
    }

    fn run(&mut self, args: &[String]) -> (Option<Reply>, bool) {
        let reply = self.client.run(args);
        self.judge(&args[0], reply)
    }

    fn ask(&mut self, command: &str) -> (Option<Reply>, bool) {
        let args: Vec<_> = command.split(' ').map(str::to_owned).collect();
        self.run(&args)
    }

    /// Binds the file, or opens it again.
    pub fn mmap(&mut self) {
        let (reply, _) = self.ask(&format!("MMAP {} {}{}", self.key, self.file, self.item.0));
        if let Some(reply) = reply {
            assert_eq!(reply, Reply::Int(self.values.len() as i64), "MMAP");
            self.is_bound = true;
        }
    }

    /// Unbinds the file.
    pub fn del(&mut self) {
        self.db.ask(&format!("DEL {}", self.key));
        self.is_bound = false;
    }

    fn push_words(&mut self, count: usize) -> (Vec<String>, Vec<f64>) {
        let values: Vec<_> = (0..count).map(|i| self.next + i as f64).collect();
        self.next += count as f64;
        let mut words = vec!["VPUSH".to_owned(), self.key.to_owned()];
        words.extend(values.iter().map(f64::to_string));
        (words, values)
    }

    fn pushed(&mut self, reply: Reply, values: &[f64]) {
        let (reply, carried_out) = self.judge("VPUSH", reply);
        if let Some(reply) = reply {
            assert_eq!(reply, Reply::Int(values.len() as i64));
        }
        if carried_out {
            self.values.extend(values);
        }
    }

    /// One append of so many values.
    pub fn push(&mut self, count: usize) {
        let (words, values) = self.push_words(count);
        let reply = self.client.run(&words);
        self.pushed(reply, &values);
    }

    /// So many appends of so many values, sent at once.
    pub fn burst(&mut self, commands: usize, count: usize) {
        let (words, values): (Vec<_>, Vec<_>) =
            (0..commands).map(|_| self.push_words(count)).unzip();
        for (reply, values) in self.client.pipeline(&words).into_iter().zip(values) {
            self.pushed(reply, &values);
        }
    }

    /// An append within a transaction.
    pub fn push_in_transaction(&mut self, count: usize) {
        let (words, values) = self.push_words(count);
        assert_eq!(self.client.say("MULTI"), "OK");
        assert_eq!(self.client.run(&words), Reply::Status("QUEUED".into()));
        let mut replies = self.client.ask("EXEC").items();
        self.pushed(replies.remove(0), &values);
    }

    /// Changes the first, the middle and the last value.
    pub fn set(&mut self) {
        if self.values.is_empty() {
            return;
        }
        let len = self.values.len();
        let indices = [0, len / 2, len - 1];
        let (key, value) = (self.key, self.next);
        self.next += 1.0;
        let words = indices.map(|i| format!(" {i} {value}")).concat();
        if self.ask(&format!("VSET {key}{words}")).1 {
            indices.iter().for_each(|&i| self.values[i] = value);
        }
    }

    /// Removes values at the end.
    pub fn pop(&mut self, count: usize) {
        let left = self.values.len().saturating_sub(count);
        let (reply, carried_out) = self.ask(&format!("VPOP {} {count}", self.key));
        if let Some(reply) = reply {
            // Without a key there is nothing, as of `LPOP`.
            let popped = match reply {
                Reply::Nil => Vec::new(),
                reply => reply.items(),
            };
            let popped: Vec<_> = popped.into_iter().map(as_double).collect();
            let expected: Vec<_> = self.values[left..].iter().rev().copied().collect();
            assert_eq!(popped, expected, "VPOP");
        }
        if carried_out {
            self.values.truncate(left);
        }
    }

    /// Removes all values.
    pub fn clear(&mut self) {
        let (reply, carried_out) = self.ask(&format!("VCLEAR {}", self.key));
        if let Some(reply) = reply {
            assert_eq!(reply, Reply::Int(self.values.len() as i64), "VCLEAR");
        }
        if carried_out {
            self.values.clear();
        }
    }

    /// Syncs, after which the file is exact.
    pub fn sync(&mut self) {
        if let (Some(reply), _) = self.ask(&format!("VSYNC {}", self.key)) {
            assert_eq!(reply, Reply::Status("OK".into()), "VSYNC");
            assert_eq!(self.in_file(), self.values, "the file after VSYNC");
        }
    }

    fn in_file(&self) -> Vec<f64> {
        let bytes = self.db.read(&self.file);
        if self.item.1 == 8 {
            return as_doubles(&bytes);
        }
        assert_eq!(bytes.len() % self.item.1, 0, "an odd tail");
        bytes
            .chunks(self.item.1)
            .map(|item| String::from_utf8_lossy(item).trim_end_matches('\0').parse())
            .map(|value| value.expect("a number"))
            .collect()
    }

    /// Reads the number of values and some of them.
    pub fn look(&mut self) {
        if !self.is_bound {
            return;
        }
        let (key, len) = (self.key, self.values.len());
        if let (Some(reply), _) = self.ask(&format!("VSIZE {key}")) {
            assert_eq!(reply, Reply::Int(len as i64), "VSIZE");
        }
        let indices = [0, len / 3, len.saturating_sub(1), len];
        let words = indices.map(|i| format!(" {i}")).concat();
        if let (Some(reply), _) = self.ask(&format!("VMGET {key}{words}")) {
            let found: Vec<_> = reply.items().into_iter().map(as_optional_double).collect();
            let expected: Vec<_> = indices.map(|i| self.values.get(i).copied()).into();
            assert_eq!(found, expected, "VMGET{words}");
        }
    }

    /// Reads all values.
    pub fn look_at_all(&mut self) {
        if !self.is_bound {
            return;
        }
        // Of long values a part: there are more of them than VALL replies with.
        let (command, step) = match self.item.1 {
            8 => (format!("VALL {}", self.key), 1),
            _ => (format!("VSLICE {} 0 -1 STEP {STEP}", self.key), STEP),
        };
        if let (Some(reply), _) = self.ask(&command) {
            let found: Vec<_> = reply.items().into_iter().map(as_double).collect();
            let expected: Vec<_> = self.values.iter().step_by(step).copied().collect();
            assert_eq!(found, expected, "{command}");
        }
    }

    /// Once nothing fails any more, everything works again by itself, or at the latest after `MMAP`.
    pub fn works_again(&mut self, plan: &Plan) {
        plan.heal();
        let words: Vec<_> = ["VPUSH", self.key, "-1"].map(str::to_owned).into();
        wait_until("writes are allowed again", || {
            self.mmap();
            let (reply, carried_out) = self.run(&words);
            if carried_out {
                self.values.push(-1.0);
            }
            reply.is_some()
        });
        let before = self.errors.len();
        self.push(3);
        self.set();
        self.pop(2);
        self.look();
        self.look_at_all();
        self.sync();
        self.burst(20, 500);
        self.sync();
        self.look_at_all();
        assert_eq!(self.errors[before..], [""; 0], "the fault is over");
    }
}

fn as_double(reply: Reply) -> f64 {
    as_optional_double(reply).expect("a value")
}

fn as_optional_double(reply: Reply) -> Option<f64> {
    match reply {
        Reply::Nil => None,
        other => Some(other.text().parse().expect("a number")),
    }
}
