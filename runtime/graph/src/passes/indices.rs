//! Computing index matrices as numbers.
//!
//! tract types whatever derives from a shape as symbolic dimensions, so that
//! shapes stay exact while the length is unknown. A position matrix (DeBERTa's
//! relative positions: length × length) derives from a shape too, but it is
//! data; as symbolic expressions, one at a time, it takes seconds a text.
//!
//! Of a range, tract knows each value as an expression of its place, and splits an
//! operator where a comparison of two changes from false to true. tract 0.23 also
//! does so where the place depends on the other axis (`column < row + 5`, the mask of
//! a sliding window), and cannot compute what it made of it. So ranges are numbers too.

use crate::ops::range::Indices;
use tract_core::internal::*;
use tract_core::ops::array::Range;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::cast;

/// Below this rank, symbolic integers are shapes.
const MATRIX_RANK: usize = 2;

/// Lets index matrices be computed in int64.
pub(crate) fn compute_as_numbers(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes.len() {
        let node = &model.nodes[id];
        let patch = match node.op_as::<Range>() {
            Some(range) => Some(range_as_numbers(model, node, range)?),
            None => binary_as_numbers(model, node)?,
        };
        if let Some(patch) = patch {
            patch.apply(model)?;
        }
    }
    // Operators after a range say again what they know of their values.
    model.refresh_output_facts()
}

fn range_as_numbers(
    model: &TypedModel,
    node: &TypedNode,
    range: &Range,
) -> TractResult<TypedModelPatch> {
    TypedModelPatch::replace_single_op(model, node, &node.inputs, Indices(range.clone()))
}

/// A binary operator on matrices of symbolic integers, computed in int64.
fn binary_as_numbers(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(op) = node.op_as::<TypedBinOp>() else {
        return Ok(None);
    };
    let fact = &node.outputs[0].fact;
    if fact.rank() < MATRIX_RANK || !fact.datum_type.is_tdim() {
        return Ok(None);
    }
    let mut patch = TypedModelPatch::default();
    let mut inputs = tvec!();
    for (slot, input) in node.inputs.iter().enumerate() {
        let tap = patch.tap_model(model, *input)?;
        let name = format!("{}.number.{slot}", node.name);
        inputs.push(patch.wire_node(name, cast(i64::datum_type()), &[tap])?[0]);
    }
    let numbers = patch.wire_node(format!("{}.numbers", node.name), op.clone(), &inputs)?;
    let symbols = patch.wire_node(&node.name, cast(TDim::datum_type()), &numbers)?;
    patch.shunt_outside(model, node.id.into(), symbols[0])?;
    Ok(Some(patch))
}
