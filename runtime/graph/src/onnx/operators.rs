//! The ONNX operators that encoders are made of, opsets 11 to 23, wired of tract-core's.
//!
//! What tract-onnx registers is linked, and so is what tract-nnef below it
//! does: Fourier transforms, recurrent nets, tree ensembles. They were a third of
//! the wasm module, all of which is compiled before the first text. tract-hir, which
//! it reads into, works out shapes in both directions, at each start. Here a node's inputs are
//! wired before it, so that their shapes are known. A test compares the operators with
//! tract-onnx's. Control flow is not among them: the builder resolves `If` first.

mod arithmetic;
mod convolution;
mod layers;
mod layout;
mod quantisation;
mod reshaping;
mod slicing;
#[cfg(test)]
mod tests;

use super::node::{Node, is_standard, node_name};
use crate::GraphError;
use encoderfile_proto::onnx::NodeProto;
use reshaping::Reduction;
use std::ops::RangeInclusive;
use tract_core::internal::*;
use tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_core::ops::cast::wire_cast;
use tract_core::ops::{element_wise, logic, math, nn};

/// Adds the operator of a node, whose name and inputs are given, to a model: an outlet for each of
/// its outputs.
pub(super) type Wire =
    Box<dyn FnOnce(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>>;

/// Whether the operator of a node is in [`OPERATORS`].
pub(crate) fn is_known(node: &NodeProto) -> bool {
    find(node).is_some()
}

/// The operator of a node, if there is one of its type.
pub(super) fn build(node: &Node) -> Option<TractResult<Wire>> {
    let Operator(_, inputs, build) = find(node.proto)?;
    Some(check_inputs(node, inputs).and_then(|()| build(node)))
}

/// What is wired takes its inputs for granted.
fn check_inputs(node: &Node, inputs: &RangeInclusive<usize>) -> TractResult<()> {
    let (min, max) = (*inputs.start(), *inputs.end());
    if let Some(place) = (0..min).find(|place| node.input(*place).is_none()) {
        bail!("it has no input {place}, and needs {min}");
    }
    let given = node.proto.input.iter().filter(|it| !it.is_empty()).count();
    ensure!(given <= max, "it has {given} inputs, and takes {max}");
    Ok(())
}

/// What is said of a node whose operator is not in [`OPERATORS`].
pub(crate) fn unknown(node: &NodeProto) -> GraphError {
    let NodeProto {
        domain, op_type, ..
    } = node;
    GraphError::Operator {
        op_type: if is_standard(domain) {
            op_type.clone()
        } else {
            format!("{domain}.{op_type}")
        },
        node: node_name(node).into(),
    }
}

fn find(node: &NodeProto) -> Option<&'static Operator> {
    let mut operators = OPERATORS.iter();
    operators.find(|it| is_standard(&node.domain) && it.0 == node.op_type)
}

/// An operator's type, how many inputs it has, and what reads its attributes.
struct Operator(
    &'static str,
    RangeInclusive<usize>,
    fn(&Node) -> TractResult<Wire>,
);

const OPERATORS: &[Operator] = &[
    Operator("Abs", 1..=1, |_| element_wise(math::abs())),
    Operator("Add", 2..=2, |_| binary(math::Add)),
    Operator("And", 2..=2, |_| binary(logic::And)),
    Operator("ArgMax", 1..=1, layout::arg_max),
    Operator("Cast", 1..=1, arithmetic::cast),
    Operator("Ceil", 1..=1, |_| element_wise(math::ceil())),
    Operator("Clip", 1..=3, arithmetic::clip),
    Operator("Concat", 1..=usize::MAX, layout::concat),
    Operator("Constant", 0..=0, constant),
    Operator("ConstantOfShape", 1..=1, layout::constant_of_shape),
    Operator("Conv", 2..=3, convolution::conv),
    Operator("Cos", 1..=1, |_| element_wise(math::cos())),
    Operator("CumSum", 2..=2, layout::cum_sum),
    Operator("DequantizeLinear", 2..=3, quantisation::dequantize_linear),
    Operator("Div", 2..=2, |_| binary(math::Div)),
    Operator("Dropout", 1..=3, layers::dropout),
    Operator("Einsum", 1..=usize::MAX, arithmetic::einsum),
    Operator("Equal", 2..=2, |_| binary(logic::CompEq)),
    Operator("Erf", 1..=1, |_| element_wise(math::erf())),
    Operator("Exp", 1..=1, |_| element_wise(math::exp())),
    Operator("Expand", 2..=2, layout::expand),
    Operator("Flatten", 1..=1, reshaping::flatten),
    Operator("Floor", 1..=1, |_| element_wise(math::floor())),
    Operator("Gather", 2..=2, layout::gather),
    Operator("GatherElements", 2..=2, layout::gather_elements),
    Operator("GatherND", 2..=2, layout::gather_nd),
    Operator("Gelu", 1..=1, layers::gelu),
    Operator("Gemm", 2..=3, arithmetic::gemm),
    Operator("Greater", 2..=2, |_| binary(logic::CompGT)),
    Operator("GreaterOrEqual", 2..=2, |_| binary(logic::CompGTE)),
    Operator("HardSigmoid", 1..=1, layers::hard_sigmoid),
    Operator("HardSwish", 1..=1, |_| element_wise(nn::hard_swish())),
    Operator("Identity", 1..=1, identity),
    Operator("IsNaN", 1..=1, |_| element_wise(math::is_nan())),
    Operator("LayerNormalization", 2..=3, layers::layer_normalization),
    Operator("LeakyRelu", 1..=1, layers::leaky_relu),
    Operator("Less", 2..=2, |_| binary(logic::CompLT)),
    Operator("LessOrEqual", 2..=2, |_| binary(logic::CompLTE)),
    Operator("Log", 1..=1, |_| element_wise(math::ln())),
    Operator("LogSoftmax", 1..=1, layers::log_softmax),
    Operator("MatMul", 2..=2, arithmetic::mat_mul),
    Operator("Max", 1..=usize::MAX, |_| arithmetic::n_ary(math::Max)),
    Operator("Mean", 1..=usize::MAX, arithmetic::mean),
    Operator("Min", 1..=usize::MAX, |_| arithmetic::n_ary(math::Min)),
    Operator("Mod", 2..=2, arithmetic::modulo),
    Operator("Mul", 2..=2, |_| binary(math::Mul)),
    Operator("Neg", 1..=1, |_| element_wise(math::neg())),
    Operator("Not", 1..=1, |_| element_wise(logic::not())),
    Operator("Or", 2..=2, |_| binary(logic::Or)),
    Operator("Pad", 2..=4, layout::pad),
    Operator("Pow", 2..=2, arithmetic::pow),
    Operator("QuantizeLinear", 3..=3, quantisation::quantize_linear),
    Operator("Range", 3..=3, layout::range),
    Operator("Reciprocal", 1..=1, |_| element_wise(math::recip())),
    Operator("ReduceL2", 1..=2, |node| {
        reshaping::reduce(node, Reduction::L2)
    }),
    Operator("ReduceMax", 1..=2, |node| {
        reshaping::reduce(node, Reduction::Max)
    }),
    Operator("ReduceMean", 1..=2, |node| {
        reshaping::reduce(node, Reduction::Mean)
    }),
    Operator("ReduceMin", 1..=2, |node| {
        reshaping::reduce(node, Reduction::Min)
    }),
    Operator("ReduceProd", 1..=2, |node| {
        reshaping::reduce(node, Reduction::Prod)
    }),
    Operator("ReduceSum", 1..=2, |node| {
        reshaping::reduce(node, Reduction::Sum)
    }),
    Operator("Relu", 1..=1, layers::relu),
    Operator("Reshape", 2..=2, reshaping::reshape),
    Operator("Round", 1..=1, |_| element_wise(math::round_half_to_even())),
    Operator("ScatterND", 3..=3, layout::scatter_nd),
    Operator("Shape", 1..=1, layout::shape),
    Operator("Sigmoid", 1..=1, |_| element_wise(nn::sigmoid())),
    Operator("Sign", 1..=1, |_| element_wise(math::sign())),
    Operator("Sin", 1..=1, |_| element_wise(math::sin())),
    Operator("Size", 1..=1, layout::size),
    Operator("Slice", 3..=5, slicing::slice),
    Operator("Softmax", 1..=1, layers::softmax),
    Operator("Softplus", 1..=1, layers::softplus),
    Operator("Split", 1..=2, layout::split),
    Operator("Sqrt", 1..=1, |_| element_wise(math::sqrt())),
    Operator("Squeeze", 1..=2, reshaping::squeeze),
    Operator("Sub", 2..=2, |_| binary(math::Sub)),
    Operator("Sum", 1..=usize::MAX, |_| arithmetic::n_ary(math::Add)),
    Operator("Swish", 1..=1, layers::swish),
    Operator("Tanh", 1..=1, |_| element_wise(math::tanh())),
    Operator("Tile", 2..=2, layout::tile),
    Operator("Transpose", 1..=1, layout::transpose),
    Operator("Trilu", 1..=2, layout::trilu),
    Operator("Unsqueeze", 1..=2, reshaping::unsqueeze),
    Operator("Where", 3..=3, arithmetic::select),
    Operator("Xor", 2..=2, |_| binary(logic::Xor)),
];

/// An operator on each value, of the type that it computes in.
fn element_wise(op: element_wise::ElementWiseOp) -> TractResult<Wire> {
    let element_wise::ElementWiseOp(op, _) = op;
    Ok(Box::new(move |name, model, inputs| {
        let datum_type = model.outlet_fact(inputs[0])?.datum_type;
        let inputs = wire_cast(name, model, inputs, op.operating_datum_type(datum_type))?;
        model.wire_node(name, element_wise::ElementWiseOp(op, None), &inputs)
    }))
}

/// An operator on two tensors that are broadcast, of the type that both have in common.
fn binary(op: impl BinMiniOp) -> TractResult<Wire> {
    Ok(Box::new(move |name, model, inputs| {
        let types = [inputs[0], inputs[1]].map(|it| model.outlet_fact(it).map(|it| it.datum_type));
        let [first, second] = types;
        let operating = op.operating_datum_type(first?, second?)?;
        let inputs = wire_rank_broadcast(name, model, inputs)?;
        let inputs = wire_cast(name, model, &inputs, operating)?;
        model.wire_node(name, TypedBinOp(Box::new(op), None), &inputs)
    }))
}

fn identity(_: &Node) -> TractResult<Wire> {
    Ok(Box::new(|_, _, inputs| Ok(inputs.into())))
}

fn constant(node: &Node) -> TractResult<Wire> {
    let value = if let Some(tensor) = node.attribute("value")? {
        tensor
    } else if let Some(value) = node.attribute::<i64>("value_int")? {
        tensor0(value)
    } else if let Some(value) = node.attribute::<f32>("value_float")? {
        tensor0(value)
    } else if let Some(values) = node.attribute::<Vec<i64>>("value_ints")? {
        tensor1(&values)
    } else if let Some(values) = node.attribute::<Vec<f32>>("value_floats")? {
        tensor1(&values)
    } else {
        bail!("a Constant that is neither a tensor nor numbers");
    };
    Ok(Box::new(|name, model, _| {
        Ok(tvec!(model.add_const(name, value)?))
    }))
}

fn axis(node: &Node, default: i64) -> TractResult<i64> {
    Ok(node.attribute("axis")?.unwrap_or(default))
}

/// What tensors are cast to that are computed with each other.
fn common_type(facts: &[&TypedFact]) -> TractResult<DatumType> {
    let types: Vec<DatumType> = facts.iter().map(|it| it.datum_type).collect();
    let common = DatumType::super_type_for(&types);
    common.with_context(|| format!("{types:?} have no common type"))
}

/// The place of an axis that may count from the end.
fn resolve_axis(axis: i64, rank: usize) -> TractResult<usize> {
    let signed_rank = i64::try_from(rank)?;
    let resolved = if axis < 0 { axis + signed_rank } else { axis };
    ensure!(
        (0..signed_rank).contains(&resolved),
        "axis {axis} of a tensor of rank {rank}"
    );
    Ok(usize::try_from(resolved)?)
}

fn integers(tensor: &Tensor) -> TractResult<Vec<i64>> {
    let tensor = tensor.cast_to::<i64>()?;
    let plain = tensor.try_as_plain_ram()?;
    Ok(plain.as_slice::<i64>()?.to_vec())
}

/// The integers that an input always has.
fn constant_integers(model: &TypedModel, outlet: OutletId) -> TractResult<Vec<i64>> {
    let constant = model.outlet_fact(outlet)?.konst.as_ref();
    integers(constant.context("axes and sizes have to be constants")?)
}

/// Adds a number as a constant of type `datum_type`.
fn add_scalar(
    model: &mut TypedModel,
    name: String,
    value: f32,
    datum_type: DatumType,
) -> TractResult<OutletId> {
    model.add_const(name, tensor0(value).cast_to_dt(datum_type)?.into_owned())
}
