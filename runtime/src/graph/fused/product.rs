//! Products of float32 matrices: packed factors, and the tile all time goes into.
//!
//! The left factor is packed in strips of [`TILE_ROWS`] rows, the right one in
//! panels of [`TILE_COLUMNS`] columns, both with the common dimension outside, so
//! that the kernel reads two streams. Rows and columns beyond a matrix are zeros
//! in its last strip or panel and are never stored.
//!
//! Every value is one sum over the common dimension, in order: a row's result
//! depends neither on the rows beside it nor on where they are cut.

use super::lanes::{F32x4, LANES};
use std::sync::OnceLock;

/// Rows of a strip. Four rows by eight columns are eight vectors of sums: V8
/// keeps those, the factors and a product in the 15 registers it has on x86-64.
/// Chromium 148, Zen 4: 46 GFLOP/s for 4 × 8, 25 for 5 × 8, 26 for 8 × 8.
pub(super) const TILE_ROWS: usize = 4;
/// Columns of a panel.
pub(super) const TILE_COLUMNS: usize = 2 * LANES;

/// What a strip has at one place of the common dimension.
pub(super) type StripGroup = [f32; TILE_ROWS];
/// What a panel has at one place of the common dimension.
pub(super) type PanelGroup = [[f32; LANES]; 2];
/// Four rows of eight sums.
pub(super) type Tile = [PanelGroup; TILE_ROWS];

/// Computes a tile: from a strip and a panel of `depth` groups each, of four and
/// of eight values, the 32 sums, row after row.
///
/// # Safety
///
/// As many values can be read and written at the addresses, all divisible by four.
pub type TileKernel =
    unsafe extern "C" fn(strip: *const f32, panel: *const f32, depth: usize, sums: *mut f32);

static KERNEL: OnceLock<TileKernel> = OnceLock::new();

/// Has all tiles computed by a kernel that uses more of a processor than this
/// module may ask for. Returns whether it is the first one.
///
/// # Safety
///
/// The kernel reads and writes nothing but what [`TileKernel`] says.
pub unsafe fn use_tile_kernel(kernel: TileKernel) -> bool {
    KERNEL.set(kernel).is_ok()
}

/// Values in rows, which may be part of wider rows.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    /// From the start of a row to that of the next.
    pub(super) stride: usize,
    pub(super) width: usize,
    pub(super) count: usize,
}

impl<'a> Rows<'a> {
    /// Rows one after the other.
    pub(super) fn dense(values: &'a [f32], width: usize) -> Self {
        Self {
            values,
            stride: width,
            width,
            count: values.len() / width,
        }
    }

    fn iter(self) -> impl Iterator<Item = &'a [f32]> {
        (0..self.count).map(move |row| &self.values[row * self.stride..][..self.width])
    }
}

/// Makes strips of rows, for a product over their width.
pub(super) fn pack_strips(rows: Rows<'_>, strips: &mut Vec<StripGroup>) {
    strips.clear();
    strips.resize(
        rows.count.div_ceil(TILE_ROWS) * rows.width,
        [0.0; TILE_ROWS],
    );
    pack_across(rows, strips.as_flattened_mut(), TILE_ROWS);
}

/// Makes panels of rows, for a product over their width: the right factor,
/// transposed.
pub(super) fn pack_panels_transposed(rows: Rows<'_>, panels: &mut Vec<PanelGroup>) {
    panels.clear();
    panels.resize(
        rows.count.div_ceil(TILE_COLUMNS) * rows.width,
        [[0.0; LANES]; 2],
    );
    let flat = panels.as_flattened_mut().as_flattened_mut();
    pack_across(rows, flat, TILE_COLUMNS);
}

/// Makes panels of columns, for a product over the number of rows.
pub(super) fn pack_panels(rows: Rows<'_>, panels: &mut Vec<PanelGroup>) {
    panels.clear();
    panels.resize(
        rows.width.div_ceil(TILE_COLUMNS) * rows.count,
        [[0.0; LANES]; 2],
    );
    for (place, row) in rows.iter().enumerate() {
        let groups = panels[place..].iter_mut().step_by(rows.count);
        for (group, values) in groups.zip(row.chunks(TILE_COLUMNS)) {
            let group = group.as_flattened_mut();
            // A copy of a constant length is two vectors and no call.
            match <&[f32; TILE_COLUMNS]>::try_from(values) {
                Ok(values) => group.copy_from_slice(values),
                Err(_) => group[..values.len()].copy_from_slice(values),
            }
        }
    }
}

/// Writes rows as columns, in groups of `stride`.
fn pack_across(rows: Rows<'_>, packed: &mut [f32], stride: usize) {
    let mut rows = rows.iter().peekable();
    let mut start = 0;
    while let Some(width) = rows.peek().map(|row| row.len()) {
        let packed = &mut packed[start..start + width * stride];
        for first in (0..stride).step_by(LANES) {
            let four = [(); LANES].map(|()| rows.next().unwrap_or_default());
            pack_four(&four, packed, first, stride);
        }
        start += width * stride;
    }
}

/// Writes the columns of up to four rows from `first` on, in groups of `stride`.
#[inline(never)]
fn pack_four(rows: &[&[f32]; LANES], packed: &mut [f32], first: usize, stride: usize) {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<LANES>().0);
    let mut done = 0;
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        let columns = F32x4::transpose([a, b, c, d].map(F32x4::load));
        for (place, column) in columns.into_iter().enumerate() {
            let start = (done + place) * stride + first;
            if let Some(packed) = packed[start..].first_chunk_mut() {
                column.store(packed);
            }
        }
        done += LANES;
    }
    // What is left of the columns, or all of fewer than four rows.
    for (place, row) in rows.iter().enumerate() {
        for (column, value) in row.iter().enumerate().skip(done) {
            packed[column * stride + first + place] = *value;
        }
    }
}

/// The product of a strip and a panel of the same length.
#[inline(always)]
pub(super) fn multiply(strip: &[StripGroup], panel: &[PanelGroup], sums: &mut Tile) {
    let Some(kernel) = KERNEL.get() else {
        return multiply_portably(strip, panel, sums);
    };
    let depth = strip.len().min(panel.len());
    let strip = strip.as_ptr().cast();
    let panel = panel.as_ptr().cast();
    // SAFETY: both have `depth` groups, and a tile is 32 values.
    unsafe { kernel(strip, panel, depth, sums.as_mut_ptr().cast()) }
}

/// Four splats and two vectors for eight multiplications and additions, written
/// so that nothing is left to be unrolled. Each product is rounded before it is
/// added.
#[inline(never)]
fn multiply_portably(strip: &[StripGroup], panel: &[PanelGroup], sums: &mut Tile) {
    let zero = F32x4::splat(&0.0);
    let [mut low0, mut low1, mut low2, mut low3] = [zero; TILE_ROWS];
    let [mut high0, mut high1, mut high2, mut high3] = [zero; TILE_ROWS];
    for (left, [first, second]) in strip.iter().zip(panel) {
        let [row0, row1, row2, row3] = left;
        let (row0, row1) = (F32x4::splat(row0), F32x4::splat(row1));
        let (row2, row3) = (F32x4::splat(row2), F32x4::splat(row3));
        let (first, second) = (F32x4::load(first), F32x4::load(second));
        low0 = low0.add(row0.mul(first));
        low1 = low1.add(row1.mul(first));
        low2 = low2.add(row2.mul(first));
        low3 = low3.add(row3.mul(first));
        high0 = high0.add(row0.mul(second));
        high1 = high1.add(row1.mul(second));
        high2 = high2.add(row2.mul(second));
        high3 = high3.add(row3.mul(second));
    }
    let [row0, row1, row2, row3] = sums;
    for ([first, second], low, high) in [
        (row0, low0, high0),
        (row1, low1, high1),
        (row2, low2, high2),
        (row3, low3, high3),
    ] {
        low.store(first);
        high.store(second);
    }
}

/// Writes as many of eight values as there is room for.
#[inline(always)]
pub(super) fn store(values: &PanelGroup, row: &mut [f32]) {
    match row.first_chunk_mut::<TILE_COLUMNS>() {
        Some(row) => row.copy_from_slice(values.as_flattened()),
        None => row.copy_from_slice(&values.as_flattened()[..row.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that are not all sums of few bits.
    fn values(count: usize) -> Vec<f32> {
        let values = (0..count).map(|place| (place * 7919 % 1009) as f32);
        values.map(|value| value / 97.0 - 5.0).collect()
    }

    /// As the tile computes it: one sum, in order.
    fn expected(left: &[f32], right: impl Fn(usize) -> f32) -> f32 {
        let left = left.iter().enumerate();
        left.fold(0.0, |sum, (place, value)| sum + value * right(place))
    }

    fn check(rows: usize, depth: usize, columns: usize) {
        let left = values(rows * depth);
        let right = values(depth * columns);
        let transposed: Vec<f32> = (0..columns * depth)
            .map(|place| right[place % depth * columns + place / depth])
            .collect();
        let (mut strips, mut panels, mut others) = (vec![], vec![], vec![]);
        pack_strips(Rows::dense(&left, depth), &mut strips);
        pack_panels(Rows::dense(&right, columns), &mut panels);
        pack_panels_transposed(Rows::dense(&transposed, depth), &mut others);
        assert_eq!(panels, others, "{rows} × {depth} × {columns}");
        for row in 0..rows {
            for column in 0..columns {
                let strip = strips.chunks_exact(depth).nth(row / TILE_ROWS).unwrap();
                let panel = panels
                    .chunks_exact(depth)
                    .nth(column / TILE_COLUMNS)
                    .unwrap();
                let mut sums = Tile::default();
                multiply(strip, panel, &mut sums);
                let sum = sums[row % TILE_ROWS].as_flattened()[column % TILE_COLUMNS];
                let left = &left[row * depth..][..depth];
                let expected = expected(left, |place| right[place * columns + column]);
                assert_eq!(
                    sum.to_bits(),
                    expected.to_bits(),
                    "row {row}, column {column}"
                );
            }
        }
    }

    #[test]
    fn every_value_is_one_sum_whatever_the_edges() {
        for (rows, depth, columns) in [(1, 1, 1), (4, 8, 8), (5, 7, 9), (3, 4, 17), (9, 33, 12)] {
            check(rows, depth, columns);
        }
    }
}
