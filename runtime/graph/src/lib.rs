//! The ONNX graph as an executable plan: batch size 1, any length.
//!
//! One plan with a symbolic length serves every sequence. There is no batch
//! dimension and no padding, so a result cannot depend on what else is being
//! computed. Throughput comes from several [`Run`]s over one shared plan, and from
//! several short sequences in one pass over its weights ([`Run::evaluate_all`]).
//!
//! `onnx` reads a model into tract's operators, `passes` replaces what it recognises by
//! those of `ops`, which compute with the kernels of `encoderfile-kernels`.

mod batch;
mod cores;
mod error;
mod onnx;
mod ops;
mod passes;

use crate::batch::Batched;
use crate::cores::Cores;
use encoderfile_format::manifest::{Input, InputRole, IntegerType, Pipeline};
use encoderfile_format::source::Source;
use encoderfile_proto::onnx::{GraphProto, ModelProto};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use tract_core::internal::*;
use tract_core::plan;

use onnx::external::ExternalInitializers;
use onnx::{operators, reader};
use ops::Backend;
use ops::linear;
use ops::quantisation::{Quantize, RoundToSteps};
use passes::{attention_mask, declutter, indices};

pub use encoderfile_kernels::{BLOCK_ROWS as BATCH_TOKENS, ISA_VARIABLE, Isa, NoSuchIsa};
#[cfg(target_family = "wasm")]
pub use encoderfile_kernels::{TileKernel, use_tile_kernel};
pub use error::{GraphError, Stage};
pub use onnx::decode::decode;
pub use onnx::external::Uses;
pub use onnx::reader::{InputFact, Tokens, Wired, opset};
pub use ops::weights::is_computed_in_int8;

/// A loaded graph, shared by all runs.
pub struct Graph {
    plan: Arc<TypedSimplePlan>,
    /// How it is run for several sequences; `None` inside where it is not.
    batched: OnceLock<Option<Batched>>,
    cores: Arc<Cores>,
    inputs: Vec<Input>,
    width: usize,
    per_token: bool,
}

impl Graph {
    /// Loads `model` (an ONNX model whose large tensors are in `weights`) for
    /// the inputs and output that `pipeline` names.
    ///
    /// # Errors
    /// [`GraphError`] for what is no ONNX model, has more entries than are read, an opset or
    /// operator that is not served, a name that the graph lacks, or a tensor that is not in
    /// `weights`; [`GraphError::Engine`] where its operators do not fit together or no plan
    /// can be made of them.
    pub fn load(
        model: &[u8],
        weights: &Arc<dyn Source>,
        pipeline: &Pipeline,
        mask: AttentionMask,
    ) -> Result<Self, GraphError> {
        let mut proto = decode(model)?;
        let graph = proto.graph.as_mut().ok_or(GraphError::NoGraph)?;
        let inputs = bind_inputs(graph, pipeline)?;
        let output = &pipeline.output;
        graph.output.retain(|it| it.name == output.name);
        if graph.output.is_empty() {
            return Err(GraphError::NoSuchName {
                what: "output",
                name: output.name.clone(),
            });
        }

        let cores = Arc::new(Cores::one());
        let backend = Backend {
            isa: Isa::in_use(),
            compute: pipeline.compute,
            cores: Arc::clone(&cores),
        };
        let external = ExternalInitializers::take(graph, weights, &backend)?;
        let facts = inputs.iter().map(|it| InputFact::of(it.integer_type));
        let facts: Vec<InputFact> = facts.collect();
        let tokens = Tokens::UpTo(pipeline.max_tokens);
        let model = reader::read(&proto, &external, tokens, &facts)?.model;
        drop((external, proto));
        let known = match mask {
            AttentionMask::Ones => simplify(model.clone(), Some(&inputs)).ok(),
            AttentionMask::Hides => None,
        };
        let known = known.filter(attention_mask::is_whole);
        let inputs = match known {
            Some(_) => inputs
                .into_iter()
                .filter(|it| !attention_mask::is_known(it))
                .collect(),
            None => inputs,
        };
        let model = match known {
            Some(simplified) => {
                drop(model);
                simplified
            }
            None => simplify(model, None)?,
        };
        let plan = compile(model, &backend)?;
        Ok(Self {
            plan,
            batched: OnceLock::new(),
            cores,
            inputs,
            width: output.width as usize,
            per_token: output.per_token,
        })
    }

    /// Lets one text be computed on several cores while there are at least two of `cores`
    /// for each text that is being computed. No result depends on it.
    ///
    /// Where there are no threads, in wasm, nothing changes.
    pub fn use_cores(&self, cores: usize) {
        self.cores.allow(cores);
    }

    /// Counts a text as being computed until what is returned is dropped.
    pub fn enter(&self) -> impl Drop + '_ {
        self.cores.enter()
    }

    /// Whether it rounds activations to integers with scales of its own: then a difference in
    /// the last bit of a value can be one of a whole step.
    pub fn rounds_activations(&self) -> bool {
        let mut nodes = self.plan.model().nodes.iter();
        nodes.any(|node| node.op_is::<Quantize>() || node.op_is::<RoundToSteps>())
    }

    /// A run over this graph, with its own scratch memory.
    ///
    /// # Errors
    /// [`GraphError::Engine`] where tract makes no state for the plan.
    pub fn run(&self) -> Result<Run<'_>, GraphError> {
        let mut run = Run {
            graph: self,
            states: Vec::new(),
        };
        run.states(1)?;
        Ok(run)
    }

    /// Whether [`Run::evaluate_all`] is one pass over the weights. Else it evaluates one sequence
    /// after another: where a node keeps a state, or gives a length that no input has.
    pub fn is_batched(&self) -> bool {
        self.batched().is_some()
    }

    fn batched(&self) -> Option<&Batched> {
        let batched = self.batched.get_or_init(|| Batched::of(&self.plan));
        batched.as_ref()
    }

    fn inputs(&self, sequence: Sequence<'_>) -> TVec<TValue> {
        let inputs = self.inputs.iter();
        inputs.map(|input| self.input(input, sequence)).collect()
    }

    fn input(&self, input: &Input, sequence: Sequence<'_>) -> TValue {
        let Sequence {
            ids,
            type_ids,
            hidden,
        } = sequence;
        let values: Vec<i64> = match input.role {
            InputRole::TokenTypeIds if input.zeros => vec![0; type_ids.len()],
            InputRole::TokenTypeIds => type_ids.iter().copied().map(i64::from).collect(),
            InputRole::AttentionMask => {
                let seen = ids.len().saturating_sub(hidden);
                (0..ids.len()).map(|it| i64::from(it < seen)).collect()
            }
            InputRole::PositionIds => {
                let positions = (0..).map(|it: i64| it + i64::from(input.first_position));
                positions.take(ids.len()).collect()
            }
            InputRole::InputIds => ids.iter().copied().map(i64::from).collect(),
        };
        let shape = (1, values.len());
        let tensor = match input.integer_type {
            IntegerType::Int64 => matrix(shape, values),
            IntegerType::Int32 => {
                // Token ids and positions are below 2^31: `Pipeline::check` has seen to it.
                #[allow(clippy::cast_possible_truncation, reason = "see above")]
                let values = values.into_iter().map(|value| value as i32).collect();
                matrix(shape, values)
            }
        };
        tensor.into_tvalue()
    }

    /// The output for so many tokens, row after row.
    fn values(&self, output: &TValue, tokens: usize) -> Result<Vec<f32>, GraphError> {
        let expected = if self.per_token {
            vec![1, tokens, self.width]
        } else {
            vec![1, self.width]
        };
        if output.shape() != expected {
            return Err(GraphError::OutputShape {
                got: output.shape().to_vec(),
                expected,
            });
        }
        let output = output
            .cast_to::<f32>()
            .map_err(GraphError::engine(Stage::Computing))?;
        let plain = output.try_as_plain_ram();
        let plain = plain.map_err(GraphError::engine(Stage::Computing))?;
        let values = plain.as_slice::<f32>();
        Ok(values
            .map_err(GraphError::engine(Stage::Computing))?
            .to_vec())
    }
}

fn matrix<T: Datum>((rows, columns): (usize, usize), values: Vec<T>) -> Tensor {
    let vector = tensor1(&values);
    // A vector of rows × columns values always reshapes.
    vector
        .into_shape(&[rows, columns])
        .unwrap_or_else(|_| unreachable!("{rows} × {columns} values"))
}

/// What the sequences of a model need of its attention mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionMask {
    /// It is all ones, whatever the sequence: the plan need not compute it.
    Ones,
    /// Some sequences have tokens that it hides: [`Sequence::hidden`].
    Hides,
}

/// What a graph is computed for.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// `[tokens]`.
    pub ids: &'a [u32],
    /// `[tokens]`.
    pub type_ids: &'a [u32],
    /// How many of the last tokens no token attends to: their place in the attention
    /// mask is 0. They have rows of their own all the same. Above 0 only in a graph that
    /// was loaded for [`AttentionMask::Hides`].
    pub hidden: usize,
}

/// One thread's use of a shared graph.
pub struct Run<'a> {
    graph: &'a Graph,
    /// One for each sequence that is evaluated at once, of those that were the most.
    states: Vec<TypedSimpleState>,
}

impl Run<'_> {
    /// Evaluates one sequence, whose ids and segment ids are `[tokens]`, of the same length
    /// and at least one. The result is row-major, `[tokens, width]`, or `[width]` where the
    /// graph pools.
    ///
    /// # Errors
    /// [`GraphError::Engine`] where an operator fails, and [`GraphError::OutputShape`] for a
    /// result of another shape.
    pub fn evaluate(&mut self, sequence: Sequence<'_>) -> Result<Vec<f32>, GraphError> {
        self.evaluate_with(sequence, plan::eval)
    }

    /// Evaluates several sequences in one pass over the weights, which takes less time than one after
    /// the other where they are short: about [`BATCH_TOKENS`] in all. The results are those of
    /// [`Run::evaluate`], to the bit.
    ///
    /// # Errors
    /// As [`Run::evaluate`]; which of the sequences is at fault is not known.
    pub fn evaluate_all(
        &mut self,
        sequences: &[Sequence<'_>],
    ) -> Result<Vec<Vec<f32>>, GraphError> {
        let graph = self.graph;
        let batched = || graph.batched();
        let Some(batched) = (sequences.len() > 1).then(batched).flatten() else {
            return sequences.iter().map(|it| self.evaluate(*it)).collect();
        };
        let _texts = graph.cores.enter();
        let inputs = sequences.iter().map(|it| graph.inputs(*it)).collect();
        let states = self.states(sequences.len())?;
        let outputs = graph.cores.compute(|| {
            let outputs = batched.run(states, inputs);
            if outputs.is_err() {
                reset(states)?;
            }
            outputs
        });
        let outputs = outputs.map_err(GraphError::engine(Stage::Computing))?;
        let outputs = outputs.iter().zip(sequences);
        let values = outputs.map(|(output, sequence)| graph.values(output, sequence.ids.len()));
        values.collect()
    }

    /// As [`Run::evaluate`], with the same shapes; names each operator to `after` when it is
    /// done.
    ///
    /// # Errors
    /// The same.
    pub fn evaluate_observed(
        &mut self,
        sequence: Sequence<'_>,
        mut after: impl FnMut(&str) + Send,
    ) -> Result<Vec<f32>, GraphError> {
        self.evaluate_with(sequence, |context, state, node, inputs| {
            let outputs = plan::eval(context, state, node, inputs);
            after(&node.op.name());
            outputs
        })
    }

    /// Shows `before` what is to be multiplied by each matrix that is stored outside the graph,
    /// until it has seen enough: the tensor's name, and rows of the matrix's depth.
    ///
    /// # Errors
    /// As [`Run::evaluate`].
    pub fn evaluate_products(
        &mut self,
        sequence: Sequence<'_>,
        mut before: impl FnMut(&str, &[f32]) -> ControlFlow<()> + Send,
    ) -> Result<(), GraphError> {
        let mut is_enough = false;
        let evaluated = self.evaluate_with(sequence, |context, state, node, inputs| {
            let names = linear::layers(node).iter();
            for name in names.filter_map(|it| it.weights.name()) {
                let rows = inputs[0].try_as_plain_ram()?;
                is_enough = before(name, rows.as_slice()?).is_break();
                ensure!(!is_enough, "enough was seen");
            }
            plan::eval(context, state, node, inputs)
        });
        match evaluated {
            Err(_) if is_enough => Ok(()),
            evaluated => evaluated.map(drop),
        }
    }

    fn evaluate_with(
        &mut self,
        sequence: Sequence<'_>,
        eval: impl for<'a, 'b, 'c> FnMut(
            &'a EvalContext<'a>,
            Option<&'b mut (dyn OpState + 'static)>,
            &'c TypedNode,
            TVec<TValue>,
        ) -> TractResult<TVec<TValue>>
        + Send,
    ) -> Result<Vec<f32>, GraphError> {
        let graph = self.graph;
        let _text = graph.cores.enter();
        let inputs = graph.inputs(sequence);
        let states = self.states(1)?;
        let outputs = graph.cores.compute(|| {
            let outputs = states[0].run_plan_with_eval(inputs, eval);
            if outputs.is_err() {
                reset(states)?;
            }
            outputs
        });
        let outputs = outputs.map_err(GraphError::engine(Stage::Computing))?;
        graph.values(&outputs[0], sequence.ids.len())
    }

    fn states(&mut self, count: usize) -> Result<&mut [TypedSimpleState], GraphError> {
        while self.states.len() < count {
            let state = self.graph.plan.spawn();
            let state = state.map_err(GraphError::engine(Stage::Planning))?;
            self.states.push(state);
        }
        Ok(&mut self.states[..count])
    }
}

/// After an error: the next sequences may be of other lengths.
fn reset(states: &mut [TypedSimpleState]) -> TractResult<()> {
    states.iter_mut().try_for_each(TypedSimpleState::reset_turn)
}

/// What the runtime cannot read of a model: its opset, or the first operator
/// that is not served. `If` is: the builder resolves it.
pub fn unsupported(model: &ModelProto) -> Option<GraphError> {
    if let Err(error) = opset(model) {
        return Some(error);
    }
    let mut graphs: Vec<&GraphProto> = model.graph.iter().collect();
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            let known = node.op_type == "If" && onnx::is_standard(&node.domain);
            if !known && !operators::is_known(node) {
                return Some(operators::unknown(node));
            }
            graphs.extend(node.attribute.iter().filter_map(|it| it.g.as_ref()));
        }
    }
    None
}

/// Reads a model that has all its tensors in the graph, for texts of so many `tokens`; `inputs` are
/// the facts of its inputs, in order.
///
/// # Errors
/// [`GraphError`] for an opset, operator, node or tensor that is not served, a value that
/// nothing defines, and operators that do not fit together.
pub fn read(proto: &ModelProto, tokens: Tokens, inputs: &[InputFact]) -> Result<Wired, GraphError> {
    reader::read(proto, &ExternalInitializers::default(), tokens, inputs)
}

/// The model without dead or redundant nodes: tract's declutter. With the inputs, if what they say
/// of the attention mask is known.
fn simplify(mut model: TypedModel, known_mask: Option<&[Input]>) -> Result<TypedModel, GraphError> {
    if let Some(inputs) = known_mask {
        attention_mask::replace_known(&mut model, inputs)
            .map_err(GraphError::engine(Stage::Planning))?;
    }
    indices::compute_as_numbers(&mut model).map_err(GraphError::engine(Stage::Planning))?;
    declutter::declutter(&mut model).map_err(GraphError::engine(Stage::Planning))?;
    Ok(model)
}

fn compile(mut model: TypedModel, backend: &Backend) -> Result<Arc<TypedSimplePlan>, GraphError> {
    passes::fuse(&mut model, backend).map_err(GraphError::engine(Stage::Planning))?;
    let model = model.into_optimized();
    let model = model.map_err(GraphError::engine(Stage::Planning))?;
    model
        .into_runnable()
        .map_err(GraphError::engine(Stage::Planning))
}

/// Puts the graph's inputs in the order of the pipeline's.
fn bind_inputs(graph: &mut GraphProto, pipeline: &Pipeline) -> Result<Vec<Input>, GraphError> {
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
    let mut bound = Vec::new();
    for input in &pipeline.inputs {
        let value = inputs.remove(&input.name).ok_or(GraphError::NoSuchName {
            what: "input",
            name: input.name.clone(),
        })?;
        graph.input.push(value);
        bound.push(input.clone());
    }
    match inputs.into_keys().min() {
        Some(name) => Err(GraphError::UnboundInput { name }),
        None => Ok(bound),
    }
}
