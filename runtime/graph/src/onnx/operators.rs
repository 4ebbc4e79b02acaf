//! The ONNX operators that encoders are made of, opsets 11 to 23.
//!
//! What tract-onnx registers is linked, and so is what tract-nnef below it
//! does: Fourier transforms, recurrent nets, tree ensembles. They were a third of
//! the wasm module, all of which is compiled before the first text. Hence a
//! register of our own, over the operators of tract-hir; a test compares them
//! with tract-onnx's. Control flow is not in it: the builder resolves `If` first.

mod arithmetic;
mod layers;
mod layout;
mod quantisation;
mod reshaping;
mod wired;

use super::node::{Node, is_standard, node_name};
use crate::GraphError;
use encoderfile_proto::onnx::NodeProto;
use tract_hir::internal::*;
use tract_hir::ops::binary::Nary;
use tract_hir::ops::identity::Identity;
use tract_hir::ops::konst::Const;
use tract_hir::ops::nn::{self, Reducer};
use tract_hir::ops::{activations, array, logic, math, matmul};
use tract_hir::tract_core::ops::nn::silu::silu;
use wired::broadcasting;

/// Whether the operator of a node is in [`OPERATORS`].
pub(crate) fn is_known(node: &NodeProto) -> bool {
    find(node).is_some()
}

/// The operator of a node, if there is one of its type.
pub(super) fn build(node: &Node) -> Option<TractResult<Box<dyn InferenceOp>>> {
    let Operator(_, inputs, build) = find(node.proto)?;
    // The rules of tract's operators take the inputs for granted.
    let missing = (0..*inputs).find(|place| node.input(*place).is_none());
    Some(match missing {
        Some(place) => Err(format_err!("it has no input {place}, and needs {inputs}")),
        None => build(node),
    })
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

/// An operator's type, how many inputs it has at least, and what builds it from a node.
struct Operator(
    &'static str,
    usize,
    fn(&Node) -> TractResult<Box<dyn InferenceOp>>,
);

const OPERATORS: &[Operator] = &[
    Operator("Abs", 1, |_| Ok(math::abs().into_hir())),
    Operator("Add", 2, |_| Ok(math::Add.into_hir())),
    Operator("And", 2, |_| Ok(logic::And.into_hir())),
    Operator("ArgMax", 1, layout::arg_max),
    Operator("Cast", 1, arithmetic::cast),
    Operator("Ceil", 1, |_| Ok(math::ceil().into_hir())),
    Operator("Clip", 1, |node| Ok(arithmetic::clip(node))),
    Operator("Concat", 1, |node| {
        Ok(expand(array::Concat::new(node.required("axis")?)))
    }),
    Operator("Constant", 0, constant),
    Operator("ConstantOfShape", 1, constant_of_shape),
    Operator("Conv", 2, layers::conv),
    Operator("Cos", 1, |_| Ok(math::cos().into_hir())),
    Operator("CumSum", 2, layout::cum_sum),
    Operator("DequantizeLinear", 2, quantisation::dequantize_linear),
    Operator("Div", 2, |_| Ok(math::Div.into_hir())),
    Operator("Dropout", 1, layers::dropout),
    Operator("Einsum", 1, arithmetic::einsum),
    Operator("Equal", 2, |_| Ok(logic::CompEq.into_hir())),
    Operator("Erf", 1, |_| Ok(math::erf().into_hir())),
    Operator("Exp", 1, |_| Ok(math::exp().into_hir())),
    Operator("Expand", 2, |_| Ok(expand(array::MultiBroadcastTo))),
    Operator("Flatten", 1, |node| {
        Ok(expand(array::Flatten::new(axis(node, 1)?)))
    }),
    Operator("Floor", 1, |_| Ok(math::floor().into_hir())),
    Operator("Gather", 2, |node| {
        Ok(expand(array::Gather::new(axis(node, 0)?)))
    }),
    Operator("GatherElements", 2, |node| {
        Ok(layout::gather_elements(axis(node, 0)?))
    }),
    Operator("GatherND", 2, |node| {
        let batch_dims = node.attribute("batch_dims")?.unwrap_or(0);
        Ok(Box::new(array::GatherNd::new(batch_dims)))
    }),
    Operator("Gelu", 1, layers::gelu),
    Operator("Gemm", 2, arithmetic::gemm),
    Operator("Greater", 2, |_| Ok(logic::CompGT.into_hir())),
    Operator("GreaterOrEqual", 2, |_| Ok(logic::CompGTE.into_hir())),
    Operator("HardSigmoid", 1, |node| {
        let alpha = node.attribute("alpha")?.unwrap_or(0.2);
        let beta = node.attribute("beta")?.unwrap_or(0.5);
        Ok(expand(activations::HardSigmoid(alpha, beta)))
    }),
    Operator("HardSwish", 1, |_| Ok(nn::hard_swish().into_hir())),
    Operator("Identity", 1, |_| Ok(Box::new(Identity))),
    Operator("IsNaN", 1, |_| Ok(math::is_nan().into_hir())),
    Operator("LayerNormalization", 2, layers::layer_normalization),
    Operator("LeakyRelu", 1, |node| {
        let alpha = node.attribute("alpha")?.unwrap_or(0.01);
        Ok(expand(activations::LeakyRelu(alpha)))
    }),
    Operator("Less", 2, |_| Ok(logic::CompLT.into_hir())),
    Operator("LessOrEqual", 2, |_| Ok(logic::CompLTE.into_hir())),
    Operator("Log", 1, |_| Ok(math::ln().into_hir())),
    Operator("LogSoftmax", 1, layers::log_softmax),
    Operator("MatMul", 2, |_| {
        Ok(expand(matmul::MatMulInference::default()))
    }),
    Operator("Max", 1, |_| Ok(Box::new(Nary(Box::new(math::Max), false)))),
    Operator("Mean", 1, |_| Ok(Box::new(Nary(Box::new(math::Add), true)))),
    Operator("Min", 1, |_| Ok(Box::new(Nary(Box::new(math::Min), false)))),
    Operator("Mod", 2, arithmetic::modulo),
    Operator("Mul", 2, |_| Ok(math::Mul.into_hir())),
    Operator("Neg", 1, |_| Ok(math::neg().into_hir())),
    Operator("Not", 1, |_| Ok(logic::not().into_hir())),
    Operator("Or", 2, |_| Ok(logic::Or.into_hir())),
    Operator("Pad", 2, layout::pad),
    Operator("Pow", 2, |_| {
        Ok(broadcasting("Pow", |base, _| Ok(base), arithmetic::pow))
    }),
    Operator("QuantizeLinear", 3, quantisation::quantize_linear),
    Operator("Range", 3, |_| Ok(expand(layout::Range))),
    Operator("Reciprocal", 1, |_| Ok(math::recip().into_hir())),
    Operator("ReduceL2", 1, |node| reshaping::reduce(node, Reducer::L2)),
    Operator("ReduceMax", 1, |node| reshaping::reduce(node, Reducer::Max)),
    Operator("ReduceMean", 1, |node| {
        reshaping::reduce(node, Reducer::Mean)
    }),
    Operator("ReduceMin", 1, |node| reshaping::reduce(node, Reducer::Min)),
    Operator("ReduceProd", 1, |node| {
        reshaping::reduce(node, Reducer::Prod)
    }),
    Operator("ReduceSum", 1, |node| reshaping::reduce(node, Reducer::Sum)),
    Operator("Relu", 1, |_| {
        Ok(expand(activations::Clip::new(Some(0.0), None)))
    }),
    Operator("Reshape", 2, |node| {
        let allowzero = node.attribute("allowzero")?.unwrap_or(false);
        Ok(expand(array::Reshape::new(allowzero)))
    }),
    Operator("Round", 1, |_| Ok(math::round_half_to_even().into_hir())),
    Operator("ScatterND", 3, |node| {
        let reduction = node.attribute("reduction")?.unwrap_or("none");
        let reduction = array::ScatterReduction::parse(reduction)?;
        Ok(expand(array::ScatterNd::new(reduction)))
    }),
    Operator("Shape", 1, layout::shape),
    Operator("Sigmoid", 1, |_| Ok(nn::sigmoid().into_hir())),
    Operator("Sign", 1, |_| Ok(math::sign().into_hir())),
    Operator("Sin", 1, |_| Ok(math::sin().into_hir())),
    Operator("Size", 1, |_| Ok(expand(array::Size::new(DatumType::TDim)))),
    Operator("Slice", 3, |node| Ok(layout::slice(node))),
    Operator("Softmax", 1, layers::softmax),
    Operator("Softplus", 1, |_| Ok(expand(activations::Softplus))),
    Operator("Split", 1, layout::split),
    Operator("Sqrt", 1, |_| Ok(math::sqrt().into_hir())),
    Operator("Squeeze", 1, reshaping::squeeze),
    Operator("Sub", 2, |_| Ok(math::Sub.into_hir())),
    Operator("Sum", 1, |_| Ok(Box::new(Nary(Box::new(math::Add), false)))),
    Operator("Swish", 1, |node| {
        let alpha = node.attribute("alpha")?.unwrap_or(1f32);
        ensure!(alpha == 1.0, "Swish with alpha {alpha}");
        Ok(silu().into_hir())
    }),
    Operator("Tanh", 1, |_| Ok(math::tanh().into_hir())),
    Operator("Tile", 2, |_| Ok(expand(array::Tile))),
    Operator("Transpose", 1, layout::transpose),
    Operator("Trilu", 1, layout::trilu),
    Operator("Unsqueeze", 1, reshaping::unsqueeze),
    Operator("Where", 3, |_| Ok(expand(logic::Iff))),
    Operator("Xor", 2, |_| Ok(logic::Xor.into_hir())),
];

fn constant(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
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
    Ok(Box::new(Const::new(value.into_arc_tensor())?))
}

fn constant_of_shape(node: &Node) -> TractResult<Box<dyn InferenceOp>> {
    let value = match node.attribute("value")? {
        Some(tensor) => tensor,
        None => tensor0(0f32),
    };
    ensure!(value.len() == 1, "a ConstantOfShape of {value:?}");
    let value = value.into_shape(&[])?.into_arc_tensor();
    Ok(expand(array::ConstantOfShape::new(value)))
}

fn axis(node: &Node, default: i64) -> TractResult<i64> {
    Ok(node.attribute("axis")?.unwrap_or(default))
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
