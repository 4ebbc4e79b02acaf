//! float32 GEMM: `C = A · B`, with B packed in panels and A in strips.
//!
//! B `[depth, columns]` is packed once, in panels of columns with the depth outside
//! ([`PackedB`]); or so stored in fewer bits, and decoded a block at a time ([`EncodedB`],
//! [`BlockedB`]). Of A `[rows, depth]` a block of the depth at a time is packed, in strips
//! of at most MR rows ([`Strips`]). The micro-kernel multiplies a strip by NR columns, reads
//! one stream of each, and a block of a panel stays in the first cache for all strips.
//!
//! **Invariant:** every value of C is one sum, of its bias and then over the depth in order,
//! and then its activation: a row's result depends neither on the rows beside it nor on where blocks begin.

pub(crate) mod encoded;
pub(crate) mod int8;
pub(crate) mod linear;
pub(crate) mod micro_kernel;
pub(crate) mod pack;
pub(crate) mod strips;

use crate::aligned::{AlignedBuffer, PANEL_ALIGNMENT};
use crate::shape::{ShapeError, ensure};
#[cfg(doc)]
use encoded::EncodedB;
use linear::Epilogue;
pub(crate) use micro_kernel::{Half, Initial, MicroKernel, NR_MAX, Panels, Strip, Tile};
use std::ops::Range;
pub(crate) use strips::Strips;
use zerocopy::IntoBytes;

/// How much of a panel is multiplied at a time, in values: 24 KiB, of a first cache's 32 to
/// 48. Of 16 columns it is 384 of the depth (Kc).
const PANEL_BLOCK: usize = 6144;

/// Columns whose activation is computed at a time: while they are in a cache, and enough of
/// a row not to begin a loop for each two vectors. A multiple of every NR.
const ACTIVATED_COLUMNS: usize = 64;

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

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [f32]> {
        (0..self.count).map(move |row| self.row(row))
    }

    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> &'a [f32] {
        &self.values[row * self.stride..][..self.width]
    }

    /// Some of the rows.
    #[inline(always)]
    pub(crate) fn some(self, rows: Range<usize>) -> Self {
        Self {
            values: &self.values[(rows.start * self.stride).min(self.values.len())..],
            count: rows.len(),
            ..self
        }
    }

    /// Some values of each row.
    #[inline(always)]
    pub(crate) fn columns(self, columns: Range<usize>) -> Self {
        Self {
            values: &self.values[columns.start.min(self.values.len())..],
            width: columns.len(),
            ..self
        }
    }
}

/// Where C goes: rows of `width`, which may be part of wider ones.
pub(crate) struct RowsMut<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) width: usize,
}

impl<'a> RowsMut<'a> {
    /// So many of the first rows.
    #[inline(always)]
    pub(crate) fn rows(self, count: usize) -> impl Iterator<Item = &'a mut [f32]> {
        let rows = self.values.chunks_mut(self.stride.max(1)).take(count);
        rows.map(move |row| &mut row[..self.width])
    }

    /// Some values of each row.
    #[inline(always)]
    pub(crate) fn columns(&mut self, columns: Range<usize>) -> RowsMut<'_> {
        RowsMut {
            values: &mut self.values[columns.start..],
            stride: self.stride,
            width: columns.len(),
        }
    }

    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.stride..][..self.width]
    }
}

/// B, of which the micro-kernel is given some of the depth at a time.
pub(crate) trait BlockedB: Copy {
    fn depth(self) -> usize;

    fn columns(self) -> usize;

    /// The columns of a panel.
    fn panel_width<V: MicroKernel>(self) -> usize {
        V::PANEL
    }

    /// NR columns from `first` on, which is a multiple of NR, over some of the depth: from a
    /// multiple of [`PANEL_BLOCK`] values on, to another or to the end. They are asked for one
    /// after the other, with `memory` that only this block writes to.
    fn block<'m, V: MicroKernel>(
        self,
        token: V::Token,
        first: usize,
        depth: Range<usize>,
        memory: &'m mut AlignedBuffer,
    ) -> Panels<'m>
    where
        Self: 'm;
}

/// B `[depth, columns]`, packed in panels: `panel_width` columns after `panel_width`
/// columns, each row after row, with zeros for columns beyond the last.
#[derive(Clone, Copy, Debug)]
pub struct PackedB<'a> {
    panels: &'a [f32],
    /// Rows of what is packed: so many a panel has.
    panel_rows: usize,
    /// The first of them that is a row of B.
    first_row: usize,
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
        Ok(Self::whole(panels, (depth, columns), panel_width))
    }

    /// All rows of what is packed.
    fn whole(panels: &'a [f32], (depth, columns): (usize, usize), panel_width: usize) -> Self {
        Self {
            panels,
            panel_rows: depth,
            first_row: 0,
            depth,
            columns,
            panel_width,
        }
    }

    /// Some of its rows, and the columns of some of its panels.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    #[inline(always)]
    pub(crate) fn part(self, rows: Range<usize>, panels: Range<usize>) -> Self {
        assert!(rows.end <= self.depth);
        let length = self.panel_rows * self.panel_width;
        Self {
            panels: &self.panels[panels.start * length..panels.end * length],
            first_row: self.first_row + rows.start,
            depth: rows.len(),
            columns: panels.len() * self.panel_width,
            ..self
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

    /// Columns of a panel.
    pub(crate) fn width_of_panels(self) -> usize {
        self.panel_width
    }

    /// Whether the micro-kernel can read these panels.
    pub(crate) fn fits<V: MicroKernel>(self) -> bool {
        V::reads_panels_of(self.panel_width)
    }
}

impl BlockedB for PackedB<'_> {
    fn depth(self) -> usize {
        self.depth
    }

    fn columns(self) -> usize {
        self.columns
    }

    fn panel_width<V: MicroKernel>(self) -> usize {
        self.panel_width
    }

    #[inline(always)]
    fn block<'m, V: MicroKernel>(
        self,
        _token: V::Token,
        first: usize,
        depth: Range<usize>,
        _memory: &'m mut AlignedBuffer,
    ) -> Panels<'m>
    where
        Self: 'm,
    {
        let depth = self.first_row + depth.start..self.first_row + depth.end;
        if V::READS_HALVES && self.panel_width != V::PANEL {
            let block = depth.start * self.panel_width..depth.end * self.panel_width;
            let mut panels = self.panels.chunks_exact(self.panel_rows * self.panel_width);
            let panel = panels.nth(first / self.panel_width).unwrap_or(&[]);
            let half = match first.is_multiple_of(self.panel_width) {
                true => Half::First,
                false => Half::Second,
            };
            return Panels {
                half: Some(half),
                ..Panels::last([&panel[block]; 2])
            };
        }
        let block = depth.start * V::PANEL..depth.end * V::PANEL;
        let panels = self.panels.chunks_exact(self.panel_rows * V::PANEL);
        let panel = |after: usize| panels.clone().nth(first / V::PANEL + after);
        let some = |panel: &'m [f32]| &panel[block.clone()];
        let (first_one, per) = (panel(0).unwrap_or(&[]), V::NR / V::PANEL);
        // What comes of the second of a lone one is not kept.
        let second = panel(per - 1).unwrap_or(first_one);
        let next = match (panel(per), panel(2 * per - 1)) {
            (Some(first), Some(second)) => [first, second].map(|it| some(it).as_bytes()),
            _ => [&[][..]; 2],
        };
        Panels {
            values: [first_one, second].map(some),
            half: None,
            next,
        }
    }
}

/// What a GEMM writes on the way.
#[derive(Default)]
pub(crate) struct Memory {
    /// A, a block of the depth of it.
    pub(crate) strips: AlignedBuffer,
    /// Of B, what is decoded.
    pub(crate) panels: AlignedBuffer,
}

/// Computes C, with an epilogue or none.
///
/// The caller has checked that A and B have one depth, that the panels fit the
/// micro-kernel ([`PackedB::fits`]) and that C has the rows.
#[inline(always)]
pub(crate) fn gemm<V: MicroKernel>(
    token: V::Token,
    a: Rows<'_>,
    b: impl BlockedB,
    epilogue: Option<Epilogue<'_>>,
    memory: &mut Memory,
    c: &mut RowsMut<'_>,
) {
    if b.depth() == 0 {
        return without_depth::<V>(token, (a.count, b.columns()), epilogue, c);
    }
    let Memory { strips, panels } = memory;
    for block in depth_blocks(b.depth(), b.panel_width::<V>()) {
        let strips = [Strips::of_block::<V>(a, block.clone(), strips)];
        let c = std::slice::from_mut(c);
        multiply_block::<V>(token, &strips, (b, block), epilogue, panels, c);
    }
}

/// Cuts the depth into blocks of which a panel is in a cache.
#[inline(always)]
pub(crate) fn depth_blocks(depth: usize, panel_width: usize) -> impl Iterator<Item = Range<usize>> {
    let each = PANEL_BLOCK / panel_width;
    let starts = (0..depth).step_by(each);
    starts.map(move |start| start..depth.min(start + each))
}

/// Adds to each C the products of a block of the depth, of which its A has been packed; after the
/// last block C has its activation too. All C are as wide.
#[inline(always)]
pub(crate) fn multiply_block<V: MicroKernel>(
    token: V::Token,
    a: &[Strips<'_>],
    (b, block): (impl BlockedB, Range<usize>),
    epilogue: Option<Epilogue<'_>>,
    memory: &mut AlignedBuffer,
    c: &mut [RowsMut<'_>],
) {
    let width = c.first().map_or(0, |c| c.width);
    let (is_first, is_last) = (block.start == 0, block.end == b.depth());
    for first in (0..b.columns().min(width)).step_by(V::NR) {
        let panels = b.block::<V>(token, first, block.clone(), memory);
        let columns = first..width.min(first + V::NR);
        let mut biases = [0.0; NR_MAX];
        let initial = match epilogue {
            _ if !is_first => Initial::Sums,
            Some(epilogue) => epilogue.biases::<V>(first, &mut biases),
            None => Initial::ZEROS,
        };
        let activated = activated_columns(columns.end, width).filter(|_| is_last);
        for ((strips, c), panels) in a.iter().zip(&mut *c).zip(panels.in_parts(a.len())) {
            strips.multiply::<V>(token, panels, initial, &mut c.columns(columns.clone()));
        }
        if let Some((Epilogue { activation, .. }, columns)) = epilogue.zip(activated) {
            for (strips, c) in a.iter().zip(&mut *c) {
                let rows = c.columns(columns.clone()).rows(strips.rows());
                activation.apply_to_rows::<V>(token, rows);
            }
        }
    }
}

/// Of so many columns, of which `end` are computed, those whose activation is next.
#[inline(always)]
pub(crate) fn activated_columns(end: usize, columns: usize) -> Option<Range<usize>> {
    let is_whole = end.is_multiple_of(ACTIVATED_COLUMNS) || end == columns;
    is_whole.then(|| (end - 1) / ACTIVATED_COLUMNS * ACTIVATED_COLUMNS..end)
}

/// Sums of nothing.
#[inline(always)]
pub(crate) fn without_depth<V: MicroKernel>(
    token: V::Token,
    (count, columns): (usize, usize),
    epilogue: Option<Epilogue<'_>>,
    c: &mut RowsMut<'_>,
) {
    let mut c = c.columns(0..c.width.min(columns));
    let width = c.width;
    for row in 0..count {
        match epilogue {
            Some(epilogue) => c.row(row).copy_from_slice(&epilogue.bias[..width]),
            None => c.row(row).fill(0.0),
        }
    }
    if let Some(epilogue) = epilogue {
        epilogue.activation.apply_to_rows::<V>(token, c.rows(count));
    }
}
