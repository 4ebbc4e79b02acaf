//! From ONNX messages to a model of the engine's operators, each wired to those before it.
//!
//! Shapes that the graph declares are not read: exporters leave there what
//! contradicts the shapes of one text. A node is named after its first output,
//! since those names are unique and the nodes' own need not be.

use super::external::ExternalInitializers;
use super::node::{Node, is_standard, node_name};
use super::operators;
use super::tensor::read_tensor;
use crate::GraphError;
use crate::error::{Stage, one_line};
use crate::ops::embedding::EmbeddingLookup;
use encoderfile_format::manifest::IntegerType;
use encoderfile_proto::onnx::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use std::collections::HashMap;
use std::sync::Arc;
use tract_core::internal::*;
use tract_core::ops::konst::Const;

/// The oldest opset: before it `Clip` and `Pad` had their parameters elsewhere.
const OPSET_MIN: i64 = 11;

/// How many tokens a text has.
#[derive(Clone, Copy, Debug)]
pub enum Tokens {
    /// At least one.
    ///
    /// The bounds are part of the plan: exporters write `min(length, positions)`,
    /// which is the length, and tract takes seconds over shapes that keep such
    /// expressions.
    UpTo(u32),
    /// This many.
    Exactly(u32),
}

/// The type and shape of a graph's input.
#[derive(Clone, Debug)]
pub enum InputFact {
    /// Integers of this type, of one text: `[1, tokens]`.
    OfText(DatumType),
    /// Floats of this shape.
    Tensor(Vec<i64>),
}

impl InputFact {
    /// That of an input of the pipeline.
    pub fn of(integer_type: IntegerType) -> Self {
        Self::OfText(match integer_type {
            IntegerType::Int64 => i64::datum_type(),
            IntegerType::Int32 => i32::datum_type(),
        })
    }
}

/// A graph in the engine's operators, with the types and shapes of its values.
pub struct Wired {
    /// Its inputs and outputs are the graph's, in order.
    pub model: TypedModel,
    /// Where each value of the graph is, by its name.
    pub outlets: HashMap<String, OutletId>,
}

/// The model of `proto`, whose large tensors are in `external`, for texts of so many `tokens`.
pub(crate) fn read(
    proto: &ModelProto,
    external: &ExternalInitializers,
    tokens: Tokens,
    inputs: &[InputFact],
) -> Result<Wired, GraphError> {
    let graph = proto.graph.as_ref().ok_or(GraphError::NoGraph)?;
    let mut reader = Reader {
        opset: opset(proto)?,
        external,
        wired: Wired {
            model: TypedModel::default(),
            outlets: HashMap::new(),
        },
    };
    for tensor in &graph.initializer {
        reader.add_constant(&tensor.name, read_tensor(tensor)?.into_arc_tensor())?;
    }
    for (name, tensor) in &external.constants {
        reader.add_constant(name, Arc::clone(tensor))?;
    }
    let length = length(&mut reader.wired.model, tokens);
    let length = length.map_err(GraphError::engine(Stage::Reading))?;
    let mut facts = inputs.iter();
    for input in &graph.input {
        reader.add_input(input, &mut facts, &length)?;
    }
    for node in &graph.node {
        reader.add_node(node)?;
    }
    reader.finish(graph)
}

fn length(model: &mut TypedModel, tokens: Tokens) -> TractResult<TDim> {
    let max = match tokens {
        Tokens::Exactly(length) => return Ok(i64::from(length).to_dim()),
        Tokens::UpTo(max) => max,
    };
    model.symbols.add_assertion("S>=1")?;
    model.symbols.add_assertion(format!("S<={max}"))?;
    Ok(model.symbols.sym("S").to_dim())
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
    wired: Wired,
}

impl<'a> Reader<'a> {
    /// Without asking whether another constant is the same, which takes longer than having it twice.
    fn add_constant(&mut self, name: &str, tensor: Arc<Tensor>) -> Result<(), GraphError> {
        let add = |model: &mut TypedModel| -> TractResult<OutletId> {
            let fact = TypedFact::try_from(Arc::clone(&tensor))?;
            let node = model.add_node(name, Const::new(tensor)?, tvec!(fact))?;
            Ok(node.into())
        };
        let outlet = add(&mut self.wired.model).map_err(GraphError::engine(Stage::Reading))?;
        self.wired.outlets.insert(name.into(), outlet);
        Ok(())
    }

    fn add_input<'b>(
        &mut self,
        input: &ValueInfoProto,
        facts: &mut impl Iterator<Item = &'b InputFact>,
        length: &TDim,
    ) -> Result<(), GraphError> {
        if self.wired.outlets.contains_key(&input.name) {
            return Ok(());
        }
        let unbound = || GraphError::UnboundInput {
            name: input.name.clone(),
        };
        let fact = match facts.next().ok_or_else(unbound)? {
            InputFact::OfText(datum_type) => datum_type.fact(dims!(1, length.clone())),
            InputFact::Tensor(shape) => f32::fact(shape),
        };
        let source = self.wired.model.add_source(&input.name, fact);
        let source = source.map_err(GraphError::engine(Stage::Reading))?;
        self.wired.outlets.insert(input.name.clone(), source);
        Ok(())
    }

    fn add_node(&mut self, proto: &'a NodeProto) -> Result<(), GraphError> {
        let Some(name) = proto.output.iter().find(|name| !name.is_empty()) else {
            return Ok(());
        };
        let (wire, inputs) = self.operator(proto)?;
        let inputs = inputs.iter().filter(|name| !name.is_empty());
        let inputs = inputs.map(|input| self.outlet(input, node_name(proto)));
        let inputs = inputs.collect::<Result<TVec<OutletId>, _>>()?;
        let model = &mut self.wired.model;
        let outlets = wire(name, model, &inputs).and_then(|outlets| {
            let facts = outlets
                .iter()
                .map(|it| check_lengths(model.outlet_fact(*it)?));
            facts.collect::<TractResult<()>>()?;
            Ok(outlets)
        });
        let outlets = outlets.with_context(|| format!("{} `{}`", proto.op_type, node_name(proto)));
        let outlets = outlets.map_err(GraphError::engine(Stage::Typing))?;
        for (place, output) in proto.output.iter().enumerate() {
            if output.is_empty() {
                continue;
            }
            let outlet = outlets.get(place).copied();
            let outlet =
                outlet.ok_or_else(|| node_error(proto, "it has too many outputs".into()))?;
            self.wired.outlets.insert(output.clone(), outlet);
        }
        Ok(())
    }

    /// The operator of a node, and those of the node's inputs that it takes.
    fn operator(
        &self,
        proto: &'a NodeProto,
    ) -> Result<(operators::Wire, &'a [String]), GraphError> {
        if let Some((table, inputs)) = self.external.table_of(proto) {
            let lookup = EmbeddingLookup { table };
            return Ok((
                Box::new(move |name, model, inputs| lookup.wire(name, model, inputs)),
                inputs,
            ));
        }
        if let Some((weight, inputs)) = self.external.matmul_weight_of(proto) {
            return Ok((
                Box::new(move |name, model, inputs| weight.wire(name, model, inputs)),
                inputs,
            ));
        }
        let node = Node {
            proto,
            opset: self.opset,
        };
        let wire = operators::build(&node).ok_or_else(|| operators::unknown(proto))?;
        let wire = wire.map_err(|error| node_error(proto, one_line(&error)))?;
        Ok((wire, &proto.input))
    }

    fn outlet(&self, value: &str, user: &str) -> Result<OutletId, GraphError> {
        let outlet = self.wired.outlets.get(value).copied();
        outlet.ok_or_else(|| GraphError::Undefined {
            value: value.into(),
            user: user.into(),
        })
    }

    fn finish(mut self, graph: &GraphProto) -> Result<Wired, GraphError> {
        let outputs = graph.output.iter();
        let outputs = outputs.map(|output| self.outlet(&output.name, "the output"));
        let outputs: Vec<OutletId> = outputs.collect::<Result<_, _>>()?;
        let selected = self.wired.model.select_output_outlets(&outputs);
        selected.map_err(GraphError::engine(Stage::Reading))?;
        Ok(self.wired)
    }
}

/// Refuses a tensor with an axis of two lengths, which the engine goes on with.
fn check_lengths(fact: &TypedFact) -> TractResult<()> {
    for length in fact.shape.iter() {
        let TDim::Broadcast(lengths) = length else {
            continue;
        };
        let known = lengths.iter().filter_map(|it| it.to_usize().ok());
        let mut known: Vec<usize> = known.collect();
        known.dedup();
        ensure!(known.len() <= 1, "an axis of lengths {known:?}");
    }
    Ok(())
}

fn node_error(node: &NodeProto, problem: String) -> GraphError {
    GraphError::Node {
        op_type: node.op_type.clone(),
        node: node_name(node).into(),
        problem,
    }
}
