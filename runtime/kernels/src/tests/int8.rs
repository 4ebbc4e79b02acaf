//! int8 GEMM.

use super::{Numbers, assert_close, for_each, up_to};
use crate::gemm::int8::micro_kernel::Int8Kernel;
use crate::gemm::int8::{DEPTH_MAX, Int8Matrix};
use crate::{Activation, Epilogue, Isa, Order, Sequential, Weights, linear};

/// Every micro-kernel that each instruction set has.
fn kernels() -> impl Iterator<Item = (Isa, Int8Kernel)> {
    let kernels = |isa| Int8Kernel::all(isa).into_iter().map(move |it| (isa, it));
    Isa::all().into_iter().flat_map(kernels)
}

fn multiplied(
    (isa, kernel): (Isa, Int8Kernel),
    a: &[f32],
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
    linear(isa, &Sequential, a, Weights::Int8(&b), epilogue, &mut c).unwrap();
    c
}

fn magnitude<'a>(values: impl Iterator<Item = &'a f32>) -> f32 {
    values.fold(0.0f32, |largest, value| largest.max(value.abs()))
}

/// To the bit what the plainest way gives; and off from the product of the floats by what
/// rounding to steps of `s = magnitude / 127` can do:
/// `Σ (|a| · s_b + |b| · s_a) / 2 + depth · s_a · s_b / 4`.
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
                let (of_row, of_column) = (magnitude(row.iter()), of_columns[column]);
                let quantised =
                    |value: f32, largest: f32| (value * (127.0 / largest)).round_ties_even();
                let terms = row.iter().zip(b.iter().skip(column).step_by(columns));
                let sum: f32 = terms
                    .clone()
                    .map(|(a, b)| quantised(*a, of_row) * quantised(*b, of_column))
                    .sum();
                let expected = sum * (of_row / 127.0 * (of_column / 127.0)) + bias[column];
                let what = || format!("{kernel:?} {rows} × {depth} × {columns} at {place}");
                assert_eq!(value.to_bits(), expected.to_bits(), "{}", what());

                let steps = [of_row, of_column].map(|it| f64::from(it) / 127.0);
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
        for sign in [1.0, -1.0] {
            let (a, mut c) = (vec![sign; DEPTH_MAX], [0.0]);
            linear(
                kernel.0,
                &Sequential,
                &a,
                Weights::Int8(&b),
                epilogue,
                &mut c,
            )
            .unwrap();
            assert_close(
                &|| format!("{kernel:?}"),
                c[0],
                f64::from(sign) * 65_536.0,
                0.02,
            );
        }
    }
}
