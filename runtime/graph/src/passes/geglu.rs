//! Recognises GeGLU: GELU of a part of each row, times another part.

use super::pattern::{is_binary, is_gelu, only_successor, other_input};
use crate::ops::geglu::GeGlu;
use encoderfile_kernels::Isa;
use std::ops::Range;
use tract_core::internal::*;
use tract_core::ops::array::Slice;
use tract_core::ops::math::Mul;

/// GeGLU in a model.
pub(super) struct Match {
    op: GeGlu,
    input: OutletId,
    last: usize,
}

impl Match {
    /// What the node `id` is the activation of.
    pub(super) fn at(model: &TypedModel, id: usize, isa: Isa) -> Option<Self> {
        let gelu = Some(model.node(id)).filter(|node| is_gelu(node))?;
        let product = only_successor(model, id).filter(|node| is_binary::<Mul>(node))?;
        let (input, activated) = part_of_rows(model, gelu.inputs[0], id)?;
        let factor = other_input(product, id.into())?;
        let (other, factor) = part_of_rows(model, factor, product.id)?;
        let is_gate = input == other && activated.len() == factor.len() && !activated.is_empty();
        is_gate.then_some(Self {
            op: GeGlu {
                activated,
                factor,
                isa,
            },
            input,
            last: product.id,
        })
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &[self.input], self.op)?.apply(model)
    }
}

/// The tensor that only `successor` needs a part of each row of, and which part.
fn part_of_rows(
    model: &TypedModel,
    outlet: OutletId,
    successor: usize,
) -> Option<(OutletId, Range<usize>)> {
    let slice = model.node(outlet.node);
    let Slice { axis, start, end } = slice.op_as()?;
    let is_only = only_successor(model, slice.id)?.id == successor;
    let input = slice.inputs[0];
    let fact = model.outlet_fact(input).ok()?;
    let is_float = fact.is_plain() && fact.datum_type == f32::datum_type();
    let is_of_rows = axis + 1 == fact.rank();
    let part = start.to_usize().ok()?..end.to_usize().ok()?;
    (is_only && is_float && is_of_rows).then_some((input, part))
}
