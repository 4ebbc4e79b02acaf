//! LayerNorm with a residual.

use super::{Numbers, U, assert_close, for_each};
use crate::{Isa, LayerNorm, layer_norm};

/// `4 · (width + 16) · u · (m / σ) · (1 + |n|) · |scale| + 4 · u · |bias|` with the largest
/// magnitude m, `σ = √(variance + epsilon)` and the normalised value n: where values are
/// nearly the same, what is left of them is what was rounded.
#[test]
fn rows_are_the_exact_ones() {
    let shapes = (0..5usize, 1..200usize, proptest::bool::ANY, 0..u64::MAX);
    for_each(&shapes, |(rows, width, with_residual, seed)| {
        let mut numbers = Numbers::of(seed);
        let (input, residual) = (numbers.vec(rows * width), numbers.vec(rows * width));
        let residual = with_residual.then_some(&*residual);
        let (scale, bias) = (numbers.vec(width), numbers.vec(width));
        let parameters = LayerNorm {
            scale: &scale,
            bias: &bias,
            epsilon: 1e-5,
        };
        for isa in Isa::all() {
            let mut output = input.clone();
            layer_norm(isa, parameters, &mut output, residual).unwrap();
            for (row, output) in output.chunks(width).enumerate() {
                let at = |place: usize| {
                    let place = row * width + place;
                    let residual = residual.map_or(0.0, |residual| f64::from(residual[place]));
                    f64::from(input[place]) + residual
                };
                let values: Vec<f64> = (0..width).map(at).collect();
                let mean = values.iter().sum::<f64>() / width as f64;
                let squares = values.iter().map(|value| (value - mean).powi(2));
                let deviation = (squares.sum::<f64>() / width as f64 + 1e-5).sqrt();
                let largest = values
                    .iter()
                    .fold(0.0f64, |most, value| most.max(value.abs()));
                for (place, value) in output.iter().enumerate() {
                    let normal = (values[place] - mean) / deviation;
                    let [scale, bias] = [&scale, &bias].map(|of| f64::from(of[place]));
                    let steps = 4.0 * (width as f64 + 16.0) * U;
                    let bound = steps * largest / deviation * (1.0 + normal.abs()) * scale.abs()
                        + 4.0 * U * bias.abs();
                    let what = || format!("{isa:?}: {place} of {width}");
                    assert_close(&what, *value, normal * scale + bias, bound);
                }
                // Alone as beside the others.
                let mut alone = input[row * width..][..width].to_vec();
                let residual = residual.map(|residual| &residual[row * width..][..width]);
                layer_norm(isa, parameters, &mut alone, residual).unwrap();
                assert_eq!(alone, output, "{isa:?}");
            }
        }
    });
}

#[test]
fn nan_is_lost_in_no_other_row() {
    for isa in Isa::all() {
        let parameters = LayerNorm {
            scale: &[1.0; 3],
            bias: &[0.0; 3],
            epsilon: 1e-12,
        };
        let mut rows = [1.0, f32::NAN, 2.0, 1.0, 2.0, 3.0];
        layer_norm(isa, parameters, &mut rows, None).unwrap();
        assert!(rows[..3].iter().all(|value| value.is_nan()), "{isa:?}");
        assert!(rows[3..].iter().all(|value| value.is_finite()), "{isa:?}");
        assert!(layer_norm(isa, parameters, &mut rows[1..], None).is_err());
        assert!(layer_norm(isa, parameters, &mut rows, Some(&[0.0; 3])).is_err());
    }
}
