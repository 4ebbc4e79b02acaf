//! Blocks that several fused operators and architectures are made of.
//!
//! Attention is over a batch of one.

use super::emit::{Emitter, float, int, ints};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

/// What attention is computed from: three values of `[1, tokens, heads · size]`.
pub(crate) struct Heads<'a> {
    pub(crate) query: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    /// How many.
    pub(crate) count: i64,
    /// What products of query and key are multiplied by.
    pub(crate) scale: String,
    /// What is added to them then.
    pub(crate) bias: Option<&'a str>,
}

/// softmax(Q·Kᵀ · scale + bias) · V, head by head.
pub(crate) fn attend(emitter: &mut Emitter<'_>, heads: &Heads<'_>, output: &str) {
    let query = split(emitter, heads.query, heads.count, &[0, 2, 1, 3]);
    let key = split(emitter, heads.key, heads.count, &[0, 2, 3, 1]);
    let value = split(emitter, heads.value, heads.count, &[0, 2, 1, 3]);
    let query = emitter.node("Mul", &[&query, &heads.scale]);
    let mut scores = emitter.node("MatMul", &[&query, &key]);
    if let Some(bias) = heads.bias {
        scores = emitter.node("Add", &[&scores, bias]);
    }
    mix(emitter, &scores, &value, output);
}

/// softmax(scores) · V, joined again: `[1, heads, tokens, tokens]` and `[1, heads, tokens,
/// size]` → `[1, tokens, heads · size]`.
pub(crate) fn mix(emitter: &mut Emitter<'_>, scores: &str, value: &str, output: &str) {
    let weights = emitter.node_with("Softmax", &[scores], vec![int("axis", 3)]);
    let mixed = emitter.node("MatMul", &[&weights, value]);
    let mixed = emitter.node_with("Transpose", &[&mixed], vec![ints("perm", &[0, 2, 1, 3])]);
    let shape = emitter.integers(&[0, 0, -1]);
    emitter.node_to("Reshape", &[&mixed, &shape], vec![], output);
}

/// `[1, tokens, heads · size]` as `[1, tokens, heads, size]`, then permuted.
pub(crate) fn split(emitter: &mut Emitter<'_>, value: &str, count: i64, perm: &[i64]) -> String {
    let shape = emitter.integers(&[0, 0, count, -1]);
    let heads = emitter.node("Reshape", &[value, &shape]);
    emitter.node_with("Transpose", &[&heads], vec![ints("perm", perm)])
}

/// A `LayerNormalization` over the last axis. The standard has it since opset
/// 17; ONNX Runtime reads and writes it in any.
pub(crate) fn normalise(
    emitter: &mut Emitter<'_>,
    x: &str,
    scale: &str,
    bias: Option<&str>,
    epsilon: f32,
    output: &str,
) {
    let mut inputs = vec![x, scale];
    inputs.extend(bias);
    let attributes = vec![int("axis", -1), float("epsilon", epsilon)];
    emitter.node_to("LayerNormalization", &inputs, attributes, output);
}

/// `x / √(mean(x²) + epsilon) · scale`.
pub(crate) fn root_mean_square(
    emitter: &mut Emitter<'_>,
    x: &str,
    scale: &str,
    epsilon: f32,
    output: &str,
) {
    let epsilon = emitter.float(epsilon);
    let squares = emitter.node("Mul", &[x, x]);
    let mean = emitter.mean_of_last(&squares);
    let mean = emitter.node("Add", &[&mean, &epsilon]);
    let root = emitter.node("Sqrt", &[&mean]);
    let normalised = emitter.node("Div", &[x, &root]);
    emitter.node_to("Mul", &[&normalised, scale], vec![], output);
}

/// 0, 1, … as many as there are ids.
pub(crate) fn all_positions(emitter: &mut Emitter<'_>, ids: &str) -> String {
    let shape = emitter.node("Shape", &[ids]);
    let [zero, one] = [0, 1].map(|it| emitter.integer(it));
    let length = emitter.node("Gather", &[&shape, &one]);
    emitter.node("Range", &[&zero, &length, &one])
}

/// `x / 2 · (1 + erf(x / √2))`.
pub(crate) fn gelu(emitter: &mut Emitter<'_>, x: &str, output: &str) {
    let [scale, one, half] = [FRAC_1_SQRT_2, 1.0, 0.5].map(|it| emitter.float(it));
    let scaled = emitter.node("Mul", &[x, &scale]);
    let erf = emitter.node("Erf", &[&scaled]);
    let sum = emitter.node("Add", &[&erf, &one]);
    let half = emitter.node("Mul", &[x, &half]);
    emitter.node_to("Mul", &[&half, &sum], vec![], output);
}

/// `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))`.
pub(crate) fn gelu_tanh(emitter: &mut Emitter<'_>, x: &str, output: &str) {
    let scale = FRAC_2_PI.sqrt();
    let [linear, cubic, one, half] =
        [scale, scale * 0.044_715, 1.0, 0.5].map(|it| emitter.float(it));
    let square = emitter.node("Mul", &[x, x]);
    let cubic = emitter.node("Mul", &[&square, &cubic]);
    let factor = emitter.node("Add", &[&cubic, &linear]);
    let inner = emitter.node("Mul", &[x, &factor]);
    let tanh = emitter.node("Tanh", &[&inner]);
    let sum = emitter.node("Add", &[&tanh, &one]);
    let half = emitter.node("Mul", &[x, &half]);
    emitter.node_to("Mul", &[&half, &sum], vec![], output);
}

/// `x · sigmoid(alpha · x)`.
pub(crate) fn sigmoid_gate(emitter: &mut Emitter<'_>, x: &str, alpha: f32, output: &str) {
    let mut scaled = x.to_owned();
    if alpha != 1.0 {
        let alpha = emitter.float(alpha);
        scaled = emitter.node("Mul", &[x, &alpha]);
    }
    let sigmoid = emitter.node("Sigmoid", &[&scaled]);
    emitter.node_to("Mul", &[x, &sigmoid], vec![], output);
}
