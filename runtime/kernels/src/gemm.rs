//! float32 GEMM: `C = A · B + bias`, with B packed in panels and A mostly read in place.
//!
//! B `[depth, columns]` is packed in panels of columns, NR wide or a multiple of that,
//! with the depth outside: the micro-kernel reads one stream ([`PackedB`]). A is read in
//! blocks of at most MR rows where it is, or where it was copied if its stride is a multiple
//! of 2 KiB (conflict misses); where processors have few registers for addresses, it is
//! packed alike. Rows and columns beyond a matrix are zeros in what is
//! packed, and are never stored.
//!
//! **Invariant:** every value of C is one sum over the depth, in order, and then its
//! bias: a row's result depends neither on the rows beside it nor on where blocks begin.

pub(crate) mod int8;
pub(crate) mod linear;
pub(crate) mod micro_kernel;
pub(crate) mod pack;

use crate::aligned::{AlignedBuffer, CACHE_LINE, PANEL_ALIGNMENT};
use crate::shape::{ShapeError, ensure};
use crate::simd::LANES_MAX;
pub(crate) use micro_kernel::{MicroKernel, PanelColumns, RowBlock};
use std::ops::Range;

/// The most rows that a block has: the largest MR.
const MR_MAX: usize = if cfg!(target_family = "wasm") { 4 } else { 12 };

/// The most sums of a micro-kernel.
const SUMS_MAX: usize = MR_MAX * 2 * LANES_MAX;

/// Values in rows, which may be part of wider rows.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    /// From the start of a row to that of the next.
    pub(crate) stride: usize,
    pub(crate) width: usize,
    pub(crate) count: usize,
}

impl<'a> Rows<'a> {
    /// Rows one after the other.
    pub(crate) fn dense(values: &'a [f32], width: usize) -> Self {
        Self {
            values,
            stride: width,
            width,
            count: values.len().checked_div(width).unwrap_or(0),
        }
    }

    fn iter(self) -> impl Iterator<Item = &'a [f32]> {
        (0..self.count).map(move |row| &self.values[row * self.stride..][..self.width])
    }
}

/// Where C goes: rows of `width`, which may be part of wider ones.
pub(crate) struct RowsMut<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) width: usize,
}

/// B `[depth, columns]`, packed in panels: `panel_width` columns after `panel_width`
/// columns, each row after row, with zeros for columns beyond the last.
#[derive(Clone, Copy, Debug)]
pub struct PackedB<'a> {
    panels: &'a [f32],
    depth: usize,
    columns: usize,
    panel_width: usize,
}

impl<'a> PackedB<'a> {
    /// Panels in the memory of somebody else, such as a mapped file.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if `panel_width` is 0, or `panels` are not as long as the shape says,
    /// or begin at an address that is no multiple of [`PANEL_ALIGNMENT`].
    pub fn new(
        panels: &'a [f32],
        (depth, columns): (usize, usize),
        panel_width: usize,
    ) -> Result<Self, ShapeError> {
        let padded = match panel_width {
            0 => None,
            _ => columns.checked_next_multiple_of(panel_width),
        };
        let length = padded.and_then(|padded| padded.checked_mul(depth));
        ensure(length == Some(panels.len()), "gemm", || {
            let found = panels.len();
            format!("{found} values packed for {depth} × {columns} in panels of {panel_width}")
        })?;
        let is_aligned = panels.as_ptr().addr().is_multiple_of(PANEL_ALIGNMENT);
        ensure(is_aligned, "gemm", || {
            format!("panels that begin at no multiple of {PANEL_ALIGNMENT} bytes")
        })?;
        Ok(Self {
            panels,
            depth,
            columns,
            panel_width,
        })
    }

    /// Panels of NR columns in an [`AlignedBuffer`], `columns` of which are whole panels or
    /// less.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    #[inline(always)]
    pub(crate) fn of_buffer<V: MicroKernel>(
        panels: &'a [f32],
        depth: usize,
        columns: usize,
    ) -> Self {
        assert_eq!(panels.len(), columns.next_multiple_of(V::NR) * depth);
        Self {
            panels,
            depth,
            columns,
            panel_width: V::NR,
        }
    }

    /// Rows of B.
    pub fn depth(self) -> usize {
        self.depth
    }

    /// Columns of B.
    pub fn columns(self) -> usize {
        self.columns
    }

    /// Columns of whole panels: so many biases are given.
    pub fn padded_columns(self) -> usize {
        self.columns.next_multiple_of(self.panel_width)
    }

    /// Whether the micro-kernel can read these panels.
    pub(crate) fn fits<V: MicroKernel>(self) -> bool {
        const { assert!(PANEL_ALIGNMENT.is_multiple_of(V::ALIGNMENT)) };
        match V::PACKS_A {
            true => self.panel_width == V::NR,
            false => self.panel_width.is_multiple_of(V::NR),
        }
    }

    /// The first column of each micro-kernel, and its part of a panel.
    #[inline(always)]
    fn panel_columns<V: MicroKernel>(self) -> impl Iterator<Item = (usize, PanelColumns<'a>)> {
        let Self {
            panels,
            depth,
            panel_width,
            ..
        } = self;
        let panels = panels
            .chunks_exact((depth * panel_width).max(1))
            .enumerate();
        panels.flat_map(move |(place, panel)| {
            let columns = (0..panel_width).step_by(V::NR);
            columns.map(move |column| {
                let part = PanelColumns::new::<V>(panel, column, panel_width, depth);
                (place * panel_width + column, part)
            })
        })
    }
}

/// A: rows where they are, or packed.
#[derive(Clone, Copy)]
pub(crate) struct MatrixA<'a> {
    values: &'a [f32],
    count: usize,
    depth: usize,
    row_stride: usize,
    /// From a value to the next one of its row.
    step: usize,
    /// From a block's first value to the next block's, for each row of a block.
    block_stride: usize,
}

impl<'a> MatrixA<'a> {
    /// Packs the rows into `memory` where the micro-kernel wants that.
    #[inline(always)]
    pub(crate) fn of<V: MicroKernel>(rows: Rows<'a>, memory: &'a mut AlignedBuffer) -> Self {
        let Rows { count, width, .. } = rows;
        if V::PACKS_A {
            memory.reset(count.next_multiple_of(V::MR) * width);
            pack::pack_transposed(rows, memory, V::MR);
            return Self {
                values: memory,
                count,
                depth: width,
                row_stride: 1,
                step: V::MR,
                block_stride: width,
            };
        }
        let rows = without_conflicts(rows, memory);
        let end = count
            .checked_sub(1)
            .map_or(0, |last| last * rows.stride + width);
        Self {
            values: &rows.values[..end],
            count,
            depth: width,
            row_stride: rows.stride,
            step: 1,
            block_stride: rows.stride,
        }
    }

    /// The first row of each block, and the block.
    #[inline(always)]
    fn blocks<V: MicroKernel>(self) -> impl Iterator<Item = (usize, RowBlock<'a>)> {
        row_blocks::<V>(self.count).map(move |rows| {
            let values = &self.values[rows.start * self.block_stride..];
            let block = RowBlock::new(values, self.row_stride, self.step, rows.len(), self.depth);
            (rows.start, block)
        })
    }
}

/// Copies rows further apart if a first-level cache would keep values of the same
/// column in few of its sets (conflict misses): one has 4 KiB in each of its ways.
fn without_conflicts<'a>(rows: Rows<'a>, memory: &'a mut AlignedBuffer) -> Rows<'a> {
    let clash = 2048 / size_of::<f32>();
    if rows.count == 1 || !rows.stride.is_multiple_of(clash) {
        return rows;
    }
    let stride = rows.width + CACHE_LINE;
    memory.resize(rows.count * stride);
    for (row, to) in rows.iter().zip(memory.chunks_exact_mut(stride)) {
        to[..rows.width].copy_from_slice(row);
    }
    Rows {
        values: memory,
        stride,
        ..rows
    }
}

/// Cuts rows into as few blocks as there can be, as even as can be; of packed ones
/// all but the last are whole.
#[inline(always)]
pub(crate) fn row_blocks<V: MicroKernel>(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(V::MR);
    let bound = move |block: usize| match V::PACKS_A {
        true => (block * V::MR).min(rows),
        false => block * rows / count,
    };
    (0..count).map(move |block| bound(block)..bound(block + 1))
}

/// The sums of a micro-kernel.
#[repr(C, align(64))]
struct Sums([f32; SUMS_MAX]);

/// Computes C, with a bias for each column, of which there are whole panels.
///
/// The caller has checked that A and B have one depth, that the panels fit the
/// micro-kernel ([`PackedB::fits`]) and that C has the rows.
#[inline(always)]
pub(crate) fn gemm<V: MicroKernel>(
    token: V::Token,
    a: MatrixA<'_>,
    b: PackedB<'_>,
    bias: Option<&[f32]>,
    c: &mut RowsMut<'_>,
) {
    if b.depth == 0 {
        return without_depth(a.count, b, bias, c);
    }
    let mut sums = Sums([0.0; SUMS_MAX]);
    for (first_column, panel) in b.panel_columns::<V>() {
        if first_column >= c.width {
            break;
        }
        let columns = first_column..c.width.min(first_column + V::NR);
        let bias = match bias {
            Some(bias) => {
                let (first, second) = bias[first_column..].split_at(V::LANES);
                Some((V::load(token, first), V::load(token, second)))
            }
            None => None,
        };
        for (first, block) in a.blocks::<V>() {
            V::micro_kernel(token, block, panel, &mut sums.0);
            let rows = (first..first + block.rows()).zip(sums.0.chunks_exact_mut(V::NR));
            for (row, sums) in rows {
                if let Some((first, second)) = bias {
                    V::load(token, sums).add(first).store(sums);
                    let sums = &mut sums[V::LANES..];
                    V::load(token, sums).add(second).store(sums);
                }
                let row = &mut c.values[row * c.stride..][columns.clone()];
                if row.len() == V::NR {
                    V::load(token, sums).store(row);
                    V::load(token, &sums[V::LANES..]).store(&mut row[V::LANES..]);
                } else {
                    pack::copy(&sums[..row.len()], row);
                }
            }
        }
    }
}

/// Sums of nothing.
#[inline(never)]
fn without_depth(count: usize, b: PackedB<'_>, bias: Option<&[f32]>, c: &mut RowsMut<'_>) {
    for row in 0..count {
        let row = &mut c.values[row * c.stride..][..c.width.min(b.columns)];
        match bias {
            Some(bias) => row.copy_from_slice(&bias[..row.len()]),
            None => row.fill(0.0),
        }
    }
}
