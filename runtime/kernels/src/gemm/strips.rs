//! A, packed in strips: at most MR rows, one value of each side by side.

use super::{Initial, MicroKernel, Panels, Rows, RowsMut, Strip, Tile, pack};
use crate::aligned::AlignedBuffer;
use crate::simd::LANES_MAX;
use std::ops::Range;

/// The most sums of a micro-kernel: those of 12 rows of two of the widest vectors, or of 6
/// rows of four.
const SUMS_MAX: usize = 12 * 2 * LANES_MAX;

/// Rows of A over a block of the depth, packed.
#[derive(Clone, Copy)]
pub(crate) struct Strips<'a> {
    values: &'a [f32],
    rows: usize,
    depth: usize,
}

impl<'a> Strips<'a> {
    /// How many values so many rows are.
    pub(crate) fn length<V: MicroKernel>(rows: usize, depth: usize) -> usize {
        let rows = match V::PADS {
            true => rows.next_multiple_of(V::MR),
            false => rows,
        };
        rows * depth
    }

    /// Packs rows into memory of that [`length`](Self::length).
    #[inline(always)]
    pub(crate) fn of_rows<V: MicroKernel>(rows: Rows<'_>, memory: &'a mut [f32]) -> Self {
        Self::pack::<V>((rows.count, rows.width), memory, |range, strip, width| {
            pack::transpose(rows.some(range), strip, width);
        })
    }

    /// Packs a block of the depth of rows into memory that is made as long.
    #[inline(always)]
    pub(crate) fn of_block<V: MicroKernel>(
        rows: Rows<'_>,
        block: Range<usize>,
        memory: &'a mut AlignedBuffer,
    ) -> Self {
        memory.resize(Self::length::<V>(rows.count, block.len()));
        Self::of_rows::<V>(rows.columns(block), memory)
    }

    /// How many rows there are.
    #[inline(always)]
    pub(crate) fn rows(self) -> usize {
        self.rows
    }

    /// Packs the rows of the transpose alike: as many as `rows` are wide.
    #[inline(always)]
    pub(crate) fn of_columns<V: MicroKernel>(rows: Rows<'_>, memory: &'a mut [f32]) -> Self {
        Self::pack::<V>((rows.width, rows.count), memory, |range, strip, width| {
            let groups = strip.chunks_exact_mut(width);
            for (row, group) in rows.columns(range).iter().zip(groups) {
                pack::copy(row, group);
            }
        })
    }

    #[inline(always)]
    fn pack<V: MicroKernel>(
        (rows, depth): (usize, usize),
        memory: &'a mut [f32],
        pack: impl Fn(Range<usize>, &mut [f32], usize),
    ) -> Self {
        for range in strips::<V>(rows) {
            let width = packed_rows::<V>(range.len());
            let strip = &mut memory[range.start * depth..][..width * depth];
            if range.len() < width {
                strip.fill(0.0);
            }
            pack(range, strip, width);
        }
        Self::packed(memory, (rows, depth))
    }

    /// Rows that are packed already.
    #[inline(always)]
    pub(crate) fn packed(values: &'a [f32], (rows, depth): (usize, usize)) -> Self {
        Self {
            values,
            rows,
            depth,
        }
    }

    /// `C = initial + A · B`, of at most NR columns.
    #[inline(always)]
    pub(crate) fn multiply<V: MicroKernel>(
        self,
        token: V::Token,
        b: Panels<'_>,
        initial: Initial<'_>,
        c: &mut RowsMut<'_>,
    ) {
        let count = self.rows.div_ceil(V::MR);
        for (range, b) in strips::<V>(self.rows).zip(b.in_parts(count)) {
            let width = packed_rows::<V>(range.len());
            let strip = Strip {
                values: &self.values[range.start * self.depth..][..width * self.depth],
                rows: range.len(),
            };
            // One tile beside none stays in a cache.
            if c.stride > V::NR {
                let next = match range.end == self.rows {
                    true => V::NR,
                    false => range.end * c.stride,
                };
                prefetch_tile::<V>(c.values.as_ptr().wrapping_add(next), c.stride);
            }
            if c.width < V::NR {
                multiply_narrow::<V>(token, strip, b, (range, initial), c);
                continue;
            }
            let mut tile = Tile {
                values: &mut c.values[range.start * c.stride..],
                stride: c.stride,
                initial,
            };
            V::micro_kernel(token, strip, b, &mut tile);
        }
    }
}

/// Fetches a tile of C into a cache: what is multiplied between two blocks of the depth may have
/// taken its place there, and rows that are a multiple of a page apart take each other's.
#[inline(always)]
fn prefetch_tile<V: MicroKernel>(first: *const f32, stride: usize) {
    for row in 0..V::MR {
        for column in (0..V::NR).step_by(LANES_MAX) {
            let place = first.wrapping_add(row * stride + column);
            V::prefetch(place.cast());
        }
    }
}

/// Columns of C that are fewer than those of the micro-kernel.
#[inline(never)]
fn multiply_narrow<V: MicroKernel>(
    token: V::Token,
    strip: Strip<'_>,
    b: Panels<'_>,
    (rows, initial): (Range<usize>, Initial<'_>),
    c: &mut RowsMut<'_>,
) {
    let mut sums = Sums([0.0; SUMS_MAX]);
    for (row, sums) in rows.clone().zip(sums.0.chunks_exact_mut(V::NR)) {
        if matches!(initial, Initial::Sums) {
            sums[..c.width].copy_from_slice(c.row(row));
        }
    }
    let mut tile = Tile {
        values: &mut sums.0,
        stride: V::NR,
        initial,
    };
    V::micro_kernel(token, strip, b, &mut tile);
    for (row, sums) in rows.zip(sums.0.chunks_exact(V::NR)) {
        let width = c.width;
        pack::copy(&sums[..width], c.row(row));
    }
}

/// The sums of a micro-kernel.
#[repr(C, align(64))]
struct Sums([f32; SUMS_MAX]);

/// Cuts rows into as few strips as there can be, as even as can be; where they are filled
/// up with zeros all but the last are whole.
#[inline(always)]
fn strips<V: MicroKernel>(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(V::MR);
    let (each, more) = match V::PADS {
        true => (V::MR, 0),
        false => evenly(rows, count),
    };
    let bound = move |strip: usize| rows.min(strip * each + strip.min(more));
    (0..count).map(move |strip| bound(strip)..bound(strip + 1))
}

/// What each of so many parts has at least, and how many of them have one more: a division once,
/// which takes as long as a step of the depth does.
#[inline(always)]
pub(super) fn evenly(all: usize, parts: usize) -> (usize, usize) {
    let parts = parts.max(1);
    (all / parts, all % parts)
}

/// How many rows are packed for a strip of so many.
#[inline(always)]
fn packed_rows<V: MicroKernel>(rows: usize) -> usize {
    if V::PADS { V::MR } else { rows }
}
