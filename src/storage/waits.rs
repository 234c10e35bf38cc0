//! What was looked at before a wait is looked at again after it: while a write waits for the end of the file, other
//! threads go on, and one of them may put another file in the place of the array's.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::storage::tests::{bind, contents, recovered, store_in, wait_until};
use crate::storage::types::ItemType;
use crate::storage::*;

/// Values of one byte: `from`, `from + 1`, ...
fn bytes(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|i| i as u8).collect()
}

/// An array of 10 000 bytes whose growth has begun and ends only when it is called off. With slack, there
/// is room for less than 100 000 more in it.
fn growing(store: &Store, slack: bool) -> Bound {
    let bound = bind(store, "f", ItemType::parse(b"uint8", None).unwrap());
    bound.append(&bytes(0, 10_000)).unwrap();
    if slack {
        store.settings().set_max_slack(64 << 10);
        bound.grow_ahead();
        bound.lock().extent.make_growth_due();
    }
    assert_eq!(bound.has_slack(), slack);
    assert!(bound.begin_growth_for_test().is_some());
    bound.lock().load.bursts();
    bound
}

/// Has a write wait for that growth, and does something else before it can go on.
fn while_it_waits<T: Send>(
    store: &Store,
    write: impl FnOnce() -> T + Send,
    then: impl FnOnce(),
) -> T {
    let waits = || store.stats().growth_waits.get();
    let before = waits();
    std::thread::scope(|scope| {
        let writer = scope.spawn(write);
        wait_until("the append waits for the growth", || waits() > before);
        then();
        writer.join().unwrap()
    })
}

#[test]
fn values_appended_after_the_head_was_dropped_follow_those_that_stayed() {
    for slack in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = store_in(dir.path());
        let bound = growing(&store, slack);
        let appended = while_it_waits(
            &store,
            || bound.append(&bytes(10_000, 100_000)),
            || store.drop_head(&bound.share(), 9000).unwrap(),
        );
        let there = Span {
            head: 9000,
            count: 101_000,
        };
        assert_eq!(appended.unwrap(), there);
        assert!(contents(&bound) == bytes(9000, 101_000), "slack: {slack}");
        assert!(recovered(dir.path(), &bound) == bytes(9000, 101_000));
        assert_eq!(bound.published_count(), 101_000);
    }
}

#[test]
fn what_a_primary_tells_goes_to_its_positions_wherever_the_head_is_by_then() {
    for slack in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = store_in(dir.path());
        let bound = growing(&store, slack);
        // From a value that is there on, so that some are overwritten and some appended.
        let put = while_it_waits(
            &store,
            || bound.writer()?.put(9990, &bytes(9990, 100_010)).map(drop),
            || store.drop_head(&bound.share(), 9000).unwrap(),
        );
        put.unwrap();
        assert!(contents(&bound) == bytes(9000, 101_000), "slack: {slack}");
        assert_eq!(bound.head(), 9000);
        // What is before the head stays away, and no zeros lead over a gap behind the end.
        bound.writer().unwrap().put(8990, &[7; 20]).unwrap();
        let gap = bound.writer().unwrap().put(110_100, &[7; 20]).map(drop);
        assert!(matches!(gap, Err(Error::Gap { .. })), "{gap:?}");
        let mut expected = bytes(9000, 101_000);
        expected[..10].fill(7);
        assert!(contents(&bound) == expected, "slack: {slack}");
    }
}

#[test]
fn a_fill_sets_the_values_that_were_meant_though_others_before_them_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::parse(b"uint8", None).unwrap());
    bound.append(&bytes(0, 100)).unwrap();
    let fill = |positions| {
        let value = Box::from([255]);
        let task = Task::Fill { positions, value };
        store.carry_out(&bound, task).result.unwrap()
    };
    store.drop_head(&bound.share(), 50).unwrap();
    assert_eq!(fill(90..100), 10);
    assert_eq!(fill(40..55), 5, "ten are gone");
    assert_eq!(fill(0..50), 0);
    assert_eq!(fill(95..200), 5);
    let expected = [&[255; 5][..], &bytes(55, 35), &[255; 10]].concat();
    assert_eq!(contents(&bound), expected);
}

#[test]
fn what_is_dropped_from_the_head_is_what_lies_before_a_position() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::parse(b"uint8", None).unwrap());
    bound.append(&bytes(0, 100)).unwrap();
    let drop_to = |position| {
        store.drop_head(&bound.share(), position).unwrap();
        (bound.head(), contents(&bound))
    };
    assert_eq!(drop_to(30), (30, bytes(30, 70)));
    assert_eq!(drop_to(20), (30, bytes(30, 70)));
    assert_eq!(drop_to(200), (200, Vec::new()));
    bound.append(&bytes(0, 10)).unwrap();
    assert_eq!(bound.writer().unwrap().span().end(), 210);
}

#[test]
fn who_reads_a_whole_array_reads_that_of_one_moment_though_its_head_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::DOUBLE);
    let numbers = |from: u64, to: u64| (from..to).flat_map(u64::to_le_bytes).collect::<Vec<_>>();
    bound.append(&numbers(0, 400_000)).unwrap();
    let moment = bound.moment().unwrap();
    let mut read = Vec::new();
    let (count, result) = moment.read_in_pieces(|first, bytes| {
        // Between two pieces, in which another thread may do that as well.
        store.drop_head(&bound.share(), first + 1000).unwrap();
        read.extend_from_slice(bytes);
        true
    });
    result.unwrap();
    assert_eq!((moment.span().head, count), (0, 400_000));
    assert!(read == numbers(0, 400_000));
    let now = bound.moment().unwrap().span();
    assert!(now.head > 300_000 && now.end() == 400_000, "{now:?}");
}

/// What a read in pieces finds of an array that is cut off and appended to between them. Says whether some of it was of before.
fn is_read_of_two_times() -> bool {
    const COUNT: u64 = 400_000;
    const LEAST: u64 = 380_000;
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::parse(b"uint64", None).unwrap());
    let append = |numbers: std::ops::Range<u64>| {
        let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        bound.append(&bytes).unwrap();
    };
    // No number is 0, as space is that was never written.
    append(1..COUNT + 1);
    bound.lock().load.bursts();
    bound.grow_ahead();
    let mut read = Vec::new();
    let (count, result) = bound.moment().unwrap().read_in_pieces(|first, bytes| {
        let values = bytes.chunks_exact(8);
        read.extend(values.map(|value| u64::from_le_bytes(value.try_into().unwrap())));
        // Pieces are of a megabyte. The third one ends behind the least end, and before what is appended after it.
        match first {
            131_072 => {
                bound.pop(COUNT - LEAST).unwrap();
                append(COUNT + 1..COUNT + 10_001);
            }
            262_144 => append(COUNT + 10_001..COUNT + 20_001),
            _ => {}
        }
        true
    });
    result.unwrap();
    assert!(LEAST < count && count <= COUNT, "{count}");
    let read = &read[..count as usize];
    for (index, &value) in (0..).zip(read) {
        let is_old = value == index + 1;
        let is_new = value == index + 1 + COUNT - LEAST || value == 0;
        assert!(is_old || is_new && index >= LEAST, "{value} at {index}");
    }
    !read.is_sorted()
}

/// As of a child that saves for a replica: the writes beside it come to that replica afterwards.
#[test]
fn what_is_cut_off_and_appended_again_beside_a_read_is_of_either_time_and_the_rest_is_right() {
    // The worker may give the slack back in between: then nothing is left of before.
    wait_until("values of two times are read", is_read_of_two_times);
}

#[test]
fn a_growth_that_was_called_off_gives_back_what_it_allocated_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::parse(b"uint8", None).unwrap());
    bound.append(&bytes(0, 10_000)).unwrap();
    bound.sync().unwrap();
    let blocks = || fs::metadata(dir.path().join("f")).unwrap().blocks();
    let before = blocks();
    let rest = bound.begin_growth_for_test().expect("a growth is due");
    bound.sync_exact().unwrap();
    rest();
    assert_eq!(blocks(), before);
    assert!(!bound.has_slack());
}

#[test]
fn a_key_that_is_noted_while_the_head_is_dropped_is_noted_in_the_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let bound = bind(&store, "f", ItemType::parse(b"uint8", None).unwrap());
    bound.append(&bytes(0, 100)).unwrap();
    bound.set_owner(b"0:former");
    let trim = bound.writer().unwrap().begin_trim(&(50..100)).unwrap();
    let array = bound.share();
    let mut copy = array
        .begin_head_drop(trim, &store.root, Cancel::default())
        .unwrap();
    bound.set_owner(b"0:latter");
    while !copy.take_turn(&store.registry).unwrap() {}
    assert_eq!(contents(&bound), bytes(50, 50));
    assert_eq!(bound.owner(), b"0:latter");
}
