//! Operators on numbers: casts, bounds, powers, remainders and products.

use super::add_scalar;
use super::wired::{broadcasting, like_first};
use crate::onnx::node::Node;
use tract_hir::internal::*;
use tract_hir::ops::binary::{wire_cast, wire_rank_broadcast};
use tract_hir::ops::logic::wire_with_rank_broadcast;
use tract_hir::ops::math;
use tract_hir::tract_core::ops::cast;
use tract_hir::tract_core::ops::einsum::EinSum;

pub(super) fn cast(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let to: DatumType = node.required("to")?;
    // An integer may be a length that is known only at run time.
    let is_length = to == i64::datum_type();
    let to = if is_length { TDim::datum_type() } else { to };
    Ok(Box::new(cast::cast(to)))
}

/// Bounds that are inputs, each optional.
pub(super) fn clip(node: &Node) -> Box<dyn InferenceOp> {
    let (min, max) = (node.input(1), node.input(2));
    like_first("Clip", move |name, model, inputs| {
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
    })
}

/// The result is of the base's type, whatever the exponent's.
pub(super) fn pow(
    name: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let base = model.outlet_fact(inputs[0])?.datum_type;
    let exponent = model.outlet_fact(inputs[1])?.datum_type;
    let operating = if base.is_integer() == exponent.is_integer() {
        common_type(base, exponent)?
    } else {
        f64::datum_type()
    };
    let wires = wire_rank_broadcast(name, model, inputs)?;
    let wires = wire_cast(name, model, &wires, operating)?;
    if operating == base {
        return model.wire_node(name, math::pow(), &wires);
    }
    let power = model.wire_node(format!("{name}.pow"), math::pow(), &wires)?;
    model.wire_node(name, cast::cast(base), &power)
}

fn common_type(a: DatumType, b: DatumType) -> TractResult<DatumType> {
    let common = a.common_super_type(b);
    common.with_context(|| format!("{a:?} and {b:?} have no common type"))
}

pub(super) fn modulo(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let like_c = node.attribute("fmod")?.unwrap_or(false);
    Ok(if like_c {
        math::Rem.into_hir()
    } else {
        broadcasting("Mod", common_type, floored_remainder)
    })
}

/// The remainder that has the divisor's sign.
fn floored_remainder(
    name: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let dividend = model.outlet_fact(inputs[0])?.datum_type;
    let divisor = model.outlet_fact(inputs[1])?.datum_type;
    let operating = common_type(dividend, divisor)?;
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

pub(super) fn gemm(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    Ok(expand(Gemm {
        alpha: node.attribute("alpha")?.unwrap_or(1.0),
        beta: node.attribute("beta")?.unwrap_or(1.0),
        transpose_a: node.attribute("transA")?.unwrap_or(false),
        transpose_b: node.attribute("transB")?.unwrap_or(false),
    }))
}

/// `alpha · A · B + beta · C`, for matrices A and B.
#[derive(Clone, Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transpose_a: bool,
    transpose_b: bool,
}

impl Expansion for Gemm {
    fn name(&self) -> StaticName {
        "Gemm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!(
            (2..=3).contains(&inputs.len()),
            "Gemm of {} inputs",
            inputs.len()
        );
        check_output_arity(outputs, 1)?;
        for input in inputs {
            solver.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        for matrix in [&inputs[0], &inputs[1], &outputs[0]] {
            solver.equals(&matrix.rank, 2)?;
        }
        let (a_rows, a_columns) = if self.transpose_a { (1, 0) } else { (0, 1) };
        let (b_rows, b_columns) = if self.transpose_b { (1, 0) } else { (0, 1) };
        solver.equals(&inputs[0].shape[a_rows], &outputs[0].shape[0])?;
        solver.equals(&inputs[0].shape[a_columns], &inputs[1].shape[b_rows])?;
        solver.equals(&inputs[1].shape[b_columns], &outputs[0].shape[1])
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let datum_type = model.outlet_fact(inputs[0])?.datum_type;
        let axes = AxesMapping::for_numpy_matmul(2, self.transpose_a, self.transpose_b, false)?;
        let product = EinSum::new(axes, datum_type);
        let product = model.wire_node(format!("{name}.ab"), product, &inputs[..2])?[0];
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

pub(super) fn einsum(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let equation: &str = node.required("equation")?;
    let equation = equation.to_owned();
    Ok(expand(Einsum { equation }))
}

/// A product over named axes.
#[derive(Clone, Debug)]
struct Einsum {
    equation: String,
}

impl Einsum {
    /// The axes for inputs of these ranks: an ellipsis stands for as many
    /// further axes, aligned at the last, as an input has.
    fn axes(&self, ranks: &[usize]) -> TractResult<AxesMapping> {
        let equation = self.equation.replace("...", "*").replace(' ', "");
        let (inputs, output) = equation
            .split_once("->")
            .with_context(|| format!("Einsum `{equation}` does not name its output"))?;
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
}

impl Expansion for Einsum {
    fn name(&self) -> StaticName {
        "Einsum".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        for input in inputs {
            solver.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        let ranks: Vec<_> = inputs.iter().map(|input| &input.rank).collect();
        solver.given_all(ranks, move |solver, ranks| {
            let ranks: Result<Vec<usize>, _> = ranks.into_iter().map(usize::try_from).collect();
            let axes = self.axes(&ranks?)?;
            check_input_arity(inputs, axes.input_count())?;
            solver.equals(&outputs[0].rank, i64::try_from(axes.rank(InOut::Out(0)))?)?;
            for axis in axes.iter_all_axes() {
                let in_inputs = axis.inputs.iter().zip(inputs);
                let in_outputs = axis.outputs.iter().zip(outputs);
                let places = in_inputs.chain(in_outputs);
                let lengths = places.flat_map(|(positions, tensor)| {
                    positions
                        .iter()
                        .map(|position| tensor.shape[*position].bex())
                });
                solver.equals_all(lengths.collect())?;
            }
            Ok(())
        })
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let facts = inputs.iter().map(|input| model.outlet_fact(*input));
        let ranks: TractResult<Vec<usize>> = facts.map(|fact| Ok(fact?.rank())).collect();
        let axes = self.axes(&ranks?)?;
        let datum_type = model.outlet_fact(inputs[0])?.datum_type;
        model.wire_node(name, EinSum::new(axes, datum_type), inputs)
    }
}
