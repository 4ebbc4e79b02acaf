//! Normalisations, embeddings and products.

use super::{Fused, Rewritten};
use crate::graph::blocks::{all_positions, normalise, root_mean_square};
use crate::graph::emit::{Emitter, int, text};

/// Sum of input, skip and bias, normalised.
pub(super) fn skip_layer_normalization(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    unused_statistics(node)?;
    let sum = skip_sum(node, emitter, node.input(4))?;
    let (scale, bias) = (node.required(2)?, node.input(3));
    let epsilon = node.float("epsilon", 1e-12);
    normalise(emitter, &sum, scale, bias, epsilon, node.result()?);
    Ok(())
}

pub(super) fn skip_simplified_layer_normalization(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
) -> Rewritten {
    unused_statistics(node)?;
    let sum = skip_sum(node, emitter, node.input(3))?;
    let epsilon = node.float("epsilon", 1e-12);
    root_mean_square(emitter, &sum, node.required(2)?, epsilon, node.result()?);
    Ok(())
}

pub(super) fn simplified_layer_normalization(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
) -> Rewritten {
    if ![-1, 2].contains(&node.integer("axis", -1)) {
        return Err("an axis other than the last is not supported".into());
    }
    let (x, scale) = (node.required(0)?, node.required(1)?);
    let epsilon = node.float("epsilon", 1e-5);
    root_mean_square(emitter, x, scale, epsilon, node.result()?);
    Ok(())
}

/// Only training needs mean and deviation.
fn unused_statistics(node: &Fused<'_>) -> Rewritten {
    match (node.output(1), node.output(2)) {
        (None, None) => Ok(()),
        _ => Err("its mean and deviation as outputs are not supported".into()),
    }
}

fn skip_sum(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    bias: Option<&str>,
) -> Result<String, String> {
    let mut terms = vec![node.required(0)?.to_owned()];
    terms.extend(bias.map(str::to_owned));
    terms.push(node.required(1)?.to_owned());
    let mut sum = terms.remove(0);
    let last = terms.len() - 1;
    for (index, term) in terms.iter().enumerate() {
        sum = match node.output(3).filter(|_| index == last) {
            Some(output) => {
                emitter.node_to("Add", &[&sum, term], vec![], output);
                output.to_owned()
            }
            None => emitter.node("Add", &[&sum, term]),
        };
    }
    Ok(sum)
}

/// What an embedding layer sums up, and how it normalises the sum.
pub(super) struct Embedding<'a> {
    pub(super) words: String,
    pub(super) positions: String,
    pub(super) segments: Option<String>,
    pub(super) scale: &'a str,
    pub(super) bias: &'a str,
}

pub(super) fn embed_layer_normalization(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let ids = node.required(0)?;
    let positions = match node.input(8) {
        Some(positions) => positions.to_owned(),
        None => all_positions(emitter, ids),
    };
    let segments = node.input(1).zip(node.input(4));
    let embedding = Embedding {
        words: emitter.node("Gather", &[node.required(2)?, ids]),
        positions: emitter.node("Gather", &[node.required(3)?, &positions]),
        segments: segments.map(|(ids, table)| emitter.node("Gather", &[table, ids])),
        scale: node.required(5)?,
        bias: node.required(6)?,
    };
    embed(node, emitter, &embedding, node.input(7))
}

pub(super) fn embed(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    embedding: &Embedding<'_>,
    mask: Option<&str>,
) -> Rewritten {
    let mut sum = emitter.node("Add", &[&embedding.words, &embedding.positions]);
    if let Some(segments) = &embedding.segments {
        sum = emitter.node("Add", &[&sum, segments]);
    }
    if let Some(output) = node.output(2) {
        emitter.node_to("Identity", &[&sum], vec![], output);
    }
    // The number of tokens attended to: all of a batch of one.
    if let (Some(output), Some(mask)) = (node.output(1), mask) {
        let count = emitter.node_with("ReduceSum", &[mask], vec![int("keepdims", 0)]);
        let shape = emitter.integers(&[1]);
        emitter.node_to("Reshape", &[&count, &shape], vec![], output);
    }
    let (scale, bias) = (embedding.scale, Some(embedding.bias));
    let epsilon = node.float("epsilon", 1e-12);
    normalise(emitter, &sum, scale, bias, epsilon, node.result()?);
    Ok(())
}

/// `alpha · A · B`, either of them transposed.
pub(super) fn fused_mat_mul(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    node.without_flags(&["transBatchA", "transBatchB"])?;
    let (a, b) = (node.required(0)?, node.required(1)?);
    let transposed = |name: &str| node.integer(name, 0) != 0;
    let alpha = node.float("alpha", 1.0);
    let result = node.result()?;
    let scaled = alpha != 1.0;
    let equation = match (transposed("transA"), transposed("transB")) {
        (false, false) => None,
        (false, true) => Some("...ij,...kj->...ik"),
        (true, false) => Some("...ji,...jk->...ik"),
        (true, true) => Some("...ji,...kj->...ik"),
    };
    let (op_type, attributes) = match equation {
        // The ranks are not known, so that no Transpose can be written.
        Some(equation) => ("Einsum", vec![text("equation", equation)]),
        None => ("MatMul", vec![]),
    };
    if !scaled {
        emitter.node_to(op_type, &[a, b], attributes, result);
        return Ok(());
    }
    let product = emitter.node_with(op_type, &[a, b], attributes);
    let alpha = emitter.float(alpha);
    emitter.node_to("Mul", &[&product, &alpha], vec![], result);
    Ok(())
}

pub(super) fn fused_gemm(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    activated(node, emitter, "Gemm", &node.proto.input)
}

pub(super) fn fused_conv(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    node.without_inputs(&[(3, "a sum after the convolution")])?;
    let inputs = &node.proto.input[..node.proto.input.len().min(3)];
    activated(node, emitter, "Conv", inputs)
}

/// An operator and the activation that `activation` names.
fn activated(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    op_type: &str,
    inputs: &[String],
) -> Rewritten {
    let activation = node.attribute("activation");
    let activation = activation.map(|it| String::from_utf8_lossy(&it.s).into_owned());
    let activation = activation.ok_or("it names no activation")?;
    if !["Relu", "Sigmoid", "Tanh"].contains(&activation.as_str()) {
        return Err(format!("activation {activation} is not supported"));
    }
    let attributes = node.proto.attribute.iter();
    let own = attributes.filter(|it| !it.name.starts_with("activation"));
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let value = emitter.node_with(op_type, &inputs, own.cloned().collect());
    emitter.node_to(&activation, &[&value], vec![], node.result()?);
    Ok(())
}
