//! `MatMulBnb4`: places in a table of 16 floats.

use super::super::constants::{constant, expect};
use super::super::quantised::product;
use super::super::{Fused, Rewritten};
use super::{Dequantised, block_size, length, once};
use crate::graph::dequantise::{Integers, floats, matrix};
use crate::graph::emit::Emitter;
use crate::graph::quantised::{Code, Quantised};

/// bitsandbytes' 4-bit floats: a sign, two bits of exponent and one of mantissa.
#[allow(clippy::excessive_precision, reason = "as they are published")]
const FP4: [f32; 16] = [
    0.0,
    5.208333333e-03,
    0.66666667,
    1.0,
    0.33333333,
    0.5,
    0.16666667,
    0.25,
    -0.0,
    -5.208333333e-03,
    -0.66666667,
    -1.0,
    -0.33333333,
    -0.5,
    -0.16666667,
    -0.25,
];

/// `NormalFloat`: quantiles of the normal distribution.
#[allow(clippy::excessive_precision, reason = "as they are published")]
const NF4: [f32; 16] = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
];

/// A matrix of bitsandbytes, `[N, K]`.
pub(in crate::graph::fused) fn mat_mul_bnb4(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
) -> Rewritten {
    let inputs = [1, 2].map(|place| node.input(place));
    if node.integer("transB", 1) != 1 {
        return Err("a matrix that is not transposed is not supported".into());
    }
    let weight = once(emitter, &inputs, |emitter| {
        let (depth, width) = (length(node, "K")?, length(node, "N")?);
        let block_size = block_size(node, None)?;
        let (code, table) = match node.integer("quant_type", -1) {
            0 => (Code::Fp4, &FP4),
            1 => (Code::Nf4, &NF4),
            other => return Err(format!("quant_type {other}, expected 0 or 1")),
        };
        let total = depth.checked_mul(width).ok_or("its sizes are too large")?;
        let packed = constant(node, emitter, 1)?;
        let bytes = total.div_ceil(2);
        expect(packed, &[&[bytes], &[bytes, 1]])?;
        let scales = constant(node, emitter, 2)?;
        expect(scales, &[&[total.div_ceil(block_size)]])?;
        let (codes, scales) = (Integers::packed(packed, 4)?, floats(scales)?);
        // The first of two values is the upper half of their byte.
        let value = |index: usize| {
            let entry = at(table, codes.value(index ^ 1));
            entry * scales.value(index / block_size)
        };
        Ok(Dequantised {
            bytes: matrix(depth, width, |row, column| value(column * depth + row))?,
            dims: vec![node.integer("K", 0), node.integer("N", 0)],
            how: Quantised {
                operator: "MatMulBnb4".into(),
                code,
                bits: 4,
                // A block of several columns is none along the axis.
                axis: depth.is_multiple_of(block_size).then_some(0),
                block_size: Some(block_size),
                zero_points: false,
            },
        })
    })?;
    product(node, emitter, node.required(0)?, &weight, None)
}

/// The entry of a table of a place of four bits.
fn at(table: &[f32; 16], place: i32) -> f32 {
    let place = usize::try_from(place).ok();
    place.and_then(|it| table.get(it)).copied().unwrap_or(0.0)
}
