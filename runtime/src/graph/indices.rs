//! Computing index matrices as numbers.
//!
//! tract types whatever derives from a shape as symbolic dimensions, so that
//! shapes stay exact while the length is unknown. A position matrix (DeBERTa's
//! relative positions: length × length) derives from a shape too, but it is
//! data; as symbolic expressions, one at a time, it takes seconds a text.

use tract_hir::internal::*;
use tract_hir::tract_core::ops::binary::TypedBinOp;
use tract_hir::tract_core::ops::cast::cast;

/// Below this rank, symbolic integers are shapes.
const MATRIX_RANK: usize = 2;

/// Lets every binary operator on matrices of symbolic integers compute in int64.
pub(super) fn compute_as_numbers(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes.len() {
        let node = &model.nodes[id];
        let fact = &node.outputs[0].fact;
        let is_matrix = fact.rank() >= MATRIX_RANK && fact.datum_type.is_tdim();
        let Some(op) = node.op_as::<TypedBinOp>().filter(|_| is_matrix) else {
            continue;
        };
        let mut patch = TypedModelPatch::default();
        let mut inputs = tvec!();
        for (slot, input) in node.inputs.iter().enumerate() {
            let tap = patch.tap_model(model, *input)?;
            let name = format!("{}.number.{slot}", node.name);
            inputs.push(patch.wire_node(name, cast(i64::datum_type()), &[tap])?[0]);
        }
        let numbers = patch.wire_node(format!("{}.numbers", node.name), op.clone(), &inputs)?;
        let symbols = patch.wire_node(&node.name, cast(TDim::datum_type()), &numbers)?;
        patch.shunt_outside(model, id.into(), symbols[0])?;
        patch.apply(model)?;
    }
    Ok(())
}
