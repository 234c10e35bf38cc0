//! The answers against the plainest calculation, however the values were divided.

use proptest::prelude::*;

use crate::storage::questions::aggregate::*;

const EVERYTHING: [Op; 9] = [
    Op::Count,
    Op::Sum,
    Op::Min,
    Op::Max,
    Op::Avg,
    Op::Var,
    Op::Std,
    Op::ArgMin,
    Op::ArgMax,
];

fn item(name: &str) -> ItemType {
    ItemType::parse(name.as_bytes(), None).unwrap()
}

/// The answers to everything, taken in as parts that end at `cuts`, each in a partial of its own.
fn ask<T: bytemuck::Pod>(name: &str, xs: &[T], cuts: &[usize], skip_nan: bool) -> Vec<Answer> {
    ask_for(&EVERYTHING, name, xs, cuts, skip_nan)
}

fn ask_for<T: bytemuck::Pod>(
    ops: &[Op],
    name: &str,
    xs: &[T],
    cuts: &[usize],
    skip_nan: bool,
) -> Vec<Answer> {
    let question = Question::new(item(name), ops.to_vec(), skip_nan);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (xs.len() + 1)).collect();
    ends.extend([0, xs.len()]);
    ends.sort_unstable();
    let mut whole = Partial::default();
    for pair in ends.windows(2) {
        let mut part = Partial::default();
        let values = bytemuck::cast_slice(&xs[pair[0]..pair[1]]);
        question.take_in(&mut part, 100 + pair[0] as u64, values);
        question.merge(&mut whole, part);
    }
    question.answers(&whole)
}

fn double(answer: &Answer) -> f64 {
    match answer {
        Answer::Double(value) => *value,
        Answer::Item(bytes) => f64::from_le_bytes(bytes[..].try_into().unwrap()),
        other => panic!("{other:?} is no double"),
    }
}

fn doubles() -> impl Strategy<Value = Vec<f64>> {
    let number = prop_oneof![
        20 => -1e6..1e6,
        1 => Just(f64::NAN),
        1 => Just(0.0),
    ];
    prop::collection::vec(number, 1..200)
}

/// Sums that are asked for alone are added up without what else is kept; the answers are the same, and so are NaN, -0 and nothing.
fn sums_are_those_beside_others<T: bytemuck::Pod>(
    name: &str,
    xs: &[T],
    cuts: &[usize],
) -> Result<(), TestCaseError> {
    const SUMS: [Op; 3] = [Op::Count, Op::Sum, Op::Avg];
    let bits = |answer: &Answer| match answer {
        Answer::Double(x) if !x.is_nan() => format!("{:x}", x.to_bits()),
        other => format!("{other:?}"),
    };
    for skip_nan in [false, true] {
        let alone = ask_for(&SUMS, name, xs, cuts, skip_nan);
        let all = ask(name, xs, cuts, skip_nan);
        let beside = [&all[0], &all[1], &all[4]].map(bits);
        prop_assert_eq!(alone.iter().map(bits).collect::<Vec<_>>(), beside);
    }
    Ok(())
}

proptest! {
    #[test]
    fn sums_alone_are_those_beside_others(
        xs in prop::collection::vec(prop_oneof![4 => -1e6..1e6, 1 => Just(-0.0), 1 => Just(f64::NAN)], 0..200),
        numbers in doubles(),
        integers in prop::collection::vec(any::<i32>(), 0..200),
        cuts: [usize; 4],
    ) {
        let floats: Vec<f32> = xs.iter().map(|&x| x as f32).collect();
        sums_are_those_beside_others("double", &xs, &cuts)?;
        sums_are_those_beside_others("double", &numbers, &cuts)?;
        sums_are_those_beside_others("float", &floats, &cuts)?;
        sums_are_those_beside_others("int32", &integers, &cuts)?;
    }

    #[test]
    fn integers_are_exact(xs in prop::collection::vec(any::<i64>(), 1..200), cuts: [usize; 4]) {
        let answers = ask("int64", &xs, &cuts, false);
        let (least, greatest) = (xs.iter().min().unwrap(), xs.iter().max().unwrap());
        let at = |value| xs.iter().position(|x| x == value).unwrap() as u64 + 100;
        prop_assert_eq!(&answers[0], &Answer::Count(xs.len() as u64));
        prop_assert_eq!(&answers[1], &Answer::Integer(xs.iter().map(|&x| i128::from(x)).sum()));
        prop_assert_eq!(&answers[2], &Answer::Item(least.to_le_bytes().into()));
        prop_assert_eq!(&answers[3], &Answer::Item(greatest.to_le_bytes().into()));
        prop_assert_eq!(&answers[7], &Answer::Count(at(least)));
        prop_assert_eq!(&answers[8], &Answer::Count(at(greatest)));
    }

    #[test]
    fn doubles_without_nan_are_those_of_a_plain_loop(xs in doubles(), cuts: [usize; 4]) {
        let numbers: Vec<f64> = xs.iter().copied().filter(|x| !x.is_nan()).collect();
        prop_assume!(!numbers.is_empty());
        let answers = ask("double", &xs, &cuts, true);
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let near = |answer: &Answer, expected: f64, scale: f64| {
            (double(answer) - expected).abs() <= 1e-12 * scale
        };
        prop_assert_eq!(&answers[0], &Answer::Count(numbers.len() as u64));
        prop_assert!(near(&answers[4], mean, 1e6), "mean {:?} {}", answers[4], mean);
        prop_assert!(near(&answers[5], variance, 1e12), "variance {:?} {}", answers[5], variance);
        let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        prop_assert_eq!(&answers[2], &Answer::Item(least.to_le_bytes().into()));
        let at = xs.iter().position(|&x| x == least).unwrap() as u64 + 100;
        prop_assert_eq!(&answers[7], &Answer::Count(at));
    }

    #[test]
    fn a_nan_prevails_unless_skipped(mut xs in doubles(), at: usize, cuts: [usize; 4]) {
        let at = at % xs.len();
        xs[at] = f64::NAN;
        let first = xs.iter().position(|x| x.is_nan()).unwrap() as u64 + 100;
        let answers = ask("double", &xs, &cuts, false);
        prop_assert_eq!(&answers[0], &Answer::Count(xs.len() as u64));
        for answer in &answers[1..7] {
            prop_assert!(double(answer).is_nan(), "{:?}", answer);
        }
        prop_assert_eq!(&answers[7..], &[Answer::Count(first), Answer::Count(first)]);
    }

    /// The sum is the same to the last bit, whatever threads did which part.
    #[test]
    fn a_sum_does_not_show_how_it_was_divided(xs in doubles(), cuts: [usize; 4], others: [usize; 4]) {
        let bits = |cuts: &[usize]| double(&ask("double", &xs, cuts, true)[1]).to_bits();
        prop_assert_eq!(bits(&cuts), bits(&others));
    }
}

#[test]
fn the_variance_of_integers_is_exact() {
    let xs: Vec<i64> = (0..5).map(|i| (1 << 53) + i).collect();
    let answers = ask("int64", &xs, &[1, 3], false);
    assert_eq!(double(&answers[4]), 9_007_199_254_740_994.0);
    assert_eq!(double(&answers[5]), 2.0);
    assert_eq!(double(&answers[6]), 2_f64.sqrt());
    let ends = ask("uint64", &[0, u64::MAX], &[1], false);
    assert_eq!(double(&ends[5]), 8.507059173023462e37);
    let bytes: Vec<i8> = (-128..=127).collect();
    assert_eq!(double(&ask("int8", &bytes, &[100], false)[5]), 5461.25);
    let words = [i32::MIN, i32::MAX, 0];
    assert_eq!(
        double(&ask("int32", &words, &[2], false)[5]),
        3.074457344186603e18
    );
}

/// `MIN` is replied with as `VGET` replies with the value.
#[test]
fn a_nan_is_a_value_of_the_type() {
    let sizes = |answers: Vec<Answer>| match &answers[2] {
        Answer::Item(bytes) => bytes.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(sizes(ask("float", &[f32::NAN], &[], false)), 4);
    assert_eq!(sizes(ask("double", &[f64::NAN], &[], false)), 8);
    let nan: [u128; 1] = [0x7fff << 64 | 3 << 62];
    assert_eq!(sizes(ask("long_double", &nan, &[], false)), 16);
}

#[test]
fn nothing_has_a_count_and_a_sum_only() {
    let no_doubles: [f64; 0] = [];
    let answers = ask("double", &no_doubles, &[], false);
    assert_eq!(answers[..2], [Answer::Count(0), Answer::Double(0.0)]);
    assert!(answers[2..].iter().all(|answer| *answer == Answer::Nothing));
    let answers = ask("double", &[f64::NAN], &[], true);
    assert_eq!(answers[..2], [Answer::Count(0), Answer::Double(0.0)]);
    assert!(answers[2..].iter().all(|answer| *answer == Answer::Nothing));
}

#[test]
fn the_variance_of_equal_values_is_next_to_zero() {
    let variance = double(&ask("double", &[0.1; 100], &[3, 50], false)[5]);
    assert!((0.0..1e-33).contains(&variance), "{variance}");
}

#[test]
fn small_differences_far_from_zero_keep_their_variance() {
    let xs: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i % 2)).collect();
    let variance = double(&ask("double", &xs, &[17, 400, 401, 999], false)[5]);
    assert!((variance - 0.25).abs() < 1e-15, "{variance}");
    let xs: Vec<i64> = (0..1000).map(|i| (1 << 50) + i % 2).collect();
    let variance = double(&ask("int64", &xs, &[17, 400, 401, 999], false)[5]);
    assert!((variance - 0.25).abs() < 1e-15, "{variance}");
}

#[test]
fn strings_are_compared_and_not_added() {
    let item = ItemType::parse(b"string", Some(b"3")).unwrap();
    for (_, op) in Op::ALL {
        let is_sum = matches!(op, Op::Sum | Op::Avg | Op::Var | Op::Std);
        assert_eq!(op.is_possible(item.kind()), !is_sum, "{op:?}");
    }
    let ops = vec![Op::Count, Op::Min, Op::Max, Op::ArgMin, Op::ArgMax];
    let question = Question::new(item, ops, false);
    let mut partial = Partial::default();
    question.take_in(&mut partial, 0, b"bb\0zz\0");
    question.take_in(&mut partial, 2, b"a\0\0zz\0a\0\0");
    let text = |bytes: &[u8]| Answer::Item(bytes.into());
    let expected = [
        Answer::Count(5),
        text(b"a\0\0"),
        text(b"zz\0"),
        Answer::Count(2),
        Answer::Count(1),
    ];
    assert_eq!(question.answers(&partial), expected);
}
