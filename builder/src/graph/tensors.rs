//! Taking the large tensors out of a graph.
//!
//! Nothing is copied or encoded here: what is stored is computed from the
//! mapped source whenever it is read.

use super::panels::Panels;
use super::quantize::Int8;
use super::values::Floats;
use crate::assemble::Encoding as Wanted;
use bytes::Bytes;
use encoderfile::graph::Uses;
use encoderfile::manifest::{Compute, WeightsEncoding};
use encoderfile::onnx::{
    GraphProto, NodeProto, TensorProto, tensor_proto::DataLocation, tensor_proto::DataType,
};
use encoderfile::source::{ReadError, Source, Spliced, checked_range};
use encoderfile::weights::{Encoding, External, GroupAxis, TENSOR_ALIGNMENT};
use half::f16;

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

/// Whether a tensor is one of those that are moved out of the graph.
pub(super) fn is_large(tensor: &TensorProto) -> bool {
    value_count(tensor) >= LARGE
}

/// Whether its values are float32 or float16.
pub(super) fn is_float(tensor: &TensorProto) -> bool {
    let data_type = DataType::try_from(tensor.data_type);
    matches!(data_type, Ok(DataType::Float | DataType::Float16))
}

/// Moves every large tensor out of the graph: float ones stored as they are `wanted`
/// where it pays, quantised ones as they are.
pub(super) fn split(graph: &mut GraphProto, wanted: Wanted) -> Weights {
    let mut weights = Weights::default();
    let mut tensors = std::mem::take(&mut graph.initializer);
    let uses = Uses::of(graph);
    for tensor in tensors.iter_mut().filter(|it| is_large(it)) {
        let (place, offset) = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Float | DataType::Float16) => {
                let encoding = encoding_for(&uses, tensor, wanted);
                let values = Floats::take(tensor);
                tensor.data_type = DataType::Float as i32;
                (encoding, push(&mut weights, values, tensor, encoding))
            }
            Ok(DataType::Int8 | DataType::Uint8) if !tensor.raw_data.is_empty() => {
                let bytes = Mapped(std::mem::take(&mut tensor.raw_data));
                (Encoding::Plain, weights.push(bytes, TENSOR_ALIGNMENT))
            }
            _ => continue,
        };
        tensor.set_data_location(DataLocation::External);
        tensor.external_data = External {
            offset,
            length: weights.len() - offset,
            encoding: place,
        }
        .to_entries();
    }
    graph.initializer = tensors;
    weights
}

/// Appends the values as `encoding`; returns where they are.
fn push(weights: &mut Weights, values: Floats, tensor: &TensorProto, encoding: Encoding) -> u64 {
    match (encoding, values) {
        (Encoding::Plain, Floats::F32(bytes)) | (Encoding::F16, Floats::F16(bytes)) => {
            weights.push(Mapped(bytes), TENSOR_ALIGNMENT)
        }
        (Encoding::Panels, values) => {
            let columns = usize::try_from(tensor.dims[1]).unwrap_or(1);
            weights.push(Panels::new(values, columns), TENSOR_ALIGNMENT)
        }
        (Encoding::F16, values) => weights.push(values.into_f16(), TENSOR_ALIGNMENT),
        (Encoding::Plain, values) => weights.push(values.into_f32(), TENSOR_ALIGNMENT),
        (Encoding::Int8 { group_axis }, values) => {
            let columns = usize::try_from(tensor.dims[1]).unwrap_or(1);
            weights.push(Int8::new(values, columns, group_axis), TENSOR_ALIGNMENT)
        }
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

/// The first tensor with a value that the wanted encoding cannot hold, and the
/// value: float16 ends at 65,504, and whole numbers know no NaN.
pub(super) fn unfit(graph: &GraphProto, wanted: Wanted) -> Option<(String, f32)> {
    let uses = Uses::of(graph);
    let tensors = graph.initializer.iter();
    let mut tensors = tensors.filter(|it| is_large(it) && is_float(it));
    tensors.find_map(|tensor| {
        let largest = match encoding_for(&uses, tensor, wanted) {
            Encoding::F16 => f16::MAX.to_f32(),
            // A scale is a float16, for values of up to 127.
            Encoding::Int8 { .. } => f16::MAX.to_f32() * 127.0,
            Encoding::Plain | Encoding::Panels => return None,
        };
        let values = Floats::take(&mut tensor.clone());
        let mut values = (0..values.len()).map(|index| values.value(index));
        let value = values.find(|value| value.abs() > largest || !value.is_finite());
        Some((tensor.name.clone(), value?))
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

fn encoding_for(uses: &Uses<'_>, tensor: &TensorProto, wanted: Wanted) -> Encoding {
    // float16 loses nothing of what was float16.
    let lossless = if tensor.data_type == DataType::Float16 as i32 {
        Encoding::F16
    } else {
        Encoding::Plain
    };
    if tensor.dims.len() != 2 || value_count(tensor) < QUANTISED {
        return lossless;
    }
    let is_multiplied_by = || wanted.compute == Compute::F32 && uses.is_matmul_weight(tensor);
    match wanted.weights {
        WeightsEncoding::F32 if lossless == Encoding::Plain && is_multiplied_by() => {
            Encoding::Panels
        }
        WeightsEncoding::F32 => lossless,
        WeightsEncoding::F16 => Encoding::F16,
        WeightsEncoding::Int8 => Encoding::Int8 {
            group_axis: input_axis(uses, &tensor.name),
        },
    }
}

/// The axis over which the operator that uses a matrix sums: its input dimension.
fn input_axis(uses: &Uses<'_>, name: &str) -> GroupAxis {
    let Some(user) = uses.nodes(name).first() else {
        return GroupAxis::Columns;
    };
    let is_right = user.input.get(1).is_some_and(|it| it == name);
    match user.op_type.as_str() {
        "MatMul" if is_right => GroupAxis::Rows,
        "Gemm" if is_right && !is_transposed(user) => GroupAxis::Rows,
        _ => GroupAxis::Columns,
    }
}

fn is_transposed(gemm: &NodeProto) -> bool {
    let transposed = gemm.attribute.iter().find(|it| it.name == "transB");
    transposed.is_some_and(|it| it.i != 0)
}
