//! Rotary positions (`RoPE`).

use super::network::Network;
use crate::graph::emit::int;
use encoderfile::onnx::tensor_proto::DataType;

impl Network<'_> {
    /// Cosines and sines of all positions, each half repeated: `[tokens, size]`.
    pub(super) fn rotation(&mut self, size: usize, theta: f32) -> [String; 2] {
        let positions = self.positions();
        let emitter = &mut self.emitter;
        emitter.enter("rotary");
        // Head sizes are a few hundred at most.
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let frequencies: Vec<f32> = (0..size)
            .step_by(2)
            .map(|index| 1.0 / theta.powf(index as f32 / size as f32))
            .collect();
        let frequencies = emitter.floats(&frequencies);
        let to_float = vec![int("to", i64::from(DataType::Float as i32))];
        let positions = emitter.node_with("Cast", &[&positions], to_float);
        let last = emitter.integers(&[-1]);
        let positions = emitter.node("Unsqueeze", &[&positions, &last]);
        let angles = emitter.node("Mul", &[&positions, &frequencies]);
        let both = vec![int("axis", -1)];
        let angles = emitter.node_with("Concat", &[&angles, &angles], both);
        ["Cos", "Sin"].map(|function| emitter.node(function, &[&angles]))
    }

    /// `x · cos + (-second half, first half) · sin`, of `[batch, heads, tokens, size]`.
    pub(super) fn rotate(&mut self, x: &str, [cos, sin]: &[String; 2], size: usize) -> String {
        let emitter = &mut self.emitter;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let first = emitter.slice(x, 3, 0, size / 2);
        let second = emitter.slice(x, 3, size / 2, size);
        let minus = emitter.node("Neg", &[&second]);
        let turned = emitter.node_with("Concat", &[&minus, &first], vec![int("axis", -1)]);
        let straight = emitter.node("Mul", &[x, cos]);
        let turned = emitter.node("Mul", &[&turned, sin]);
        emitter.node("Add", &[&straight, &turned])
    }
}
