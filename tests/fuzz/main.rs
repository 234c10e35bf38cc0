//! Commands of every kind with extreme numbers, thrown at a server that cannot have more than 4 GiB: it never ends, and
//! answers others within a bound.

use std::time::{Duration, Instant};

use support::random::{Random, rounds, seed};
use support::{Client, Reply, Server};

/// What others may have to wait at most. A machine that does much else is slow, but a stall of a server is longer.
const BOUND: Duration = Duration::from_secs(10);
/// How long it goes on in CI.
const TIME: Duration = Duration::from_secs(25);

const KEYS: [&str; 10] = [
    "d", "i8", "u64", "f", "ld", "s", "ro", "zeros", "text", "nokey",
];

const NUMBERS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "100",
    "-100",
    "999",
    "1000",
    "65535",
    "1000000",
    "16777217",
    "2147483647",
    "-2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "170141183460469231731687303715884105728",
    "-99999999999999999999999999",
];

const VALUES: [&str; 12] = [
    "0", "1", "-1", "1e308", "-1e-320", "inf", "nan", "127", "255", "abc", "", "1.5",
];

const OPS: [&str; 11] = [
    "COUNT", "SUM", "MIN", "MAX", "AVG", "VAR", "STD", "ARGMIN", "ARGMAX", "SKIPNAN", "MEAN",
];

/// An argument.
#[derive(Clone, Copy)]
enum Arg {
    Number,
    Value,
    Op,
    Comparison,
    Advice,
    FindOption,
    Bytes,
    /// A word that is often there, and often not.
    Maybe(&'static str),
    /// As many as before, again and again.
    Again(&'static [Arg]),
}

use Arg::{Advice, Again, Bytes, Comparison, FindOption, Maybe, Number, Op, Value};

const COMMANDS: [(&str, &[Arg]); 31] = [
    ("VPUSH", &[Value, Again(&[Value])]),
    ("VADDRAW", &[Bytes]),
    ("VGET", &[Number]),
    ("VMGET", &[Number, Again(&[Number])]),
    ("VALL", &[]),
    ("VSLICE", &[Number, Number, Maybe("STEP"), Number]),
    ("VLAST", &[Number]),
    ("VGETRAW", &[Number, Number]),
    ("VSET", &[Number, Value, Again(&[Number, Value])]),
    ("VSETRAW", &[Number, Bytes]),
    ("VINCRBY", &[Number, Value, Again(&[Number, Value])]),
    ("VFILL", &[Number, Number, Value]),
    ("VTRIM", &[Number, Number]),
    ("VPOP", &[Number]),
    ("VPOP", &[]),
    ("VCLEAR", &[]),
    ("VSIZE", &[]),
    ("VLEN", &[]),
    ("VTYPE", &[]),
    ("VSTAT", &[]),
    ("VSYNC", &[]),
    ("VAGG", &[Number, Number, Op, Again(&[Op])]),
    ("VBUCKETS", &[Number, Number, Number, Op, Again(&[Op])]),
    (
        "VFIND",
        &[
            Number,
            Number,
            Comparison,
            Value,
            Maybe("LIMIT"),
            Number,
            Maybe("COUNT"),
        ],
    ),
    (
        "VFIND",
        &[
            Number,
            Number,
            Comparison,
            Value,
            Again(&[FindOption, Number, Maybe("-1")]),
        ],
    ),
    (
        "VFIND",
        &[
            Number,
            Number,
            Comparison,
            Value,
            Comparison,
            Value,
            FindOption,
            Number,
            Maybe("WITHVALUES"),
        ],
    ),
    ("VSEARCH", &[Value, Again(&[Value]), Maybe("RIGHT")]),
    ("VADVISE", &[Advice, Number, Number]),
    ("DUMP", &[]),
    ("MEMORY USAGE", &[]),
    ("EXPIRE", &[Number]),
];

fn push(words: &mut Vec<Vec<u8>>, args: &[Arg], random: &mut Random) {
    for arg in args {
        let word = match *arg {
            Number if random.once_in(3) => random.below(2000).to_string(),
            Number => (*random.pick(&NUMBERS)).to_owned(),
            Value if random.once_in(3) => random.below(100).to_string(),
            Value => (*random.pick(&VALUES)).to_owned(),
            Op => (*random.pick(&OPS)).to_owned(),
            Comparison => (*random.pick(&["=", "!=", "<", "<=", ">", ">=", "==", "~"])).to_owned(),
            Advice => (*random.pick(&["WILLNEED", "DONTNEED", "RANDOM", "NORMAL"])).to_owned(),
            FindOption => {
                (*random.pick(&["LIMIT", "COUNT", "COUNT", "WITHVALUES", "LEN"])).to_owned()
            }
            Bytes => {
                let len = *random.pick(&[0, 1, 8, 64, 4096, 65535, 100_000]);
                words.push(vec![random.below(256) as u8; len]);
                continue;
            }
            Maybe(_) if random.once_in(2) => return,
            Maybe(word) => word.to_owned(),
            Again(args) => {
                let times = *random.pick(&[0, 0, 1, 2, 10, 1000]);
                // Now and then a large request.
                let times = if random.once_in(50) { 70_000 } else { times };
                for _ in 0..times {
                    push(words, args, random);
                }
                continue;
            }
        };
        words.push(word.into_bytes());
    }
}

/// A command, which may come in a transaction or a script.
fn command(random: &mut Random) -> Vec<Vec<u8>> {
    let (name, args) = *random.pick(&COMMANDS);
    let mut words: Vec<Vec<u8>> = name.split(' ').map(|word| word.into()).collect();
    words.push((*random.pick(&KEYS)).into());
    push(&mut words, args, random);
    // Lua has room for a few thousand values.
    if random.once_in(10) && words.len() < 1000 {
        let script = "return #tostring(redis.pcall(unpack(ARGV)))";
        let mut eval = [&b"EVAL"[..], script.as_bytes(), b"0"]
            .map(<[u8]>::to_vec)
            .to_vec();
        eval.append(&mut words);
        return eval;
    }
    words
}

/// Makes all keys what they are at the start.
fn prepare(db: &Server) {
    let mut client = db.client();
    client.say("FLUSHALL SYNC");
    client.say("SET text x");
    // What was mapped before is let go of by other threads, and has room of the address space until then.
    let mut bind = |command: &str| {
        support::wait_until(command, || !client.ask(command).is_error());
    };
    for (key, item, bytes) in [
        ("d", "double", 8000),
        ("i8", "int8", 1000),
        ("u64", "uint64", 8000),
        ("f", "float", 4000),
        ("ld", "long_double", 16000),
        ("s", "string 65535", 10 * 65535),
    ] {
        let path = db.path(key);
        // Not the file of before, which may still be being closed.
        let _ = std::fs::remove_file(&path);
        std::fs::write(path, vec![1; bytes]).unwrap();
        bind(&format!("MMAP {key} {key} {item} WRITABLE"));
    }
    for (key, bytes) in [("ro", 1 << 20), ("zeros", 1_u64 << 30)] {
        let file = std::fs::File::create(db.path(key)).unwrap();
        file.set_len(bytes).unwrap();
        bind(&format!("MMAP {key} {key} uint8"));
    }
}

#[test]
fn no_command_ends_the_server_or_makes_it_wait() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut db = Server::setup()
        .config("mmap.max-file-bytes", "64mb")
        .launched_by(&["prlimit", "--as=4294967296"])
        .start();
    let mut other = db.client();
    other.set_patience(Some(BOUND * 6));
    let start = Instant::now();
    let (mut sent, mut longest, mut errors) = (0_u64, Duration::ZERO, 0_u64);
    let is_long = std::env::var_os("MMAP_ROUNDS").is_some();
    for round in 0..rounds(u64::MAX) {
        if !is_long && start.elapsed() > TIME {
            break;
        }
        if round % 50 == 0 {
            prepare(&db);
        }
        let mut client = db.client();
        client.set_patience(Some(Duration::from_secs(120)));
        let in_transaction = random.once_in(5);
        if in_transaction {
            client.say("MULTI");
        }
        let mut last = Vec::new();
        for _ in 0..1 + random.below(8) {
            last = command(&mut random);
            let mut bytes = Vec::new();
            Client::encode(&mut bytes, &last);
            if client.try_send(&bytes).is_err() {
                break;
            }
            sent += 1;
            // One that does not wait for its reply, and goes away.
            if random.once_in(20) {
                break;
            }
            let asked = Instant::now();
            other.send(&["PING"]);
            let answer = other.try_receive().is_ok();
            let waited = asked.elapsed();
            longest = longest.max(waited);
            let told = || describe(&last);
            assert!(
                answer,
                "seed {seed}: no answer after {}\n{}",
                told(),
                db.log()
            );
            assert!(waited < BOUND, "seed {seed}: {waited:?} after {}", told());
            match client.try_receive() {
                Ok(reply) => errors += u64::from(reply.is_error()),
                Err(error) => panic!("seed {seed}: {error} after {}\n{}", told(), db.log()),
            }
        }
        if in_transaction {
            client.send(&["EXEC"]);
            let _ = client.try_receive();
        }
        assert!(db.is_running(), "seed {seed}: after {}", describe(&last));
    }
    println!("{sent} commands, {errors} errors, others waited at most {longest:?}");
    assert!(!db.log().contains("panicked"), "seed {seed}: {}", db.log());
    assert_eq!(db.ask("PING"), Reply::Status("PONG".into()));
}

fn describe(words: &[Vec<u8>]) -> String {
    let first = words.iter().take(12).map(|word| {
        let word = &word[..word.len().min(60)];
        word.escape_ascii().to_string()
    });
    format!(
        "{} ({} words)",
        first.collect::<Vec<_>>().join(" "),
        words.len()
    )
}
