//! Matrices and tables of a few bits a value, in blocks with a scale each: what they stand for,
//! multiplied and gathered by the standard's operators.

mod bnb4;
mod table;

use super::constants::{constant, expect, is_bytes, optional};
use super::quantised::product;
use super::{Fused, Rewritten};
use crate::graph::dequantise::{Integers, Quantities, ZeroPoints, floats, matrix};
use crate::graph::emit::Emitter;
use crate::graph::quantised::Quantised;
use bytes::Bytes;
use encoderfile::onnx::tensor_proto::DataType;

pub(super) use bnb4::mat_mul_bnb4;
pub(super) use table::{Blocks, gather_block_quantized};

/// The shortest block of ONNX Runtime's operators.
const BLOCK_MIN: usize = 16;

/// `[N, blocks, bytes]` of a matrix whose columns are cut in blocks: what it is multiplied by is
/// `[K, N]`.
pub(super) fn mat_mul_n_bits(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let inputs = [1, 2, 3, 4].map(|place| node.input(place));
    let weight = once(emitter, &inputs, |emitter| {
        let columns = Columns::of(node, emitter)?;
        let stride = columns.blocks * columns.block_size;
        let values = |row: usize, column: usize| {
            let block = match &columns.groups {
                Some(groups) => groups[row],
                None => row / columns.block_size,
            };
            let place = column * columns.blocks + block;
            columns.quantities.value(column * stride + row, place)
        };
        let Columns { depth, width, .. } = columns;
        let how = columns
            .quantities
            .describe("MatMulNBits", Some(0), Some(columns.block_size));
        Ok(Dequantised {
            bytes: matrix(depth, width, values)?,
            dims: vec![node.integer("K", 0), node.integer("N", 0)],
            // Blocks of rows in another order are none along the axis.
            how: Quantised {
                axis: how.axis.filter(|_| columns.groups.is_none()),
                ..how
            },
        })
    })?;
    product(node, emitter, node.required(0)?, &weight, node.input(5))
}

/// The columns of `MatMulNBits`, each in blocks.
struct Columns {
    depth: usize,
    width: usize,
    block_size: usize,
    /// In each column.
    blocks: usize,
    quantities: Quantities,
    /// The block of each row, where they are in another order.
    groups: Option<Vec<usize>>,
}

impl Columns {
    fn of(node: &Fused<'_>, emitter: &Emitter<'_>) -> Result<Self, String> {
        let (depth, width) = (length(node, "K")?, length(node, "N")?);
        let (bits, block_size) = (bits(node, &[2, 4, 8])?, block_size(node, None)?);
        let blocks = depth.div_ceil(block_size);
        // Blocks are a power of two of at least 16 values, so that no byte is in two.
        let bytes = block_size / 8 * bits as usize;
        let packed = constant(node, emitter, 1)?;
        expect(packed, &[&[width, blocks, bytes]])?;
        let is_packed = optional(node, emitter, 3)?.is_some_and(is_bytes);
        // ONNX Runtime 1.31 forgets such zero points, and computes anything of 2 bits.
        if node.input(4).is_some() && (bits != 4 || is_packed) {
            return Err("g_idx is supported for 4 bits without packed zero points alone".into());
        }
        let scales = constant(node, emitter, 2)?;
        let flat = width.checked_mul(blocks).ok_or("its sizes are too large")?;
        expect(scales, &[&[flat], &[width, blocks]])?;
        let zero_points = match optional(node, emitter, 3)? {
            None => ZeroPoints::One(1 << (bits - 1)),
            Some(tensor) if is_bytes(tensor) => {
                let bytes = (blocks * bits as usize).div_ceil(8);
                let flat = width.checked_mul(bytes).ok_or("its sizes are too large")?;
                expect(tensor, &[&[flat], &[width, bytes]])?;
                ZeroPoints::Integers {
                    values: Integers::packed(tensor, bits)?,
                    row: blocks,
                    stride: bytes * 8 / bits as usize,
                }
            }
            Some(tensor) => {
                expect(tensor, &[&[flat], &[width, blocks]])?;
                ZeroPoints::Floats(floats(tensor)?)
            }
        };
        Ok(Self {
            depth,
            width,
            block_size,
            blocks,
            quantities: Quantities {
                integers: Integers::packed(packed, bits)?,
                scales: floats(scales)?,
                zero_points,
            },
            groups: groups(node, emitter, depth, blocks * block_size, blocks)?,
        })
    }
}

/// The block of each of `depth` rows, where `g_idx` says it, which may go on to the end of the
/// last block.
fn groups(
    node: &Fused<'_>,
    emitter: &Emitter<'_>,
    depth: usize,
    padded: usize,
    blocks: usize,
) -> Result<Option<Vec<usize>>, String> {
    let Some(tensor) = optional(node, emitter, 4)? else {
        return Ok(None);
    };
    expect(tensor, &[&[depth], &[padded]])?;
    if DataType::try_from(tensor.data_type) != Ok(DataType::Int32) {
        return Err(format!("`{}` is not of int32", tensor.name));
    }
    let indices = Integers::of(tensor)?;
    let groups = (0..depth).map(|row| {
        let index = indices.value(row);
        let group = usize::try_from(index).ok().filter(|it| *it < blocks);
        group.ok_or_else(|| format!("`{}` holds {index}, of {blocks} blocks", tensor.name))
    });
    groups.collect::<Result<_, _>>().map(Some)
}

/// The values of a tensor that was quantised.
pub(super) struct Dequantised {
    pub(super) bytes: Bytes,
    pub(super) dims: Vec<i64>,
    pub(super) how: Quantised,
}

/// The name of the initializer of what `inputs` stand for, which is made for the first node that
/// has them.
fn once(
    emitter: &mut Emitter<'_>,
    inputs: &[Option<&str>],
    dequantise: impl FnOnce(&Emitter<'_>) -> Result<Dequantised, String>,
) -> Result<String, String> {
    let inputs: Vec<&str> = inputs.iter().copied().flatten().collect();
    let name = inputs.join(" × ");
    if emitter.dims(&name).is_none() {
        let values = dequantise(emitter)?;
        emitter.tensor(DataType::Float, values.dims, values.bytes, &name);
        emitter.note_quantised(&name, values.how);
    }
    Ok(name)
}

/// An attribute that is a length.
fn length(node: &Fused<'_>, name: &str) -> Result<usize, String> {
    let length = node.integer(name, 0);
    let positive = usize::try_from(length).ok().filter(|it| *it > 0);
    positive.ok_or_else(|| format!("attribute `{name}` is {length}, expected a length"))
}

fn bits(node: &Fused<'_>, supported: &[u32]) -> Result<u32, String> {
    let bits = node.integer("bits", 4);
    let supported_one = supported.iter().find(|it| i64::from(**it) == bits);
    supported_one
        .copied()
        .ok_or_else(|| format!("{bits} bits a value are not supported, but {supported:?}"))
}

fn block_size(node: &Fused<'_>, default: Option<i64>) -> Result<usize, String> {
    let size = node.integer("block_size", default.unwrap_or(0));
    let valid = usize::try_from(size).ok();
    let valid = valid.filter(|it| it.is_power_of_two() && *it >= BLOCK_MIN);
    valid.ok_or_else(|| {
        format!("attribute `block_size` is {size}, expected a power of two of at least {BLOCK_MIN}")
    })
}
