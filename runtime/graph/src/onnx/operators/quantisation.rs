//! `QuantizeLinear` and `DequantizeLinear`: of weights while the graph is loaded, since they are
//! constants, and of activations where the graph rounds them.

use super::{Wire, resolve_axis};
use crate::onnx::node::Node;
use crate::ops::quantisation::{Dequantize, Parameters, Quantize, dequantise};
use tract_core::internal::*;
use tract_core::ops::cast::wire_cast;
use tract_core::ops::math;

/// `(x − zero point) · scale`, each one number or one for each place along `axis`.
pub(super) fn dequantize_linear(node: &Node) -> TractResult<Wire> {
    let axis = axis(node)?;
    Ok(Box::new(move |name, model, inputs| {
        let Some(parameters) = parameters(model, inputs, axis)? else {
            return wire(name, model, inputs, axis);
        };
        match model.outlet_fact(inputs[0])?.konst.clone() {
            Some(values) => {
                let value = dequantise(&values, &parameters)?;
                Ok(tvec!(model.add_const(name, value)?))
            }
            None => model.wire_node(name, Dequantize { parameters }, &inputs[..1]),
        }
    }))
}

/// `x / scale + zero point`, rounded half to even and saturated, of the zero point's type.
pub(super) fn quantize_linear(node: &Node) -> TractResult<Wire> {
    let axis = axis(node)?;
    Ok(Box::new(move |name, model, inputs| {
        let parameters = parameters(model, inputs, axis)?;
        let zero_point = inputs.last().context("no zero point")?;
        let op = Quantize {
            parameters: parameters.context("scales and zero points have to be constants")?,
            datum_type: model.outlet_fact(*zero_point)?.datum_type,
        };
        let input = wire_cast(name, model, &inputs[..1], f32::datum_type())?;
        model.wire_node(name, op, &input)
    }))
}

fn axis(node: &Node) -> TractResult<i64> {
    let block_size: i64 = node.attribute("block_size")?.unwrap_or(0);
    ensure!(block_size == 0, "blocks of {block_size}");
    super::axis(node, 1)
}

/// Scales and zero points of the first input, which are the others, if they are constants.
fn parameters(
    model: &TypedModel,
    inputs: &[OutletId],
    axis: i64,
) -> TractResult<Option<Parameters>> {
    let [values, inputs @ ..] = inputs else {
        bail!("no inputs");
    };
    let constants = inputs.iter().map(|input| {
        let constant = model.outlet_fact(*input)?.konst.as_deref();
        constant.map(floats).transpose()
    });
    let constants: Option<Vec<Vec<f32>>> = constants.collect::<TractResult<_>>()?;
    let Some(constants) = constants else {
        return Ok(None);
    };
    let scales = constants.first().context("no scale")?;
    let zero_points = constants.get(1).map_or(&[0.0][..], Vec::as_slice);
    let count = scales.len().max(zero_points.len());
    let fact = model.outlet_fact(*values)?;
    let axis = match count {
        1 => 0,
        _ => resolve_axis(axis, fact.rank())?,
    };
    let fits = |of: &[f32]| of.len() == 1 || of.len() == count;
    ensure!(
        fits(scales) && fits(zero_points),
        "{} scales and {} zero points",
        scales.len(),
        zero_points.len()
    );
    let length = fact.shape.get(axis).filter(|_| count > 1);
    let length = length.and_then(|it| it.to_usize().ok());
    ensure!(
        length.is_none_or(|length| length == count),
        "{count} scales or zero points for an axis of {}",
        length.unwrap_or_default()
    );
    let at = |of: &[f32], place: usize| of[if of.len() == 1 { 0 } else { place }];
    let pairs = (0..count).map(|place| (at(scales, place), at(zero_points, place)));
    Ok(Some(Parameters {
        pairs: pairs.collect(),
        axis,
    }))
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
    use encoderfile_proto::onnx::{AttributeProto, NodeProto, attribute_proto::AttributeType};

    /// What an operator along an axis makes of constants, or of the first as it is computed.
    fn run(
        build: fn(&Node) -> TractResult<Wire>,
        inputs: &[Tensor],
        axis: i64,
        is_computed: bool,
    ) -> TractResult<Tensor> {
        let proto = NodeProto {
            attribute: vec![AttributeProto {
                name: "axis".into(),
                r#type: AttributeType::Int.into(),
                i: axis,
                ..AttributeProto::default()
            }],
            ..NodeProto::default()
        };
        let op = build(&Node {
            proto: &proto,
            opset: 21,
        })?;
        let mut model = TypedModel::default();
        let mut outlets = Vec::new();
        for (place, input) in inputs.iter().enumerate() {
            let name = format!("input {place}");
            outlets.push(match place == 0 && is_computed {
                true => model.add_source(name, input.datum_type().fact(input.shape()))?,
                false => model.add_const(name, input.clone())?,
            });
        }
        let result = op("result", &mut model, &outlets)?;
        model.select_output_outlets(&result)?;
        let values = inputs.iter().take(usize::from(is_computed));
        let values = values.map(|it| it.clone().into_tvalue()).collect();
        let plan = model.into_runnable()?;
        Ok(plan.run(values)?.remove(0).into_tensor())
    }

    fn dequantised(values: Tensor, scales: &[f32], zero_points: &[u8], axis: i64) -> Vec<f32> {
        let inputs = [values, tensor1(scales), tensor1(zero_points)];
        let [constant, computed] = [false, true]
            .map(|is_computed| run(dequantize_linear, &inputs, axis, is_computed).unwrap());
        assert_eq!(constant, computed);
        floats(&constant).unwrap()
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
        let bad = [values(), tensor1(&[1.0_f32, 2.0])];
        assert!(run(dequantize_linear, &bad, 1, false).is_err());
        assert!(run(dequantize_linear, &bad, 1, true).is_err());
    }

    #[test]
    fn activations_are_of_the_zero_points_type() {
        let values = tensor1(&[-1.0_f32, 0.25, 0.75, 300.0]);
        let quantised = |zero_point: Tensor| {
            let inputs = [values.clone(), tensor0(0.5_f32), zero_point];
            run(quantize_linear, &inputs, 1, true).unwrap()
        };
        assert_eq!(quantised(tensor0(1_u8)), tensor1(&[0_u8, 1, 3, 255]));
        assert_eq!(quantised(tensor0(0_i8)), tensor1(&[-2_i8, 0, 2, 127]));
        assert_eq!(quantised(tensor0(9_u16)), tensor1(&[7_u16, 9, 11, 609]));
        let i16s = tensor1(&[-102_i16, -100, -98, 500]);
        assert_eq!(quantised(tensor0(-100_i16)), i16s);
        let rows = values.into_shape(&[2, 2]).unwrap();
        let inputs = [rows, tensor1(&[0.5_f32, 50.0]), tensor1(&[1_u8, 0])];
        let result = run(quantize_linear, &inputs, 0, true).unwrap();
        let expected = tensor1(&[0_u8, 1, 0, 6]).into_shape(&[2, 2]).unwrap();
        assert_eq!(result, expected);
    }
}
