//! What holds for all types alike.

use proptest::prelude::*;

use crate::storage::types::*;

const NAMES: [&str; 12] = [
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float",
    "double",
    "long_double",
    "string",
];

fn item_type(name: &str) -> ItemType {
    let size = (name == "string").then_some(b"8".as_slice());
    ItemType::parse(name.as_bytes(), size).unwrap()
}

fn encoded(item_type: ItemType, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    item_type.encode(text.as_bytes(), &mut out).unwrap();
    out
}

/// The text by which a value reads back.
fn text(value: Value) -> Vec<u8> {
    match value {
        Value::Int(value) => value.to_string().into(),
        Value::Uint(value) => value.to_string().into(),
        Value::Float(value) => FloatText::new().format(value).into(),
        Value::Double(value) => FloatText::new().format(value).into(),
        Value::LongDouble(value) => value.to_string().into(),
        Value::Bytes(value) => value.into(),
    }
}

#[test]
fn names_are_read_in_any_case() {
    for name in NAMES {
        assert_eq!(item_type(name).name(), name);
    }
    assert_eq!(ItemType::parse(b"DOUBLE", None), Ok(ItemType::DOUBLE));
    assert_eq!(ItemType::parse(b"Float64", None), Ok(ItemType::DOUBLE));
    assert_eq!(ItemType::parse(b"FLOAT32", None), Ok(item_type("float")));
    for name in ["", "int", "doubl", "double ", "double\0", "uint128"] {
        let error = ItemType::parse(name.as_bytes(), None).unwrap_err();
        assert!(matches!(error, TypeError::Unknown { .. }), "{name:?}");
    }
}

#[test]
fn sizes_are_those_of_c() {
    let sizes = NAMES.map(|name| item_type(name).size());
    assert_eq!(sizes, [1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 16, 8]);
}

#[test]
fn a_size_word_must_fit_the_type() {
    let parse = |name: &str, size: &str| ItemType::parse(name.as_bytes(), Some(size.as_bytes()));
    assert_eq!(parse("double", "8"), Ok(ItemType::DOUBLE));
    assert_eq!(parse("string", "1").unwrap().size(), 1);
    assert_eq!(parse("string", "65535").unwrap().size(), 65535);
    for size in ["0", "65536", "-1", "", "x", "4294967297", "8.0"] {
        assert!(
            matches!(parse("string", size), Err(TypeError::BadStringSize { .. })),
            "{size}"
        );
    }
    for size in ["4", "16", "", "x"] {
        assert!(
            matches!(
                parse("double", size),
                Err(TypeError::WrongSize { own: 8, .. })
            ),
            "{size}"
        );
    }
    assert_eq!(
        ItemType::parse(b"string", None),
        Err(TypeError::NoStringSize)
    );
}

#[test]
fn values_lie_in_native_layout() {
    assert_eq!(encoded(item_type("int16"), "-2"), (-2_i16).to_ne_bytes());
    assert_eq!(
        encoded(item_type("uint64"), "18446744073709551615"),
        [0xff; 8]
    );
    assert_eq!(encoded(item_type("float"), "0.1"), 0.1_f32.to_ne_bytes());
    assert_eq!(
        encoded(item_type("double"), "-0.0"),
        (-0.0_f64).to_ne_bytes()
    );
    assert_eq!(encoded(item_type("string"), "abc"), b"abc\0\0\0\0\0");
}

#[test]
fn decoding_gives_the_widest_type_of_a_sort() {
    let decoded = |name: &str, bytes: &'static [u8]| item_type(name).decode(bytes);
    assert_eq!(decoded("int8", &[0xff]), Value::Int(-1));
    assert_eq!(decoded("uint8", &[0xff]), Value::Int(255));
    assert_eq!(decoded("int16", &[0xfe, 0xff]), Value::Int(-2));
    assert_eq!(decoded("uint16", &[0xfe, 0xff]), Value::Int(65534));
    assert_eq!(decoded("int32", &[0xff; 4]), Value::Int(-1));
    assert_eq!(decoded("uint32", &[0xff; 4]), Value::Int(u32::MAX.into()));
    assert_eq!(decoded("int64", &[0xff; 8]), Value::Int(-1));
    assert_eq!(decoded("uint64", &[0xff; 8]), Value::Uint(u64::MAX));
    assert_eq!(decoded("string", b"ab\0c\0\0\0\0"), Value::Bytes(b"ab\0c"));
}

#[test]
fn one_bad_value_leaves_nothing_behind() {
    for name in NAMES {
        let bad: &[u8] = if name == "string" { b"123456789" } else { b"x" };
        let mut out = vec![7];
        let error = item_type(name).encode_all([b"1", b"2", bad, bad].into_iter(), &mut out);
        assert_eq!(error.unwrap_err().0, 2, "{name}");
        assert_eq!(out, [7], "{name}");
        item_type(name).encode(bad, &mut out).unwrap_err();
        assert_eq!(out, [7], "{name}");
        item_type(name)
            .encode_all([].into_iter(), &mut out)
            .unwrap();
        assert_eq!(out, [7], "{name}");
    }
}

#[test]
#[should_panic(expected = "an item of type double")]
fn decoding_half_an_item_is_a_bug_of_the_caller() {
    ItemType::DOUBLE.decode(&[0; 4]);
}

proptest! {
    #[test]
    fn what_lies_in_a_file_reads_back(which in 0..NAMES.len(), bytes: [u8; 16]) {
        let item_type = item_type(NAMES[which]);
        let item = &bytes[..item_type.size()];
        let value = item_type.decode(item);
        let mut out = Vec::new();
        item_type.encode(&text(value), &mut out).unwrap();
        let again = item_type.decode(&out);
        // A NaN has many encodings, and a long double has padding.
        prop_assert_eq!(text(again), text(value));
        if !matches!(value, Value::Float(_) | Value::Double(_) | Value::LongDouble(_)) {
            prop_assert_eq!(out, item);
        }
    }

    #[test]
    fn many_are_written_as_one_by_one(which in 0..NAMES.len(), values in prop::collection::vec(0..100_u8, 0..50)) {
        let item_type = item_type(NAMES[which]);
        let texts: Vec<String> = values.iter().map(u8::to_string).collect();
        let mut one_by_one = Vec::new();
        for text in &texts {
            item_type.encode(text.as_bytes(), &mut one_by_one).unwrap();
        }
        let mut all = Vec::new();
        item_type.encode_all(texts.iter().map(String::as_bytes), &mut all).unwrap();
        prop_assert_eq!(all, one_by_one);
    }

    #[test]
    fn no_text_panics(which in 0..NAMES.len(), text: Vec<u8>) {
        let item_type = item_type(NAMES[which]);
        let mut out = Vec::new();
        if let Err(error) = item_type.encode(&text, &mut out) {
            prop_assert!(!error.to_string().is_empty());
            prop_assert!(out.is_empty());
        } else {
            prop_assert_eq!(out.len(), item_type.size());
        }
        if let Err(error) = ItemType::parse(&text, Some(&text)) {
            prop_assert!(error.to_string().is_ascii());
        }
    }
}
