//! Inputs and output, bound by name, with their types and ranks checked.

use crate::error::BuildError;
use crate::folder::Model;
use encoderfile_runtime::onnx::{
    GraphProto, ValueInfoProto, tensor_proto::DataType, tensor_shape_proto::dimension, type_proto,
};
use encoderfile_runtime::proto::{Input, InputRole, IntegerType, Output, Task};
use std::collections::HashSet;
use std::path::Path;

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
    pub(super) fn of(path: &Path, graph: &GraphProto, model: &Model) -> Result<Self, BuildError> {
        let fail = |problem: String| BuildError::Onnx {
            path: path.to_owned(),
            problem,
        };
        let initialised: HashSet<&str> = graph
            .initializer
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        let declared = graph.input.iter();
        let inputs = declared
            .filter(|input| !initialised.contains(input.name.as_str()))
            .map(|input| bind_input(input).map_err(fail))
            .collect::<Result<Vec<_>, _>>()?;
        let ids = inputs.iter().find(|it| it.role() == InputRole::InputIds);
        let ids = ids.ok_or_else(|| fail("no input named `input_ids`".into()))?;
        let output = bind_output(graph, model).map_err(fail)?;
        Ok(Self {
            vocabulary_size: table_rows(graph, &ids.name).or(model.vocabulary_size),
            inputs,
            output,
        })
    }
}

fn bind_input(input: &ValueInfoProto) -> Result<Input, String> {
    let name = &input.name;
    let role = match name.as_str() {
        "input_ids" => InputRole::InputIds,
        "attention_mask" => InputRole::AttentionMask,
        "token_type_ids" => InputRole::TokenTypeIds,
        _ => {
            return Err(format!(
                "input `{name}` is not supported; expected input_ids, attention_mask or token_type_ids"
            ));
        }
    };
    let (element_type, shape) = tensor_type(input);
    let integer_type = match element_type {
        Some(DataType::Int64) => IntegerType::Int64,
        Some(DataType::Int32) => IntegerType::Int32,
        other => {
            return Err(format!(
                "input `{name}` has type {other:?}, expected Int64 or Int32"
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
        role: role.into(),
        integer_type: integer_type.into(),
    })
}

fn bind_output(graph: &GraphProto, model: &Model) -> Result<Output, String> {
    let per_token = model.task != Task::SequenceClassification;
    let expected_name = match model.task {
        Task::Embedding | Task::SentenceEmbedding | Task::Unspecified => "last_hidden_state",
        Task::SequenceClassification
        | Task::TokenClassification
        | Task::SparseEmbedding
        | Task::FillMask => "logits",
    };
    let by_name = graph.output.iter().find(|it| it.name == expected_name);
    let only = (graph.output.len() == 1).then(|| &graph.output[0]);
    let Some(output) = by_name.or(only) else {
        let names: Vec<&str> = graph.output.iter().map(|it| it.name.as_str()).collect();
        return Err(format!(
            "no output named `{expected_name}`; it has {}",
            names.join(", ")
        ));
    };
    let name = &output.name;
    let (element_type, shape) = tensor_type(output);
    if !matches!(element_type, Some(DataType::Float | DataType::Float16)) {
        return Err(format!(
            "output `{name}` has type {element_type:?}, expected Float"
        ));
    }
    let shape = shape.ok_or_else(|| format!("output `{name}` declares no shape"))?;
    let rank = if per_token { 3 } else { 2 };
    if shape.len() != rank {
        return Err(format!(
            "output `{name}` has rank {}, expected {rank} for {}",
            shape.len(),
            model.task.name()
        ));
    }
    let width = shape.last().copied().flatten();
    let width = width.ok_or_else(|| format!("output `{name}` declares no width"))?;
    Ok(Output {
        name: name.clone(),
        width,
        per_token,
    })
}

/// The element type, and the shape with `None` for symbolic dimensions.
fn tensor_type(value: &ValueInfoProto) -> (Option<DataType>, Option<Vec<Option<u32>>>) {
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

/// Rows of the tensor from which the ids are gathered.
fn table_rows(graph: &GraphProto, ids: &str) -> Option<u32> {
    let mut gathers = graph.node.iter().filter(|node| node.op_type == "Gather");
    let gather = gathers.find(|node| node.input.get(1).is_some_and(|it| it == ids))?;
    let table = gather.input.first()?;
    let tensor = graph.initializer.iter().find(|it| it.name == *table)?;
    u32::try_from(*tensor.dims.first()?).ok()
}
