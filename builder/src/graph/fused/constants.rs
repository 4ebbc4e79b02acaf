//! What nodes are given that has to be constant, and of some shape.

use super::{Fused, Rewritten};
use crate::graph::dequantise::count;
use crate::graph::emit::Emitter;
use encoderfile::onnx::{TensorProto, tensor_proto::DataType};

/// The initializer at `place`.
pub(super) fn constant<'a>(
    node: &Fused<'_>,
    emitter: &Emitter<'a>,
    place: usize,
) -> Result<&'a TensorProto, String> {
    let name = node.required(place)?;
    let tensor = emitter.initializer(name);
    tensor.ok_or_else(|| format!("its input `{name}` is not constant"))
}

/// The initializer at `place`, if there is an input.
pub(super) fn optional<'a>(
    node: &Fused<'_>,
    emitter: &Emitter<'a>,
    place: usize,
) -> Result<Option<&'a TensorProto>, String> {
    let is_there = node.input(place).is_some();
    is_there.then(|| constant(node, emitter, place)).transpose()
}

/// Refuses a tensor of none of these shapes.
pub(super) fn expect(tensor: &TensorProto, shapes: &[&[usize]]) -> Rewritten {
    let dims = sizes(tensor)?;
    match shapes.contains(&&*dims) {
        true => Ok(()),
        false => {
            let shapes: Vec<String> = shapes.iter().map(|it| format!("{it:?}")).collect();
            let (name, shapes) = (&tensor.name, shapes.join(" or "));
            Err(format!("`{name}` has shape {dims:?}, expected {shapes}"))
        }
    }
}

/// Refuses zero points of another type than the values.
pub(super) fn same_type(values: &TensorProto, zero_points: Option<&TensorProto>) -> Rewritten {
    match zero_points.filter(|it| it.data_type != values.data_type) {
        Some(other) => {
            let (values, name) = (&values.name, &other.name);
            Err(format!("`{name}` is of another type than `{values}`"))
        }
        None => Ok(()),
    }
}

/// The lengths of a tensor's axes, of which none is zero.
pub(super) fn sizes(tensor: &TensorProto) -> Result<Vec<usize>, String> {
    let dims = tensor.dims.iter().map(|dim| usize::try_from(*dim).ok());
    let dims: Option<Vec<usize>> = dims.map(|dim| dim.filter(|it| *it > 0)).collect();
    let is_number = count(&tensor.dims).is_some();
    let dims = dims.filter(|_| is_number);
    dims.ok_or_else(|| format!("`{}` has shape {:?}", tensor.name, tensor.dims))
}

/// Whether values are of uint8, which may have several in a byte.
pub(super) fn is_bytes(tensor: &TensorProto) -> bool {
    DataType::try_from(tensor.data_type) == Ok(DataType::Uint8)
}

/// The place of an axis of a tensor of that rank, which may be counted from the end.
pub(super) fn resolve(axis: i64, rank: usize) -> Result<usize, String> {
    let from_end = if axis < 0 { rank } else { 0 };
    let place = i64::try_from(from_end).ok();
    let place = place.and_then(|it| usize::try_from(axis.checked_add(it)?).ok());
    let place = place.filter(|it| *it < rank);
    place.ok_or_else(|| format!("axis {axis} of a tensor of rank {rank}"))
}
