//! Text to bytes and back: what `VADD` and `VALL` spend on the values themselves.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use redis_mmap::storage::types::{FloatText, ItemType, Value, widen};

/// So many values come with one command.
const VALUES: usize = 1000;

/// So many commands before one comes again: enough that the branch predictor cannot learn their digits.
const COMMANDS: usize = 20;

/// A small generator (xorshift64*), so that every run measures the same numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// Texts as the server holds them: each in its own allocation.
type Texts = Vec<Box<[u8]>>;

/// The type, what is measured, and its texts.
fn cases() -> Vec<(&'static str, &'static str, Texts)> {
    let random = &mut Random(88_172_645_463_325_252);
    let mut texts = |text: &mut dyn FnMut(u64) -> String| {
        let texts = (0..VALUES * COMMANDS).map(|_| text(random.next()));
        texts.map(|text| text.into_bytes().into()).collect()
    };
    let seventeen_digits = |bits: u64| format!("0.{:017}", bits % 10_u64.pow(17));
    let short =
        |bits: u64| ["0.1", "3.14", "42", "-1.5", "1000", "12.75"][(bits % 6) as usize].to_owned();
    vec![
        ("double", "17 digits", texts(&mut { seventeen_digits })),
        ("double", "short", texts(&mut { short })),
        (
            "double",
            "any",
            texts(&mut |bits| format!("{:e}", f64::from_bits(bits & !(1 << 62)))),
        ),
        (
            "float",
            "8 digits",
            texts(&mut |bits| format!("0.{:08}", bits % 10_u64.pow(8))),
        ),
        ("int64", "any", texts(&mut |bits| (bits as i64).to_string())),
        (
            "int64",
            "short",
            texts(&mut |bits| (bits % 1000).to_string()),
        ),
        ("long_double", "17 digits", texts(&mut { seventeen_digits })),
        ("long_double", "short", texts(&mut { short })),
    ]
}

fn item_type(name: &str) -> ItemType {
    ItemType::parse(name.as_bytes(), None).expect("a type's name")
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode_all");
    group.throughput(Throughput::Elements(VALUES as u64));
    for (name, what, texts) in &cases() {
        let item_type = item_type(name);
        let mut commands = texts.chunks(VALUES).cycle();
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new(*name, what), |b| {
            b.iter(|| {
                out.clear();
                let texts = commands.next().expect("a cycle never ends");
                let texts = texts.iter().map(|text| &**black_box(text));
                item_type.encode_all(texts, &mut out).expect("valid values");
            });
        });
    }
    group.finish();
}

fn encode_one(c: &mut Criterion) {
    let mut out = Vec::with_capacity(16);
    for text in ["0.1", "3.14", "0.12345678901234567"] {
        c.bench_with_input(BenchmarkId::new("encode/double", text), &text, |b, text| {
            b.iter(|| {
                out.clear();
                black_box(ItemType::DOUBLE).encode(black_box(text.as_bytes()), &mut out)
            });
        });
    }
}

fn format(c: &mut Criterion) {
    let mut group = c.benchmark_group("format");
    group.throughput(Throughput::Elements(VALUES as u64));
    for (name, what, texts) in &cases() {
        let item_type = item_type(name);
        let mut items = Vec::new();
        let texts = texts.iter().take(VALUES).map(|text| &**text);
        item_type
            .encode_all(texts, &mut items)
            .expect("valid values");
        group.bench_function(BenchmarkId::new(*name, what), |b| {
            b.iter(|| {
                for item in items.chunks_exact(item_type.size()) {
                    match item_type.decode(black_box(item)) {
                        Value::Double(value) => {
                            black_box(FloatText::new().format(value));
                        }
                        // As a RESP3 double.
                        Value::Float(value) => {
                            black_box(widen(value));
                        }
                        Value::LongDouble(value) => {
                            black_box(value.to_string());
                        }
                        other => {
                            black_box(other);
                        }
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode, encode_one, format);
criterion_main!(benches);
