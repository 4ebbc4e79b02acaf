//! Operators that move, select or count elements.

use super::{Wire, common_type, constant_integers, resolve_axis};
use crate::onnx::node::Node;
use tract_core::broadcast::multi_broadcast;
use tract_core::internal::*;
use tract_core::ops::array::{self, MultiBroadcastTo, PadMode, TypedConcat};
use tract_core::ops::cast::{cast, wire_cast};
use tract_core::ops::nn::{Reduce, Reducer};

pub(super) fn concat(node: &Node) -> TractResult<Wire> {
    let axis: i64 = node.required("axis")?;
    Ok(Box::new(move |name, model, inputs| {
        let facts = inputs.iter().map(|it| model.outlet_fact(*it));
        let common = common_type(&facts.collect::<TractResult<Vec<_>>>()?)?;
        let axis = resolve_axis(axis, model.outlet_fact(inputs[0])?.rank())?;
        let inputs = wire_cast(name, model, inputs, common)?;
        model.wire_node(name, TypedConcat::new(axis), &inputs)
    }))
}

/// A tensor of one value and of a shape that does not depend on the text but for its length.
pub(super) fn constant_of_shape(node: &Node) -> TractResult<Wire> {
    let value = match node.attribute("value")? {
        Some(tensor) => tensor,
        None => tensor0(0f32),
    };
    ensure!(value.len() == 1, "a ConstantOfShape of {value:?}");
    let value = value.into_shape(&[])?;
    Ok(Box::new(|name, model, inputs| {
        let shape = constant_lengths(model, inputs[0])?;
        let value = model.add_const(format!("{name}.value"), value)?;
        model.wire_node(name, MultiBroadcastTo::new(shape.into()), &[value])
    }))
}

pub(super) fn expand(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|name, model, inputs| {
        let target = constant_lengths(model, inputs[1])?;
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let shape = multi_broadcast(&[&*shape, &*target])?;
        model.wire_node(name, MultiBroadcastTo::new(shape.into()), &inputs[..1])
    }))
}

pub(super) fn tile(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|name, model, inputs| {
        let times = constant_lengths(model, inputs[1])?;
        let rank = model.outlet_fact(inputs[0])?.rank();
        ensure!(
            times.len() == rank,
            "a tensor of rank {rank} tiled by {times:?}"
        );
        model.wire_node(name, array::Tile::new(times), &inputs[..1])
    }))
}

/// The lengths that an input has for every text, as far as they do not depend on its own.
pub(super) fn constant_lengths(model: &TypedModel, outlet: OutletId) -> TractResult<TVec<TDim>> {
    let fact = model.outlet_fact(outlet)?;
    let constant = fact.konst.as_ref();
    let constant = constant.context("a shape that depends on what is in the text")?;
    ensure!(
        constant.rank() <= 1,
        "lengths in a tensor of rank {}",
        constant.rank()
    );
    if !constant.datum_type().is_tdim() {
        // Not at once: the engine casts by way of 32 bits.
        let lengths = super::integers(constant)?;
        return Ok(lengths.iter().map(ToDim::to_dim).collect());
    }
    let plain = constant.try_as_plain_ram()?;
    Ok(plain.as_slice::<TDim>()?.into())
}

pub(super) fn gather(node: &Node) -> TractResult<Wire> {
    let axis = super::axis(node, 0)?;
    Ok(Box::new(move |name, model, inputs| {
        let axis = resolve_axis(axis, model.outlet_fact(inputs[0])?.rank())?;
        let inputs = with_numbers(name, model, inputs, 1)?;
        model.wire_node(name, array::Gather::new(axis), &inputs)
    }))
}

pub(super) fn gather_elements(node: &Node) -> TractResult<Wire> {
    let axis = super::axis(node, 0)?;
    Ok(Box::new(move |name, model, inputs| {
        let axis = resolve_axis(axis, model.outlet_fact(inputs[0])?.rank())?;
        let inputs = with_numbers(name, model, inputs, 1)?;
        model.wire_node(name, array::GatherElements::new(axis), &inputs)
    }))
}

pub(super) fn gather_nd(node: &Node) -> TractResult<Wire> {
    let batch_dims: usize = node.attribute("batch_dims")?.unwrap_or(0);
    Ok(Box::new(move |name, model, inputs| {
        let indices = &model.outlet_fact(inputs[1])?.shape;
        let depth = indices.to_tvec().pop().context("indices of rank 0")?;
        let (depth, rank) = (depth.to_usize()?, model.outlet_fact(inputs[0])?.rank());
        ensure!(
            depth + batch_dims <= rank && batch_dims < indices.rank(),
            "{depth} indices after {batch_dims} axes of a tensor of rank {rank}"
        );
        model.wire_node(name, array::GatherNd::new(batch_dims), inputs)
    }))
}

pub(super) fn scatter_nd(node: &Node) -> TractResult<Wire> {
    let reduction = node.attribute("reduction")?.unwrap_or("none");
    let reduction = array::ScatterReduction::parse(reduction)?;
    Ok(Box::new(move |name, model, inputs| {
        let facts = inputs.iter().map(|it| model.outlet_fact(*it));
        let facts: Vec<&TypedFact> = facts.collect::<TractResult<_>>()?;
        let common = common_type(&[facts[0], facts[2]])?;
        let depth = facts[1]
            .shape
            .to_tvec()
            .pop()
            .context("indices of rank 0")?;
        let ranks = facts.iter().map(|it| it.rank());
        let ranks: Vec<usize> = ranks.collect();
        ensure!(
            depth.to_usize()? <= ranks[0]
                && ranks[0] + ranks[1] == ranks[2] + depth.to_usize()? + 1,
            "{depth} indices in tensors of ranks {ranks:?}"
        );
        let values = wire_cast(name, model, &[inputs[0], inputs[2]], common)?;
        let inputs = [values[0], inputs[1], values[1]];
        model.wire_node(name, array::ScatterNd::new(reduction), &inputs)
    }))
}

/// Inputs, of which the engine evaluates that at `slot` only as numbers, not as symbolic integers:
/// DeBERTa's relative positions, for one, are computed from lengths.
fn with_numbers(
    name: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
    slot: usize,
) -> TractResult<TVec<OutletId>> {
    let mut inputs: TVec<OutletId> = inputs.into();
    let datum_type = model.outlet_fact(inputs[slot])?.datum_type;
    if datum_type.is_tdim() || datum_type.is_integer() {
        let numbers = cast(i64::datum_type());
        let name = format!("{name}.numbers");
        inputs[slot] = model.wire_node(name, numbers, &[inputs[slot]])?[0];
    }
    Ok(inputs)
}

/// Sums over all elements before, along an axis that is a constant input. The engine
/// adds no symbolic integers that way.
pub(super) fn cum_sum(node: &Node) -> TractResult<Wire> {
    let exclusive = node.attribute("exclusive")?.unwrap_or(false);
    let reverse = node.attribute("reverse")?.unwrap_or(false);
    Ok(Box::new(move |name, model, inputs| {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let axes = constant_integers(model, inputs[1])?;
        let axis = axes.first().context("CumSum along no axis")?;
        let op = array::CumSum {
            axis: resolve_axis(*axis, fact.rank())?,
            exclusive,
            reverse,
        };
        if !fact.datum_type.is_tdim() {
            return model.wire_node(name, op, &inputs[..1]);
        }
        let numbers = with_numbers(name, model, &inputs[..1], 0)?;
        let sums = model.wire_node(format!("{name}.sums"), op, &numbers)?;
        model.wire_node(name, cast(fact.datum_type), &sums)
    }))
}

/// The place of the greatest element along an axis, as an int64.
pub(super) fn arg_max(node: &Node) -> TractResult<Wire> {
    let axis = super::axis(node, 0)?;
    let keep_dims = node.attribute("keepdims")?.unwrap_or(true);
    let is_last = node.attribute("select_last_index")?.unwrap_or(false);
    Ok(Box::new(move |name, model, inputs| {
        let axis = resolve_axis(axis, model.outlet_fact(inputs[0])?.rank())?;
        let numbers = with_numbers(name, model, inputs, 0)?;
        let op = Reduce::new(tvec!(axis), Reducer::ArgMax(is_last));
        if keep_dims {
            return model.wire_node(name, op, &numbers);
        }
        let places = model.wire_node(format!("{name}.places"), op, &numbers)?;
        model.wire_node(name, AxisOp::Rm(axis), &places)
    }))
}

pub(super) fn pad(node: &Node) -> TractResult<Wire> {
    let mode = match node.attribute("mode")?.unwrap_or("constant") {
        "constant" => PadMode::Constant(Arc::new(tensor0(0f32))),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        other => bail!("Pad in mode {other}"),
    };
    let pad = Pad {
        mode,
        value: node.input(2),
        axes: node.input(3),
    };
    Ok(Box::new(move |name, model, inputs| {
        pad.wire(name, model, inputs)
    }))
}

/// Elements added at both ends of each axis, as many as a constant input says.
struct Pad {
    mode: PadMode,
    value: Option<usize>,
    axes: Option<usize>,
}

/// What is added before and after each axis: `pads` lists all befores, then all
/// afters, in the order of `axes`.
fn paddings(pads: &[usize], axes: Option<&[i64]>, rank: usize) -> TractResult<Vec<(usize, usize)>> {
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
        paddings[resolve_axis(*axis, rank)?] = (*before, *after);
    }
    Ok(paddings)
}

impl Pad {
    fn wire(
        self,
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
        let mut mode = self.mode;
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
pub(super) fn range(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|name, model, inputs| {
        let facts = inputs.iter().map(|it| model.outlet_fact(*it));
        let facts: Vec<&TypedFact> = facts.collect::<TractResult<_>>()?;
        ensure!(
            facts.iter().all(|it| it.rank() == 0),
            "a Range whose start, limit and step are no numbers"
        );
        let common = common_type(&facts)?;
        let count = count([facts[0], facts[1], facts[2]])?;
        let count = count.unwrap_or_else(|| model.symbols.new_with_prefix("range").into());
        let inputs = wire_cast(name, model, inputs, common)?;
        model.wire_node(name, array::Range::new(count), &inputs)
    }))
}

/// How many numbers there are from a start to a limit, by a step, if that follows from the length of
/// the text.
fn count([start, limit, step]: [&TypedFact; 3]) -> TractResult<Option<TDim>> {
    let (start, limit) = (whole_number(start)?, whole_number(limit)?);
    let is_known = |it: &Option<TDim>| it.as_ref().is_some_and(|it| it.to_i64().is_ok());
    if let Some(step) = &step.konst {
        let step = step.cast_to_scalar::<f64>();
        let step = step.context("a Range whose step is of the text's length")?;
        ensure!(
            step > 0.0 || is_known(&start) && is_known(&limit) && step < 0.0,
            "a Range of step {step} between numbers of the text's length"
        );
    }
    let step = whole_number(step)?.and_then(|it| it.to_i64().ok());
    let (Some(start), Some(limit), Some(step)) = (start, limit, step) else {
        return Ok(None);
    };
    let distance = if step > 0 {
        limit - start
    } else {
        start - limit
    };
    Ok(Some(
        distance.divceil(usize::try_from(step.unsigned_abs())?),
    ))
}

/// The number that a scalar has for every text of a length, if that is a whole one.
fn whole_number(fact: &TypedFact) -> TractResult<Option<TDim>> {
    let Some(constant) = &fact.konst else {
        return Ok(fact.uniform_tdim.clone());
    };
    if constant.datum_type().is_float() && constant.cast_to_scalar::<f64>()?.fract() != 0.0 {
        return Ok(None);
    }
    let number = constant.cast_to::<TDim>()?;
    let plain = number.try_as_plain_ram()?;
    Ok(Some(plain.to_scalar::<TDim>()?.clone()))
}

pub(super) fn transpose(node: &Node) -> TractResult<Wire> {
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
    Ok(Box::new(move |name, model, inputs| {
        let rank = model.outlet_fact(inputs[0])?.rank();
        let order = order.unwrap_or_else(|| (0..rank).rev().collect());
        ensure!(
            order.len() == rank,
            "`perm` {order:?} of a tensor of rank {rank}"
        );
        super::reshaping::wire_axes(name, model, inputs[0], perm_to_ops(&order))
    }))
}

/// The lengths of the axes from `start` to `end`.
pub(super) fn shape(node: &Node) -> TractResult<Wire> {
    let start: i64 = node.attribute("start")?.unwrap_or(0);
    let end: Option<i64> = node.attribute("end")?;
    Ok(Box::new(move |name, model, inputs| {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let rank = i64::try_from(shape.len())?;
        let resolve = |axis: i64| {
            let axis = if axis < 0 { axis + rank } else { axis };
            usize::try_from(axis.clamp(0, rank))
        };
        let (start, end) = (resolve(start)?, resolve(end.unwrap_or(rank))?);
        let lengths = tensor1(&shape[start..end.max(start)]);
        Ok(tvec!(model.add_const(name, lengths)?))
    }))
}

pub(super) fn size(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|name, model, inputs| {
        let size: TDim = model.outlet_fact(inputs[0])?.shape.iter().product();
        Ok(tvec!(model.add_const(name, tensor0(size))?))
    }))
}

/// Parts of an axis: their lengths are a constant input, an attribute before opset 13, or all the
/// same but for the last.
pub(super) fn split(node: &Node) -> TractResult<Wire> {
    let axis = super::axis(node, 0)?;
    let parts = node.proto.output.len();
    let lengths: Option<TVec<usize>> = match node.opset < 13 {
        true => node.attribute("split")?,
        false => None,
    };
    Ok(Box::new(move |name, model, inputs| {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let axis = resolve_axis(axis, shape.len())?;
        let lengths: TVec<TDim> = match (inputs.get(1), lengths) {
            (Some(input), _) => constant_lengths(model, *input)?,
            (None, Some(lengths)) => lengths.iter().map(ToDim::to_dim).collect(),
            (None, None) => {
                let each = shape[axis].clone().divceil(parts);
                let last = shape[axis].clone() - each.clone() * (parts - 1);
                let mut lengths = tvec!(each; parts - 1);
                lengths.push(last);
                lengths
            }
        };
        ensure!(lengths.len() == parts, "Split into {lengths:?}");
        let mut start = 0.to_dim();
        let mut outlets = tvec!();
        for (place, length) in lengths.into_iter().enumerate() {
            let end = start.clone() + length;
            let op = array::Slice::new(axis, start, end.clone());
            outlets.extend(model.wire_node(format!("{name}.{place}"), op, &inputs[..1])?);
            start = end;
        }
        let both = (start.to_usize(), shape[axis].to_usize());
        let (Ok(parts), Ok(whole)) = both else {
            return Ok(outlets);
        };
        ensure!(parts == whole, "Split of {whole} into {parts}");
        Ok(outlets)
    }))
}

/// A triangle of a matrix, from a diagonal that may be an input.
pub(super) fn trilu(node: &Node) -> TractResult<Wire> {
    let upper = node.attribute("upper")?.unwrap_or(true);
    Ok(Box::new(move |name, model, inputs| {
        let rank = model.outlet_fact(inputs[0])?.rank();
        ensure!(rank >= 2, "a triangle of a tensor of rank {rank}");
        let diagonal = format!("{name}.diagonal");
        let diagonal = match inputs.get(1) {
            Some(input) => model.wire_node(diagonal, cast(i64::datum_type()), &[*input])?[0],
            None => model.add_const(diagonal, tensor0(0i64))?,
        };
        model.wire_node(name, array::Trilu { upper }, &[inputs[0], diagonal])
    }))
}
