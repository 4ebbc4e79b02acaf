//! Operators that are made of others, and whose output follows from one of a few
//! rules, so that only the wiring has to be said.

use std::fmt;
use tract_hir::internal::*;
use tract_hir::ops::binary;

/// The outlets of an operator, wired under a name.
type Wire = dyn Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>> + Send + Sync;

/// An operator whose output has the type and shape of its first input.
pub(super) fn like_first(
    name: &'static str,
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>
    + Send
    + Sync
    + 'static,
) -> Box<dyn InferenceOp> {
    expand(Wired {
        name,
        rule: Rule::LikeFirst,
        wire: Arc::new(wire),
    })
}

/// An operator whose output has another type and the shape of its first input.
pub(super) fn like_first_of_type(
    name: &'static str,
    datum_type: DatumType,
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>
    + Send
    + Sync
    + 'static,
) -> Box<dyn InferenceOp> {
    expand(Wired {
        name,
        rule: Rule::LikeFirstOfType(datum_type),
        wire: Arc::new(wire),
    })
}

/// An operator whose output has the shape of its first input and the type of its last.
pub(super) fn like_first_of_last_type(
    name: &'static str,
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>
    + Send
    + Sync
    + 'static,
) -> Box<dyn InferenceOp> {
    expand(Wired {
        name,
        rule: Rule::LikeFirstOfLastType,
        wire: Arc::new(wire),
    })
}

/// An operator on two inputs that are broadcast; `result` says what the types of
/// both make.
pub(super) fn broadcasting(
    name: &'static str,
    result: fn(DatumType, DatumType) -> TractResult<DatumType>,
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>
    + Send
    + Sync
    + 'static,
) -> Box<dyn InferenceOp> {
    expand(Wired {
        name,
        rule: Rule::Broadcasting(result),
        wire: Arc::new(wire),
    })
}

#[derive(Clone)]
struct Wired {
    name: &'static str,
    rule: Rule,
    wire: Arc<Wire>,
}

#[derive(Clone, Copy)]
enum Rule {
    LikeFirst,
    LikeFirstOfType(DatumType),
    LikeFirstOfLastType,
    Broadcasting(fn(DatumType, DatumType) -> TractResult<DatumType>),
}

impl fmt::Debug for Wired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Expansion for Wired {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!(!inputs.is_empty(), "no input");
        check_output_arity(outputs, 1)?;
        match self.rule {
            Rule::LikeFirst => same_as_input(solver, inputs, outputs),
            Rule::LikeFirstOfType(datum_type) => {
                solver.equals(&outputs[0].datum_type, datum_type)?;
                solver.equals(&inputs[0].shape, &outputs[0].shape)
            }
            Rule::LikeFirstOfLastType => {
                let last = &inputs[inputs.len() - 1];
                solver.equals(&outputs[0].datum_type, &last.datum_type)?;
                solver.equals(&inputs[0].shape, &outputs[0].shape)
            }
            Rule::Broadcasting(result) => binary::rules(solver, inputs, outputs, result),
        }
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        (self.wire)(name, model, inputs)
    }
}

/// The first output is of the first input's type and shape.
pub(super) fn same_as_input<'r, 'p: 'r>(
    solver: &mut Solver<'r>,
    inputs: &'p [TensorProxy],
    outputs: &'p [TensorProxy],
) -> InferenceResult {
    solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
    solver.equals(&inputs[0].shape, &outputs[0].shape)
}
