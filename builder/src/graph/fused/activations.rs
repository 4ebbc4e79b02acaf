//! The variants of GELU.

use super::{Fused, Rewritten};
use crate::graph::blocks::{gelu as exact, gelu_tanh, sigmoid_gate};
use crate::graph::emit::Emitter;

pub(super) fn gelu(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    exact(emitter, node.required(0)?, node.result()?);
    Ok(())
}

pub(super) fn bias_gelu(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let sum = emitter.node("Add", &[node.required(0)?, node.required(1)?]);
    exact(emitter, &sum, node.result()?);
    Ok(())
}

pub(super) fn fast_gelu(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let mut x = node.required(0)?.to_owned();
    if let Some(bias) = node.input(1) {
        x = emitter.node("Add", &[&x, bias]);
    }
    gelu_tanh(emitter, &x, node.result()?);
    Ok(())
}

pub(super) fn quick_gelu(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let alpha = node.float("alpha", 1.702);
    sigmoid_gate(emitter, node.required(0)?, alpha, node.result()?);
    Ok(())
}
