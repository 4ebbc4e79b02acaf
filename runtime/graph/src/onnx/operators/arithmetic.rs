//! Operators on numbers: casts, bounds, powers, remainders, choices and products.

use super::{Wire, add_scalar, common_type};
use crate::onnx::node::Node;
use tract_core::internal::*;
use tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_core::ops::cast::{cast as cast_to, wire_cast};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::{logic, math};

pub(super) fn cast(node: &Node) -> TractResult<Wire> {
    let to: DatumType = node.required("to")?;
    // An integer may be a length that is known only at run time.
    let is_length = to == i64::datum_type();
    let to = if is_length { TDim::datum_type() } else { to };
    Ok(Box::new(move |name, model, inputs| {
        model.wire_node(name, cast_to(to), inputs)
    }))
}

/// Bounds that are inputs, each optional.
pub(super) fn clip(node: &Node) -> TractResult<Wire> {
    let (min, max) = (node.input(1), node.input(2));
    Ok(Box::new(move |name, model, inputs| {
        let datum_type = model.outlet_fact(inputs[0])?.datum_type;
        let mut wire = inputs[0];
        for (bound, op) in [(min, math::max()), (max, math::min())] {
            let Some(bound) = bound else { continue };
            let name = format!("{name}.{}", op.name());
            // A bound may be an integer where the value is a length.
            let bound = wire_cast(&name, model, &[inputs[bound]], datum_type)?[0];
            wire = wire_with_rank_broadcast(name, model, op, &[wire, bound])?[0];
        }
        Ok(tvec!(wire))
    }))
}

/// The result is of the base's type, whatever the exponent's.
pub(super) fn pow(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|name, model, inputs| {
        let (base, exponent) = (model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?);
        let common = common_type(&[base, exponent]);
        let (base, exponent) = (base.datum_type, exponent.datum_type);
        let operating = if base.is_integer() == exponent.is_integer() {
            common?
        } else {
            f64::datum_type()
        };
        let wires = wire_rank_broadcast(name, model, inputs)?;
        let wires = wire_cast(name, model, &wires, operating)?;
        if operating == base {
            return model.wire_node(name, math::pow(), &wires);
        }
        let power = model.wire_node(format!("{name}.pow"), math::pow(), &wires)?;
        model.wire_node(name, cast_to(base), &power)
    }))
}

pub(super) fn modulo(node: &Node) -> TractResult<Wire> {
    let like_c = node.attribute("fmod")?.unwrap_or(false);
    if like_c {
        return super::binary(math::Rem);
    }
    Ok(Box::new(floored_remainder))
}

/// The remainder that has the divisor's sign.
fn floored_remainder(
    name: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let operating = common_type(&[model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?])?;
    let wires = wire_rank_broadcast(name, model, inputs)?;
    let wires = wire_cast(name, model, &wires, operating)?;
    // Lengths are not negative.
    if operating.is_unsigned() || operating == TDim::datum_type() {
        return model.wire_node(name, math::rem(), &wires);
    }
    let divisor = wires[1];
    let rest = model.wire_node(format!("{name}.rest"), math::rem(), &wires)?[0];
    let sum = model.wire_node(format!("{name}.sum"), math::add(), &[rest, divisor])?[0];
    model.wire_node(name, math::rem(), &[sum, divisor])
}

/// An operator on any number of tensors, from the first on.
pub(super) fn n_ary(op: impl BinMiniOp + Clone) -> TractResult<Wire> {
    Ok(Box::new(move |name, model, inputs| {
        Ok(tvec!(wire_n_ary(name, model, inputs, &op)?))
    }))
}

pub(super) fn mean(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|name, model, inputs| {
        let sum = wire_n_ary(name, model, inputs, &math::Add)?;
        let datum_type = model.outlet_fact(sum)?.datum_type;
        let count = tensor0(i64::try_from(inputs.len())?);
        let count = count.cast_to_dt(datum_type)?.into_owned();
        let count = model.add_const(format!("{name}.count"), count)?;
        let name = format!("{name}.mean");
        wire_with_rank_broadcast(name, model, math::div(), &[sum, count])
    }))
}

fn wire_n_ary<O: BinMiniOp + Clone>(
    name: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
    op: &O,
) -> TractResult<OutletId> {
    let facts = inputs.iter().map(|it| model.outlet_fact(*it));
    let common = common_type(&facts.collect::<TractResult<Vec<_>>>()?)?;
    let operating = op.operating_datum_type(common, common)?;
    let inputs = wire_cast(name, model, inputs, operating)?;
    let mut wire = inputs[0];
    for (place, input) in inputs.iter().enumerate().skip(1) {
        let op = TypedBinOp(Box::new(op.clone()), None);
        let name = format!("{name}.{place}");
        wire = wire_with_rank_broadcast(name, model, op, &[wire, *input])?[0];
    }
    Ok(wire)
}

/// `Where`: of each value, the first or the second.
pub(super) fn select(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|name, model, inputs| {
        let condition = model.outlet_fact(inputs[0])?.datum_type;
        ensure!(
            condition == bool::datum_type(),
            "a condition of {condition:?}"
        );
        let common = common_type(&[model.outlet_fact(inputs[1])?, model.outlet_fact(inputs[2])?])?;
        let choices = wire_cast(name, model, &inputs[1..], common)?;
        let inputs = [inputs[0], choices[0], choices[1]];
        let inputs = wire_rank_broadcast(name, model, &inputs)?;
        model.wire_node(name, logic::Iff, &inputs)
    }))
}

pub(super) fn mat_mul(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(wire_mat_mul))
}

/// As numpy has it: of matrices, vectors, and any axes before those of a matrix.
pub(super) fn wire_mat_mul(
    name: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let ranks = [inputs[0], inputs[1]].map(|it| Ok(model.outlet_fact(it)?.rank()));
    let [first, second]: [TractResult<usize>; 2] = ranks;
    let axes = axes_of_matrices(first?, second?)?;
    wire_product(name, model, axes, inputs)
}

fn axes_of_matrices(first: usize, second: usize) -> TractResult<AxesMapping> {
    ensure!(
        first > 0 && second > 0,
        "a product of tensors of rank {first} and {second}"
    );
    let further: Vec<char> = ('a'..='j').collect();
    let rank = first.max(second);
    let batch = further.get(..rank.saturating_sub(2));
    let batch = batch.with_context(|| format!("a product of tensors of rank {rank}"))?;
    let of = |rank: usize| String::from_iter(&batch[batch.len() - rank.saturating_sub(2)..]);
    let (a, b, c) = (of(first), of(second), of(rank));
    let equation = match (first, second) {
        (1, 1) => "k,k->".into(),
        (1, _) => format!("k,{b}kn->{c}n"),
        (_, 1) => format!("{a}mk,k->{c}m"),
        _ => format!("{a}mk,{b}kn->{c}mn"),
    };
    equation.parse()
}

fn wire_product(
    name: &str,
    model: &mut TypedModel,
    axes: AxesMapping,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let facts = inputs.iter().map(|it| model.outlet_fact(*it));
    let facts: Vec<&TypedFact> = facts.collect::<TractResult<_>>()?;
    let fits = fit(&axes, &facts);
    let datum_type = fits.with_context(|| {
        let facts: Vec<String> = facts.iter().map(|it| format!("{it:?}")).collect();
        format!("a product of {}", facts.join(" and "))
    })?;
    model.wire_node(name, EinSum::new(axes, datum_type), inputs)
}

/// The type of the factors of a product, if they are of one and have the axes that are named, of
/// the same lengths. The engine takes it for granted.
fn fit(axes: &AxesMapping, facts: &[&TypedFact]) -> TractResult<DatumType> {
    let ranks = (0..axes.input_count()).map(|place| axes.rank(InOut::In(place)));
    ensure!(
        ranks.eq(facts.iter().map(|it| it.rank())),
        "not of the ranks that are named"
    );
    let datum_type = facts.first().context("of nothing")?.datum_type;
    ensure!(
        facts.iter().all(|it| it.datum_type == datum_type),
        "of several types"
    );
    for axis in axes.iter_all_axes() {
        let places = axis.inputs.iter().zip(facts);
        let lengths = places.flat_map(|(places, fact)| places.iter().map(|it| &fact.shape[*it]));
        let mut known: Vec<usize> = lengths.filter_map(|it| it.to_usize().ok()).collect();
        // What is summed over is not broadcast.
        let is_summed = axis.outputs.iter().all(|it| it.is_empty());
        known.retain(|length| is_summed || *length != 1);
        known.dedup();
        ensure!(known.len() <= 1, "over an axis of lengths {known:?}");
    }
    Ok(datum_type)
}

pub(super) fn gemm(node: &Node) -> TractResult<Wire> {
    let gemm = Gemm {
        alpha: node.attribute("alpha")?.unwrap_or(1.0),
        beta: node.attribute("beta")?.unwrap_or(1.0),
        transpose_a: node.attribute("transA")?.unwrap_or(false),
        transpose_b: node.attribute("transB")?.unwrap_or(false),
    };
    Ok(Box::new(move |name, model, inputs| {
        gemm.wire(name, model, inputs)
    }))
}

/// `alpha · A · B + beta · C`, for matrices A and B.
struct Gemm {
    alpha: f32,
    beta: f32,
    transpose_a: bool,
    transpose_b: bool,
}

impl Gemm {
    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let axes = AxesMapping::for_numpy_matmul(2, self.transpose_a, self.transpose_b, false)?;
        let product = wire_product(&format!("{name}.ab"), model, axes, &inputs[..2])?[0];
        let mut wire = scale(model, &format!("{name}.alpha"), product, self.alpha)?;
        if let Some(addend) = inputs.get(2) {
            let addend = scale(model, &format!("{name}.beta"), *addend, self.beta)?;
            wire = wire_with_rank_broadcast(name, model, math::add(), &[wire, addend])?[0];
        }
        Ok(tvec!(wire))
    }
}

fn scale(
    model: &mut TypedModel,
    name: &str,
    outlet: OutletId,
    factor: f32,
) -> TractResult<OutletId> {
    if factor == 1.0 {
        return Ok(outlet);
    }
    let datum_type = model.outlet_fact(outlet)?.datum_type;
    let factor = add_scalar(model, format!("{name}.factor"), factor, datum_type)?;
    Ok(wire_with_rank_broadcast(name, model, math::mul(), &[outlet, factor])?[0])
}

pub(super) fn einsum(node: &Node) -> TractResult<Wire> {
    let equation: &str = node.required("equation")?;
    let equation = equation.replace("...", "*").replace(' ', "");
    Ok(Box::new(move |name, model, inputs| {
        let ranks = inputs.iter().map(|it| Ok(model.outlet_fact(*it)?.rank()));
        let axes = named_axes(&equation, &ranks.collect::<TractResult<Vec<_>>>()?)?;
        wire_product(name, model, axes, inputs)
    }))
}

/// The axes that an equation names, for inputs of these ranks: an ellipsis, here `*`, stands for as
/// many further axes, aligned at the last, as an input has.
fn named_axes(equation: &str, ranks: &[usize]) -> TractResult<AxesMapping> {
    let (inputs, output) = equation
        .split_once("->")
        .with_context(|| format!("Einsum `{equation}` does not name its output"))?;
    ensure!(
        inputs.split(',').count() == ranks.len(),
        "Einsum `{equation}` of {} tensors",
        ranks.len()
    );
    let further: Vec<char> = ('A'..='Z').filter(|it| !equation.contains(*it)).collect();
    let mut widest = &further[..0];
    let mut resolved = Vec::new();
    for (input, rank) in inputs.split(',').zip(ranks) {
        let named = input.chars().filter(|it| *it != '*').count();
        let width = rank.checked_sub(named).filter(|it| *it <= further.len());
        let width = width.with_context(|| format!("Einsum `{equation}` of ranks {ranks:?}"))?;
        let axes = &further[further.len() - width..];
        resolved.push(input.replace('*', &String::from_iter(axes)));
        widest = if axes.len() > widest.len() {
            axes
        } else {
            widest
        };
    }
    let output = output.replace('*', &String::from_iter(widest));
    format!("{}->{output}", resolved.join(",")).parse()
}
