//! Recognises softmax attention: scores, what is multiplied with and added to them, their
//! softmax, and the product with the values.

use super::einsum_axes::{Role, places};
use super::pattern::{is_binary, only_successor, scalar_factor};
use super::window;
use crate::ops::Backend;
use crate::ops::attention::Attention;
use crate::ops::head_layout::HeadLayout;
use encoderfile_kernels::{Undefined, Window};
use tract_core::internal::*;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::logic::Iff;
use tract_core::ops::math::{Add, IsNan};
use tract_core::ops::nn::{Softmax, SoftmaxKind};

/// The scores, their softmax and the product with the values in a model.
pub(super) struct Match {
    op: Attention,
    inputs: TVec<OutletId>,
    last: usize,
}

impl Match {
    /// What begins at the node `id`, a product of queries and keys.
    pub(super) fn at(
        model: &TypedModel,
        id: usize,
        backend: &Backend,
    ) -> TractResult<Option<Self>> {
        let Some(scores) = Scores::of(model, id)? else {
            return Ok(None);
        };
        let Some(after) = After::of(model, id)? else {
            return Ok(None);
        };
        let Some((values, value_layout, output)) = scores.weighted(model, after.last)? else {
            return Ok(None);
        };
        let node = model.node(id);
        let (queries, query_scale) = scaled(model, node.inputs[scores.query_slot])?;
        let (keys, key_scale) = scaled(model, node.inputs[1 - scores.query_slot])?;
        let (queries, query_layout) = scores.queries.before_views(model, queries)?;
        let (keys, key_layout) = scores.keys.before_views(model, keys)?;
        let (values, value_layout) = value_layout.before_views(model, values)?;
        let op = Attention {
            queries: query_layout,
            keys: key_layout,
            scale: query_scale * key_scale * after.scale,
            values: value_layout,
            output,
            window: after.window,
            undefined: after.undefined,
            backend: backend.clone(),
        };
        let mut inputs = tvec!(queries, keys, values);
        inputs.extend(after.mask);
        let last = only_successor(model, after.last).map(|node| node.id);
        let last = last.context("checked above")?;
        Ok(Some(Self { op, inputs, last }))
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &self.inputs, self.op)?.apply(model)
    }
}

/// A product of queries and keys: `[…, heads, queries, keys]`.
struct Scores {
    queries: HeadLayout,
    keys: HeadLayout,
    query_slot: usize,
}

impl Scores {
    fn of(model: &TypedModel, id: usize) -> TractResult<Option<Self>> {
        let Some((op, facts)) = float_product(model, id)? else {
            return Ok(None);
        };
        let rank = op.axes.rank(InOut::Out(0));
        let Some(query_slot) = [0, 1].into_iter().find(|slot| {
            // The keys are the last axis of the scores, and no axis of the queries.
            let last = op.axes.axis((InOut::Out(0), rank - 1));
            last.is_ok_and(|axis| axis.inputs[*slot].is_empty())
        }) else {
            return Ok(None);
        };
        let Some([queries, keys, scores]) =
            places(&op.axes, [query_slot, 1 - query_slot], &facts, Role::Summed)
        else {
            return Ok(None);
        };
        let in_order = rank >= 3 && scores == [rank - 3, rank - 2, rank - 1];
        let place = |slot: usize, [heads, tokens, width]: [usize; 3]| {
            let rank = facts[slot].rank();
            (width == rank - 1).then_some(HeadLayout::new(rank, tokens, heads))
        };
        let found = (place(query_slot, queries), place(1 - query_slot, keys));
        Ok(match found {
            (Some(queries), Some(keys)) if in_order => Some(Self {
                queries,
                keys,
                query_slot,
            }),
            _ => None,
        })
    }

    /// The values that the softmax `id` weighs, and where they and the result are.
    fn weighted(
        &self,
        model: &TypedModel,
        id: usize,
    ) -> TractResult<Option<(OutletId, HeadLayout, HeadLayout)>> {
        let Some(product) = only_successor(model, id) else {
            return Ok(None);
        };
        let Some((op, facts)) = float_product(model, product.id)? else {
            return Ok(None);
        };
        let Some(slot) = product.inputs.iter().position(|input| input.node == id) else {
            return Ok(None);
        };
        let rank = facts[slot].rank();
        let Some([weights, values, output]) =
            places(&op.axes, [slot, 1 - slot], &facts, Role::Kept)
        else {
            return Ok(None);
        };
        let output_rank = op.axes.rank(InOut::Out(0));
        let [heads, tokens, width] = output;
        let output = HeadLayout::new(output_rank, tokens, heads);
        let [value_heads, value_tokens, value_width] = values;
        let place = HeadLayout::new(facts[1 - slot].rank(), value_tokens, value_heads);
        let in_order = weights == [rank - 3, rank - 2, rank - 1]
            && value_width == place.rank - 1
            && width == output_rank - 1;
        Ok(in_order.then(|| (product.inputs[1 - slot], place, output)))
    }
}

/// A product of two float32 tensors that are not known, and not known to be empty.
fn float_product(
    model: &TypedModel,
    id: usize,
) -> TractResult<Option<(&EinSum, TVec<&TypedFact>)>> {
    let Some(op) = model.node(id).op_as::<EinSum>() else {
        return Ok(None);
    };
    let facts = model.node_input_facts(id)?;
    let is_float = |fact: &&TypedFact| {
        let is_empty = fact.shape.iter().any(|length| *length == 0.to_dim());
        let is_float = fact.is_plain() && fact.datum_type == f32::datum_type();
        is_float && !is_empty && fact.konst.is_none()
    };
    let is_one = facts.len() == 2 && facts.iter().all(is_float) && op.q_params.is_none();
    Ok(is_one.then_some((op, facts)))
}

/// What there is between the scores and their product with the values.
struct After {
    scale: f32,
    mask: Option<OutletId>,
    /// What a mask lets through that is a window.
    window: Option<Window>,
    undefined: Undefined,
    /// The softmax, or what has 0 in its stead.
    last: usize,
}

impl After {
    fn of(model: &TypedModel, scores: usize) -> TractResult<Option<Self>> {
        let shape = &model.node(scores).outputs[0].fact.shape;
        let (mut at, mut scale) = (scores, 1.0);
        let (mut mask, mut window) = (None, None);
        loop {
            let Some(node) = only_successor(model, at) else {
                return Ok(None);
            };
            if let Some(softmax) = node.op_as::<Softmax>() {
                let is_over_keys = *softmax.axes == [shape.rank() - 1];
                let is_plain = softmax.kind == SoftmaxKind::Softmax;
                let zeroed = zero_where_nan(model, node.id);
                let after = Self {
                    scale,
                    mask,
                    window,
                    undefined: zeroed.map_or(Undefined::Nan, |_| Undefined::Zero),
                    last: zeroed.unwrap_or(node.id),
                };
                return Ok((is_over_keys && is_plain).then_some(after));
            }
            let is_masked = mask.is_some() || window.is_some();
            if node.outputs[0].fact.shape != *shape || is_masked {
                return Ok(None);
            }
            let factor = scalar_factor(model, node.id).filter(|_| scale == 1.0);
            if let Some((_, factor)) = factor {
                scale = factor;
            } else if is_binary::<Add>(node) {
                let Some(added) = node.inputs.iter().find(|input| input.node != at) else {
                    return Ok(None);
                };
                if !is_mask(model.outlet_fact(*added)?, shape) {
                    return Ok(None);
                }
                window = window::of(model, *added)?;
                mask = Some(*added).filter(|_| window.is_none());
            } else {
                return Ok(None);
            }
            at = node.id;
        }
    }
}

/// `Where(IsNaN(x), 0, x)` of a node's output x, which has no other use: torch's attention
/// in transformers 5.
fn zero_where_nan(model: &TypedModel, id: usize) -> Option<usize> {
    let outlet = OutletId::from(id);
    let [output] = &*model.node(id).outputs else {
        return None;
    };
    let [one, other] = &*output.successors else {
        return None;
    };
    let is_nan = |it: &usize| {
        let op = model.node(*it).op_as::<ElementWiseOp>();
        op.is_some_and(|op| op.0.is::<IsNan>())
    };
    let nan = [one.node, other.node].into_iter().find(is_nan)?;
    let choice = only_successor(model, nan)?;
    let [condition, zero, kept] = *choice.inputs else {
        return None;
    };
    let zero = model.outlet_fact(zero).ok()?;
    let value = zero.uniform.as_ref().or(zero.konst.as_ref())?;
    let is_zero = value.len() == 1 && value.cast_to_scalar::<f32>().is_ok_and(|it| it == 0.0);
    let is_whole = choice.outputs[0].fact.shape == output.fact.shape;
    let fits = condition == nan.into() && kept == outlet && is_zero && is_whole;
    (fits && choice.op_is::<Iff>() && !model.outputs.contains(&outlet)).then_some(choice.id)
}

/// Whether a tensor can be added to scores of this shape.
fn is_mask(fact: &TypedFact, scores: &ShapeFact) -> bool {
    let fits = |(axis, length): (usize, &TDim)| {
        let varies = axis + 3 >= scores.rank();
        length.is_one() || (varies && *length == scores[axis])
    };
    fact.is_plain()
        && fact.datum_type == f32::datum_type()
        && fact.rank() == scores.rank()
        && fact.shape.iter().enumerate().all(fits)
}

/// What an outlet is a multiple of, if it is one.
fn scaled(model: &TypedModel, outlet: OutletId) -> TractResult<(OutletId, f32)> {
    let Some((data, factor)) = scalar_factor(model, outlet.node) else {
        return Ok((outlet, 1.0));
    };
    let same_shape = model.outlet_fact(data)?.shape == model.outlet_fact(outlet)?.shape;
    Ok(if same_shape {
        (data, factor)
    } else {
        (outlet, 1.0)
    })
}
