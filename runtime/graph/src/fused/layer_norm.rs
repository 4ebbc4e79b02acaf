//! LayerNorm over the last axis, with the sum before it.
//!
//! **Invariant:** a row's result depends on that row alone.

use super::lanes::{self, Isa, Lanes, Task};
use super::{constant_input, is_binary, only_successor, scalar_factor};
use tract_hir::internal::*;
use tract_hir::tract_core::ops::binary::BinMiniOp;
use tract_hir::tract_core::ops::math::{Add, Mul, Sub};
use tract_hir::tract_core::ops::nn::{Reduce, Reducer, RmsNorm};

/// `(x - mean(x)) / √(variance(x) + epsilon) · scale + bias`, where `x` is the only
/// input or the sum of two: `[…, width]` → `[…, width]`.
#[derive(Clone, Debug)]
pub(super) struct LayerNorm {
    parameters: Arc<Parameters>,
    epsilon: f32,
    isa: Isa,
}

#[derive(Debug)]
struct Parameters {
    scale: Vec<f32>,
    bias: Vec<f32>,
}

impl PartialEq for LayerNorm {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parameters, &other.parameters) && self.epsilon == other.epsilon
    }
}

impl Eq for LayerNorm {}

impl Op for LayerNorm {
    fn name(&self) -> StaticName {
        "LayerNorm".into()
    }

    op_as_typed_op!();
}

impl TypedOp for LayerNorm {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    as_op!();
}

impl EvalOp for LayerNorm {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let added = (inputs.len() == 2).then(|| inputs.pop()).flatten();
        // In its place, if nobody else needs it.
        let mut output = args_1!(inputs).into_tensor();
        {
            let mut plain = output.try_as_plain_ram_mut()?;
            let values = plain.as_slice_mut::<f32>()?;
            let added = added.as_ref().map(|added| {
                ensure!(added.len() == values.len(), "a sum of different lengths");
                added.try_as_plain_ram()?.as_slice()
            });
            self.isa.run(Rows {
                op: self,
                values,
                added: added.transpose()?,
            });
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

/// Rows to be normalised, and what is added to them before.
struct Rows<'a> {
    op: &'a LayerNorm,
    values: &'a mut [f32],
    added: Option<&'a [f32]>,
}

impl Task for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let width = self.op.parameters.scale.len();
        let mut added = self.added.map(|added| added.chunks_exact(width));
        for row in self.values.chunks_exact_mut(width) {
            if let Some(added) = added.as_mut().and_then(Iterator::next) {
                lanes::add::<V>(row, added);
            }
            self.op.normalise::<V>(row);
        }
    }
}

impl LayerNorm {
    #[inline(always)]
    fn normalise<V: Lanes>(&self, row: &mut [f32]) {
        let Parameters { scale, bias } = &*self.parameters;
        #[allow(clippy::cast_precision_loss, reason = "no row has 2^24 values")]
        let share = 1.0 / row.len() as f32;
        let mean = V::splat(sum_of::<V, false>(row) * share);
        for lanes in row.chunks_mut(V::COUNT) {
            V::load_some(lanes).sub(mean).store_some(lanes);
        }
        let variance = sum_of::<V, true>(row) * share;
        let factor = V::splat(1.0 / (variance + self.epsilon).sqrt());
        let parameters = scale.chunks(V::COUNT).zip(bias.chunks(V::COUNT));
        for (lanes, (scale, bias)) in row.chunks_mut(V::COUNT).zip(parameters) {
            let normal = V::load_some(lanes).mul(factor);
            let scaled = normal.mul_add(V::load_some(scale), V::load_some(bias));
            scaled.store_some(lanes);
        }
    }
}

/// The sum of all values or of their squares, as four vectors of sums side by side.
#[inline(always)]
fn sum_of<V: Lanes, const SQUARES: bool>(row: &[f32]) -> f32 {
    let zero = V::splat(0.0);
    let [mut a, mut b, mut c, mut d] = [zero; 4];
    let mut groups = row.chunks_exact(4 * V::COUNT);
    for group in &mut groups {
        a = added::<V, SQUARES>(a, group);
        b = added::<V, SQUARES>(b, &group[V::COUNT..]);
        c = added::<V, SQUARES>(c, &group[2 * V::COUNT..]);
        d = added::<V, SQUARES>(d, &group[3 * V::COUNT..]);
    }
    for lanes in groups.remainder().chunks(V::COUNT) {
        a = added::<V, SQUARES>(a, lanes);
    }
    a.add(b).add(c.add(d)).fold(|sum, value| sum + value)
}

#[inline(always)]
fn added<V: Lanes, const SQUARES: bool>(sum: V, lanes: &[f32]) -> V {
    let value = V::load_some(lanes);
    if SQUARES {
        value.mul_add(value, sum)
    } else {
        sum.add(value)
    }
}

/// What is a LayerNorm in a model.
pub(super) struct Found {
    op: LayerNorm,
    inputs: TVec<OutletId>,
    last: usize,
}

impl Found {
    /// What begins at the node `id`, the sum of all values of a row.
    pub(super) fn at(model: &TypedModel, id: usize) -> TractResult<Option<Self>> {
        Ok(Self::beginning(model, id))
    }

    #[cold]
    fn beginning(model: &TypedModel, id: usize) -> Option<Self> {
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
            isa: Isa::in_use(),
        };
        let inputs = summands(model, input).unwrap_or_else(|| tvec!(input));
        Some(Self { op, inputs, last })
    }

    #[cold]
    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &self.inputs, self.op)?.apply(model)
    }
}

/// The operation after a node with a constant for each of a row's values.
#[cold]
fn next<O: BinMiniOp>(model: &TypedModel, id: usize, width: usize) -> Option<(usize, Vec<f32>)> {
    let node = only_successor(model, id).filter(|node| is_binary::<O>(node))?;
    let same_shape = node.outputs[0].fact.shape == model.node(id).outputs[0].fact.shape;
    let (constant, _) = constant_input(model, node.id).filter(|_| same_shape)?;
    let is_row = constant.len() == width && constant.shape().last() == Some(&width);
    let plain = constant.try_as_plain_ram().ok()?;
    let values = is_row.then(|| plain.as_slice::<f32>().ok())??;
    Some((node.id, values.to_vec()))
}

/// What an outlet is the sum of, if only the LayerNorm needs it: for its sum and
/// its deviation.
#[cold]
fn summands(model: &TypedModel, outlet: OutletId) -> Option<TVec<OutletId>> {
    let node = model.node(outlet.node);
    let is_needed = node.outputs[0].successors.len() != 2 || model.outputs.contains(&outlet);
    let same_shapes = node.inputs.iter().all(|input| {
        let fact = model.outlet_fact(*input);
        fact.is_ok_and(|fact| fact.shape == node.outputs[0].fact.shape && fact.konst.is_none())
    });
    (is_binary::<Add>(node) && !is_needed && same_shapes)
        .then(|| node.inputs.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::{LayerNorm, Parameters, Rows};
    use crate::fused::lanes::Isa;
    use std::sync::Arc;

    #[test]
    fn rows_are_normalised_with_their_rest() {
        let width = 71;
        let values: Vec<f32> = (0..width).map(|place| (place * 37 % 23) as f32).collect();
        let scale: Vec<f32> = values.iter().map(|value| value / 7.0).collect();
        let bias: Vec<f32> = values.iter().map(|value| value - 11.0).collect();
        let mean = values.iter().map(|it| f64::from(*it)).sum::<f64>() / 71.0;
        let deviations: Vec<f64> = values.iter().map(|it| f64::from(*it) - mean).collect();
        let variance = deviations.iter().map(|it| it * it).sum::<f64>() / 71.0;
        let parameters = Arc::new(Parameters { scale, bias });
        for isa in Isa::all() {
            let op = LayerNorm {
                parameters: Arc::clone(&parameters),
                epsilon: 1e-5,
                isa,
            };
            let mut row: Vec<f32> = values.iter().map(|value| value - 1.0).collect();
            isa.run(Rows {
                op: &op,
                values: &mut row,
                added: Some(&[1.0; 71]),
            });
            for (place, value) in row.into_iter().enumerate() {
                let Parameters { scale, bias } = &*parameters;
                let normal = deviations[place] / (variance + 1e-5).sqrt();
                let expected = normal * f64::from(scale[place]) + f64::from(bias[place]);
                let error = (f64::from(value) - expected).abs();
                assert!(error <= 4e-6, "{isa:?}: {place}: {value} for {expected}");
            }
        }
    }
}
