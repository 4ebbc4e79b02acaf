//! From ONNX messages to an inference model.
//!
//! Shapes that the graph declares are not read: exporters leave there what
//! contradicts the shapes set later. A node is named after its first output,
//! since those names are unique and the nodes' own need not be.

use super::external::ExternalInitializers;
use super::node::{Node, is_standard, node_name};
use super::operators;
use super::tensor::{datum_type, read_tensor};
use crate::GraphError;
use crate::error::{Stage, one_line};
use crate::ops::embedding::EmbeddingLookup;
use encoderfile_proto::onnx::{
    GraphProto, ModelProto, NodeProto, ValueInfoProto, type_proto::Value,
};
use std::collections::HashMap;
use std::sync::Arc;
use tract_hir::internal::*;

/// The oldest opset: before it `Clip` and `Pad` had their parameters elsewhere.
const OPSET_MIN: i64 = 11;

/// The model of `proto`, whose large tensors are in `external`, with the types
/// of its inputs but not their shapes.
pub(crate) fn read(
    proto: &ModelProto,
    external: &ExternalInitializers,
) -> Result<InferenceModel, GraphError> {
    let graph = proto.graph.as_ref().ok_or(GraphError::NoGraph)?;
    let mut reader = Reader {
        opset: opset(proto)?,
        external,
        model: InferenceModel::default(),
        outlets: HashMap::new(),
    };
    for tensor in &graph.initializer {
        reader.add_constant(&tensor.name, read_tensor(tensor)?.into_arc_tensor())?;
    }
    for (name, tensor) in &external.constants {
        reader.add_constant(name, Arc::clone(tensor))?;
    }
    for input in &graph.input {
        reader.add_input(input)?;
    }
    for node in &graph.node {
        reader.add_node(node)?;
    }
    reader.finish(graph)
}

/// The version of the default domain, if it is served.
///
/// # Errors
/// [`GraphError::Opset`] where it is older than the oldest that is served, or not stated.
pub fn opset(proto: &ModelProto) -> Result<i64, GraphError> {
    let mut imports = proto.opset_import.iter();
    let standard = imports.find(|it| is_standard(&it.domain));
    let got = standard.map(|it| it.version);
    got.filter(|version| *version >= OPSET_MIN)
        .ok_or(GraphError::Opset {
            got,
            min: OPSET_MIN,
        })
}

struct Reader<'a> {
    opset: i64,
    external: &'a ExternalInitializers,
    model: InferenceModel,
    /// By name of the value.
    outlets: HashMap<&'a str, OutletId>,
}

impl<'a> Reader<'a> {
    fn add_constant(&mut self, name: &'a str, tensor: Arc<Tensor>) -> Result<(), GraphError> {
        let outlet = self.model.add_const(name, tensor);
        self.outlets
            .insert(name, outlet.map_err(GraphError::engine(Stage::Reading))?);
        Ok(())
    }

    fn add_input(&mut self, input: &'a ValueInfoProto) -> Result<(), GraphError> {
        if self.outlets.contains_key(input.name.as_str()) {
            return Ok(());
        }
        let source = input_fact(input).and_then(|fact| self.model.add_source(&input.name, fact));
        let source = source.map_err(GraphError::engine(Stage::Reading))?;
        self.outlets.insert(&input.name, source);
        Ok(())
    }

    fn add_node(&mut self, proto: &'a NodeProto) -> Result<(), GraphError> {
        let outputs = proto.output.iter().filter(|name| !name.is_empty());
        let outputs: Vec<&str> = outputs.map(String::as_str).collect();
        let Some(name) = outputs.first() else {
            return Ok(());
        };
        let fail = GraphError::engine(Stage::Reading);
        let (op, inputs) = self.operator(proto)?;
        let facts = outputs.iter().map(|_| InferenceFact::default()).collect();
        let id = self.model.add_node(*name, op, facts).map_err(&fail)?;
        for (slot, input) in inputs.iter().filter(|name| !name.is_empty()).enumerate() {
            let outlet = self.outlet(input, node_name(proto))?;
            let inlet = InletId::new(id, slot);
            self.model.add_edge(outlet, inlet).map_err(&fail)?;
        }
        for (slot, output) in outputs.into_iter().enumerate() {
            self.outlets.insert(output, OutletId::new(id, slot));
        }
        Ok(())
    }

    /// The operator of a node, and those of the node's inputs that it takes.
    fn operator(
        &self,
        proto: &'a NodeProto,
    ) -> Result<(Box<dyn InferenceOp>, &'a [String]), GraphError> {
        if let Some((table, inputs)) = self.external.table_of(proto) {
            return Ok((expand(EmbeddingLookup { table }), inputs));
        }
        if let Some((weight, inputs)) = self.external.matmul_weight_of(proto) {
            return Ok((expand(weight), inputs));
        }
        let node = Node {
            proto,
            opset: self.opset,
        };
        let op = operators::build(&node).ok_or_else(|| operators::unknown(proto))?;
        let op = op.map_err(|error| GraphError::Node {
            op_type: proto.op_type.clone(),
            node: node_name(proto).into(),
            problem: one_line(&error),
        })?;
        Ok((op, &proto.input))
    }

    fn outlet(&self, value: &str, user: &str) -> Result<OutletId, GraphError> {
        let outlet = self.outlets.get(value).copied();
        outlet.ok_or_else(|| GraphError::Undefined {
            value: value.into(),
            user: user.into(),
        })
    }

    fn finish(mut self, graph: &GraphProto) -> Result<InferenceModel, GraphError> {
        let outputs = graph.output.iter();
        let outputs = outputs.map(|output| self.outlet(&output.name, "the output"));
        let outputs: Vec<OutletId> = outputs.collect::<Result<_, _>>()?;
        let selected = self.model.select_output_outlets(&outputs);
        selected.map_err(GraphError::engine(Stage::Reading))?;
        Ok(self.model)
    }
}

fn input_fact(input: &ValueInfoProto) -> TractResult<InferenceFact> {
    let value = input.r#type.as_ref().and_then(|it| it.value.as_ref());
    let Some(Value::TensorType(tensor)) = value else {
        bail!("input `{}` is not a tensor", input.name);
    };
    Ok(InferenceFact::dt(datum_type(tensor.elem_type)?))
}
