//! From token vectors to one vector, and the small functions on vectors.
//!
//! `hidden` is row-major `[tokens, width]`. There is no padding, so every row
//! counts.

use encoderfile_proto::{Activation, Pooling};

/// One vector per mode, concatenated: `[modes × width]`.
pub(crate) fn pool(hidden: &[f32], width: usize, modes: &[Pooling]) -> Vec<f32> {
    if hidden.is_empty() {
        // No token at all: what sentence-transformers' sums over nothing give.
        return vec![0.0; modes.len() * width];
    }
    let mut pooled = Vec::with_capacity(modes.len() * width);
    for mode in modes {
        match mode {
            Pooling::Cls => pooled.extend(hidden.iter().take(width)),
            Pooling::LastToken => pooled.extend(&hidden[hidden.len().saturating_sub(width)..]),
            Pooling::Max => pooled.extend(max(hidden, width)),
            Pooling::Mean | Pooling::Unspecified => {
                pooled.extend(weighted_sum(hidden, width, |_| 1.0, |rows| rows));
            }
            Pooling::MeanSqrtLen => {
                pooled.extend(weighted_sum(hidden, width, |_| 1.0, f32::sqrt));
            }
            Pooling::WeightedMean => pooled.extend(weighted_sum(
                hidden,
                width,
                // Positions count from 1.
                |row| row + 1.0,
                |rows| rows * (rows + 1.0) / 2.0,
            )),
        }
    }
    pooled
}

fn max(hidden: &[f32], width: usize) -> Vec<f32> {
    let mut result = vec![f32::NEG_INFINITY; width];
    for row in hidden.chunks_exact(width) {
        for (result, value) in result.iter_mut().zip(row) {
            *result = result.max(*value);
        }
    }
    result
}

/// Rows times `weight(index)`, summed, divided by `divisor(rows)`.
fn weighted_sum(
    hidden: &[f32],
    width: usize,
    weight: impl Fn(f32) -> f32,
    divisor: impl Fn(f32) -> f32,
) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    let mut rows = 0.0;
    for row in hidden.chunks_exact(width) {
        let weight = weight(rows);
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += weight * value;
        }
        rows += 1.0;
    }
    let divisor = divisor(rows);
    sum.iter_mut().for_each(|value| *value /= divisor);
    sum
}

/// Divides by the L2 norm; a zero vector stays zero.
pub(crate) fn normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    // The least norm that sentence-transformers divides by.
    let norm = norm.max(1e-12);
    vector.iter_mut().for_each(|value| *value /= norm);
}

/// Logits to scores.
pub(crate) fn activate(logits: &[f32], activation: Activation) -> Vec<f32> {
    match activation {
        Activation::Identity => logits.to_vec(),
        Activation::Sigmoid => logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        Activation::Softmax => {
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exponents: Vec<f32> = logits.iter().map(|x| (x - max).exp()).collect();
            let sum: f32 = exponents.iter().sum();
            exponents.iter().map(|x| x / sum).collect()
        }
    }
}

/// The index of the first largest value; 0 for none.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// The cosine of the angle between two vectors of equal length; 0 if either is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms == 0.0 {
        return 0.0;
    }
    // A cosine fits f32 by its range.
    #[allow(clippy::cast_possible_truncation, reason = "rounding a cosine")]
    let cosine = (dot(a, b) / norms) as f32;
    cosine
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tokens of width 2.
    const HIDDEN: [f32; 4] = [1.0, 8.0, 3.0, 2.0];

    #[test]
    fn each_mode_on_two_tokens() {
        let pooled = |mode| pool(&HIDDEN, 2, &[mode]);
        assert_eq!(pooled(Pooling::Cls), [1.0, 8.0]);
        assert_eq!(pooled(Pooling::LastToken), [3.0, 2.0]);
        assert_eq!(pooled(Pooling::Max), [3.0, 8.0]);
        assert_eq!(pooled(Pooling::Mean), [2.0, 5.0]);
        assert_eq!(
            pooled(Pooling::MeanSqrtLen),
            [4.0 / 2_f32.sqrt(), 10.0 / 2_f32.sqrt()]
        );
        assert_eq!(pooled(Pooling::WeightedMean), [7.0 / 3.0, 12.0 / 3.0]);
    }

    #[test]
    fn modes_concatenate_in_order() {
        let pooled = pool(&HIDDEN, 2, &[Pooling::Cls, Pooling::Mean]);
        assert_eq!(pooled, [1.0, 8.0, 2.0, 5.0]);
    }

    #[test]
    fn no_tokens_pool_to_zeros() {
        assert_eq!(pool(&[], 2, &[Pooling::Mean, Pooling::Max]), [0.0; 4]);
    }

    #[test]
    fn a_zero_vector_has_no_direction() {
        let mut zero = [0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
        assert_eq!(cosine(&zero, &[1.0; 3]), 0.0);
    }

    #[test]
    fn softmax_of_large_logits_does_not_overflow() {
        let scores = activate(&[1000.0, 1000.0], Activation::Softmax);
        assert_eq!(scores, [0.5, 0.5]);
    }
}
