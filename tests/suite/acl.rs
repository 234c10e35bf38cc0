//! What ACL rules can allow and withhold.

use std::collections::BTreeSet;

use support::{Client, Reply, Server, record_of};

struct Sample {
    name: String,
    arity: usize,
    writes: bool,
    /// Whether it tells anything of the values or of their file.
    reads: bool,
}

impl Sample {
    /// The command on a key, with as many words as it needs: permissions come before their meaning.
    fn on(&self, key: &str) -> String {
        format!("{} {key}{}", self.name, " 0".repeat(self.arity - 2))
    }
}

/// All commands of the module.
fn commands(db: &Server) -> Vec<Sample> {
    let names = db.ask("COMMAND LIST FILTERBY MODULE mmap").items();
    assert!(names.len() > 14);
    names
        .into_iter()
        .map(|name| {
            let name = name.text();
            let info = db.ask(&format!("COMMAND INFO {name}")).items().remove(0);
            let info = info.items();
            Sample {
                name,
                arity: info[1].clone().int().unsigned_abs() as usize,
                writes: info[2].to_string().contains("write"),
                reads: info[8].to_string().contains("access"),
            }
        })
        .collect()
}

fn has_category(db: &Server) -> bool {
    let has = db.say("ACL CAT").contains("mmap");
    // Redis 7.4 and Valkey 8.0 are the first that let modules add categories.
    let expected = if db.is_valkey() {
        db.major_version() >= 8
    } else {
        db.major_version() >= 8 || db.info("server", "redis_version").starts_with("7.4")
    };
    assert_eq!(has, expected);
    has
}

/// `ACL CAT` of a category leaves out all modules.
fn lists_own_commands_only(db: &Server) -> bool {
    let field = if db.is_valkey() {
        "valkey_version"
    } else {
        "redis_version"
    };
    let version = db.info("server", field);
    version.starts_with(if db.is_valkey() { "8.0." } else { "7.4." })
}

fn user(db: &Server, rules: &str) -> Client {
    assert_eq!(db.say(&format!("ACL SETUSER tester reset {rules}")), "OK");
    let mut client = db.client();
    assert_eq!(client.say("AUTH tester secret"), "OK");
    client
}

fn is_refused(client: &mut Client, command: &str) -> bool {
    match client.ask(command) {
        support::Reply::Error(text) => text.starts_with("NOPERM"),
        _ => false,
    }
}

fn array(key: &str) -> Server {
    let db = Server::start();
    db.say(&format!("MMAP {key} f"));
    db.say(&format!("VPUSH {key} 1 2 3"));
    db
}

#[test]
fn the_category_holds_all_commands() {
    let db = Server::start();
    if !has_category(&db) {
        return;
    }
    let commands = commands(&db);
    for command in &commands {
        let info = db
            .ask(&format!("COMMAND INFO {}", command.name))
            .items()
            .remove(0);
        let categories = info.items()[6].to_string();
        assert!(categories.contains("@mmap"), "{}", command.name);
    }
    // Redis 8 lists the one between servers here, and hides it from `COMMAND LIST`.
    let is_for_clients = |name: &String| name != "vreplicate";
    let category = db.ask("ACL CAT mmap").items().into_iter();
    let category: BTreeSet<_> = category.map(Reply::text).filter(is_for_clients).collect();
    // Redis 7.4 and Valkey 8.0 list none but their own commands.
    if !category.is_empty() || !lists_own_commands_only(&db) {
        let names = commands.into_iter().map(|command| command.name);
        assert_eq!(category, names.filter(is_for_clients).collect());
    }
}

#[test]
fn a_user_without_the_commands_can_do_nothing() {
    let db = array("k");
    let commands = commands(&db);
    let rules = if has_category(&db) {
        "on >secret ~* +@all -@mmap".to_owned()
    } else {
        let names: Vec<_> = commands.iter().map(|c| format!("-{}", c.name)).collect();
        format!("on >secret ~* +@all {}", names.join(" "))
    };
    let mut client = user(&db, &rules);
    for command in commands {
        assert!(
            is_refused(&mut client, &command.on("k")),
            "{}",
            command.name
        );
    }
    // On Redis 8 it is another command's name, too.
    assert!(is_refused(&mut client, "VADD k 1"));
    let script = "return redis.call('VGET', KEYS[1], 0)";
    assert!(client.run(&["EVAL", script, "1", "k"]).is_error());
    assert_eq!(db.say("VALL k"), "[1, 2, 3]");
    assert_eq!(client.say("SET text 1"), "OK");
}

#[test]
fn mmap_alone_can_be_withheld() {
    let db = array("k");
    let rules = if has_category(&db) {
        "on >secret ~* -@all +@mmap -mmap"
    } else {
        "on >secret ~* -@all +vget +vall +vsize +vstat +vpush"
    };
    let mut client = user(&db, rules);
    assert!(is_refused(&mut client, "MMAP other g"));
    assert!(is_refused(&mut client, "MMAP k f"));
    assert!(!db.path("g").exists());
    assert_eq!(client.say("VGET k 2"), "3");
    assert_eq!(client.say("VPUSH k 4"), "(integer) 1");
    assert!(is_refused(&mut client, "SET text 1"));
}

#[test]
fn reading_can_be_allowed_and_writing_not() {
    let db = array("k");
    if !has_category(&db) {
        return;
    }
    let mut client = user(&db, "on >secret ~* -@all +@mmap -@write");
    for command in commands(&db) {
        let refused = is_refused(&mut client, &command.on("k"));
        assert_eq!(refused, command.writes, "{}", command.name);
    }
    assert_eq!(db.say("VALL k"), "[1, 2, 3]");
}

#[test]
fn key_patterns_hold() {
    let db = array("own:k");
    db.say("MMAP other:k f");
    let mut client = user(&db, "on >secret ~own:* +@all");
    for command in commands(&db) {
        let mut refused = |key| is_refused(&mut client, &command.on(key));
        assert!(refused("other:k"), "{}", command.name);
        assert!(!refused("own:k"), "{}", command.name);
    }
}

#[test]
fn key_patterns_tell_reading_from_writing() {
    let db = array("k");
    let mut reader = user(&db, "on >secret %R~k +@all");
    for command in commands(&db) {
        let refused = is_refused(&mut reader, &command.on("k"));
        assert_eq!(refused, command.writes, "{}", command.name);
    }
    let mut writer = user(&db, "on >secret %W~k +@all");
    for command in commands(&db) {
        let refused = is_refused(&mut writer, &command.on("k"));
        assert_eq!(refused, command.reads, "{}", command.name);
        // VPOP also reads what it removes, and VINCRBY what it adds to.
        let expected = !command.writes || ["vpop", "vincrby"].contains(&command.name.as_str());
        assert_eq!(command.reads, expected, "{}", command.name);
    }
}

#[test]
fn users_of_the_configuration_file_can_name_the_category() {
    if !has_category(&Server::start()) {
        return;
    }
    let db = Server::setup()
        .config("user", "dashboard on >secret ~* -@all +@mmap -@write +auth")
        .start();
    db.say("MMAP k f");
    let mut client = db.client();
    assert_eq!(client.say("AUTH dashboard secret"), "OK");
    assert_eq!(client.say("VSIZE k"), "(integer) 0");
    assert!(is_refused(&mut client, "VPUSH k 1"));
}

/// The rules that a page shows, by the name of their user: what follows two spaces says what they are for.
fn documented(page: &str) -> Vec<(String, String)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let rules: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("ACL SETUSER "))
        .map(|line| {
            let rules = line.split("  ").next().unwrap();
            let (name, rules) = rules.split_once(' ').unwrap();
            (name.to_owned(), rules.to_owned())
        })
        .collect();
    assert!(rules.len() > 1, "{page} shows no rules");
    rules
}

#[test]
fn the_documented_rules_do_what_is_said_of_them() {
    let pages = ["docs/access-control.md", "SECURITY.md"];
    for (name, rules) in pages.into_iter().flat_map(documented) {
        let key = if rules.contains("~app:*") {
            "app:k"
        } else {
            "prices:k"
        };
        let db = array(key);
        let has_categories = db.say("COMMAND INFO mmap").contains("dangerous");
        let needs_categories = !name.ends_with("70");
        if needs_categories && !has_categories || rules.contains("@mmap") && !has_category(&db) {
            continue;
        }
        let commands = commands(&db);
        let mut client = user(&db, &rules);
        for command in &commands {
            let expected = match name.as_str() {
                "analyst" | "reader70" => command.writes,
                "writer" | "app" | "app70" => command.name == "mmap",
                "guest" | "mover" => true,
                other => panic!("the rights of {other} are not in this table"),
            };
            let refused = is_refused(&mut client, &command.on(key));
            assert_eq!(refused, expected, "{name}: {}", command.name);
        }
        let refused = is_refused(&mut client, "RESTORE app:x 0 x");
        assert_eq!(refused, name != "mover", "{name}");
    }
}

#[test]
fn binding_files_is_dangerous_and_nothing_else_is() {
    let db = array("k");
    let has_categories = db.say("COMMAND INFO vget").contains("@read");
    // Redis 7.0 has none for modules.
    assert_eq!(
        has_categories,
        !db.info("server", "redis_version").starts_with("7.0")
    );
    if has_categories {
        let mut client = user(&db, "on >secret ~* +@all -@dangerous");
        for command in commands(&db) {
            let refused = is_refused(&mut client, &command.on("k"));
            assert_eq!(refused, command.name == "mmap", "{}", command.name);
        }
    }
}

#[test]
fn who_may_only_append_can_remove_nothing() {
    let mut db = Server::start();
    db.ask("MMAP k f int64 WRITABLE");
    let numbers: Vec<i64> = (0..1000).collect();
    let push: Vec<String> = numbers.iter().map(i64::to_string).collect();
    let words = ["VPUSH", "k"]
        .into_iter()
        .chain(push.iter().map(String::as_str));
    assert_eq!(db.run(&words.collect::<Vec<_>>()).int(), 1000);
    db.ask("ACL SETUSER appender on nopass ~k +vaddraw +vpush");
    let mut appender = db.client();
    appender.ask("AUTH appender any");
    let room = 12_288 - 8000 - 64;
    let bytes = [vec![0; room], record_of(12_288)].concat();
    let error = appender.run(&[&b"VADDRAW"[..], b"k", &bytes]).error();
    assert!(error.contains("would be taken for the record"), "{error}");
    // The same in words, of which none alone looks like anything. Zeros, as a power cut may leave them, would be the rest.
    appender.run(&[&b"VADDRAW"[..], b"k", &bytes[..room + 16]]);
    let error = appender.error("VPUSH k 12288");
    assert!(error.contains("would be taken for the record"), "{error}");
    let count = 1000 + (room as i64 + 16) / 8;
    assert_eq!(db.ask("VSYNC k"), Reply::Status("OK".to_owned()));
    db.restart();
    assert_eq!(db.int("MMAP k f int64 WRITABLE"), count);
    let found = db.ask("VSLICE k 0 999").items();
    assert_eq!(
        found.into_iter().map(Reply::int).collect::<Vec<_>>(),
        numbers
    );
}
