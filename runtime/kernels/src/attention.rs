//! Fused softmax attention, a head and NR queries at a time, a block of keys after a
//! block: the scores of all tokens for all others are never in memory.
//!
//! Scores are computed transposed, `[keys, queries]`: so they are in panels that the
//! weighted sum is multiplied by, and a vector holds the scores of as many queries, of which
//! maxima and sums need no horizontal reduction. Of a sliding window, the blocks that no query
//! of a panel attends to are not computed.
//!
//! **Invariant:** what a query gets depends on nothing but that query, the keys, the
//! values and its row of the mask.

use crate::aligned::AlignedBuffer;
use crate::gemm::{Initial, MicroKernel, Panels, Rows, RowsMut, Strips, pack};
use crate::heads::{HeadStrides, HeadView};
use crate::isa::Isa;
use crate::parallel::{Parallel, each_chunk, parts_of_rows};
use crate::shape::{ShapeError, ensure};
use crate::simd::{self, Kernel};
use crate::softmax::Softmax;
use std::ops::Range;

/// Scores that are in memory at a time: 16 KiB, and as much of their weights, of a first
/// cache's 32 to 48. Of 16 queries they are those of 256 keys.
const SCORES_BLOCK: usize = 4096;

/// What is added to scores before the softmax, such as a mask or a bias by relative position: `[heads, queries, keys]`, of which any may be one.
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

    /// Adds it to scores `[keys, NR]` of some keys and of at most NR queries.
    #[inline(always)]
    fn add_to<V: MicroKernel>(
        &self,
        token: V::Token,
        head: usize,
        (queries, keys): (Range<usize>, Range<usize>),
        memory: &mut AlignedBuffer,
        scores: &mut [f32],
    ) {
        let stride = self.query_stride;
        let columns = match self.shape {
            [_, _, 1] => 0..1,
            _ => keys,
        };
        let rows = Rows {
            values: &self.values[head * self.head_stride + queries.start * stride..],
            stride,
            width: self.shape[2],
            count: queries.len(),
        };
        let rows = rows.columns(columns);
        let scores = scores.chunks_exact_mut(V::NR);
        if stride == 0 {
            // The same for all queries.
            for (scores, added) in scores.zip(rows.row(0).iter().cycle()) {
                let added = V::splat(token, *added);
                for lanes in scores.chunks_exact_mut(V::LANES) {
                    V::load(token, lanes).add(added).store(lanes);
                }
            }
            return;
        }
        memory.reset(V::NR * rows.width);
        pack::transpose(rows, memory, V::NR);
        for (scores, added) in scores.zip(memory.chunks_exact(V::NR).cycle()) {
            simd::add::<V>(token, scores, added);
        }
    }
}

/// A sliding window: a query attends to the keys of the tokens from `before` places before its
/// own to `after` places after it, and to no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Tokens before its own.
    pub before: usize,
    /// Tokens after its own.
    pub after: usize,
}

impl Window {
    /// The keys that some queries attend to, of so many.
    fn keys(self, queries: &Range<usize>, count: usize) -> Range<usize> {
        let start = queries.start.saturating_sub(self.before);
        start..count.min(queries.end.saturating_add(self.after))
    }

    /// Hides scores `[keys, NR]` of some keys from those of at most NR queries that do not
    /// attend to them.
    #[inline(always)]
    fn hide<V: MicroKernel>(self, queries: &Range<usize>, keys: Range<usize>, scores: &mut [f32]) {
        for (key, scores) in keys.zip(scores.chunks_exact_mut(V::NR)) {
            let first = key.saturating_sub(self.after).max(queries.start);
            let end = key.saturating_add(self.before).saturating_add(1);
            let seen = first..end.clamp(first, queries.end.max(first));
            let place = |query: usize| (query - queries.start).min(V::NR);
            scores[..place(seen.start)].fill(f32::NEG_INFINITY);
            scores[place(seen.end)..].fill(f32::NEG_INFINITY);
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
    /// Of as many keys as queries; without one every query attends to all keys.
    pub window: Option<Window>,
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
    let multiplications = [to.heads, to.tokens, keys, key_width + width];
    let parts = parts_of_rows(parallel, &multiplications, to.tokens);
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
        && (operands.window.is_none() || keys == queries)
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

/// Scratch memory.
#[derive(Default)]
struct Memory {
    /// A head's keys, packed in strips, block after block, and its values.
    keys: AlignedBuffer,
    values: AlignedBuffer,
    /// Of NR queries, packed in panels.
    queries: AlignedBuffer,
    /// `[keys of a block, NR]`, and the same in panels.
    scores: AlignedBuffer,
    weights: AlignedBuffer,
    bias: AlignedBuffer,
    /// `[width of a value, NR]`, and the same transposed.
    sums: AlignedBuffer,
    rows: AlignedBuffer,
    highest: AlignedBuffer,
    denominators: AlignedBuffer,
    factors: AlignedBuffer,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(mut self, token: V::Token) {
        let mut memory = Memory::default();
        for head in self.heads.clone() {
            self.pack::<V>(&mut memory, head);
            for first in self.queries.clone().step_by(V::NR) {
                let queries = first..self.queries.end.min(first + V::NR);
                self.attend::<V>(token, &mut memory, head, queries.clone());
                self.write::<V>(token, &mut memory, head, queries);
            }
        }
    }
}

/// How many keys a block has: a multiple of every MR that is filled up with zeros.
const fn block_keys<V: MicroKernel>() -> usize {
    SCORES_BLOCK / V::NR
}

/// The blocks of so many keys.
fn key_blocks<V: MicroKernel>(keys: usize) -> impl Iterator<Item = Range<usize>> {
    let first = (0..keys).step_by(block_keys::<V>());
    first.map(move |first| first..keys.min(first + block_keys::<V>()))
}

impl Part<'_> {
    /// Packs keys and values of a head.
    #[inline(always)]
    fn pack<V: MicroKernel>(&self, memory: &mut Memory, head: usize) {
        let Attention { keys, values, .. } = self.operands;
        let [[_, count, depth], [_, _, width]] = [keys.shape(), values.shape()];
        // Of which all but the last are a multiple of MR.
        memory.keys.resize(Strips::length::<V>(count, depth));
        memory.values.resize(Strips::length::<V>(width, count));
        for block in key_blocks::<V>(count) {
            let rows = keys.some_rows(head, block.clone());
            Strips::of_rows::<V>(rows, &mut memory.keys[block.start * depth..]);
            let rows = values.some_rows(head, block.clone());
            let start = Strips::length::<V>(width, block.start);
            Strips::of_columns::<V>(rows, &mut memory.values[start..]);
        }
    }

    /// Computes the sums of values by weights, and the weights' sums, of some queries.
    #[inline(always)]
    fn attend<V: MicroKernel>(
        &self,
        token: V::Token,
        memory: &mut Memory,
        head: usize,
        queries: Range<usize>,
    ) {
        let Attention {
            keys,
            values,
            bias,
            window,
            ..
        } = self.operands;
        let [[_, count, depth], [_, _, width]] = [keys.shape(), values.shape()];
        let seen = window.map_or(0..count, |window| window.keys(&queries, count));
        let rows = self.operands.queries.some_rows(head, queries.clone());
        pack::pack_panels_transposed(rows, V::PANEL, &mut memory.queries);
        simd::scale::<V>(token, &mut memory.queries, self.operands.scale);
        let columns = queries.len().next_multiple_of(V::PANEL);
        let most = count.min(block_keys::<V>());
        memory.scores.resize(most * V::NR);
        memory.sums.resize(width * V::NR);
        for buffer in [
            &mut memory.highest,
            &mut memory.denominators,
            &mut memory.factors,
        ] {
            buffer.resize(V::NR);
        }
        let mut softmax = Softmax {
            highest: &mut memory.highest,
            denominators: &mut memory.denominators,
            factors: &mut memory.factors,
        };
        softmax.begin();
        let is_seen = |block: &Range<usize>| block.start < seen.end && seen.start < block.end;
        let mut is_first = true;
        for block in key_blocks::<V>(count).filter(is_seen) {
            let scores = &mut memory.scores[..block.len() * V::NR];
            let packed = &memory.keys[block.start * depth..];
            let strips = Strips::packed(packed, (block.len(), depth));
            let panels = panels_of::<V>(&memory.queries, depth);
            strips.multiply::<V>(token, panels, Initial::ZEROS, &mut tile::<V>(scores));
            if let Some(bias) = bias {
                let range = (queries.clone(), block.clone());
                bias.add_to::<V>(token, head, range, &mut memory.bias, scores);
            }
            if let Some(window) = window {
                window.hide::<V>(&queries, block.clone(), scores);
            }

            memory.weights.resize(block.len() * columns);
            for first in (0..columns).step_by(V::LANES) {
                let panel = first / V::PANEL * block.len() * V::PANEL;
                let weights = &mut memory.weights[panel..][..block.len() * V::PANEL];
                softmax.weigh::<V>(token, first, scores, weights);
            }
            let mut initial = Initial::ZEROS;
            if !is_first {
                for sums in memory.sums.chunks_exact_mut(V::NR) {
                    simd::multiply::<V>(token, sums, softmax.factors);
                }
                initial = Initial::Sums;
            }
            let packed = &memory.values[Strips::length::<V>(width, block.start)..];
            let strips = Strips::packed(packed, (width, block.len()));
            let panels = panels_of::<V>(&memory.weights, block.len());
            strips.multiply::<V>(token, panels, initial, &mut tile::<V>(&mut memory.sums));
            is_first = false;
        }
    }

    /// Divides by the softmax denominators, and puts each query's result where it goes.
    #[inline(always)]
    fn write<V: MicroKernel>(
        &mut self,
        token: V::Token,
        memory: &mut Memory,
        head: usize,
        queries: Range<usize>,
    ) {
        let [_, keys, width] = self.operands.values.shape();
        if keys == 0 {
            memory.sums.fill(0.0);
        }
        for sums in memory.sums.chunks_exact_mut(V::NR) {
            for (lanes, denominators) in sums
                .chunks_exact_mut(V::LANES)
                .zip(memory.denominators.chunks_exact(V::LANES))
            {
                let denominators = V::load(token, denominators);
                V::load(token, lanes).div(denominators).store(lanes);
            }
        }
        memory.rows.resize(V::NR * width);
        let sums = Rows {
            values: &memory.sums,
            stride: V::NR,
            width: V::NR,
            count: width,
        };
        pack::transpose(sums, &mut memory.rows, width);
        let head = head - self.heads.start;
        let rows = memory.rows.chunks_exact(width.max(1));
        let rows = rows.zip(memory.denominators.iter());
        for (query, (row, denominator)) in queries.zip(rows) {
            let start = self.to.start(head, query - self.queries.start);
            let output = &mut self.output[start..][..width];
            match self.operands.undefined {
                // All weights are 0, or one is NaN.
                Undefined::Zero if denominator.is_nan() || *denominator == 0.0 => output.fill(0.0),
                _ => pack::copy(row, output),
            }
        }
    }
}

/// A micro-kernel's panels, of which all are in a buffer: one or two.
#[inline(always)]
fn panels_of<V: MicroKernel>(panels: &[f32], depth: usize) -> Panels<'_> {
    let (first, second) = panels.split_at(depth * V::PANEL);
    // What comes of the second of a lone one is not looked at.
    let second = if second.is_empty() { first } else { second };
    Panels::last([first, second])
}

/// Rows of NR values.
#[inline(always)]
fn tile<V: MicroKernel>(values: &mut [f32]) -> RowsMut<'_> {
    RowsMut {
        values,
        stride: V::NR,
        width: V::NR,
    }
}
