//! The server's own files hold bindings, never values; whatever ends the server, the arrays are the same afterwards.

use support::{Server, Setup, doubles, wait_until};

/// Arrays of every kind of binding.
fn fill(db: &Server) {
    db.write("fixed", [7u8, 0, 9, 0]);
    for command in [
        "MMAP db f",
        "MMAP names g string 5 WRITABLE",
        "MMAP fixed fixed int16",
        "MMAP empty h uint64 WRITABLE",
        "VPUSH db 0.5 1.5",
        "VPUSH db 2.5",
        "VPUSH names a bcd",
        "VPOP db",
        "VPUSH db 3.5",
    ] {
        let reply = db.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
    }
}

fn check(db: &Server) {
    assert_eq!(db.say("VALL db"), "[0.5, 1.5, 3.5]");
    assert_eq!(db.say("VALL names"), "[a, bcd]");
    assert_eq!(db.say("VALL fixed"), "[(integer) 7, (integer) 9]");
    assert_eq!(db.say("VALL empty"), "[]");
    assert_eq!(db.say("VTYPE empty"), "uint64");
    assert_eq!(db.say("VITEMSIZE names"), "(integer) 5");
    assert_eq!(db.say("VFILEPATH db"), "f");
    assert!(db.error("VPUSH fixed 1").starts_with("ERR "));
    assert_eq!(db.say("DBSIZE"), "(integer) 4");
    assert_eq!(db.file_len("f"), 24);
    assert_eq!(db.file_len("g"), 10);
    assert_eq!(db.read("fixed"), [7, 0, 9, 0]);
    // And it goes on from there.
    assert_eq!(db.say("VPUSH db 4.5"), "(integer) 1");
    assert_eq!(db.say("VPOP db"), "4.5");
}

fn with_aof() -> Setup {
    Server::setup()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
}

/// Everything in the append-only file but an RDB part.
fn aof_text(db: &Server) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(db.path("appendonlydir")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "aof") {
            text += &String::from_utf8_lossy(&std::fs::read(path).unwrap()).to_uppercase();
        }
    }
    text
}

fn rewrite_aof(db: &Server) {
    let reply = db.ask("BGREWRITEAOF");
    assert!(!reply.is_error(), "{reply}");
    db.wait_for_background_jobs();
    assert_eq!(db.info("persistence", "aof_last_bgrewrite_status"), "ok");
}

#[test]
fn an_rdb_file_brings_the_arrays_back() {
    let mut db = Server::start();
    fill(&db);
    for _ in 0..3 {
        db.restart();
        check(&db);
    }
}

#[test]
fn an_rdb_file_of_a_background_save_brings_the_arrays_back_after_kill_9() {
    let mut db = Server::start();
    fill(&db);
    assert!(!db.ask("BGSAVE").is_error());
    db.wait_for_background_jobs();
    db.kill_9();
    db.start_again();
    check(&db);
}

#[test]
fn sigterm_saves_as_configured() {
    let mut db = Server::setup().config("save", "3600 1").start();
    fill(&db);
    assert!(db.terminate().success());
    db.start_again();
    check(&db);
}

#[test]
fn an_rdb_file_holds_the_count_of_its_time_and_the_file_wins() {
    let mut db = Server::start();
    fill(&db);
    db.save();
    db.say("VPUSH db 9");
    db.kill_9();
    db.start_again();
    assert_eq!(db.say("VALL db"), "[0.5, 1.5, 3.5, 9]");
}

#[test]
fn an_aof_brings_the_arrays_back_once_and_not_twice() {
    let mut db = with_aof().start();
    fill(&db);
    for _ in 0..3 {
        db.shutdown("NOSAVE");
        db.start_again();
        check(&db);
    }
}

#[test]
fn an_aof_brings_the_arrays_back_after_kill_9() {
    let mut db = with_aof().start();
    fill(&db);
    db.kill_9();
    db.start_again();
    check(&db);
}

#[test]
fn a_rewritten_aof_brings_the_arrays_back() {
    for preamble in ["yes", "no"] {
        let mut db = with_aof().config("aof-use-rdb-preamble", preamble).start();
        fill(&db);
        rewrite_aof(&db);
        db.shutdown("NOSAVE");
        db.start_again();
        check(&db);
        rewrite_aof(&db);
        db.kill_9();
        db.start_again();
        check(&db);
    }
}

#[test]
fn rdb_and_aof_together_bring_the_arrays_back() {
    for preamble in ["yes", "no"] {
        let mut db = with_aof()
            .config("aof-use-rdb-preamble", preamble)
            .config("save", "3600 1")
            .start();
        fill(&db);
        db.restart();
        check(&db);
        rewrite_aof(&db);
        db.restart();
        check(&db);
    }
}

#[test]
fn an_aof_never_holds_values() {
    let db = with_aof().config("aof-use-rdb-preamble", "no").start();
    fill(&db);
    let mut client = db.client();
    client.say("MULTI");
    client.say("VADD db 11.25");
    client.say("VSET db 0 12.25");
    client.say("EXEC");
    client.run(&[
        "EVAL",
        "return redis.call('VADD', KEYS[1], '13.25')",
        "1",
        "db",
    ]);
    db.say("VCLEAR empty");
    for round in ["appended", "rewritten"] {
        let text = aof_text(&db);
        assert!(text.contains("MMAP"), "{round}");
        for word in [
            "VADD", "VPUSH", "VSET", "VPOP", "VCLEAR", "11.25", "12.25", "13.25", "EVAL", "1.5",
        ] {
            assert!(
                !text.contains(word),
                "{round}: the append-only file holds {word}:\n{text}"
            );
        }
        rewrite_aof(&db);
    }
}

#[test]
fn an_aof_keeps_a_deletion() {
    let mut db = with_aof().start();
    fill(&db);
    db.say("DEL db");
    db.kill_9();
    db.start_again();
    assert_eq!(db.say("EXISTS db"), "(integer) 0");
    assert_eq!(db.say("DBSIZE"), "(integer) 3");
    assert_eq!(db.say("MMAP db f"), "(integer) 3");
}

#[test]
fn a_file_bound_deleted_and_bound_otherwise_replays() {
    let mut db = with_aof().start();
    for command in [
        "MMAP a f",
        "VPUSH a 1 2 3",
        "DEL a",
        "MMAP b f int64 WRITABLE",
        "DEL b",
        "MMAP c f double WRITABLE",
        "VPUSH c 4",
        "MMAP c2 f double WRITABLE",
        "RENAME c d",
    ] {
        let reply = db.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
    }
    db.kill_9();
    db.start_again();
    assert_eq!(db.say("VALL d"), "[1, 2, 3, 4]");
    assert_eq!(db.say("VALL c2"), "[1, 2, 3, 4]");
    assert_eq!(db.say("DBSIZE"), "(integer) 2");
}

#[test]
fn debug_reload_keeps_the_arrays() {
    let db = Server::start();
    fill(&db);
    assert_eq!(db.say("DEBUG RELOAD"), "OK");
    check(&db);
}

#[test]
fn arrays_in_several_databases_come_back_there() {
    let mut db = Server::start();
    let mut client = db.client();
    client.say("MMAP k f");
    client.say("VPUSH k 1");
    client.say("SELECT 3");
    client.say("MMAP k f");
    client.say("VPUSH k 2");
    db.restart();
    let mut client = db.client();
    assert_eq!(client.say("VALL k"), "[1, 2]");
    client.say("SELECT 3");
    assert_eq!(client.say("VALL k"), "[1, 2]");
    client.say("VPUSH k 3");
    client.say("SELECT 0");
    assert_eq!(client.say("VALL k"), "[1, 2, 3]");
}

fn says_missing(text: &str) -> bool {
    ["no such file", "does not exist"]
        .iter()
        .any(|reason| text.to_lowercase().contains(reason))
}

/// The server starts without the file, says so, and goes on when the file is back.
fn misses_a_file(setup: Setup, save: &str) {
    let mut db = setup.start();
    db.say("MMAP db f");
    db.say("VPUSH db 1 2 3");
    db.shutdown(save);
    std::fs::rename(db.path("f"), db.path("away")).unwrap();
    for round in 0..2 {
        db.start_again();
        assert_eq!(db.say("EXISTS db"), "(integer) 1", "round {round}");
        for command in [
            "VGET db 0",
            "VMGET db 0",
            "VALL db",
            "VSIZE db",
            "VCOUNT db",
            "VADD db 4",
            "VPUSH db 4",
            "VSET db 0 4",
            "VPOP db",
            "VCLEAR db",
            "VSYNC db",
        ] {
            let error = db.error(command);
            assert!(
                error.starts_with("ERR ") && error.contains("f"),
                "{command}: {error}"
            );
            assert!(says_missing(&error), "{command}: {error}");
        }
        assert_eq!(db.say("VFILEPATH db"), "f");
        assert!(!db.path("f").exists(), "the missing file was recreated");
        assert!(
            db.log().lines().any(says_missing),
            "the log does not tell:\n{}",
            db.log()
        );
        // The binding of a file that is not there is saved again.
        db.shutdown(save);
    }
    db.start_again();
    std::fs::rename(db.path("away"), db.path("f")).unwrap();
    assert_eq!(db.say("MMAP db f"), "(integer) 3");
    assert_eq!(db.say("VPUSH db 4"), "(integer) 1");
    assert_eq!(db.say("VALL db"), "[1, 2, 3, 4]");
    db.shutdown(save);
    db.start_again();
    assert_eq!(db.say("VALL db"), "[1, 2, 3, 4]");
}

#[test]
fn a_file_missing_at_start_up_is_neither_dropped_nor_recreated_with_rdb() {
    misses_a_file(Server::setup(), "SAVE");
}

#[test]
fn a_file_missing_at_start_up_is_neither_dropped_nor_recreated_with_aof() {
    misses_a_file(with_aof(), "NOSAVE");
}

#[test]
fn a_file_missing_at_start_up_is_neither_dropped_nor_recreated_with_both() {
    misses_a_file(
        with_aof()
            .config("aof-use-rdb-preamble", "no")
            .config("save", "3600 1"),
        "SAVE",
    );
}

#[test]
fn mapping_a_missing_file_again_does_not_create_it_empty() {
    let mut db = Server::with("MMAP db f");
    db.say("VPUSH db 1");
    db.shutdown("SAVE");
    std::fs::rename(db.path("f"), db.path("away")).unwrap();
    db.start_again();
    let error = db.error("MMAP db f");
    assert!(error.starts_with("ERR ") && says_missing(&error), "{error}");
    assert!(!db.path("f").exists());
    // Giving the key up is a way out.
    assert_eq!(db.say("DEL db"), "(integer) 1");
    assert_eq!(db.say("MMAP db f"), "(integer) 0");
}

#[test]
fn a_file_that_became_unreadable_is_named_with_the_reason() {
    let mut db = Server::setup().bound_by_permissions().start();
    db.say("MMAP db f");
    db.say("VPUSH db 1");
    db.shutdown("SAVE");
    let mode = |mode| {
        std::fs::set_permissions(
            db.path("f"),
            std::os::unix::fs::PermissionsExt::from_mode(mode),
        )
        .unwrap()
    };
    mode(0o000);
    let path = db.path("f");
    db.start_again();
    let error = db.error("VGET db 0");
    assert!(
        error.contains('f') && error.to_lowercase().contains("permission denied"),
        "{error}"
    );
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(db.say("MMAP db f"), "(integer) 1");
    assert_eq!(db.say("VALL db"), "[1]");
}

#[test]
fn a_file_that_grew_while_the_server_was_down_is_taken_as_it_is() {
    let mut db = Server::with("MMAP db f");
    db.say("VPUSH db 1");
    db.shutdown("SAVE");
    db.write("f", doubles([1.0, 2.0, 3.0]));
    db.start_again();
    assert_eq!(db.say("VALL db"), "[1, 2, 3]");
}

#[test]
fn a_background_save_during_a_burst_brings_everything_back() {
    let mut db = Server::with("MMAP db f");
    let mut client = db.client();
    assert!(!db.ask("BGSAVE").is_error());
    client.push_one_by_one("db", 0..100_000);
    db.wait_for_background_jobs();
    db.kill_9();
    db.start_again();
    assert_eq!(db.say("VSIZE db"), "(integer) 100000");
    wait_until("the file is exact", || db.file_len("f") == 800_000);
}

#[test]
fn a_missing_file_of_a_read_only_key_is_not_to_be_created() {
    for appendonly in ["no", "yes"] {
        let mut db = Server::setup()
            .config("appendonly", appendonly)
            .write("f", doubles([1.0]))
            .start();
        db.say("MMAP db f double");
        db.shutdown("SAVE");
        std::fs::remove_file(db.path("f")).unwrap();
        db.start_again();
        assert_eq!(
            db.error("VGET db 0"),
            "ERR file 'f' does not exist; when the file is back, MMAP the key again"
        );
        assert_eq!(db.error("MMAP db f double"), "ERR file 'f' does not exist");
        assert_eq!(
            db.error("MMAP new f double"),
            "ERR file 'f' does not exist; map it WRITABLE to create it"
        );
    }
}
