//! External initializers: tensors that are not in the graph but in the weights artifact.

use super::node::{attribute, is_standard};
use super::tensor::read_tensor;
use crate::GraphError;
use crate::error::Stage;
use crate::ops::Backend;
use crate::ops::linear::MatMulWeight;
use crate::ops::stored_tensor::StoredTensor;
use encoderfile_format::source::{Section, Source};
use encoderfile_format::weights::{
    External, Layout, Matrix, TENSOR_ALIGNMENT, WeightsEncoding, WeightsError, dims,
};
use encoderfile_proto::onnx::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tract_core::internal::*;

/// The external initializers of a graph: embedding tables, which stay where they are,
/// weights of `MatMul`, which are packed from there or used where they are mapped, stacks of
/// such weights, which wait for a pass, and everything else, read once.
#[derive(Default)]
pub(crate) struct ExternalInitializers {
    /// With the names of the values.
    pub(crate) constants: Vec<(String, Arc<Tensor>)>,
    /// With the names of the values.
    pub(crate) stacks: Vec<(String, StoredTensor)>,
    /// By name of the value.
    tables: HashMap<String, Arc<Matrix>>,
    matmul_weights: HashMap<String, MatMulWeight>,
}

impl ExternalInitializers {
    /// Takes the external tensors out of `graph`.
    pub(crate) fn take(
        graph: &mut GraphProto,
        weights: &Arc<dyn Source>,
        backend: &Backend,
    ) -> Result<Self, GraphError> {
        let mut external = Self::default();
        let mut inline = Vec::new();
        let mut bytes: u64 = 0;
        let initializers = std::mem::take(&mut graph.initializer);
        let uses = Uses::of(graph);
        for tensor in initializers {
            let place = External::of(&tensor)?;
            bytes = bytes.saturating_add(place.as_ref().map_or(0, |it| it.length));
            if bytes > weights.len() {
                let problem = "shares bytes of the weights with other tensors".into();
                return Err(WeightsError::new(&tensor.name, problem).into());
            }
            match place {
                None => inline.push(tensor),
                Some(place) if uses.is_embedding_table(&tensor) => {
                    let table = Matrix::of(&tensor, &place, weights)?;
                    external.tables.insert(tensor.name, Arc::new(table));
                }
                Some(place)
                    if is_float32(&tensor) && uses.is_matmul_weight(&tensor.name, &tensor.dims) =>
                {
                    let matrix = Matrix::of(&tensor, &place, weights)?;
                    let weight = MatMulWeight::new(matrix, backend.clone());
                    external.matmul_weights.insert(tensor.name, weight);
                }
                Some(place)
                    if is_float32(&tensor) && uses.is_matmul_stack(&tensor.name, &tensor.dims) =>
                {
                    let stored = StoredTensor::new(&tensor, &place, weights)?;
                    external.stacks.push((tensor.name, stored));
                }
                Some(place) => {
                    let constant = read_external(&tensor, &place, weights)?;
                    let padded = place.length.next_multiple_of(TENSOR_ALIGNMENT);
                    weights.release(place.offset, padded);
                    external.constants.push((tensor.name, constant));
                }
            }
        }
        graph.initializer = inline;
        Ok(external)
    }

    /// The table that a node gathers rows of, if it does, and its other inputs.
    pub(crate) fn table_of<'a>(&self, node: &'a NodeProto) -> Option<(Arc<Matrix>, &'a [String])> {
        let (first, others) = node.input.split_first()?;
        Some((Arc::clone(self.tables.get(first)?), others))
    }

    /// The weight that a node multiplies by, if it does, and its other inputs.
    pub(crate) fn matmul_weight_of<'a>(
        &self,
        node: &'a NodeProto,
    ) -> Option<(MatMulWeight, &'a [String])> {
        let (last, others) = node.input.split_last()?;
        Some((self.matmul_weights.get(last)?.clone(), others))
    }
}

/// What is done with each value of a graph.
pub struct Uses<'a> {
    nodes: HashMap<&'a str, Vec<&'a NodeProto>>,
    outputs: HashSet<&'a str>,
}

impl<'a> Uses<'a> {
    /// Looks at each node once.
    pub fn of(graph: &'a GraphProto) -> Self {
        let mut nodes: HashMap<_, Vec<_>> = HashMap::new();
        for node in &graph.node {
            for name in &node.input {
                nodes.entry(name.as_str()).or_default().push(node);
            }
        }
        let outputs = graph.output.iter().map(|it| it.name.as_str());
        Self {
            nodes,
            outputs: outputs.collect(),
        }
    }

    /// Whether a value is taken by one node, and is no output.
    pub(crate) fn is_taken_once(&self, name: &str) -> bool {
        self.nodes(name).len() == 1 && !self.outputs.contains(name)
    }

    /// The nodes that take a value, in the graph's order.
    pub fn nodes(&self, name: &str) -> &[&'a NodeProto] {
        self.nodes.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a tensor is an embedding table: a float32 matrix that only whole rows are
    /// taken from.
    fn is_embedding_table(&self, tensor: &TensorProto) -> bool {
        is_float32(tensor)
            && tensor.dims.len() == 2
            && self.is_only_for(&tensor.name, |node| {
                node.op_type == "Gather"
                    && attribute(node, "axis").is_none_or(|axis| axis.i == 0)
                    && node.input.first() == Some(&tensor.name)
                    && node.input.iter().skip(1).all(|name| *name != tensor.name)
            })
    }

    /// Whether a tensor of floats is a weight: a matrix that others are only multiplied by, with
    /// `MatMul`.
    pub fn is_matmul_weight(&self, name: &str, dims: &[i64]) -> bool {
        dims.len() == 2 && self.is_multiplied_by(name, dims)
    }

    /// The same for a stack of matrices, `[…, depth, columns]`.
    pub fn is_matmul_stack(&self, name: &str, dims: &[i64]) -> bool {
        dims.len() > 2 && self.is_multiplied_by(name, dims)
    }

    fn is_multiplied_by(&self, name: &str, dims: &[i64]) -> bool {
        let is_second = |node: &NodeProto| matches!(&*node.input, [first, second] if first != name && second == name);
        self.is_only_for(name, |node| {
            node.op_type == "MatMul" && is_standard(&node.domain) && is_second(node)
        }) && dims.iter().all(|length| *length > 0)
    }

    /// Whether all that is done with a tensor is this.
    fn is_only_for(&self, name: &str, is_done: impl Fn(&NodeProto) -> bool) -> bool {
        !self.outputs.contains(name) && self.nodes(name).iter().all(|node| is_done(node))
    }
}

fn is_float32(tensor: &TensorProto) -> bool {
    tensor.data_type == DataType::Float as i32
}

fn read_external(
    tensor: &TensorProto,
    place: &External,
    weights: &Arc<dyn Source>,
) -> Result<Arc<Tensor>, GraphError> {
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => {}
        Ok(DataType::Int8 | DataType::Uint8) => return read_bytes(tensor, place, weights),
        _ => {
            let problem = "external but neither float32 nor 8-bit".to_owned();
            return Err(WeightsError::new(&tensor.name, problem).into());
        }
    }
    let stored = StoredTensor::new(tensor, place, weights)?;
    stored.read().map_err(GraphError::engine(Stage::Reading))
}

/// Quantised weights: a byte is a value.
fn read_bytes(
    tensor: &TensorProto,
    place: &External,
    weights: &Arc<dyn Source>,
) -> Result<Arc<Tensor>, GraphError> {
    let fail = |problem: String| WeightsError::new(&tensor.name, problem);
    let mut lengths = dims(tensor)?.into_iter();
    let expected = lengths.try_fold(1_usize, usize::checked_mul);
    let fits = |length: &usize| *length as u64 == place.length;
    let Some(length) = expected.filter(fits) else {
        let problem = format!("{} bytes for {:?} values", place.length, tensor.dims);
        return Err(fail(problem).into());
    };
    if (place.encoding, place.layout) != (WeightsEncoding::F32, Layout::Rows) {
        let problem = format!("{} bytes for {:?} values", place.length, tensor.dims);
        return Err(fail(problem).into());
    }
    let section = Section::new(Arc::clone(weights), place.offset, place.length);
    let section = section.map_err(|error| fail(error.to_string()))?;
    let mut bytes = vec![0; length];
    let read = section.read_at(0, &mut bytes);
    read.map_err(|error| fail(error.to_string()))?;
    let mut inline = tensor.clone();
    inline.raw_data = bytes.into();
    Ok(read_tensor(&inline)?.into_arc_tensor())
}
