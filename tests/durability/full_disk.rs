//! A full disk: `VADD` says so and nothing is half-written; what was acknowledged stays; with room again it goes on.

use support::mounts::{self, Mounted, format_ext4};
use support::{Client, Reply, Server, cannot_run, doubles, wait_until};

const ARRAYS: usize = 3;

/// Fills the disk through several arrays. Returns the number of values acknowledged in each.
fn fill(db: &Server, values: u64) -> Vec<u64> {
    let mut client = db.client();
    let mut counts = vec![0u64; ARRAYS];
    let mut full = [false; ARRAYS];
    while full.contains(&false) {
        for k in 0..ARRAYS {
            // Always more commands than can be sent exactly, so that the array grows ahead of need.
            let commands = (50_000 / values).max(20);
            let mut buffer = Vec::new();
            for _ in 0..commands {
                // Which values come next depends on which were refused, so all are the same in an array.
                let mut words = vec!["VPUSH".to_owned(), format!("k{k}")];
                words.extend((0..values).map(|_| (k + 1).to_string()));
                Client::encode(&mut buffer, &words);
            }
            client.try_send(&buffer).unwrap();
            for _ in 0..commands {
                match client.receive() {
                    Reply::Int(n) => {
                        assert_eq!(n as u64, values);
                        counts[k] += values;
                    }
                    Reply::Error(text) => {
                        let named = text.contains(&format!("'f{k}'"));
                        assert!(named && text.contains("No space left"), "{text}");
                        full[k] = true;
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }
    counts
}

fn check(db: &Server, counts: &[u64]) {
    for (k, &count) in counts.iter().enumerate() {
        assert_eq!(db.int(&format!("VSIZE k{k}")) as u64, count, "k{k}");
        assert!(count > 0, "the slack of the others took all there was");
        let value = (k + 1).to_string();
        let last = db.say(&format!("VMGET k{k} 0 {} {count}", count - 1));
        assert_eq!(last, format!("[{value}, {value}, (nil)]"));
    }
}

fn fill_and_recover(mount: &Mounted, values: u64) {
    let ballast = mount.join("ballast");
    std::fs::write(&ballast, vec![7; 4 << 20]).unwrap();
    let mut db = Server::setup()
        .module_args(&format!("dir {}", mount.path().display()))
        .start();
    for k in 0..ARRAYS {
        assert_eq!(db.int(&format!("MMAP k{k} f{k}")), 0);
    }
    db.save();
    let mut counts = fill(&db, values);
    println!("full after {counts:?} values, {values} a command");
    check(&db, &counts);
    db.kill_9();
    db.start_again();
    check(&db, &counts);
    for (k, &count) in counts.iter().enumerate() {
        let expected = doubles((0..count).map(|_| (k + 1) as f64));
        assert!(
            std::fs::read(mount.join(&format!("f{k}"))).unwrap() == expected,
            "f{k}"
        );
    }
    // Full or not, values can be changed and removed.
    assert_eq!(db.say("VSET k0 0 1"), "(integer) 1");
    assert_eq!(db.say("VPOP k1"), "2");
    counts[1] -= 1;

    std::fs::remove_file(&ballast).unwrap();
    let words: Vec<_> = ["VPUSH".to_owned(), "k2".to_owned()]
        .into_iter()
        .chain((0..values).map(|_| "3".to_owned()))
        .collect();
    wait_until("there is room again", || !db.run(&words).is_error());
    counts[2] += values;
    check(&db, &counts);
    for k in 0..ARRAYS {
        assert_eq!(db.say(&format!("VSYNC k{k}")), "OK");
    }
    db.kill_9();
    db.start_again();
    check(&db, &counts);
}

#[test]
fn a_full_ext4_is_an_error_and_no_loss() {
    if let Err(why) = mounts::be_private() {
        return cannot_run(&why);
    }
    for values in [1, 10, 1000] {
        let temp = tempfile::tempdir().unwrap();
        let image = temp.path().join("image");
        format_ext4(&image, 32).unwrap();
        match Mounted::image(&image) {
            Ok(mount) => fill_and_recover(&mount, values),
            Err(why) => return cannot_run(&why),
        }
    }
}

#[test]
fn a_full_tmpfs_is_an_error_and_no_loss() {
    if let Err(why) = mounts::be_private() {
        return cannot_run(&why);
    }
    for values in [1, 10, 1000] {
        match Mounted::tmpfs(16) {
            Ok(mount) => fill_and_recover(&mount, values),
            Err(why) => return cannot_run(&why),
        }
    }
}

/// "No space left" is said when there is no space for values, not when other arrays hold it ahead of need.
fn is_full_of_values(mount: &Mounted) {
    let db = Server::setup()
        .module_args(&format!("dir {}", mount.path().display()))
        .start();
    for k in 0..ARRAYS {
        assert_eq!(db.int(&format!("MMAP k{k} f{k}")), 0);
    }
    let free = {
        let system = rustix::fs::statvfs(mount.path()).unwrap();
        system.f_bavail * system.f_frsize
    };
    let words = |k: usize| {
        let values = (0..1000).map(|_| "1".to_owned());
        let words = ["VPUSH".to_owned(), format!("k{k}")];
        words.into_iter().chain(values).collect::<Vec<_>>()
    };
    let mut client = db.client();
    let mut bytes = 0;
    // In turns, each as a burst, so that each of them has slack.
    'full: loop {
        for k in 0..ARRAYS {
            for reply in client.pipeline(&vec![words(k); 10]) {
                if let Reply::Error(text) = reply {
                    assert!(text.contains("No space left"), "{text}");
                    break 'full;
                }
                bytes += 8000;
            }
        }
    }
    println!("full after {bytes} of {free} bytes");
    assert!(bytes > free / 10 * 9, "{bytes} of {free} bytes");
}

#[test]
fn a_disk_is_full_when_it_is_full_of_values() {
    if let Err(why) = mounts::be_private() {
        return cannot_run(&why);
    }
    let temp = tempfile::tempdir().unwrap();
    let image = temp.path().join("image");
    format_ext4(&image, 30).unwrap();
    for mount in [Mounted::image(&image), Mounted::tmpfs(16)] {
        match mount {
            Ok(mount) => is_full_of_values(&mount),
            Err(why) => return cannot_run(&why),
        }
    }
}

fn free_bytes(mount: &Mounted) -> u64 {
    let system = rustix::fs::statvfs(mount.path()).unwrap();
    system.f_bavail * system.f_frsize
}

/// The copy of an array whose head is dropped needs room that other arrays hold ahead of need.
fn a_head_is_dropped_in_what_others_give_back(mount: &Mounted) {
    const OTHERS: usize = 6;
    const VALUES: i64 = 300_000;
    let db = Server::setup()
        .module_args(&format!("dir {}", mount.path().display()))
        .start();
    std::fs::write(mount.join("f"), vec![1; VALUES as usize * 8]).unwrap();
    assert_eq!(db.int("MMAP k f int64 WRITABLE"), VALUES);
    for k in 0..OTHERS {
        assert_eq!(db.int(&format!("MMAP k{k} f{k} int64 WRITABLE")), 0);
    }
    let mut client = db.client();
    let (mut trimmed, mut was_needed) = (0, false);
    let mut rounds = 0;
    while !was_needed {
        rounds += 1;
        assert!(rounds < 1000, "no slack was in the way");
        for k in 0..OTHERS {
            let words = ["VPUSH".to_owned(), format!("k{k}"), "1".to_owned()];
            client.pipeline(&vec![words.to_vec(); 1000]);
        }
        // What is free at this moment is less than the copy takes.
        let before = free_bytes(mount);
        let reply = client.ask("VTRIM k 1 -1");
        assert_eq!(reply, Reply::Int(1), "with {before} bytes free");
        trimmed += 1;
        was_needed = before < (VALUES - trimmed) as u64 * 8;
    }
    println!("needed in round {rounds}");
    assert_eq!(db.int("VSIZE k"), VALUES - trimmed);
}

/// The copy of an array whose head is to go would fill the disk before it fails, and others write.
fn a_trim_without_room_fills_nothing(mount: &Mounted) {
    let values = free_bytes(mount) as i64 * 6 / 10 / 8;
    let db = Server::setup()
        .module_args(&format!("dir {}", mount.path().display()))
        .start();
    std::fs::write(mount.join("f"), vec![1; values as usize * 8]).unwrap();
    assert_eq!(db.int("MMAP k f int64 WRITABLE"), values);
    assert_eq!(db.int("MMAP other g int64 WRITABLE"), 0);
    let (mut trimmer, mut writer) = (db.client(), db.client());
    std::thread::scope(|scope| {
        let trims = scope.spawn(move || {
            (0..20)
                .map(|_| trimmer.ask("VTRIM k 1 -1"))
                .collect::<Vec<_>>()
        });
        let mut written = 0;
        while !trims.is_finished() || written == 0 {
            assert_eq!(writer.ask("VPUSH other 1"), Reply::Int(1), "{written}");
            written += 1;
        }
        for reply in trims.join().unwrap() {
            let error = reply.error();
            assert!(error.contains("No space left on device"), "{error}");
        }
    });
    assert_eq!(db.int("VSIZE k"), values);
}

fn on_small_disks(test: fn(&Mounted)) {
    if let Err(why) = mounts::be_private() {
        return cannot_run(&why);
    }
    let temp = tempfile::tempdir().unwrap();
    let image = temp.path().join("image");
    format_ext4(&image, 30).unwrap();
    for mount in [Mounted::image(&image), Mounted::tmpfs(12)] {
        match mount {
            Ok(mount) => test(&mount),
            Err(why) => return cannot_run(&why),
        }
    }
}

#[test]
fn a_head_is_dropped_where_the_disk_is_full_of_slack() {
    on_small_disks(a_head_is_dropped_in_what_others_give_back);
}

#[test]
fn a_head_that_cannot_be_dropped_takes_no_room_from_others() {
    on_small_disks(a_trim_without_room_fills_nothing);
}
