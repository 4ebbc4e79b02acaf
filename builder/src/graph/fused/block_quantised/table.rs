//! `GatherBlockQuantized`, and tensors in blocks along an axis.

use super::super::constants::{constant, expect, is_bytes, optional, resolve, same_type, sizes};
use super::super::{Fused, Rewritten};
use super::{Dequantised, bits, block_size, once};
use crate::graph::dequantise::{Integers, Quantities, ZeroPoints, floats, matrix};
use crate::graph::emit::{Emitter, int};
use encoderfile::onnx::TensorProto;

/// Rows, or columns, of a table in blocks.
pub(in crate::graph::fused) fn gather_block_quantized(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
) -> Rewritten {
    let inputs = [0, 2, 3].map(|place| node.input(place));
    let table = once(emitter, &inputs, |emitter| {
        let tensor = constant(node, emitter, 0)?;
        let bits = if is_bytes(tensor) {
            bits(node, &[2, 4, 8])?
        } else {
            4
        };
        let integers = match is_bytes(tensor) {
            true => Integers::packed(tensor, bits)?,
            false => Integers::of(tensor)?,
        };
        let mut dims = sizes(tensor)?;
        let last = dims.last_mut().ok_or("its table is one number")?;
        if is_bytes(tensor) {
            *last = last
                .checked_mul(8 / bits as usize)
                .ok_or("its sizes are too large")?;
        }
        let axis = resolve(node.integer("quantize_axis", 1), dims.len())?;
        if is_bytes(tensor) && axis + 1 != dims.len() {
            return Err("a table of bytes in blocks that are not along its last axis".into());
        }
        let blocks = Blocks {
            axis,
            size: block_size(node, Some(128))?,
            dims,
        };
        let default = match is_bytes(tensor) {
            true => integers.middle(),
            false => 0,
        };
        let zero_points = optional(node, emitter, 3)?;
        same_type(tensor, zero_points)?;
        let parameters = (constant(node, emitter, 2)?, zero_points);
        blocks.dequantise("GatherBlockQuantized", integers, parameters, default)
    })?;
    let rank = emitter.dims(&table).map_or(0, <[i64]>::len);
    let axis = resolve(node.integer("gather_axis", 0), rank)?;
    let axis = i64::try_from(axis).map_err(|error| error.to_string())?;
    let inputs = [table.as_str(), node.required(1)?];
    emitter.node_to("Gather", &inputs, vec![int("axis", axis)], node.result()?);
    Ok(())
}

/// A tensor in blocks along an axis.
pub(in crate::graph::fused) struct Blocks {
    pub(in crate::graph::fused) axis: usize,
    pub(in crate::graph::fused) size: usize,
    /// Of the values.
    pub(in crate::graph::fused) dims: Vec<usize>,
}

impl Blocks {
    /// What it stands for, of scales and zero points of one shape; without those, `default` is
    /// one for all.
    pub(in crate::graph::fused) fn dequantise(
        self,
        operator: &str,
        integers: Integers,
        (scales, zero_points): (&TensorProto, Option<&TensorProto>),
        default: i32,
    ) -> Result<Dequantised, String> {
        let Self { axis, size, dims } = self;
        let length = dims[axis];
        let blocks = length.div_ceil(size);
        let mut shape = dims.clone();
        shape[axis] = blocks;
        expect(scales, &[&shape])?;
        let inner: usize = dims[axis + 1..].iter().product();
        let zero_points = match zero_points {
            None => ZeroPoints::One(default),
            Some(tensor) => {
                let (row, stride) = match is_bytes(tensor) && integers.bits() < 8 {
                    // Those of a row of blocks end with a byte.
                    true => {
                        let last = shape.last_mut().ok_or("its table is one number")?;
                        let per_byte = 8 / integers.bits() as usize;
                        *last = last.div_ceil(per_byte);
                        (blocks, *last * per_byte)
                    }
                    false => (1, 1),
                };
                expect(tensor, &[&shape])?;
                ZeroPoints::Integers {
                    values: match is_bytes(tensor) {
                        true => Integers::packed(tensor, integers.bits())?,
                        false => Integers::of(tensor)?,
                    },
                    row,
                    stride,
                }
            }
        };
        let quantities = Quantities {
            integers,
            scales: floats(scales)?,
            zero_points,
        };
        let rows: usize = dims[..=axis].iter().product();
        let values = |row: usize, column: usize| {
            let (outer, along) = (row / length, row % length);
            let place = (outer * blocks + along / size) * inner + column;
            quantities.value(row * inner + column, place)
        };
        let dims = dims.iter().map(|it| i64::try_from(*it));
        Ok(Dequantised {
            bytes: matrix(rows, inner, values)?,
            how: quantities.describe(operator, Some(axis), Some(size)),
            dims: dims
                .collect::<Result<_, _>>()
                .map_err(|error| error.to_string())?,
        })
    }
}
