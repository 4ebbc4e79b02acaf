//! Recognises RoPE: `x · cos + concat(−second half of x, first half of x) · sin`.

use super::pattern::{is_binary, only_successor, other_input};
use crate::ops::head_layout::HeadLayout;
use crate::ops::rope::Rope;
use encoderfile_kernels::Isa;
use tract_core::internal::*;
use tract_core::ops::array::{Slice, TypedConcat};
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math::{Add, Mul, Neg};

/// RoPE in a model.
pub(super) struct Match {
    op: Rope,
    inputs: TVec<OutletId>,
    last: usize,
}

impl Match {
    /// What has its halves put together again at the node `id`.
    pub(super) fn at(model: &TypedModel, id: usize, isa: Isa) -> TractResult<Option<Self>> {
        let Some(matched) = Self::whole(model, id, isa) else {
            return Ok(None);
        };
        let (input, layout) = matched.op.output.before_views(model, matched.inputs[0])?;
        let mut inputs = matched.inputs;
        inputs[0] = input;
        let op = Rope {
            input: layout,
            ..matched.op
        };
        Ok(Some(Self {
            op,
            inputs,
            ..matched
        }))
    }

    /// With an input that has the axes of the output.
    fn whole(model: &TypedModel, id: usize, isa: Isa) -> Option<Self> {
        let input = input_of_halves(model, id)?;
        let with_sin = only_successor(model, id).filter(|node| is_binary::<Mul>(node))?;
        let sin = other_input(with_sin, id.into())?;
        let sum = only_successor(model, with_sin.id).filter(|node| is_binary::<Add>(node))?;
        let with_cos = other_input(sum, with_sin.id.into())?.node;
        let only_sum = only_successor(model, with_cos).filter(|node| node.id == sum.id);
        let with_cos = only_sum.map(|_| model.node(with_cos))?;
        let cos = other_input(with_cos, input).filter(|_| is_binary::<Mul>(with_cos))?;
        let layout = layout_of_heads(model, input, cos)?;
        let op = Rope {
            input: layout,
            output: layout,
            isa,
        };
        (layout_of_heads(model, input, sin)? == layout).then_some(Self {
            op,
            inputs: tvec!(input, cos, sin),
            last: sum.id,
        })
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &self.inputs, self.op)?.apply(model)
    }
}

/// Whose halves the node `id` has in the other order, the second one negated.
fn input_of_halves(model: &TypedModel, id: usize) -> Option<OutletId> {
    let concat = model.node(id);
    let [negated, first] = &*concat.inputs else {
        return None;
    };
    let negation = only_successor_is(model, negated.node, id)?;
    let is_negation = negation.op_as::<ElementWiseOp>()?.0.is::<Neg>();
    let second = only_successor_is(model, negation.inputs.first()?.node, negation.id)?;
    let first = only_successor_is(model, first.node, id)?;
    let input = second.inputs[0];
    let fact = model.outlet_fact(input).ok()?;
    let last_axis = fact.rank().checked_sub(1)?;
    let half = fact.shape[last_axis].to_usize().ok()? / 2;
    let is_in_order = concat.op_as::<TypedConcat>()?.axis == last_axis
        && first.inputs[0] == input
        && *first.op_as::<Slice>()? == Slice::new(last_axis, 0, half)
        && *second.op_as::<Slice>()? == Slice::new(last_axis, half, 2 * half);
    let is_float = fact.is_plain() && fact.datum_type == f32::datum_type();
    let is_whole = fact.shape == concat.outputs[0].fact.shape;
    (is_in_order && is_negation && is_float && is_whole && half > 0).then_some(input)
}

/// A node whose only successor is `successor`.
fn only_successor_is(model: &TypedModel, id: usize, successor: usize) -> Option<&TypedNode> {
    let is_it = only_successor(model, id)?.id == successor;
    is_it.then(|| model.node(id))
}

/// Where the heads are in an input that is multiplied by a row for each token.
fn layout_of_heads(model: &TypedModel, input: OutletId, rows: OutletId) -> Option<HeadLayout> {
    let [input, rows] = [
        model.outlet_fact(input).ok()?,
        model.outlet_fact(rows).ok()?,
    ];
    let rank = input.rank();
    let is_float = rows.is_plain() && rows.datum_type == f32::datum_type();
    let is_row = rows.rank() == rank && rows.shape[rank - 1] == input.shape[rank - 1];
    if !(is_float && is_row) {
        return None;
    }
    let longer = |fact: &TypedFact| -> Vec<usize> {
        let axes = 0..rank - 1;
        axes.filter(|axis| !fact.shape[*axis].is_one()).collect()
    };
    let (axes, tokens) = (longer(input), longer(rows));
    let ([first, second], [tokens]) = (&*axes, &*tokens) else {
        return None;
    };
    let heads = if tokens == first { second } else { first };
    let same_length = rows.shape[*tokens] == input.shape[*tokens];
    same_length.then(|| HeadLayout::new(rank, *tokens, *heads))
}
