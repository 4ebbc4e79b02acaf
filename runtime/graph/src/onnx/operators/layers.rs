//! Operators of neural nets: convolution, normalisation, activations.

use super::wired::{like_first, same_as_input};
use super::{add_scalar, resolve_axis};
use crate::onnx::node::Node;
use tract_hir::internal::*;
use tract_hir::ops::cnn::{self, PaddingSpec};
use tract_hir::ops::logic::wire_with_rank_broadcast;
use tract_hir::ops::math;
use tract_hir::ops::nn::{self, Reducer};
use tract_hir::tract_core::ops::array::MultiBroadcastTo;
use tract_hir::tract_core::ops::cast::{cast, wire_cast};
use tract_hir::tract_core::ops::nn::gelu_approximate::gelu_approximate;

pub(super) fn conv(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    Ok(expand(cnn::Conv {
        dilations: node.attribute("dilations")?,
        kernel_shape: node.attribute("kernel_shape")?,
        padding: padding(node)?,
        strides: node.attribute("strides")?,
        group: node.attribute("group")?,
        bias_input: node.input(2),
        ..cnn::Conv::default()
    }))
}

fn padding(node: &Node) -> TractResult<PaddingSpec> {
    if let Some(pads) = node.attribute::<TVec<usize>>("pads")? {
        let (before, after) = pads.split_at(pads.len() / 2);
        return Ok(PaddingSpec::Explicit(before.into(), after.into()));
    }
    Ok(match node.attribute("auto_pad")?.unwrap_or("NOTSET") {
        "NOTSET" | "VALID" => PaddingSpec::Valid,
        "SAME_UPPER" => PaddingSpec::SameUpper,
        "SAME_LOWER" => PaddingSpec::SameLower,
        other => bail!("auto_pad {other}"),
    })
}

pub(super) fn dropout(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    Ok(expand(Dropout {
        ratio: node.input(1),
        training: node.input(2),
        mask: node.has_output(1),
    }))
}

/// Nothing is dropped at inference; a node that would drop is refused.
#[derive(Clone, Debug)]
struct Dropout {
    ratio: Option<usize>,
    training: Option<usize>,
    mask: bool,
}

impl Expansion for Dropout {
    fn name(&self) -> StaticName {
        "Dropout".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(if self.mask { 2 } else { 1 })
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, self.nboutputs()?)?;
        if let Some(mask) = outputs.get(1) {
            solver.equals(&mask.datum_type, bool::datum_type())?;
            solver.equals(&mask.shape, &inputs[0].shape)?;
        }
        same_as_input(solver, inputs, outputs)
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let is_off = |slot: Option<usize>| -> TractResult<bool> {
            let Some(slot) = slot else { return Ok(false) };
            let value = &model.outlet_fact(inputs[slot])?.konst;
            let value = value.as_ref().map(|it| it.cast_to_scalar::<f32>());
            Ok(value.transpose()? == Some(0.0))
        };
        let is_inference = self.training.is_none() || is_off(self.training)?;
        ensure!(
            is_inference || is_off(self.ratio)?,
            "Dropout in training mode"
        );
        let mut outputs = tvec!(inputs[0]);
        if self.mask {
            let fact = model.outlet_fact(inputs[0])?;
            let broadcast = MultiBroadcastTo::new(fact.shape.clone());
            let keep = tensor0(true).broadcast_into_rank(fact.rank())?;
            let keep = model.add_const(format!("{name}.keep"), keep)?;
            outputs.extend(model.wire_node(format!("{name}.mask"), broadcast, &[keep])?);
        }
        Ok(outputs)
    }
}

pub(super) fn softmax(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let axis = node.attribute("axis")?;
    Ok(if node.opset < 13 {
        expand(nn::LayerSoftmax::new(axis.unwrap_or(1), true))
    } else {
        expand(nn::Softmax::new(axis.unwrap_or(-1)))
    })
}

pub(super) fn log_softmax(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let axis = node.attribute("axis")?;
    // Before opset 13 every axis from `axis` on was one.
    let from_axis_on = node.opset < 13;
    let axis = axis.unwrap_or(if from_axis_on { 1 } else { -1 });
    Ok(expand(nn::LayerLogSoftmax::new(axis, from_axis_on)))
}

pub(super) fn gelu(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    match node.attribute("approximate")?.unwrap_or("none") {
        "none" => Ok(like_first("Gelu", exact_gelu)),
        "tanh" => Ok(gelu_approximate(false).into_hir()),
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

pub(super) fn layer_normalization(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    Ok(expand(LayerNormalization {
        axis: node.attribute("axis")?.unwrap_or(-1),
        epsilon: node.attribute("epsilon")?.unwrap_or(1e-5),
        operating: node.attribute("stash_type")?.unwrap_or(DatumType::F32),
        mean: node.has_output(1),
        inverse_deviation: node.has_output(2),
    }))
}

/// Mean 0 and variance 1 over the axes from `axis` on, then scale and bias.
#[derive(Clone, Debug)]
struct LayerNormalization {
    axis: i64,
    epsilon: f32,
    operating: DatumType,
    /// Further outputs, which only training needs but some exporters name.
    mean: bool,
    inverse_deviation: bool,
}

impl Expansion for LayerNormalization {
    fn name(&self) -> StaticName {
        "LayerNormalization".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(1 + usize::from(self.mean) + usize::from(self.inverse_deviation))
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let arity = inputs.len();
        ensure!(
            (2..=3).contains(&arity),
            "LayerNormalization of {arity} inputs"
        );
        for parameter in &inputs[1..] {
            solver.equals(&inputs[0].datum_type, &parameter.datum_type)?;
        }
        check_output_arity(outputs, self.nboutputs()?)?;
        for statistic in &outputs[1..] {
            solver.equals(&statistic.datum_type, self.operating)?;
            solver.equals(&statistic.rank, &inputs[0].rank)?;
        }
        same_as_input(solver, inputs, outputs)
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let input = model.outlet_fact(inputs[0])?;
        let (datum_type, rank) = (input.datum_type, input.rank());
        let axes: TVec<usize> = (resolve_axis(self.axis, rank)?..rank).collect();
        let inputs = wire_cast(name, model, inputs, self.operating)?;

        let mean = Reducer::Mean.wire(axes.clone(), &format!("{name}.mean"), model, inputs[0])?;
        let deviation = format!("{name}.deviation");
        let deviation = model.wire_node(deviation, math::sub(), &[inputs[0], mean])?;
        let squares = model.wire_node(format!("{name}.squares"), math::square(), &deviation)?[0];
        let variance = Reducer::Mean.wire(axes, &format!("{name}.variance"), model, squares)?;
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
        let mut outputs = model.wire_node(name, cast(datum_type), &[wire])?;
        outputs.extend(self.mean.then_some(mean));
        outputs.extend(self.inverse_deviation.then_some(inverse));
        Ok(outputs)
    }
}
