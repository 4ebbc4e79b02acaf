//! The attention mask, where it is all ones.
//!
//! Nothing is ever padded, and few models have tokens that are hidden from others. Where
//! tract knows that too, it proves most of what exporters derive from the mask constant,
//! and drops it.
//!
//! tract 0.23 folds a product with a known mask to a constant of one value where a
//! broadcast was. That is the same for whatever broadcasts, but not for a slice
//! (ESM): such a model keeps its mask as an input.

use encoderfile_format::manifest::{Input, InputRole};
use tract_hir::internal::*;
use tract_hir::tract_core::ops::array::{MultiBroadcastTo, Slice};

/// Whether an input is no input of the plan, but known in it.
pub(crate) fn is_known(input: &Input) -> bool {
    input.role == InputRole::AttentionMask
}

/// Replaces the inputs that are known. The others keep their order.
pub(crate) fn replace_known(model: &mut TypedModel, inputs: &[Input]) -> TractResult<()> {
    let sources = model.inputs.clone();
    for (source, input) in sources.iter().zip(inputs) {
        if !is_known(input) {
            continue;
        }
        let name = &input.name;
        let fact = model.outlet_fact(*source)?.clone();
        let mut one = tensor0(1i64).cast_to_dt(fact.datum_type)?.into_owned();
        one.broadcast_to_rank(fact.rank())?;
        let mut patch = TypedModelPatch::default();
        let one = patch.add_const(format!("{name}.one"), one)?;
        let shape = fact.shape.clone();
        let ones = patch.wire_node(format!("{name}.ones"), MultiBroadcastTo { shape }, &[one])?;
        patch.shunt_outside(model, *source, ones[0])?;
        patch.apply(model)?;
    }
    let kept = sources.iter().zip(inputs);
    let kept = kept.filter(|(_, input)| !is_known(input));
    model.inputs = kept.map(|(source, _)| *source).collect();
    Ok(())
}

/// Whether every slice of a simplified model is within what it is cut from.
pub(crate) fn is_whole(model: &TypedModel) -> bool {
    model.nodes.iter().all(|node| {
        let Some(Slice { axis, end, .. }) = node.op_as::<Slice>() else {
            return true;
        };
        let fact = model.outlet_fact(node.inputs[0]);
        fact.is_ok_and(|fact| !fact.shape[*axis].is_one() || end.is_one())
    })
}
