//! `INFO mmap`.

use support::{Server, doubles, wait_until};

/// The fields that `INFO` says, and their sections.
fn told(info: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut fields = Vec::new();
    for line in info.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            section = name.to_owned();
        } else if let Some((field, _)) = line.split_once(':') {
            fields.push((section.clone(), field.to_owned()));
        }
    }
    fields
}

/// The tables of docs/operations.md under `## INFO mmap`: a heading of a section, then a row for each field.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../docs/operations.md");
    let chapter = page.split("\n## INFO mmap\n").nth(1).unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    let mut section = String::new();
    let mut fields = Vec::new();
    for line in chapter.lines() {
        if let Some(name) = line.strip_prefix("| **`") {
            section = name.split('`').next().unwrap().to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            fields.push((section.clone(), row.split('`').next().unwrap().to_owned()));
        }
    }
    fields
}

#[test]
fn every_field_is_documented_and_every_documented_field_is_there() {
    let db = Server::start();
    let documented = documented();
    assert!(documented.len() > 20, "{documented:?}");
    assert_eq!(told(&db.ask("INFO mmap").text()), documented);
}

#[test]
fn a_section_can_be_asked_for_by_itself() {
    let db = Server::start();
    let section = told(&db.ask("INFO mmap_sync").text());
    assert!(section.contains(&("mmap_sync".into(), "mmap_syncs".into())));
    assert!(section.iter().all(|(section, _)| section == "mmap_sync"));
    assert!(db.ask("INFO everything").text().contains("mmap_arrays:0"));
}

#[test]
fn all_counts_are_zero_at_the_start() {
    let db = Server::start();
    for (_, field) in told(&db.ask("INFO mmap").text()) {
        let value = db.info("mmap", &field);
        match field.as_str() {
            "mmap_fsync" => assert_eq!(value, "everysec"),
            "mmap_worker_alive" => assert_eq!(value, "1"),
            "mmap_last_error" => assert_eq!(value, ""),
            "mmap_threads" | "mmap_max_arrays" => assert_ne!(value, "0"),
            "mmap_max_dirty_bytes" => assert_eq!(value, "268435456"),
            "mmap_max_slack" => assert_eq!(value, "1073741824"),
            _ => assert_eq!(value, "0", "{field}"),
        }
    }
}

#[test]
fn syncs_are_timed() {
    let db = Server::with("MMAP a f");
    db.say("VPUSH a 1");
    db.say("VSYNC a");
    assert!(db.stat("sync_last_usec") <= db.stat("sync_max_usec"));
    assert!(db.stat("sync_max_usec") <= db.stat("sync_usec"));
    assert!(db.stat("sync_usec") > 0);
    assert_eq!(db.stat("arrays_unsynced"), 0);
    assert_eq!(db.stat("sync_errors"), 0);
}

#[test]
fn beyond_max_dirty_bytes_a_write_is_answered_when_it_is_on_disk() {
    let db = Server::with("MMAP a f");
    db.say("CONFIG SET mmap.max-dirty-bytes 16");
    assert_eq!(db.say("VPUSH a 1 2"), "(integer) 2");
    assert_eq!(db.stat("paced_writes"), 0);
    assert_eq!(db.say("VPUSH a 1 2 3"), "(integer) 3");
    assert_eq!(db.stat("paced_writes"), 1);
    assert_eq!(db.stat("dirty_bytes"), 0);
    // In a transaction a client cannot be kept waiting.
    db.say("MULTI");
    db.say("VPUSH a 1 2 3");
    assert_eq!(db.say("EXEC"), "[(integer) 3]");
    assert_eq!(db.stat("paced_writes"), 1);
    db.say("CONFIG SET mmap.max-dirty-bytes 0");
    db.say("VFILL a 0 -1 7");
    assert_eq!(db.stat("paced_writes"), 1);
    assert_eq!(db.say("VAGG a 0 -1 SUM"), "[56]");
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
    let db = Server::with("MMAP a f");
    db.say("VPUSH a 1");
    let before = db.stat("syncs");
    db.say("VSYNC a");
    assert!(db.stat("syncs") > before);
}

#[test]
fn everysec_syncs_by_itself_and_no_does_not() {
    let lazy = Server::setup().module_args("fsync no").start();
    lazy.say("MMAP a f");
    lazy.say("VPUSH a 1");
    // In the time in which one server, which writes later, syncs again and again, the other does not once.
    let db = Server::setup().module_args("fsync everysec").start();
    db.say("MMAP a f");
    for syncs in 1..=3 {
        db.say("VPUSH a 1");
        wait_until("a sync was made", || db.stat("syncs") >= syncs);
    }
    assert_eq!(lazy.stat("syncs"), 0);
}
