//! The ONNX operators that encoders are made of, opsets 11 to 21.
//!
//! `tract_onnx::onnx()` registers all of ONNX, and what is registered is
//! linked: Fourier transforms, recurrent nets, tree ensembles. They were a third of
//! the wasm module, all of which is compiled before the first text. Hence a
//! register of our own, over the operators of tract-hir. Control flow is not
//! in it: the builder resolves `If` first.

mod arithmetic;
mod layers;
mod layout;
mod reshaping;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::Nary;
use tract_onnx::tract_hir::ops::identity::Identity;
use tract_onnx::tract_hir::ops::konst::Const;
use tract_onnx::tract_hir::ops::nn::{self, Reducer};
use tract_onnx::tract_hir::ops::{activations, array, logic, math, matmul};
use tract_onnx::tract_hir::tract_core::ops::nn::silu::silu;

/// A parser of ONNX graphs that knows [`OPERATORS`].
pub(super) fn framework() -> Onnx {
    let mut framework = Onnx::default();
    for operator in OPERATORS {
        framework.op_register.insert(operator.0, build);
    }
    framework
}

/// Whether `op_type`, an operator of the default domain, is in [`OPERATORS`].
pub(super) fn is_known(op_type: &str) -> bool {
    OPERATORS.iter().any(|operator| operator.0 == op_type)
}

fn build(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let operator = OPERATORS.iter().find(|it| it.0 == node.op_type);
    let Operator(_, build) = operator.with_context(|| format!("no operator {}", node.op_type))?;
    Ok((build(context, node)?, vec![]))
}

/// An operator's type and what builds it from a node.
struct Operator(
    &'static str,
    fn(&ParsingContext, &NodeProto) -> TractResult<Box<dyn InferenceOp>>,
);

const OPERATORS: &[Operator] = &[
    Operator("Abs", |_, _| Ok(math::abs().into_hir())),
    Operator("Add", |_, _| Ok(math::Add.into_hir())),
    Operator("And", |_, _| Ok(logic::And.into_hir())),
    Operator("Cast", |_, node| arithmetic::cast(node)),
    Operator("Ceil", |_, _| Ok(math::ceil().into_hir())),
    Operator("Clip", |_, node| Ok(arithmetic::clip(node))),
    Operator("Concat", |_, node| {
        Ok(expand(array::Concat::new(node.get_attr("axis")?)))
    }),
    Operator("Constant", constant),
    Operator("ConstantOfShape", constant_of_shape),
    Operator("Conv", |_, node| layers::conv(node)),
    Operator("Cos", |_, _| Ok(math::cos().into_hir())),
    Operator("CumSum", |_, node| layout::cum_sum(node)),
    Operator("Div", |_, _| Ok(math::Div.into_hir())),
    Operator("Dropout", |_, node| layers::dropout(node)),
    Operator("Einsum", |_, node| arithmetic::einsum(node)),
    Operator("Equal", |_, _| Ok(logic::CompEq.into_hir())),
    Operator("Erf", |_, _| Ok(math::erf().into_hir())),
    Operator("Exp", |_, _| Ok(math::exp().into_hir())),
    Operator("Expand", |_, _| Ok(expand(array::MultiBroadcastTo))),
    Operator("Flatten", |_, node| {
        Ok(expand(array::Flatten::new(axis(node, 1)?)))
    }),
    Operator("Floor", |_, _| Ok(math::floor().into_hir())),
    Operator("Gather", |_, node| {
        Ok(expand(array::Gather::new(axis(node, 0)?)))
    }),
    Operator("GatherElements", |_, node| {
        Ok(layout::gather_elements(axis(node, 0)?))
    }),
    Operator("GatherND", |_, node| {
        let batch_dims = node.get_attr_opt("batch_dims")?.unwrap_or(0);
        Ok(Box::new(array::GatherNd::new(batch_dims)))
    }),
    Operator("Gelu", |_, node| layers::gelu(node)),
    Operator("Gemm", |_, node| arithmetic::gemm(node)),
    Operator("Greater", |_, _| Ok(logic::CompGT.into_hir())),
    Operator("GreaterOrEqual", |_, _| Ok(logic::CompGTE.into_hir())),
    Operator("HardSigmoid", |_, node| {
        let alpha = node.get_attr_opt("alpha")?.unwrap_or(0.2);
        let beta = node.get_attr_opt("beta")?.unwrap_or(0.5);
        Ok(expand(activations::HardSigmoid(alpha, beta)))
    }),
    Operator("HardSwish", |_, _| Ok(nn::hard_swish().into_hir())),
    Operator("Identity", |_, _| Ok(Box::new(Identity))),
    Operator("IsNaN", |_, _| Ok(math::is_nan().into_hir())),
    Operator("LayerNormalization", |_, node| {
        layers::layer_normalization(node)
    }),
    Operator("LeakyRelu", |_, node| {
        let alpha = node.get_attr_opt("alpha")?.unwrap_or(0.01);
        Ok(expand(activations::LeakyRelu(alpha)))
    }),
    Operator("Less", |_, _| Ok(logic::CompLT.into_hir())),
    Operator("LessOrEqual", |_, _| Ok(logic::CompLTE.into_hir())),
    Operator("Log", |_, _| Ok(math::ln().into_hir())),
    Operator("LogSoftmax", layers::log_softmax),
    Operator("MatMul", |_, _| {
        Ok(expand(matmul::MatMulInference::default()))
    }),
    Operator("Max", |_, _| Ok(Box::new(Nary(Box::new(math::Max), false)))),
    Operator("Mean", |_, _| Ok(Box::new(Nary(Box::new(math::Add), true)))),
    Operator("Min", |_, _| Ok(Box::new(Nary(Box::new(math::Min), false)))),
    Operator("Mod", |_, node| arithmetic::modulo(node)),
    Operator("Mul", |_, _| Ok(math::Mul.into_hir())),
    Operator("Neg", |_, _| Ok(math::neg().into_hir())),
    Operator("Not", |_, _| Ok(logic::not().into_hir())),
    Operator("Or", |_, _| Ok(logic::Or.into_hir())),
    Operator("Pad", |_, node| layout::pad(node)),
    Operator("Pow", |_, _| Ok(arithmetic::pow())),
    Operator("Range", |_, _| Ok(expand(array::Range))),
    Operator("Reciprocal", |_, _| Ok(math::recip().into_hir())),
    Operator("ReduceL2", |context, node| {
        reshaping::reduce(context, node, Reducer::L2)
    }),
    Operator("ReduceMax", |context, node| {
        reshaping::reduce(context, node, Reducer::Max)
    }),
    Operator("ReduceMean", |context, node| {
        reshaping::reduce(context, node, Reducer::Mean)
    }),
    Operator("ReduceMin", |context, node| {
        reshaping::reduce(context, node, Reducer::Min)
    }),
    Operator("ReduceProd", |context, node| {
        reshaping::reduce(context, node, Reducer::Prod)
    }),
    Operator("ReduceSum", |context, node| {
        reshaping::reduce(context, node, Reducer::Sum)
    }),
    Operator("Relu", |_, _| {
        Ok(expand(activations::Clip::new(Some(0.0), None)))
    }),
    Operator("Reshape", |_, node| {
        let allowzero = node.get_attr_opt("allowzero")?.unwrap_or(false);
        Ok(expand(array::Reshape::new(allowzero)))
    }),
    Operator("Round", |_, _| Ok(math::round_half_to_even().into_hir())),
    Operator("ScatterND", |_, node| {
        let reduction = node.get_attr_opt("reduction")?.unwrap_or("none");
        let reduction = array::ScatterReduction::parse(reduction)?;
        Ok(expand(array::ScatterNd::new(reduction)))
    }),
    Operator("Shape", |_, node| layout::shape(node)),
    Operator("Sigmoid", |_, _| Ok(nn::sigmoid().into_hir())),
    Operator("Sign", |_, _| Ok(math::sign().into_hir())),
    Operator("Sin", |_, _| Ok(math::sin().into_hir())),
    Operator("Size", |_, _| Ok(expand(array::Size::new(DatumType::TDim)))),
    Operator("Slice", |_, node| Ok(layout::slice(node))),
    Operator("Softmax", layers::softmax),
    Operator("Softplus", |_, _| Ok(expand(activations::Softplus))),
    Operator("Split", layout::split),
    Operator("Sqrt", |_, _| Ok(math::sqrt().into_hir())),
    Operator("Squeeze", reshaping::squeeze),
    Operator("Sub", |_, _| Ok(math::Sub.into_hir())),
    Operator("Sum", |_, _| Ok(Box::new(Nary(Box::new(math::Add), false)))),
    Operator("Swish", |_, node| {
        let alpha = node.get_attr_opt("alpha")?.unwrap_or(1f32);
        ensure!(alpha == 1.0, "Swish with alpha {alpha}");
        Ok(silu().into_hir())
    }),
    Operator("Tanh", |_, _| Ok(math::tanh().into_hir())),
    Operator("Tile", |_, _| Ok(expand(array::Tile))),
    Operator("Transpose", |_, node| {
        let order = node.get_attr_opt_tvec("perm")?;
        Ok(expand(array::PermuteAxes::new(order)))
    }),
    Operator("Trilu", |_, node| layout::trilu(node)),
    Operator("Unsqueeze", reshaping::unsqueeze),
    Operator("Where", |_, _| Ok(expand(logic::Iff))),
    Operator("Xor", |_, _| Ok(logic::Xor.into_hir())),
];

fn constant(context: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let value = if let Some(tensor) = node.get_attr_opt("value")? {
        context.load_tensor(tensor)?
    } else if let Some(value) = node.get_attr_opt::<i64>("value_int")? {
        tensor0(value)
    } else if let Some(value) = node.get_attr_opt::<f32>("value_float")? {
        tensor0(value)
    } else if let Some(values) = node.get_attr_opt_slice::<i64>("value_ints")? {
        tensor1(values)
    } else if let Some(values) = node.get_attr_opt_slice::<f32>("value_floats")? {
        tensor1(values)
    } else {
        bail!("a Constant that is neither a tensor nor numbers");
    };
    Ok(Box::new(Const::new(value.into_arc_tensor())?))
}

fn constant_of_shape(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<Box<dyn InferenceOp>> {
    let value = match node.get_attr_opt("value")? {
        Some(tensor) => context.load_tensor(tensor)?,
        None => tensor0(0f32),
    };
    ensure!(value.len() == 1, "a ConstantOfShape of {value:?}");
    let value = value.into_shape(&[])?.into_arc_tensor();
    Ok(expand(array::ConstantOfShape::new(value)))
}

fn axis(node: &NodeProto, default: i64) -> TractResult<i64> {
    Ok(node.get_attr_opt("axis")?.unwrap_or(default))
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

/// The first output is of the first input's type and shape.
fn same_as_input<'r, 'p: 'r>(
    solver: &mut Solver<'r>,
    inputs: &'p [TensorProxy],
    outputs: &'p [TensorProxy],
) -> InferenceResult {
    solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
    solver.equals(&inputs[0].shape, &outputs[0].shape)
}
