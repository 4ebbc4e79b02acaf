//! Operators on quantised activations, as ONNX Runtime's static quantiser writes them for
//! `QuantFormat.QOperator` and its optimiser makes of `QDQ`: what they are given is dequantised,
//! and what they give is quantised.
//!
//! ONNX Runtime computes some of them in integers, whose result is at most a step from this.

use super::constants::constant;
use super::linear_quantisation::Steps;
use super::{Fused, Rewritten};
use crate::graph::dequantise::{Integers, count, floats};
use crate::graph::emit::{Emitter, float, int};
use encoderfile::onnx::{AttributeProto, tensor_proto::DataType};

/// What a node is given at `place`, with scale and zero point after it, dequantised.
fn operand(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    place: usize,
    axis: i64,
) -> Result<String, String> {
    let value = node.required(place)?;
    Steps::of(node, place + 1, axis)?.dequantise(emitter, value)
}

/// Quantises what a node gives by its inputs at `scale` and after it.
fn give(node: &Fused<'_>, emitter: &mut Emitter<'_>, value: &str, scale: usize) -> Rewritten {
    let steps = Steps::of(node, scale, 0)?;
    steps.quantise_to(emitter, value, DataType::Uint8, node.result()?)
}

pub(super) fn mat_mul(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let a = operand(node, emitter, 0, -2)?;
    let b = operand(node, emitter, 3, -1)?;
    let product = emitter.node("MatMul", &[&a, &b]);
    give(node, emitter, &product, 6)
}

pub(super) fn add(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    binary(node, emitter, "Add")
}

pub(super) fn mul(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    binary(node, emitter, "Mul")
}

fn binary(node: &Fused<'_>, emitter: &mut Emitter<'_>, op_type: &str) -> Rewritten {
    let a = operand(node, emitter, 0, 0)?;
    let b = operand(node, emitter, 3, 0)?;
    let result = emitter.node(op_type, &[&a, &b]);
    give(node, emitter, &result, 6)
}

pub(super) fn sigmoid(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    unary(node, emitter, "Sigmoid", vec![])
}

pub(super) fn leaky_relu(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let alpha = float("alpha", node.float("alpha", 0.01));
    unary(node, emitter, "LeakyRelu", vec![alpha])
}

/// Before opset 13 a softmax is over all axes from one on, in both. ONNX Runtime quantises the
/// result in `⌊1 / scale⌋` steps from 0 to 1, and dequantises it by the scale.
pub(super) fn softmax(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let opset = node.integer("opset", emitter.opset);
    if (opset < 13) != (emitter.opset < 13) {
        let of_graph = emitter.opset;
        return Err(format!(
            "a softmax of opset {opset} in a graph of {of_graph}"
        ));
    }
    let default = if opset < 13 { 1 } else { -1 };
    let axis = int("axis", node.integer("axis", default));
    let x = operand(node, emitter, 0, 0)?;
    let result = emitter.node_with("Softmax", &[&x], vec![axis]);
    let scale = constant(node, emitter, 3)?;
    let count = match floats(scale)? {
        scales if scales.len() == 1 => scales.value(0).recip().floor(),
        _ => return Err(format!("`{}` is more than one number", scale.name)),
    };
    if !(1.0..=f32::from(u16::MAX)).contains(&count) {
        return Err(format!("`{}` is no step between 0 and 1", scale.name));
    }
    let scale = emitter.float(count.recip());
    let steps = Steps::of(node, 3, 0)?;
    steps.quantise_by(emitter, &scale, &result, DataType::Uint8, node.result()?)
}

fn unary(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    op_type: &str,
    attributes: Vec<AttributeProto>,
) -> Rewritten {
    let x = operand(node, emitter, 0, 0)?;
    let result = emitter.node_with(op_type, &[&x], attributes);
    give(node, emitter, &result, 3)
}

pub(super) fn concat(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let places = (2..node.proto.input.len()).step_by(3);
    let parts = places.map(|place| operand(node, emitter, place, 0));
    let parts: Vec<String> = parts.collect::<Result<_, _>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let axis = int("axis", node.integer("axis", 0));
    let result = emitter.node_with("Concat", &parts, vec![axis]);
    give(node, emitter, &result, 0)
}

/// `Where`, whose condition is not quantised.
pub(super) fn choose(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let condition = node.required(0)?;
    let x = operand(node, emitter, 1, 0)?;
    let y = operand(node, emitter, 4, 0)?;
    let result = emitter.node("Where", &[condition, &x, &y]);
    give(node, emitter, &result, 7)
}

/// Its bias is in steps of both scales.
pub(super) fn conv(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let x = operand(node, emitter, 0, 0)?;
    let w = operand(node, emitter, 3, 0)?;
    let bias = bias(node, emitter, 8)?;
    let mut inputs = vec![x.as_str(), &w];
    inputs.extend(bias.as_deref());
    let attributes = node.proto.attribute.clone();
    let result = emitter.node_with("Conv", &inputs, attributes);
    give(node, emitter, &result, 6)
}

/// `alpha · A · B + alpha · C`, quantised where there is a scale for it.
pub(super) fn gemm(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let a = operand(node, emitter, 0, 0)?;
    // Columns of B are rows where it is transposed.
    let transposed = ["transA", "transB"].map(|name| int(name, node.integer(name, 0)));
    let b = operand(node, emitter, 3, 1 - transposed[1].i.clamp(0, 1))?;
    let bias = bias(node, emitter, 6)?;
    let alpha = node.float("alpha", 1.0);
    let mut attributes = vec![float("alpha", alpha), float("beta", alpha)];
    attributes.extend(transposed);
    let mut inputs = vec![a.as_str(), &b];
    inputs.extend(bias.as_deref());
    match node.input(7) {
        None => {
            emitter.node_to("Gemm", &inputs, attributes, node.result()?);
            Ok(())
        }
        Some(_) => {
            let result = emitter.node_with("Gemm", &inputs, attributes);
            give(node, emitter, &result, 7)
        }
    }
}

/// The bias at `place`: int32 in steps of the product of the operands' scales, which are inputs
/// 1 and 4.
fn bias(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    place: usize,
) -> Result<Option<String>, String> {
    if node.input(place).is_none() {
        return Ok(None);
    }
    let tensor = constant(node, emitter, place)?;
    let [a, b] = [1, 4].map(|place| floats(constant(node, emitter, place)?));
    let (a, b) = (a?, b?);
    let (integers, count) = (
        Integers::of(tensor)?,
        count(&tensor.dims).unwrap_or_default(),
    );
    if a.len() != 1 || ![1, count].contains(&b.len()) {
        let (a, b) = (a.len(), b.len());
        return Err(format!("a bias of {count} values, and {a} and {b} scales"));
    }
    #[allow(clippy::cast_precision_loss, reason = "what the operator does, too")]
    let value = |index: usize| {
        let scale = a.value(0) * b.value(if b.len() == 1 { 0 } else { index });
        integers.value(index) as f32 * scale
    };
    let values: Vec<f32> = (0..count).map(value).collect();
    let name = emitter.fresh("bias");
    emitter.floats_named(&values, tensor.dims.clone(), &name);
    Ok(Some(name))
}
