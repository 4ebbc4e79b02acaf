//! What passes ask of a model: who takes a value, and what else goes into a node.

use tract_core::internal::*;
use tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math::Mul;
use tract_core::ops::nn::gelu_exact::GeluExact;

/// The only successor of a node's only output, unless that is also the model's.
pub(super) fn only_successor(model: &TypedModel, id: usize) -> Option<&TypedNode> {
    let [output] = &*model.node(id).outputs else {
        return None;
    };
    let [successor] = &*output.successors else {
        return None;
    };
    let is_output = model.outputs.contains(&id.into());
    (!is_output).then(|| model.node(successor.node))
}

pub(super) fn is_binary<O: BinMiniOp>(node: &TypedNode) -> bool {
    let op = node.op_as::<TypedBinOp>();
    op.is_some_and(|op| op.0.is::<O>())
}

/// What else goes into a node of two inputs, of which one is `input`.
pub(super) fn other_input(node: &TypedNode, input: OutletId) -> Option<OutletId> {
    match *node.inputs {
        [first, other] | [other, first] if first == input => Some(other),
        _ => None,
    }
}

/// The constant input of a node of two, and the place of the other one.
pub(super) fn constant_input(model: &TypedModel, id: usize) -> Option<(Arc<Tensor>, usize)> {
    let [first, second] = &*model.node(id).inputs else {
        return None;
    };
    let constant = |outlet: &OutletId| model.outlet_fact(*outlet).ok()?.konst.clone();
    match (constant(first), constant(second)) {
        (None, Some(tensor)) => Some((tensor, 0)),
        (Some(tensor), None) => Some((tensor, 1)),
        _ => None,
    }
}

/// What a node multiplies by a number, and that number.
pub(super) fn scalar_factor(model: &TypedModel, id: usize) -> Option<(OutletId, f32)> {
    let node = model.node(id);
    let op = node.op_as::<TypedBinOp>()?;
    let (factor, data) = constant_input(model, id).filter(|_| op.0.is::<Mul>())?;
    let is_number = factor.len() == 1 && factor.datum_type() == f32::datum_type();
    let factor = is_number.then(|| factor.cast_to_scalar().ok())?;
    Some((node.inputs[data], factor?))
}

/// Whether a node is the exact GELU.
pub(super) fn is_gelu(node: &TypedNode) -> bool {
    let op = node.op_as::<ElementWiseOp>();
    op.is_some_and(|op| op.0.is::<GeluExact>())
}

/// The one place in a list of at most one.
#[allow(clippy::option_option, reason = "too many places, or perhaps one")]
pub(super) fn single(places: &[usize]) -> Option<Option<usize>> {
    (places.len() <= 1).then(|| places.first().copied())
}
