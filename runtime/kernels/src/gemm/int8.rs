//! int8 GEMM with int32 accumulators.
//!
//! Quantisation of B is symmetric: a value is `scale × q` with q in −127..=127, one scale for
//! each column, found when it is packed. That of A is asymmetric: a value is
//! `scale × (q − zero point)`, both of each row, found when it is computed (dynamic
//! quantisation). So a row's result depends on no other row. Few rows are as large below zero
//! as above it: with a zero point the steps are smaller.
//!
//! Columns of A may be multiplied by factors before that (smoothing, [`Weights::Int8`]): where
//! a few columns are far larger than all others, as after a LayerNorm, they alone would say
//! how large the steps are. B's rows have been divided by the same factors.
//!
//! [`Weights::Int8`]: super::linear::Weights::Int8
//!
//! **Invariant:** sums are exact, and therefore the same on every machine: depths are
//! at most [`DEPTH_MAX`].

pub(crate) mod micro_kernel;

use super::linear::Epilogue;
use super::pack::{self, Order};
use super::strips::evenly;
use super::{Rows, activated_columns};
use crate::aligned::AlignedBuffer;
use crate::isa::Isa;
use crate::shape::{ShapeError, ensure};
use crate::simd::Simd;
use micro_kernel::{Int8Kernel, Packing, Panel, SUMS_MAX, U8X4_ZERO_POINTS};
use zerocopy::{FromBytes, IntoBytes, transmute_mut, transmute_ref};

/// B's quantisation range is −127..=127: the largest magnitude of a column becomes its end.
const Q_MAX: f32 = 127.0;

/// Steps between the least and the largest value of a row of A: one less than from −127 to
/// 127, so that the zero point can be rounded.
const STEPS: f32 = 253.0;

/// Rows of B that are read at once: a multiple of the numbers in a word
/// ([`Packing`]).
const ROWS_AT_ONCE: usize = 64;

/// More terms than these could exceed an accumulator: with zero points that add up to 255 at
/// most, they are at most 255 × 127 each.
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
        Self::new_for(Int8Kernel::of(isa), values, shape, order)
    }

    pub(crate) fn new_for(
        kernel: Int8Kernel,
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
        Self::read_rows_for(Int8Kernel::of(isa), shape, read)
    }

    fn read_rows_for<E: From<ShapeError>>(
        kernel: Int8Kernel,
        (depth, columns): (usize, usize),
        mut read: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        ensure(depth <= DEPTH_MAX, "int8 gemm", || {
            format!("{depth} terms in a sum, of at most {DEPTH_MAX}")
        })?;
        let mut packed = Self::zeros(kernel, (depth, columns));
        let mut rows = vec![0.0; ROWS_AT_ONCE.min(depth) * columns];
        let blocks = (0..depth).step_by(ROWS_AT_ONCE);
        let blocks = blocks.map(|first| (first, ROWS_AT_ONCE.min(depth - first)));
        for (first, count) in blocks.clone() {
            let rows = &mut rows[..count * columns];
            read(first, rows)?;
            packed.raise_scales(rows);
        }
        let factors = packed.finish_scales();
        for (first, count) in blocks {
            let rows = &mut rows[..count * columns];
            read(first, rows)?;
            packed.put_rows(first, rows, &factors);
        }
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

    /// Makes scales of columns as large as their largest magnitude.
    fn raise_scales(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.columns.max(1)) {
            for (largest, value) in self.scales.iter_mut().zip(row) {
                *largest = max_magnitude(&[*largest, *value]);
            }
        }
    }

    /// Makes largest magnitudes scales; returns what values are multiplied by.
    fn finish_scales(&mut self) -> Vec<f32> {
        let largest = self.scales.iter().take(self.columns);
        let factors = largest.map(|it| inverse_scale(*it, Q_MAX)).collect();
        for scale in &mut self.scales {
            *scale /= Q_MAX;
        }
        factors
    }

    /// Puts rows from `first` on into words.
    fn put_rows(&mut self, first: usize, rows: &[f32], factors: &[f32]) {
        let (columns, packing) = (self.kernel.columns(), self.kernel.packing());
        let (panel, bytes) = (self.kernel.panel_bytes(self.depth), packing.bytes_of_b());
        let panels = self.panels.as_mut_bytes();
        let groups = rows.chunks((packing.numbers() * factors.len()).max(1));
        for (place, group) in groups.enumerate() {
            let place = (first / packing.numbers() + place) * columns * bytes;
            for (column, factor) in factors.iter().enumerate() {
                let mut numbers = [0; 4];
                let values = group.iter().skip(column).step_by(factors.len());
                for (number, value) in numbers.iter_mut().zip(values) {
                    *number = quantise(*value, *factor, 0.0);
                }
                self.column_sums[column] += numbers.into_iter().map(i32::from).sum::<i32>();
                let to = column / columns * panel + place + column % columns * bytes;
                packing.put_b(numbers, &mut panels[to..to + bytes]);
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
    pub(crate) fn quantise(
        &self,
        a: &[&[f32]],
        smoothing: Option<&[f32]>,
        quantised: &mut Quantised,
    ) {
        quantised.quantise(a, self.depth, smoothing, self.kernel);
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
    smoothed: Vec<f32>,
    /// Words of the rows of a block, row after row.
    of_block: AlignedBuffer<u32>,
    words: AlignedBuffer<u32>,
    rows: Vec<QuantisedRow>,
}

/// How a row of A was quantised.
#[derive(Clone, Copy)]
struct QuantisedRow {
    scale: f32,
    /// With that of the packing.
    zero_point: i32,
}

impl Quantised {
    /// Puts rows into blocks: one word of each row side by side.
    #[inline(always)]
    fn quantise(
        &mut self,
        a: &[&[f32]],
        depth: usize,
        smoothing: Option<&[f32]>,
        kernel: Int8Kernel,
    ) {
        let words = kernel.words(depth);
        self.words.resize(a.len() * words);
        self.of_block.resize(kernel.rows() * words);
        self.smoothed.resize(depth, 0.0);
        self.rows.clear();
        for (first, rows) in row_blocks(a.len(), kernel.rows()) {
            let of_block = &mut self.of_block[..rows * words];
            for row in 0..rows {
                let mut values = a[first + row];
                if let Some(factors) = smoothing {
                    let products = values.iter().zip(factors);
                    for (to, (value, factor)) in self.smoothed.iter_mut().zip(products) {
                        *to = value * factor;
                    }
                    values = &self.smoothed;
                }
                let to = &mut of_block[row * words..][..words];
                let quantised = QuantisedRow::of(values, kernel.packing(), to);
                self.rows.push(quantised);
            }
            let block = &mut self.words[first * words..][..rows * words];
            let of_block: &[f32] = transmute_ref!(&*of_block);
            pack::transpose(Rows::dense(of_block, words), transmute_mut!(block), rows);
        }
    }
}

impl QuantisedRow {
    /// Writes a row as words.
    #[inline(always)]
    fn of(values: &[f32], packing: Packing, words: &mut [u32]) -> Self {
        let (least, largest) = range(values);
        let factor = inverse_scale(largest - least, STEPS);
        let zero_point = (-STEPS / 2.0 - least * factor).round_ties_even();
        match packing {
            Packing::I16x2 | Packing::I16x2OfI8 => {
                put_numbers::<i16>(values, factor, zero_point, words);
            }
            Packing::I8x4 | Packing::U8x4 => {
                put_numbers::<i8>(values, factor, zero_point, words);
            }
        }
        if packing == Packing::U8x4 {
            for word in words {
                *word ^= U8X4_ZERO_POINTS;
            }
        }
        #[allow(clippy::cast_possible_truncation, reason = "an integer")]
        let zero_point = zero_point as i32 + packing.zero_point();
        Self {
            scale: (largest - least) / STEPS,
            zero_point,
        }
    }
}

/// Writes the numbers of a row into words, of which the last may have more.
#[inline(always)]
fn put_numbers<T: From<i8> + FromBytes + IntoBytes>(
    values: &[f32],
    factor: f32,
    zero_point: f32,
    words: &mut [u32],
) {
    if let Some(last) = words.last_mut() {
        *last = 0;
    }
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
