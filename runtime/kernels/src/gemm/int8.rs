//! int8 GEMM with int32 accumulators.
//!
//! Quantisation of B is symmetric: a value is `scale × q` with q in −127..=127, one scale for
//! each column, found when it is packed. That of A is asymmetric: a value is
//! `scale × (q − zero point)` with q in 0..=127, both of each row, found when it is computed (dynamic
//! quantisation). So a row's result depends on no other row. Both are rotated before it ([`rotation`]).
//!
//! Columns of A may be multiplied by factors before that (smoothing, [`Weights::Int8`]): where
//! a few columns are far larger than all others, as after a LayerNorm, they alone would say
//! how large the steps are. B's rows have been divided by the same factors.
//!
//! [`Weights::Int8`]: super::linear::Weights::Int8
//!
//! **Invariant:** sums are exact, and therefore the same on every machine: depths are
//! at most [`DEPTH_MAX`], and so are the products that AVX2 adds up in 16 bits
//! ([`MAGNITUDES_MAX`]).

pub(crate) mod micro_kernel;
pub(crate) mod rotation;

use super::linear::Epilogue;
use super::pack::{self, Order};
use super::strips::evenly;
use super::{Rows, activated_columns};
use crate::aligned::AlignedBuffer;
use crate::isa::Isa;
use crate::shape::{ShapeError, ensure};
use crate::simd::Simd;
use micro_kernel::{Int8Kernel, Packing, Panel, SUMS_MAX};
use rotation::{BLOCK, RotateColumns, SQUARED_LENGTH};
use zerocopy::{FromBytes, IntoBytes, transmute_mut, transmute_ref};

/// B's quantisation range is −127..=127: the largest magnitude of a column becomes at most its end.
const Q_MAX: f32 = 127.0;

/// What the magnitudes of the four numbers of B add up to at most whose products AVX2 adds up in 16 bits,
/// times [`A_MAX`] each.
pub(crate) const MAGNITUDES_MAX: i32 = 258;

/// The same before they are rounded, which may add a half to each.
const MAGNITUDES: f32 = 256.0;

/// A's quantisation range is 0..=127, of 7 bits.
pub(crate) const A_MAX: i32 = 127;

/// Steps between the least and the largest value of a row of A: one less than from 0 to 127, so that
/// the zero point can be rounded.
const STEPS: f32 = 126.0;

const _: () = assert!(
    MAGNITUDES_MAX * A_MAX <= i16::MAX as i32
        && MAGNITUDES + 4.0 * 0.5 == MAGNITUDES_MAX as f32
        && STEPS + 1.0 == A_MAX as f32,
    "products that AVX2 adds up in 16 bits"
);

/// More terms than these could exceed an accumulator: they are at most 127 × 127 each, with A's zero
/// point and without.
pub const DEPTH_MAX: usize = 1 << 16;

/// B `[depth, columns]`, quantised and packed.
#[derive(Debug)]
pub struct Int8Matrix {
    kernel: Int8Kernel,
    /// Panels of columns, with words of the depth outside.
    panels: AlignedBuffer<u32>,
    /// For each column of whole panels.
    scales: Vec<f32>,
    /// Of the numbers of each column: times A's zero point it is too much in a sum.
    column_sums: Vec<i32>,
    depth: usize,
    columns: usize,
}

impl Int8Matrix {
    /// Packs a matrix `[depth, columns]`.
    ///
    /// # Errors
    ///
    /// If there are not as many values, or more than [`DEPTH_MAX`] in a column.
    pub fn new(
        isa: Isa,
        values: &[f32],
        shape: (usize, usize),
        order: Order,
    ) -> Result<Self, ShapeError> {
        Self::new_for((isa, Int8Kernel::of(isa)), values, shape, order)
    }

    pub(crate) fn new_for(
        kernel: (Isa, Int8Kernel),
        values: &[f32],
        (depth, columns): (usize, usize),
        order: Order,
    ) -> Result<Self, ShapeError> {
        let length = depth.checked_mul(columns);
        ensure(length == Some(values.len()), "int8 gemm", || {
            format!("{} values for {depth} × {columns}", values.len())
        })?;
        Self::read_rows_for(kernel, (depth, columns), |first, rows| {
            match order {
                Order::Rows => rows.copy_from_slice(&values[first * columns..][..rows.len()]),
                Order::Columns => transpose_rows(values, depth, first, columns, rows),
            }
            Ok(())
        })
    }

    /// Packs a matrix; `read` gives some of its rows, from one on, and is asked twice for
    /// each.
    ///
    /// # Errors
    ///
    /// Those of `read`, and a depth beyond [`DEPTH_MAX`].
    pub fn read_rows<E: From<ShapeError>>(
        isa: Isa,
        shape: (usize, usize),
        read: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        Self::read_rows_for((isa, Int8Kernel::of(isa)), shape, read)
    }

    fn read_rows_for<E: From<ShapeError>>(
        (isa, kernel): (Isa, Int8Kernel),
        (depth, columns): (usize, usize),
        mut read: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        ensure(depth <= DEPTH_MAX, "int8 gemm", || {
            format!("{depth} terms in a sum, of at most {DEPTH_MAX}")
        })?;
        let mut packed = Self::zeros(kernel, (depth, columns));
        let mut tiles = Tiles {
            rows: vec![0.0; BLOCK.min(depth) * columns],
            shape: (depth, columns),
            tile: AlignedBuffer::zeros(BLOCK * kernel.columns()),
            width: kernel.columns(),
            isa,
        };
        tiles.each(&mut read, |place, _, tile| packed.raise_scales(place, tile))?;
        let factors = packed.finish_scales();
        tiles.each(&mut read, |place, first, tile| {
            packed.put(place, first, tile, &factors);
        })?;
        Ok(packed)
    }

    fn zeros(kernel: Int8Kernel, (depth, columns): (usize, usize)) -> Self {
        let panels = columns.div_ceil(kernel.columns());
        let padded = panels * kernel.columns();
        Self {
            kernel,
            panels: AlignedBuffer::zeros((kernel.panel_bytes(depth) * panels).div_ceil(4)),
            scales: vec![0.0; padded],
            column_sums: vec![0; padded],
            depth,
            columns,
        }
    }

    /// Makes scales of a panel's columns as large as a tile asks for.
    fn raise_scales(&mut self, place: usize, tile: &[f32]) {
        let width = self.kernel.columns();
        let scales = &mut self.scales[place * width..][..width];
        for rows in tile.chunks_exact(8 * width) {
            for (column, scale) in scales.iter_mut().enumerate() {
                let values = std::array::from_fn(|row| rows[row * width + column]);
                *scale = max_magnitude(&[*scale, scale_of(values)]);
            }
        }
    }

    /// What values are multiplied by; the scales become those of the product.
    fn finish_scales(&mut self) -> Vec<f32> {
        let scales = self.scales.iter();
        let factors = scales.map(|it| inverse_scale(*it, 1.0)).collect();
        for scale in &mut self.scales {
            *scale /= SQUARED_LENGTH;
        }
        factors
    }

    /// Puts a tile of rows from `first` on into a panel's words.
    fn put(&mut self, place: usize, first: usize, tile: &[f32], factors: &[f32]) {
        let (width, numbers) = (self.kernel.columns(), self.kernel.packing().numbers());
        let sums = &mut self.column_sums[place * width..][..width];
        let factors = &factors[place * width..][..width];
        let panel = place * self.kernel.panel_bytes(self.depth);
        let bytes = &mut self.panels.as_mut_bytes()[panel + first * width..][..tile.len()];
        let words = bytes.chunks_exact_mut(numbers * width);
        for (rows, words) in tile.chunks_exact(numbers * width).zip(words) {
            for (row, values) in rows.chunks_exact(width).enumerate() {
                for (column, value) in values.iter().enumerate() {
                    let number = quantise(*value, factors[column], 0.0);
                    sums[column] += i32::from(number);
                    words[column * numbers + row] = number.cast_unsigned();
                }
            }
        }
    }

    /// Rows of B.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of B.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Columns of whole panels: so many biases are given.
    pub fn padded_columns(&self) -> usize {
        self.scales.len()
    }

    /// Quantises rows of A as this matrix and others for the same micro-kernel multiply them. The
    /// caller has checked how long they are, and that there is a factor for each of their columns.
    #[inline(always)]
    pub(crate) fn quantise<V: Simd>(
        &self,
        token: V::Token,
        a: &[&[f32]],
        smoothing: Option<&[f32]>,
        quantised: &mut Quantised,
    ) {
        quantised.quantise::<V>(token, a, smoothing, self);
    }

    /// Whether rows of A that were quantised for one are for the other too.
    pub(crate) fn quantises_as(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.kernel) == std::mem::discriminant(&other.kernel)
    }

    /// Multiplies rows of A into rows of C, with the epilogue. The caller has checked that there are
    /// as many, and a bias for each column of whole panels.
    #[inline(always)]
    pub(crate) fn multiply<V: Simd>(
        &self,
        token: V::Token,
        a: &Quantised,
        Epilogue { bias, activation }: Epilogue<'_>,
        c: &mut [&mut [f32]],
    ) {
        let width = self.kernel.columns();
        let words = self.kernel.words(self.depth);
        let panel_bytes = self.kernel.panel_bytes(self.depth);
        let panels = self.panels.as_bytes();
        let mut sums = [0; SUMS_MAX];
        let count = a.rows.len().div_ceil(self.kernel.rows());
        for place in 0..self.columns.div_ceil(width) {
            let (panel, next) = panels[place * panel_bytes..].split_at(panel_bytes);
            let panel = Panel {
                bytes: panel,
                next: &next[..next.len().min(panel_bytes)],
            };
            let first = place * width;
            let columns = first..self.columns.min(first + width);
            let of_columns = QuantisedColumns {
                scales: &self.scales[first..][..width],
                sums: &self.column_sums[first..][..width],
                bias: &bias[first..][..width],
            };
            let blocks = row_blocks(a.rows.len(), self.kernel.rows());
            for ((first, rows), panel) in blocks.zip(panel.in_parts(count)) {
                let block = &a.words[first * words..][..rows * words];
                self.kernel.multiply(block, panel, rows, &mut sums);
                let of_rows = a.rows[first..][..rows].iter();
                let rows_of_c = c[first..][..rows].iter_mut();
                for ((to, sums), row) in rows_of_c.zip(sums.chunks_exact(width)).zip(of_rows) {
                    of_columns.dequantise(sums, *row, &mut to[columns.clone()]);
                }
            }
            if let Some(columns) = activated_columns(columns.end, self.columns) {
                let rows = c.iter_mut().map(|row| &mut row[columns.clone()]);
                activation.apply_to_rows::<V>(token, rows);
            }
        }
    }
}

/// B as it is packed: blocks of rows, rotated, of a panel's columns each.
struct Tiles {
    isa: Isa,
    /// As they are read.
    rows: Vec<f32>,
    shape: (usize, usize),
    /// [`BLOCK`] rows of so many columns.
    tile: AlignedBuffer,
    width: usize,
}

impl Tiles {
    /// Calls `take` with each: the panel, the first row, and the values.
    fn each<E>(
        &mut self,
        read: &mut impl FnMut(usize, &mut [f32]) -> Result<(), E>,
        mut take: impl FnMut(usize, usize, &[f32]),
    ) -> Result<(), E> {
        let (depth, columns) = self.shape;
        for first in (0..depth).step_by(BLOCK) {
            let rows = &mut self.rows[..BLOCK.min(depth - first) * columns];
            read(first, rows)?;
            for (place, column) in (0..columns).step_by(self.width).enumerate() {
                let count = self.width.min(columns - column);
                // Beyond the matrix are zeros.
                if count < self.width || depth - first < BLOCK {
                    self.tile.fill(0.0);
                }
                let tile = self.tile.chunks_exact_mut(self.width);
                for (to, row) in tile.zip(rows.chunks_exact(columns)) {
                    pack::copy(&row[column..][..count], to);
                }
                self.isa.run(RotateColumns {
                    block: &mut self.tile,
                    width: self.width,
                });
                take(place, first, &self.tile);
            }
        }
        Ok(())
    }
}

/// Sums that are made values of C at once: every micro-kernel has a multiple of them.
const SUMS_AT_ONCE: usize = 8;

/// What the sums of a panel's columns are made values of C with.
struct QuantisedColumns<'a> {
    scales: &'a [f32],
    /// [`Int8Matrix::column_sums`].
    sums: &'a [i32],
    bias: &'a [f32],
}

impl QuantisedColumns<'_> {
    /// Values of a row of C, of which there may be fewer than sums.
    #[inline(always)]
    fn dequantise(&self, sums: &[i32], row: QuantisedRow, to: &mut [f32]) {
        let (to, rest) = to.as_chunks_mut::<SUMS_AT_ONCE>();
        let first_of_rest = to.len() * SUMS_AT_ONCE;
        for (place, to) in to.iter_mut().enumerate() {
            *to = self.values(sums, row, place * SUMS_AT_ONCE);
        }
        if !rest.is_empty() {
            let values = self.values(sums, row, first_of_rest);
            pack::copy(&values[..rest.len()], rest);
        }
    }

    #[inline(always)]
    fn values(&self, sums: &[i32], row: QuantisedRow, first: usize) -> [f32; SUMS_AT_ONCE] {
        let [sums, of_columns] = [sums, self.sums].map(|it| &it[first..][..SUMS_AT_ONCE]);
        let [scales, bias] = [self.scales, self.bias].map(|it| &it[first..][..SUMS_AT_ONCE]);
        let mut values = [0.0; SUMS_AT_ONCE];
        for (lane, value) in values.iter_mut().enumerate() {
            let sum = sums[lane] - row.zero_point * of_columns[lane];
            *value = sum as f32 * (row.scale * scales[lane]) + bias[lane];
        }
        values
    }
}

/// Some rows of a matrix whose transpose is stored.
fn transpose_rows(values: &[f32], depth: usize, first: usize, columns: usize, rows: &mut [f32]) {
    for (row, to) in rows.chunks_exact_mut(columns.max(1)).enumerate() {
        let column = values.iter().skip(first + row).step_by(depth);
        for (value, from) in to.iter_mut().zip(column) {
            *value = *from;
        }
    }
}

/// Rows of A, quantised and packed, and the memory for that.
#[derive(Default)]
pub(crate) struct Quantised {
    /// A row in whole blocks: smoothed, and then rotated.
    rotated: AlignedBuffer,
    /// Words of the rows of a block, row after row.
    of_block: AlignedBuffer<u32>,
    words: AlignedBuffer<u32>,
    rows: Vec<QuantisedRow>,
}

/// How a row of A was quantised.
#[derive(Clone, Copy)]
struct QuantisedRow {
    scale: f32,
    zero_point: i32,
}

impl Quantised {
    /// Puts rows into blocks: one word of each row side by side.
    #[inline(always)]
    fn quantise<V: Simd>(
        &mut self,
        token: V::Token,
        a: &[&[f32]],
        smoothing: Option<&[f32]>,
        matrix: &Int8Matrix,
    ) {
        let Int8Matrix { kernel, depth, .. } = *matrix;
        let words = kernel.words(depth);
        self.words.resize(a.len() * words);
        self.of_block.resize(kernel.rows() * words);
        self.rotated.resize(padded(depth));
        self.rows.clear();
        for (first, rows) in row_blocks(a.len(), kernel.rows()) {
            let of_block = &mut self.of_block[..rows * words];
            for row in 0..rows {
                let (values, rest) = self.rotated.split_at_mut(depth);
                smooth(a[first + row], smoothing, values);
                rest.fill(0.0);
                rotation::rotate::<V>(token, &mut self.rotated);
                let to = &mut of_block[row * words..][..words];
                let quantised = QuantisedRow::of(&self.rotated, kernel.packing(), to);
                self.rows.push(quantised);
            }
            let block = &mut self.words[first * words..][..rows * words];
            let of_block: &[f32] = transmute_ref!(&*of_block);
            pack::transpose(Rows::dense(of_block, words), transmute_mut!(block), rows);
        }
    }
}

#[inline(always)]
fn smooth(row: &[f32], smoothing: Option<&[f32]>, to: &mut [f32]) {
    let Some(factors) = smoothing else {
        return pack::copy(row, to);
    };
    for (to, (value, factor)) in to.iter_mut().zip(row.iter().zip(factors)) {
        *to = value * factor;
    }
}

impl QuantisedRow {
    /// Writes a row as words.
    #[inline(always)]
    fn of(values: &[f32], packing: Packing, words: &mut [u32]) -> Self {
        let (least, largest) = range(values);
        let factor = inverse_scale(largest - least, STEPS);
        let zero_point = (-least * factor).round_ties_even();
        match packing {
            Packing::I16x2 => put_numbers::<i16>(values, factor, zero_point, words),
            Packing::I8x4 => put_numbers::<i8>(values, factor, zero_point, words),
        }
        #[allow(clippy::cast_possible_truncation, reason = "an integer")]
        let zero_point = zero_point as i32;
        Self {
            scale: (largest - least) / STEPS,
            zero_point,
        }
    }
}

/// Writes the numbers of a row into words.
#[inline(always)]
fn put_numbers<T: From<i8> + FromBytes + IntoBytes>(
    values: &[f32],
    factor: f32,
    zero_point: f32,
    words: &mut [u32],
) {
    let Ok(numbers) = <[T]>::mut_from_bytes(words.as_mut_bytes()) else {
        unreachable!("numbers that are parts of a word");
    };
    for (number, value) in numbers.iter_mut().zip(values) {
        *number = quantise(*value, factor, zero_point).into();
    }
}

/// Cuts rows into as few blocks as there can be, as even as can be: the first row
/// of each, and how many there are.
#[inline(always)]
fn row_blocks(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = rows.div_ceil(most);
    let (each, more) = evenly(rows, count);
    let bound = move |block: usize| block * each + block.min(more);
    (0..count).map(move |block| (bound(block), bound(block + 1) - bound(block)))
}

/// The largest magnitude; NaN is larger than all.
#[inline(always)]
fn max_magnitude(values: &[f32]) -> f32 {
    const SIGN: u32 = 1 << 31;
    let bits = values.iter().map(|value| value.to_bits() & !SIGN);
    f32::from_bits(bits.fold(0, u32::max))
}

/// The least and the largest of some values and zero; one of them is NaN where a value is.
#[inline(always)]
fn range(values: &[f32]) -> (f32, f32) {
    const SIGN: i32 = i32::MIN;
    // As integers, floats above zero are in their order, and below the NaNs of their sign.
    let (mut below, mut above) = (0, 0);
    for value in values {
        let bits = value.to_bits().cast_signed();
        above = above.max(bits);
        below = below.max(bits ^ SIGN);
    }
    let [below, above] = [below, above].map(|bits| f32::from_bits(bits.cast_unsigned()));
    (-below, above)
}

/// What of eight rows of a column its scale is at least: for no number to be beyond [`Q_MAX`], and for no four
/// of which AVX2 adds the products to be beyond [`MAGNITUDES_MAX`]. Those are pairs of two words side by side.
#[inline(always)]
fn scale_of(values: [f32; 8]) -> f32 {
    let [a, b, c, d, e, f, g, h] = values.map(f32::abs);
    let sums = max_magnitude(&[a + b + (e + f), c + d + (g + h)]);
    max_magnitude(&[max_magnitude(&values) / Q_MAX, sums / MAGNITUDES])
}

/// The depth in whole blocks: beyond it are zeros.
pub(crate) fn padded(depth: usize) -> usize {
    depth.next_multiple_of(BLOCK)
}

/// What values are multiplied by for the largest to become `steps`.
#[inline(always)]
fn inverse_scale(largest: f32, steps: f32) -> f32 {
    // A smaller one has no inverse.
    const SMALLEST: f32 = 1e-30;
    if largest < SMALLEST {
        return 0.0;
    }
    steps / largest
}

/// The nearest integer, ties to even, plus a zero point.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the lowest byte is the number"
)]
fn quantise(value: f32, factor: f32, zero_point: f32) -> i8 {
    /// Magic rounding: floats from 1.5 · 2²³ on are integers, 1 apart, so that adding it
    /// rounds, and leaves the integer in the lowest bits.
    const MAGIC: f32 = 12_582_912.0;
    let sum = value * factor + (MAGIC + zero_point);
    sum.to_bits().wrapping_sub(MAGIC.to_bits()) as i8
}
