//! The bias of DeBERTa's disentangled attention: content to position (c2p) and position
//! to content (p2c). Each row times the vectors of all relative positions, of which every
//! column takes the one at its distance: a gather along the relative distance, without
//! scores `[tokens, positions]` in memory.
//!
//! Only positions that some column of a block takes are multiplied, and their scores are
//! never in memory but for a block's rows.

use crate::aligned::AlignedBuffer;
use crate::gemm::{Memory, MicroKernel, PackedB, RowsMut, gemm};
use crate::heads::HeadView;
use crate::isa::Isa;
use crate::parallel::{Parallel, each_chunk, parts};
use crate::shape::{ShapeError, ensure};
use crate::simd::Kernel;
use std::ops::Range;

/// Which position each column of each row takes: `[1 or heads, rows, columns]`.
#[derive(Clone, Debug)]
pub struct PositionIndices {
    /// Each less than the number of positions.
    values: Vec<u32>,
    positions: usize,
    shape: [usize; 3],
}

impl PositionIndices {
    /// Row-major indices into a table of so many positions; a negative one counts from its end,
    /// as in ONNX.
    ///
    /// # Errors
    ///
    /// If there are not as many as the shape says, or one is beyond the table.
    pub fn new(indices: &[i64], shape: [usize; 3], positions: usize) -> Result<Self, ShapeError> {
        let [heads, rows, columns] = shape;
        let row = rows.checked_mul(columns);
        let count = row.and_then(|row| row.checked_mul(heads));
        ensure(count == Some(indices.len()), "disentangled bias", || {
            format!("{} indices of shape {shape:?}", indices.len())
        })?;
        let length = i64::try_from(positions).unwrap_or(i64::MAX);
        let mut values = Vec::with_capacity(indices.len());
        for index in indices {
            let from_start = match index {
                ..0 => index.saturating_add(length),
                _ => *index,
            };
            let value = u32::try_from(from_start).ok();
            let value = value.filter(|_| from_start < length);
            ensure(value.is_some(), "disentangled bias", || {
                format!("position {index} of {positions}")
            })?;
            values.extend(value);
        }
        Ok(Self {
            values,
            positions,
            shape,
        })
    }

    /// Of some rows, one after the other.
    fn of(&self, head: usize, rows: Range<usize>) -> &[u32] {
        let [heads, all, columns] = self.shape;
        let head = if heads == 1 { 0 } else { head };
        let start = (head * all + rows.start) * columns;
        &self.values[start..][..rows.len() * columns]
    }
}

/// What the bias is computed of.
#[derive(Clone, Copy, Debug)]
pub struct DisentangledBias<'a> {
    /// Queries for c2p, keys for p2c: `[heads, rows, width]`.
    pub rows: HeadView<'a>,
    /// Their counterparts, the vectors of all relative positions: `[heads · width, positions]`.
    pub table: PackedB<'a>,
    /// Which of those each column takes.
    pub indices: &'a PositionIndices,
    /// Of the scores.
    pub scale: f32,
    /// Whether the result is `[heads, columns, rows]`, as p2c is.
    pub transposed: bool,
}

/// `scale · rows · table[index]`: `[heads, rows, columns]`, or transposed.
///
/// # Errors
///
/// If the shapes do not fit, or the table was packed for other micro-kernels.
pub fn disentangled_bias(
    isa: Isa,
    parallel: &dyn Parallel,
    operands: &DisentangledBias<'_>,
    output: &mut [f32],
) -> Result<(), ShapeError> {
    let DisentangledBias {
        rows,
        table,
        indices,
        ..
    } = operands;
    let ([heads, tokens, width], [index_heads, index_rows, columns]) =
        (rows.shape(), indices.shape);
    let of_head = tokens.checked_mul(columns);
    let fits = heads.checked_mul(width) == Some(table.depth())
        && tokens == index_rows
        && [1, heads].contains(&index_heads)
        && of_head.and_then(|of_head| of_head.checked_mul(heads)) == Some(output.len())
        && indices.positions <= table.columns()
        && isa.reads_panels_of(table.width_of_panels());
    ensure(fits, "disentangled bias", || {
        let (rows, indices, output) = (rows.shape(), indices.shape, output.len());
        let table = [table.depth(), table.columns()];
        format!("{rows:?} times {table:?} by {indices:?} into {output}")
    })?;
    // At most, of all positions; and what is taken of them is about as much.
    let parts = parts(parallel, &[heads, tokens, width, table.columns()]);
    let each = heads.div_ceil(parts);
    each_chunk(
        parallel,
        output,
        each * tokens * columns,
        &|part, output| {
            isa.run(Part {
                operands,
                heads: part * each..heads.min((part + 1) * each),
                output,
            });
        },
    );
    Ok(())
}

/// Heads to be computed.
struct Part<'a> {
    operands: &'a DisentangledBias<'a>,
    heads: Range<usize>,
    /// From the first of them on.
    output: &'a mut [f32],
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(mut self, token: V::Token) {
        let DisentangledBias {
            rows: all,
            table,
            indices,
            transposed,
            ..
        } = *self.operands;
        let [_, tokens, depth] = all.shape();
        let (mut memory, mut scores) = (Memory::default(), AlignedBuffer::default());
        let panel_width = table.width_of_panels();
        for head in self.heads.clone() {
            for first in (0..tokens).step_by(V::MR) {
                let rows = first..tokens.min(first + V::MR);
                let indices = indices.of(head, rows.clone());
                let Some(panels) = panels_of(indices, panel_width) else {
                    continue;
                };
                let (first, width) = (panels.start * panel_width, panels.len() * panel_width);
                scores.resize(rows.len() * width);
                let mut output = RowsMut {
                    values: &mut scores,
                    stride: width,
                    width,
                };
                let b = table.part(head * depth..(head + 1) * depth, panels);
                let a = all.some_rows(head, rows.clone());
                gemm::<V>(token, a, b, None, &mut memory, &mut output);
                let block = Scores {
                    values: &scores,
                    indices,
                    first,
                    width,
                };
                match transposed {
                    true => self.gather_transposed(head, rows, &block),
                    false => self.gather(head, rows, &block),
                }
            }
        }
    }
}

/// The scores of a block of rows, and what its columns take of them.
struct Scores<'a> {
    values: &'a [f32],
    indices: &'a [u32],
    /// The position of the first score of each row.
    first: usize,
    /// How many scores a row has.
    width: usize,
}

impl Part<'_> {
    #[inline(always)]
    fn gather(&mut self, head: usize, rows: Range<usize>, block: &Scores<'_>) {
        let [_, all, columns] = self.operands.indices.shape;
        let head = head - self.heads.start;
        let output = &mut self.output[(head * all + rows.start) * columns..];
        let outputs = output.chunks_exact_mut(columns);
        let indices = block.indices.chunks_exact(columns);
        let scores = block.values.chunks_exact(block.width);
        for ((output, indices), scores) in outputs.zip(indices).zip(scores) {
            for (value, index) in output.iter_mut().zip(indices) {
                *value = self.operands.scale * scores[*index as usize - block.first];
            }
        }
    }

    /// Rows become columns: all values of a block that are beside each other at once.
    #[inline(always)]
    fn gather_transposed(&mut self, head: usize, rows: Range<usize>, block: &Scores<'_>) {
        let [_, all, columns] = self.operands.indices.shape;
        let head = head - self.heads.start;
        let output = &mut self.output[head * all * columns..][..all * columns];
        for (column, output) in output.chunks_exact_mut(all).enumerate() {
            let indices = block.indices[column..].iter().step_by(columns);
            let scores = block.values.chunks_exact(block.width);
            let values = output[rows.clone()].iter_mut();
            for ((value, index), scores) in values.zip(indices).zip(scores) {
                *value = self.operands.scale * scores[*index as usize - block.first];
            }
        }
    }
}

/// Those that have all positions which are taken; none if none is.
fn panels_of(indices: &[u32], panel_width: usize) -> Option<Range<usize>> {
    let (least, greatest) = (indices.iter().min()?, indices.iter().max()?);
    let panel = |index: &u32| *index as usize / panel_width;
    Some(panel(least)..panel(greatest) + 1)
}
