//! From token vectors to one vector, and the small functions on vectors.
//!
//! `hidden` is row-major `[tokens, width]`. There is no padding, so every row
//! counts.

use encoderfile_format::manifest::{Activation, Pooling, Similarity, Splade};

/// One vector per mode, concatenated: `[modes × width]`. The first `skipped`
/// rows take no part.
pub(crate) fn pool(hidden: &[f32], width: usize, modes: &[Pooling], skipped: usize) -> Vec<f32> {
    let skipped = skipped.min(hidden.len() / width);
    let hidden = &hidden[skipped * width..];
    if hidden.is_empty() {
        // No token at all: what sentence-transformers' sums over nothing give.
        return vec![0.0; modes.len() * width];
    }
    let mut pooled = Vec::with_capacity(modes.len() * width);
    for mode in modes {
        match mode {
            Pooling::Cls => pooled.extend(hidden.iter().take(width)),
            Pooling::LastToken => pooled.extend(&hidden[hidden.len() - width..]),
            Pooling::Max => pooled.extend(max(hidden, width)),
            Pooling::Mean => {
                pooled.extend(weighted_sum(hidden, width, |_| 1.0, |weights| weights));
            }
            Pooling::MeanSqrtLen => {
                pooled.extend(weighted_sum(hidden, width, |_| 1.0, f32::sqrt));
            }
            Pooling::WeightedMean => {
                // Positions count from 1, and from the beginning of the sequence.
                let position = |row: usize| (row + skipped + 1) as f32;
                pooled.extend(weighted_sum(hidden, width, position, |weights| weights));
            }
        }
    }
    pooled
}

/// The weights of vocabulary entries from logits, `[tokens, width]`.
pub(crate) fn splade(logits: &[f32], width: usize, splade: Splade) -> Vec<f32> {
    let activate = |logit: f32| {
        let weight = logit.max(0.0).ln_1p();
        if splade.twice { weight.ln_1p() } else { weight }
    };
    if splade.sum {
        let mut sum = vec![0.0; width];
        for row in logits.chunks_exact(width) {
            for (sum, logit) in sum.iter_mut().zip(row) {
                *sum += activate(*logit);
            }
        }
        return sum;
    }
    // The activation only grows, so that the largest logit decides.
    let mut weights = max(logits, width);
    weights.iter_mut().for_each(|it| *it = activate(*it));
    weights
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

/// Rows times `weight(index)`, summed, divided by `divisor` of the weights' sum.
fn weighted_sum(
    hidden: &[f32],
    width: usize,
    weight: impl Fn(usize) -> f32,
    divisor: impl Fn(f32) -> f32,
) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    let mut weights = 0.0;
    for (index, row) in hidden.chunks_exact(width).enumerate() {
        let weight = weight(index);
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += weight * value;
        }
        weights += weight;
    }
    let divisor = divisor(weights);
    sum.iter_mut().for_each(|value| *value /= divisor);
    sum
}

/// Divides by the L2 norm; a zero vector stays zero.
///
/// A vector whose norm is one already, by what float32 can say of a sum of some thousand
/// squares, is left as it is. Another division would change last bits, and the vector of
/// one text would be two: by the folder's own Normalize module or the graph's last
/// operators, and by those and a request's `normalize: true`.
pub(crate) fn normalize(vector: &mut [f32]) {
    let squares = vector.iter().map(|value| f64::from(*value).powi(2));
    let squared_norm: f64 = squares.sum();
    if (squared_norm - 1.0).abs() <= UNIT {
        return;
    }
    // The least norm that sentence-transformers divides by.
    let norm = squared_norm.sqrt().max(1e-12);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "float32 is what is computed in"
    )]
    let norm = norm as f32;
    vector.iter_mut().for_each(|value| *value /= norm);
}

/// How far a squared norm may be from one.
const UNIT: f64 = 1e-5;

/// Logits to scores, `[labels]` to `[labels]`. No logits give no scores.
pub fn activate(logits: &[f32], activation: Activation) -> Vec<f32> {
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

/// The cosine of the angle between two vectors, `[width]` each; 0 if either is zero.
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

/// The similarity score of two embeddings, `[width]` each: more is more alike, and
/// distances are negated. That both are of one width is not checked: values that only one
/// has are compared with nothing.
pub fn similarity(a: &[f32], b: &[f32], function: Similarity) -> f32 {
    let pairs = || a.iter().zip(b);
    match function {
        Similarity::Cosine => cosine(a, b),
        Similarity::Dot => pairs().map(|(a, b)| a * b).sum(),
        Similarity::Euclidean => {
            let squares = pairs().map(|(a, b)| (a - b) * (a - b));
            -squares.sum::<f32>().sqrt()
        }
        Similarity::Manhattan => -pairs().map(|(a, b)| (a - b).abs()).sum::<f32>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tokens of width 2.
    const HIDDEN: [f32; 4] = [1.0, 8.0, 3.0, 2.0];

    /// Vectors of many widths, between -1 and 1, as one of 64 seeds makes them.
    fn vectors() -> impl Iterator<Item = Vec<f32>> {
        let seeds = [24_usize, 384, 768, 1024, 4096].into_iter();
        let seeds = seeds.flat_map(|width| (1..=64_u32).map(move |seed| (width, seed)));
        seeds.map(|(width, seed)| {
            let mut state = seed;
            let next = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from((state >> 16) as u16) / 32_768.0 - 1.0
            };
            (0..width).map(next).collect()
        })
    }

    #[test]
    fn a_vector_is_normalised_once() {
        for mut vector in vectors() {
            normalize(&mut vector);
            let once = vector.clone();
            normalize(&mut vector);
            assert_eq!(vector, once);
        }
    }

    #[test]
    fn a_vector_that_a_graph_normalised_is_left_as_it_is() {
        let mut changed_by_another = 0;
        for mut vector in vectors() {
            // As plainly as float32 can do it.
            let divide = |vector: &mut [f32]| {
                let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
                vector.iter_mut().for_each(|value| *value /= norm);
            };
            divide(&mut vector);
            let once = vector.clone();
            normalize(&mut vector);
            assert_eq!(vector, once);
            divide(&mut vector);
            changed_by_another += usize::from(vector != once);
        }
        // Else this test would show nothing.
        assert!(changed_by_another > 0);
    }

    #[test]
    fn a_cut_or_long_vector_is_normalised() {
        for mut vector in vectors() {
            normalize(&mut vector);
            vector.truncate(vector.len() / 2);
            normalize(&mut vector);
            let norm: f64 = vector.iter().map(|it| f64::from(*it).powi(2)).sum();
            assert!((norm - 1.0).abs() < 1e-6, "{norm}");
        }
    }

    #[test]
    fn each_mode_on_two_tokens() {
        let pooled = |mode| pool(&HIDDEN, 2, &[mode], 0);
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
        let pooled = pool(&HIDDEN, 2, &[Pooling::Cls, Pooling::Mean], 0);
        assert_eq!(pooled, [1.0, 8.0, 2.0, 5.0]);
    }

    #[test]
    fn skipped_rows_keep_their_positions() {
        let pooled = |mode| pool(&HIDDEN, 2, &[mode], 1);
        for mode in [Pooling::Cls, Pooling::Mean, Pooling::WeightedMean] {
            assert_eq!(pooled(mode), [3.0, 2.0]);
        }
        let hidden = [9.0, 1.0, 2.0];
        // (2 · 1 + 3 · 2) / (2 + 3)
        assert_eq!(pool(&hidden, 1, &[Pooling::WeightedMean], 1), [1.6]);
        assert_eq!(pool(&hidden, 1, &[Pooling::Mean], 7), [0.0]);
    }

    #[test]
    fn splade_of_two_tokens() {
        let logits = [1.0, -1.0, 0.5, 3.0];
        let weights = |sum, twice| splade(&logits, 2, Splade { sum, twice });
        assert_eq!(weights(false, false), [1_f32.ln_1p(), 3_f32.ln_1p()]);
        assert_eq!(weights(false, true)[1], 3_f32.ln_1p().ln_1p());
        assert_eq!(weights(true, false)[0], 1_f32.ln_1p() + 0.5_f32.ln_1p());
    }

    #[test]
    fn nearer_is_more_alike() {
        let of = |function| similarity(&[1.0, 2.0], &[4.0, -2.0], function);
        assert_eq!(of(Similarity::Dot), 0.0);
        assert_eq!(of(Similarity::Euclidean), -5.0);
        assert_eq!(of(Similarity::Manhattan), -7.0);
        assert_eq!(of(Similarity::Cosine), 0.0);
    }

    #[test]
    fn no_tokens_pool_to_zeros() {
        assert_eq!(pool(&[], 2, &[Pooling::Mean, Pooling::Max], 0), [0.0; 4]);
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
