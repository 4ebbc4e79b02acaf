//! Constant folding: what depends on no input is computed once, when the file is built, and
//! is a tensor of the graph from then on. Otherwise every start would compute it:
//! DeBERTa projects its embeddings of relative positions in each layer, twice.

use super::tensors::{is_large, value_count};
use super::{float32, remove_unused};
use encoderfile::graph::{Tokens, read};
use encoderfile::onnx::{
    GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType,
};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use tract_core::internal::*;

/// Operators that only lay out anew what a tensor has. Of a large one that the file has, a
/// second copy would make it larger and save nothing: the embeddings of a masked language
/// model are its decoder, too.
const LAYOUTS: [&str; 8] = [
    "Cast",
    "Flatten",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Operators whose result is as a rule far larger than what they are given, and would be
/// computed only to be thrown away, or which are how a quantised matrix is written.
const KEPT: [&str; 5] = [
    "ConstantOfShape",
    "DequantizeLinear",
    "Expand",
    "Range",
    "Tile",
];

/// A tensor of up to as many bytes is folded whatever it comes of.
const SMALL: usize = 4096;

/// Computes what depends on no input: as much as tract can compute, and as is no larger than
/// the tensors it comes of. A broadcast, such as a table of ALiBi's biases or a causal mask,
/// is two vectors in the file and a matrix only where it runs.
pub(super) fn fold(model: &ModelProto, graph: &mut GraphProto) {
    let mut folded = foldable(graph);
    let constants = loop {
        let Ok(constants) = compute(model, graph, &folded) else {
            // Whoever loads the graph says what is wrong with it.
            return;
        };
        let larger = larger_than_sources(graph, &constants);
        if larger.is_empty() {
            break constants;
        }
        let nodes = graph.node.iter().filter(|node| defines(node, &larger));
        for output in nodes.flat_map(|node| &node.output) {
            folded.remove(output);
        }
    };
    graph.node.retain(|node| !defines(node, &folded));
    graph.initializer.extend(constants);
    remove_unused(graph);
}

/// The names of the constants that take more bytes than the tensors they are computed of.
fn larger_than_sources(graph: &GraphProto, constants: &[TensorProto]) -> HashSet<String> {
    let nodes = graph.node.iter();
    let nodes = nodes.flat_map(|node| node.output.iter().map(move |it| (it.as_str(), node)));
    let nodes: HashMap<&str, &NodeProto> = nodes.collect();
    let tensors = graph.initializer.iter();
    let sizes: HashMap<&str, usize> = tensors.map(|it| (it.name.as_str(), size(it))).collect();
    let is_larger = |constant: &&TensorProto| {
        let mut seen = HashSet::new();
        let mut ahead = vec![constant.name.as_str()];
        let mut sources = 0;
        while let Some(name) = ahead.pop() {
            if seen.insert(name) {
                sources += sizes.get(name).copied().unwrap_or(0);
                let node = nodes.get(name).into_iter();
                ahead.extend(node.flat_map(|node| node.input.iter().map(String::as_str)));
            }
        }
        size(constant) > sources.max(SMALL)
    };
    let larger = constants.iter().filter(is_larger);
    larger.map(|it| it.name.clone()).collect()
}

/// The bytes that a tensor's values take.
fn size(tensor: &TensorProto) -> usize {
    let width = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Bool | DataType::Int8 | DataType::Uint8) => 1,
        Ok(DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16) => 2,
        Ok(DataType::Int64 | DataType::Uint64 | DataType::Double) => 8,
        _ => 4,
    };
    value_count(tensor).saturating_mul(width)
}

fn defines(node: &NodeProto, values: &HashSet<String>) -> bool {
    node.output.iter().any(|output| values.contains(output))
}

/// The values that are to be computed.
fn foldable(graph: &GraphProto) -> HashSet<String> {
    let tensors = graph.initializer.iter();
    let mut constants: HashSet<&str> = tensors.map(|it| it.name.as_str()).collect();
    // A tensor of more axes that is only laid out anew is replaced by what it becomes.
    let is_replaced = |it: &TensorProto| it.dims.len() > 2 && uses(graph, &it.name) == 1;
    let large = graph.initializer.iter().filter(|it| is_large(it));
    let large = large.filter(|it| !is_replaced(it));
    let large: HashSet<&str> = large.map(|it| it.name.as_str()).collect();
    let mut folded = HashSet::new();
    for node in &graph.node {
        let operator = node.op_type.as_str();
        let mut inputs = node.input.iter().filter(|it| !it.is_empty());
        let is_constant = inputs.all(|input| constants.contains(input.as_str()));
        let has_body = node.attribute.iter().any(|it| it.g.is_some());
        let is_copy = LAYOUTS.contains(&operator)
            && node
                .input
                .first()
                .is_some_and(|it| large.contains(it.as_str()));
        let is_kept = has_body || is_copy || KEPT.contains(&operator) || node.input.is_empty();
        if is_constant && !is_kept {
            constants.extend(node.output.iter().map(String::as_str));
            folded.extend(node.output.iter().cloned());
        }
    }
    folded
}

/// How often a value is taken.
fn uses(graph: &GraphProto, name: &str) -> usize {
    let outputs = graph.output.iter().map(|it| it.name.clone());
    let taken = graph.node.iter().flat_map(used).chain(outputs);
    taken.filter(|it| it == name).count()
}

/// The values of those that something else needs.
fn compute(
    model: &ModelProto,
    graph: &GraphProto,
    folded: &HashSet<String>,
) -> TractResult<Vec<TensorProto>> {
    let others = graph.node.iter().filter(|node| !defines(node, folded));
    let mut needed: Vec<String> = others.flat_map(used).collect();
    needed.extend(graph.output.iter().map(|it| it.name.clone()));
    needed.retain(|name| folded.contains(name));
    needed.sort_unstable();
    needed.dedup();
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let mut constants = graph.clone();
    constants.input.clear();
    let outputs = needed.iter().map(|name| ValueInfoProto {
        name: name.clone(),
        ..ValueInfoProto::default()
    });
    constants.output = outputs.collect();
    remove_unused(&mut constants);
    constants.initializer.iter_mut().for_each(float32::widen);
    let model = ModelProto {
        graph: Some(constants),
        ..model.clone()
    };
    // No text has a part in it, of whatever length.
    let model = read(&model, Tokens::Exactly(1), &[])?.model;
    let values = model.into_optimized()?.into_runnable()?.run(tvec!())?;
    let tensors = needed.into_iter().zip(values);
    tensors.map(|(name, value)| tensor(name, &value)).collect()
}

/// What a node takes, and what its bodies take of the values around them.
fn used(node: &NodeProto) -> Vec<String> {
    let mut names = node.input.clone();
    for body in node.attribute.iter().filter_map(|it| it.g.as_ref()) {
        names.extend(body.node.iter().flat_map(used));
        names.extend(body.output.iter().map(|it| it.name.clone()));
    }
    names
}

fn tensor(name: String, value: &Tensor) -> TractResult<TensorProto> {
    // tract computes shapes as symbols, of which a constant has none.
    let value = match value.datum_type().is_tdim() {
        true => value.cast_to::<i64>()?,
        false => Cow::Borrowed(value),
    };
    let data_type = match value.datum_type() {
        DatumType::F32 => DataType::Float,
        DatumType::I64 => DataType::Int64,
        DatumType::I32 => DataType::Int32,
        DatumType::Bool => DataType::Bool,
        DatumType::I8 => DataType::Int8,
        DatumType::U8 => DataType::Uint8,
        other => bail!("a constant of {other:?}"),
    };
    let dims = value.shape().iter().map(|it| i64::try_from(*it));
    Ok(TensorProto {
        name,
        data_type: data_type.into(),
        dims: dims.collect::<Result<_, _>>()?,
        raw_data: value.try_as_plain_ram()?.as_bytes().to_vec().into(),
        ..TensorProto::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile::onnx::OperatorSetIdProto;

    fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: operator.into(),
            name: output.into(),
            input: inputs.iter().map(|it| (*it).into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    fn floats(name: &str, dims: &[i64], value: f32) -> TensorProto {
        let count = dims.iter().product::<i64>();
        TensorProto {
            name: name.into(),
            data_type: DataType::Float.into(),
            dims: dims.to_vec(),
            float_data: (0..count).map(|_| value).collect(),
            ..TensorProto::default()
        }
    }

    fn folded(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
        let named = |name: &str| ValueInfoProto {
            name: name.into(),
            ..ValueInfoProto::default()
        };
        let mut graph = GraphProto {
            node,
            initializer,
            input: vec![named("x")],
            output: vec![named("y")],
            ..GraphProto::default()
        };
        let model = ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: 17,
            }],
            ..ModelProto::default()
        };
        fold(&model, &mut graph);
        graph
    }

    fn names(graph: &GraphProto) -> Vec<&str> {
        let nodes = graph.node.iter().map(|it| it.output[0].as_str());
        nodes
            .chain(graph.initializer.iter().map(|it| it.name.as_str()))
            .collect()
    }

    #[test]
    fn a_chain_of_constants_is_one_tensor() {
        let nodes = vec![
            node("Add", &["a", "b"], "sum"),
            node("MatMul", &["sum", "c"], "product"),
            node("Mul", &["x", "product"], "y"),
        ];
        let tensors = vec![
            floats("a", &[2, 3], 1.0),
            floats("b", &[3], 2.0),
            floats("c", &[3, 2], 0.5),
        ];
        let graph = folded(nodes, tensors);
        assert_eq!(names(&graph), ["y", "product"]);
        let product = &graph.initializer[0];
        assert_eq!(product.dims, [2, 2]);
        let (values, _) = product.raw_data.as_chunks::<4>();
        assert!(values.iter().all(|it| f32::from_le_bytes(*it) == 4.5));
    }

    #[test]
    fn what_would_only_be_larger_stays() {
        let nodes = vec![
            node("Transpose", &["table"], "decoder"),
            node("Gather", &["table", "x"], "rows"),
            node("MatMul", &["rows", "decoder"], "y"),
        ];
        let graph = folded(nodes, vec![floats("table", &[64, 32], 1.0)]);
        assert_eq!(names(&graph), ["decoder", "rows", "y", "table"]);
    }

    #[test]
    fn a_broadcast_stays_and_what_it_is_reduced_to_is_folded() {
        let tensors = || vec![floats("i", &[100, 1], 1.0), floats("j", &[100], 2.0)];
        // A matrix of two vectors, which it would be 50 times as large as, and what is
        // computed of each of its values.
        let broadcast = || {
            vec![
                node("Neg", &["j"], "minus_j"),
                node("Add", &["i", "minus_j"], "sum"),
                node("Abs", &["sum"], "distance"),
            ]
        };
        let mut nodes = broadcast();
        nodes.push(node("Mul", &["x", "distance"], "y"));
        let graph = folded(nodes, tensors());
        assert_eq!(names(&graph), ["sum", "distance", "y", "i", "minus_j"]);

        let mut nodes = broadcast();
        nodes.push(node("ReduceMax", &["distance"], "largest"));
        nodes.push(node("Mul", &["x", "largest"], "y"));
        let graph = folded(nodes, tensors());
        assert_eq!(names(&graph), ["y", "largest"]);
    }

    #[test]
    fn what_tract_cannot_compute_stays() {
        let nodes = vec![
            node("MatMul", &["a", "a"], "product"),
            node("Mul", &["x", "product"], "y"),
        ];
        let graph = folded(nodes, vec![floats("a", &[2, 3], 1.0)]);
        assert_eq!(names(&graph), ["product", "y", "a"]);
    }
}
