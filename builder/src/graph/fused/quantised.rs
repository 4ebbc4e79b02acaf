//! Dynamic quantisation: weights in 8 bits, and activations that ONNX Runtime
//! rounds to 8 bits before each product.
//!
//! Here the weights stay in 8 bits in the file and activations are not rounded
//! at all, which is more exact and, without processor instructions for 8-bit
//! products, faster. A value that the graph calls quantised is the float itself
//! with scale 1 and zero point 0, so that what follows computes what it says.

use super::attention::from_one_product;
use super::layers::{self, Embedding};
use super::{Fused, Rewritten};
use crate::graph::blocks::all_positions;
use crate::graph::emit::{Emitter, int};
use encoderfile::onnx::{NodeProto, tensor_proto::DataType};

/// Zero points of one matrix: its width, a few thousand.
const CHANNELS_MAX: usize = 1 << 20;

/// `(x, scale, zero point)` of a float.
pub(super) fn dynamic_quantize_linear(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let output = node.result()?;
    emitter.node_to("Identity", &[node.required(0)?], vec![], output);
    emitter.unquantised.insert(output.into());
    if let Some(scale) = node.output(1) {
        emitter.float_named(1.0, scale);
    }
    if let Some(zero_point) = node.output(2) {
        emitter.tensor(DataType::Uint8, vec![], vec![0], zero_point);
    }
    Ok(())
}

/// Activations rounded with scales that somebody measured.
pub(super) fn quantize_linear(_: &Fused<'_>, _: &mut Emitter<'_>) -> Rewritten {
    Err("static quantisation is not supported; quantise dynamically, or take the float model and say --weights int8".into())
}

pub(super) fn dequantize_linear(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    if emitter.unquantised.contains(node.required(0)?) {
        let inputs = [node.required(0)?, node.required(1)?];
        emitter.node_to("Mul", &inputs, vec![], node.result()?);
    } else {
        emitter.keep(node.proto);
    }
    Ok(())
}

pub(super) fn mat_mul_integer(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let (a, b, result) = (node.required(0)?, node.required(1)?, node.result()?);
    let is_weight = emitter.unquantised.contains(a) && emitter.dims(b).is_some();
    if let Some(scaling) = Scaling::of(emitter, result).filter(|_| is_weight) {
        let weight = dequantised(emitter, b, scaling.scale, node.input(3), 1);
        emitter.node_to("MatMul", &[a, &weight], vec![], scaling.result);
        emitter.absorb(scaling.cast);
        emitter.absorb(scaling.product);
        return Ok(());
    }
    let (a, b) = integer_operands(node, emitter, 1)?;
    emitter.node_to("MatMul", &[&a, &b], vec![], result);
    Ok(())
}

/// What dequantises an integer product: a cast, and the product with both
/// scales. That of the weight can as well be in the weight.
struct Scaling<'a> {
    cast: &'a NodeProto,
    product: &'a NodeProto,
    scale: &'a str,
    result: &'a str,
}

impl<'a> Scaling<'a> {
    fn of(emitter: &Emitter<'a>, integers: &str) -> Option<Self> {
        let operator = |node: &&NodeProto, op_type: &str| node.op_type == op_type;
        let cast = emitter.only_consumer(integers);
        let cast = cast.filter(|node| operator(node, "Cast"))?;
        let floats = cast.output.first()?;
        let product = emitter.only_consumer(floats);
        let product = product.filter(|node| operator(node, "Mul"))?;
        let scales = product.input.iter().find(|name| *name != floats)?;
        let scales = emitter.producer(scales);
        let scales = &scales.filter(|node| operator(node, "Mul"))?.input;
        let is_dynamic = |name: &&String| {
            let producer = emitter.producer(name);
            producer.is_some_and(|node| node.op_type == "DynamicQuantizeLinear")
        };
        scales.iter().find(is_dynamic)?;
        let scale = scales
            .iter()
            .find(|name| emitter.dims(name).is_some() && !is_dynamic(name))?;
        Some(Self {
            cast,
            product,
            scale,
            result: product.output.first()?,
        })
    }
}

pub(super) fn conv_integer(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let (x, w) = integer_operands(node, emitter, 0)?;
    let attributes = node.proto.attribute.clone();
    emitter.node_to("Conv", &[&x, &w], attributes, node.result()?);
    Ok(())
}

/// Both operands less their zero points; `axis` is that of the second's.
fn integer_operands(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    axis: i64,
) -> Result<(String, String), String> {
    let a = less_zero_point(emitter, node.required(0)?, node.input(2), 0)?;
    let b = less_zero_point(emitter, node.required(1)?, node.input(3), axis)?;
    Ok((a, b))
}

fn less_zero_point(
    emitter: &mut Emitter<'_>,
    value: &str,
    zero_point: Option<&str>,
    axis: i64,
) -> Result<String, String> {
    if emitter.unquantised.contains(value) {
        return Ok(value.into());
    }
    // One scale for each zero point.
    let dims = match zero_point {
        None => vec![],
        Some(name) => {
            let dims = emitter.dims(name).map(<[i64]>::to_vec);
            dims.ok_or_else(|| format!("the zero point `{name}` is not constant"))?
        }
    };
    let count = dims
        .iter()
        .try_fold(1_i64, |product, dim| product.checked_mul(*dim));
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count <= CHANNELS_MAX);
    let count = count.ok_or_else(|| format!("zero points of shape {dims:?}"))?;
    let ones = vec![1.0; count];
    let scale = format!("{value}/one");
    if emitter.dims(&scale).is_none() {
        emitter.floats_named(&ones, dims, &scale);
    }
    Ok(dequantised(emitter, value, &scale, zero_point, axis))
}

fn dequantised(
    emitter: &mut Emitter<'_>,
    value: &str,
    scale: &str,
    zero_point: Option<&str>,
    axis: i64,
) -> String {
    let mut inputs = vec![value, scale];
    inputs.extend(zero_point);
    emitter.node_with("DequantizeLinear", &inputs, vec![int("axis", axis)])
}

/// A product of floats with a quantised matrix.
pub(super) fn dynamic_quantize_mat_mul(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let (matrix, scale) = (node.required(1)?, node.required(2)?);
    let weight = dequantised(emitter, matrix, scale, node.input(3), 1);
    product(node, emitter, node.required(0)?, &weight, node.input(4))
}

pub(super) fn mat_mul_integer_to_float(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let x = unquantised(emitter, node.required(0)?)?;
    let (matrix, scale) = (node.required(1)?, node.required(3)?);
    let weight = dequantised(emitter, matrix, scale, node.input(5), 1);
    product(node, emitter, x, &weight, node.input(6))
}

fn product(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    x: &str,
    weight: &str,
    bias: Option<&str>,
) -> Rewritten {
    let result = node.result()?;
    let Some(bias) = bias else {
        emitter.node_to("MatMul", &[x, weight], vec![], result);
        return Ok(());
    };
    let product = emitter.node("MatMul", &[x, weight]);
    emitter.node_to("Add", &[&product, bias], vec![], result);
    Ok(())
}

pub(super) fn attention(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    node.without_inputs(&[(8, "a past state")])?;
    let x = unquantised(emitter, node.required(0)?)?;
    let (matrix, scale) = (node.required(1)?, node.required(4)?);
    let weight = dequantised(emitter, matrix, scale, node.input(7), 1);
    from_one_product(node, emitter, (x, &weight), node.input(5), None)
}

/// Only values that were quantised in the graph are floats here.
fn unquantised<'v>(emitter: &Emitter<'_>, value: &'v str) -> Result<&'v str, String> {
    if emitter.unquantised.contains(value) {
        return Ok(value);
    }
    Err(format!(
        "its input `{value}` is quantised statically, which is not supported"
    ))
}

/// Embedding tables in 8 bits, whose rows are dequantised after they are gathered.
pub(super) fn embed_layer_normalization(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let ids = node.required(0)?;
    let positions = all_positions(emitter, ids);
    // Tables are inputs 2 to 6, their scales 8 to 12, their zero points 13 to 17.
    let mut rows = |table: usize, ids: &str| -> Result<String, String> {
        let rows = emitter.node("Gather", &[node.required(table)?, ids]);
        let scale = node.required(table + 6)?;
        Ok(dequantised(
            emitter,
            &rows,
            scale,
            node.input(table + 11),
            0,
        ))
    };
    let words = rows(2, ids)?;
    let positions = rows(3, &positions)?;
    let segments = match node.input(1) {
        Some(ids) => Some(rows(4, ids)?),
        None => None,
    };
    let [scale, bias] = [5, 6].map(|place| {
        let scale = node.required(place + 6)?;
        let zero_point = node.input(place + 11);
        Ok::<_, String>(dequantised(
            emitter,
            node.required(place)?,
            scale,
            zero_point,
            0,
        ))
    });
    let (scale, bias) = (scale?, bias?);
    let embedding = Embedding {
        words,
        positions,
        segments,
        scale: &scale,
        bias: &bias,
    };
    layers::embed(node, emitter, &embedding, node.input(7))
}
