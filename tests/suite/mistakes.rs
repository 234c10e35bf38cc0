//! What a new user gets wrong, and that the answer says what to do. Each row is what was meant, what was typed, and the
//! whole answer.

use support::{Reply, Server, doubles};

/// A `.npy` file with a header of that text.
fn npy(header: &str, bytes: usize) -> Vec<u8> {
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.resize(file.len() + bytes, 0);
    file
}

fn server() -> Server {
    let dict = |descr: &str, fortran: &str, shape: &str| {
        let text =
            format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
        format!("{text:117}\n")
    };
    let db = Server::setup()
        .write("three.f64", doubles([1.0, 2.0, 3.0]))
        .write("odd.f64", [0; 12])
        .write("numbers.csv", "1.5,2.5\n")
        .write("2d.npy", npy(&dict("<f8", "True", "(2, 3)"), 48))
        .write("ints.npy", npy(&dict("<i4", "False", "(3,)"), 12))
        .write("text.npy", npy(&dict("<U5", "False", "(1,)"), 20))
        .write("big.npy", npy(&dict(">f8", "False", "(1,)"), 8))
        .start();
    std::fs::create_dir(db.path("folder")).unwrap();
    db.say("MMAP db three.f64 double WRITABLE");
    db.say("MMAP ro folder/../three.f64 double");
    db.say("MMAP ints ints.i32 int32 WRITABLE");
    db.say("MMAP names names.s8 string 8 WRITABLE");
    db.say("SET text hello");
    db
}

#[test]
fn thirty_typical_mistakes_are_answered_with_what_to_do() {
    let db = server();
    #[expect(
        clippy::disallowed_methods,
        reason = "no server loads a test, so that memory has one allocator"
    )]
    let root = db.dir().canonicalize().unwrap();
    let root = root.to_str().unwrap();
    let types = "use int8, uint8, int16, uint16, int32, uint32, int64, uint64, float, double, long_double, or string, or a \
                 dtype of numpy's: i1 to i8, u1 to u8, f4, f8, f16 and S1 to S65535";
    let ops = "use COUNT, SUM, MIN, MAX, AVG, MEAN, VAR, STD, ARGMIN, ARGMAX, and SKIPNAN to leave NaN out";
    let find = "expected VFIND key start stop comparison value [comparison value] [LIMIT offset count | COUNT n] [WITHVALUES] \
                [LEN], where a comparison is one of = != < <= > >=";
    let mistakes = [
        // Binding.
        ("a type of another language", "MMAP k f.f64 real", format!("unknown type 'real': {types}")),
        ("numpy's text", "MMAP k f U16", format!("unknown type 'U16': {types}")),
        ("a word misspelt", "MMAP k f double WRITEABLE", "syntax error at 'WRITEABLE': expected WRITABLE".into()),
        ("text without a size", "MMAP k f string", "type string needs a size: 1 to 65535 bytes".into()),
        ("a size for a number", "MMAP k f double 4", "size '4' is not possible for double: its values are 8 bytes, and need no size".into()),
        ("big-endian values", "MMAP k f >f8", "values of type '>f8' are big-endian: write the file again with .astype('<f8')".into()),
        ("a path outside", "MMAP k /etc/passwd", format!("path '/etc/passwd' leads out of mmap.dir, '{root}': put the file there, and type its path from there, 'passwd'")),
        ("a path upwards", "MMAP k ../f.f64", format!("path '../f.f64' leads out of mmap.dir, '{root}': put the file there, and type its path from there, 'f.f64'")),
        ("a directory", "MMAP k folder", "'folder' is a directory, not a regular file: give the path of a file".into()),
        ("no directory", "MMAP k nowhere/f.f64", "file 'nowhere/f.f64' does not exist, and neither does its directory: create the directory first".into()),
        ("a file that is to be created", "MMAP k new.f64 double", "file 'new.f64' does not exist; map it WRITABLE to create it".into()),
        ("a file of another type", "MMAP k odd.f64", "file 'odd.f64' is 12 bytes long, which is not a multiple of 8, the size of one double: appending would damage its tail (map it read-only to ignore the odd bytes)".into()),
        ("the same file as another type", "MMAP k three.f64 float WRITABLE", "file 'three.f64' is bound already as double, and one file has one type: MMAP it as that, or DEL its keys first".into()),
        ("another file for a key", "MMAP db other.f64", "key 'db' is bound already to file 'three.f64' as double, writable: DEL the key first".into()),
        ("two dimensions", "MMAP k 2d.npy", "file '2d.npy' cannot be bound as a .npy file: its array has 2 dimensions in Fortran order: only one is possible, as of .ravel()".into()),
        ("a type beside that of the header", "MMAP k ints.npy double", "file 'ints.npy' holds values of type int32, as its header says, not double: MMAP it without a type".into()),
        ("text of numpy's", "MMAP k text.npy", "file 'text.npy' cannot be bound as a .npy file: its values are of dtype '<U5': only i1 to i8, u1 to u8, f4, f8, f16 and S1 to S65535 can be bound".into()),
        ("a big-endian file", "MMAP k big.npy", "file 'big.npy' cannot be bound as a .npy file: its values are big-endian (dtype '>f8'): write it again with .astype('<f8')".into()),
        ("no path", "MMAP three.f64", "wrong number of arguments for 'mmap' command".into()),
        // Writing.
        ("no MMAP before", "VPUSH k 1", "no such key 'k': bind a file to it first, with MMAP k path".into()),
        ("text in numbers", "VPUSH db 1 hello", "value 'hello' (argument 3) is not a double".into()),
        ("a decimal comma", "VPUSH db 1,5", "value '1,5' (argument 2) is not a double".into()),
        ("a fraction in integers", "VPUSH ints 1.5", "value '1.5' (argument 2) is not an integer".into()),
        ("too large an integer", "VPUSH ints 3000000000", "value '3000000000' (argument 2) is out of range for int32 (-2147483648 to 2147483647)".into()),
        ("a name too long", "VPUSH names christopher", "value 'christopher' (argument 2) is 11 bytes long; string values here hold at most 8".into()),
        ("appending by VSET", "VSET db 3 4", "index '3' (argument 2) is out of range: 'three.f64' holds 3 values, and VADD appends more".into()),
        ("a value without its index", "VSET db 4", "wrong number of arguments for 'vset' command".into()),
        ("what is mapped read-only", "VPUSH ro 1", "file 'folder/../three.f64' is bound read-only to key 'ro': DEL the key and MMAP it again with WRITABLE".into()),
        ("bytes of another type", "VADDRAW db abc", "argument 2 is 3 bytes long, which is not a multiple of 8, the size of one double".into()),
        // Reading and asking.
        ("a fraction as index", "VGET db 1.0", "index '1.0' (argument 2) is not an integer".into()),
        ("numpy's slice", "VSLICE db 0 : 2", "stop ':' (argument 3) is not an integer".into()),
        ("a step of numpy's", "VSLICE db 0 -1 2", "syntax error at '2' (argument 4): expected STEP n".into()),
        ("an unknown operation", "VAGG db 0 -1 MEDIAN", format!("unknown operation 'MEDIAN' (argument 4): {ops}")),
        ("a sum of text", "VAGG names 0 -1 SUM", "operation 'SUM' (argument 4) is not possible for values of type string".into()),
        ("a comparison in words", "VFIND db 0 -1 gt 2", format!("syntax error at 'gt' (argument 4): {find}")),
        ("a comparison without blanks", "VFIND db 0 -1 >2 LEN", format!("syntax error at '>2' (argument 4): {find}")),
        ("no range", "VFIND db > 2", "wrong number of arguments for 'vfind' command".into()),
        ("advice of another call", "VADVISE db HUGEPAGE", "unknown advice 'HUGEPAGE' (argument 2): use RANDOM, SEQUENTIAL, NORMAL, WILLNEED or DONTNEED".into()),
        ("a sync before MMAP", "VSYNC k", "no such key 'k': bind a file to it first, with MMAP k path".into()),
    ];
    for (what, typed, answer) in &mistakes {
        assert_eq!(db.error(typed), format!("ERR {answer}"), "{what}: {typed}");
    }
    assert!(mistakes.len() >= 30);
    // None of them wrote or made anything.
    assert_eq!(db.say("VALL db"), "[1, 2, 3]");
    assert_eq!(db.int("EXISTS k"), 0);
    for made in ["f", "f.f64", "new.f64", "other.f64"] {
        assert!(!db.path(made).exists(), "{made}");
    }
}

#[test]
fn keys_of_other_types_are_of_the_wrong_type() {
    let db = server();
    let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
    for command in [
        "VGET text 0",
        "VPUSH text 1",
        "MMAP text f.f64",
        "GET db",
        "LRANGE db 0 -1",
        "RPUSH db 1",
    ] {
        assert_eq!(db.error(command), wrong, "{command}");
    }
}

#[test]
fn deleting_a_key_leaves_its_file() {
    let db = server();
    // Also a SET over it.
    for end in ["DEL db ro", "SET db x"] {
        db.say(end);
        assert_eq!(db.file_len("three.f64"), 24, "{end}");
        db.say("DEL db");
        assert_eq!(db.say("MMAP db three.f64"), "(integer) 3", "{end}");
    }
}

#[test]
fn what_is_no_error_is_not_what_was_feared() {
    let db = server();
    // In RedisMMap this is the width of a value.
    assert_eq!(db.int("VSIZE db"), 3);
    assert_eq!(db.int("VITEMSIZE db"), 8);
    // The same binding again is no mistake.
    assert_eq!(db.int("MMAP db three.f64 double WRITABLE"), 3);
    // A misspelt key is an empty array to those who read it.
    assert_eq!(db.say("VALL bd"), "[]");
    // A text file may have the length of whole values: nothing tells it from them.
    assert_eq!(db.int("MMAP csv numbers.csv"), 1);
    assert_eq!(db.say("VPOP bd"), "(nil)");
}

#[test]
fn a_copy_is_refused_and_the_log_says_what_to_do() {
    let db = server();
    assert!(db.error("COPY db copy").contains("failed to copy"));
    assert_eq!(db.int("EXISTS copy"), 0);
    let advice = "COPY of key 'db' is refused, as a copy needs a file of its own: VSYNC db, copy file 'three.f64' and MMAP the copy \
                  to 'copy'";
    assert!(db.log().contains(advice), "{}", db.log());
    assert_eq!(db.say("VALL db"), "[1, 2, 3]");
}

#[test]
fn a_second_server_cannot_write_the_file_of_the_first() {
    let first = server();
    let second = Server::setup().sharing_files_of(&first).start();
    let expected = format!(
        "ERR file 'three.f64' is being written by another process (pid {}); it can only be mapped read-only: MMAP key path type",
        first.pid()
    );
    assert_eq!(second.error("MMAP db three.f64"), expected);
    assert_eq!(second.say("MMAP db three.f64 double"), "(integer) 3");
}

#[test]
fn a_command_of_vector_sets_is_not_one_of_arrays() {
    let db = server();
    // VRANGE is Redis' own from 8.4 on; ranges of arrays are VSLICE.
    assert!(matches!(db.ask("VRANGE db 0 -1"), Reply::Error(_)));
    assert_eq!(db.say("VSLICE db 0 -1"), "[1, 2, 3]");
}
