//! Parts of axes: from a start to an end, by steps.

use super::layout::constant_lengths;
use super::{Wire, constant_integers, resolve_axis};
use crate::onnx::node::Node;
use crate::ops::computed_slice::ComputedSlice;
use std::ops::Range;
use tract_core::internal::*;
use tract_core::ops::array;

pub(super) fn slice(node: &Node) -> TractResult<Wire> {
    let slice = Slice {
        axes: node.input(3),
        steps: node.input(4),
    };
    Ok(Box::new(move |name, model, inputs| {
        slice.wire(name, model, inputs)
    }))
}

/// Starts and ends are inputs, and these, each optional.
struct Slice {
    axes: Option<usize>,
    steps: Option<usize>,
}

impl Slice {
    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let steps = self.steps(model, inputs)?;
        let axes = self.axes(model, inputs, steps.len())?;
        let [starts, ends] = [inputs[1], inputs[2]].map(|it| known_bounds(model, it));
        let mut wire = inputs[0];
        for (place, (axis, step)) in axes.into_iter().zip(steps).enumerate() {
            let name = format!("{name}.{place}");
            let length = model.outlet_fact(wire)?.shape[axis].clone();
            let known = [&starts, &ends].map(|it| it.as_ref().map(|it| &it[place]));
            let part = match known {
                [Some(start), Some(end)] => Part::known([start, end], step, &length),
                _ => None,
            };
            wire = match part {
                Some(part) if step == 1 => part.wire(&name, model, wire, axis)?,
                part => {
                    let count = part.map(|it| it.count());
                    let op = ComputedSlice {
                        axis,
                        step,
                        known: known.map(|it| it.cloned()),
                        place,
                        count: count
                            .unwrap_or_else(|| model.symbols.new_with_prefix("part").into()),
                    };
                    model.wire_node(name, op, &[wire, inputs[1], inputs[2]])?[0]
                }
            };
        }
        Ok(tvec!(wire))
    }

    /// One for each pair of bounds.
    fn steps(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Vec<i64>> {
        let starts = model.outlet_fact(inputs[1])?.shape.to_tvec();
        for input in &inputs[1..] {
            let shape = model.outlet_fact(*input)?.shape.to_tvec();
            ensure!(
                shape.len() == 1 && shape == starts,
                "a Slice by {starts:?} and {shape:?} numbers"
            );
        }
        let steps = match self.steps {
            Some(slot) => constant_integers(model, inputs[slot])?,
            None => vec![1; starts[0].to_usize()?],
        };
        ensure!(!steps.contains(&0), "a Slice by steps of {steps:?}");
        Ok(steps.iter().map(|it| (*it).clamp(BEFORE, BEYOND)).collect())
    }

    fn axes(
        &self,
        model: &TypedModel,
        inputs: &[OutletId],
        count: usize,
    ) -> TractResult<Vec<usize>> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        let Some(slot) = self.axes else {
            ensure!(count == rank, "a Slice of {count} axes of {rank}");
            return Ok((0..rank).collect());
        };
        let axes = constant_integers(model, inputs[slot])?;
        axes.iter().map(|axis| resolve_axis(*axis, rank)).collect()
    }
}

/// The elements of an axis from `start` on, `step` apart, before `end` is reached.
pub(super) struct Part {
    pub(super) start: TDim,
    pub(super) end: TDim,
    pub(super) step: i64,
}

impl Part {
    /// What [`ComputedSlice`] gives, if it is known for a text of any length on which side of what its
    /// bounds are.
    fn known([start, end]: [&TDim; 2], step: i64, length: &TDim) -> Option<Self> {
        let [starts, ends] = bounds(step, length);
        let (start, end) = (within(start, length, &starts)?, within(end, length, &ends)?);
        let end = match step > 0 {
            true => greater(&end, &start)?,
            false => lesser(&end, &start)?,
        };
        Some(Self { start, end, step })
    }

    fn count(&self) -> TDim {
        let distance = match self.step > 0 {
            true => self.end.clone() - &self.start,
            false => self.start.clone() - &self.end,
        };
        distance.divceil(usize::try_from(self.step.unsigned_abs()).unwrap_or(usize::MAX))
    }

    /// By a step above 0.
    pub(super) fn wire(
        self,
        name: &str,
        model: &mut TypedModel,
        input: OutletId,
        axis: usize,
    ) -> TractResult<OutletId> {
        let count = self.count();
        let Self { start, end, step } = self;
        if step == 1 {
            if start == 0.to_dim() && end == model.outlet_fact(input)?.shape[axis] {
                return Ok(input);
            }
            return Ok(model.wire_node(name, array::Slice::new(axis, start, end), &[input])?[0]);
        }
        let op = ComputedSlice {
            axis,
            step,
            known: [Some(start), Some(end)],
            place: 0,
            count,
        };
        Ok(model.wire_node(name, op, &[input])?[0])
    }
}

/// Bounds that no axis is long enough for: exporters say "to the end" by the greatest integer, of 32
/// bits or of 64, to which nothing can be added.
const BEYOND: i64 = i32::MAX as i64;
const BEFORE: i64 = i32::MIN as i64;

/// The bounds that an input has for every text, if it has.
fn known_bounds(model: &TypedModel, outlet: OutletId) -> Option<TVec<TDim>> {
    let bounds = constant_lengths(model, outlet).ok()?.into_iter();
    let clamped = bounds.map(|bound| match bound.as_i64() {
        Some(number) => number.clamp(BEFORE, BEYOND).to_dim(),
        None => bound,
    });
    Some(clamped.collect())
}

/// Where starts and ends may be. Backwards, the first element is before an end.
fn bounds(step: i64, length: &TDim) -> [Range<TDim>; 2] {
    if step > 0 {
        let whole = 0.to_dim()..length.clone();
        return [whole.clone(), whole];
    }
    let last = length.clone() - 1;
    [0.to_dim()..last.clone(), (-1).to_dim()..last]
}

/// A bound of an axis, counted from its start, in a range, if a text of any length is on the same side of
/// everything.
fn within(bound: &TDim, length: &TDim, range: &Range<TDim>) -> Option<TDim> {
    match bound.as_i64() {
        Some(BEYOND) => return Some(range.end.clone()),
        Some(BEFORE) => return Some(range.start.clone()),
        _ => {}
    }
    let from_start = if bound.prove_positive_or_zero() {
        bound.clone()
    } else if bound.prove_strict_negative() {
        bound.clone() + length
    } else {
        return None;
    };
    lesser(&greater(&from_start, &range.start)?, &range.end)
}

fn greater(a: &TDim, b: &TDim) -> Option<TDim> {
    is_at_least(a, b).map(|it| if it { a.clone() } else { b.clone() })
}

fn lesser(a: &TDim, b: &TDim) -> Option<TDim> {
    is_at_least(a, b).map(|it| if it { b.clone() } else { a.clone() })
}

fn is_at_least(a: &TDim, b: &TDim) -> Option<bool> {
    let is_at_least = |a: &TDim, b: &TDim| (a.clone() - b).prove_positive_or_zero();
    is_at_least(a, b)
        .then_some(true)
        .or_else(|| is_at_least(b, a).then_some(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile_proto::onnx::NodeProto;
    use std::iter::successors;

    const LENGTH_MAX: usize = 5;

    /// A part of a text of any length, whose bounds are constants or inputs.
    fn part(bounds: [i64; 2], step: i64, are_inputs: bool) -> Arc<TypedSimplePlan> {
        let mut model = TypedModel::default();
        model.symbols.add_assertion("S>=1").unwrap();
        let length = model.symbols.sym("S");
        let text = model.add_source("text", i64::fact(dims!(1, length)));
        let mut inputs = tvec!(text.unwrap());
        for (name, number) in [("start", bounds[0]), ("end", bounds[1])] {
            let outlet = match are_inputs {
                true => model.add_source(name, i64::fact([1])),
                false => model.add_const(name, tensor1(&[number])),
            };
            inputs.push(outlet.unwrap());
        }
        for (name, number) in [("axes", -1), ("steps", step)] {
            inputs.push(model.add_const(name, tensor1(&[number])).unwrap());
        }
        let proto = NodeProto {
            input: ["text", "start", "end", "axes", "steps"]
                .map(Into::into)
                .into(),
            ..NodeProto::default()
        };
        let node = Node {
            proto: &proto,
            opset: 13,
        };
        let outlets = slice(&node).unwrap()("part", &mut model, &inputs).unwrap();
        model.select_output_outlets(&outlets).unwrap();
        model.into_optimized().unwrap().into_runnable().unwrap()
    }

    /// The places that the specification names: bounds are clamped to where elements are, and to
    /// where the last one before or after them would be.
    fn places([start, end]: [i64; 2], step: i64, length: i64) -> Vec<i64> {
        let from_start = |bound: i64| {
            if bound < 0 {
                bound.saturating_add(length)
            } else {
                bound
            }
        };
        let (start, end) = (from_start(start), from_start(end));
        if step > 0 {
            let (start, end) = (start.clamp(0, length), end.clamp(0, length));
            return successors(Some(start), |it| it.checked_add(step))
                .take_while(|it| *it < end)
                .collect();
        }
        let (start, end) = (start.clamp(0, length - 1), end.clamp(-1, length - 1));
        successors(Some(start), |it| it.checked_add(step))
            .take_while(|it| *it > end)
            .collect()
    }

    #[test]
    fn parts_are_those_of_the_specification() {
        let numbers = [-6, -5, -2, -1, 0, 1, 3, 5, 6, i32::MAX.into()];
        let numbers = numbers.into_iter().chain([i64::MIN, i64::MAX]);
        let numbers: Vec<i64> = numbers.collect();
        for step in [1, 2, 3, i64::MAX, -1, -2, -9, i64::MIN] {
            let computed = part([0; 2], step, true);
            for (start, end) in numbers
                .iter()
                .flat_map(|it| numbers.iter().map(|end| (*it, *end)))
            {
                let known = part([start, end], step, false);
                for length in 1..=LENGTH_MAX {
                    let text: Vec<i64> = (0..length).map(|it| it.try_into().unwrap()).collect();
                    let text = tensor1(&text)
                        .into_shape(&[1, length])
                        .unwrap()
                        .into_tvalue();
                    let bounds = [start, end].map(|it| tensor1(&[it]).into_tvalue());
                    let [start_value, end_value] = bounds;
                    let results = [
                        known.run(tvec!(text.clone())).unwrap(),
                        computed.run(tvec!(text, start_value, end_value)).unwrap(),
                    ];
                    let expected = places([start, end], step, length.try_into().unwrap());
                    for result in results {
                        let result = result[0].try_as_plain_ram().unwrap();
                        let context = format!("{start}..{end} by {step} of {length}");
                        assert_eq!(result.as_slice::<i64>().unwrap(), expected, "{context}");
                    }
                }
            }
        }
    }
}
