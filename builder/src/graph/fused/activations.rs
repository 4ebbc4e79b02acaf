//! The variants of GELU.

use super::emit::Emitter;
use super::{Fused, Rewritten};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

pub(super) fn gelu(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    exact(emitter, node.required(0)?, node.result()?);
    Ok(())
}

pub(super) fn bias_gelu(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let sum = emitter.node("Add", &[node.required(0)?, node.required(1)?]);
    exact(emitter, &sum, node.result()?);
    Ok(())
}

/// `x / 2 · (1 + erf(x / √2))`.
fn exact(emitter: &mut Emitter<'_>, x: &str, output: &str) {
    let [scale, one, half] = [FRAC_1_SQRT_2, 1.0, 0.5].map(|it| emitter.float(it));
    let scaled = emitter.node("Mul", &[x, &scale]);
    let erf = emitter.node("Erf", &[&scaled]);
    let sum = emitter.node("Add", &[&erf, &one]);
    let half = emitter.node("Mul", &[x, &half]);
    emitter.node_to("Mul", &[&half, &sum], vec![], output);
}

/// `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))`.
pub(super) fn fast_gelu(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let mut x = node.required(0)?.to_owned();
    if let Some(bias) = node.input(1) {
        x = emitter.node("Add", &[&x, bias]);
    }
    let scale = FRAC_2_PI.sqrt();
    let [linear, cubic, one, half] =
        [scale, scale * 0.044_715, 1.0, 0.5].map(|it| emitter.float(it));
    let square = emitter.node("Mul", &[&x, &x]);
    let cubic = emitter.node("Mul", &[&square, &cubic]);
    let factor = emitter.node("Add", &[&cubic, &linear]);
    let inner = emitter.node("Mul", &[&x, &factor]);
    let tanh = emitter.node("Tanh", &[&inner]);
    let sum = emitter.node("Add", &[&tanh, &one]);
    let half = emitter.node("Mul", &[&x, &half]);
    emitter.node_to("Mul", &[&half, &sum], vec![], node.result()?);
    Ok(())
}

/// `x · sigmoid(alpha · x)`.
pub(super) fn quick_gelu(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let x = node.required(0)?;
    let alpha = emitter.float(node.float("alpha", 1.702));
    let scaled = emitter.node("Mul", &[x, &alpha]);
    let sigmoid = emitter.node("Sigmoid", &[&scaled]);
    emitter.node_to("Mul", &[x, &sigmoid], vec![], node.result()?);
    Ok(())
}
