//! The ONNX graph as an executable plan: batch of one, any length.
//!
//! One plan with a symbolic length serves every sequence. There is no batch
//! dimension and no padding, so a result cannot depend on what else is being
//! computed. Throughput comes from several [`Run`]s over one shared plan.

mod indices;
mod lookup;
mod operators;

use crate::source::Source;
use crate::weights::{External, Matrix, WeightsError};
use encoderfile_proto::{InputRole, IntegerType, Pipeline};
use lookup::Lookup;
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, tensor_proto::DataType};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::konst::Const;

/// The ONNX messages, as tract reads them.
pub mod onnx {
    pub use tract_onnx::pb::*;
}

/// The operator type that stands for a [`Lookup`] between parsing and wiring.
/// tract knows no operator of this name.
const LOOKUP_OP_TYPE: &str = "encoderfile.Lookup";

/// A graph that cannot be served, and what tract says of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Not an ONNX model.
    #[error("graph: {0}")]
    Decode(#[from] prost::DecodeError),
    /// An ONNX model without a graph.
    #[error("graph: the ONNX model has no graph")]
    NoGraph,
    /// An operator that tract does not have.
    #[error("graph: operator {op_type} of node `{node}` is not supported")]
    Operator {
        /// With its domain, where it has one.
        op_type: String,
        /// The node's name or first output.
        node: String,
    },
    /// An input or output of the pipeline that the graph has not.
    #[error("graph: no {what} named `{name}`")]
    NoSuchName {
        /// "input" or "output".
        what: &'static str,
        /// The name looked for.
        name: String,
    },
    /// An input that nothing in the pipeline provides.
    #[error("graph: nothing provides the input `{name}`")]
    UnboundInput {
        /// Its name.
        name: String,
    },
    /// A tensor that cannot be read.
    #[error("graph: {0}")]
    Weights(#[from] WeightsError),
    /// The graph does not type-check, or an operator failed.
    #[error("graph: {stage}: {message}")]
    Tract {
        /// What was being done.
        stage: &'static str,
        /// tract's chain of causes, on one line.
        message: String,
    },
    /// A result of another shape than the pipeline says.
    #[error("graph: output has shape {got:?}, expected {expected:?}")]
    OutputShape {
        /// The shape found.
        got: Vec<usize>,
        /// The shape the pipeline declares.
        expected: Vec<usize>,
    },
}

impl GraphError {
    fn tract(stage: &'static str) -> impl Fn(TractError) -> Self {
        move |error| Self::Tract {
            stage,
            message: format!("{error:#}").replace('\n', " "),
        }
    }
}

/// A loaded graph, shared by all runs.
pub(crate) struct Graph {
    plan: Arc<TypedSimplePlan>,
    inputs: Vec<(InputRole, IntegerType)>,
    width: usize,
    per_token: bool,
}

impl Graph {
    /// Loads `model` (an ONNX model whose large tensors are in `weights`) for
    /// the inputs and output that `pipeline` names.
    pub(crate) fn load(
        model: &[u8],
        weights: &Arc<dyn Source>,
        pipeline: &Pipeline,
    ) -> Result<Self, GraphError> {
        let mut proto = ModelProto::decode(model)?;
        let graph = proto.graph.as_mut().ok_or(GraphError::NoGraph)?;
        let inputs = bind_inputs(graph, pipeline)?;
        let output = pipeline.output.as_ref();
        let output_name = output
            .map(|output| output.name.as_str())
            .unwrap_or_default();
        graph.output.retain(|output| output.name == output_name);
        if graph.output.is_empty() {
            return Err(GraphError::NoSuchName {
                what: "output",
                name: output_name.into(),
            });
        }

        let tensors = detach_tensors(graph, weights)?;
        let model = tensors.attach(parse(&proto)?)?;
        let plan = compile(model, pipeline)?;
        Ok(Self {
            plan,
            inputs,
            width: output.map_or(0, |output| output.width as usize),
            per_token: output.is_some_and(|output| output.per_token),
        })
    }

    /// A run over this graph, with its own scratch memory.
    pub(crate) fn run(&self) -> Result<Run<'_>, GraphError> {
        let state = self.plan.spawn().map_err(GraphError::tract("plan"))?;
        Ok(Run { graph: self, state })
    }

    fn input(
        &self,
        (role, integer_type): (InputRole, IntegerType),
        input_ids: &[u32],
        type_ids: &[u32],
    ) -> TValue {
        let ones = [1].iter().cycle().take(input_ids.len());
        let values: Vec<i64> = match role {
            InputRole::TokenTypeIds => type_ids.iter().copied().map(i64::from).collect(),
            InputRole::AttentionMask => ones.copied().collect(),
            InputRole::InputIds | InputRole::Unspecified => {
                input_ids.iter().copied().map(i64::from).collect()
            }
        };
        let shape = (1, values.len());
        let tensor = match integer_type {
            IntegerType::Int64 => matrix(shape, values),
            IntegerType::Int32 => {
                // Token ids are below 2^31: the builder checks the vocabulary's size.
                #[allow(clippy::cast_possible_truncation, reason = "checked by the builder")]
                let values = values.into_iter().map(|value| value as i32).collect();
                matrix(shape, values)
            }
        };
        tensor.into_tvalue()
    }
}

fn matrix<T: Datum>((rows, columns): (usize, usize), values: Vec<T>) -> Tensor {
    let vector = tensor1(&values);
    // A vector of rows × columns values always reshapes.
    vector
        .into_shape(&[rows, columns])
        .unwrap_or_else(|_| unreachable!("{rows} × {columns} values"))
}

/// One sequence at a time over a shared graph.
pub(crate) struct Run<'a> {
    graph: &'a Graph,
    state: TypedSimpleState,
}

impl Run<'_> {
    /// Evaluates one sequence. The result is row-major, `[tokens, width]` or `[1, width]`.
    pub(crate) fn evaluate(
        &mut self,
        input_ids: &[u32],
        type_ids: &[u32],
    ) -> Result<Vec<f32>, GraphError> {
        let graph = self.graph;
        let inputs = graph.inputs.iter();
        let inputs = inputs
            .map(|input| graph.input(*input, input_ids, type_ids))
            .collect();
        let outputs = self
            .state
            .run(inputs)
            .map_err(GraphError::tract("evaluation"))?;

        let expected = if graph.per_token {
            vec![1, input_ids.len(), graph.width]
        } else {
            vec![1, graph.width]
        };
        if outputs[0].shape() != expected {
            return Err(GraphError::OutputShape {
                got: outputs[0].shape().to_vec(),
                expected,
            });
        }
        let output = outputs[0]
            .cast_to::<f32>()
            .map_err(GraphError::tract("output"))?;
        let plain = output.try_as_plain_ram();
        let plain = plain.map_err(GraphError::tract("output"))?;
        let values = plain.as_slice::<f32>();
        Ok(values.map_err(GraphError::tract("output"))?.to_vec())
    }
}

/// The first operator of the graph that is not supported. `If` is: the builder
/// resolves it.
pub fn unsupported_operator(graph: &GraphProto) -> Option<GraphError> {
    let mut graphs = vec![graph];
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            let standard = node.domain.is_empty() || node.domain == "ai.onnx";
            let known = node.op_type == "If" || operators::is_known(&node.op_type);
            if !standard || !known {
                let domain = if standard { "" } else { &node.domain };
                let separator = if standard { "" } else { "." };
                return Some(GraphError::Operator {
                    op_type: format!("{domain}{separator}{}", node.op_type),
                    node: node_name(node).into(),
                });
            }
            graphs.extend(node.attribute.iter().filter_map(|it| it.g.as_ref()));
        }
    }
    None
}

fn node_name(node: &NodeProto) -> &str {
    match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output,
        (name, _) => name,
    }
}

/// Parses a graph without value info and output shapes: exporters leave there
/// what contradicts the shapes set here.
pub fn parse(proto: &ModelProto) -> Result<InferenceModel, GraphError> {
    let framework = operators::framework()
        .with_ignore_value_info(true)
        .with_ignore_output_shapes(true);
    let parsed = framework.parse(proto, None);
    Ok(parsed.map_err(GraphError::tract("parsing"))?.model)
}

/// The shape of every input: a batch of one, and a length known only at run time.
///
/// Its bounds are part of the plan: exporters write `min(length, positions)`,
/// which is the length, and tract takes seconds over shapes that keep such
/// expressions.
pub fn set_input_shapes(
    model: &mut InferenceModel,
    max_tokens: u32,
    integer_type: impl Fn(usize) -> DatumType,
) -> TractResult<()> {
    let length = model.symbols.sym("S");
    model.symbols.add_assertion("S>=1")?;
    model.symbols.add_assertion(format!("S<={max_tokens}"))?;
    for index in 0..model.inputs.len() {
        let shape = tvec!(1.to_dim(), length.to_dim());
        let fact = InferenceFact::dt_shape(integer_type(index), shape);
        model.set_input_fact(index, fact)?;
    }
    Ok(())
}

fn compile(
    mut model: InferenceModel,
    pipeline: &Pipeline,
) -> Result<Arc<TypedSimplePlan>, GraphError> {
    let integer_type = |index: usize| match pipeline.inputs[index].integer_type() {
        IntegerType::Int64 => i64::datum_type(),
        IntegerType::Int32 => i32::datum_type(),
    };
    set_input_shapes(&mut model, pipeline.max_tokens, integer_type)
        .map_err(GraphError::tract("input shapes"))?;
    let model = model.into_typed();
    let mut model = model.map_err(GraphError::tract("typing"))?;
    indices::compute_as_numbers(&mut model).map_err(GraphError::tract("index arithmetic"))?;
    let model = model.into_decluttered();
    let model = model.map_err(GraphError::tract("simplification"))?;
    let model = model.into_optimized();
    let model = model.map_err(GraphError::tract("optimisation"))?;
    model.into_runnable().map_err(GraphError::tract("plan"))
}

/// Puts the graph's inputs in the order of the pipeline's.
fn bind_inputs(
    graph: &mut GraphProto,
    pipeline: &Pipeline,
) -> Result<Vec<(InputRole, IntegerType)>, GraphError> {
    let initialised: HashSet<&str> = graph
        .initializer
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    let mut inputs: HashMap<String, _> = std::mem::take(&mut graph.input)
        .into_iter()
        .filter(|input| !initialised.contains(input.name.as_str()))
        .map(|input| (input.name.clone(), input))
        .collect();
    let mut roles = Vec::new();
    for input in &pipeline.inputs {
        let value = inputs.remove(&input.name).ok_or(GraphError::NoSuchName {
            what: "input",
            name: input.name.clone(),
        })?;
        graph.input.push(value);
        roles.push((input.role(), input.integer_type()));
    }
    match inputs.into_keys().min() {
        Some(name) => Err(GraphError::UnboundInput { name }),
        None => Ok(roles),
    }
}

/// Tensors that were taken out of a graph, to be put back into its parsed form.
struct Tensors {
    /// By initializer name.
    constants: HashMap<String, Arc<Tensor>>,
    /// By node name.
    lookups: HashMap<String, Lookup>,
}

/// Takes the external tensors out of the graph: embedding tables become
/// lookups, everything else is read once into its final place.
fn detach_tensors(
    graph: &mut GraphProto,
    weights: &Arc<dyn Source>,
) -> Result<Tensors, GraphError> {
    let mut constants = HashMap::new();
    let mut tables = HashMap::new();
    let mut inline = Vec::new();
    for tensor in std::mem::take(&mut graph.initializer) {
        match External::of(&tensor)? {
            None => inline.push(tensor),
            Some(place) if is_table(graph, &tensor) => {
                let shape = matrix_shape(&tensor)?;
                let table = Matrix::new(&tensor.name, shape, &place, weights)?;
                tables.insert(tensor.name, Arc::new(table));
            }
            Some(place) => {
                let constant = read_tensor(&tensor, &place, weights)?;
                constants.insert(tensor.name, constant);
            }
        }
    }
    graph.initializer = inline;

    let mut lookups = HashMap::new();
    for (index, node) in graph.node.iter_mut().enumerate() {
        let Some(table) = node.input.first().and_then(|name| tables.get(name)) else {
            continue;
        };
        node.name = format!("{}#{index}", node_name(node));
        node.op_type = LOOKUP_OP_TYPE.into();
        node.input.remove(0);
        let table = Arc::clone(table);
        lookups.insert(node.name.clone(), Lookup { table });
    }
    Ok(Tensors { constants, lookups })
}

impl Tensors {
    /// Puts the tensors into the parsed graph, where the parser left sources
    /// for the constants and unknown operators for the lookups.
    fn attach(mut self, mut model: InferenceModel) -> Result<InferenceModel, GraphError> {
        for node in model.nodes_mut() {
            if let Some(tensor) = self.constants.remove(&node.name) {
                let fact = InferenceFact::try_from(&tensor);
                node.outputs[0].fact = fact.map_err(GraphError::tract("constant"))?;
                let constant = Const::new(tensor);
                node.op = Box::new(constant.map_err(GraphError::tract("constant"))?);
            } else if let Some(lookup) = self.lookups.remove(&node.name) {
                node.op = expand(lookup);
            }
        }
        let names = model.inputs.clone();
        let is_source = |outlet: &OutletId| {
            model.node(outlet.node).inputs.is_empty()
                && model
                    .node(outlet.node)
                    .op_is::<tract_onnx::tract_hir::ops::source::Source>()
        };
        model.inputs = names.into_iter().filter(is_source).collect();
        Ok(model)
    }
}

/// Whether a tensor is a float32 matrix that only whole rows are taken from.
fn is_table(graph: &GraphProto, tensor: &TensorProto) -> bool {
    let gathers_rows = |node: &NodeProto| {
        let axis = node.attribute.iter().find(|it| it.name == "axis");
        node.op_type == "Gather"
            && axis.is_none_or(|axis| axis.i == 0)
            && node.input[0] == tensor.name
            && node.input[1..].iter().all(|name| *name != tensor.name)
    };
    tensor.dims.len() == 2
        && tensor.data_type == DataType::Float as i32
        && !used_in_subgraph(graph, &tensor.name)
        && graph.output.iter().all(|output| output.name != tensor.name)
        && graph
            .node
            .iter()
            .filter(|node| node.input.contains(&tensor.name))
            .all(gathers_rows)
}

fn used_in_subgraph(graph: &GraphProto, name: &str) -> bool {
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    attributes.filter_map(|it| it.g.as_ref()).any(|inner| {
        let mut nodes = inner.node.iter();
        nodes.any(|node| node.input.iter().any(|input| input == name))
            || used_in_subgraph(inner, name)
    })
}

fn dims(tensor: &TensorProto) -> Result<Vec<usize>, GraphError> {
    let dims = tensor.dims.iter().map(|dim| usize::try_from(*dim));
    dims.collect::<Result<_, _>>()
        .map_err(|_| GraphError::Tract {
            stage: "tensor",
            message: format!("`{}` has shape {:?}", tensor.name, tensor.dims),
        })
}

fn matrix_shape(tensor: &TensorProto) -> Result<(usize, usize), GraphError> {
    let dims = dims(tensor)?;
    let rows = dims.first().copied().unwrap_or(1);
    Ok((rows, dims.iter().skip(1).product()))
}

fn read_tensor(
    tensor: &TensorProto,
    place: &External,
    weights: &Arc<dyn Source>,
) -> Result<Arc<Tensor>, GraphError> {
    // Only float32 tensors are stored outside the graph.
    if tensor.data_type != DataType::Float as i32 {
        return Err(GraphError::Tract {
            stage: "tensor",
            message: format!("`{}` is external but not float32", tensor.name),
        });
    }
    let matrix = Matrix::new(&tensor.name, matrix_shape(tensor)?, place, weights)?;
    // SAFETY: every value is written by `read_rows` below, or the tensor is dropped.
    let values = unsafe { Tensor::uninitialized::<f32>(&dims(tensor)?) };
    let mut values = values.map_err(GraphError::tract("tensor"))?;
    {
        let mut plain = values
            .try_as_plain_ram_mut()
            .map_err(GraphError::tract("tensor"))?;
        let slice = plain.as_slice_mut::<f32>();
        matrix.read_rows(0, slice.map_err(GraphError::tract("tensor"))?)?;
    }
    Ok(values.into_arc_tensor())
}
