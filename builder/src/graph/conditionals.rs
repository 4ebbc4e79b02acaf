//! Resolving `If` nodes whose condition does not depend on the text.
//!
//! PyTorch's exporter writes Python's `if query.size(-2) != key.size(-2)`
//! (DeBERTa) as an ONNX `If`, which a plan for any length cannot contain. With
//! a symbolic length the inference engine can prove such conditions one way or
//! the other; the branch that is taken then replaces the node. A condition that
//! cannot be proven is refused.

use super::remove_unused;
use super::tensors::{is_float, is_large};
use crate::error::BuildError;
use encoderfile::graph::{InputFact, Tokens, read};
use encoderfile::onnx::{
    GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto,
    tensor_proto::DataType, type_proto,
};
use std::collections::HashMap;
use std::path::Path;
use tract_core::internal::*;

/// Replaces every `If` by the branch it takes; whether there was one.
pub(super) fn resolve(
    path: &Path,
    model: &ModelProto,
    graph: &mut GraphProto,
    max_tokens: u32,
) -> Result<bool, BuildError> {
    let mut resolved = false;
    while let Some(index) = graph.node.iter().position(|node| node.op_type == "If") {
        let node = &graph.node[index];
        let name = node.input.first().cloned().unwrap_or_default();
        let unproven = |detail: String| BuildError::Condition {
            path: path.to_owned(),
            condition: name.clone(),
            node: node.name.clone(),
            detail,
        };
        let taken = prove(model, graph, index, name.clone(), max_tokens)
            .map_err(|error| unproven(format!("{error:#}").replace('\n', " ")))?
            .ok_or_else(|| unproven("it is no constant".into()))?;
        inline(graph, index, taken);
        resolved = true;
    }
    Ok(resolved)
}

/// The value of the condition of the `If` at `index`, for any length, if it has one.
fn prove(
    model: &ModelProto,
    graph: &GraphProto,
    index: usize,
    name: String,
    max_tokens: u32,
) -> TractResult<Option<bool>> {
    let mut condition = graph.clone();
    condition.node.truncate(index);
    condition.output = vec![ValueInfoProto {
        name,
        ..ValueInfoProto::default()
    }];
    remove_unused(&mut condition);
    let facts = without_values(&mut condition);
    let model = ModelProto {
        graph: Some(condition),
        ..model.clone()
    };
    let model = read(&model, Tokens::UpTo(max_tokens), &facts)?.model;
    let model = model.into_decluttered()?;
    let Some(constant) = &model.output_fact(0)?.konst else {
        return Ok(None);
    };
    Ok(Some(constant.cast_to_scalar::<bool>()?))
}

/// Makes inputs of the large float tensors and returns the facts of all inputs: what holds
/// for any text, or counts its tokens, cannot depend on weights, which are large.
pub(super) fn without_values(graph: &mut GraphProto) -> Vec<InputFact> {
    let texts = graph.input.iter();
    let mut facts: Vec<InputFact> = texts.map(|it| InputFact::OfText(datum_type(it))).collect();
    let is_weight = |tensor: &mut TensorProto| is_float(tensor) && is_large(tensor);
    let weights = graph.initializer.extract_if(.., is_weight);
    let weights: Vec<TensorProto> = weights.collect();
    let inputs = weights.iter().map(|tensor| ValueInfoProto {
        name: tensor.name.clone(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: DataType::Float.into(),
                shape: None,
            })),
        }),
    });
    graph.input.extend(inputs);
    facts.extend(weights.into_iter().map(|it| InputFact::Tensor(it.dims)));
    facts
}

fn datum_type(input: &ValueInfoProto) -> DatumType {
    let value = input.r#type.as_ref().and_then(|it| it.value.as_ref());
    match value {
        Some(type_proto::Value::TensorType(tensor))
            if tensor.elem_type == DataType::Int32 as i32 =>
        {
            i32::datum_type()
        }
        _ => i64::datum_type(),
    }
}

/// Puts the nodes of a branch where the `If` was.
fn inline(graph: &mut GraphProto, index: usize, taken: bool) {
    let node = graph.node.remove(index);
    let wanted = if taken { "then_branch" } else { "else_branch" };
    let branch = node.attribute.iter().find(|it| it.name == wanted);
    let Some(mut branch) = branch.and_then(|it| it.g.clone()) else {
        return;
    };
    // Two branches may use one name for different values.
    let prefix = if node.name.is_empty() {
        &node.output[0]
    } else {
        &node.name
    };
    let mut names: HashMap<String, String> = HashMap::new();
    let defined = branch.node.iter().flat_map(|node| &node.output);
    let defined = defined.chain(branch.initializer.iter().map(|it| &it.name));
    for name in defined.filter(|name| !name.is_empty()) {
        names.insert(name.clone(), format!("{prefix}/{name}"));
    }
    let mut identities = Vec::new();
    for (inner, outer) in branch.output.iter().zip(&node.output) {
        match names.get_mut(&inner.name) {
            Some(name) => outer.clone_into(name),
            // A branch may hand through what was defined outside.
            None => identities.push(identity(&inner.name, outer)),
        }
    }
    for tensor in &mut branch.initializer {
        tensor.name = names[&tensor.name].clone();
    }
    for node in &mut branch.node {
        rename(node, &names, prefix);
    }
    branch.node.extend(identities);
    graph.initializer.append(&mut branch.initializer);
    graph.node.splice(index..index, branch.node);
}

fn identity(input: &str, output: &str) -> NodeProto {
    NodeProto {
        op_type: "Identity".into(),
        name: format!("{output}/Identity"),
        input: vec![input.into()],
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

fn rename(node: &mut NodeProto, names: &HashMap<String, String>, prefix: &str) {
    if !node.name.is_empty() {
        node.name = format!("{prefix}/{}", node.name);
    }
    for name in node.input.iter_mut().chain(&mut node.output) {
        if let Some(new) = names.get(name) {
            name.clone_from(new);
        }
    }
    for body in node.attribute.iter_mut().filter_map(|it| it.g.as_mut()) {
        for node in &mut body.node {
            // Inner definitions stay; only uses of renamed values change.
            for name in &mut node.input {
                if let Some(new) = names.get(name) {
                    name.clone_from(new);
                }
            }
        }
    }
}
