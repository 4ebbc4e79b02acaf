//! Operators over axes, which later opsets moved from an attribute to an input.

use super::{constant_integers, integers, resolve_axis};
use crate::onnx::node::Node;
use tract_hir::internal::*;
use tract_hir::ops::array::{AddDims, Squeeze};
use tract_hir::ops::nn::{Reduce, Reducer};

pub(super) fn squeeze(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    over_axes(node, Effect::Squeeze, node.opset < 13)
}

pub(super) fn unsqueeze(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    over_axes(node, Effect::Unsqueeze, node.opset < 13)
}

pub(super) fn reduce(node: &Node, reducer: Reducer) -> TractResult<Box<dyn InferenceOp>> {
    let effect = Effect::Reduce {
        reducer,
        keep_dims: node.attribute("keepdims")?.unwrap_or(true),
        none_is_all: !node.attribute("noop_with_empty_axes")?.unwrap_or(false),
    };
    let input_since = if reducer == Reducer::Sum { 13 } else { 18 };
    over_axes(node, effect, node.opset < input_since)
}

fn over_axes(
    node: &Node,
    effect: Effect,
    has_attribute: bool,
) -> TractResult<Box<dyn InferenceOp>> {
    let axes = if has_attribute {
        Axes::Known(node.attribute("axes")?.unwrap_or_default())
    } else if node.proto.input.get(1).is_some_and(|name| !name.is_empty()) {
        Axes::Input
    } else {
        Axes::Known(vec![])
    };
    Ok(expand(OverAxes { effect, axes }))
}

/// What is done to the axes of a tensor.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// Removes axes of length one: those named, or all.
    Squeeze,
    /// Adds axes of length one.
    Unsqueeze,
    /// Combines all elements along the axes into one.
    Reduce {
        reducer: Reducer,
        keep_dims: bool,
        none_is_all: bool,
    },
}

/// Where the axes come from.
#[derive(Clone, Debug)]
enum Axes {
    /// An attribute. Empty where it is absent.
    Known(Vec<i64>),
    /// The second input, a constant.
    Input,
}

impl Effect {
    /// The operator for these axes, and the shape it gives to a tensor of `shape`.
    fn resolve(
        self,
        axes: &[i64],
        shape: &[TDim],
    ) -> TractResult<(Box<dyn Expansion>, TVec<TDim>)> {
        let rank = shape.len();
        Ok(match self {
            Self::Squeeze => {
                let mut places: Vec<usize> = if axes.is_empty() {
                    (0..rank).filter(|axis| shape[*axis].is_one()).collect()
                } else {
                    let axes = axes.iter().map(|axis| resolve_axis(*axis, rank));
                    axes.collect::<TractResult<_>>()?
                };
                places.sort_unstable();
                let op = Squeeze::new(Some(signed(&places)?));
                let shape = op.output_shape(shape)?;
                (Box::new(op), shape)
            }
            Self::Unsqueeze => {
                let axes = axes
                    .iter()
                    .map(|axis| resolve_axis(*axis, rank + axes.len()));
                let op = AddDims::new(signed(&axes.collect::<TractResult<Vec<_>>>()?)?);
                let shape = op.output_shape(shape);
                (Box::new(op), shape)
            }
            Self::Reduce {
                reducer,
                keep_dims,
                none_is_all,
            } => {
                for axis in axes {
                    resolve_axis(*axis, rank)?;
                }
                let all = axes.is_empty() && none_is_all;
                let op = Reduce::new((!all).then(|| axes.to_vec()), keep_dims, reducer);
                let shape = op.output_shape(shape);
                (Box::new(op), shape)
            }
        })
    }
}

fn signed(axes: &[usize]) -> TractResult<Vec<isize>> {
    let axes = axes.iter().map(|axis| isize::try_from(*axis));
    Ok(axes.collect::<Result<_, _>>()?)
}

#[derive(Clone, Debug)]
struct OverAxes {
    effect: Effect,
    axes: Axes,
}

impl Expansion for OverAxes {
    fn name(&self) -> StaticName {
        format!("{:?}", self.effect).into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        if let Effect::Reduce {
            keep_dims: true, ..
        } = self.effect
        {
            solver.equals(&inputs[0].rank, &outputs[0].rank)?;
        }
        match &self.axes {
            Axes::Known(axes) => solver.given(&inputs[0].shape, move |solver, shape| {
                let (_, shape) = self.effect.resolve(axes, &shape)?;
                solver.equals(&outputs[0].shape, shape)
            }),
            Axes::Input => {
                check_input_arity(inputs, 2)?;
                let (input, axes) = (&inputs[0].shape, &inputs[1].value);
                solver.given_2(input, axes, move |solver, shape, axes| {
                    let (_, shape) = self.effect.resolve(&integers(&axes)?, &shape)?;
                    solver.equals(&outputs[0].shape, shape)
                })
            }
        }
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let axes = match &self.axes {
            Axes::Known(axes) => axes.clone(),
            Axes::Input => constant_integers(model, inputs[1])?,
        };
        let (op, _) = self.effect.resolve(&axes, &shape)?;
        op.wire(name, model, &inputs[..1])
    }
}
