//! The file's length: exact whenever nothing is being written, and no work of the server's when much is.

use support::{Client, Reply, Server, as_doubles, doubles, wait_until};

const BURST: u64 = 300_000;

fn burst(db: &Server) {
    db.client().push_one_by_one("db", 0..BURST);
}

fn numbers(count: u64) -> Vec<u8> {
    doubles((0..count).map(|i| i as f64))
}

/// The file comes to rest with the numbers from 0 on.
#[track_caller]
fn holds_numbers(db: &Server, count: u64) {
    let (found, expected) = (db.at_rest("f", count * 8), numbers(count));
    let differs = found
        .chunks(8)
        .zip(expected.chunks(8))
        .position(|(a, b)| a != b);
    assert_eq!(
        differs,
        None,
        "a value that differs; the log:\n{}",
        db.log()
    );
}

#[test]
fn commands_typed_one_by_one_leave_an_exact_file_each_time() {
    let db = Server::with("MMAP db f");
    let mut count = 0;
    for round in 0..5 {
        for _ in 0..=round {
            assert_eq!(db.redis_cli("VADD db 1\n"), "1\n");
            count += 1;
            assert_eq!(db.file_len("f"), count * 8);
        }
        assert_eq!(db.redis_cli("VPOP db\n"), "1\n");
        count -= 1;
        assert_eq!(db.file_len("f"), count * 8);
    }
}

/// Appends the numbers from 0 on until the file is longer than its values, however slow the machine. Says how many, and the
/// length that the file had then.
fn push_until_there_is_slack(db: &Server) -> (u64, u64) {
    let mut client = db.client();
    let (mut count, mut longest) = (0, 0);
    wait_until("the file is longer than its values", || {
        client.push_one_by_one("db", count..count + 1000);
        count += 1000;
        longest = support::file_len(db.path("f"));
        longest > count * 8
    });
    (count, longest)
}

#[test]
fn a_burst_is_all_there_and_the_file_becomes_exact_by_itself() {
    let db = Server::with("MMAP db f");
    let (begun, _) = push_until_there_is_slack(&db);
    let count = begun + BURST;
    db.client().push_one_by_one("db", begun..count);
    assert_eq!(db.int("VSIZE db"), count as i64);
    holds_numbers(&db, count);
    wait_until("no slack is left", || db.stat("slack_bytes") == 0);
    assert_eq!(db.stat("values"), count);
    assert!(db.stat("growths_ahead") + db.stat("growths_inline") > 0);
    assert!(db.stat("trims") > 0);
}

#[test]
fn a_small_array_gets_little_ahead_of_need() {
    let db = Server::start();
    db.say("MMAP db f");
    let (count, longest) = push_until_there_is_slack(&db);
    // As much as it holds, and 4 MiB if that is little.
    let most = count * 16 + (5 << 20);
    assert!(longest < most, "{longest} bytes for {count} values");
    db.settles_at("f", count * 8);
}

#[test]
fn growth_after_a_trim_begins_anew() {
    let db = Server::with("MMAP db f");
    for round in 0..3u64 {
        db.client()
            .push_one_by_one("db", round * 50_000..(round + 1) * 50_000);
        db.settles_at("f", (round + 1) * 400_000);
    }
    assert_eq!(db.at_rest("f", 150_000 * 8), numbers(150_000));
}

#[test]
fn appends_and_pops_mixed_in_one_burst_end_exactly() {
    let db = Server::with("MMAP db f");
    let mut client = db.client();
    let mut commands = Vec::new();
    let mut model = Vec::new();
    for i in 0..20_000u32 {
        commands.push(vec![
            "VPUSH".to_owned(),
            "db".into(),
            i.to_string(),
            (i + 1).to_string(),
        ]);
        model.extend([f64::from(i), f64::from(i + 1)]);
        if i % 3 == 0 {
            commands.push(vec!["VPOP".into(), "db".into()]);
            model.pop();
        }
        if i % 5 == 0 {
            commands.push(vec![
                "VSET".into(),
                "db".into(),
                (i / 2).to_string(),
                "-1".into(),
            ]);
            model[i as usize / 2] = -1.0;
        }
        if i == 10_000 {
            commands.push(vec!["VCLEAR".into(), "db".into()]);
            model.clear();
            commands.push(vec!["VPUSH".into(), "db".into()]);
            commands
                .last_mut()
                .unwrap()
                .extend(vec!["0".to_owned(); 11_000]);
            model.extend(vec![0.0; 11_000]);
        }
    }
    assert!(
        client
            .pipeline(&commands)
            .iter()
            .all(|reply| !reply.is_error())
    );
    assert_eq!(as_doubles(&db.at_rest("f", model.len() as u64 * 8)), model);
}

#[test]
fn popping_right_after_a_burst_leaves_an_exact_file() {
    let db = Server::with("MMAP db f");
    burst(&db);
    assert_eq!(db.say("VPOP db"), (BURST - 1).to_string());
    holds_numbers(&db, BURST - 1);
}

#[test]
fn clearing_right_after_a_burst_empties_the_file() {
    let db = Server::with("MMAP db f");
    let mut client = db.client();
    client.push_one_by_one("db", 0..BURST);
    assert_eq!(client.int("VCLEAR db"), BURST as i64);
    db.settles_at("f", 0);
    assert_eq!(client.int("VPUSH db 5"), 1);
    assert_eq!(db.at_rest("f", 8), doubles([5.0]));
}

/// What a key's end does to the file in the middle of a burst.
fn ends_exactly(command: &str) {
    let db = Server::with("MMAP db f");
    let mut client = db.client();
    let mut buffer = Vec::new();
    for i in 0..BURST {
        Client::encode(&mut buffer, &["VPUSH", "db", &i.to_string()]);
    }
    Client::encode(&mut buffer, &command.split(' ').collect::<Vec<_>>());
    client.try_send(&buffer).unwrap();
    for _ in 0..BURST {
        assert_eq!(client.receive(), Reply::Int(1));
    }
    assert!(!client.receive().is_error());
    holds_numbers(&db, BURST);
    assert_eq!(client.int("MMAP other f"), BURST as i64);
    assert_eq!(
        client.say(&format!("VGET other {}", BURST - 1)),
        (BURST - 1).to_string()
    );
}

#[test]
fn del_in_a_burst_leaves_an_exact_file() {
    ends_exactly("DEL db");
}

#[test]
fn unlink_in_a_burst_leaves_an_exact_file() {
    ends_exactly("UNLINK db");
}

#[test]
fn flushall_in_a_burst_leaves_an_exact_file() {
    ends_exactly("FLUSHALL");
}

#[test]
fn flushall_async_in_a_burst_leaves_an_exact_file() {
    ends_exactly("FLUSHALL ASYNC");
}

#[test]
fn shutdown_right_after_a_burst_leaves_an_exact_file() {
    for mode in ["SAVE", "NOSAVE"] {
        let mut db = Server::with("MMAP db f");
        burst(&db);
        assert!(db.shutdown(mode).success());
        assert_eq!(db.file_len("f"), BURST * 8, "SHUTDOWN {mode}");
        holds_numbers(&db, BURST);
    }
}

#[test]
fn sigterm_right_after_a_burst_leaves_an_exact_file() {
    let mut db = Server::with("MMAP db f");
    burst(&db);
    assert!(db.terminate().success());
    assert_eq!(db.file_len("f"), BURST * 8);
    holds_numbers(&db, BURST);
}

#[test]
fn the_end_of_an_array_and_of_a_page_are_where_they_should_be() {
    let db = Server::start();
    for (kind, size) in [
        ("double", 8u64),
        ("int8", 1),
        ("long_double", 16),
        ("string 24", 24),
        ("string 4095", 4095),
    ] {
        for around in [4096 / size, 8192 / size, 65536 / size] {
            for count in [around.max(2) - 1, around, around + 1] {
                db.say(&format!("MMAP db f {kind} WRITABLE"));
                let mut command = vec!["VPUSH", "db"];
                command.extend(std::iter::repeat_n("7", count as usize));
                assert_eq!(db.run(&command).int(), count as i64);
                db.settles_at("f", count * size);
                let last = db.say(&format!("VGET db {}", count - 1));
                assert!(last.ends_with('7'), "{kind}, the last of {count}: {last}");
                assert_eq!(
                    db.say(&format!("VGET db {count}")),
                    "(nil)",
                    "{kind}, one past {count}"
                );
                assert!(db.ask(&format!("VSET db {count} 1")).is_error());
                assert_eq!(db.say(&format!("VSET db {} 1", count - 1)), "(integer) 1");
                let last = db.say("VPOP db");
                assert!(last.ends_with('1'), "{kind}, popped from {count}: {last}");
                assert_eq!(db.say(&format!("VGET db {}", count - 1)), "(nil)");
                db.settles_at("f", (count - 1) * size);
                assert_eq!(db.say("VPUSH db 3 3"), "(integer) 2");
                db.settles_at("f", (count + 1) * size);
                assert_eq!(db.ask("VALL db").items().len() as u64, count + 1);
                db.say("VCLEAR db");
                assert_eq!(db.file_len("f"), 0);
                db.say("DEL db");
            }
        }
    }
}

#[test]
fn a_file_that_fills_its_last_page_exactly_is_read_to_its_end() {
    let db = Server::start();
    for pages in [1, 2, 16] {
        let name = format!("f{pages}");
        let count = pages * 512;
        db.write(&name, numbers(count));
        for kind in ["double", "double WRITABLE"] {
            assert_eq!(db.int(&format!("MMAP db {name} {kind}")), count as i64);
            assert_eq!(
                db.say(&format!("VGET db {}", count - 1)),
                (count - 1).to_string()
            );
            assert_eq!(db.say(&format!("VGET db {count}")), "(nil)");
            db.say("DEL db");
        }
    }
}

#[test]
fn one_step_takes_no_more_than_max_slack() {
    let db = Server::start();
    assert_eq!(db.say("CONFIG SET mmap.max-slack 1mb"), "OK");
    db.say("MMAP db f");
    let mut client = db.client();
    let mut buffer = Vec::new();
    for i in 0..BURST * 4 {
        Client::encode(&mut buffer, &["VPUSH", "db", &i.to_string()]);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.try_send(&buffer).unwrap();
            for _ in 0..BURST * 4 {
                client.receive();
            }
        });
        let mut count = 0;
        while count < BURST * 4 {
            let len = db.file_len("f");
            count = db.int("VSIZE db") as u64;
            // One step in use, and one prepared ahead of need.
            assert!(
                len <= count * 8 + (2 << 20) + 65536,
                "{len} bytes for {count} values"
            );
        }
    });
    db.settles_at("f", BURST * 4 * 8);
}

#[test]
fn many_arrays_grow_at_once() {
    let db = Server::start();
    let mut client = db.client();
    for k in 0..20 {
        client.say(&format!("MMAP k{k} f{k}"));
    }
    let commands: Vec<_> = (0..200_000u64)
        .map(|i| {
            vec![
                "VPUSH".to_owned(),
                format!("k{}", i % 20),
                (i / 20).to_string(),
            ]
        })
        .collect();
    assert!(
        client
            .pipeline(&commands)
            .iter()
            .all(|reply| *reply == Reply::Int(1))
    );
    for k in 0..20 {
        assert_eq!(db.at_rest(&format!("f{k}"), 80_000), numbers(10_000));
    }
    wait_until("no job is queued", || db.stat("jobs_queued") == 0);
    assert_eq!(db.stat("errors"), 0);
}

#[test]
fn a_forked_child_does_not_stop_a_burst_nor_wait_for_it() {
    let db = Server::with("MMAP db f");
    let mut client = db.client();
    for round in 0..10u64 {
        assert!(!db.ask("BGSAVE").is_error());
        client.push_one_by_one("db", round * 30_000..(round + 1) * 30_000);
        db.wait_for_background_jobs();
        assert_eq!(db.info("persistence", "rdb_last_bgsave_status"), "ok");
    }
    assert_eq!(db.at_rest("f", 300_000 * 8), numbers(300_000));
}

#[test]
fn everything_acknowledged_survives_kill_9_in_a_burst() {
    let mut db = Server::with("MMAP db f");
    db.save();
    burst(&db);
    db.kill_9();
    db.start_again();
    assert_eq!(db.int("VSIZE db"), BURST as i64);
    holds_numbers(&db, BURST);
}

#[test]
fn kill_9_in_mid_burst_leaves_a_prefix_with_everything_acknowledged() {
    for acknowledged in [1, 1000, 77_777, 250_000] {
        let mut db = Server::with("MMAP db f");
        let mut client = db.client();
        let mut buffer = Vec::new();
        for i in 0..BURST {
            Client::encode(&mut buffer, &["VPUSH", "db", &i.to_string()]);
        }
        client.try_send(&buffer).unwrap();
        for _ in 0..acknowledged {
            assert_eq!(client.receive(), Reply::Int(1));
        }
        db.kill_9();
        db.start_again();
        let count = db.int("MMAP db f") as u64;
        assert!(
            (acknowledged..=BURST).contains(&count),
            "{count} values of {acknowledged} acknowledged"
        );
        assert_eq!(db.at_rest("f", count * 8), numbers(count));
    }
}
