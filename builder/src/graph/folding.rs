//! Constant folding: what depends on no input is computed once, when the file is built, and
//! is a tensor of the graph from then on. Otherwise every start would compute it:
//! DeBERTa projects its embeddings of relative positions in each layer, twice.

use super::tensors::is_large;
use super::{float32, remove_unused};
use encoderfile::graph::read;
use encoderfile::onnx::{
    GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType,
};
use std::borrow::Cow;
use std::collections::HashSet;
use tract_hir::internal::*;

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

/// Operators whose result may be far larger than what they are given, or which are how a
/// quantised matrix is written.
const KEPT: [&str; 5] = [
    "ConstantOfShape",
    "DequantizeLinear",
    "Expand",
    "Range",
    "Tile",
];

/// Computes what depends on no input; as much as tract can compute.
pub(super) fn fold(model: &ModelProto, graph: &mut GraphProto) {
    let folded = foldable(graph);
    let Ok(constants) = compute(model, graph, &folded) else {
        // Whoever loads the graph says what is wrong with it.
        return;
    };
    graph.node.retain(|node| !defines(node, &folded));
    graph.initializer.extend(constants);
    remove_unused(graph);
}

fn defines(node: &NodeProto, values: &HashSet<String>) -> bool {
    node.output.iter().any(|output| values.contains(output))
}

/// The values that are to be computed.
fn foldable(graph: &GraphProto) -> HashSet<String> {
    let tensors = graph.initializer.iter();
    let mut constants: HashSet<&str> = tensors.map(|it| it.name.as_str()).collect();
    let large = graph.initializer.iter().filter(|it| is_large(it));
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
    let plan = read(&model)?.into_typed()?.into_optimized()?;
    let values = plan.into_runnable()?.run(tvec!())?;
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
    fn what_tract_cannot_compute_stays() {
        let nodes = vec![
            node("MatMul", &["a", "a"], "product"),
            node("Mul", &["x", "product"], "y"),
        ];
        let graph = folded(nodes, vec![floats("a", &[2, 3], 1.0)]);
        assert_eq!(names(&graph), ["product", "y", "a"]);
    }
}
