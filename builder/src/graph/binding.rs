//! Inputs and output, bound by name, with their types, ranks and widths checked.

use super::float32;
use super::outputs::{self, Choice};
use crate::error::BuildError;
use crate::folder::Model;
use encoderfile::GraphError;
use encoderfile::graph::{InputFact, Tokens, read};
use encoderfile::manifest::{Input, InputRole, IntegerType, Output};
use encoderfile::onnx::{
    GraphProto, ModelProto, ValueInfoProto, tensor_proto::DataType, tensor_shape_proto::dimension,
    type_proto,
};
use std::path::Path;
use tract_core::internal::*;

/// What goes into a graph and what of its outputs is read.
#[derive(Clone, Debug)]
pub struct Binding {
    /// In the order the graph declares them.
    pub inputs: Vec<Input>,
    /// The output of the task.
    pub output: Output,
    /// Rows of the table that token ids look up.
    pub vocabulary_size: Option<u32>,
}

impl Binding {
    /// Binds the inputs and the chosen output of `graph`, the graph of `proto`
    /// when it is finished.
    pub(super) fn of(
        path: &Path,
        proto: &ModelProto,
        graph: &GraphProto,
        model: &Model,
        output: Choice,
        max_tokens: u32,
    ) -> Result<Self, BuildError> {
        let fail = |problem: String| BuildError::Onnx {
            path: path.to_owned(),
            problem,
        };
        let inputs = graph.input.iter();
        let inputs = inputs
            .map(|input| bind_input(input, model).map_err(fail))
            .collect::<Result<Vec<_>, _>>()?;
        let ids = inputs.iter().find(|it| it.role == InputRole::InputIds);
        let ids = ids.ok_or_else(|| fail("no input named `input_ids`".into()))?;
        let declared = graph.output.iter().find(|it| it.name == output.name);
        let declared = declared.and_then(|output| tensor_type(output).1);
        let shape = match declared {
            Some(shape) if shape.last().is_some_and(Option::is_some) => shape,
            _ => computed_shape(proto, graph, &inputs, max_tokens).map_err(|source| {
                BuildError::Graph {
                    path: path.to_owned(),
                    source,
                }
            })?,
        };
        let rows = table_rows(graph, &ids.name);
        let output = bind_output(output, &shape, model).map_err(fail)?;
        outputs::check_width(path, &output, model, rows)?;
        Ok(Self {
            vocabulary_size: rows.or(model.vocabulary_size),
            output,
            inputs,
        })
    }
}

fn bind_input(input: &ValueInfoProto, model: &Model) -> Result<Input, String> {
    let name = &input.name;
    let role = match name.as_str() {
        "input_ids" => InputRole::InputIds,
        "attention_mask" => InputRole::AttentionMask,
        "token_type_ids" => InputRole::TokenTypeIds,
        "position_ids" => InputRole::PositionIds,
        _ => {
            return Err(format!(
                "input `{name}` is not supported; expected input_ids, attention_mask, token_type_ids or position_ids"
            ));
        }
    };
    let (element_type, shape) = tensor_type(input);
    let integer_type = match element_type {
        Some(DataType::Int64) => IntegerType::Int64,
        Some(DataType::Int32) => IntegerType::Int32,
        Some(other) => {
            return Err(format!(
                "input `{name}` has type {other:?}, expected Int64 or Int32"
            ));
        }
        None => {
            return Err(format!(
                "input `{name}` has no type, expected Int64 or Int32"
            ));
        }
    };
    if let Some(shape) = shape.filter(|shape| shape.len() != 2) {
        let rank = shape.len();
        return Err(format!(
            "input `{name}` has rank {rank}, expected 2: [batch, tokens]"
        ));
    }
    Ok(Input {
        name: name.clone(),
        role,
        integer_type,
        first_position: match role {
            InputRole::PositionIds => model.limits.first_position,
            _ => 0,
        },
        zeros: role == InputRole::TokenTypeIds && !model.makes_type_ids,
    })
}

fn bind_output(
    Choice { name, per_token }: Choice,
    shape: &[Option<u32>],
    model: &Model,
) -> Result<Output, String> {
    let rank = if per_token { 3 } else { 2 };
    if shape.len() != rank {
        return Err(format!(
            "output `{name}` has rank {}, expected {rank} for {}",
            shape.len(),
            model.task.name()
        ));
    }
    let width = shape.last().copied().flatten();
    let width = width.ok_or_else(|| format!("output `{name}` is of no certain width"))?;
    Ok(Output {
        name,
        width,
        per_token,
    })
}

/// The shape of the output as the operators make it, where the graph does not say.
fn computed_shape(
    proto: &ModelProto,
    graph: &GraphProto,
    inputs: &[Input],
    max_tokens: u32,
) -> Result<Vec<Option<u32>>, GraphError> {
    let mut graph = graph.clone();
    graph.initializer.iter_mut().for_each(float32::widen);
    let proto = ModelProto {
        graph: Some(graph),
        ..proto.clone()
    };
    let facts = inputs.iter().map(|it| InputFact::of(it.integer_type));
    let facts: Vec<InputFact> = facts.collect();
    let model = read(&proto, Tokens::UpTo(max_tokens), &facts)?.model;
    let fact = model.output_fact(0);
    let dims = fact.into_iter().flat_map(|it| it.shape.to_tvec());
    let known = |dim: TDim| dim.to_usize().ok().and_then(|it| u32::try_from(it).ok());
    Ok(dims.map(known).collect())
}

/// Refuses inputs whose axes are fixed at what one text does not have: a batch
/// of one is all that is ever computed, but texts have any length.
pub(super) fn refuse_fixed_shapes(path: &Path, graph: &GraphProto) -> Result<(), BuildError> {
    let mut fixed = Vec::new();
    for input in &graph.input {
        let Some(shape) = tensor_type(input).1.filter(|shape| shape.len() == 2) else {
            continue;
        };
        let axes = ["batch", "tokens"].into_iter().zip(&shape);
        let axes = axes.filter_map(|(axis, length)| Some((axis, (*length)?)));
        let axes = axes.filter(|axis| *axis != ("batch", 1));
        let axes: Vec<String> = axes
            .map(|(axis, length)| format!("{axis} at {length}"))
            .collect();
        if !axes.is_empty() {
            fixed.push(format!("`{}` has {}", input.name, axes.join(" and ")));
        }
    }
    if fixed.is_empty() {
        return Ok(());
    }
    Err(BuildError::FixedShapes {
        path: path.to_owned(),
        fixed: fixed.join(", "),
    })
}

/// The element type, and the shape with `None` for symbolic dimensions.
pub(super) fn tensor_type(value: &ValueInfoProto) -> (Option<DataType>, Option<Vec<Option<u32>>>) {
    let Some(type_proto::Value::TensorType(tensor)) =
        value.r#type.as_ref().and_then(|it| it.value.as_ref())
    else {
        return (None, None);
    };
    let shape = tensor.shape.as_ref().map(|shape| {
        let dims = shape.dim.iter().map(|dim| match dim.value {
            Some(dimension::Value::DimValue(value)) => u32::try_from(value).ok(),
            _ => None,
        });
        dims.collect()
    });
    (DataType::try_from(tensor.elem_type).ok(), shape)
}

/// Rows of the tensor from which the ids are gathered, whatever type they are cast to.
fn table_rows(graph: &GraphProto, ids: &str) -> Option<u32> {
    let mut names = vec![ids];
    for node in &graph.node {
        let is_ids = |name: &String| names.contains(&name.as_str());
        match node.op_type.as_str() {
            "Cast" | "Identity" if node.input.iter().any(is_ids) => {
                names.extend(node.output.first().map(String::as_str));
            }
            "Gather" if node.input.get(1).is_some_and(is_ids) => {
                let table = node.input.first()?;
                let tensor = graph.initializer.iter().find(|it| it.name == *table)?;
                return u32::try_from(*tensor.dims.first()?).ok();
            }
            _ => {}
        }
    }
    None
}
