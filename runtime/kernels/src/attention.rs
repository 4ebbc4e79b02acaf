//! Fused softmax attention, a head and a block of queries at a time: the scores of all
//! tokens for all others are never in memory.
//!
//! **Invariant:** what a query gets depends on nothing but that query, the keys, the
//! values and its row of the mask.

use crate::aligned::{AlignedBuffer, CACHE_LINE};
use crate::gemm::{MatrixA, MicroKernel, PackedB, Rows, RowsMut, gemm, pack, row_blocks};
use crate::heads::{HeadStrides, HeadView};
use crate::isa::Isa;
use crate::parallel::{Parallel, each_chunk, parts};
use crate::shape::{ShapeError, ensure};
use crate::simd::{self, Kernel};
use crate::softmax::exp_in_place;
use std::ops::Range;

/// What is added to scores before the softmax, such as a mask of a sliding window or a
/// bias by relative position: `[heads, queries, keys]`, of which any may be one.
#[derive(Clone, Copy, Debug)]
pub struct Bias<'a> {
    values: &'a [f32],
    shape: [usize; 3],
    head_stride: usize,
    query_stride: usize,
}

impl<'a> Bias<'a> {
    /// Row-major values of a shape `[heads, queries, keys]`.
    ///
    /// # Errors
    ///
    /// If there are not as many values.
    pub fn new(values: &'a [f32], shape: [usize; 3]) -> Result<Self, ShapeError> {
        let [heads, queries, keys] = shape;
        let row = queries.checked_mul(keys);
        let length = row.and_then(|row| row.checked_mul(heads));
        ensure(length == Some(values.len()), "attention", || {
            format!("a bias {shape:?} of {} values", values.len())
        })?;
        let stride = |length: usize, stride: usize| if length == 1 { 0 } else { stride };
        Ok(Self {
            values,
            shape,
            head_stride: stride(heads, queries * keys),
            query_stride: stride(queries, keys),
        })
    }

    #[inline(always)]
    fn add_to<V: MicroKernel>(
        &self,
        token: V::Token,
        scores: &mut [f32],
        head: usize,
        query: usize,
    ) {
        let start = head * self.head_stride + query * self.query_stride;
        let row = &self.values[start..][..self.shape[2]];
        match row {
            [one] => scores.iter_mut().for_each(|score| *score += one),
            _ => simd::add::<V>(token, scores, row),
        }
    }
}

/// What a query is given that has no softmax: where no key is left to it, since all scores
/// are negative infinity, or where one is no number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undefined {
    /// NaN, as a softmax alone has it.
    #[default]
    Nan,
    /// 0, as torch's attention has it.
    Zero,
}

/// What attention is computed of.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// `[heads, queries, width]`
    pub queries: HeadView<'a>,
    /// `[heads, keys, width]`
    pub keys: HeadView<'a>,
    /// `[heads, keys, width of a value]`
    pub values: HeadView<'a>,
    /// Of the scores.
    pub scale: f32,
    /// Added to them.
    pub bias: Option<Bias<'a>>,
    /// Of queries without a softmax.
    pub undefined: Undefined,
}

/// `softmax(scale · queries · keysᵀ + bias) · values`, of each head, to where `to` says
/// in `output`, which has no other values.
///
/// # Errors
///
/// If the shapes do not fit.
pub fn attention(
    isa: Isa,
    parallel: &dyn Parallel,
    operands: &Attention<'_>,
    to: HeadStrides,
    output: &mut [f32],
) -> Result<(), ShapeError> {
    check(operands, to, output.len())?;
    let [_, keys, width] = operands.values.shape();
    let [_, _, key_width] = operands.keys.shape();
    let parts = parts(parallel, &[to.heads, to.tokens, keys, key_width + width]);
    // Heads, or tokens of all heads: whichever the output has one after the other.
    // Of one token the strides do not tell.
    let of_heads = to.tokens == 1 || to.head_stride > to.token_stride;
    let (count, stride) = match of_heads {
        true => (to.heads, to.head_stride),
        false => (to.tokens, to.token_stride),
    };
    let each = count.div_ceil(parts).max(1);
    each_chunk(parallel, output, each * stride, &|part, output| {
        let range = part * each..count.min((part + 1) * each);
        let (heads, queries) = match of_heads {
            true => (range, 0..to.tokens),
            false => (0..to.heads, range),
        };
        isa.run(Part {
            operands,
            to,
            heads,
            queries,
            output,
        });
    });
    Ok(())
}

fn check(operands: &Attention<'_>, to: HeadStrides, output: usize) -> Result<(), ShapeError> {
    let [heads, queries, width] = operands.queries.shape();
    let [key_heads, keys, key_width] = operands.keys.shape();
    let [value_heads, value_tokens, value_width] = operands.values.shape();
    let fits = key_heads == heads
        && value_heads == heads
        && key_width == width
        && value_tokens == keys
        && [to.heads, to.tokens, to.width, to.offset] == [heads, queries, value_width, 0];
    ensure(fits, "attention", || {
        format!(
            "{:?} queries, {:?} keys and {:?} values to {to:?}",
            operands.queries.shape(),
            operands.keys.shape(),
            operands.values.shape()
        )
    })?;
    if let Some(Bias { shape, .. }) = operands.bias {
        let varies = shape.iter().zip([heads, queries, keys]);
        let fits = varies.map(|(length, all)| [1, all].contains(length));
        ensure(fits.into_iter().all(|fits| fits), "attention", || {
            format!("a bias {shape:?} of scores [{heads}, {queries}, {keys}]")
        })?;
    }
    to.check("attention", output)
}

/// Queries of heads to be computed.
struct Part<'a> {
    operands: &'a Attention<'a>,
    to: HeadStrides,
    heads: Range<usize>,
    queries: Range<usize>,
    /// From the first of both on.
    output: &'a mut [f32],
}

/// A head's keys and values, packed, and scratch memory.
#[derive(Default)]
struct Memory {
    keys: AlignedBuffer,
    values: AlignedBuffer,
    /// Of a block of queries, each row as long as whole panels.
    scores: AlignedBuffer,
    /// Of a block of queries or of scores.
    block: AlignedBuffer,
    denominators: Vec<f32>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(mut self, token: V::Token) {
        let Attention { keys, values, .. } = *self.operands;
        let mut memory = Memory::default();
        for head in self.heads.clone() {
            pack::pack_panels_transposed(keys.rows(head), V::NR, &mut memory.keys);
            simd::scale::<V>(token, &mut memory.keys, self.operands.scale);
            pack::pack_panels(values.rows(head), V::NR, &mut memory.values);
            for block in row_blocks::<V>(self.queries.len()) {
                let first = self.queries.start;
                let queries = first + block.start..first + block.end;
                self.exp_scores::<V>(token, &mut memory, head, queries.clone());
                self.weighted_sums::<V>(token, &mut memory, head, queries);
            }
        }
    }
}

impl Part<'_> {
    /// Computes `exp(score − max)` of all keys for a block of queries, and its sums.
    #[inline(always)]
    fn exp_scores<V: MicroKernel>(
        &self,
        token: V::Token,
        memory: &mut Memory,
        head: usize,
        queries: Range<usize>,
    ) {
        let Attention { keys, bias, .. } = self.operands;
        let [_, keys, depth] = keys.shape();
        let width = keys.next_multiple_of(V::NR);
        memory.scores.resize(queries.len() * (width + CACHE_LINE));
        let rows = self.operands.queries.some_rows(head, queries.clone());
        let a = MatrixA::of::<V>(rows, &mut memory.block);
        let mut scores = RowsMut {
            values: &mut memory.scores,
            stride: width + CACHE_LINE,
            width,
        };
        let b = PackedB::of_buffer::<V>(&memory.keys, depth, width);
        gemm::<V>(token, a, b, None, &mut scores);
        memory.denominators.clear();
        let rows = memory.scores.chunks_exact_mut(width + CACHE_LINE);
        for (query, row) in queries.zip(rows) {
            let row = &mut row[..width];
            let (scores, beyond) = row.split_at_mut(keys);
            if let Some(bias) = bias {
                bias.add_to::<V>(token, scores, head, query);
            }
            beyond.fill(f32::NEG_INFINITY);
            memory.denominators.push(exp_in_place::<V>(token, row));
        }
    }

    /// Adds up the values of a head, weighted.
    #[inline(always)]
    fn weighted_sums<V: MicroKernel>(
        &mut self,
        token: V::Token,
        memory: &mut Memory,
        head: usize,
        queries: Range<usize>,
    ) {
        let [_, keys, width] = self.operands.values.shape();
        let weights = Rows {
            values: &memory.scores,
            // No multiple of what a cache's way has: see `gemm::without_conflicts`.
            stride: keys.next_multiple_of(V::NR) + CACHE_LINE,
            width: keys,
            count: queries.len(),
        };
        let a = MatrixA::of::<V>(weights, &mut memory.block);
        let stride = self.to.token_stride;
        let (head, query) = (head - self.heads.start, queries.start - self.queries.start);
        let start = self.to.start(head, query);
        let mut output = RowsMut {
            values: &mut self.output[start..],
            stride,
            width,
        };
        let b = PackedB::of_buffer::<V>(&memory.values, keys, width);
        gemm::<V>(token, a, b, None, &mut output);
        for (row, denominator) in memory.denominators.iter().enumerate() {
            let row = &mut output.values[row * stride..][..width];
            match self.operands.undefined {
                Undefined::Zero if denominator.is_nan() => row.fill(0.0),
                _ => simd::scale::<V>(token, row, 1.0 / denominator),
            }
        }
    }
}
