//! Damaged dumps, in the manner of Redis' `corrupt-dump-fuzzer`: whatever comes, a server that is asked to `RESTORE` it
//! lives on, and what it refuses leaves no trace.
//!
//! `MMAP_ROUNDS` says how many are tried, `MMAP_SEED` with which chance.

use std::path::{Path, PathBuf};

use crate::contents::{dump, sign};
use support::random::{Random, rounds, seed};
use support::{Client, Reply, Server};

/// The kind of the value and the module's id: what stands there decides which module, or which of the server's own
/// types, loads the rest.
const TYPE_BYTES: usize = 10;
/// How much more memory than at the start a server may take, in MiB: payloads are far smaller.
const MEMORY: u64 = 64;

/// Dumps of arrays of several kinds. Each path is as long as `../f`.
fn dumps() -> Vec<Vec<u8>> {
    let db = Server::start();
    std::fs::create_dir(db.path("d")).unwrap();
    for command in [
        "MMAP doubles d//d",
        "VPUSH doubles 1 2 3 4 5 6 7 8 9",
        "VTRIM doubles 4 -2",
        "MMAP numbers npy1 int16 WRITABLE",
        "VPUSH numbers 1 -2 3 -4 5 -6 7 -8 9 1 -2 3 -4 5 -6 7 -8 9 1 -2 3 -4 5 -6 7 -8 9",
        "MMAP header 1.npy uint32 WRITABLE",
        "VPUSH header 1 2 3",
        "MMAP strings d//s string 5 WRITABLE",
        "VPUSH strings abc defgh i jklm nopqr",
        "MMAP none d//n",
        "MMAP long d//l float WRITABLE",
        "VFILL long 0 20000 0.5",
    ] {
        let reply = db.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
    }
    let keys = ["doubles", "numbers", "header", "strings", "none", "long"];
    let mut dumps: Vec<_> = keys.iter().map(|key| dump(&db, key)).collect();
    db.ask("CONFIG SET mmap.rdb-contents no");
    dumps.push(dump(&db, "doubles"));
    db.ask("CONFIG SET mmap.rdb-contents auto");
    std::fs::write(db.path("d/n"), [1]).unwrap();
    dumps.push(dump(&db, "none"));
    dumps
}

/// Damages a dump, and puts the server's checksum right.
fn damage(random: &mut Random, payload: &mut Vec<u8>) {
    payload.truncate(payload.len() - 8);
    for _ in 0..=random.below(3) {
        let end = payload.len() - 2;
        if end <= TYPE_BYTES + 1 {
            break;
        }
        // Most fields are at the begin or at the end.
        let at = TYPE_BYTES
            + match random.below(3) {
                0 => random.below(((end - TYPE_BYTES) as u64).min(96)),
                1 => {
                    (end - TYPE_BYTES) as u64
                        - 1
                        - random.below(((end - TYPE_BYTES) as u64).min(32))
                }
                _ => random.below((end - TYPE_BYTES) as u64),
            } as usize;
        let len = (1 + random.below(8) as usize).min(end - at);
        match random.below(7) {
            0 => payload[at] ^= 1 << random.below(8),
            1 => {
                payload[at] =
                    *random.pick(&[0, 1, 2, 3, 5, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xc3, 0xff])
            }
            2 => drop(payload.drain(at..at + len)),
            3 => drop(payload.splice(at..at, (0..len).map(|_| random.next() as u8))),
            4 => payload.copy_within(at..at + len, TYPE_BYTES),
            // A number of 64 bits, as the server writes one.
            5 => {
                let number = *random.pick(&[u64::MAX, 1 << 63, u64::MAX >> 1, 1 << 40, 1 << 31]);
                let bytes = std::iter::once(0x81).chain(number.to_be_bytes());
                drop(payload.splice(at..=at, bytes));
            }
            _ => {
                let path = random.pick(&[b"../f", b"/f/f", b"..//", b"d/..", b"link", b"dir/"]);
                payload[TYPE_BYTES + 2..TYPE_BYTES + 6].copy_from_slice(*path);
            }
        }
    }
    payload.extend([0; 8]);
    sign(payload);
}

/// All files below a directory and what they hold.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push((
                entry.path(),
                std::fs::read(entry.path()).unwrap_or_default(),
            ));
        }
    }
    found.sort();
    found
}

/// The most memory that a server ever had, in MiB.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let (_, rest) = status.split_once("VmHWM:").unwrap();
    rest.split_whitespace()
        .next()
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

/// What an accepted array must be able to do.
fn use_and_delete(client: &mut Client) {
    for command in ["VALL k", "VSTAT k", "DEBUG DIGEST-VALUE k", "VGET k 0"] {
        let reply = client.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
    }
    // It may be read-only now, or a string of no use; but it answers.
    client.ask("VPOP k");
    client.ask("VTRIM k 1 -1");
    client.ask("DUMP k");
    assert_eq!(client.say("DEL k"), "(integer) 1");
}

#[test]
fn a_damaged_dump_neither_harms_the_server_nor_leaves_a_trace() {
    let (seed, rounds) = (seed(), rounds(600));
    println!("MMAP_SEED={seed} MMAP_ROUNDS={rounds}");
    let mut random = Random::new(seed);
    let dumps = dumps();
    let setup = Server::setup().module_args("dir root");
    let (data, root) = (setup.dir(), setup.dir().join("root"));
    std::fs::create_dir_all(root.join("dir")).unwrap();
    std::os::unix::fs::symlink("../outside", root.join("link")).unwrap();
    std::fs::write(data.join("outside"), "not yours").unwrap();
    let server = setup.start();
    let mut client = server.client();
    let memory = peak(&server);
    let mut accepted = 0;
    for round in 0..rounds {
        let sanitize = *random.pick(&["yes", "no"]);
        client.ask(&format!("CONFIG SET sanitize-dump-payload {sanitize}"));
        let mut payload = random.pick(&dumps).clone();
        let intact = payload.clone();
        damage(&mut random, &mut payload);
        // Half of the time there is the very array that was dumped, and something in it since.
        let replaces = random.once_in(2)
            && client
                .run(&[b"RESTORE".as_slice(), b"k", b"0", &intact])
                .to_string()
                == "OK";
        let (digest, before) = (client.say("DEBUG DIGEST-VALUE k"), files(&data));
        let words = [b"RESTORE".as_slice(), b"k", b"0", &payload, b"REPLACE"];
        let reply = client.run(&words[..if replaces { 5 } else { 4 }]);
        let case = || {
            let payload = payload.escape_ascii();
            format!("round {round} of MMAP_SEED={seed}: {reply}\n{payload}")
        };
        if matches!(reply, Reply::Error(_)) {
            assert!(files(&data) == before, "{}", case());
            assert_eq!(client.say("DEBUG DIGEST-VALUE k"), digest, "{}", case());
            assert_eq!(client.ask("DEL k").int(), i64::from(replaces), "{}", case());
        } else {
            accepted += 1;
            use_and_delete(&mut client);
        }
        let outside: Vec<_> = files(&data)
            .into_iter()
            .filter(|(path, _)| !path.starts_with(&root))
            .collect();
        assert_eq!(
            outside,
            [(data.join("outside"), b"not yours".to_vec())],
            "{}",
            case()
        );
        for (path, _) in files(&root) {
            if path != root.join("link") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let grown = peak(&server) - memory;
    assert!(grown < MEMORY, "the server took {grown} MiB more");
    println!("{accepted} of {rounds} were accepted");
    assert!(
        accepted > 0 && accepted < rounds,
        "the damage is too small, or too great"
    );
}
