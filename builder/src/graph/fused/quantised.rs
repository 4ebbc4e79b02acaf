//! Dynamic quantisation: weights in 8 bits, and activations that ONNX Runtime
//! rounds to 8 bits before each product.
//!
//! Here the weights stay in 8 bits in the file and activations are not rounded
//! at all, which is more exact and, without processor instructions for 8-bit
//! products, faster. A value that the graph calls quantised is the float itself
//! with scale 1 and zero point 0, so that what follows computes what it says.

use super::attention::from_one_product;
use super::layers::{self, Embedding};
use super::linear_quantisation::Steps;
use super::{Fused, Rewritten};
use crate::graph::blocks::all_positions;
use crate::graph::emit::Emitter;
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
        emitter.tensor(DataType::Uint8, vec![], vec![0_u8], zero_point);
    }
    Ok(())
}

pub(super) fn mat_mul_integer(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let (a, b, result) = (node.required(0)?, node.required(1)?, node.result()?);
    let is_weight = emitter.unquantised.contains(a) && emitter.dims(b).is_some();
    if let Some(scaling) = Scaling::of(emitter, result).filter(|_| is_weight) {
        let steps = Steps {
            operator: &node.proto.op_type,
            scale: scaling.scale,
            zero_point: node.input(3),
            axis: 1,
        };
        let weight = steps.dequantise(emitter, b)?;
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
    let a = less_zero_point(node, emitter, [0, 2], 0)?;
    let b = less_zero_point(node, emitter, [1, 3], axis)?;
    Ok((a, b))
}

fn less_zero_point(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    [value, zero_point]: [usize; 2],
    axis: i64,
) -> Result<String, String> {
    let (value, zero_point) = (node.required(value)?, node.input(zero_point));
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
    let steps = Steps {
        operator: &node.proto.op_type,
        scale: &scale,
        zero_point,
        axis,
    };
    steps.dequantise(emitter, value)
}

/// A product of floats with a quantised matrix.
pub(super) fn dynamic_quantize_mat_mul(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let weight = Steps::of(node, 2, 1)?.dequantise(emitter, node.required(1)?)?;
    product(node, emitter, node.required(0)?, &weight, node.input(4))
}

pub(super) fn mat_mul_integer_to_float(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let x = activations(node, emitter, 2, 4)?;
    let weight = Steps::with(node, 3, 5, 1)?.dequantise(emitter, node.required(1)?)?;
    product(node, emitter, &x, &weight, node.input(6))
}

pub(super) fn product(
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
    let x = activations(node, emitter, 3, 6)?;
    let weight = Steps::with(node, 4, 7, 1)?.dequantise(emitter, node.required(1)?)?;
    from_one_product(node, emitter, (&x, &weight), node.input(5), None)
}

/// What a node is given first, of the scale and the zero point at two places: a float already if
/// it was quantised dynamically.
fn activations(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    scale: usize,
    zero_point: usize,
) -> Result<String, String> {
    let value = node.required(0)?;
    if emitter.unquantised.contains(value) {
        return Ok(value.to_owned());
    }
    Steps::with(node, scale, zero_point, 0)?.dequantise(emitter, value)
}

/// Embedding tables in 8 bits, whose rows are dequantised after they are gathered.
pub(super) fn embed_layer_normalization(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let ids = node.required(0)?;
    let positions = all_positions(emitter, ids);
    // Tables are inputs 2 to 6, their scales 8 to 12, their zero points 13 to 17.
    let mut rows = |table: usize, ids: &str| -> Result<String, String> {
        let rows = emitter.node("Gather", &[node.required(table)?, ids]);
        let steps = Steps::with(node, table + 6, table + 11, 0)?;
        steps.note(emitter, node.required(table)?)?;
        steps.dequantise(emitter, &rows)
    };
    let words = rows(2, ids)?;
    let positions = rows(3, &positions)?;
    let segments = match node.input(1) {
        Some(ids) => Some(rows(4, ids)?),
        None => None,
    };
    let [scale, bias] = [5, 6].map(|place| {
        let steps = Steps::with(node, place + 6, place + 11, 0)?;
        steps.dequantise(emitter, node.required(place)?)
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
