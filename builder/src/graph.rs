//! From an ONNX file to the graph and the tensors of an encoderfile.

mod binding;
pub(crate) mod blocks;
mod calibration;
mod compensation;
mod conditionals;
mod constants;
mod dense;
mod dequantise;
pub(crate) mod emit;
mod float32;
mod folding;
mod fused;
mod order;
mod outputs;
mod panels;
pub(crate) mod quantised;
mod quantize;
mod reach;
mod shapes;
mod smoothing;
mod source;
mod storage;
mod subexpressions;
mod tensors;
mod values;

use crate::architecture;
use crate::checkpoint;
use crate::error::BuildError;
use crate::folder::{Limit, Model, Tables};
use encoderfile::graph::{opset, unsupported};
use encoderfile::manifest::Finding;
use encoderfile::onnx::{
    GraphProto, ModelProto, OperatorSetIdProto, TensorProto, tensor_proto::DataType,
};
use encoderfile::weights::WeightsEncoding;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

pub use binding::Binding;
pub use calibration::Pass;
use outputs::Choice;
pub use outputs::SENTENCE_VECTOR;
pub use quantised::{Code, Quantised};
pub use smoothing::ProductInputs;
pub use storage::{Matrix, NoSuchRule, Rule, Storage};
pub use tensors::Weights;

/// What storing a matrix as it was quantised may lose, as [`Graph::rounding_error`]: some times
/// what rounding its scales to float16 does.
const KEPT_ERROR: f64 = 1e-6;

/// A checked ONNX model: operators of the standard only, conditionals resolved,
/// inputs and output bound, everything computed in float32.
pub struct Graph {
    model: ModelProto,
    /// The names and types of what goes in and out.
    pub binding: Binding,
    /// SHA-256 of the ONNX file and then of those it names.
    pub source_sha256: [u8; 32],
    /// What the folder says of the limit, within what the graph's tables hold.
    pub limit: Limit,
    /// How tensors of the graph, whose values are floats or 8-bit integers, were quantised in
    /// the source file, by their names.
    pub quantised: BTreeMap<String, Quantised>,
}

impl Graph {
    /// Reads and checks the ONNX file of `model`, or writes the graph of its checkpoint. Tensors
    /// stay in the file.
    ///
    /// # Errors
    /// [`BuildError`], with the file and the node, input or output at fault, for what is no
    /// ONNX model, cannot be read, or has operators, shapes or outputs that are not served.
    pub fn read(path: &Path, model: &Model) -> Result<Self, BuildError> {
        let graph_error = |source| BuildError::Graph {
            path: path.to_owned(),
            source,
        };
        let (mut proto, source_sha256) = match checkpoint::is_one(path) {
            true => architecture::read(path, model)?,
            false => source::read(path)?,
        };
        let opset = opset(&proto).map_err(graph_error)?;
        let mut graph = proto.graph.take().unwrap_or_default();
        graph.value_info.clear();
        order::sort(path, &mut graph)?;
        let mut quantised = BTreeMap::new();
        rewrite(path, &mut graph, opset, &mut quantised)?;
        proto.opset_import = vec![OperatorSetIdProto {
            domain: String::new(),
            version: opset,
        }];
        proto.graph = Some(graph);
        if let Some(error) = unsupported(&proto) {
            return Err(graph_error(error));
        }
        let mut graph = proto.graph.take().unwrap_or_default();
        let output = Choice::of(path, &graph, model)?;
        graph.output.retain(|it| it.name == output.name);
        remove_unused(&mut graph);
        binding::refuse_fixed_shapes(path, &graph)?;
        let mut limit = limit(&proto, &graph, model)?;
        let resolved = conditionals::resolve(path, &proto, &mut graph, limit.max_tokens)?;
        // What was in the branches, and what rewriting left to be rewritten.
        rewrite(path, &mut graph, opset, &mut quantised)?;
        remove_unused(&mut graph);
        if resolved {
            limit = self::limit(&proto, &graph, model)?;
        }
        let binding = Binding::of(path, &proto, &graph, model, output, limit.max_tokens)?;
        shapes::resolve(&proto, &mut graph, limit.max_tokens);
        constants::lift(&mut graph);
        remove_unused(&mut graph);
        folding::fold(&proto, &mut graph);
        subexpressions::eliminate(&mut graph);
        remove_unused(&mut graph);
        let tensors: HashSet<&String> = graph.initializer.iter().map(|it| &it.name).collect();
        quantised.retain(|name, _| tensors.contains(name));
        proto.graph = Some(graph);
        Ok(Self {
            model: proto,
            binding,
            source_sha256,
            limit,
            quantised,
        })
    }

    /// The model with all its tensors in it, as float32.
    pub fn to_onnx(&self) -> ModelProto {
        let mut model = self.model.clone();
        if let Some(graph) = &mut model.graph {
            graph.initializer.iter_mut().for_each(float32::widen);
        }
        model
    }

    /// The graph without its large tensors, encoded, and those tensors as stored.
    pub fn split(&self, storage: &Storage) -> (Vec<u8>, Weights) {
        let mut model = self.model.clone();
        let mut graph = model.graph.take().unwrap_or_default();
        let weights = tensors::split(&mut graph, storage);
        model.graph = Some(graph);
        (model.encode_to_vec(), weights)
    }

    /// The matrices that can be stored in fewer bits.
    pub fn matrices(&self) -> Vec<Matrix> {
        let graph = self.model.graph.as_ref();
        let mut matrices = graph.map(Matrix::all).unwrap_or_default();
        for matrix in &mut matrices {
            let input_axis = usize::from(!matrix.is_multiplied);
            let quantised = self.quantised.get(&matrix.name);
            let encoding = quantised.and_then(|it| it.encoding(input_axis));
            // A scale may be too small or too large for float16.
            let is_kept = |it: &WeightsEncoding| self.rounding_error(matrix, *it) <= KEPT_ERROR;
            matrix.kept = encoding.filter(is_kept);
        }
        matrices
    }

    /// How much of a matrix is lost by rounding it: the sum of its squared errors, divided by that
    /// of its squares.
    pub(crate) fn rounding_error(&self, matrix: &Matrix, encoding: WeightsEncoding) -> f64 {
        let tensors = self.model.graph.iter().flat_map(|it| &it.initializer);
        let tensor = tensors.into_iter().find(|it| it.name == matrix.name);
        tensor.map_or(0.0, |it| tensors::rounding_error(it, matrix, encoding))
    }

    /// The passes over calibration texts after which all matrices that are stored quantised, and
    /// multiplied by, are rounded with compensation.
    pub fn calibration_passes(&self, storage: &Storage) -> Vec<Pass> {
        let graphs = self.model.graph.iter();
        graphs
            .flat_map(|graph| calibration::passes(graph, storage))
            .collect()
    }

    /// Rounds the matrices of a pass that has seen the texts.
    pub fn round(&self, pass: Pass, storage: &mut Storage) {
        if let Some(graph) = &self.model.graph {
            pass.finish(graph, storage);
        }
    }

    /// The name of the largest tensor that stays in the graph, and how many values it has.
    pub fn largest_inside(&self) -> Option<(String, usize)> {
        self.model.graph.as_ref().and_then(tensors::largest_inside)
    }

    /// The same with smoothing before the products that are computed in int8, where it makes
    /// them more exact for such inputs.
    pub fn smoothed(&self, inputs: &ProductInputs) -> Self {
        let mut model = self.model.clone();
        if let Some(graph) = &mut model.graph {
            smoothing::smooth(graph, inputs);
        }
        Self {
            model,
            binding: self.binding.clone(),
            source_sha256: self.source_sha256,
            limit: self.limit.clone(),
            quantised: self.quantised.clone(),
        }
    }

    /// The first tensor with a value that its encoding cannot hold, the value, and the encoding.
    pub fn unfit(&self, storage: &Storage) -> Option<(String, f32, WeightsEncoding)> {
        let mut graphs = self.model.graph.iter();
        graphs.find_map(|graph| tensors::unfit(graph, storage))
    }

    /// What "as they are" means for the weights: float16 where the file has that, unless there are
    /// some that it does not hold exactly, which are those that were dequantised.
    pub fn source_encoding(&self) -> WeightsEncoding {
        let tensors = || self.model.graph.iter().flat_map(|it| &it.initializer);
        let is_dequantised = |tensor: &TensorProto| {
            tensor.data_type == DataType::Float as i32 && self.quantised.contains_key(&tensor.name)
        };
        let is_half = |tensor: &TensorProto| tensor.data_type == DataType::Float16 as i32;
        match tensors().any(is_half) && !tensors().any(is_dequantised) {
            true => WeightsEncoding::F16,
            false => WeightsEncoding::F32,
        }
    }

    /// What became of what the file `source` had quantised.
    pub fn findings(&self, source: &str) -> Vec<Finding> {
        let graphs = self.model.graph.iter();
        let findings = graphs.map(|graph| quantised::findings(graph, &self.quantised, source));
        findings.flatten().collect()
    }

    /// How many matrices were quantised before.
    pub fn quantized_matrices(&self) -> usize {
        let graphs = self.model.graph.iter();
        graphs.map(tensors::count_quantised).sum()
    }
}

/// What the folder says of the limit, within what the tables of `graph` hold.
fn limit(proto: &ModelProto, graph: &GraphProto, model: &Model) -> Result<Limit, BuildError> {
    let limits = &model.limits;
    let tables: Tables = reach::tables(proto, graph, limits.at_most(), limits.first_position);
    limits.within(&tables)
}

/// Whether a file is ONNX, and its graph has an output of that name.
///
/// # Errors
/// [`BuildError`] for a file that cannot be read or is no ONNX model.
pub fn has_output(path: &Path, name: &str) -> Result<bool, BuildError> {
    if checkpoint::is_one(path) {
        return Ok(false);
    }
    Ok(outputs::has_output(&source::outputs(path)?, name))
}

/// The names of the files beside an ONNX file that its tensors are in.
pub(crate) fn external_files(path: &Path) -> Result<BTreeSet<String>, BuildError> {
    source::external_files(path)
}

/// One form of everything that has several.
fn rewrite(
    path: &Path,
    graph: &mut GraphProto,
    opset: i64,
    quantised: &mut BTreeMap<String, Quantised>,
) -> Result<(), BuildError> {
    constants::lift(graph);
    float32::compute(graph);
    fused::rewrite(path, graph, opset, quantised)
}

/// Removes nodes and tensors that no output needs.
fn remove_unused(graph: &mut GraphProto) {
    let mut needed: HashSet<String> = graph.output.iter().map(|it| it.name.clone()).collect();
    // Nodes are sorted: every use of a value comes after its definition.
    let mut kept = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|output| needed.contains(output)) {
            needed.extend(node.input.iter().cloned());
            let bodies = node.attribute.iter().filter_map(|it| it.g.as_ref());
            bodies.for_each(|body| collect_inputs(body, &mut needed));
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|it| needed.contains(&it.name));
    let initialised: HashSet<&String> = graph.initializer.iter().map(|it| &it.name).collect();
    graph.input.retain(|it| !initialised.contains(&it.name));
}

fn collect_inputs(body: &GraphProto, needed: &mut HashSet<String>) {
    needed.extend(body.output.iter().map(|it| it.name.clone()));
    for node in &body.node {
        needed.extend(node.input.iter().cloned());
        let bodies = node.attribute.iter().filter_map(|it| it.g.as_ref());
        bodies.for_each(|body| collect_inputs(body, needed));
    }
}
