//! A range of numbers, where tract would have one of symbolic expressions.

use tract_core::internal::*;
use tract_core::ops::array::Range;

/// A range whose values nothing is concluded from.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Indices(pub(crate) Range);

impl Op for Indices {
    fn name(&self) -> StaticName {
        "Indices".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Indices {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }
}

impl TypedOp for Indices {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut facts = self.0.output_facts(inputs)?;
        facts[0].uniform_tdim = None;
        Ok(facts)
    }

    as_op!();
}
