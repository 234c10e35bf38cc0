//! Whatever a file holds and says of itself, it is bound or refused, and what is bound can be worked with: records, marks,
//! other attributes and `.npy` headers, as damage or ill will would make them. `MMAP_ROUNDS` says how many are tried;
//! proptest prints what failed, and the seed goes into `proptest-regressions/`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use proptest::prelude::*;
use rustix::fs::{XattrFlags, setxattr};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::storage::files::boot::this_boot;
use crate::storage::format::record;
use crate::storage::format::record::Record;
use crate::storage::types::ItemType;
use crate::storage::*;

/// How many files are tried, unless `MMAP_ROUNDS` says: some seconds.
const ROUNDS: u32 = 1000;

fn rounds() -> u32 {
    std::env::var("MMAP_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(ROUNDS)
}

/// Numbers where something begins or ends, and any others.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..20,
        4000_u64..4100,
        (0_u32..64).prop_map(|bit| 1 << bit),
        (0_u32..64).prop_map(|bit| (1_u64 << bit).wrapping_sub(1)),
        (0_u64..1000).prop_map(|less| u64::MAX - less),
        any::<u64>(),
    ]
}

fn boot() -> impl Strategy<Value = [u8; 16]> {
    prop_oneof![Just(this_boot()), any::<[u8; 16]>()]
}

/// A random record for a file of the given length.
fn record(len: u64) -> impl Strategy<Value = [u8; record::SIZE as usize]> {
    let item_size = prop_oneof![Just(8_u32), 1_u32..17, any::<u32>()];
    (item_size, boot(), number(), number(), number()).prop_map(
        move |(item_size, boot_id, live, synced, previous)| {
            Record {
                item_size,
                file_len: len,
                boot_id,
                live,
                synced,
                previous,
            }
            .to_bytes()
        },
    )
}

/// The bytes of a file: with a record at its end, and perhaps one before.
fn with_records() -> impl Strategy<Value = Vec<u8>> {
    (1_u64..4, any::<u8>())
        .prop_flat_map(|(pages, fill)| {
            let at = |page: u64| record(page * record::ALIGNMENT);
            let records: Vec<_> = (1..=pages).map(at).collect();
            (records, Just(fill))
        })
        .prop_map(|(records, fill)| {
            let mut bytes = vec![fill; records.len() * record::ALIGNMENT as usize];
            for (page, record) in (1..).zip(records) {
                let end = page * record::ALIGNMENT as usize;
                bytes[end - record.len()..end].copy_from_slice(&record);
            }
            bytes
        })
}

/// A `.npy` file, nearly.
fn npy() -> impl Strategy<Value = Vec<u8>> {
    let descr = prop_oneof![
        Just("<f8".to_owned()),
        Just("|S3".to_owned()),
        "[<>|=]?[a-zA-Z][0-9]{0,6}",
    ];
    let shape = prop_oneof![
        number().prop_map(|count| format!("({count},)")),
        Just("(2,)".to_owned()),
        "[(]?[0-9, L-]{0,24}[)]?",
    ];
    let extra = prop_oneof![Just(String::new()), "[ -~]{0,20}"];
    let version = prop_oneof![Just(1_u8), Just(2), any::<u8>()];
    let len = prop_oneof![Just(None), any::<u32>().prop_map(Some)];
    let values = prop::collection::vec(any::<u8>(), 0..64);
    (version, len, descr, shape, extra, values).prop_map(
        |(version, len, descr, shape, extra, values)| {
            let text = format!(
                "{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, {extra}}}{:20}\n",
                ""
            );
            let len = len.unwrap_or(text.len() as u32);
            let mut bytes = [&b"\x93NUMPY"[..], &[version, 0]].concat();
            match version {
                1 => bytes.extend((len as u16).to_le_bytes()),
                _ => bytes.extend(len.to_le_bytes()),
            }
            bytes.extend(text.bytes());
            bytes.extend(values);
            bytes
        },
    )
}

/// An attribute and what it holds.
fn attributes() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let mark = (boot(), number()).prop_map(|(boot, synced)| {
        let mark = [&boot[..], &synced.to_le_bytes()].concat();
        ("user.mmap", mark)
    });
    let head = number().prop_map(|head| ("user.mmap.head", head.to_le_bytes().to_vec()));
    let name = prop_oneof![
        Just("user.mmap"),
        Just("user.mmap.head"),
        Just("user.mmap.incomplete"),
        Just("user.mmap.key"),
    ];
    let any = (name, prop::collection::vec(any::<u8>(), 0..1500));
    prop::collection::vec(prop_oneof![mark, head, any], 0..4)
}

fn put(dir: &Path, name: &str, bytes: &[u8], attributes: &[(&str, Vec<u8>)]) {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    for (attribute, value) in attributes {
        match setxattr(&path, *attribute, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSPC) => {}
            Err(errno) => panic!("{attribute}: {errno}"),
        }
    }
}

/// Does with an array what commands do.
fn work(store: &Store, bound: &Bound) -> Result<()> {
    let size = bound.item().size();
    let (extent, all) = {
        let mut view = bound.view()?;
        let mut all = vec![0; usize::try_from(view.count()).unwrap() * size];
        view.read(0, &mut all)?;
        (view.span(), all)
    };
    assert!(extent.end() >= extent.head, "{extent:?}");
    if !bound.is_writable() {
        return Ok(());
    }
    bound.append(&vec![7; size])?;
    {
        let mut view = bound.view()?;
        let mut now = vec![0; all.len() + size];
        assert_eq!(view.count(), extent.count + 1);
        view.read(0, &mut now)?;
        assert_eq!(now[..all.len()], all);
        assert_eq!(now[all.len()..], vec![7; size]);
    }
    store.drop_head(&bound.share(), extent.head + 1)?;
    assert_eq!(bound.head(), extent.head + 1);
    assert_eq!(bound.published_count(), extent.count);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(rounds()))]

    #[test]
    fn a_file_is_bound_or_refused_whatever_it_holds_and_says_of_itself(
        plain in prop_oneof![
            with_records(),
            prop::collection::vec(any::<u8>(), 0..100),
        ],
        npy in npy(),
        attributes in attributes(),
        size in 1_usize..20,
    ) {
        let dir = TempDir::new().unwrap();
        put(dir.path(), "f", &plain, &attributes);
        put(dir.path(), "f.npy", &npy, &attributes);
        let store = Store::new(Root::open(dir.path()).unwrap(), 1).unwrap();
        let string = ItemType::parse(b"string", Some(size.to_string().as_bytes())).unwrap();
        let header = FilePath::new(b"f.npy").unwrap();
        let types = [ItemType::DOUBLE, string];
        for access in [Access::ReadOnly, Access::Writable] {
            for item in types {
                for path in [b"f".as_slice(), b"f.npy"].map(|path| FilePath::new(path).unwrap()) {
                    let _ = store.npy_item(&header);
                    let Ok(bound) = store.bind(&path, item, access, false) else {
                        continue;
                    };
                    // It may be lost, or lack room for positions; but that is said.
                    let worked = catch_unwind(AssertUnwindSafe(|| work(&store, &bound)));
                    prop_assert!(worked.is_ok(), "{path} as {item}, {access:?}");
                }
            }
        }
    }
}
