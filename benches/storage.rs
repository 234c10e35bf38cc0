//! Appends and growth in the storage layer, without a server.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use redis_mmap::storage::types::ItemType;
use redis_mmap::storage::{Access, Bound, FilePath, Root, Store};
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let dir = TempDir::new().expect("a temporary directory");
    let root = Root::open(dir.path()).expect("it was just made");
    let store = Store::new(root, 1).expect("a worker thread");
    (dir, store)
}

fn bind(store: &Store, name: &str) -> Bound {
    let path = FilePath::new(name.as_bytes()).expect("a plain name");
    store
        .bind(&path, ItemType::DOUBLE, Access::Writable, true)
        .expect("a new file")
}

/// One append after the other, as a burst makes them: after the first few hundred into slack.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for values in [1, 10, 100, 1000] {
        let bytes = vec![1_u8; values * 8];
        group.throughput(Throughput::Elements(values as u64));
        group.bench_function(format!("{values} values"), |bencher| {
            let (_dir, store) = store();
            let bound = bind(&store, "f");
            let mut appended = 0_u64;
            bencher.iter(|| {
                bound.append(black_box(&bytes)).expect("room");
                appended += bytes.len() as u64;
                if appended > 256 << 20 {
                    bound
                        .writer()
                        .and_then(|mut writer| writer.clear())
                        .expect("writable");
                    appended = 0;
                }
            });
        });
    }
    group.finish();
}

/// From an empty file through all growths to 64 MiB, in appends of 8000 bytes.
fn growth(criterion: &mut Criterion) {
    const TOTAL: u64 = 64 << 20;
    let bytes = vec![1_u8; 8000];
    let mut group = criterion.benchmark_group("growth");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(TOTAL));
    group.bench_function("0 to 64 MiB", |bencher| {
        let (_dir, store) = store();
        bencher.iter_batched(
            || {
                let bound = bind(&store, "f");
                bound
                    .writer()
                    .and_then(|mut writer| writer.clear())
                    .expect("writable");
                bound
            },
            |bound| {
                for _ in 0..TOTAL / 8000 {
                    bound.append(&bytes).expect("room");
                }
                bound
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Reading single values, as `VGET` does.
fn get(criterion: &mut Criterion) {
    let (_dir, store) = store();
    let bound = bind(&store, "f");
    bound.append(&[1; 8_000_000]).expect("room");
    criterion.bench_function("get", |bencher| {
        let mut index = 0;
        let mut value = [0; 8];
        bencher.iter(|| {
            index = (index + 7919) % 1_000_000;
            let mut view = bound.view().expect("readable");
            view.read(black_box(index), &mut value).expect("readable")
        });
    });
}

criterion_group!(benches, append, growth, get);
criterion_main!(benches);
