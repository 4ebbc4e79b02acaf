//! int8 GEMM.

use super::{Numbers, assert_close, for_each, linear, up_to};
use crate::gemm::int8::micro_kernel::Int8Kernel;
use crate::gemm::int8::{DEPTH_MAX, Int8Matrix};
use crate::{Activation, Epilogue, Isa, Order, Sequential, Weights};

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
    let b = Int8Matrix::new_for(kernel, b, shape, Order::Rows).unwrap();
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

fn magnitude<'a>(values: impl Iterator<Item = &'a f32>) -> f32 {
    values.fold(0.0f32, |largest, value| largest.max(value.abs()))
}

/// To the bit what the plainest way gives; and off from the product of the floats by what
/// rounding to steps of `s_b = magnitude / 127` and `s_a = (largest − least) / 253`, the least
/// and largest of a row and zero, can do: `Σ (|a| · s_b + |b| · s_a) / 2 + depth · s_a · s_b / 4`.
#[test]
fn sums_are_exact_and_within_their_steps() {
    let shapes = (
        1..up_to(30).end,
        1..up_to(140).end,
        1..up_to(70).end,
        0..u64::MAX,
    );
    for_each(&shapes, |(rows, depth, columns, seed)| {
        let mut numbers = Numbers::of(seed);
        let (a, b) = (numbers.vec(rows * depth), numbers.vec(depth * columns));
        let bias = numbers.vec(columns);
        let of_columns: Vec<f32> = (0..columns)
            .map(|column| magnitude(b.iter().skip(column).step_by(columns)))
            .collect();
        for kernel in kernels() {
            let c = multiplied(kernel, &a, &b, (depth, columns), &bias);
            for (place, value) in c.iter().enumerate() {
                let (row, column) = (&a[place / columns * depth..][..depth], place % columns);
                let least = row.iter().fold(0.0f32, |least, it| least.min(*it));
                let largest = row.iter().fold(0.0f32, |largest, it| largest.max(*it));
                let (of_row, of_column) = (largest - least, of_columns[column]);
                let zero_point = (-126.5 - least * (253.0 / of_row)).round_ties_even();
                let of_a = |value: f32| {
                    let steps = f64::from(value * (253.0 / of_row)) + f64::from(zero_point);
                    #[allow(clippy::cast_possible_truncation, reason = "a small integer")]
                    let number = steps.round_ties_even() as f32;
                    number
                };
                let of_b = |value: f32| (value * (127.0 / of_column)).round_ties_even();
                assert!(row.iter().all(|it| of_a(*it).abs() <= 127.0));
                let terms = row.iter().zip(b.iter().skip(column).step_by(columns));
                let products = terms
                    .clone()
                    .map(|(a, b)| (of_a(*a) - zero_point) * of_b(*b));
                let sum: f32 = products.sum();
                let expected = sum * (of_row / 253.0 * (of_column / 127.0)) + bias[column];
                let what = || format!("{kernel:?} {rows} × {depth} × {columns} at {place}");
                assert_eq!(value.to_bits(), expected.to_bits(), "{}", what());

                let steps = [of_row / 253.0, of_column / 127.0].map(f64::from);
                let exact = terms.clone().map(|(a, b)| f64::from(*a) * f64::from(*b));
                let exact = exact.sum::<f64>() + f64::from(bias[column]);
                let halves = terms.map(|(a, b)| {
                    let [a, b] = [a, b].map(|it| f64::from(it.abs()));
                    (a * steps[1] + b * steps[0]) / 2.0 + steps[0] * steps[1] / 4.0
                });
                assert_close(&what, *value, exact, 1.001 * halves.sum::<f64>() + 1e-6);
            }
        }
    });
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
            Int8Matrix::new_for(kernel.1, &values, (depth, 1), Order::Columns)
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
