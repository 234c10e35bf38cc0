//! What the server says of the commands: `COMMAND DOCS`, `COMMAND INFO`.

use std::collections::HashMap;

use support::{Reply, Server};

fn commands(db: &Server) -> Vec<String> {
    let mut names: Vec<_> = db
        .ask("COMMAND LIST FILTERBY MODULE mmap")
        .items()
        .into_iter()
        .map(Reply::text)
        .collect();
    names.sort();
    assert!(names.len() > 14, "{names:?}");
    names
}

fn docs(db: &Server, name: &str) -> HashMap<String, Reply> {
    let mut docs = db.ask(&format!("COMMAND DOCS {name}")).pairs();
    docs.remove(name)
        .unwrap_or_else(|| panic!("no docs of {name}"))
        .pairs()
}

fn flags(argument: &HashMap<String, Reply>) -> String {
    argument
        .get("flags")
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn arguments(of: &HashMap<String, Reply>) -> Vec<HashMap<String, Reply>> {
    of.get("arguments")
        .map(|list| list.clone().items().into_iter().map(Reply::pairs).collect())
        .unwrap_or_default()
}

/// The fewest words that an argument takes, and whether it can take more.
fn words(argument: &HashMap<String, Reply>) -> (i64, bool) {
    let parts: Vec<_> = arguments(argument).iter().map(words).collect();
    let variable = parts.iter().any(|part| part.1);
    let (own, variable) = match argument["type"].to_string().as_str() {
        "block" => (parts.iter().map(|part| part.0).sum(), variable),
        "oneof" => (parts.iter().map(|part| part.0).min().unwrap(), true),
        "pure-token" => (1, false),
        _ => (1 + i64::from(argument.contains_key("token")), false),
    };
    let flags = flags(argument);
    let variable = variable || flags.contains("multiple") || flags.contains("optional");
    (if flags.contains("optional") { 0 } else { own }, variable)
}

#[test]
fn the_version_of_the_module_is_told() {
    let db = Server::start();
    let parts: Vec<u32> = env!("CARGO_PKG_VERSION")
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    let number = 10_000 * parts[0] + 100 * parts[1] + parts[2];
    let told = db.say("MODULE LIST");
    assert!(
        told.contains(&format!("ver, (integer) {number},")),
        "{told}"
    );
}

#[test]
fn every_command_is_documented() {
    let db = Server::start();
    for name in commands(&db) {
        let docs = docs(&db, &name);
        let text = |field: &str| {
            docs.get(field)
                .unwrap_or_else(|| panic!("{name} has no {field}"))
                .to_string()
        };
        assert!(text("summary").len() > 20, "{name}: {}", text("summary"));
        assert!(text("complexity").starts_with("O("), "{name}");
        assert!(text("since").starts_with("0."), "{name}");
        assert_eq!(text("module"), "mmap", "{name}");
    }
}

#[test]
fn the_documented_arguments_are_as_many_as_the_arity_says() {
    let db = Server::start();
    for name in commands(&db) {
        let arguments = arguments(&docs(&db, &name));
        let first = arguments
            .first()
            .unwrap_or_else(|| panic!("{name} has no arguments"));
        assert_eq!(first["type"].to_string(), "key", "{name}");
        assert_eq!(first["key_spec_index"], Reply::Int(0), "{name}");

        let words: Vec<_> = arguments.iter().map(words).collect();
        let fewest = 1 + words.iter().map(|w| w.0).sum::<i64>();
        let variable = words.iter().any(|w| w.1);
        let info = db.ask(&format!("COMMAND INFO {name}")).items().remove(0);
        let arity = info.items()[1].clone().int();
        assert_eq!(
            arity,
            if variable { -fewest } else { fewest },
            "{name}: {arguments:?}"
        );
    }
}

#[test]
fn mmap_hints_its_types_and_its_mode() {
    let db = Server::start();
    let docs = db.ask("COMMAND DOCS MMAP").to_string();
    for word in [
        "path",
        "int8",
        "long_double",
        "string",
        "size",
        "numpy-dtype",
        "WRITABLE",
        "INCOMPLETE",
    ] {
        assert!(docs.contains(word), "{word} is missing: {docs}");
    }
}

#[test]
fn what_changed_in_a_command_is_told() {
    let db = Server::start();
    let change = docs(&db, "vpop")["history"]
        .clone()
        .items()
        .remove(0)
        .items();
    assert_eq!(change[0].clone().text(), "0.3.0");
    assert_eq!(
        change[1].clone().text(),
        "Answers nil for a key that does not exist"
    );
    assert!(!docs(&db, "vlen").contains_key("history"));
}

#[test]
fn flags_categories_and_key_specifications_agree() {
    let db = Server::start();
    let has_categories = db.is_valkey() || db.major_version() >= 8;
    for name in commands(&db) {
        let info = db
            .ask(&format!("COMMAND INFO {name}"))
            .items()
            .remove(0)
            .items();
        let flags = info[2].to_string();
        let writes = flags.contains("write");
        assert_ne!(writes, flags.contains("readonly"), "{name}: {flags}");

        let keys = info[8].to_string();
        assert_eq!(writes, keys.contains("RW"), "{name}: {keys}");
        assert_eq!(writes, !keys.contains("RO"), "{name}: {keys}");

        let complexity = docs(&db, &name)["complexity"].to_string();
        let fast = flags.contains("fast");
        // As RPUSH, HSET and LPOP, which are fast as well: what they do is bounded by their own arguments.
        let like_rpush = ["vadd", "vpush", "vset", "vincrby", "vpop"].contains(&name.as_str());
        assert!(
            !fast || complexity == "O(1)" || like_rpush,
            "{name} is fast and {complexity}"
        );

        if has_categories {
            let categories = info[6].to_string();
            let expected = [
                if writes { "@write" } else { "@read" },
                if fast { "@fast" } else { "@slow" },
                "@mmap",
            ];
            for category in expected {
                assert!(
                    categories.contains(category),
                    "{name}: {categories} has no {category}"
                );
            }
        }
    }
}

#[test]
fn slow_work_shows_up_in_latency_where_it_is_monitored() {
    let db = Server::with("MMAP db f");
    let values = vec!["1.5"; 20_000];
    let mut push = vec!["VPUSH", "db"];
    push.extend(values);
    let events = |db: &Server| db.say("LATENCY LATEST");
    let work = || {
        for _ in 0..50 {
            assert_eq!(db.run(&push), Reply::Int(20_000));
        }
        assert_eq!(db.say("VSYNC db"), "OK");
    };
    work();
    let ticks = |db: &Server| db.stat("sync_max_usec");
    assert!(ticks(&db) > 0);
    assert!(!events(&db).contains("mmap-"), "nothing is monitored yet");
    db.say("CONFIG SET latency-monitor-threshold 1");
    support::wait_until("slow work is in LATENCY LATEST", || {
        work();
        events(&db).contains("mmap-")
    });
}
