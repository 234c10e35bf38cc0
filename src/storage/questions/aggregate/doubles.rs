//! The loops over doubles, in vectors: the compiler makes none of additions that depend on each other.
//!
//! [`LANES`] values are worked on side by side, in as many vectors as that takes on the CPU, so that results are the same
//! everywhere.

use pulp::Simd;

use crate::storage::questions::aggregate::kernel::LANES;
use crate::storage::questions::aggregate::sum::Sum;

/// Has a loop, which is generic over the number of vectors that [`LANES`] values take, compiled for the one of `S`.
macro_rules! in_vectors {
    ($simd:ident, $function:ident::<$kind:ident $(, $option:ident)*>($($argument:expr),*)) => {
        match $kind::F64_LANES {
            8 => $function::<$kind, 2 $(, $option)*>($simd, $($argument),*),
            4 => $function::<$kind, 4 $(, $option)*>($simd, $($argument),*),
            2 => $function::<$kind, 8 $(, $option)*>($simd, $($argument),*),
            _ => $function::<$kind, LANES $(, $option)*>($simd, $($argument),*),
        }
    };
}

/// The sum, with NaN as 0 if `SKIP_NAN`.
#[inline(always)]
pub fn total<S: Simd, const SKIP_NAN: bool>(simd: S, xs: &[f64]) -> Sum {
    in_vectors!(simd, total_in::<S, SKIP_NAN>(xs))
}

/// The sums of the distances from `mean` and of their squares. NaN has none if `SKIP_NAN`.
#[inline(always)]
pub fn deviation<S: Simd, const SKIP_NAN: bool>(simd: S, xs: &[f64], mean: f64) -> (f64, f64) {
    in_vectors!(simd, deviation_in::<S, SKIP_NAN>(xs, mean))
}

/// The least and the greatest value: infinities of the wrong sign if there are none, nothing if there is a NaN.
#[inline(always)]
pub fn extremes<S: Simd>(simd: S, xs: &[f64]) -> Option<(f64, f64)> {
    in_vectors!(simd, extremes_in::<S>(xs))
}

/// Values side by side.
type Row<S, const VECTORS: usize> = [<S as Simd>::f64s; VECTORS];

/// The rows of `xs`, and what is left.
#[inline(always)]
fn rows<S: Simd, const VECTORS: usize>(xs: &[f64]) -> (&[Row<S, VECTORS>], &[f64]) {
    let (whole, rest) = xs.split_at(xs.len() - xs.len() % LANES);
    (S::as_simd_f64s(whole).0.as_chunks().0, rest)
}

#[inline(always)]
fn lanes<S: Simd>(row: &[S::f64s]) -> &[f64] {
    bytemuck::cast_slice(row)
}

/// The vector, with `instead` in place of NaN if `SKIP_NAN`.
#[inline(always)]
fn numbers<S: Simd, const SKIP_NAN: bool>(simd: S, x: S::f64s, instead: S::f64s) -> S::f64s {
    if SKIP_NAN {
        simd.select_f64s(simd.equal_f64s(x, x), x, instead)
    } else {
        x
    }
}

/// [`two_sum`](crate::storage::questions::aggregate::sum::two_sum) of each lane.
#[inline(always)]
fn two_sum<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> (S::f64s, S::f64s) {
    let sum = simd.add_f64s(a, b);
    let of_b = simd.sub_f64s(sum, a);
    let error_of_a = simd.sub_f64s(a, simd.sub_f64s(sum, of_b));
    (sum, simd.add_f64s(error_of_a, simd.sub_f64s(b, of_b)))
}

#[inline(always)]
fn total_in<S: Simd, const VECTORS: usize, const SKIP_NAN: bool>(simd: S, xs: &[f64]) -> Sum {
    let zero = simd.splat_f64s(0.0);
    let (mut high, mut low) = ([zero; VECTORS], [zero; VECTORS]);
    let (rows, rest) = rows::<S, VECTORS>(xs);
    for row in rows {
        for i in 0..VECTORS {
            let x = numbers::<S, SKIP_NAN>(simd, row[i], zero);
            let (sum, error) = two_sum(simd, high[i], x);
            high[i] = sum;
            low[i] = simd.add_f64s(low[i], error);
        }
    }
    // The halves of the lanes come together, and the halves of those: vectors as long as there are several. What is referred to as
    // memory is made after the loop, or the compiler would store it in each turn.
    let mut half = VECTORS / 2;
    while half > 0 {
        for i in 0..half {
            let (sum, error) = two_sum(simd, high[i], high[i + half]);
            high[i] = sum;
            low[i] = simd.add_f64s(simd.add_f64s(low[i], error), low[i + half]);
        }
        half /= 2;
    }
    let mut lanes_left = [Sum::default(); LANES];
    let (high, low) = ([high[0]], [low[0]]);
    let lanes = lanes::<S>(&high).iter().zip(lanes::<S>(&low));
    for (left, (&high, &low)) in lanes_left.iter_mut().zip(lanes) {
        *left = Sum::new(high, low);
    }
    let mut half = S::F64_LANES / 2;
    while half > 0 {
        for i in 0..half {
            let other = lanes_left[i + half];
            lanes_left[i].merge(other);
        }
        half /= 2;
    }
    let mut sum = lanes_left[0];
    for &x in rest {
        sum.add(if SKIP_NAN && x.is_nan() { 0.0 } else { x });
    }
    sum
}

#[inline(always)]
fn deviation_in<S: Simd, const VECTORS: usize, const SKIP_NAN: bool>(
    simd: S,
    xs: &[f64],
    mean: f64,
) -> (f64, f64) {
    let (zero, means) = (simd.splat_f64s(0.0), simd.splat_f64s(mean));
    let (mut distances, mut squares) = ([zero; VECTORS], [zero; VECTORS]);
    let (rows, rest) = rows::<S, VECTORS>(xs);
    for row in rows {
        for i in 0..VECTORS {
            let distance = simd.sub_f64s(numbers::<S, SKIP_NAN>(simd, row[i], means), means);
            distances[i] = simd.add_f64s(distances[i], distance);
            squares[i] = simd.add_f64s(squares[i], simd.mul_f64s(distance, distance));
        }
    }
    let (mut distance_sum, mut square_sum) = (0.0, 0.0);
    for &x in rest {
        let distance = if SKIP_NAN && x.is_nan() {
            0.0
        } else {
            x - mean
        };
        distance_sum += distance;
        square_sum += distance * distance;
    }
    for (distance, square) in lanes::<S>(&distances).iter().zip(lanes::<S>(&squares)) {
        distance_sum += distance;
        square_sum += square;
    }
    (distance_sum, square_sum)
}

#[inline(always)]
fn extremes_in<S: Simd, const VECTORS: usize>(simd: S, xs: &[f64]) -> Option<(f64, f64)> {
    let (zero, infinity) = (simd.splat_f64s(0.0), simd.splat_f64s(f64::INFINITY));
    let (mut least, mut greatest) = ([infinity; VECTORS], [simd.neg_f64s(infinity); VECTORS]);
    let mut are_numbers = [simd.equal_f64s(zero, zero); VECTORS];
    let (rows, rest) = rows::<S, VECTORS>(xs);
    for row in rows {
        for i in 0..VECTORS {
            let x = row[i];
            // What these make of NaN differs from one CPU to the next.
            least[i] = simd.min_f64s(least[i], x);
            greatest[i] = simd.max_f64s(greatest[i], x);
            are_numbers[i] = simd.and_m64s(are_numbers[i], simd.equal_f64s(x, x));
        }
    }
    for i in 1..VECTORS {
        least[0] = simd.min_f64s(least[0], least[i]);
        greatest[0] = simd.max_f64s(greatest[0], greatest[i]);
        are_numbers[0] = simd.and_m64s(are_numbers[0], are_numbers[i]);
    }
    let zeros = simd.select_f64s(are_numbers[0], zero, infinity);
    if lanes::<S>(&[zeros]).iter().any(|&x| x != 0.0) || rest.iter().any(|x| x.is_nan()) {
        return None;
    }
    let rows = (
        simd.reduce_min_f64s(least[0]),
        simd.reduce_max_f64s(greatest[0]),
    );
    let fold = |(least, greatest): (f64, f64), &x: &f64| (x.min(least), x.max(greatest));
    Some(rest.iter().fold(rows, fold))
}
