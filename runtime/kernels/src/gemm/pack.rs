//! Packing: matrices in the order in which micro-kernels read them.

use super::{PackedB, Rows};
use crate::aligned::AlignedBuffer;
use crate::isa::Isa;
use crate::shape::{ShapeError, ensure};
use crate::simd::{Baseline, F32x4, Simd};

/// Rows of B that are read at once while it is packed.
const ROWS_AT_ONCE: usize = 128;

/// How a matrix `[depth, columns]` is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Row after row.
    Rows,
    /// Column after column: its transpose is what is stored.
    Columns,
}

/// B in memory of its own, packed for an instruction set.
#[derive(Debug)]
pub struct PackedMatrix {
    panels: AlignedBuffer,
    depth: usize,
    columns: usize,
    panel_width: usize,
}

impl PackedMatrix {
    /// Packs a matrix `[depth, columns]`.
    ///
    /// # Errors
    ///
    /// If there are not as many values.
    pub fn new(
        isa: Isa,
        values: &[f32],
        (depth, columns): (usize, usize),
        order: Order,
    ) -> Result<Self, ShapeError> {
        ensure(
            depth.checked_mul(columns) == Some(values.len()),
            "gemm",
            || format!("{} values for {depth} × {columns}", values.len()),
        )?;
        let panel_width = isa.panel_width();
        let mut panels = AlignedBuffer::default();
        match order {
            Order::Rows => pack_panels(Rows::dense(values, columns), panel_width, &mut panels),
            Order::Columns => {
                pack_panels_transposed(Rows::dense(values, depth), panel_width, &mut panels);
            }
        }
        Ok(Self {
            panels,
            depth,
            columns,
            panel_width,
        })
    }

    /// Packs a matrix of which `read` gives some of its rows, from one on.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub fn read_rows<E>(
        isa: Isa,
        (depth, columns): (usize, usize),
        mut read: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut packed = Self::zeros(isa.panel_width(), (depth, columns));
        let mut rows = vec![0.0; ROWS_AT_ONCE.min(depth) * columns];
        for first in (0..depth).step_by(ROWS_AT_ONCE) {
            let count = ROWS_AT_ONCE.min(depth - first);
            let rows = &mut rows[..count * columns];
            read(first, rows)?;
            packed.put_rows(first, rows);
        }
        Ok(packed)
    }

    /// Takes a matrix that is stored in panels of `stored_width`, of which `read` gives
    /// some, from one on: as they are, or cut into the narrower ones of `isa`.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    ///
    /// # Panics
    ///
    /// If `stored_width` is no multiple of the instruction set's panels.
    pub fn read_panels<E>(
        isa: Isa,
        (depth, columns): (usize, usize),
        stored_width: usize,
        mut read: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let narrow = isa.panel_width();
        assert!(
            stored_width.is_multiple_of(narrow),
            "panels of {stored_width}"
        );
        if stored_width == narrow {
            let mut packed = Self::zeros(stored_width, (depth, columns));
            read(0, &mut packed.panels)?;
            return Ok(packed);
        }
        let mut packed = Self::zeros(narrow, (depth, columns));
        let mut wide = vec![0.0; depth * stored_width];
        for place in 0..columns.div_ceil(stored_width) {
            read(place, &mut wide)?;
            packed.put_panel(place, &wide, stored_width);
        }
        Ok(packed)
    }

    fn zeros(panel_width: usize, (depth, columns): (usize, usize)) -> Self {
        let padded = columns.next_multiple_of(panel_width);
        Self {
            panels: AlignedBuffer::zeros(padded * depth),
            depth,
            columns,
            panel_width,
        }
    }

    fn put_rows(&mut self, first: usize, rows: &[f32]) {
        for (place, row) in rows.chunks_exact(self.columns.max(1)).enumerate() {
            let place = first + place;
            pack_row(row, place, self.depth, self.panel_width, &mut self.panels);
        }
    }

    fn put_panel(&mut self, place: usize, wide: &[f32], stored_width: usize) {
        let length = (self.depth * stored_width).max(1);
        let Some(panels) = self.panels.chunks_mut(length).nth(place) else {
            return;
        };
        let columns = panels.len() / self.depth;
        for (place, row) in wide.chunks_exact(stored_width).enumerate() {
            let row = &row[..columns];
            pack_row(row, place, self.depth, self.panel_width, panels);
        }
    }

    /// For [`gemm`](crate::linear).
    pub fn as_b(&self) -> PackedB<'_> {
        PackedB::whole(&self.panels, (self.depth, self.columns), self.panel_width)
    }
}

/// Makes panels of rows, for a product over their width: of the transpose of B.
pub(crate) fn pack_panels_transposed(
    rows: Rows<'_>,
    panel_width: usize,
    panels: &mut AlignedBuffer,
) {
    panels.resize(rows.count.next_multiple_of(panel_width) * rows.width);
    let length = (panel_width * rows.width).max(1);
    for (place, panel) in panels.chunks_mut(length).enumerate() {
        let first = place * panel_width;
        let rows = rows.some(first..rows.count.min(first + panel_width));
        if rows.count < panel_width {
            panel.fill(0.0);
        }
        transpose(rows, panel, panel_width);
    }
}

/// Makes panels of columns, for a product over the number of rows.
pub(crate) fn pack_panels(rows: Rows<'_>, panel_width: usize, panels: &mut AlignedBuffer) {
    panels.reset(rows.width.next_multiple_of(panel_width) * rows.count);
    for (place, row) in rows.iter().enumerate() {
        pack_row(row, place, rows.count, panel_width, panels);
    }
}

/// Puts a row into panels of a matrix of `depth` rows.
fn pack_row(row: &[f32], place: usize, depth: usize, panel_width: usize, panels: &mut [f32]) {
    let groups = panels[place * panel_width..].chunks_mut(panel_width);
    let groups = groups.step_by(depth);
    for (group, values) in groups.zip(row.chunks(panel_width)) {
        copy(values, group);
    }
}

/// Eight values at a time, since a copy of a constant length needs no call.
#[inline(always)]
pub(crate) fn copy(values: &[f32], to: &mut [f32]) {
    let (to, to_rest) = to[..values.len()].as_chunks_mut::<8>();
    let (values, rest) = values.as_chunks::<8>();
    for (to, values) in to.iter_mut().zip(values) {
        *to = *values;
    }
    for (to, value) in to_rest.iter_mut().zip(rest) {
        *to = *value;
    }
}

/// Writes rows as columns: value k of row r to `k · group_width + r`.
///
/// # Panics
///
/// If there is no place for them.
pub(crate) fn transpose(rows: Rows<'_>, to: &mut [f32], group_width: usize) {
    assert!(rows.count <= group_width && rows.width * group_width <= to.len());
    let Some(last) = rows.count.checked_sub(F32x4::LANES) else {
        return transpose_few(rows, 0, to, group_width);
    };
    // The last four may have been written in part.
    for first in (0..rows.count).step_by(F32x4::LANES) {
        transpose_four(rows, first.min(last), to, group_width);
    }
}

/// Writes the columns of four rows from `first` on.
#[inline(never)]
fn transpose_four(rows: Rows<'_>, first: usize, to: &mut [f32], group_width: usize) {
    let four = [0, 1, 2, 3].map(|row| rows.row(first + row));
    let [a, b, c, d] = four.map(|row| row.as_chunks::<{ F32x4::LANES }>().0);
    let done = a.len() * F32x4::LANES;
    let groups = to.chunks_mut((F32x4::LANES * group_width).max(1));
    for ((((a, b), c), d), to) in a.iter().zip(b).zip(c).zip(d).zip(groups) {
        let four = [a, b, c, d].map(|values| F32x4::load(Baseline, values));
        let [a, b, c, d] = F32x4::transpose(four);
        let to = &mut to[first..];
        a.store(to);
        b.store(&mut to[group_width..]);
        c.store(&mut to[2 * group_width..]);
        d.store(&mut to[3 * group_width..]);
    }
    transpose_few(
        rows.some(first..first + F32x4::LANES)
            .columns(done..rows.width),
        first,
        &mut to[done * group_width..],
        group_width,
    );
}

/// A value at a time.
fn transpose_few(rows: Rows<'_>, first: usize, to: &mut [f32], group_width: usize) {
    if rows.width == 0 {
        return;
    }
    for (place, row) in rows.iter().enumerate() {
        let places = to[first + place..].iter_mut().step_by(group_width);
        for (to, value) in places.zip(row) {
            *to = *value;
        }
    }
}
