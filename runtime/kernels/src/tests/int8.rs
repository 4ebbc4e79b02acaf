//! int8 GEMM.

use super::{Numbers, assert_close, for_each, linear, up_to};
use crate::gemm::int8::micro_kernel::{Int8Kernel, Panel, SUMS_MAX};
use crate::gemm::int8::rotation::{BLOCK, SQUARED_LENGTH};
use crate::gemm::int8::{A_MAX, DEPTH_MAX, Int8Matrix, MAGNITUDES_MAX, padded};
use crate::{Activation, Epilogue, Isa, Order, Sequential, Weights};
use std::ops::{Add, Sub};

/// Every micro-kernel that each instruction set has.
fn kernels() -> impl Iterator<Item = (Isa, Int8Kernel)> {
    let kernels = |isa| Int8Kernel::all(isa).into_iter().map(move |it| (isa, it));
    Isa::all().into_iter().flat_map(kernels)
}

fn multiplied(
    kernel: (Isa, Int8Kernel),
    a: &[f32],
    b: &[f32],
    shape: (usize, usize),
    bias: &[f32],
) -> Vec<f32> {
    smoothed(kernel, a, None, b, shape, bias)
}

fn smoothed(
    (isa, kernel): (Isa, Int8Kernel),
    a: &[f32],
    smoothing: Option<&[f32]>,
    b: &[f32],
    shape: (usize, usize),
    bias: &[f32],
) -> Vec<f32> {
    let b = Int8Matrix::new_for((isa, kernel), b, shape, Order::Rows).unwrap();
    let mut padded = bias.to_vec();
    padded.resize(b.padded_columns(), 0.0);
    let epilogue = Epilogue {
        bias: &padded,
        activation: Activation::None,
    };
    let mut c = vec![f32::NAN; a.len() / shape.0 * shape.1];
    let b = Weights::Int8 {
        matrix: &b,
        smoothing,
    };
    linear(isa, &Sequential, a, b, epilogue, &mut c).unwrap();
    c
}

/// Values of a row of A or a column of B in whole blocks, rotated as the kernels do: by the Kronecker product of
/// three times a matrix of four rows, from the nearest values to the farthest.
fn rotated<T>(values: impl Iterator<Item = T>) -> Vec<T>
where
    T: Copy + Default + Add<Output = T> + Sub<Output = T>,
{
    let mut values: Vec<T> = values.collect();
    values.resize(padded(values.len()), T::default());
    for distance in [1, 4, 16] {
        for first in (0..values.len()).filter(|it| it / distance % 4 == 0) {
            let places = [0, 1, 2, 3].map(|it| first + it * distance);
            let [a, b, c, d] = places.map(|it| values[it]);
            values[places[0]] = a + b + (c - d);
            values[places[1]] = a - b + (c + d);
            values[places[2]] = a + b - (c - d);
            values[places[3]] = a - b - (c + d);
        }
    }
    values
}

/// What the largest magnitude, and those of four numbers whose products are added up in 16 bits, ask for.
fn scale_of_column(column: &[f32]) -> f32 {
    let largest = column.iter().map(|it| it.abs() / 127.0).fold(0.0, f32::max);
    let fours = column.chunks(8).flat_map(|eight| {
        let of = |first: usize| {
            let [a, b, c, d] = [0, 1, 4, 5].map(|it| eight[first + it].abs());
            (a + b + (c + d)) / 256.0
        };
        [of(0), of(2)]
    });
    fours.fold(largest, f32::max)
}

/// To the bit what the plainest way gives; and off from the product of the floats by what
/// rounding to steps of `s_b` and `s_a = (largest − least) / 126` of both factors as they are rotated, the least
/// and largest of a row and zero, can do: `Σ (|a| · s_b + |b| · s_a) / 2 + depth · s_a · s_b / 4`.
#[test]
fn sums_are_exact_and_within_their_steps() {
    let shapes = (
        1..up_to(30).end,
        1..up_to(200).end,
        1..up_to(70).end,
        0..u64::MAX,
    );
    for_each(&shapes, |(rows, depth, columns, seed)| {
        let mut numbers = Numbers::of(seed);
        let (a, b) = (numbers.vec(rows * depth), numbers.vec(depth * columns));
        let bias = numbers.vec(columns);
        let of_columns = (0..columns).map(|it| rotated(column_of(&b, columns, it)));
        let of_columns: Vec<Vec<f32>> = of_columns.collect();
        for kernel in kernels() {
            let c = multiplied(kernel, &a, &b, (depth, columns), &bias);
            for (place, value) in c.iter().enumerate() {
                let (row, column) = (&a[place / columns * depth..][..depth], place % columns);
                let exact = row.iter().zip(column_of(&b, columns, column));
                let exact = exact
                    .map(|(a, b)| f64::from(*a) * f64::from(b))
                    .sum::<f64>();
                let (row, of_column) = (rotated(row.iter().copied()), &of_columns[column]);
                let least = row.iter().fold(0.0f32, |least, it| least.min(*it));
                let largest = row.iter().fold(0.0f32, |largest, it| largest.max(*it));
                let (of_row, scale) = (largest - least, scale_of_column(of_column));
                let zero_point = (-least * (126.0 / of_row)).round_ties_even();
                let of_a = |value: f32| {
                    let steps = f64::from(value * (126.0 / of_row)) + f64::from(zero_point);
                    #[allow(clippy::cast_possible_truncation, reason = "a small integer")]
                    let number = steps.round_ties_even() as f32;
                    number
                };
                let of_b = |value: f32| (value * (1.0 / scale)).round_ties_even();
                assert!(row.iter().all(|it| (0.0..=127.0).contains(&of_a(*it))));
                assert!(of_column.iter().all(|it| of_b(*it).abs() <= 127.0));
                let terms = || row.iter().zip(of_column);
                let products = terms().map(|(a, b)| (of_a(*a) - zero_point) * of_b(*b));
                let sum: f32 = products.sum();
                let expected = sum * (of_row / 126.0 * (scale / 64.0)) + bias[column];
                let what = || format!("{kernel:?} {rows} × {depth} × {columns} at {place}");
                assert_eq!(value.to_bits(), expected.to_bits(), "{}", what());

                let steps = [of_row / 126.0, scale].map(f64::from);
                let halves = terms().map(|(a, b)| {
                    let [a, b] = [a, b].map(|it| f64::from(it.abs()));
                    (a * steps[1] + b * steps[0]) / 2.0 + steps[0] * steps[1] / 4.0
                });
                let bound = 1.001 * halves.sum::<f64>() / 64.0 + 1e-5;
                assert_close(&what, *value, exact + f64::from(bias[column]), bound);
            }
        }
    });
}

fn column_of(b: &[f32], columns: usize, column: usize) -> impl Iterator<Item = f32> {
    b.iter().skip(column).step_by(columns).copied()
}

/// A rotation leaves products as they are, and values of the same magnitude where there was one, or one for all.
#[test]
fn a_rotation_spreads_what_is_large() {
    let mut numbers = Numbers::of(7);
    let [a, b] = [0; 2].map(|_| {
        (0..128)
            .map(|_| f64::from(numbers.next()))
            .collect::<Vec<_>>()
    });
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let of_rotated = product(&rotated(a.iter().copied()), &rotated(b.iter().copied()));
    assert!((of_rotated / f64::from(SQUARED_LENGTH) - product(&a, &b)).abs() < 1e-9);
    for place in 0..BLOCK {
        let one = (0..BLOCK).map(|it| if it == place { 1.0 } else { 0.0 });
        assert!(
            rotated(one).iter().all(|it: &f64| it.abs() == 1.0),
            "{place}"
        );
    }
    let all = rotated([1.0f64; BLOCK].into_iter());
    assert!(all.iter().all(|it| it.abs() == 8.0), "{all:?}");
}

/// The largest numbers that there can be, in each place of a word: what AVX2 adds up in 16 bits is nearly
/// all of them, and of either sign.
#[test]
fn micro_kernels_add_up_the_largest_numbers() {
    for (_, kernel) in kernels() {
        let (depth, numbers) = (2 * BLOCK, kernel.packing().numbers());
        let rows = kernel.rows();
        let size = 32 / numbers;
        let word = (0..numbers).fold(0u32, |word, it| word | 127 << (it * size));
        let words = vec![word; rows * kernel.words(depth)];
        for (first, second) in [
            (127i32, 2i32),
            (-127, -2),
            (-127, 127),
            (64, 65),
            (-65, -64),
        ] {
            assert!(first + second == 0 || (2 * (first + second)).abs() == MAGNITUDES_MAX);
            // Word after word, and within it column after column, in pairs.
            let pair = [first, second].map(|it| i8::try_from(it).unwrap().cast_unsigned());
            let bytes = pair.repeat(kernel.panel_bytes(depth) / 2);
            let panel = Panel {
                bytes: &bytes,
                next: &[],
            };
            let mut sums = [i32::MIN; SUMS_MAX];
            kernel.multiply(&words, panel, rows, &mut sums);
            let expected = A_MAX * (first + second) * i32::try_from(depth / 2).unwrap();
            let sums = &sums[..rows * kernel.columns()];
            assert!(
                sums.iter().all(|it| *it == expected),
                "{kernel:?} {first} {second}"
            );
        }
    }
}

#[test]
fn a_row_depends_on_itself_alone() {
    let shapes = (2..40usize, 1..30usize, 1..40usize, 0..u64::MAX);
    for_each(&shapes, |(rows, depth, columns, seed)| {
        let mut numbers = Numbers::of(seed);
        let (mut a, b) = (numbers.vec(rows * depth), numbers.vec(depth * columns));
        let bias = numbers.vec(columns);
        a[0] = f32::NAN;
        for kernel in kernels() {
            let all = multiplied(kernel, &a, &b, (depth, columns), &bias);
            for (row, a) in a.chunks(depth).enumerate().skip(1) {
                let alone = multiplied(kernel, a, &b, (depth, columns), &bias);
                assert_eq!(
                    alone,
                    all[row * columns..][..columns],
                    "{kernel:?}: row {row}"
                );
            }
        }
    });
}

#[test]
fn zeros_tiny_values_nan_and_infinity() {
    for kernel in kernels() {
        let product = |input: &[f32]| multiplied(kernel, input, &[1.0, -1.0], (2, 1), &[0.25]);
        for input in [[0.0, 0.0], [1e-38, 0.0], [f32::MIN_POSITIVE / 8.0, 0.0]] {
            assert!((product(&input)[0] - 0.25).abs() < 1e-6, "{input:?}");
        }
        assert!(product(&[f32::NAN, 1.0])[0].is_nan());
        assert!(!product(&[f32::INFINITY, 1.0])[0].is_finite());
    }
}

#[test]
fn sums_that_could_overflow_are_refused() {
    for kernel in kernels() {
        let matrix = |depth: usize| {
            let values = vec![1.0; depth];
            Int8Matrix::new_for(kernel, &values, (depth, 1), Order::Columns)
        };
        assert!(matrix(DEPTH_MAX + 1).is_err());
        if cfg!(miri) {
            continue;
        }
        // The largest there are, on both sides of the limit.
        let b = matrix(DEPTH_MAX).unwrap();
        let bias = vec![0.0; b.padded_columns()];
        let epilogue = Epilogue {
            bias: &bias,
            activation: Activation::None,
        };
        let weights = Weights::Int8 {
            matrix: &b,
            smoothing: None,
        };
        for sign in [1.0, -1.0] {
            let (a, mut c) = (vec![sign; DEPTH_MAX], [0.0]);
            linear(kernel.0, &Sequential, &a, weights, epilogue, &mut c).unwrap();
            assert_close(
                &|| format!("{kernel:?}"),
                c[0],
                f64::from(sign) * 65_536.0,
                0.02,
            );
        }
    }
}

/// Powers of two change no number that is rounded, only which are the largest of a row.
#[test]
fn smoothed_columns_are_those_multiplied_before() {
    let shapes = (1..20usize, 1..30usize, 1..40usize, 0..u64::MAX);
    for_each(&shapes, |(rows, depth, columns, seed)| {
        let mut numbers = Numbers::of(seed);
        let (a, b) = (numbers.vec(rows * depth), numbers.vec(depth * columns));
        let bias = numbers.vec(columns);
        let factors: Vec<f32> = (0..depth).map(|it| [0.25, 1.0, 8.0][it % 3]).collect();
        let of_rows = a.chunks_exact(depth);
        let products = of_rows.flat_map(|row| row.iter().zip(&factors).map(|(a, f)| a * f));
        let products: Vec<f32> = products.collect();
        for kernel in kernels() {
            let shape = (depth, columns);
            let smoothed = smoothed(kernel, &a, Some(&factors), &b, shape, &bias);
            assert_eq!(smoothed, multiplied(kernel, &products, &b, shape, &bias));
        }
    });
}

#[test]
fn factors_that_are_too_few_are_refused() {
    let matrix = Int8Matrix::new(Isa::in_use(), &[1.0; 8], (4, 2), Order::Rows).unwrap();
    let bias = vec![0.0; matrix.padded_columns()];
    let epilogue = Epilogue {
        bias: &bias,
        activation: Activation::None,
    };
    for count in [3, 5] {
        let weights = Weights::Int8 {
            matrix: &matrix,
            smoothing: Some(&vec![1.0; count]),
        };
        let mut c = [0.0; 2];
        let (isa, a) = (Isa::in_use(), [1.0; 4]);
        assert!(linear(isa, &Sequential, &a, weights, epilogue, &mut c).is_err());
    }
}
