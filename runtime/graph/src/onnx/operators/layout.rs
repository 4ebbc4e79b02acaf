//! Operators that move, select or count elements.

use super::wired::like_first;
use super::{constant_integers, integers, resolve_axis};
use crate::onnx::node::Node;
use tract_hir::internal::*;
use tract_hir::ops::array::{self, PadMode, StridedSlice};
use tract_hir::ops::nn::{Reduce, Reducer};
use tract_hir::tract_core::ops::array as core;
use tract_hir::tract_core::ops::cast::cast;

/// Sums over all elements before, along an axis that is a constant input. The engine
/// adds no symbolic integers that way.
pub(super) fn cum_sum(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let exclusive = node.attribute("exclusive")?.unwrap_or(false);
    let reverse = node.attribute("reverse")?.unwrap_or(false);
    Ok(like_first("CumSum", move |name, model, inputs| {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let axes = constant_integers(model, inputs[1])?;
        let axis = axes.first().context("CumSum along no axis")?;
        let op = core::CumSum {
            axis: resolve_axis(*axis, fact.rank())?,
            exclusive,
            reverse,
        };
        if !fact.datum_type.is_tdim() {
            return model.wire_node(name, op, &inputs[..1]);
        }
        let numbers = cast(i64::datum_type());
        let numbers = model.wire_node(format!("{name}.numbers"), numbers, &inputs[..1])?;
        let sums = model.wire_node(format!("{name}.sums"), op, &numbers)?;
        model.wire_node(name, cast(fact.datum_type), &sums)
    }))
}

/// The place of the greatest element along an axis, as an int64.
pub(super) fn arg_max(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let axis = node.attribute("axis")?.unwrap_or(0);
    let keep_dims = node.attribute("keepdims")?.unwrap_or(true);
    let is_last = node.attribute("select_last_index")?.unwrap_or(false);
    let op = Reduce::new(Some(vec![axis]), keep_dims, Reducer::ArgMax(is_last));
    Ok(expand(OfNumbers { op, slot: 0 }))
}

pub(super) fn gather_elements(axis: i64) -> Box<dyn InferenceOp> {
    let op = array::GatherElements::new(axis);
    expand(OfNumbers { op, slot: 1 })
}

/// An operator whose input `slot` the engine evaluates only as numbers, not as symbolic
/// integers: DeBERTa's relative positions, for one, are computed from lengths.
#[derive(Clone, Debug)]
struct OfNumbers<T> {
    op: T,
    slot: usize,
}

impl<T: Expansion + Clone> Expansion for OfNumbers<T> {
    fn name(&self) -> StaticName {
        self.op.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.op.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut inputs: TVec<OutletId> = inputs.into();
        let input = &mut inputs[self.slot];
        let datum_type = model.outlet_fact(*input)?.datum_type;
        if datum_type.is_tdim() || datum_type.is_integer() {
            let numbers = cast(i64::datum_type());
            *input = model.wire_node(format!("{name}.numbers"), numbers, &[*input])?[0];
        }
        self.op.wire(name, model, &inputs)
    }
}

pub(super) fn pad(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let mode = match node.attribute("mode")?.unwrap_or("constant") {
        "constant" => PadMode::Constant(Arc::new(tensor0(0f32))),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        other => bail!("Pad in mode {other}"),
    };
    Ok(expand(Pad {
        mode,
        value: node.input(2),
        axes: node.input(3),
    }))
}

/// Elements added at both ends of each axis, as many as a constant input says.
#[derive(Clone, Debug)]
struct Pad {
    mode: PadMode,
    value: Option<usize>,
    axes: Option<usize>,
}

/// What is added before and after each axis: `pads` lists all befores, then all
/// afters, in the order of `axes`.
fn paddings<D: Clone + Default>(
    pads: &[D],
    axes: Option<&[i64]>,
    rank: usize,
) -> TractResult<Vec<(D, D)>> {
    let (before, after) = pads.split_at(pads.len() / 2);
    let all: Vec<i64> = (0..i64::try_from(rank)?).collect();
    let axes = axes.unwrap_or(&all);
    ensure!(
        axes.len() == before.len() && before.len() == after.len(),
        "{} paddings for {} axes",
        pads.len(),
        axes.len()
    );
    let mut paddings = vec![Default::default(); rank];
    for ((before, after), axis) in before.iter().zip(after).zip(axes) {
        paddings[resolve_axis(*axis, rank)?] = (before.clone(), after.clone());
    }
    Ok(paddings)
}

impl Pad {
    fn output_shape(
        &self,
        shape: &[TDim],
        pads: &Tensor,
        axes: Option<&[i64]>,
    ) -> TractResult<TVec<TDim>> {
        let pads = pads.cast_to::<TDim>()?;
        let pads = pads.try_as_plain_ram()?;
        let pads = paddings(pads.as_slice::<TDim>()?, axes, shape.len())?;
        let padded = shape
            .iter()
            .zip(pads)
            .map(|(dim, (before, after))| dim.clone() + before + after);
        Ok(padded.collect())
    }
}

impl Expansion for Pad {
    fn name(&self) -> StaticName {
        "Pad".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + self.value.iter().chain(&self.axes).count())?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].rank, &outputs[0].rank)?;
        solver.given_2(
            &inputs[0].shape,
            &inputs[1].value,
            move |solver, shape, pads| {
                let Some(axes) = self.axes else {
                    let shape = self.output_shape(&shape, &pads, None)?;
                    return solver.equals(&outputs[0].shape, shape);
                };
                solver.given(&inputs[axes].value, move |solver, axes| {
                    let shape = self.output_shape(&shape, &pads, Some(&integers(&axes)?))?;
                    solver.equals(&outputs[0].shape, shape)
                })
            },
        )
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let input = model.outlet_fact(inputs[0])?;
        let (rank, datum_type) = (input.rank(), input.datum_type);
        let axes = self.axes.map(|slot| constant_integers(model, inputs[slot]));
        let pads: Result<Vec<usize>, _> = constant_integers(model, inputs[1])?
            .into_iter()
            .map(usize::try_from)
            .collect();
        let pads = paddings(&pads?, axes.transpose()?.as_deref(), rank)?;
        let mut mode = self.mode.clone();
        if let PadMode::Constant(value) = &mut mode {
            if let Some(slot) = self.value {
                let constant = model.outlet_fact(inputs[slot])?.konst.clone();
                *value = constant.context("the value of a Pad has to be a constant")?;
            }
            *value = value
                .cast_to_dt(datum_type)?
                .into_owned()
                .into_shape(&[])?
                .into();
        }
        model.wire_node(name, array::Pad { pads, mode }, &inputs[..1])
    }
}

/// Numbers from a start to a limit. The engine takes a step that is not positive for one
/// without end.
#[derive(Clone, Debug)]
pub(super) struct Range;

impl Expansion for Range {
    fn name(&self) -> StaticName {
        "Range".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 3)?;
        let values = [&inputs[0].value, &inputs[1].value, &inputs[2].value];
        solver.given_3(values[0], values[1], values[2], |_, start, limit, step| {
            let number = |tensor: &Tensor| -> TractResult<Option<i64>> {
                let expression = tensor.cast_to::<TDim>()?;
                let expression = expression.try_as_plain_ram()?;
                Ok(expression.to_scalar::<TDim>()?.to_i64().ok())
            };
            let is_known = number(&start)?.is_some() && number(&limit)?.is_some();
            let step = number(&step)?.context("a Range whose step is of the text's length")?;
            ensure!(
                step > 0 || is_known && step < 0,
                "a Range of step {step} between numbers of the text's length"
            );
            Ok(())
        })?;
        Expansion::rules(&array::Range, solver, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        array::Range.wire(prefix, model, inputs)
    }
}

pub(super) fn transpose(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let order: Option<TVec<usize>> = node.attribute("perm")?;
    if let Some(order) = &order {
        // The engine goes on moving axes until they are in order.
        let mut axes = order.clone();
        axes.sort_unstable();
        ensure!(
            axes.into_iter().eq(0..order.len()),
            "a Transpose with `perm` {order:?}, which is no permutation"
        );
    }
    Ok(expand(array::PermuteAxes::new(order)))
}

pub(super) fn shape(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    Ok(expand(Shape {
        start: node.attribute("start")?.unwrap_or(0),
        end: node.attribute("end")?,
    }))
}

/// The lengths of the axes from `start` to `end`.
#[derive(Clone, Debug)]
struct Shape {
    start: i64,
    end: Option<i64>,
}

impl Shape {
    fn of(&self, shape: &[TDim]) -> TractResult<Tensor> {
        let rank = i64::try_from(shape.len())?;
        let resolve = |axis: i64| {
            let axis = if axis < 0 { axis + rank } else { axis };
            usize::try_from(axis.clamp(0, rank))
        };
        let (start, end) = (resolve(self.start)?, resolve(self.end.unwrap_or(rank))?);
        Ok(tensor1(&shape[start..end.max(start)]))
    }
}

impl Expansion for Shape {
    fn name(&self) -> StaticName {
        "Shape".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].rank, 1)?;
        solver.equals(&outputs[0].datum_type, TDim::datum_type())?;
        solver.given(&inputs[0].shape, move |solver, shape| {
            solver.equals(&outputs[0].value, self.of(&shape)?.into_arc_tensor())
        })
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        Ok(tvec!(model.add_const(name, self.of(&shape)?)?))
    }
}

pub(super) fn slice(node: &Node) -> Box<dyn InferenceOp> {
    Box::new(StridedSlice {
        begin_mask: 0,
        end_mask: 0,
        shrink_axis_mask: 0,
        optional_axes_input: node.input(3),
        optional_steps_input: node.input(4),
    })
}

pub(super) fn split(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let axis = node.attribute("axis")?.unwrap_or(0);
    let parts = node.proto.output.len();
    Ok(if node.proto.input.len() == 1 {
        let before_13 = node.opset < 13;
        let lengths = if before_13 {
            node.attribute("split")?
        } else {
            None
        };
        expand(array::Split::new(axis, parts, lengths))
    } else {
        let axis = i64::try_from(axis)?;
        expand(Split { axis, parts })
    })
}

/// Parts whose lengths are a constant input.
#[derive(Clone, Debug)]
struct Split {
    axis: i64,
    parts: usize,
}

impl Expansion for Split {
    fn name(&self) -> StaticName {
        "Split".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.parts)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, self.parts)?;
        for output in outputs {
            solver.equals(&inputs[0].datum_type, &output.datum_type)?;
            solver.equals(&inputs[0].rank, &output.rank)?;
        }
        solver.given_2(
            &inputs[0].shape,
            &inputs[1].value,
            move |solver, shape, lengths| {
                let axis = resolve_axis(self.axis, shape.len())?;
                for (output, length) in outputs.iter().zip(integers(&lengths)?) {
                    let mut shape = shape.clone();
                    shape[axis] = length.to_dim();
                    solver.equals(&output.shape, shape)?;
                }
                Ok(())
            },
        )
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let lengths = constant_integers(model, inputs[1])?.into_iter();
        let lengths: Result<Vec<usize>, _> = lengths.map(usize::try_from).collect();
        let lengths = lengths?;
        ensure!(lengths.len() == self.parts, "Split into {lengths:?}");
        let axis = isize::try_from(self.axis)?;
        array::Split::new(axis, self.parts, Some(lengths)).wire(name, model, &inputs[..1])
    }
}

/// A triangle of a matrix, from a diagonal that may be an input.
pub(super) fn trilu(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let upper = node.attribute("upper")?.unwrap_or(true);
    Ok(like_first("Trilu", move |name, model, inputs| {
        let diagonal = format!("{name}.diagonal");
        let diagonal = match inputs.get(1) {
            Some(input) => model.wire_node(diagonal, cast(i64::datum_type()), &[*input])?[0],
            None => model.add_const(diagonal, tensor0(0i64))?,
        };
        model.wire_node(name, core::Trilu { upper }, &[inputs[0], diagonal])
    }))
}
