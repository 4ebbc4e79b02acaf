//! Operators over axes: those that only name others, and reductions. Later opsets moved which from
//! an attribute to an input.

use super::layout::constant_lengths;
use super::{Wire, constant_integers, resolve_axis};
use crate::onnx::node::Node;
use tract_core::internal::*;
use tract_core::ops::cast::cast;
use tract_core::ops::math;
use tract_core::ops::nn::{Reduce, Reducer};

pub(super) fn reshape(node: &Node) -> TractResult<Wire> {
    let allows_zero = node.attribute("allowzero")?.unwrap_or(false);
    Ok(Box::new(move |name, model, inputs| {
        let target = constant_lengths(model, inputs[1])?;
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let ops = to_axis_ops_with_onnx_rules(&shape, &target, allows_zero);
        let ops = ops.with_context(|| format!("{shape:?} as {target:?}"))?;
        wire_axes(name, model, inputs[0], ops)
    }))
}

/// Into a matrix: the axes before `axis`, and those from it on.
pub(super) fn flatten(node: &Node) -> TractResult<Wire> {
    let axis = super::axis(node, 1)?;
    Ok(Box::new(move |name, model, inputs| {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        // The axis may be that after the last.
        let axis = match usize::try_from(axis) {
            Ok(axis) if axis == shape.len() => axis,
            _ => resolve_axis(axis, shape.len())?,
        };
        let target = [&shape[..axis], &shape[axis..]];
        let target = target.map(|axes| axes.iter().product::<TDim>());
        let ops = to_axis_ops_with_onnx_rules(&shape, &target, true)?;
        wire_axes(name, model, inputs[0], ops)
    }))
}

pub(super) fn wire_axes(
    name: &str,
    model: &mut TypedModel,
    input: OutletId,
    ops: impl IntoIterator<Item = AxisOp>,
) -> TractResult<TVec<OutletId>> {
    let mut wire = input;
    for (place, op) in ops.into_iter().enumerate() {
        wire = model.wire_node(format!("{name}.{place}"), op, &[wire])?[0];
    }
    Ok(tvec!(wire))
}

/// Removes axes of length one: those named, or all.
pub(super) fn squeeze(node: &Node) -> TractResult<Wire> {
    let axes = Axes::of(node, 13)?;
    Ok(Box::new(move |name, model, inputs| {
        let axes = axes.read(model, inputs)?;
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let mut places: Vec<usize> = if axes.is_empty() {
            (0..shape.len())
                .filter(|axis| shape[*axis].is_one())
                .collect()
        } else {
            resolve_axes(&axes, shape.len())?
        };
        places.reverse();
        wire_axes(name, model, inputs[0], places.into_iter().map(AxisOp::Rm))
    }))
}

/// Adds axes of length one.
pub(super) fn unsqueeze(node: &Node) -> TractResult<Wire> {
    let axes = Axes::of(node, 13)?;
    Ok(Box::new(move |name, model, inputs| {
        let axes = axes.read(model, inputs)?;
        let rank = model.outlet_fact(inputs[0])?.rank();
        let places = resolve_axes(&axes, rank + axes.len())?;
        wire_axes(name, model, inputs[0], places.into_iter().map(AxisOp::Add))
    }))
}

/// What is made of all elements along axes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduction {
    L2,
    Max,
    Mean,
    Min,
    Prod,
    Sum,
}

pub(super) fn reduce(node: &Node, reduction: Reduction) -> TractResult<Wire> {
    let input_since = if reduction == Reduction::Sum { 13 } else { 18 };
    let axes = Axes::of(node, input_since)?;
    let keep_dims = node.attribute("keepdims")?.unwrap_or(true);
    let none_is_all = !node.attribute("noop_with_empty_axes")?.unwrap_or(false);
    Ok(Box::new(move |name, model, inputs| {
        let axes = axes.read(model, inputs)?;
        let fact = model.outlet_fact(inputs[0])?;
        let (datum_type, rank) = (fact.datum_type, fact.rank());
        let places: TVec<usize> = if axes.is_empty() && none_is_all {
            (0..rank).collect()
        } else {
            resolve_axes(&axes, rank)?.into()
        };
        let mut wire = inputs[0];
        // The engine combines no symbolic integers.
        let is_symbolic = datum_type.is_tdim();
        if is_symbolic {
            let numbers = cast(i64::datum_type());
            wire = model.wire_node(format!("{name}.numbers"), numbers, &[wire])?[0];
        }
        wire = wire_reduction(name, model, wire, reduction, &places)?;
        if is_symbolic {
            wire = model.wire_node(format!("{name}.lengths"), cast(datum_type), &[wire])?[0];
        }
        let removed = places.iter().rev().filter(|_| !keep_dims);
        let removed = removed.map(|axis| AxisOp::Rm(*axis));
        wire_axes(&format!("{name}.removed"), model, wire, removed)
    }))
}

/// Along axes in order, which stay, of length one.
pub(super) fn wire_reduction(
    name: &str,
    model: &mut TypedModel,
    input: OutletId,
    reduction: Reduction,
    axes: &[usize],
) -> TractResult<OutletId> {
    let reducer = match reduction {
        Reduction::L2 | Reduction::Mean | Reduction::Sum => Reducer::Sum,
        Reduction::Max => Reducer::Max,
        Reduction::Min => Reducer::Min,
        Reduction::Prod => Reducer::Prod,
    };
    let reduce = |name: String, model: &mut TypedModel, input| {
        let op = Reduce::new(axes.into(), reducer);
        Ok(model.wire_node(name, op, &[input])?[0])
    };
    match reduction {
        Reduction::L2 => {
            let squares = model.wire_node(format!("{name}.squares"), math::square(), &[input])?;
            let sum = reduce(format!("{name}.sum"), model, squares[0])?;
            Ok(model.wire_node(name, math::sqrt(), &[sum])?[0])
        }
        Reduction::Mean => {
            let fact = model.outlet_fact(input)?;
            let (datum_type, rank) = (fact.datum_type, fact.rank());
            let count: TDim = axes.iter().map(|axis| &fact.shape[*axis]).product();
            let sum = reduce(format!("{name}.sum"), model, input)?;
            let count = tensor0(count).broadcast_into_rank(rank)?;
            let count = model.add_const(format!("{name}.count"), count)?;
            let count = model.wire_node(format!("{name}.cast"), cast(datum_type), &[count])?[0];
            Ok(model.wire_node(name, math::div(), &[sum, count])?[0])
        }
        _ => reduce(name.into(), model, input),
    }
}

/// Where the axes come from.
enum Axes {
    /// An attribute. Empty where it is absent.
    Known(Vec<i64>),
    /// The second input, a constant.
    Input,
}

impl Axes {
    fn of(node: &Node, input_since: i64) -> TractResult<Self> {
        Ok(if node.opset < input_since {
            Self::Known(node.attribute("axes")?.unwrap_or_default())
        } else if node.input(1).is_some() {
            Self::Input
        } else {
            Self::Known(vec![])
        })
    }

    fn read(self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Vec<i64>> {
        match self {
            Self::Known(axes) => Ok(axes),
            Self::Input => constant_integers(model, *inputs.get(1).context("no axes")?),
        }
    }
}

/// In order, each once.
fn resolve_axes(axes: &[i64], rank: usize) -> TractResult<Vec<usize>> {
    let places = axes.iter().map(|axis| resolve_axis(*axis, rank));
    let mut places: Vec<usize> = places.collect::<TractResult<_>>()?;
    places.sort_unstable();
    let count = places.len();
    places.dedup();
    ensure!(places.len() == count, "axes {axes:?}, of which two are one");
    Ok(places)
}
