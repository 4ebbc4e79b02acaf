//! Products of float32 matrices: packed factors, and the tile all time goes into.
//!
//! The right factor is packed in panels of columns, two vectors wide or a multiple
//! of that, with the common dimension outside: the kernel reads one stream. The left one is
//! read in strips of rows where it is; four values wide, where processors have few
//! registers for addresses, it is packed alike. Rows and columns beyond a matrix
//! are zeros in what is packed, and are never stored.
//!
//! Every value is one sum over the common dimension, in order: a row's result
//! depends neither on the rows beside it nor on where they are cut.

use super::buffer::{Buffer, LINE};
use super::lanes::{F32x4, Lanes, TILE_MAX};
use std::ops::Range;

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

/// Where the results of a product go: rows of `width`, which may be part of wider ones.
pub(super) struct RowsMut<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) width: usize,
}

/// Makes panels of rows, for a product over their width: the right factor,
/// transposed.
pub(super) fn pack_panels_transposed(rows: Rows<'_>, panel_width: usize, panels: &mut Buffer) {
    panels.clear(rows.count.next_multiple_of(panel_width) * rows.width);
    pack_across(rows, panels, panel_width);
}

/// Makes panels of columns, for a product over the number of rows.
pub(super) fn pack_panels(rows: Rows<'_>, panel_width: usize, panels: &mut Buffer) {
    panels.clear(rows.width.next_multiple_of(panel_width) * rows.count);
    for (place, row) in rows.iter().enumerate() {
        pack_row(row, place, rows.count, panel_width, panels);
    }
}

/// Puts a row into panels for a product over `count` rows.
pub(super) fn pack_row(
    row: &[f32],
    place: usize,
    count: usize,
    panel_width: usize,
    panels: &mut [f32],
) {
    let groups = panels[place * panel_width..].chunks_mut(panel_width);
    let groups = groups.step_by(count);
    for (group, values) in groups.zip(row.chunks(panel_width)) {
        copy(values, group);
    }
}

/// Eight values at a time, since a copy of a constant length needs no call.
#[inline(always)]
fn copy(values: &[f32], to: &mut [f32]) {
    let (to, to_rest) = to[..values.len()].as_chunks_mut::<8>();
    let (values, rest) = values.as_chunks::<8>();
    for (to, values) in to.iter_mut().zip(values) {
        *to = *values;
    }
    for (to, value) in to_rest.iter_mut().zip(rest) {
        *to = *value;
    }
}

/// Writes rows as columns, in groups of `stride`.
fn pack_across(rows: Rows<'_>, packed: &mut [f32], stride: usize) {
    let mut rows = rows.iter().peekable();
    let mut start = 0;
    while let Some(width) = rows.peek().map(|row| row.len()) {
        let packed = &mut packed[start..start + width * stride];
        for first in (0..stride).step_by(F32x4::COUNT) {
            let four = [(); F32x4::COUNT].map(|()| rows.next().unwrap_or_default());
            pack_four(&four, packed, first, stride);
        }
        start += width * stride;
    }
}

/// Writes the columns of up to four rows from `first` on, in groups of `stride`.
#[inline(never)]
fn pack_four(rows: &[&[f32]; F32x4::COUNT], packed: &mut [f32], first: usize, stride: usize) {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<{ F32x4::COUNT }>().0);
    let mut done = 0;
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        let four = [a, b, c, d].map(|values| F32x4::load(values));
        for (place, column) in F32x4::transpose(four).into_iter().enumerate() {
            column.store(&mut packed[(done + place) * stride + first..]);
        }
        done += F32x4::COUNT;
    }
    // What is left of the columns, or all of fewer than four rows.
    for (place, row) in rows.iter().enumerate() {
        for (column, value) in row.iter().enumerate().skip(done) {
            packed[column * stride + first + place] = *value;
        }
    }
}

/// The left factor of a product: rows where they are, or packed.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    values: &'a [f32],
    count: usize,
    depth: usize,
    row_stride: usize,
    step: usize,
    strip_stride: usize,
}

/// Copies rows further apart if a first-level cache would keep values of the same
/// column in few of its sets: one has 4 KiB in each of its ways.
fn apart<'a>(rows: Rows<'a>, memory: &'a mut Buffer) -> Rows<'a> {
    let clash = 2048 / size_of::<f32>();
    if rows.count == 1 || !rows.stride.is_multiple_of(clash) {
        return rows;
    }
    let stride = rows.width + LINE;
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

/// Some rows of a left factor, for a tile.
#[derive(Clone, Copy)]
#[allow(
    dead_code,
    reason = "where all rows are packed, their strides are known"
)]
pub(super) struct Strip {
    /// The first value of the first row.
    pub(super) at: *const f32,
    pub(super) row_stride: usize,
    /// From a value to the next one of its row.
    pub(super) step: usize,
    pub(super) rows: usize,
}

/// The right factor of a product.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) values: &'a [f32],
    /// Columns of a panel.
    pub(super) width: usize,
}

/// Two vectors at each place of the common dimension, for a tile.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "where panels are two vectors wide, so is a step")]
pub(super) struct Pairs {
    pub(super) at: *const f32,
    /// From a pair to the next.
    pub(super) step: usize,
}

impl<'a> Panels<'a> {
    /// Those that are as wide as a tile.
    pub(super) fn of<V: Lanes>(values: &'a [f32]) -> Self {
        Self {
            values,
            width: 2 * V::COUNT,
        }
    }

    /// The first column of each tile, and its vectors.
    #[inline(always)]
    fn pairs<V: Lanes>(self, depth: usize) -> impl Iterator<Item = (usize, Pairs)> + 'a {
        let Self { values, width } = self;
        let panels = values.chunks_exact(depth * width).enumerate();
        panels.flat_map(move |(place, panel)| {
            let columns = (0..width).step_by(2 * V::COUNT);
            columns.map(move |column| {
                let pairs = Pairs {
                    at: panel[column..].as_ptr(),
                    step: width,
                };
                (place * width + column, pairs)
            })
        })
    }
}

impl<'a> Left<'a> {
    /// Packs the rows into `memory` where the tile wants that.
    #[inline(always)]
    pub(super) fn of<V: Lanes>(rows: Rows<'a>, memory: &'a mut Buffer) -> Self {
        let Rows { count, width, .. } = rows;
        if V::PACKED {
            memory.clear(count.next_multiple_of(V::ROWS) * width);
            pack_across(rows, memory, V::ROWS);
            return Self {
                values: memory,
                count,
                depth: width,
                row_stride: 1,
                step: V::ROWS,
                strip_stride: width,
            };
        }
        let rows = apart(rows, memory);
        let end = count
            .checked_sub(1)
            .map_or(0, |last| last * rows.stride + width);
        Self {
            values: &rows.values[..end],
            count,
            depth: width,
            row_stride: rows.stride,
            step: 1,
            strip_stride: rows.stride,
        }
    }

    /// The first row of each strip, and the strip.
    #[inline(always)]
    fn strips<V: Lanes>(self) -> impl Iterator<Item = (usize, Strip)> {
        strips::<V>(self.count).map(move |rows| {
            let strip = Strip {
                at: self.values[rows.start * self.strip_stride..].as_ptr(),
                row_stride: self.row_stride,
                step: self.step,
                rows: rows.len(),
            };
            (rows.start, strip)
        })
    }
}

/// Cuts rows into as few strips as there can be, as even as can be; of packed ones
/// all but the last are whole.
#[inline(always)]
pub(super) fn strips<V: Lanes>(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(V::ROWS);
    let bound = move |strip: usize| match V::PACKED {
        true => (strip * V::ROWS).min(rows),
        false => strip * rows / count,
    };
    (0..count).map(move |strip| bound(strip)..bound(strip + 1))
}

/// A tile's sums.
#[repr(C, align(64))]
struct Sums([f32; TILE_MAX]);

/// Multiplies, and adds a bias for each column, of which there are whole panels of
/// whole tiles.
#[inline(always)]
pub(super) fn multiply<V: Lanes>(
    left: Left<'_>,
    panels: Panels<'_>,
    biases: Option<&[f32]>,
    output: &mut RowsMut<'_>,
) {
    let tile_width = 2 * V::COUNT;
    let mut sums = Sums([0.0; TILE_MAX]);
    for (first_column, pairs) in panels.pairs::<V>(left.depth) {
        if first_column >= output.width {
            break;
        }
        let columns = first_column..output.width.min(first_column + tile_width);
        let biases = match biases {
            Some(biases) => {
                let (first, second) = biases[first_column..].split_at(V::COUNT);
                Some((V::load(first), V::load(second)))
            }
            None => None,
        };
        for (first, strip) in left.strips::<V>() {
            // SAFETY: a strip is of rows of `depth` values, as the panels are, and has
            // no more of them than a tile.
            unsafe { V::tile(strip, pairs, left.depth, sums.0.as_mut_ptr()) };
            let rows = (first..first + strip.rows).zip(sums.0.chunks_exact_mut(tile_width));
            for (row, sums) in rows {
                if let Some((first, second)) = biases {
                    V::load(sums).add(first).store(sums);
                    let sums = &mut sums[V::COUNT..];
                    V::load(sums).add(second).store(sums);
                }
                let row = &mut output.values[row * output.stride..][columns.clone()];
                if row.len() == tile_width {
                    V::load(sums).store(row);
                    V::load(&sums[V::COUNT..]).store(&mut row[V::COUNT..]);
                } else {
                    copy(&sums[..row.len()], row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::lanes::{Isa, Task};
    use encoderfile_format::weights::PANEL;

    /// Values that are not all sums of few bits.
    fn values(count: usize) -> Vec<f32> {
        let values = (0..count).map(|place| (place * 7919 % 1009) as f32);
        values.map(|value| value / 97.0 - 5.0).collect()
    }

    struct Product<'a> {
        left: Rows<'a>,
        panels: Panels<'a>,
        biases: &'a [f32],
        output: RowsMut<'a>,
    }

    impl Task for Product<'_> {
        type Output = bool;

        #[inline(always)]
        fn run<V: Lanes>(mut self) -> bool {
            let mut memory = Buffer::default();
            let left = Left::of::<V>(self.left, &mut memory);
            multiply::<V>(left, self.panels, Some(self.biases), &mut self.output);
            // Whether products are rounded.
            let [a, b] = [1.0f32 + f32::EPSILON, 1.0 - f32::EPSILON / 2.0];
            let sum = V::splat(a).mul_add(V::splat(b), V::splat(-1.0));
            sum.fold(|first, _| first) == a * b - 1.0
        }
    }

    fn check(isa: Isa, rows: usize, depth: usize, columns: usize) {
        let width = isa.panel_width();
        check_panels(isa, rows, depth, columns, width);
        if isa.reads_wide_panels() {
            check_panels(isa, rows, depth, columns, PANEL);
        }
    }

    fn check_panels(isa: Isa, rows: usize, depth: usize, columns: usize, width: usize) {
        let (left_stride, stride) = (depth + 3, columns + 2);
        let left = values(rows * left_stride);
        let right = values(depth * columns);
        let transposed: Vec<f32> = (0..columns * depth)
            .map(|place| right[place % depth * columns + place / depth])
            .collect();
        let (mut panels, mut others) = (Buffer::default(), Buffer::default());
        pack_panels(Rows::dense(&right, columns), width, &mut panels);
        pack_panels_transposed(Rows::dense(&transposed, depth), width, &mut others);
        assert_eq!(*panels, *others, "{isa:?}: {rows} × {depth} × {columns}");
        let mut biases = values(columns);
        biases.resize(columns.next_multiple_of(width), 0.0);

        let mut output = vec![f32::NAN; rows * stride];
        let rounds = isa.run(Product {
            left: Rows {
                values: &left,
                stride: left_stride,
                width: depth,
                count: rows,
            },
            panels: Panels {
                values: &panels,
                width,
            },
            biases: &biases,
            output: RowsMut {
                values: &mut output,
                stride,
                width: columns,
            },
        });
        for (row, output) in output.chunks(stride).enumerate() {
            for (column, value) in output[..columns].iter().enumerate() {
                let terms =
                    (0..depth).map(|k| (left[row * left_stride + k], right[k * columns + column]));
                let sum = terms.fold(0.0f32, |sum, (a, b)| match rounds {
                    true => sum + a * b,
                    false => a.mul_add(b, sum),
                });
                let expected = sum + biases[column];
                let place = format!("{isa:?}: row {row}, column {column}");
                assert_eq!(value.to_bits(), expected.to_bits(), "{place}");
            }
            assert!(
                output[columns..].iter().all(|value| value.is_nan()),
                "{isa:?}"
            );
        }
    }

    #[test]
    fn every_value_is_one_sum_whatever_the_edges() {
        for isa in Isa::all() {
            for rows in 1..=26 {
                check(isa, rows, 5, 9);
            }
            let shapes = [(1, 1, 1), (4, 8, 8), (3, 4, 17), (9, 33, 64), (13, 2, 70)];
            for (rows, depth, columns) in shapes {
                check(isa, rows, depth, columns);
            }
            // Three values more are 512 from row to row, which are put further apart.
            check(isa, 13, 509, 33);
        }
    }
}
