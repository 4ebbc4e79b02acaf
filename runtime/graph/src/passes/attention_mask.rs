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
use tract_core::internal::*;
use tract_core::ops::array::{MultiBroadcastTo, Slice};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::logic::Iff;

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
    for id in 0..model.nodes.len() {
        if let Some(patch) = broadcast_after(model, model.node(id))? {
            patch.apply(model)?;
        }
    }
    Ok(())
}

/// An operator of single values, or of axes, that comes before a broadcast instead of after
/// it: of a constant it is another constant, and in a sum of scores and zeros, or a choice
/// between them, tract sees that there is nothing to do.
fn broadcast_after(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let of_single_values = node.op_is::<TypedBinOp>()
        || node.op_is::<ElementWiseOp>()
        || node.op_is::<Cast>()
        || node.op_is::<Iff>()
        || node.op_is::<MultiBroadcastTo>()
        || matches!(node.op_as::<AxisOp>(), Some(AxisOp::Add(_) | AxisOp::Rm(_)));
    if !of_single_values {
        return Ok(None);
    }
    let fact = model.outlet_fact(node.id.into())?;
    let before = |outlet: OutletId| -> TractResult<Option<OutletId>> {
        let broadcast = model.node(outlet.node);
        let is_one = broadcast.op_is::<MultiBroadcastTo>();
        let Some(input) = broadcast.inputs.first().filter(|_| is_one) else {
            return Ok(None);
        };
        let ranks = [*input, outlet].map(|it| model.outlet_fact(it).map(TypedFact::rank));
        let [narrow, wide] = ranks;
        Ok((narrow? == wide?).then_some(*input))
    };
    let mut patch = TypedModelPatch::default();
    let mut inputs = tvec!();
    let mut found = false;
    for outlet in &node.inputs {
        let narrow = before(*outlet)?;
        found |= narrow.is_some();
        inputs.push(patch.tap_model(model, narrow.unwrap_or(*outlet))?);
    }
    if !found {
        return Ok(None);
    }
    let mut outputs = patch.wire_node(&node.name, node.op.clone(), &inputs)?;
    if patch.outlet_fact(outputs[0])?.shape != fact.shape {
        let shape = fact.shape.clone();
        let name = format!("{}.broadcast", node.name);
        outputs = patch.wire_node(name, MultiBroadcastTo { shape }, &outputs)?;
    }
    patch.shunt_outside(model, node.id.into(), outputs[0])?;
    Ok(Some(patch))
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

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile_format::manifest::IntegerType;
    use tract_core::ops::math;

    /// `scores + choice(1 − mask)`, of a mask `[1, S]` that is unsqueezed and broadcast to
    /// `[1, 1, S, S]`, as exporters write it.
    fn masked_scores() -> TractResult<TypedModel> {
        let mut model = TypedModel::default();
        let length = model.symbols.sym("S").to_dim();
        let shape = dims!(1, length.clone());
        let mask = model.add_source("mask", f32::fact(shape))?;
        let shape = dims!(1, 1, length.clone(), length);
        let scores = model.add_source("scores", f32::fact(shape.clone()))?;
        let number = |model: &mut TypedModel, number: f32| {
            let tensor = tensor0(number).broadcast_into_rank(4)?;
            model.add_const(format!("number.{number}"), tensor)
        };
        let mask = model.wire_node("rows", AxisOp::Add(1), &[mask])?;
        let mask = model.wire_node("heads", AxisOp::Add(1), &mask)?;
        let mask = model.wire_node("square", MultiBroadcastTo { shape }, &mask)?;
        let (one, least) = (number(&mut model, 1.0)?, number(&mut model, f32::MIN)?);
        let hidden = model.wire_node("hidden", math::sub(), &[one, mask[0]])?[0];
        let is_hidden = Cast {
            to: bool::datum_type(),
        };
        let is_hidden = model.wire_node("is hidden", is_hidden, &[hidden])?[0];
        let added = model.wire_node("added", Iff, &[is_hidden, least, hidden])?[0];
        let sum = model.wire_node("sum", math::add(), &[scores, added])?;
        model.select_output_outlets(&sum)?;
        Ok(model)
    }

    #[test]
    fn a_mask_of_ones_is_no_mask() {
        let mut model = masked_scores().unwrap();
        let input = |role| Input {
            name: "mask".into(),
            role,
            integer_type: IntegerType::Int64,
            first_position: 0,
            zeros: false,
        };
        let inputs = [InputRole::AttentionMask, InputRole::InputIds].map(input);
        replace_known(&mut model, &inputs).unwrap();
        let model = model.into_decluttered().unwrap();
        let names: Vec<_> = model.nodes.iter().map(|node| &node.name).collect();
        assert_eq!(names, ["scores"]);
    }
}
