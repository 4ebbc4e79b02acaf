//! What opset 23 adds for transformers and PyTorch's exporter writes: attention,
//! rotary position embeddings and the root mean square norm, each as one operator.
//! They become the operators they stand for, which the runtime recognises.

use super::{Fused, Rewritten};
use crate::graph::blocks::root_mean_square;
use crate::graph::emit::{Emitter, int, ints};
use encoderfile::onnx::tensor_proto::DataType;

/// What is added to the score of a token that must not be looked at.
const MASKED: f32 = f32::MIN;

/// `x / √(mean(x²) + epsilon) · scale` over the last axis.
pub(super) fn rms_normalization(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let (x, scale) = (node.required(0)?, node.required(1)?);
    // A scale of one dimension stands for one axis, however that is counted.
    let is_last =
        node.integer("axis", -1) == -1 || emitter.dims(scale).is_some_and(|dims| dims.len() == 1);
    if !is_last {
        return Err("a norm over several axes is not supported".into());
    }
    let epsilon = node.float("epsilon", 1e-5);
    root_mean_square(emitter, x, scale, epsilon, node.result()?);
    Ok(())
}

/// softmax(Q·Kᵀ · scale + mask) · V. Inputs are `[batch, heads, tokens, size]`, or
/// `[batch, tokens, heads · size]` where attributes say how many heads there are.
pub(super) fn attention(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    refuse_decoding(node)?;
    let heads = |name: &str| Some(node.integer(name, 0)).filter(|count| *count > 0);
    let (query_heads, key_heads) = (heads("q_num_heads"), heads("kv_num_heads"));
    let [query, key, value] = [node.required(0)?, node.required(1)?, node.required(2)?];
    let query = by_head(emitter, query, query_heads);
    let [key, value] = [key, value].map(|input| {
        let parts = by_head(emitter, input, key_heads);
        repeated(emitter, parts, query_heads, key_heads)
    });
    let scale = scale(node, emitter, &query);
    let query = emitter.node("Mul", &[&query, &scale]);
    let key = emitter.node_with("Transpose", &[&key], vec![ints("perm", &[0, 1, 3, 2])]);
    let mut scores = emitter.node("MatMul", &[&query, &key]);
    scores = match (node.input(3), node.float("softcap", 0.0)) {
        (Some(_), softcap) if softcap != 0.0 => {
            return Err("attribute `softcap` beside a mask is not supported".into());
        }
        (Some(mask), _) => {
            let bias = bias(emitter, mask);
            emitter.node("Add", &[&scores, &bias])
        }
        (None, 0.0) => scores,
        (None, softcap) => {
            let softcap = emitter.float(softcap);
            let ratio = emitter.node("Div", &[&scores, &softcap]);
            let capped = emitter.node("Tanh", &[&ratio]);
            emitter.node("Mul", &[&capped, &softcap])
        }
    };
    let weights = emitter.node_with("Softmax", &[&scores], vec![int("axis", 3)]);
    if query_heads.is_none() {
        emitter.node_to("MatMul", &[&weights, &value], vec![], node.result()?);
        return Ok(());
    }
    let mixed = emitter.node("MatMul", &[&weights, &value]);
    joined(emitter, &mixed, node.result()?);
    Ok(())
}

fn refuse_decoding(node: &Fused<'_>) -> Rewritten {
    node.without_inputs(&[
        (4, "a past state"),
        (5, "a past state"),
        (6, "a number of tokens that are not padding"),
    ])?;
    if [1, 2, 3].iter().any(|place| node.output(*place).is_some()) {
        return Err("keys, values and scores as outputs are not supported".into());
    }
    if node.integer("is_causal", 0) != 0 {
        return Err("attribute `is_causal`: a token sees only those before it, as in a decoder, which is not supported".into());
    }
    Ok(())
}

/// `[batch, heads, tokens, size]`, whatever it was.
fn by_head(emitter: &mut Emitter<'_>, value: &str, heads: Option<i64>) -> String {
    let Some(heads) = heads else {
        return value.to_owned();
    };
    let shape = emitter.integers(&[0, 0, heads, -1]);
    let parts = emitter.node("Reshape", &[value, &shape]);
    emitter.node_with("Transpose", &[&parts], vec![ints("perm", &[0, 2, 1, 3])])
}

/// The reverse: `[batch, tokens, heads · size]`.
fn joined(emitter: &mut Emitter<'_>, value: &str, output: &str) {
    let value = emitter.node_with("Transpose", &[value], vec![ints("perm", &[0, 2, 1, 3])]);
    let shape = emitter.integers(&[0, 0, -1]);
    emitter.node_to("Reshape", &[&value, &shape], vec![], output);
}

/// Each head as often as several query heads share it.
fn repeated(
    emitter: &mut Emitter<'_>,
    value: String,
    query_heads: Option<i64>,
    key_heads: Option<i64>,
) -> String {
    let (Some(query_heads), Some(key_heads)) = (query_heads, key_heads) else {
        return value;
    };
    if query_heads == key_heads {
        return value;
    }
    let shape = emitter.node("Shape", &[&value]);
    let rest = emitter.slice(&shape, 0, 2, i64::MAX);
    let axis = emitter.integers(&[2]);
    let apart = emitter.node("Unsqueeze", &[&value, &axis]);
    let wide = emitter.integers(&[1, key_heads, query_heads / key_heads]);
    let wide = emitter.node_with("Concat", &[&wide, &rest], vec![int("axis", 0)]);
    let apart = emitter.node("Expand", &[&apart, &wide]);
    let together = emitter.integers(&[1, query_heads]);
    let together = emitter.node_with("Concat", &[&together, &rest], vec![int("axis", 0)]);
    emitter.node("Reshape", &[&apart, &together])
}

/// What products of query and key are multiplied by: `1/√size` unless it is given.
fn scale(node: &Fused<'_>, emitter: &mut Emitter<'_>, query: &str) -> String {
    if let Some(scale) = node.attribute("scale") {
        return emitter.float(scale.f);
    }
    let shape = emitter.node("Shape", &[query]);
    let last = emitter.integer(3);
    let size = emitter.node("Gather", &[&shape, &last]);
    let size = emitter.node_with("Cast", &[&size], vec![int("to", DataType::Float as i64)]);
    let root = emitter.node("Sqrt", &[&size]);
    let one = emitter.float(1.0);
    emitter.node("Div", &[&one, &root])
}

/// A mask as what is added to scores.
fn bias(emitter: &mut Emitter<'_>, mask: &str) -> String {
    if !is_boolean(emitter, mask) {
        return mask.to_owned();
    }
    let [seen, masked] = [0.0, MASKED].map(|value| emitter.float(value));
    emitter.node("Where", &[mask, &seen, &masked])
}

/// Whether a value is true or false, by what computes it.
fn is_boolean(emitter: &Emitter<'_>, value: &str) -> bool {
    let mut value = value;
    loop {
        if emitter.data_type(value) == Some(DataType::Bool) {
            return true;
        }
        let Some(node) = emitter.producer(value) else {
            return false;
        };
        let input = match node.op_type.as_str() {
            "And" | "Or" | "Xor" | "Not" | "Equal" | "Greater" | "GreaterOrEqual" | "Less"
            | "LessOrEqual" | "IsNaN" | "IsInf" => return true,
            "Cast" => {
                let to = node.attribute.iter().find(|it| it.name == "to");
                return to.is_some_and(|to| to.i == i64::from(DataType::Bool as i32));
            }
            "Where" => node.input.get(1),
            "Concat" | "Expand" | "Flatten" | "Gather" | "GatherElements" | "GatherND"
            | "Identity" | "Reshape" | "Slice" | "Squeeze" | "Tile" | "Transpose" | "Unsqueeze" => {
                node.input.first()
            }
            _ => return false,
        };
        let Some(input) = input else { return false };
        value = input;
    }
}

/// Heads turned by their position: `x · cos + rotate_half(x) · sin`.
pub(super) fn rotary_embedding(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    node.without_flags(&["interleaved"])?;
    let heads = Some(node.integer("num_heads", 0)).filter(|count| *count > 0);
    let [x, cos, sin] = [node.required(0)?, node.required(1)?, node.required(2)?];
    // Without position ids the caches have a row a token, and the input has four axes;
    // PyTorch's exporter gives the number of heads there too.
    let is_flat = heads.filter(|_| !has_four_axes(emitter, x));
    let x = by_head(emitter, x, is_flat);
    let [cos, sin] = [cos, sin].map(|cache| {
        let rows = match node.input(3) {
            Some(positions) => emitter.node("Gather", &[cache, positions]),
            None => cache.to_owned(),
        };
        let axis = emitter.integers(&[1]);
        let rows = emitter.node("Unsqueeze", &[&rows, &axis]);
        emitter.node_with("Concat", &[&rows, &rows], vec![int("axis", -1)])
    });
    let turned = match node.integer("rotary_embedding_dim", 0) {
        0 => turned(emitter, &x, &cos, &sin),
        width => {
            let first = emitter.slice(&x, 3, 0, width);
            let rest = emitter.slice(&x, 3, width, i64::MAX);
            let first = turned(emitter, &first, &cos, &sin);
            emitter.node_with("Concat", &[&first, &rest], vec![int("axis", 3)])
        }
    };
    match is_flat {
        Some(_) => joined(emitter, &turned, node.result()?),
        None => emitter.node_to("Identity", &[&turned], vec![], node.result()?),
    }
    Ok(())
}

fn turned(emitter: &mut Emitter<'_>, x: &str, cos: &str, sin: &str) -> String {
    let [first, second] = emitter.halves(x);
    let second = emitter.node("Neg", &[&second]);
    let rotated = emitter.node_with("Concat", &[&second, &first], vec![int("axis", -1)]);
    let [along, across] =
        [(x, cos), (&rotated, sin)].map(|(value, factor)| emitter.node("Mul", &[value, factor]));
    emitter.node("Add", &[&along, &across])
}

/// Whether a value has an axis of heads, by what computes it.
fn has_four_axes(emitter: &Emitter<'_>, value: &str) -> bool {
    let mut value = value;
    while let Some(node) = emitter.producer(value) {
        match node.op_type.as_str() {
            "Transpose" => {
                let perm = node.attribute.iter().find(|it| it.name == "perm");
                return perm.is_some_and(|perm| perm.ints.len() == 4);
            }
            "Reshape" => {
                let dims = node.input.get(1).and_then(|shape| emitter.dims(shape));
                return dims == Some(&[4]);
            }
            _ => {}
        }
        let Some(input) = node.input.first() else {
            break;
        };
        value = input;
    }
    false
}
