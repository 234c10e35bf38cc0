//! Impossible numbers and fields in dumps, RDB files, attributes and the replication stream: they harm no other key and no
//! server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::fs::{XattrFlags, setxattr};

use crate::contents::{restore, sign};
use crate::pair::follow;
use crate::writer::LONG;
use support::{Client, Reply, Server, Setup, doubles, wait_until};

/// The number of values dropped from the head, as the server writes it: a mark and, in the form for large ones, the number.
fn number(number: u64) -> Vec<u8> {
    let mut bytes = vec![2, 0x81];
    bytes.extend(number.to_be_bytes());
    bytes
}

/// What is in the place of something in a dump or an RDB file.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(old.len())
        .position(|window| window == old)
        .unwrap_or_else(|| panic!("{} is not there", old.escape_ascii()));
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

/// Where the values' head stands: behind the identity of the file, a string of 40 bytes.
fn with_head(bytes: &[u8], head: u64) -> Vec<u8> {
    let at = bytes.windows(2).position(|two| two == [5, 40]).unwrap() + 42;
    assert_eq!(bytes[at..at + 2], [2, 1]);
    [&bytes[..at], &number(head), &bytes[at + 2..]].concat()
}

/// A server with `2 3 4` under `k`, in front of which one value was dropped, and what it saves is not compressed.
fn source() -> Server {
    let db = Server::setup()
        .config("rdbcompression", "no")
        .config("rdbchecksum", "no")
        .config("mmap.rdb-contents", "yes")
        .start();
    db.ask("MMAP k doubles.f64");
    db.ask("VPUSH k 1 2 3 4");
    assert_eq!(db.say("VTRIM k 1 -1"), "(integer) 1");
    db
}

#[test]
fn a_head_that_leaves_no_room_for_positions_is_refused_in_a_dump() {
    let payload = source().ask("DUMP k").bytes();
    for head in [(1 << 62) + 1, i64::MAX as u64 - 1, 1 << 63, u64::MAX] {
        let mut payload = with_head(&payload, head);
        sign(&mut payload);
        let db = Server::start();
        assert!(restore(&db, "k", &payload).is_error(), "{head}");
        assert!(db.log().contains("can be counted"), "{}", db.log());
        assert!(!db.path("doubles.f64").exists());
    }
    // The largest one is one like any other: for replicas, too, and after a restart.
    let mut payload = with_head(&payload, 1 << 62);
    sign(&mut payload);
    let mut db = Server::start();
    assert_eq!(restore(&db, "k", &payload).to_string(), "OK");
    assert_eq!(db.say("VPUSH k 5 6"), "(integer) 2");
    let error = db.error("VTRIM k 1 -1");
    assert!(error.contains("can be counted"), "{error}");
    let replica = Server::start();
    follow(&replica, &db);
    wait_until("the replica has it", || {
        replica.say("VALL k") == "[2, 3, 4, 5, 6]"
    });
    db.restart();
    assert_eq!(db.say("VALL k"), "[2, 3, 4, 5, 6]");
}

#[test]
fn a_head_that_leaves_no_room_for_positions_is_refused_in_an_attribute() {
    let mut db = Server::with("MMAP k f");
    db.ask("VPUSH k 1 2 3");
    db.ask("SET text value");
    db.save();
    db.shutdown("NOSAVE");
    let head = (u64::MAX - 1).to_le_bytes();
    setxattr(db.path("f"), "user.mmap.head", &head, XattrFlags::empty()).unwrap();
    db.start_again();
    let error = db.error("VALL k");
    assert!(error.contains("user.mmap.head"), "{error}");
    assert_eq!(db.say("GET text"), "value");
    assert!(db.error("MMAP k f").contains("user.mmap.head"));
    assert!(db.error("MMAP other f").contains("user.mmap.head"));
    // Neither does it keep a replica from following.
    let replica = Server::start();
    follow(&replica, &db);
    assert_eq!(replica.say("GET text"), "value");
    assert!(replica.ask("VALL k").is_error());
    assert_eq!(db.read("f"), doubles([1.0, 2.0, 3.0]));
    rustix::fs::removexattr(db.path("f"), "user.mmap.head").unwrap();
    assert_eq!(db.say("MMAP k f"), "(integer) 3");
}

#[test]
fn what_is_wrong_with_a_key_in_an_rdb_file_is_that_keys_alone() {
    let db = source();
    db.ask("SET text value");
    db.save();
    let rdb = db.read("dump.rdb");
    let text = |text: &str| [&[5, text.len() as u8], text.as_bytes()].concat();
    let path = text("doubles.f64");
    let kind = [text("double"), vec![2, 8]].concat();
    let four = 4_f64.to_le_bytes();
    for (what, damaged, expected) in [
        (
            "head",
            with_head(&rdb, i64::MAX as u64 - 1),
            "can be counted",
        ),
        ("head", with_head(&rdb, u64::MAX), "can be counted"),
        (
            "absolute path",
            replaced(&rdb, &path, &text("/../nowhere")),
            "nowhere",
        ),
        (
            "path with a control character",
            replaced(&rdb, &path, &text("a\nb")),
            "control character",
        ),
        ("empty path", replaced(&rdb, &path, &text("")), "is empty"),
        (
            "type",
            replaced(&rdb, &kind, &[text("dooble"), vec![2, 8]].concat()),
            "unknown type 'dooble'",
        ),
        (
            "size",
            replaced(&rdb, &kind, &[text("double"), vec![2, 7]].concat()),
            "size '7'",
        ),
        (
            "size",
            replaced(&rdb, &kind, &[text("string"), number(0)].concat()),
            "size '0'",
        ),
        (
            "values",
            replaced(&rdb, &four, &5_f64.to_le_bytes()),
            "checksum",
        ),
    ] {
        let mut other = Server::setup()
            .config("mmap.rdb-contents", "yes")
            .write("dump.rdb", &damaged)
            .start();
        assert_eq!(other.say("GET text"), "value", "{what}: {}", other.log());
        let error = other.error("VALL k");
        assert!(error.contains(expected), "{what}: {error}");
        assert!(!other.path("doubles.f64").exists());
        // What it is stays so, until it is deleted.
        other.restart();
        assert!(other.ask("VALL k").is_error(), "{what}");
        assert_eq!(other.say("GET text"), "value", "{what}");
        assert_eq!(other.say("DEL k"), "(integer) 1", "{what}");
        // A file that is there counts, whatever came along.
        if what == "values" {
            let other = Server::setup()
                .write("dump.rdb", &damaged)
                .write("doubles.f64", doubles([7.0]))
                .start();
            assert_eq!(other.say("VALL k"), "[7]");
        }
    }
}

/// A primary that says what it likes.
pub struct Primary {
    listener: TcpListener,
    stream: TcpStream,
    pub replica: Server,
    waits: u32,
}

impl Primary {
    /// Lets a replica follow it, which gets no keys.
    pub fn start() -> Primary {
        Primary::of(Server::setup())
    }

    pub fn of(replica: Setup) -> Primary {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let replica = replica.start();
        assert_eq!(replica.say(&format!("REPLICAOF 127.0.0.1 {port}")), "OK");
        Primary {
            stream: synchronise(&listener),
            listener,
            replica,
            waits: 0,
        }
    }

    /// The replica has asked for a full synchronisation, which leaves it without keys.
    pub fn synchronise_again(&mut self) {
        self.stream = synchronise(&self.listener);
    }

    fn send(&mut self, words: &[&[u8]]) {
        self.try_send(words).unwrap();
    }

    /// # Errors
    /// If the replica has ended the connection.
    pub fn try_send(&mut self, words: &[impl AsRef<[u8]>]) -> std::io::Result<()> {
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        let mut bytes = Vec::new();
        Client::encode(&mut bytes, &words);
        self.stream.write_all(&bytes)
    }

    /// Waits until the replica has carried out all that was sent.
    #[track_caller]
    fn wait(&mut self) {
        assert!(self.try_wait(), "the replica ended the connection");
    }

    /// As [`Self::wait`]; `false` if the replica has ended the connection instead.
    #[track_caller]
    pub fn try_wait(&mut self) -> bool {
        self.waits += 1;
        let waits = self.waits.to_string();
        let mut is_there = self.try_send(&["SET", "waits", &waits]).is_ok();
        wait_until("the replica has read all it got", || {
            // It ends it in its own time, and what came before was carried out.
            is_there &= !self.has_ended();
            !is_there || self.replica.say("GET waits") == waits
        });
        is_there
    }

    fn has_ended(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let mut acknowledgements = [0; 4096];
        let end = loop {
            match (&self.stream).read(&mut acknowledgements) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
            }
        };
        self.stream.set_nonblocking(false).unwrap();
        end
    }
}

/// Waits for a replica, and sends it an RDB file without keys.
fn synchronise(listener: &TcpListener) -> TcpStream {
    let mut stream = None;
    wait_until("the replica asks", || {
        stream = listener.accept().ok().map(|(stream, _)| stream);
        stream.is_some()
    });
    let mut stream = stream.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let command = words(&mut reader);
        match command[0].to_ascii_uppercase().as_slice() {
            b"PING" => stream.write_all(b"+PONG\r\n").unwrap(),
            b"PSYNC" => break,
            _ => stream.write_all(b"+OK\r\n").unwrap(),
        }
    }
    let id = "0".repeat(40);
    let rdb = b"REDIS0009\xff\0\0\0\0\0\0\0\0";
    write!(stream, "+FULLRESYNC {id} 1\r\n${}\r\n", rdb.len()).unwrap();
    stream.write_all(rdb).unwrap();
    stream
}

/// A command, as its words.
fn words(reader: &mut impl BufRead) -> Vec<Vec<u8>> {
    let mut line = String::new();
    let mut count = |reader: &mut dyn BufRead| -> usize {
        line.clear();
        reader.read_line(&mut line).unwrap();
        line[1..].trim_end().parse().unwrap()
    };
    (0..count(reader))
        .map(|_| {
            let mut word = vec![0; count(reader) + 2];
            reader.read_exact(&mut word).unwrap();
            word.truncate(word.len() - 2);
            word
        })
        .collect()
}

#[test]
fn a_replica_outlives_what_no_primary_would_say() {
    let mut primary = Primary::start();
    let identity = [1; 40];
    let values = doubles([1.0, 2.0, 3.0]);
    primary.send(&[
        b"VREPLICATE",
        b"k",
        b"BIND",
        b"f",
        b"double",
        b"8",
        b"WRITABLE",
        b"0",
        b"0",
        b"EMPTY",
        &identity,
    ]);
    primary.send(&[b"VREPLICATE", b"k", b"SET", b"0", &values]);
    primary.wait();
    assert_eq!(primary.replica.say("VALL k"), "[1, 2, 3]");
    let numbers: Vec<String> = [
        1 << 59,
        1 << 60,
        1 << 61,
        (1 << 61) + 1,
        1 << 62,
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ]
    .iter()
    .map(u64::to_string)
    .chain(["-1", "", "1e3", "18446744073709551616"].map(str::to_owned))
    .collect();
    let eight = 9_f64.to_le_bytes();
    for number in numbers.iter().map(String::as_bytes) {
        for words in [
            &[b"SET".as_slice(), number, &eight][..],
            &[b"SET", number, b""],
            &[b"SET", number, b"odd"],
            &[b"SET", number],
            &[b"REPEAT", b"0", number, b""],
            &[b"REPEAT", number, number, b""],
            &[b"REPEAT", number, number, &eight],
            &[b"REPEAT", b"3", number, &eight],
            &[b"REPEAT", number, b"1", b"odd"],
            &[b"LENGTH", b"x"],
            &[b"FILL", b"f", number, &eight],
            &[b"FILL", b"f", number, b"odd"],
            &[
                b"BIND",
                b"g",
                b"double",
                b"8",
                b"WRITABLE",
                number,
                number,
                b"EMPTY",
                &identity,
            ],
            &[
                b"BIND",
                b"g",
                b"string",
                number,
                b"WRITABLE",
                b"0",
                b"0",
                b"EMPTY",
                &identity,
            ],
            &[b"NOTHING", number],
        ] {
            // Another key for a binding: what was said of it is gone by then.
            let key: &[u8] = if words[0] == b"BIND" { b"g" } else { b"k" };
            primary.send(&[&[b"VREPLICATE".as_slice(), key], words].concat());
        }
        primary.send(&[b"DEL", b"g"]);
        primary.wait();
    }
    // It has the values that came, or says that it has not: nothing else.
    match primary.replica.ask("VALL k") {
        Reply::Error(_) => {}
        reply => assert_eq!(reply.to_string(), "[1, 2, 3]"),
    }
    assert_eq!(primary.replica.read("f")[..24], values);
    assert!(primary.replica.file_len("f") < 1 << 20);
    assert!(primary.replica.is_running());
}

#[test]
fn contents_of_which_a_piece_never_came_are_not_shown() {
    let mut primary = Primary::start();
    let (identity, values) = ([1; 40], doubles([1.0, 2.0, 3.0]));
    for state in [b"EMPTY".as_slice(), b"FILLING"] {
        let count: &[u8] = if state == b"EMPTY" { b"0" } else { b"3" };
        let bind: [&[u8]; 11] = [
            b"VREPLICATE",
            b"k",
            b"BIND/2",
            b"f",
            b"double",
            b"8",
            b"WRITABLE",
            count,
            b"0",
            state,
            &identity,
        ];
        primary.send(&bind);
        if state == b"EMPTY" {
            primary.send(&[b"VREPLICATE", b"k", b"SET/2", b"0", &values]);
            primary.wait();
            assert_eq!(primary.replica.say("VALL k"), "[1, 2, 3]");
            primary.send(&[b"VREPLICATE", b"k", b"REFILL/2", b"f", b"0", b"0"]);
        }
        // What is said of values 0 and 1 goes elsewhere.
        primary.send(&[
            b"VREPLICATE",
            b"x",
            b"FILL/2",
            b"elsewhere",
            b"0",
            &values[..16],
        ]);
        primary.send(&[b"VREPLICATE", b"k", b"FILL/2", b"f", b"2", &values[16..]]);
        primary.send(&[b"VREPLICATE", b"k", b"FILLED/2", b"f", b"3"]);
        primary.wait();
        let error = primary.replica.error("VALL k");
        assert!(error.contains("were never received"), "{error}");
        // All of them, later.
        primary.send(&[b"VREPLICATE", b"k", b"REFILL/2", b"f", b"0", b"0"]);
        primary.send(&[b"VREPLICATE", b"k", b"FILL/2", b"f", b"0", &values[..16]]);
        primary.send(&[b"VREPLICATE", b"k", b"FILL/2", b"f", b"2", &values[16..]]);
        primary.send(&[b"VREPLICATE", b"k", b"FILLED/2", b"f", b"3"]);
        primary.wait();
        assert_eq!(primary.replica.say("VALL k"), "[1, 2, 3]");
        primary.send(&[b"DEL", b"k"]);
    }
}
