//! The attention mask, which is all ones.
//!
//! Nothing is ever padded. Where tract knows that too, it proves most of what
//! exporters derive from the mask constant, and drops it.

use encoderfile_proto::{Input, InputRole};
use tract_hir::internal::*;
use tract_hir::tract_core::ops::array::MultiBroadcastTo;

/// Whether an input is no input of the plan, but known in it.
pub(super) fn is_known(input: &Input) -> bool {
    input.role() == InputRole::AttentionMask
}

/// Replaces the inputs that are known. The others keep their order.
pub(super) fn replace_known(model: &mut TypedModel, inputs: &[Input]) -> TractResult<()> {
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
