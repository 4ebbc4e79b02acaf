//! Recognises what is quantised only to be dequantised at once: activations of statically
//! quantised graphs before and after each operator.

use crate::ops::quantisation::{Dequantize, Quantize, RoundToSteps};
use tract_core::internal::*;

/// Both in a model.
pub(super) struct Match {
    op: RoundToSteps,
    input: OutletId,
    dequantised: usize,
}

impl Match {
    /// What the node `id` dequantises, if that was quantised in the same steps.
    pub(super) fn at(model: &TypedModel, id: usize) -> Option<Self> {
        let node = model.node(id);
        let op = node.op_as::<Dequantize>()?;
        let before = model.node(node.inputs[0].node);
        let quantised = before.op_as::<Quantize>()?;
        (quantised.parameters == op.parameters).then(|| Self {
            op: RoundToSteps(quantised.clone()),
            input: before.inputs[0],
            dequantised: id,
        })
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let node = model.node(self.dequantised);
        TypedModelPatch::replace_single_op(model, node, &[self.input], self.op)?.apply(model)
    }
}
