//! Linear layers of the same rows.

use super::{Numbers, Threads, for_each, linear};
use crate::gemm::int8::micro_kernel::Int8Kernel;
use crate::{
    Activation, EncodedB, Epilogue, Int8Matrix, Isa, LinearLayer, Order, PANEL, PackedMatrix,
    Sequential, Weights, WeightsEncoding,
};

fn epilogue(bias: &[f32]) -> Epilogue<'_> {
    Epilogue {
        bias,
        activation: Activation::Gelu,
    }
}

/// Checks that layers give the same alone and beside each other, of rows that are one A or several,
/// on any number of threads.
fn check(isa: Isa, (a, rows): (&[f32], usize), layers: &[Weights<'_>]) {
    let biases = layers.iter().map(|it| vec![0.5; it.padded_columns()]);
    let biases: Vec<Vec<f32>> = biases.collect();
    let outputs = || layers.iter().map(|it| vec![f32::NAN; rows * it.columns()]);
    let mut alone: Vec<Vec<f32>> = outputs().collect();
    for ((weights, bias), output) in layers.iter().zip(&biases).zip(&mut alone) {
        linear(isa, &Sequential, a, *weights, epilogue(bias), output).unwrap();
    }
    for (each, parts) in [(rows, 1), (rows, 2), (rows, 3), (5, 1), (7, 3), (1, 1)] {
        let depth = a.len() / rows;
        let inputs = a.chunks(each * depth).map(|a| (a, a.len() / depth));
        let inputs: Vec<_> = inputs.collect();
        let mut together: Vec<Vec<f32>> = outputs().collect();
        let outputs = together.iter_mut();
        let layers = layers.iter().zip(&biases).zip(outputs);
        let layers = layers.map(|((weights, bias), output)| LinearLayer {
            weights: *weights,
            epilogue: epilogue(bias),
            outputs: output.chunks_mut(each * weights.columns()).collect(),
        });
        let layers = layers.collect();
        crate::linear(isa, &Threads(parts), &inputs, layers).unwrap();
        assert_eq!(together, alone, "{isa:?}, {parts} parts, {each} rows each");
    }
}

#[test]
fn layers_of_the_same_rows_are_each_what_it_is_alone() {
    let shapes = (1..30usize, 1..70usize, 1..40usize, 1..40usize, 0..u64::MAX);
    for_each(&shapes, |(rows, depth, columns, others, seed)| {
        let mut numbers = Numbers::of(seed);
        let a = numbers.vec(rows * depth);
        let all: Vec<(Vec<f32>, usize)> = [columns, others, columns]
            .map(|columns| (numbers.vec(depth * columns), columns))
            .into();
        let length = WeightsEncoding::F16.unit_len(depth, PANEL).unwrap();
        let stored = vec![0x3c; length * columns.div_ceil(PANEL)];
        let stored = EncodedB::new(&stored, (depth, columns), WeightsEncoding::F16).unwrap();
        let factors = numbers.vec(depth);
        for isa in Isa::all() {
            let packed: Vec<_> = all
                .iter()
                .map(|(b, it)| PackedMatrix::new(isa, b, (depth, *it), Order::Rows).unwrap())
                .collect();
            let packed = packed.iter().map(|it| Weights::F32(it.as_b()));
            let layers: Vec<_> = packed.chain([Weights::Encoded(stored)]).collect();
            check(isa, (&a, rows), &layers);
            for kernel in Int8Kernel::all(isa) {
                let quantised = all.iter().map(|(b, columns)| {
                    Int8Matrix::new_for((isa, kernel), b, (depth, *columns), Order::Rows).unwrap()
                });
                let quantised: Vec<_> = quantised.collect();
                let layers = quantised.iter().map(|matrix| Weights::Int8 {
                    matrix,
                    smoothing: Some(&factors),
                });
                check(isa, (&a, rows), &layers.collect::<Vec<_>>());
            }
        }
    });
}

/// Whose rows are not packed alike, and layers that have not the same rows.
#[test]
fn layers_that_do_not_fit_each_other_are_refused() {
    let isa = Isa::in_use();
    let [two, three] = [2, 3].map(|depth| {
        PackedMatrix::new(isa, &vec![1.0; depth * 4], (depth, 4), Order::Rows).unwrap()
    });
    let matrix = Int8Matrix::new(isa, &[1.0; 8], (2, 4), Order::Rows).unwrap();
    let in_int8 = |smoothing| Weights::Int8 {
        matrix: &matrix,
        smoothing,
    };
    let [two, three] = [&two, &three].map(|it| Weights::F32(it.as_b()));
    let plain = in_int8(None);
    let smoothed = in_int8(Some(&[1.0, 2.0]));
    let is_taken = |weights: [Weights<'_>; 2], rows: usize| {
        let biases = weights.map(|it| vec![0.0; it.padded_columns()]);
        let mut outputs = [vec![0.0; 12], vec![0.0; rows * 4]];
        let [first, second] = &mut outputs;
        let [bias, other] = &biases;
        let layers = [(bias, first), (other, second)]
            .into_iter()
            .zip(weights)
            .map(|((bias, output), weights)| LinearLayer {
                weights,
                epilogue: epilogue(bias),
                outputs: vec![output],
            })
            .collect::<Vec<_>>();
        crate::linear(isa, &Sequential, &[(&[1.0; 6], 3)], layers).is_ok()
    };
    assert!(is_taken([two, two], 3) && is_taken([plain, plain], 3));
    assert!(is_taken([smoothed, smoothed], 3));
    assert!(!is_taken([two, two], 2));
    assert!(!is_taken([two, three], 3));
    assert!(!is_taken([two, plain], 3) && !is_taken([plain, two], 3));
    assert!(!is_taken([plain, smoothed], 3));
    let bias = vec![0.0; two.padded_columns()];
    let is_taken = |inputs: &[(&[f32], usize)]| {
        let (mut first, mut second) = ([0.0; 8], [0.0; 4]);
        let layer = LinearLayer {
            weights: two,
            epilogue: epilogue(&bias),
            outputs: vec![&mut first, &mut second],
        };
        crate::linear(isa, &Sequential, inputs, vec![layer])
    };
    let both = [(&[1.0; 4][..], 2), (&[1.0; 2], 1)];
    assert!(is_taken(&both).is_ok());
    assert!(is_taken(&both[..1]).is_err() && is_taken(&[both[1], both[0]]).is_err());
}
