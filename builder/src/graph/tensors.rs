//! Taking the large tensors out of a graph.
//!
//! Nothing is copied or encoded here: what is stored is computed from the
//! mapped source whenever it is read.

use super::panels::Panels;
use super::quantize::{EncodedRows, column_scales, encode_panels};
use super::storage::{Matrix, Storage};
use super::values::Floats;
use bytes::Bytes;
use encoderfile::graph::Uses;
use encoderfile::manifest::Compute;
use encoderfile::onnx::{
    GraphProto, TensorProto, tensor_proto::DataLocation, tensor_proto::DataType,
};
use encoderfile::source::{ReadError, Source, Spliced, checked_range};
use encoderfile::weights::{External, Layout, TENSOR_ALIGNMENT, WeightsEncoding};
use half::{bf16, f16};
use std::sync::Arc;

/// Tensors of fewer values stay in the graph.
const LARGE: usize = 1024;

/// Matrices of fewer values are stored as float32 whatever the encoding:
/// biases, type embeddings and small heads cost accuracy and save nothing.
const QUANTISED: usize = 1 << 14;

/// The weights artifact: stored tensors, one after the other, each aligned.
pub type Weights = Spliced<'static>;

/// A tensor's bytes as they are in the source file.
struct Mapped(Bytes);

impl Source for Mapped {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, Source::len(self))?;
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        buffer.copy_from_slice(&self.0[range]);
        Ok(())
    }
}

/// Panels that were rounded before.
struct Compensated(Arc<[u8]>);

impl Source for Compensated {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_at(offset, buffer)
    }
}

/// Whether a tensor is one of those that are moved out of the graph.
pub(super) fn is_large(tensor: &TensorProto) -> bool {
    value_count(tensor) >= LARGE
}

/// Whether its values are float32 or float16.
pub(super) fn is_float(tensor: &TensorProto) -> bool {
    let data_type = DataType::try_from(tensor.data_type);
    matches!(data_type, Ok(DataType::Float | DataType::Float16))
}

/// Whether a tensor is a matrix that is stored in fewer bits where that is asked for.
pub(super) fn is_matrix(tensor: &TensorProto) -> bool {
    is_float(tensor) && tensor.dims.len() == 2 && value_count(tensor) >= QUANTISED
}

/// Moves every large tensor out of the graph: matrices of floats as `storage` says, and all
/// others as they are.
pub(super) fn split(graph: &mut GraphProto, storage: &Storage) -> Weights {
    let mut weights = Weights::default();
    let mut tensors = std::mem::take(&mut graph.initializer);
    let uses = Uses::of(graph);
    for tensor in tensors.iter_mut().filter(|it| is_large(it)) {
        let (encoding, layout, offset) = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Float | DataType::Float16) => {
                let (encoding, layout) = stored_as(&uses, tensor, storage);
                let values = Floats::take(tensor);
                tensor.data_type = DataType::Float as i32;
                let offset = match storage.compensated.get(&tensor.name) {
                    Some(panels) => weights.push(Compensated(Arc::clone(panels)), TENSOR_ALIGNMENT),
                    None => push(&mut weights, values, tensor, encoding, layout),
                };
                (encoding, layout, offset)
            }
            Ok(DataType::Int8 | DataType::Uint8) if !tensor.raw_data.is_empty() => {
                let bytes = Mapped(std::mem::take(&mut tensor.raw_data));
                let offset = weights.push(bytes, TENSOR_ALIGNMENT);
                (WeightsEncoding::F32, Layout::Rows, offset)
            }
            _ => continue,
        };
        tensor.set_data_location(DataLocation::External);
        tensor.external_data = External {
            offset,
            length: weights.len() - offset,
            encoding,
            layout,
        }
        .to_entries(tensor.dims.len());
    }
    graph.initializer = tensors;
    weights
}

/// Appends the values as `encoding`; returns where they are.
fn push(
    weights: &mut Weights,
    values: Floats,
    tensor: &TensorProto,
    encoding: WeightsEncoding,
    layout: Layout,
) -> u64 {
    let columns = tensor.dims.last().and_then(|it| usize::try_from(*it).ok());
    let columns = columns.unwrap_or(1);
    match (encoding, layout, values) {
        (WeightsEncoding::F32, Layout::Rows, Floats::F32(bytes))
        | (WeightsEncoding::F16, Layout::Rows, Floats::F16(bytes)) => {
            weights.push(Mapped(bytes), TENSOR_ALIGNMENT)
        }
        (WeightsEncoding::F32, Layout::Rows, values) => {
            weights.push(values.into_f32(), TENSOR_ALIGNMENT)
        }
        (WeightsEncoding::F32, Layout::Panels, values) => {
            weights.push(Panels::new(values, columns), TENSOR_ALIGNMENT)
        }
        (_, Layout::Rows, values) => {
            let rows = EncodedRows::new(values, columns, encoding);
            weights.push(rows, TENSOR_ALIGNMENT)
        }
        (_, Layout::Panels, values) => {
            let values = values.to_vec();
            let scales = column_scales(&values, columns, &[], encoding);
            let panels = encode_panels(&values, columns, encoding, &scales);
            weights.push(panels, TENSOR_ALIGNMENT)
        }
    }
}

/// How much of a matrix is lost by rounding it: the sum of its squared errors, divided by that
/// of its squares.
pub(super) fn rounding_error(
    tensor: &TensorProto,
    matrix: &Matrix,
    encoding: WeightsEncoding,
) -> f64 {
    let values = Floats::take(&mut tensor.clone());
    let exact = values.to_vec();
    let layout = match matrix.is_multiplied {
        true => Layout::Panels,
        false => Layout::Rows,
    };
    let mut weights = Weights::default();
    push(&mut weights, values, tensor, encoding, layout);
    let place = External {
        offset: 0,
        length: weights.len(),
        encoding,
        layout,
    };
    let source: Arc<dyn Source> = Arc::new(weights);
    let mut rounded = vec![0.0; exact.len()];
    let stored = encoderfile::weights::Matrix::new(&matrix.name, matrix.shape, &place, &source);
    let read = stored.and_then(|stored| stored.read_rows(0, &mut rounded));
    if read.is_err() {
        return 0.0;
    }
    let squared = |values: &mut dyn Iterator<Item = f32>| -> f64 {
        values.map(|it| f64::from(it).powi(2)).sum()
    };
    let all = squared(&mut exact.iter().copied());
    let errors = exact.iter().zip(&rounded).map(|(a, b)| a - b);
    if all > 0.0 {
        squared(&mut errors.into_iter()) / all
    } else {
        0.0
    }
}

/// The name of the largest tensor that [`split`] leaves in the graph, and how many values it
/// has.
pub(super) fn largest_inside(graph: &GraphProto) -> Option<(String, usize)> {
    let tensors = graph.initializer.iter();
    let inside = tensors.filter(|it| !is_float(it) && !is_of_bytes(it));
    let largest = inside.max_by_key(|it| value_count(it))?;
    Some((largest.name.clone(), value_count(largest)))
}

fn is_of_bytes(tensor: &TensorProto) -> bool {
    let data_type = DataType::try_from(tensor.data_type);
    matches!(data_type, Ok(DataType::Int8 | DataType::Uint8))
}

/// The first tensor with a value that its encoding cannot hold, and the value: float16 ends at
/// 65,504, and whole numbers know no NaN.
pub(super) fn unfit(
    graph: &GraphProto,
    storage: &Storage,
) -> Option<(String, f32, WeightsEncoding)> {
    let uses = Uses::of(graph);
    let tensors = graph.initializer.iter();
    let mut tensors = tensors.filter(|it| is_large(it) && is_float(it));
    tensors.find_map(|tensor| {
        let (encoding, _) = stored_as(&uses, tensor, storage);
        let largest = match encoding {
            WeightsEncoding::F32 => return None,
            WeightsEncoding::F16 => f16::MAX.to_f32(),
            WeightsEncoding::Bf16 => bf16::MAX.to_f32(),
            // A scale is a float16, for values of up to so many steps.
            WeightsEncoding::Int8(_) => f16::MAX.to_f32() * 127.0,
            WeightsEncoding::Int4(_) => f16::MAX.to_f32() * 7.0,
        };
        let values = Floats::take(&mut tensor.clone());
        let mut values = (0..values.len()).map(|index| values.value(index));
        let value = values.find(|value| value.abs() > largest || !value.is_finite());
        Some((tensor.name.clone(), value?, encoding))
    })
}

/// The matrices of `graph` that were quantised before.
pub(super) fn count_quantised(graph: &GraphProto) -> usize {
    let is_quantised = |tensor: &&TensorProto| {
        let data_type = DataType::try_from(tensor.data_type);
        matches!(data_type, Ok(DataType::Int8 | DataType::Uint8)) && tensor.dims.len() > 1
    };
    graph.initializer.iter().filter(is_quantised).count()
}

/// How many values a tensor has.
pub(super) fn value_count(tensor: &TensorProto) -> usize {
    let dims = tensor
        .dims
        .iter()
        .map(|dim| usize::try_from(*dim).unwrap_or(0));
    dims.product()
}

/// How a tensor of floats is stored.
fn stored_as(
    uses: &Uses<'_>,
    tensor: &TensorProto,
    storage: &Storage,
) -> (WeightsEncoding, Layout) {
    // float16 loses nothing of what was float16.
    let lossless = match tensor.data_type == DataType::Float16 as i32 {
        true => WeightsEncoding::F16,
        false => WeightsEncoding::F32,
    };
    if !is_matrix(tensor) {
        let is_stack = uses.is_matmul_stack(&tensor.name, &tensor.dims);
        return match is_stack && lossless == WeightsEncoding::F32 {
            true => (lossless, Layout::Panels),
            false => (lossless, Layout::Rows),
        };
    }
    let encoding = storage.encodings.get(&tensor.name).copied();
    let encoding = encoding.unwrap_or(lossless);
    // What is read and quantised needs no other order than the source's.
    let is_used_in_place = encoding != WeightsEncoding::F32 || storage.compute == Compute::F32;
    match is_used_in_place && uses.is_matmul_weight(&tensor.name, &tensor.dims) {
        true => (encoding, Layout::Panels),
        false => (encoding, Layout::Rows),
    }
}
