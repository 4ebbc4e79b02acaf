//! A part of an axis by steps, or between bounds that are known once there is a text.

use tract_core::internal::*;
use tract_core::ops::array::Gather;

/// As ONNX has `Slice`, of one axis: the elements from a start on, `step` apart, before an end is
/// reached. The inputs are the tensor and, if not all bounds are known, starts and ends.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct ComputedSlice {
    pub(crate) axis: usize,
    pub(crate) step: i64,
    /// Of start and end, where that depends on the length alone.
    pub(crate) known: [Option<TDim>; 2],
    /// Where among starts and ends the others are.
    pub(crate) place: usize,
    /// How many elements there are: a symbol of its own, if that is not known.
    pub(crate) count: TDim,
}

impl ComputedSlice {
    fn places(&self, [start, end]: [i64; 2], length: i64) -> Vec<i64> {
        // Backwards, clamping would name the first of no elements.
        if length == 0 {
            return vec![];
        }
        let from_start = |bound: i64| match bound < 0 {
            true => bound.saturating_add(length),
            false => bound,
        };
        let (start, end) = (from_start(start), from_start(end));
        let (start, distance) = if self.step > 0 {
            let start = start.clamp(0, length);
            (start, end.clamp(0, length) - start)
        } else {
            let start = start.min(length - 1).max(0);
            (start, start - end.min(length - 1).max(-1))
        };
        let size = self.step.saturating_abs();
        (0..distance.max(0))
            .step_by(size.try_into().unwrap_or(usize::MAX))
            .map(|it| start + it * self.step.signum())
            .collect()
    }
}

/// An element of a vector of integers, which may be expressions of a length.
fn element(vector: &Tensor, place: usize, symbols: &SymbolValues) -> TractResult<i64> {
    if vector.datum_type().is_tdim() {
        let plain = vector.try_as_plain_ram()?;
        let element = plain.as_slice::<TDim>()?.get(place);
        return Ok(element.context("no bound")?.eval(symbols).to_i64()?);
    }
    let vector = vector.cast_to::<i64>()?;
    let plain = vector.try_as_plain_ram()?;
    plain
        .as_slice::<i64>()?
        .get(place)
        .copied()
        .context("no bound")
}

impl Op for ComputedSlice {
    fn name(&self) -> StaticName {
        "ComputedSlice".into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        self.count.as_i64().is_none()
    }

    op_as_typed_op!();
}

impl EvalOp for ComputedSlice {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut bounds = [0; 2];
        for (which, known) in self.known.iter().enumerate() {
            bounds[which] = match (known, inputs.get(1 + which)) {
                (Some(known), _) => known.eval(context.symbols).to_i64()?,
                (None, Some(vector)) => element(vector, self.place, context.symbols)?,
                (None, None) => bail!("no bound"),
            };
        }
        let length = i64::try_from(inputs[0].shape()[self.axis])?;
        let places = tensor1(&self.places(bounds, length)).into_tvalue();
        Gather::new(self.axis).eval(context, tvec!(inputs[0].clone(), places))
    }
}

impl TypedOp for ComputedSlice {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut fact = inputs[0].without_value();
        fact.shape.set(self.axis, self.count.clone());
        Ok(tvec!(fact))
    }

    as_op!();
}
