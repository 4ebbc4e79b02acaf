//! Operators of neural nets: normalisation and activations.

use super::reshaping::{Reduction, wire_reduction};
use super::{Wire, add_scalar, element_wise, resolve_axis};
use crate::onnx::node::Node;
use crate::ops::layer_norm::{LayerNorm, Parameters};
use encoderfile_kernels::Isa;
use std::sync::Arc;
use tract_core::internal::*;
use tract_core::ops::array::MultiBroadcastTo;
use tract_core::ops::cast::{cast, wire_cast};
use tract_core::ops::math;
use tract_core::ops::nn::gelu_approximate::gelu_approximate;
use tract_core::ops::nn::silu::silu;
use tract_core::ops::nn::{self, Softmax};

/// Nothing is dropped at inference; a node that would drop is refused.
pub(super) fn dropout(node: &Node) -> TractResult<Wire> {
    let (ratio, training) = (node.input(1), node.input(2));
    let has_mask = node.has_output(1);
    Ok(Box::new(move |name, model, inputs| {
        let is_off = |slot: Option<usize>| -> TractResult<bool> {
            let Some(slot) = slot else { return Ok(false) };
            let value = &model.outlet_fact(inputs[slot])?.konst;
            let value = value.as_ref().map(|it| it.cast_to_scalar::<f32>());
            Ok(value.transpose()? == Some(0.0))
        };
        let is_inference = training.is_none() || is_off(training)?;
        ensure!(is_inference || is_off(ratio)?, "Dropout in training mode");
        let mut outputs = tvec!(inputs[0]);
        if has_mask {
            let fact = model.outlet_fact(inputs[0])?;
            let broadcast = MultiBroadcastTo::new(fact.shape.clone());
            let keep = tensor0(true).broadcast_into_rank(fact.rank())?;
            let keep = model.add_const(format!("{name}.keep"), keep)?;
            outputs.extend(model.wire_node(format!("{name}.mask"), broadcast, &[keep])?);
        }
        Ok(outputs)
    }))
}

pub(super) fn softmax(node: &Node) -> TractResult<Wire> {
    let axes = SoftmaxAxes::of(node)?;
    Ok(Box::new(move |name, model, inputs| {
        Ok(tvec!(axes.wire(name, model, inputs[0])?))
    }))
}

pub(super) fn log_softmax(node: &Node) -> TractResult<Wire> {
    let axes = SoftmaxAxes::of(node)?;
    Ok(Box::new(move |name, model, inputs| {
        let weights = axes.wire(&format!("{name}.softmax"), model, inputs[0])?;
        model.wire_node(name, math::ln(), &[weights])
    }))
}

/// What weights are 1 in sum along. Before opset 13 every axis from `axis` on was one.
struct SoftmaxAxes {
    axis: i64,
    and_after: bool,
}

impl SoftmaxAxes {
    fn of(node: &Node) -> TractResult<Self> {
        let and_after = node.opset < 13;
        let default = if and_after { 1 } else { -1 };
        let axis = node.attribute("axis")?.unwrap_or(default);
        Ok(Self { axis, and_after })
    }

    fn wire(&self, name: &str, model: &mut TypedModel, input: OutletId) -> TractResult<OutletId> {
        let rank = model.outlet_fact(input)?.rank();
        let axis = resolve_axis(self.axis, rank)?;
        let end = if self.and_after { rank } else { axis + 1 };
        let op = Softmax {
            axes: (axis..end).collect(),
            ..Softmax::default()
        };
        Ok(model.wire_node(name, op, &[input])?[0])
    }
}

pub(super) fn gelu(node: &Node) -> TractResult<Wire> {
    match node.attribute("approximate")?.unwrap_or("none") {
        "none" => Ok(Box::new(exact_gelu)),
        "tanh" => element_wise(gelu_approximate(false)),
        other => bail!("Gelu approximated by {other}"),
    }
}

/// `x / 2 · (1 + erf(x / √2))`.
fn exact_gelu(
    name: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let x = inputs[0];
    let wire = wire_with_scalar(model, format!("{name}.scale"), math::mul(), x, {
        std::f32::consts::FRAC_1_SQRT_2
    })?;
    let wire = model.wire_node(format!("{name}.erf"), math::erf(), &[wire])?[0];
    let wire = wire_with_scalar(model, format!("{name}.add_one"), math::add(), wire, 1.0)?;
    let half = wire_with_scalar(model, format!("{name}.half"), math::mul(), x, 0.5)?;
    model.wire_node(name, math::mul(), &[half, wire])
}

pub(super) fn relu(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|name, model, inputs| {
        let outlet = wire_with_scalar(model, name.into(), math::max(), inputs[0], 0.0)?;
        Ok(tvec!(outlet))
    }))
}

pub(super) fn leaky_relu(node: &Node) -> TractResult<Wire> {
    let alpha = node.attribute("alpha")?.unwrap_or(0.01);
    element_wise(nn::leaky_relu(alpha))
}

pub(super) fn hard_sigmoid(node: &Node) -> TractResult<Wire> {
    let alpha = node.attribute("alpha")?.unwrap_or(0.2);
    let beta = node.attribute("beta")?.unwrap_or(0.5);
    Ok(Box::new(move |name, model, inputs| {
        let mut wire = inputs[0];
        for (step, op, number) in [
            ("alpha", math::mul(), alpha),
            ("beta", math::add(), beta),
            ("min", math::min(), 1.0),
            ("max", math::max(), 0.0),
        ] {
            wire = wire_with_scalar(model, format!("{name}.{step}"), op, wire, number)?;
        }
        Ok(tvec!(wire))
    }))
}

/// `ln(eˣ + 1)`.
pub(super) fn softplus(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|name, model, inputs| {
        let power = model.wire_node(format!("{name}.exp"), math::exp(), inputs)?[0];
        let sum = wire_with_scalar(model, format!("{name}.add_one"), math::add(), power, 1.0)?;
        model.wire_node(name, math::ln(), &[sum])
    }))
}

pub(super) fn swish(node: &Node) -> TractResult<Wire> {
    let alpha = node.attribute("alpha")?.unwrap_or(1f32);
    ensure!(alpha == 1.0, "Swish with alpha {alpha}");
    element_wise(silu())
}

fn wire_with_scalar(
    model: &mut TypedModel,
    name: String,
    op: impl Into<Box<dyn TypedOp>>,
    outlet: OutletId,
    scalar: f32,
) -> TractResult<OutletId> {
    let datum_type = model.outlet_fact(outlet)?.datum_type;
    let scalar = add_scalar(model, format!("{name}.scalar"), scalar, datum_type)?;
    Ok(wire_with_rank_broadcast(name, model, op, &[outlet, scalar])?[0])
}

pub(super) fn layer_normalization(node: &Node) -> TractResult<Wire> {
    let layer = LayerNormalization {
        axis: node.attribute("axis")?.unwrap_or(-1),
        epsilon: node.attribute("epsilon")?.unwrap_or(1e-5),
        operating: node.attribute("stash_type")?.unwrap_or(DatumType::F32),
        is_alone: !node.has_output(1) && !node.has_output(2),
    };
    Ok(Box::new(move |name, model, inputs| {
        layer.wire(name, model, inputs)
    }))
}

/// Mean 0 and variance 1 over the axes from `axis` on, then scale and bias.
struct LayerNormalization {
    axis: i64,
    epsilon: f32,
    operating: DatumType,
    /// Whether neither mean nor deviation is asked for.
    is_alone: bool,
}

impl LayerNormalization {
    /// The kernel for it, which has constants for each value of the last axis.
    fn kernel(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Option<LayerNorm>> {
        let (input, parameters) = inputs.split_first().context("no input")?;
        let input = model.outlet_fact(*input)?;
        let last_axis = input.rank().checked_sub(1);
        let is_float = input.is_plain() && input.datum_type == f32::datum_type();
        let is_served = is_float && self.is_alone && self.operating == f32::datum_type();
        let is_of_rows = Some(resolve_axis(self.axis, input.rank())?) == last_axis;
        let Some(width) = input.shape.last().filter(|_| is_served && is_of_rows) else {
            return Ok(None);
        };
        let row = |outlet: &OutletId| -> Option<Vec<f32>> {
            let constant = model.outlet_fact(*outlet).ok()?.konst.as_ref()?;
            let is_row = constant.rank() == 1 && constant.len().to_dim() == *width;
            let plain = constant.try_as_plain_ram().ok()?;
            let values = plain.as_slice::<f32>().ok()?;
            is_row.then(|| values.to_vec())
        };
        let parameters = match parameters {
            [scale] => row(scale).map(|scale| Parameters {
                bias: vec![0.0; scale.len()],
                scale,
            }),
            [scale, bias] => {
                let rows = row(scale).zip(row(bias));
                rows.map(|(scale, bias)| Parameters { scale, bias })
            }
            _ => None,
        };
        Ok(parameters.map(|parameters| LayerNorm {
            parameters: Arc::new(parameters),
            epsilon: self.epsilon,
            isa: Isa::in_use(),
        }))
    }

    /// With the mean and the inverse of the deviation, which only training needs but some
    /// exporters name.
    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        if let Some(kernel) = self.kernel(model, inputs)? {
            return model.wire_node(name, kernel, &inputs[..1]);
        }
        let input = model.outlet_fact(inputs[0])?;
        let (datum_type, rank) = (input.datum_type, input.rank());
        let axes: TVec<usize> = (resolve_axis(self.axis, rank)?..rank).collect();
        let inputs = wire_cast(name, model, inputs, self.operating)?;

        let mean = |name: &str, model: &mut TypedModel, outlet| {
            wire_reduction(name, model, outlet, Reduction::Mean, &axes)
        };
        let average = mean(&format!("{name}.mean"), model, inputs[0])?;
        let deviation = format!("{name}.deviation");
        let deviation = model.wire_node(deviation, math::sub(), &[inputs[0], average])?;
        let squares = model.wire_node(format!("{name}.squares"), math::square(), &deviation)?[0];
        let variance = mean(&format!("{name}.variance"), model, squares)?;
        let epsilon = format!("{name}.epsilon");
        let variance = wire_with_scalar(model, epsilon, math::add(), variance, self.epsilon)?;
        let inverse = model.wire_node(format!("{name}.rsqrt"), math::rsqrt(), &[variance])?[0];
        let normalised = format!("{name}.normalised");
        let mut wire = model.wire_node(normalised, math::mul(), &[deviation[0], inverse])?[0];

        let scale = format!("{name}.scale");
        wire = wire_with_rank_broadcast(scale, model, math::mul(), &[wire, inputs[1]])?[0];
        if let Some(bias) = inputs.get(2) {
            let name = format!("{name}.bias");
            wire = wire_with_rank_broadcast(name, model, math::add(), &[wire, *bias])?[0];
        }
        let output = model.wire_node(name, cast(datum_type), &[wire])?[0];
        Ok(tvec!(output, average, inverse))
    }
}
