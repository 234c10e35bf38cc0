//! The storage layer as a whole: what a file holds after each step, and after a crash at each step.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::storage::array::shared::Shared;
use crate::storage::store::post::WorkerMessage;
use crate::storage::store::registry::Registry;
use crate::storage::types::ItemType;
use crate::storage::*;

pub(in crate::storage) fn store_in(dir: &Path) -> Store {
    Store::new(Root::open(dir).unwrap(), 2).unwrap()
}

pub(in crate::storage) fn path(name: &str) -> FilePath {
    FilePath::new(name.as_bytes()).unwrap()
}

fn strings_of(size: usize) -> ItemType {
    ItemType::parse(b"string", Some(size.to_string().as_bytes())).unwrap()
}

pub(in crate::storage) fn bind(store: &Store, name: &str, item: ItemType) -> Bound {
    store
        .bind(&path(name), item, Access::Writable, true)
        .unwrap()
}

/// The record that another boot's server would have left in a file of doubles, of so many bytes, without values.
pub(in crate::storage) fn record_of(file_len: u64) -> [u8; format::record::SIZE as usize] {
    let record = format::record::Record {
        item_size: 8,
        file_len,
        boot_id: [1; 16],
        live: 0,
        synced: 0,
        previous: 0,
    };
    record.to_bytes()
}

/// An array of doubles in a new file "f", and what is asked of its worker, of which there is none.
pub(in crate::storage) struct WithoutWorker {
    pub registry: Arc<Registry>,
    pub root: Root,
    pub array: Arc<Array>,
    pub jobs: Receiver<WorkerMessage>,
}

pub(in crate::storage) fn without_worker(dir: &Path) -> WithoutWorker {
    let (sender, jobs) = crossbeam_channel::unbounded();
    let registry = Registry::new(&Arc::new(Shared::new()), sender);
    let root = Root::open(dir).unwrap();
    let array = registry
        .bind(&root, &path("f"), ItemType::DOUBLE, Access::Writable, true)
        .unwrap();
    WithoutWorker {
        registry,
        root,
        array,
        jobs,
    }
}

/// Cuts a file as another program does.
fn cut_from_outside(path: &Path, len: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(len).unwrap();
}

pub(in crate::storage) fn contents(bound: &Bound) -> Vec<u8> {
    let mut view = bound.view().unwrap();
    let mut bytes = vec![0; view.count() as usize * bound.item().size()];
    view.read(0, &mut bytes).unwrap();
    bytes
}

/// What another server finds in the file as it is at this moment: as after `kill -9`, in a copied file.
pub(in crate::storage) fn recovered(dir: &Path, bound: &Bound) -> Vec<u8> {
    let elsewhere = TempDir::new().unwrap();
    let name = bound.path().to_string();
    let copy = elsewhere.path().join(&name);
    // A dead process changes nothing while its file is copied, so neither may this one's worker.
    loop {
        let state = bound.lock();
        if state.tail.end() != crate::storage::array::state::tail::End::Cutting {
            fs::copy(dir.join(&name), &copy).unwrap();
            break;
        }
    }
    let store = store_in(elsewhere.path());
    let bound = bind(&store, &name, bound.item());
    let found = contents(&bound);
    let len = fs::metadata(copy).unwrap().len();
    let values = len - bound.layout.data_at();
    assert_eq!(
        values,
        found.len() as u64,
        "recovery leaves the exact length"
    );
    found
}

pub(in crate::storage) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

#[test]
fn an_array_that_is_extended_holds_zeros_whatever_was_there_before() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let ones = vec![1; 8 * 100_000];
    for _ in 0..20 {
        bound.append(&ones).unwrap();
    }
    // What is removed leaves its bytes in the slack, if there is any.
    bound.truncate(1000).unwrap();
    for count in [1001, 5000, 3000, 200_000] {
        bound.extend_to(count).unwrap();
        let expected = count.max(bound.published_count()) as usize;
        let mut bytes = vec![1; 8000];
        bytes.resize(expected * 8, 0);
        assert!(contents(&bound) == bytes, "{count}");
        assert!(recovered(dir.path(), &bound) == bytes, "{count}");
    }
    bound.append(&[2; 8]).unwrap();
    assert_eq!(contents(&bound)[200_000 * 8..], [2; 8]);
}

#[test]
fn a_new_file_is_empty_and_its_owners_alone() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let _bound = bind(&store, "f", ItemType::DOUBLE);
    let meta = fs::metadata(dir.path().join("f")).unwrap();
    assert_eq!(meta.len(), 0);
    assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn appends_by_hand_leave_the_exact_length_across_pages_for_any_item_size() {
    for size in [1, 3, 7, 8, 16, 4095, 4096, 4097, 65535] {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = bind(&store, "f", strings_of(size));
        let mut expected = Vec::new();
        for i in 0..20_u8 {
            let values = vec![i + 1; size * (usize::from(i) % 3 + 1)];
            bound.append(&values).unwrap();
            expected.extend_from_slice(&values);
            assert!(
                fs::read(dir.path().join("f")).unwrap() == expected,
                "item size {size}, append {i}"
            );
        }
        assert_eq!(contents(&bound), expected);
    }
}

#[test]
fn an_array_may_end_exactly_where_a_page_ends() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    for i in 0..1024_u64 {
        bound.append(&i.to_le_bytes()).unwrap();
        let mut out = [0; 8];
        let mut view = bound.view().unwrap();
        assert_eq!(view.count(), i + 1);
        view.read(i, &mut out).unwrap();
        assert_eq!(u64::from_le_bytes(out), i);
    }
}

#[test]
fn values_are_gathered_in_the_order_asked_and_missing_ones_left_out() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    for (name, item) in [
        ("bytes", ItemType::parse(b"uint8", None).unwrap()),
        ("texts", ItemType::parse(b"string", Some(b"5")).unwrap()),
        ("doubles", ItemType::DOUBLE),
        ("doubles.npy", ItemType::DOUBLE),
    ] {
        let bound = bind(&store, name, item);
        let size = item.size();
        let value = |i: u8| vec![i + 1; size];
        bound
            .append(&(0..200).flat_map(value).collect::<Vec<_>>())
            .unwrap();
        let indices = [199, 0, 200, 7, u64::MAX, 7, u64::MAX / 8 + 1];
        let missing = vec![0xff; size];
        let mut out = missing.repeat(indices.len());
        bound
            .view()
            .unwrap()
            .gather(indices.iter().copied(), &mut out)
            .unwrap();
        let expected = [
            value(199),
            value(0),
            missing.clone(),
            value(7),
            missing.clone(),
            value(7),
            missing,
        ];
        assert_eq!(out, expected.concat(), "{name}");
    }
}

#[test]
fn a_burst_gets_slack_from_the_worker_and_the_file_its_exact_length_back() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let len = || fs::metadata(dir.path().join("f")).unwrap().len();
    let mut count = 0_u64;
    wait_until("the worker grew the file", || {
        // At once, as a burst comes, however seldom this thread has its turn.
        for _ in 0..300 {
            bound.append(&count.to_le_bytes()).unwrap();
            count += 1;
        }
        bound.has_slack()
    });
    assert!(len() > count * 8);
    assert_eq!(store.stats().growths_inline.get(), 0);
    wait_until("the file is exact again", || len() == count * 8);
    assert!(store.stats().growths_ahead.get() > 0);
    wait_until("it is counted", || store.stats().trims.get() > 0);
    let expected: Vec<u8> = (0..count).flat_map(u64::to_le_bytes).collect();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), expected);
}

#[test]
fn a_burst_of_large_commands_gets_slack_too() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let values = vec![1; 8000];
    let mut commands = 0;
    wait_until("the array has slack between commands", || {
        bound.append(&values).unwrap();
        commands += 1;
        bound.has_slack()
    });
    assert!(commands < 10_000, "{commands} commands were exact");
}

#[test]
fn an_append_that_outruns_the_worker_grows_inline() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.grow_ahead();
    assert!(bound.has_slack());
    let much = vec![7; 40 << 20];
    bound.append(&much).unwrap();
    assert!(contents(&bound) == much);
    assert_eq!(store.stats().growths_inline.get(), 1);
    assert!(recovered(dir.path(), &bound) == much);
}

#[test]
fn a_large_append_to_slack_does_not_make_a_file_longer_that_others_cut() {
    for left in [0, 8, 4096, 40_000] {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        let bound = bind(&store, "f", ItemType::DOUBLE);
        bound.append(&[1; 80_000]).unwrap();
        bound.grow_ahead();
        cut_from_outside(&dir.path().join("f"), left);
        let error = bound.append(&[2; 80_000]).unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
        let len = fs::metadata(dir.path().join("f")).unwrap().len();
        assert_eq!(len, left, "the file was touched");
    }
}

/// What calls off a growth frees what it allocated behind the end.
#[test]
fn a_file_that_others_cut_during_a_growth_gets_no_zeros() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    for unbinds in [true, false] {
        let bound = bind(&store, "f", ItemType::DOUBLE);
        bound.append(&[7; 24_000]).unwrap();
        let array = Arc::clone(&bound.array);
        let end_growth = array.begin_growth_for_test().expect("a growth is due");
        let path = dir.path().join("f");
        cut_from_outside(&path, 800);
        if unbinds {
            drop(bound);
        } else {
            let error = bound.append(&[7; 24_000]).unwrap_err();
            assert!(matches!(error, Error::Lost { .. }), "{error}");
        }
        end_growth();
        assert_eq!(fs::read(&path).unwrap(), [7; 800]);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn binding_a_file_that_is_open_finds_out_that_others_cut_it() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[7; 24_000]).unwrap();
    let path = dir.path().join("f");
    cut_from_outside(&path, 800);
    let again = bind(&store, "f", ItemType::DOUBLE);
    assert_eq!(contents(&again), [7; 800]);
    assert_eq!(bound.writer().unwrap().span().count, 100);
}

#[test]
fn values_are_changed_where_there_is_no_room_for_a_note() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", strings_of(100));
    bound.append(&[b'a'; 1000]).unwrap();
    assert!(bound.set(&[3, 10], &[b'b'; 200]).is_err());
    assert!(!bound.has_slack(), "room was made for nothing");
    store.settings().set_max_file_bytes(1000);
    bound.set(&[3, 7], &[b'b'; 200]).unwrap();
    let mut expected = [b'a'; 1000];
    expected[300..400].fill(b'b');
    expected[700..800].fill(b'b');
    assert_eq!(contents(&bound), expected);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), expected);
}

#[test]
fn a_burst_of_changes_leaves_the_file_exact() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", strings_of(100));
    bound.append(&[b'a'; 10_000]).unwrap();
    let mut expected = vec![b'a'; 10_000];
    // One right after the other, as they come down a pipeline: the room for notes is kept between them.
    wait_until("the array has slack between changes", || {
        for change in 0..300_u64 {
            let index = change % 100;
            let value = [b'a' + (change % 26) as u8; 100];
            bound.set(&[index], &value).unwrap();
            expected[index as usize * 100..][..100].copy_from_slice(&value);
        }
        bound.has_slack()
    });
    assert_eq!(contents(&bound), expected);
    let exact = || fs::metadata(dir.path().join("f")).unwrap().len() == 10_000;
    wait_until("the file is exact again", exact);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), expected);
}

#[test]
fn a_name_that_cannot_be_looked_up_is_reported() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.check_name(&store.root).unwrap();
    assert_eq!(bound.last_error(), None);
    fs::rename(dir.path().join("f"), dir.path().join("g")).unwrap();
    fs::create_dir(dir.path().join("f")).unwrap();
    bound.check_name(&store.root).unwrap();
    let error = bound.last_error().unwrap();
    assert!(error.contains("'f' is a directory"), "{error}");
}

#[test]
fn one_step_of_growth_is_bounded() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    store.settings().set_max_slack(1 << 20);
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&vec![1; 8 << 20]).unwrap();
    bound.grow_ahead();
    let slack = store.totals().slack_bytes;
    assert!((1 << 20..(1 << 20) + 8192).contains(&slack), "{slack}");
}

#[test]
fn killed_during_a_growth_nothing_is_lost() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[1; 800]).unwrap();
    bound.grow_ahead();
    bound.append(&[2; 800]).unwrap();
    let mut expected = vec![1; 800];
    expected.extend([2; 800]);
    // The new record stands at the new end, and the growth has not been put in place yet.
    let grown = bound.announce_growth_for_test();
    assert_eq!(recovered(dir.path(), &bound), expected);
    bound.append(&[3; 80]).unwrap();
    expected.extend([3; 80]);
    assert_eq!(recovered(dir.path(), &bound), expected);
    bound.adopt_growth_for_test(grown);
    bound.append(&[4; 80]).unwrap();
    expected.extend([4; 80]);
    assert_eq!(recovered(dir.path(), &bound), expected);
}

#[test]
fn a_long_array_is_cleared_and_freed_by_the_worker() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&vec![1; 64 << 20]).unwrap();
    assert_eq!(bound.clear().unwrap(), 8 << 20);
    assert_eq!(recovered(dir.path(), &bound), [0_u8; 0]);
    wait_until("the file is empty", || {
        fs::metadata(dir.path().join("f")).unwrap().len() == 0
    });
    bound.append(&[5; 8]).unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), [5; 8]);
}

#[test]
fn a_file_of_another_item_size_is_refused_while_it_has_slack() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[1; 8]).unwrap();
    bound.grow_ahead();
    let elsewhere = TempDir::new().unwrap();
    fs::copy(dir.path().join("f"), elsewhere.path().join("f")).unwrap();
    let error = store_in(elsewhere.path())
        .bind(&path("f"), strings_of(4), Access::Writable, true)
        .err()
        .unwrap();
    assert!(
        matches!(error, Error::ForeignSlack { found: 8, .. }),
        "{error}"
    );
}

#[test]
fn a_read_only_array_follows_its_writer() {
    let dir = TempDir::new().unwrap();
    let (writer, reader) = (store_in(dir.path()), store_in(dir.path()));
    let written = bind(&writer, "f", ItemType::DOUBLE);
    let seen = reader
        .bind(&path("f"), ItemType::DOUBLE, Access::ReadOnly, false)
        .unwrap();
    let mut expected = Vec::new();
    for step in 0..6_u8 {
        written.append(&vec![step; 80_000]).unwrap();
        expected.extend(vec![step; 80_000]);
        if step % 2 == 1 {
            written.grow_ahead();
        }
        assert_eq!(contents(&seen), expected, "step {step}");
    }
    written.clear().unwrap();
    assert_eq!(contents(&seen), [0_u8; 0]);
    assert!(seen.append(&[0; 8]).is_err());
}

#[test]
fn a_read_only_array_becomes_writable_for_all_its_keys() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("f"), [1; 16]).unwrap();
    let store = store_in(dir.path());
    let reader = store
        .bind(&path("f"), ItemType::DOUBLE, Access::ReadOnly, false)
        .unwrap();
    let writer = bind(&store, "./f", ItemType::DOUBLE);
    writer.append(&[2; 8]).unwrap();
    assert_eq!(contents(&reader).len(), 24);
    assert_eq!(store.totals().arrays, 1);
}

#[test]
fn unbinding_trims_and_binding_again_sees_what_others_wrote() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    for round in 0..200_u64 {
        let bound = bind(&store, "f", ItemType::DOUBLE);
        assert_eq!(contents(&bound).len() as u64, round * 16);
        bound.grow_ahead();
        bound.append(&round.to_le_bytes()).unwrap();
        drop(bound);
        let mut file = fs::read(dir.path().join("f")).unwrap();
        assert_eq!(file.len() as u64, round * 16 + 8);
        file.extend([0; 8]);
        fs::write(dir.path().join("f"), file).unwrap();
    }
    wait_until("all are closed", || store.registry.arrays().is_empty());
}

#[test]
fn a_bound_file_can_be_bound_as_another_type_once_it_is_unbound() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let as_strings = || store.bind(&path("f"), strings_of(4), Access::Writable, false);
    assert!(matches!(as_strings(), Err(Error::TypeConflict { .. })));
    drop(bound);
    assert!(as_strings().is_ok());
}

#[test]
fn only_regular_files_below_the_root_are_bound() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(dir.path().join("outside"), [0; 8]).unwrap();
    std::os::unix::fs::symlink("../outside", root.join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
    std::os::unix::fs::symlink("..", root.join("up")).unwrap();
    std::os::unix::fs::symlink("sub/inside", root.join("fine")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let store = store_in(&root);
    let error = |name: &str| {
        store
            .bind(&path(name), ItemType::DOUBLE, Access::Writable, true)
            .err()
            .unwrap_or_else(|| panic!("'{name}' was bound"))
    };
    for name in [
        "../outside",
        "link",
        "up/outside",
        "sub/../../outside",
        "../new",
    ] {
        assert!(
            matches!(error(name), Error::Escapes { .. }),
            "{name}: {}",
            error(name)
        );
    }
    assert!(matches!(error("sub"), Error::NotRegular { .. }));
    assert!(matches!(error("fifo"), Error::NotRegular { .. }));
    assert!(matches!(error("dangling"), Error::Path { .. }));
    assert!(matches!(error("nodir/file"), Error::Missing { .. }));
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        2,
        "nothing was created"
    );
    fs::write(root.join("sub/inside"), [0; 8]).unwrap();
    assert_eq!(contents(&bind(&store, "fine", ItemType::DOUBLE)).len(), 8);
    assert_eq!(
        contents(&bind(&store, "sub/../fine", ItemType::DOUBLE)).len(),
        8
    );
}

#[test]
fn a_missing_file_is_not_created_for_reading_nor_when_restored() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    for (access, create) in [(Access::ReadOnly, true), (Access::Writable, false)] {
        let result = store.bind(&path("f"), ItemType::DOUBLE, access, create);
        assert!(matches!(result, Err(Error::Missing { .. })));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_odd_tail_is_refused_for_writing_and_ignored_for_reading() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("f"), [1; 20]).unwrap();
    let store = store_in(dir.path());
    let as_mode = |access| store.bind(&path("f"), ItemType::DOUBLE, access, true);
    assert!(matches!(
        as_mode(Access::Writable),
        Err(Error::OddLength { len: 20, .. })
    ));
    assert_eq!(contents(&as_mode(Access::ReadOnly).unwrap()).len(), 16);
    assert_eq!(fs::metadata(dir.path().join("f")).unwrap().len(), 20);
}

#[test]
fn a_sync_waits_for_what_came_before_and_gives_the_exact_length() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.grow_ahead();
    bound.append(&[1; 800]).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    store.sync_in_background(
        &bound,
        true,
        Box::new(move |synced| sender.send(synced.is_ok()).unwrap()),
    );
    assert!(receiver.recv().unwrap());
    assert_eq!(fs::metadata(dir.path().join("f")).unwrap().len(), 800);
    assert!(store.stats().syncs.get() > 0);
}

#[test]
fn a_truncated_file_is_an_error_until_it_is_bound_again_and_never_a_crash() {
    for with_slack in [false, true] {
        for left in [0, 8, 4096, 5000, 8192, 40_000] {
            let dir = TempDir::new().unwrap();
            let store = store_in(dir.path());
            let bound = bind(&store, "f", ItemType::DOUBLE);
            bound.append(&[1; 80_000]).unwrap();
            if with_slack {
                bound.grow_ahead();
            }
            cut_from_outside(&dir.path().join("f"), left);
            wait_until("reads fail", || {
                let mut out = vec![0; 80_000];
                bound
                    .view()
                    .and_then(|mut view| view.read(0, &mut out))
                    .is_err()
            });
            let error = bound.append(&[2; 8]).unwrap_err();
            assert!(matches!(error, Error::Lost { .. }), "{error}");
            assert!(bound.pop(1).is_err() && bound.clear().is_err());
            bound.sync().unwrap();
            let len = fs::metadata(dir.path().join("f")).unwrap().len();
            assert_eq!(len, left, "the file was touched");
            let again = bind(&store, "f", ItemType::DOUBLE);
            assert_eq!(contents(&bound).len() as u64, left);
            again.append(&[3; 8]).unwrap();
            assert_eq!(contents(&bound).len() as u64, left + 8);
        }
    }
}

#[test]
fn a_fault_in_the_middle_of_a_read_is_an_error() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[1; 80_000]).unwrap();
    let mut view = bound.view().unwrap();
    cut_from_outside(&dir.path().join("f"), 4096);
    let mut out = vec![0; 80_000];
    assert!(view.read(0, &mut out[..4096]).is_ok());
    let result = view.read(0, &mut out);
    // The compiler could leave out a read whose bytes are not used.
    assert_ne!(out, [2; 80_000]);
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
}

#[test]
fn a_dead_worker_stops_writes_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[1; 8]).unwrap();
    store.sync_in_background(&bound, false, Box::new(|_| panic!("for the test")));
    wait_until("writes are refused", || {
        bound
            .append(&[2; 8])
            .is_err_and(|error| error.to_string().contains("for the test"))
    });
    assert!(contents(&bound).len() >= 8);
}

#[test]
fn who_waits_for_a_sync_is_told_that_the_worker_died() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let (sender, told) = crossbeam_channel::unbounded::<()>();
    let (dies, death) = crossbeam_channel::bounded::<()>(0);
    let die = move |_: std::result::Result<(), &Error>| {
        death.recv().unwrap();
        panic!("for the test");
    };
    store.sync_in_background(&bound, false, Box::new(die));
    // One that is queued then: what it holds is dropped, and nobody keeps the other end waiting.
    let waiting = Box::new(move |_: std::result::Result<(), &Error>| drop(sender));
    store.sync_in_background(&bind(&store, "g", ItemType::DOUBLE), false, waiting);
    dies.send(()).unwrap();
    assert!(
        told.recv_timeout(Duration::from_secs(20))
            .is_err_and(|error| !error.is_timeout())
    );
    wait_until("the worker is dead", || !store.worker_is_alive());
    let (sender, told) = crossbeam_channel::unbounded();
    let done = move |synced: std::result::Result<(), &Error>| {
        sender.send(synced.map_err(ToString::to_string)).unwrap();
    };
    store.sync_in_background(&bound, false, Box::new(done));
    let error = told.try_recv().unwrap().unwrap_err();
    assert!(error.contains("for the test"), "{error}");
}

#[test]
fn who_waits_for_a_sync_gets_it_though_the_file_was_bound_again() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let (goes_on, busy) = crossbeam_channel::bounded::<()>(0);
    let wait = move |_: std::result::Result<(), &Error>| busy.recv().unwrap();
    store.sync_in_background(&bind(&store, "g", ItemType::DOUBLE), false, Box::new(wait));
    bound.append(&[1; 8]).unwrap();
    let first = Arc::clone(&bound.array);
    let (sender, synced) = crossbeam_channel::unbounded();
    let done = move |result: std::result::Result<(), &Error>| sender.send(result.is_ok()).unwrap();
    store.sync_in_background(&bound, false, Box::new(done));
    drop(bound);
    let again = bind(&store, "f", ItemType::DOUBLE);
    assert!(!Arc::ptr_eq(&first, &again.array));
    assert!(!again.lock().durability.is_settled());
    // No second passes until it is told, in which the worker would have synced it anyway.
    let next = again.share();
    let is_settled = move || next.lock().durability.is_settled();
    goes_on.send(()).unwrap();
    assert!(synced.recv_timeout(Duration::from_secs(20)).unwrap());
    assert!(is_settled());
}

#[test]
fn a_file_that_cannot_be_made_writable_is_not_locked() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let file = dir.path().join("f");
    fs::write(&file, [1; 12]).unwrap();
    let _reading = store
        .bind(&path("f"), ItemType::DOUBLE, Access::ReadOnly, false)
        .unwrap();
    let writing = store.bind(&path("f"), ItemType::DOUBLE, Access::Writable, false);
    assert!(matches!(writing, Err(Error::OddLength { .. })));
    assert!(!is_locked(&file));
}

/// The worker may come to a growth only when the key is gone.
#[test]
fn a_file_that_no_key_is_bound_to_gets_no_slack() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let array = Arc::clone(&bound.array);
    // The worker cannot close it during this.
    let busy = array.syncing.lock();
    assert!(array.begin_growth_for_test().is_some());
    drop(bound);
    assert!(array.begin_growth_for_test().is_none());
    drop(busy);
}

/// Whether this process holds a lock on a file, as the kernel says.
fn is_locked(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = format!(":{} ", fs::metadata(file).unwrap().ino());
    let (kind, pid) = ("POSIX", format!(" {} ", std::process::id()));
    fs::read_to_string("/proc/locks")
        .unwrap()
        .lines()
        .any(|lock| [kind, &pid, &inode].iter().all(|part| lock.contains(part)))
}

/// Closing any descriptor of a file drops the lock on it.
#[test]
fn a_thread_that_lets_go_of_a_file_late_does_not_drop_the_lock_of_the_next_array() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let file = dir.path().join("f");
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let held = bound.array.lock().open.file().cloned();
    drop(bound);
    let bound = bind(&store, "f", ItemType::DOUBLE);
    drop(held);
    assert!(is_locked(&file), "after it was bound again");

    let held = bound.array.lock().open.file().cloned();
    bound.append(&[1; 8]).unwrap();
    let other = fs::File::options().write(true).open(&file).unwrap();
    other.set_len(0).unwrap();
    // It drops the lock too; the next binding takes it again.
    drop(other);
    wait_until("it is lost", || bound.append(&[1; 8]).is_err());
    let again = bind(&store, "f", ItemType::DOUBLE);
    drop(held);
    assert!(is_locked(&file), "after it was opened again");

    drop(again);
    drop(bound);
    wait_until("the file is let go of", || !is_locked(&file));
}

#[test]
fn what_a_disk_has_no_room_for_takes_no_room_from_others() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let free = || store.root().free_bytes().unwrap();
    let before = free();
    let has_ended = AtomicBool::new(false);
    let lowest = std::thread::scope(|scope| {
        let lowest = scope.spawn(|| {
            let mut lowest = free();
            while !has_ended.load(Ordering::Relaxed) {
                lowest = lowest.min(free());
            }
            lowest
        });
        let error = bound.array.extend_to(before / 8 + before / 16).unwrap_err();
        has_ended.store(true, Ordering::Relaxed);
        assert!(error.is_full(), "{error}");
        lowest.join().unwrap()
    });
    assert!(lowest > before / 2, "of {before} bytes {lowest} were left");
}

/// Makes a file look as if the machine had gone down since it was marked.
fn pretend_reboot(file: &Path, synced: u64) {
    let mut mark = vec![7; 16];
    mark.extend(synced.to_le_bytes());
    rustix::fs::setxattr(file, "user.mmap", &mark, rustix::fs::XattrFlags::empty()).unwrap();
}

fn has_mark(file: &Path) -> bool {
    rustix::fs::getxattr(file, "user.mmap", &mut [0_u8; 64]).is_ok()
}

#[test]
fn after_a_reboot_a_file_holds_what_its_mark_vouches_for() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("f");
    for (synced, found) in [(3, 3), (10, 10), (12, 10), (0, 0)] {
        fs::write(&file, [1; 80]).unwrap();
        pretend_reboot(&file, synced);
        let store = store_in(dir.path());
        let reader = store
            .bind(&path("f"), ItemType::DOUBLE, Access::ReadOnly, false)
            .unwrap();
        assert_eq!(contents(&reader).len(), found * 8);
        assert_eq!(fs::metadata(&file).unwrap().len(), 80, "a reader cut it");
        drop((reader, store));
        let store = store_in(dir.path());
        let bound = bind(&store, "f", ItemType::DOUBLE);
        assert_eq!(contents(&bound).len(), found * 8);
        assert_eq!(fs::metadata(&file).unwrap().len(), found as u64 * 8);
        assert!(
            !has_mark(&file),
            "it would be cut again after the next reboot"
        );
    }
}

/// A recovery sets the mark and then cuts the file; the power failed again before it was shorter.
#[test]
fn after_a_power_cut_within_a_recovery_its_mark_counts() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("f");
    let mut bytes = vec![1; 4096];
    let nothing_synced = crate::storage::format::record::Record::new(8, 4096, 10, 0, 0);
    bytes[4032..].copy_from_slice(&nothing_synced.to_bytes());
    crate::storage::format::record::pretend_reboot(&mut bytes, [6; 16]);
    fs::write(&file, bytes).unwrap();
    pretend_reboot(&file, 7);
    let store = store_in(dir.path());
    assert_eq!(contents(&bind(&store, "f", ItemType::DOUBLE)).len(), 7 * 8);
}

#[test]
fn a_file_is_marked_before_it_changes_and_unmarked_once_it_is_settled() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("f");
    fs::write(&file, [1; 80]).unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    assert!(!has_mark(&file));
    bound.append(&[2; 8]).unwrap();
    assert!(has_mark(&file));
    bound.sync().unwrap();
    let handle = fs::File::open(&file).unwrap();
    let synced = || {
        crate::storage::format::mark::Mark::of(&handle)
            .unwrap()
            .unwrap()
            .synced
    };
    assert_eq!(synced(), 11);
    bound.pop(5).unwrap();
    assert_eq!(synced(), 6);
    drop(bound);
    wait_until("it is closed", || !has_mark(&file));
    bind(&store, "f", ItemType::DOUBLE).append(&[3; 8]).unwrap();
    store.settle_all();
    assert!(!has_mark(&file));
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Pop(u64),
    Clear,
    Set(u64),
    Grow,
    Trim,
    Sync,
    Rebind,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_usize..3000).prop_map(Step::Append),
        3 => (1_usize..4).prop_map(Step::Append),
        2 => (0_u64..2000).prop_map(Step::Pop),
        1 => Just(Step::Clear),
        2 => any::<u64>().prop_map(Step::Set),
        3 => Just(Step::Grow),
        2 => Just(Step::Trim),
        1 => Just(Step::Sync),
        1 => Just(Step::Rebind),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// R3: whenever the process is killed, the file holds what was acknowledged.
    #[test]
    fn after_any_steps_the_file_holds_what_was_written(
        size in prop_oneof![Just(1_usize), Just(3), Just(8), Just(16), Just(100)],
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let dir = TempDir::new().unwrap();
        let store = store_in(dir.path());
        store.settings().set_max_slack(64 * 1024);
        let item = strings_of(size);
        let mut bound = bind(&store, "f", item);
        let mut model: Vec<u8> = Vec::new();
        let mut fill = 0_u8;
        for step in steps {
            fill = fill.wrapping_add(1).max(1);
            let count = (model.len() / size) as u64;
            match step {
                Step::Append(values) => {
                    let bytes = vec![fill; values * size];
                    bound.append(&bytes).unwrap();
                    model.extend(bytes);
                }
                Step::Pop(values) => {
                    let left = count.saturating_sub(values) as usize * size;
                    prop_assert!(bound.pop(values).unwrap() == model[left..]);
                    model.truncate(left);
                }
                Step::Clear => {
                    prop_assert_eq!(bound.clear().unwrap(), count);
                    model.clear();
                }
                Step::Set(index) => {
                    let index = index % (count + 1);
                    let result = bound.set(&[index], &vec![fill; size]);
                    prop_assert_eq!(result.is_ok(), index < count);
                    if result.is_ok() {
                        model[index as usize * size..][..size].fill(fill);
                    }
                }
                Step::Grow => bound.grow_ahead(),
                // The worker may be at the end of the file itself.
                Step::Trim => wait_until("it is trimmed", || bound.trim_from_worker().is_ok()),
                Step::Sync => bound.sync().unwrap(),
                Step::Rebind => {
                    drop(bound);
                    prop_assert!(fs::read(dir.path().join("f")).unwrap() == model);
                    bound = bind(&store, "f", item);
                }
            }
            prop_assert!(contents(&bound) == model, "what is read");
            prop_assert!(recovered(dir.path(), &bound) == model, "what is recovered");
        }
    }
}

/// Has a file made of one value, in place of what is there.
fn import_one(store: &Store, value: &[u8; 8]) -> (Bound, Option<Undo>) {
    let mut import = store
        .import(&path("f"), ItemType::DOUBLE, Above::MustExist)
        .unwrap();
    import.append(value).unwrap();
    let mut undo = None;
    let former = Former::SetAside(&mut undo);
    let bound = import.finish(store, Access::Writable, former).unwrap();
    (bound, undo)
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn an_import_sets_aside_what_was_there_and_can_be_undone() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let (bound, undo) = import_one(&store, b"new-new-");
    assert_eq!(files(dir.path()), [("f".into(), b"new-new-".to_vec())]);
    undo.unwrap().carry_out();
    drop(bound);
    assert_eq!(files(dir.path()), []);

    fs::write(dir.path().join("f"), "before").unwrap();
    let before = files(dir.path());
    let (bound, undo) = import_one(&store, b"new-new-");
    assert_eq!(contents(&bound), b"new-new-");
    drop(bound);
    undo.unwrap().carry_out();
    assert_eq!(files(dir.path()), before);
    drop(import_one(&store, b"new-new-"));
    let aside = fs::read_to_string(dir.path().join("f.replaced"));
    assert_eq!(aside.unwrap(), "before");
    // There is one such file at most, and what is in this one is unknown.
    let before = files(dir.path());
    let mut undo = None;
    for former in [
        Former::SetAside(&mut undo),
        Former::SetAsideInTurn(&mut None),
    ] {
        let mut import = store
            .import(&path("f"), ItemType::DOUBLE, Above::MustExist)
            .unwrap();
        import.append(b"newer---").unwrap();
        let refused = import.finish(&store, Access::Writable, former);
        assert!(matches!(refused, Err(Error::SetAside { .. })));
        assert_eq!(files(dir.path()), before);
    }
}

#[test]
fn an_import_of_what_is_there_leaves_it() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let first = bind(&store, "f", ItemType::DOUBLE);
    first.append(b"new-new-").unwrap();
    let (second, undo) = import_one(&store, b"new-new-");
    assert!(undo.is_none());
    assert_eq!(first.id(), second.id());
    drop((first, second));
    assert!(import_one(&store, b"new-new-").1.is_none());
    assert_eq!(files(dir.path()), [("f".into(), b"new-new-".to_vec())]);
}

#[test]
fn an_import_of_what_a_killed_server_left_takes_it_and_frees_its_slack() {
    for (name, item) in [("f", ItemType::DOUBLE), ("f.npy", ItemType::DOUBLE)] {
        let (dir, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let store = store_in(dir.path());
        let bound = bind(&store, name, item);
        bound.append(b"old-old-").unwrap();
        bound.grow_ahead();
        bound.append(b"new-new-").unwrap();
        // As it is now, with slack, it would be there after `kill -9`.
        assert!(bound.has_slack());
        let left = elsewhere.path().join(name);
        fs::copy(dir.path().join(name), &left).unwrap();
        let other = store_in(elsewhere.path());
        let restore = |values: &[u8]| {
            let mut import = other.import(&path(name), item, Above::MustExist).unwrap();
            import.append(values).unwrap();
            let mut undo = None;
            let former = Former::SetAside(&mut undo);
            let bound = import.finish(&other, Access::Writable, former).unwrap();
            (contents(&bound), undo.is_some())
        };
        let values = b"old-old-new-new-";
        assert_eq!(restore(values), (values.to_vec(), false), "{name}");
        let len = fs::metadata(&left).unwrap().len();
        assert_eq!(len, if name == "f" { 16 } else { 128 + 16 });
        assert_eq!(restore(b"old-old-"), (b"old-old-".to_vec(), true), "{name}");
    }
}

#[test]
fn a_file_makes_way_only_for_the_key_that_alone_is_bound_to_it() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let owner = bind(&store, "f", ItemType::DOUBLE);
    let other = bind(&store, "g", ItemType::DOUBLE);
    let check =
        |key: &[u8], former: Option<(&Bound, Access)>| store.may_become(&path("f"), key, former);
    let (writes, reads) = (Access::Writable, Access::ReadOnly);
    let anything = MayBecome::Anything;
    let is_in_use = |result| matches!(result, Err(Error::InUse { .. }));
    let equals = |result: Result<MayBecome>, expected: MayBecome| {
        result.is_ok_and(|may_become| may_become == expected)
    };
    assert!(equals(check(b"k", Some((&owner, writes))), anything));
    assert!(matches!(
        check(b"k", Some((&owner, reads))),
        Err(Error::ReadOnlyKey { .. })
    ));
    assert!(is_in_use(check(b"k", Some((&other, writes)))));
    assert!(is_in_use(check(b"k", None)));
    let second = bind(&store, "f", ItemType::DOUBLE);
    assert!(is_in_use(check(b"k", Some((&owner, writes)))));
    drop(second);
    owner.set_owner(b"k");
    drop(owner);
    assert!(equals(check(b"k", None), anything));
    assert!(equals(check(b"l", None), MayBecome::Itself));
    // It has no owner.
    fs::write(dir.path().join("f2"), "").unwrap();
    assert!(matches!(
        store.may_become(&path("f2"), b"k", None),
        Err(Error::NoArray { .. })
    ));
    assert!(equals(
        store.may_become(&path("none"), b"k", None),
        anything
    ));
}

#[test]
fn a_file_that_is_filled_again_or_kept_is_its_keys() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let is_of = |key: &[u8]| {
        let may_become = store.may_become(&path("f"), key, None);
        may_become.is_ok_and(|may_become| may_become == MayBecome::Anything)
    };
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(b"old-old-").unwrap();
    bound.set_owner(b"k");
    let array = bound.share();
    let first = bound.id();
    store.fill_again(&array, 0).unwrap();
    array.append(b"new-new-").unwrap();
    store.contents_have_come(&array).unwrap();
    assert_ne!(bound.id(), first);
    drop(bound);
    assert!(is_of(b"k"));

    let mut import = store.import_copy(&path("f"), ItemType::DOUBLE, 0).unwrap();
    import.set_owner(b"l");
    import.append(b"new-new-").unwrap();
    import.truncate(1).unwrap();
    let kept = import
        .finish(&store, Access::Writable, Former::Replaced)
        .unwrap();
    assert_eq!(kept.id(), array.id());
    drop(kept);
    assert!(is_of(b"l") && !is_of(b"k"));
}

#[test]
fn nothing_is_said_of_a_file_that_is_no_array() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let file = dir.path().join("f");
    fs::write(&file, "somebody's own").unwrap();
    assert_eq!(
        store.note_former(&path("f")),
        Some(store::filling::FormerNote::Made)
    );
    let mut names = [0; 256];
    let len = rustix::fs::listxattr(&file, &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..len]);
    assert!(!names.contains("user.mmap"), "{names}");
}

#[test]
fn a_key_is_bound_to_an_array_also_while_its_head_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[0; 800]).unwrap();
    let array = bound.share();
    let (drops, looks) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // It goes on until there were enough looks, each after a drop at least.
        let dropping = scope.spawn(|| {
            while looks.load(Ordering::SeqCst) < 50 {
                let to = drops.load(Ordering::SeqCst) + 1;
                store.drop_head(&array, to).unwrap();
                array.append(&[0; 8]).unwrap();
                drops.store(to, Ordering::SeqCst);
            }
        });
        let mut seen = 0;
        while !dropping.is_finished() {
            assert!(store.is_bound(&array));
            assert!(bound.is_alone());
            let dropped = drops.load(Ordering::SeqCst);
            looks.fetch_add(u64::from(dropped > seen), Ordering::SeqCst);
            seen = dropped;
        }
        dropping.join().unwrap();
    });
    assert!(looks.into_inner() >= 50);
    assert!(drops.into_inner() >= 50);
}

#[test]
fn a_primary_drops_the_head_before_a_cancelled_trim_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::parse(b"uint8", None).unwrap());
    bound.append(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
    let cancelled = bound.writer().unwrap().begin_trim(&(1..10)).unwrap();
    store.drop_head(&bound.share(), 3).unwrap();
    let next = bound.writer().unwrap().begin_trim(&(2..7)).unwrap();

    let cancel = Cancel::default();
    cancel.cancel();
    let (sender, receiver) = std::sync::mpsc::channel();
    let done = Box::new(move |end| sender.send(end).unwrap());
    store.carry_out_in_background(&bound, Task::Trim(cancelled), cancel, done);
    let end = receiver.recv().unwrap();
    assert!(matches!(end.result, Err(Error::Stopped { .. })));
    assert!(!end.has_written);
    assert_eq!((contents(&bound), bound.head()), ((3..10).collect(), 3));

    store.carry_out(&bound, Task::Trim(next)).result.unwrap();
    assert_eq!((contents(&bound), bound.head()), ((5..10).collect(), 5));
}

#[test]
fn an_array_that_no_key_is_bound_to_is_let_go_of_before_the_next_sync() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    // What was written is not synced for half a minute.
    store.set_fsync(crate::storage::Fsync::No);
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[0; 8]).unwrap();
    let array = std::sync::Arc::downgrade(&bound.share());
    drop(bound);
    wait_until("its mapping is gone", || array.upgrade().is_none());
}

#[test]
fn a_file_whose_name_and_last_key_are_gone_is_not_synced_before_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    store.set_fsync(crate::storage::Fsync::No);
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[1; 8]).unwrap();
    let (array, syncs) = (Arc::downgrade(&bound.share()), store.stats().syncs.get());
    fs::remove_file(dir.path().join("f")).unwrap();
    drop(bound);
    wait_until("its mapping is gone", || array.upgrade().is_none());
    assert_eq!(store.stats().syncs.get(), syncs);
}

#[test]
fn a_file_that_a_new_one_replaced_is_closed_once_no_thread_works_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[1; 8]).unwrap();
    let array = bound.share();
    let worked_on = array.lock().file().unwrap();
    let file = Arc::downgrade(&worked_on);
    store.fill_again(&array, 0).unwrap();
    assert!(file.upgrade().is_some());
    drop(worked_on);
    wait_until("it is closed", || file.upgrade().is_none());
}

/// Closing a descriptor drops the lock of the array that has the same file. Once a copy without the head has taken its place, none
/// has.
#[test]
fn a_descriptor_that_was_kept_for_the_lock_is_closed_when_a_copy_replaces_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    fs::write(dir.path().join("f"), [1; 24]).unwrap();
    let path = path("f");
    let reader = store
        .bind(&path, ItemType::DOUBLE, Access::ReadOnly, false)
        .unwrap();
    let worked_on = reader.lock().file().unwrap();
    let file = Arc::downgrade(&worked_on);
    let writer = bind(&store, "f", ItemType::DOUBLE);
    drop(worked_on);
    assert!(file.upgrade().is_some());
    store.drop_head(&writer.share(), 1).unwrap();
    wait_until("it is closed", || file.upgrade().is_none());
}

#[test]
fn what_a_killed_server_had_allocated_behind_the_end_is_freed_when_the_file_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, [1; 8]).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let behind = rustix::fs::FallocateFlags::KEEP_SIZE;
    if rustix::fs::fallocate(&file, behind, 8, 4 << 20).is_err() {
        return;
    }
    let allocated = || fs::metadata(&path).unwrap().blocks() * 512;
    assert!(allocated() >= 4 << 20);
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    assert!(allocated() < 1 << 20);
    assert_eq!(contents(&bound), [1; 8]);
    // The same while it is open, when another array needs the room.
    rustix::fs::fallocate(&file, behind, 8, 4 << 20).unwrap();
    let other = bind(&store, "other", ItemType::DOUBLE);
    assert!(other.share().have_slack_given_back());
    assert!(allocated() < 1 << 20);
    assert!(!other.share().have_slack_given_back());
    assert_eq!(contents(&bound), [1; 8]);
}

#[test]
fn the_worker_syncs_at_once_where_much_waits_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    // Else in half a minute.
    store.set_fsync(crate::storage::Fsync::No);
    store.settings().set_max_dirty_bytes(1000);
    let bound = bind(&store, "f", ItemType::DOUBLE);
    for round in 0..20 {
        bound.append(&[1; 800]).unwrap();
        wait_until("it is on disk", || store.dirty_bytes() == 0);
        assert!(store.stats().syncs.get() > round);
    }
}

#[test]
fn an_array_that_another_has_taken_over_is_let_go_of_before_the_next_sync() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    store.set_fsync(crate::storage::Fsync::No);
    let bound = bind(&store, "f", ItemType::DOUBLE);
    bound.append(&[1; 800]).unwrap();
    let former = Arc::downgrade(&bound.share());
    drop(bound);
    let bound = bind(&store, "f", ItemType::DOUBLE);
    wait_until("the former is gone", || former.upgrade().is_none());
    assert_eq!(contents(&bound), [1; 800]);
}

/// What was not on disk of a copy without the head is cut off after a power cut, and the file ends with what was.
#[test]
fn a_power_cut_after_a_trim_leaves_no_values_at_the_end_that_look_like_a_record() {
    let dir = TempDir::new().unwrap();
    let WithoutWorker {
        registry,
        root,
        array,
        jobs: _jobs,
    } = without_worker(dir.path());
    let values = [&[1; 4040][..], &record_of(4096)].concat();
    array.append(&values).unwrap();
    array.append(&[2; 8]).unwrap();
    let trim = array.writer().unwrap().begin_trim(&(1..514)).unwrap();
    array.pop(1).unwrap();
    let mut copy = array
        .begin_head_drop(trim, &root, Cancel::default())
        .unwrap();
    array.append(&[3; 8]).unwrap();
    assert!(copy.take_turn(&registry).unwrap());
    let mut mark = vec![0; 24];
    rustix::fs::getxattr(dir.path().join("f"), "user.mmap", &mut mark).unwrap();
    mark[..16].fill(9);
    let after = TempDir::new().unwrap();
    let file = after.path().join("f");
    fs::copy(dir.path().join("f"), &file).unwrap();
    rustix::fs::setxattr(&file, "user.mmap", &mark, rustix::fs::XattrFlags::empty()).unwrap();
    for _ in 0..2 {
        let store = store_in(after.path());
        let found = contents(&bind(&store, "f", ItemType::DOUBLE));
        assert_eq!(found[..4096], [&values[8..]].concat());
    }
}

/// Each call that sets the length of the file would put zeros in the place of what is gone, and the length right.
#[test]
fn a_file_that_is_cut_while_its_length_is_changed_shows_no_zeros() {
    type Change = fn(&Arc<Array>);
    let changes: [(&str, Change); 5] = [
        ("an append within a page", |array| {
            let _ = array.append(&[1; 80]);
        }),
        ("an append beyond it", |array| {
            let _ = array.append(&[1; 8000]);
        }),
        ("a growth", |array| {
            let _ = array.lock().grow_now(8192, 8192);
        }),
        ("a growth of slack", |array| {
            let _ = array.lock().grow_now(8192, 8192);
            let _ = array.lock().grow_now(16_384, 16_384);
            let _ = array.give_back_slack();
        }),
        ("a removal", |array| {
            let _ = array.truncate(90);
        }),
    ];
    let endings = [&[1; 800][..], &[&[1; 400][..], &[0; 400]].concat()];
    let cases = changes
        .into_iter()
        .flat_map(|case| endings.map(|values| (case, values)));
    for ((what, change), values) in cases {
        for number in 0_i32.. {
            let dir = TempDir::new().unwrap();
            let WithoutWorker {
                array, jobs: _jobs, ..
            } = without_worker(dir.path());
            array.append(values).unwrap();
            let (file, left) = (dir.path().join("f"), Rc::new(Cell::new(number)));
            let calls = Rc::clone(&left);
            power_cut::before_changes(Some(Box::new(move || {
                if calls.replace(calls.get() - 1) == 0 {
                    cut_from_outside(&file, 320);
                }
            })));
            change(&array);
            power_cut::before_changes(None);
            if left.get() >= 0 {
                break;
            }
            assert!(array.is_lost(), "{what}, cut before call {number}");
        }
    }
}
