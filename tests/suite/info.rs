//! `INFO mmap`.

use crate::support::{Server, doubles, wait_until};

const FIELDS: [&str; 10] = [
    "arrays",
    "values",
    "bytes_mapped",
    "slack_bytes",
    "growths_ahead",
    "growths_inline",
    "trims",
    "syncs",
    "jobs_queued",
    "errors",
];

#[test]
fn every_field_is_there_from_the_start() {
    let db = Server::start();
    assert!(db.ask("INFO mmap").text().starts_with("# mmap"));
    for field in FIELDS {
        assert_eq!(db.stat(field), 0, "{field}");
    }
    assert!(db.ask("INFO everything").text().contains("mmap_arrays:0"));
}

#[test]
fn arrays_and_values_are_counted_once_however_many_keys_they_have() {
    let db = Server::setup().write("g", doubles([1.0; 5])).start();
    db.say("MMAP a f");
    db.say("MMAP b f");
    db.say("MMAP c g double");
    db.say("VPUSH a 1 2 3");
    assert_eq!(db.stat("arrays"), 2);
    assert_eq!(db.stat("values"), 8);
    assert!(db.stat("bytes_mapped") >= 64);
    db.say("DEL a c");
    assert_eq!(db.stat("arrays"), 1);
    assert_eq!(db.stat("values"), 3);
    db.say("DEL b");
    wait_until("nothing is mapped", || db.stat("bytes_mapped") == 0);
    assert_eq!(db.stat("arrays"), 0);
    assert_eq!(db.stat("values"), 0);
}

#[test]
fn syncs_are_counted() {
    let db = Server::start();
    db.say("MMAP a f");
    db.say("VPUSH a 1");
    let before = db.stat("syncs");
    db.say("VSYNC a");
    assert!(db.stat("syncs") > before);
}

#[test]
fn everysec_syncs_by_itself_and_no_does_not() {
    let db = Server::setup().module_args("fsync everysec").start();
    db.say("MMAP a f");
    db.say("VPUSH a 1");
    wait_until("a sync was made", || db.stat("syncs") > 0);
    let lazy = Server::setup().module_args("fsync no").start();
    lazy.say("MMAP a f");
    lazy.say("VPUSH a 1");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(lazy.stat("syncs"), 0);
}
