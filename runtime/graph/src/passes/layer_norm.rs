//! Recognises LayerNorm over the last axis, with the residual addition before it.

use super::pattern::{constant_input, is_binary, only_successor, scalar_factor};
use crate::ops::layer_norm::{LayerNorm, Parameters};
use encoderfile_kernels::Isa;
use tract_core::internal::*;
use tract_core::ops::binary::BinMiniOp;
use tract_core::ops::math::{Add, Mul, Sub};
use tract_core::ops::nn::{Reduce, Reducer, RmsNorm};

/// What is a LayerNorm in a model.
pub(super) struct Match {
    op: LayerNorm,
    inputs: TVec<OutletId>,
    last: usize,
}

impl Match {
    /// What begins at the node `id`, the sum of all values of a row.
    pub(super) fn at(model: &TypedModel, id: usize, isa: Isa) -> Option<Self> {
        let node = model.node(id);
        let sum = node.op_as::<Reduce>()?;
        let input = node.inputs[0];
        let fact = model.outlet_fact(input).ok()?;
        let last_axis = fact.rank().checked_sub(1)?;
        let width = fact.shape[last_axis].as_i64()?;
        let is_row_sum = sum.reducer == Reducer::Sum && *sum.axes == [last_axis];
        let is_float = fact.is_plain() && fact.datum_type == f32::datum_type();

        let mean = only_successor(model, id)?;
        let (_, share) = scalar_factor(model, mean.id)?;
        #[allow(clippy::cast_precision_loss, reason = "no row has 2^24 values")]
        let is_mean = share == 1.0 / width as f32;
        let deviation = only_successor(model, mean.id)?;
        let is_deviation =
            is_binary::<Sub>(deviation) && *deviation.inputs == [input, mean.id.into()];
        let norm = only_successor(model, deviation.id)?;
        let rms = norm.op_as::<RmsNorm>()?;
        let found = is_row_sum && is_float && is_mean && is_deviation && rms.axis == last_axis;
        let width = usize::try_from(width).ok();
        let width = width.filter(|width| found && *width > 0)?;
        // Simplification drops a scale of ones and a bias of zeros.
        let mut parameters = Parameters {
            scale: vec![1.0; width],
            bias: vec![0.0; width],
        };
        let mut last = norm.id;
        if let Some((id, scale)) = next::<Mul>(model, last, width) {
            (last, parameters.scale) = (id, scale);
        }
        if let Some((id, bias)) = next::<Add>(model, last, width) {
            (last, parameters.bias) = (id, bias);
        }
        let op = LayerNorm {
            parameters: Arc::new(parameters),
            epsilon: rms.eps.cast_to_scalar().ok()?,
            isa,
        };
        // For its sum and its deviation.
        let inputs = summands(model, input, 2).unwrap_or_else(|| tvec!(input));
        Some(Self { op, inputs, last })
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &self.inputs, self.op)?.apply(model)
    }
}

/// A LayerNorm of a sum.
pub(super) struct ResidualMatch {
    norm: usize,
    inputs: TVec<OutletId>,
}

impl ResidualMatch {
    /// What the node `id` normalises, if that is a sum which nothing else needs.
    pub(super) fn of(model: &TypedModel, id: usize) -> Option<Self> {
        let node = model.node(id);
        let is_norm = node.op_is::<LayerNorm>();
        let [input] = *node.inputs else {
            return None;
        };
        let inputs = summands(model, input, 1).filter(|_| is_norm)?;
        Some(Self { norm: id, inputs })
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let norm = model.node(self.norm);
        let op = norm.op_as::<LayerNorm>();
        let op = op.context("checked above")?.clone();
        TypedModelPatch::replace_single_op(model, norm, &self.inputs, op)?.apply(model)
    }
}

/// The operation after a node with a constant for each of a row's values.
fn next<O: BinMiniOp>(model: &TypedModel, id: usize, width: usize) -> Option<(usize, Vec<f32>)> {
    let node = only_successor(model, id).filter(|node| is_binary::<O>(node))?;
    let same_shape = node.outputs[0].fact.shape == model.node(id).outputs[0].fact.shape;
    let (constant, _) = constant_input(model, node.id).filter(|_| same_shape)?;
    let is_row = constant.len() == width && constant.shape().last() == Some(&width);
    let plain = constant.try_as_plain_ram().ok()?;
    let values = is_row.then(|| plain.as_slice::<f32>().ok())??;
    Some((node.id, values.to_vec()))
}

/// What an outlet is the sum of, if only the LayerNorm takes it, so many times.
fn summands(model: &TypedModel, outlet: OutletId, times: usize) -> Option<TVec<OutletId>> {
    let node = model.node(outlet.node);
    let is_needed = node.outputs[0].successors.len() != times || model.outputs.contains(&outlet);
    let same_shapes = node.inputs.iter().all(|input| {
        let fact = model.outlet_fact(*input);
        fact.is_ok_and(|fact| fact.shape == node.outputs[0].fact.shape && fact.konst.is_none())
    });
    (is_binary::<Add>(node) && !is_needed && same_shapes)
        .then(|| node.inputs.iter().copied().collect())
}
