//! Quantised weights, dequantised: while the graph is loaded where they are
//! constants, which is where they are matrices.

use super::resolve_axis;
use super::wired::like_first_of_type;
use crate::onnx::node::Node;
use encoderfile_kernels as kernels;
use encoderfile_kernels::Quantised;
use tract_hir::internal::*;
use tract_hir::ops::logic::wire_with_rank_broadcast;
use tract_hir::ops::math;
use tract_hir::tract_core::ops::cast::wire_cast;

/// `(x − zero point) · scale`, each one number or one for each place along `axis`.
pub(super) fn dequantize_linear(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let axis: i64 = node.attribute("axis")?.unwrap_or(1);
    let block_size: i64 = node.attribute("block_size")?.unwrap_or(0);
    ensure!(block_size == 0, "blocks of {block_size}");
    let result = f32::datum_type();
    let wire = move |name: &str, model: &mut TypedModel, inputs: &[OutletId]| {
        let constants = inputs
            .iter()
            .map(|input| Ok(model.outlet_fact(*input)?.konst.clone()))
            .collect::<TractResult<Option<Vec<_>>>>()?;
        match constants {
            Some(constants) => {
                let value = dequantise(&constants, axis)?;
                Ok(tvec!(model.add_const(name, value)?))
            }
            None => wire(name, model, inputs, axis),
        }
    };
    Ok(like_first_of_type("DequantizeLinear", result, wire))
}

/// The same of constants, in one pass over the values.
fn dequantise(inputs: &[Arc<Tensor>], axis: i64) -> TractResult<Tensor> {
    let [values, parameters @ ..] = inputs else {
        bail!("no inputs");
    };
    let parameters = parameters.iter().map(|it| floats(it));
    let parameters: Vec<Vec<f32>> = parameters.collect::<TractResult<_>>()?;
    let scales = parameters.first().context("no scale")?;
    let zero_points = parameters.get(1).map_or(&[0.0][..], Vec::as_slice);
    let count = scales.len().max(zero_points.len());
    let (mut length, mut inner) = (1, values.len());
    if count > 1 {
        let axis = resolve_axis(axis, values.rank())?;
        length = values.shape()[axis];
        inner = values.shape()[axis + 1..].iter().product();
    }
    let fits = |of: &[f32]| of.len() == 1 || of.len() == length;
    ensure!(
        fits(scales) && fits(zero_points),
        "{count} scales or zero points for an axis of {length}"
    );
    let mut result = Tensor::zero::<f32>(values.shape())?;
    {
        let mut plain = result.try_as_plain_ram_mut()?;
        let out = plain.as_slice_mut::<f32>()?;
        let at = |of: &[f32], place: usize| of[if of.len() == 1 { 0 } else { place }];
        let pairs = (0..length).map(|place| (at(scales, place), at(zero_points, place)));
        let pairs: Vec<(f32, f32)> = pairs.collect();
        let source = values.try_as_plain_ram()?;
        let floats = match values.datum_type() {
            DatumType::U8 | DatumType::I8 => Vec::new(),
            _ => floats(values)?,
        };
        let values = match values.datum_type() {
            DatumType::U8 => Quantised::U8(source.as_slice()?),
            DatumType::I8 => Quantised::I8(source.as_slice()?),
            _ => Quantised::F32(&floats),
        };
        kernels::dequantise(values, &pairs, inner, out)?;
    }
    Ok(result)
}

fn floats(tensor: &Tensor) -> TractResult<Vec<f32>> {
    let tensor = tensor.cast_to::<f32>()?;
    let plain = tensor.try_as_plain_ram()?;
    Ok(plain.as_slice::<f32>()?.to_vec())
}

/// The same of what is computed: rows of quantised tables.
fn wire(
    name: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
    axis: i64,
) -> TractResult<TVec<OutletId>> {
    let rank = model.outlet_fact(inputs[0])?.rank();
    let wires = wire_cast(name, model, inputs, f32::datum_type())?;
    let mut wire = wires[0];
    if let Some(zero_point) = wires.get(2) {
        let zero_point = along(model, format!("{name}.zero_point"), *zero_point, axis, rank)?;
        let name = format!("{name}.sub");
        wire = wire_with_rank_broadcast(name, model, math::sub(), &[wire, zero_point])?[0];
    }
    let scale = along(model, format!("{name}.scale"), wires[1], axis, rank)?;
    wire_with_rank_broadcast(name, model, math::mul(), &[wire, scale])
}

/// Lays a vector along an axis of a tensor of that rank; one number stays one.
fn along(
    model: &mut TypedModel,
    name: String,
    vector: OutletId,
    axis: i64,
    rank: usize,
) -> TractResult<OutletId> {
    let shape = &model.outlet_fact(vector)?.shape;
    if shape.rank() != 1 || shape[0].is_one() {
        return Ok(vector);
    }
    let mut wire = vector;
    for further in 0..rank - 1 - resolve_axis(axis, rank)? {
        let name = format!("{name}.{further}");
        wire = model.wire_node(name, AxisOp::Add(1), &[wire])?[0];
    }
    Ok(wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dequantised(values: Tensor, scales: &[f32], zero_points: &[u8], axis: i64) -> Vec<f32> {
        let inputs = [values, tensor1(scales), tensor1(zero_points)];
        let result = dequantise(&inputs.map(Tensor::into_arc_tensor), axis).unwrap();
        floats(&result).unwrap()
    }

    #[test]
    fn parameters_lie_along_the_axis() {
        let values = || tensor1(&[0_u8, 1, 2, 3, 4, 5]).into_shape(&[2, 3]).unwrap();
        let all = dequantised(values(), &[2.0], &[1], 1);
        assert_eq!(all, [-2.0, 0.0, 2.0, 4.0, 6.0, 8.0]);
        let columns = dequantised(values(), &[1.0, 10.0, 100.0], &[0, 1, 2], 1);
        assert_eq!(columns, [0.0, 0.0, 0.0, 3.0, 30.0, 300.0]);
        let rows = dequantised(values(), &[1.0, 10.0], &[0, 3], -2);
        assert_eq!(rows, [0.0, 1.0, 2.0, 0.0, 10.0, 20.0]);
        let bad = [values(), tensor1(&[1.0_f32, 2.0])].map(Tensor::into_arc_tensor);
        assert!(dequantise(&bad, 1).is_err());
    }
}
