//! Aggregates of a range, computed one value after the other.

use crate::expected::Expected;
use crate::values::{Kind, Value};

pub const OPS: [&str; 10] = [
    "COUNT", "SUM", "MIN", "MAX", "AVG", "MEAN", "VAR", "STD", "ARGMIN", "ARGMAX",
];

/// Those that strings have.
pub const OPS_OF_TEXT: [&str; 5] = ["COUNT", "MIN", "MAX", "ARGMIN", "ARGMAX"];

/// One answer; `values` have their indices.
pub fn answer(
    kind: Kind,
    op: &str,
    values: impl Iterator<Item = (usize, Value)> + Clone,
    skip_nan: bool,
) -> Expected {
    let values = values.filter(|(_, value)| !(skip_nan && value.is_nan()));
    let nan = values.clone().find(|(_, value)| value.is_nan());
    let best = |least: bool| {
        nan.clone().or_else(|| {
            values.clone().reduce(|best, next| {
                let (one, other) = if least {
                    (&next.1, &best.1)
                } else {
                    (&best.1, &next.1)
                };
                if one.sorts_before(other) { next } else { best }
            })
        })
    };
    let or_nil = |answer: Option<Expected>| answer.unwrap_or(Expected::Nil);
    let index = |(index, _): (usize, Value)| Expected::Int(index as i128);
    let value = |(_, value): (usize, Value)| Expected::Equal(value);
    match op {
        "COUNT" => Expected::Int(values.count() as i128),
        "MIN" => or_nil(best(true).map(value)),
        "MAX" => or_nil(best(false).map(value)),
        "ARGMIN" => or_nil(best(true).map(index)),
        "ARGMAX" => or_nil(best(false).map(index)),
        _ if kind.is_integer() => of_integers(
            op,
            values.map(|(_, value)| match value {
                Value::Int(n) => n,
                other => panic!("{other:?}"),
            }),
        ),
        _ => {
            let values: Vec<f64> = values.map(|(_, value)| value.number()).collect();
            of_floats(kind, op, &values)
        }
    }
}

fn of_integers(op: &str, values: impl Iterator<Item = i128> + Clone) -> Expected {
    let (count, sum) = values.clone().fold((0, 0), |(n, sum), x| (n + 1, sum + x));
    if op == "SUM" {
        return Expected::Int(sum);
    }
    if count == 0 {
        return Expected::Nil;
    }
    // Relative to the mean, rounded, so that nothing is lost.
    let mean = sum.div_euclid(count);
    let rest = (sum - mean * count) as f64 / count as f64;
    let squares: f64 = values.map(|x| ((x - mean) as f64).powi(2)).sum();
    let squares = squares / count as f64;
    let variance = (squares - rest * rest).max(0.0);
    match op {
        // Of the sum, as the rounded mean and the rest may cancel each other out.
        "AVG" | "MEAN" => {
            let mean = sum as f64 / count as f64;
            Expected::Near(mean, mean.abs() * 1e-15)
        }
        "VAR" => Expected::Near(variance, squares * 1e-12),
        _ => Expected::Near(
            variance.sqrt(),
            variance.sqrt() * 1e-12 + squares.sqrt() * 1e-7,
        ),
    }
}

fn of_floats(kind: Kind, op: &str, values: &[f64]) -> Expected {
    if values.is_empty() {
        return if op == "SUM" {
            Expected::Near(0.0, 0.0)
        } else {
            Expected::Nil
        };
    }
    let count = values.len() as f64;
    let magnitude = values.iter().fold(0_f64, |most, x| most.max(x.abs()));
    if values.iter().any(|x| x.is_nan()) {
        return Expected::Near(f64::NAN, 0.0);
    }
    if magnitude.is_infinite() {
        return match op {
            "SUM" | "AVG" | "MEAN" => {
                Expected::Near(values.iter().filter(|x| x.is_infinite()).sum(), 0.0)
            }
            _ => Expected::Near(f64::NAN, 0.0),
        };
    }
    if magnitude > 1e150 {
        return Expected::Number;
    }
    let sum = exact_sum(values);
    // What is added in double precision is added exactly, or nearly so.
    let lost = if kind == Kind::Float { 1e-13 } else { 1e-28 };
    let tolerance = magnitude * count * lost + f64::MIN_POSITIVE;
    let mean = sum / count;
    match op {
        "SUM" => Expected::Near(sum, sum.abs() * 3e-16 + tolerance),
        "AVG" | "MEAN" => Expected::Near(mean, mean.abs() * 5e-16 + tolerance),
        _ => {
            let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
            let variance = squares / count;
            let tolerance = variance * 1e-9 + magnitude * magnitude * 1e-14;
            match op {
                "VAR" => Expected::Near(variance, tolerance),
                _ => Expected::Near(variance.sqrt(), variance.sqrt() * 1e-9 + magnitude * 1e-7),
            }
        }
    }
}

/// Shewchuk's, as in Python's `math.fsum`: rounded once, to within one unit of the last place.
fn exact_sum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for &value in values {
        let mut x = value;
        let mut kept = 0;
        for i in 0..partials.len() {
            let mut y = partials[i];
            if x.abs() < y.abs() {
                std::mem::swap(&mut x, &mut y);
            }
            let high = x + y;
            let low = y - (high - x);
            if low != 0.0 {
                partials[kept] = low;
                kept += 1;
            }
            x = high;
        }
        partials.truncate(kept);
        partials.push(x);
    }
    partials.iter().sum()
}
