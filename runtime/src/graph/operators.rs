//! The ONNX operators that encoders are made of, opsets 11 to 21.
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

use super::GraphError;
use super::node::Node;
use super::reader::{is_standard, node_name};
use crate::onnx::NodeProto;
use tract_hir::internal::*;
use tract_hir::ops::binary::Nary;
use tract_hir::ops::identity::Identity;
use tract_hir::ops::konst::Const;
use tract_hir::ops::nn::{self, Reducer};
use tract_hir::ops::{activations, array, logic, math, matmul};
use tract_hir::tract_core::ops::nn::silu::silu;
use wired::broadcasting;

/// Whether the operator of a node is in [`OPERATORS`].
pub(super) fn is_known(node: &NodeProto) -> bool {
    find(node).is_some()
}

/// The operator of a node, if there is one of its type.
pub(super) fn build(node: &Node) -> Option<TractResult<Box<dyn InferenceOp>>> {
    find(node.proto).map(|Operator(_, build)| build(node))
}

/// What is said of a node whose operator is not in [`OPERATORS`].
pub(super) fn unknown(node: &NodeProto) -> GraphError {
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

/// An operator's type and what builds it from a node.
struct Operator(&'static str, fn(&Node) -> TractResult<Box<dyn InferenceOp>>);

const OPERATORS: &[Operator] = &[
    Operator("Abs", |_| Ok(math::abs().into_hir())),
    Operator("Add", |_| Ok(math::Add.into_hir())),
    Operator("And", |_| Ok(logic::And.into_hir())),
    Operator("Cast", arithmetic::cast),
    Operator("Ceil", |_| Ok(math::ceil().into_hir())),
    Operator("Clip", |node| Ok(arithmetic::clip(node))),
    Operator("Concat", |node| {
        Ok(expand(array::Concat::new(node.required("axis")?)))
    }),
    Operator("Constant", constant),
    Operator("ConstantOfShape", constant_of_shape),
    Operator("Conv", layers::conv),
    Operator("Cos", |_| Ok(math::cos().into_hir())),
    Operator("CumSum", layout::cum_sum),
    Operator("DequantizeLinear", quantisation::dequantize_linear),
    Operator("Div", |_| Ok(math::Div.into_hir())),
    Operator("Dropout", layers::dropout),
    Operator("Einsum", arithmetic::einsum),
    Operator("Equal", |_| Ok(logic::CompEq.into_hir())),
    Operator("Erf", |_| Ok(math::erf().into_hir())),
    Operator("Exp", |_| Ok(math::exp().into_hir())),
    Operator("Expand", |_| Ok(expand(array::MultiBroadcastTo))),
    Operator("Flatten", |node| {
        Ok(expand(array::Flatten::new(axis(node, 1)?)))
    }),
    Operator("Floor", |_| Ok(math::floor().into_hir())),
    Operator("Gather", |node| {
        Ok(expand(array::Gather::new(axis(node, 0)?)))
    }),
    Operator("GatherElements", |node| {
        Ok(layout::gather_elements(axis(node, 0)?))
    }),
    Operator("GatherND", |node| {
        let batch_dims = node.attribute("batch_dims")?.unwrap_or(0);
        Ok(Box::new(array::GatherNd::new(batch_dims)))
    }),
    Operator("Gelu", layers::gelu),
    Operator("Gemm", arithmetic::gemm),
    Operator("Greater", |_| Ok(logic::CompGT.into_hir())),
    Operator("GreaterOrEqual", |_| Ok(logic::CompGTE.into_hir())),
    Operator("HardSigmoid", |node| {
        let alpha = node.attribute("alpha")?.unwrap_or(0.2);
        let beta = node.attribute("beta")?.unwrap_or(0.5);
        Ok(expand(activations::HardSigmoid(alpha, beta)))
    }),
    Operator("HardSwish", |_| Ok(nn::hard_swish().into_hir())),
    Operator("Identity", |_| Ok(Box::new(Identity))),
    Operator("IsNaN", |_| Ok(math::is_nan().into_hir())),
    Operator("LayerNormalization", layers::layer_normalization),
    Operator("LeakyRelu", |node| {
        let alpha = node.attribute("alpha")?.unwrap_or(0.01);
        Ok(expand(activations::LeakyRelu(alpha)))
    }),
    Operator("Less", |_| Ok(logic::CompLT.into_hir())),
    Operator("LessOrEqual", |_| Ok(logic::CompLTE.into_hir())),
    Operator("Log", |_| Ok(math::ln().into_hir())),
    Operator("LogSoftmax", layers::log_softmax),
    Operator("MatMul", |_| Ok(expand(matmul::MatMulInference::default()))),
    Operator("Max", |_| Ok(Box::new(Nary(Box::new(math::Max), false)))),
    Operator("Mean", |_| Ok(Box::new(Nary(Box::new(math::Add), true)))),
    Operator("Min", |_| Ok(Box::new(Nary(Box::new(math::Min), false)))),
    Operator("Mod", arithmetic::modulo),
    Operator("Mul", |_| Ok(math::Mul.into_hir())),
    Operator("Neg", |_| Ok(math::neg().into_hir())),
    Operator("Not", |_| Ok(logic::not().into_hir())),
    Operator("Or", |_| Ok(logic::Or.into_hir())),
    Operator("Pad", layout::pad),
    Operator("Pow", |_| {
        Ok(broadcasting("Pow", |base, _| Ok(base), arithmetic::pow))
    }),
    Operator("Range", |_| Ok(expand(array::Range))),
    Operator("Reciprocal", |_| Ok(math::recip().into_hir())),
    Operator("ReduceL2", |node| reshaping::reduce(node, Reducer::L2)),
    Operator("ReduceMax", |node| reshaping::reduce(node, Reducer::Max)),
    Operator("ReduceMean", |node| reshaping::reduce(node, Reducer::Mean)),
    Operator("ReduceMin", |node| reshaping::reduce(node, Reducer::Min)),
    Operator("ReduceProd", |node| reshaping::reduce(node, Reducer::Prod)),
    Operator("ReduceSum", |node| reshaping::reduce(node, Reducer::Sum)),
    Operator("Relu", |_| {
        Ok(expand(activations::Clip::new(Some(0.0), None)))
    }),
    Operator("Reshape", |node| {
        let allowzero = node.attribute("allowzero")?.unwrap_or(false);
        Ok(expand(array::Reshape::new(allowzero)))
    }),
    Operator("Round", |_| Ok(math::round_half_to_even().into_hir())),
    Operator("ScatterND", |node| {
        let reduction = node.attribute("reduction")?.unwrap_or("none");
        let reduction = array::ScatterReduction::parse(reduction)?;
        Ok(expand(array::ScatterNd::new(reduction)))
    }),
    Operator("Shape", layout::shape),
    Operator("Sigmoid", |_| Ok(nn::sigmoid().into_hir())),
    Operator("Sign", |_| Ok(math::sign().into_hir())),
    Operator("Sin", |_| Ok(math::sin().into_hir())),
    Operator("Size", |_| Ok(expand(array::Size::new(DatumType::TDim)))),
    Operator("Slice", |node| Ok(layout::slice(node))),
    Operator("Softmax", layers::softmax),
    Operator("Softplus", |_| Ok(expand(activations::Softplus))),
    Operator("Split", layout::split),
    Operator("Sqrt", |_| Ok(math::sqrt().into_hir())),
    Operator("Squeeze", reshaping::squeeze),
    Operator("Sub", |_| Ok(math::Sub.into_hir())),
    Operator("Sum", |_| Ok(Box::new(Nary(Box::new(math::Add), false)))),
    Operator("Swish", |node| {
        let alpha = node.attribute("alpha")?.unwrap_or(1f32);
        ensure!(alpha == 1.0, "Swish with alpha {alpha}");
        Ok(silu().into_hir())
    }),
    Operator("Tanh", |_| Ok(math::tanh().into_hir())),
    Operator("Tile", |_| Ok(expand(array::Tile))),
    Operator("Transpose", |node| {
        let order = node.attribute("perm")?;
        Ok(expand(array::PermuteAxes::new(order)))
    }),
    Operator("Trilu", layout::trilu),
    Operator("Unsqueeze", reshaping::unsqueeze),
    Operator("Where", |_| Ok(expand(logic::Iff))),
    Operator("Xor", |_| Ok(logic::Xor.into_hir())),
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
