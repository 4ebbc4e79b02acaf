//! T5's biases by relative position.

use super::network::Network;
use crate::graph::emit::{int, ints};
use encoderfile::limits::TOKENS_MAX;

impl Network<'_> {
    /// A bias for each head and pair of tokens, of a table `[buckets, heads]`: `[1, heads,
    /// tokens, tokens]`.
    pub(super) fn relative_bias(
        &mut self,
        table: &str,
        buckets: usize,
        max_distance: usize,
    ) -> String {
        let positions = self.positions();
        let emitter = &mut self.emitter;
        emitter.enter("relative_bias");
        // No text has keys that are farther.
        let farthest = i64::try_from(max_distance).unwrap_or(i64::MAX);
        let farthest = farthest.min(i64::from(TOKENS_MAX));
        let by_distance: Vec<i64> = (-farthest..=farthest)
            .map(|distance| bucket(distance, buckets, max_distance))
            .collect();
        let by_distance = emitter.integers(&by_distance);
        // Heads first, as attention has them: no axis is moved at run time.
        let table = emitter.node_with("Transpose", &[table], vec![ints("perm", &[1, 0])]);
        let along = || vec![int("axis", 1)];
        let columns = emitter.node_with("Gather", &[&table, &by_distance], along());
        let column = emitter.integers(&[1]);
        let queries = emitter.node("Unsqueeze", &[&positions, &column]);
        let distance = emitter.node("Sub", &[&positions, &queries]);
        let [least, greatest] = [-farthest, farthest].map(|it| emitter.integer(it));
        let distance = emitter.node("Clip", &[&distance, &least, &greatest]);
        let place = emitter.node("Add", &[&distance, &greatest]);
        let bias = emitter.node_with("Gather", &[&columns, &place], along());
        let batch = emitter.integers(&[0]);
        emitter.node("Unsqueeze", &[&bias, &batch])
    }
}

/// The row for a key `distance` tokens after its query: half of them for keys before it, a
/// row for each of the nearest, and rows for ranges that grow with the logarithm.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "buckets and distances are hundreds at most; float32 as PyTorch has it"
)]
fn bucket(distance: i64, buckets: usize, max_distance: usize) -> i64 {
    let half = (buckets / 2) as i64;
    let after = if distance > 0 { half } else { 0 };
    let distance = distance.abs();
    let exact = half / 2;
    if distance < exact {
        return after + distance;
    }
    let ratio = (distance as f32 / exact as f32).ln();
    let whole = (max_distance as f64 / exact as f64).ln() as f32;
    let range = exact + (ratio / whole * (half - exact) as f32) as i64;
    after + range.min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn buckets_are_those_of_t5() {
        // Of transformers' `T5Attention._relative_position_bucket`, bidirectional.
        for (distance, expected) in [
            (0, 0),
            (1, 17),
            (-1, 1),
            (7, 23),
            (8, 24),
            (-8, 8),
            (15, 25),
            (16, 26),
            (-64, 14),
            (127, 31),
            (128, 31),
            (-128, 15),
        ] {
            assert_eq!(bucket(distance, 32, 128), expected, "{distance}");
        }
    }
}
