//! Products in whole numbers: 8 bits a factor, sums of 32.
//!
//! A value is `scale × q` with `q` in −127..=127: one scale for each column of the
//! weights, and one for each row they multiply, from its largest value when it is
//! computed. So a row's result depends on no other row, and the sums, being exact,
//! are the same on every machine.

mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_feature = "simd128")]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::buffer::Buffer;
use super::product::RowsMut;
use kernel::{Kernel, TILE_MAX};

/// What the largest value becomes.
const LARGEST: f32 = 127.0;

/// Rows of weights that are read at once: a multiple of the numbers in a word.
const BLOCK_ROWS: usize = 64;

/// More terms than these could exceed a sum.
pub(super) const DEPTH_MAX: usize = 1 << 16;

/// A packed matrix of `[depth, columns]`.
#[derive(Debug)]
pub(super) struct Panels {
    kernel: Kernel,
    /// Panels of columns, with words of the common dimension outside.
    words: Buffer<u32>,
    /// For each column of a panel.
    scales: Vec<f32>,
    /// What is too much in each sum, because left factors are shifted.
    excess: Vec<i32>,
    depth: usize,
}

impl Panels {
    /// Packs a matrix; `read` gives some of its rows, from one on.
    pub(super) fn read<E>(
        (depth, columns): (usize, usize),
        read: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        Self::read_for(Kernel::best(), (depth, columns), read)
    }

    fn read_for<E>(
        kernel: Kernel,
        (depth, columns): (usize, usize),
        mut read: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let padded = columns.next_multiple_of(kernel.columns);
        let mut panels = Self {
            kernel,
            words: Buffer::zeros(kernel.words(depth) * padded),
            scales: vec![0.0; padded],
            excess: vec![0; padded],
            depth,
        };
        let mut rows = vec![0.0; BLOCK_ROWS.min(depth) * columns];
        let blocks = (0..depth).step_by(BLOCK_ROWS);
        let blocks = blocks.map(|first| (first, BLOCK_ROWS.min(depth - first)));
        for (first, count) in blocks.clone() {
            let rows = &mut rows[..count * columns];
            read(first, rows)?;
            for row in rows.chunks_exact(columns) {
                for (largest, value) in panels.scales.iter_mut().zip(row) {
                    *largest = larger(*largest, *value);
                }
            }
        }
        let factors: Vec<f32> = panels.scales.iter().map(|it| inverse_scale(*it)).collect();
        for scale in &mut panels.scales {
            *scale /= LARGEST;
        }
        for (first, count) in blocks {
            let rows = &mut rows[..count * columns];
            read(first, rows)?;
            panels.pack(first, rows, &factors[..columns]);
        }
        Ok(panels)
    }

    /// Puts rows from `first` on into words.
    fn pack(&mut self, first: usize, rows: &[f32], factors: &[f32]) {
        let Kernel {
            columns, format, ..
        } = self.kernel;
        let panel = self.kernel.words(self.depth) * columns;
        for (place, group) in rows.chunks(format.numbers() * factors.len()).enumerate() {
            let place = (first / format.numbers() + place) * columns;
            for (column, factor) in factors.iter().enumerate() {
                let mut numbers = [0; 4];
                let values = group.iter().skip(column).step_by(factors.len());
                for (number, value) in numbers.iter_mut().zip(values) {
                    *number = quantise(*value, *factor);
                }
                let sum: i32 = numbers.into_iter().map(i32::from).sum();
                self.excess[column] += format.shift() * sum;
                self.words[column / columns * panel + place + column % columns] =
                    format.right(numbers);
            }
        }
    }

    /// A bias is added for each of them.
    pub(super) fn width(&self) -> usize {
        self.scales.len()
    }

    /// Multiplies rows of `depth` values, and adds a bias for each column.
    #[inline(always)]
    pub(super) fn multiply(
        &self,
        input: &[f32],
        biases: &[f32],
        memory: &mut Memory,
        output: &mut RowsMut<'_>,
    ) {
        let Kernel { columns, .. } = self.kernel;
        let words = self.kernel.words(self.depth);
        let count = input.len() / self.depth;
        memory.quantise(input, self.depth, self.kernel);
        let mut sums = [0; TILE_MAX];
        for (place, panel) in self.words.chunks_exact(words * columns).enumerate() {
            let first_column = place * columns;
            let width = columns.min(output.width - first_column);
            let scales = &self.scales[first_column..][..columns];
            let excess = &self.excess[first_column..][..columns];
            let biases = &biases[first_column..][..columns];
            for (first, rows) in strips(count, self.kernel.rows) {
                let strip = &memory.words[first * words..][..rows * words];
                self.kernel.multiply(strip, panel, rows, &mut sums);
                let row_scales = &memory.scales[first..][..rows];
                for (row, (sums, row_scale)) in
                    sums.chunks_exact_mut(columns).zip(row_scales).enumerate()
                {
                    let to = &mut output.values[(first + row) * output.stride + first_column..];
                    let to = &mut to[..width];
                    for ((((to, sum), excess), scale), bias) in
                        to.iter_mut().zip(sums).zip(excess).zip(scales).zip(biases)
                    {
                        *to = (*sum - excess) as f32 * (row_scale * scale) + bias;
                    }
                }
            }
        }
    }
}

/// Rows that were quantised, and what that takes.
#[derive(Default)]
pub(super) struct Memory {
    numbers: Vec<i8>,
    words: Buffer<u32>,
    scales: Vec<f32>,
}

impl Memory {
    /// Puts rows into strips: one word of each row side by side.
    #[inline(always)]
    fn quantise(&mut self, input: &[f32], depth: usize, kernel: Kernel) {
        let words = kernel.words(depth);
        let per_word = kernel.format.numbers();
        let count = input.len() / depth;
        self.words.resize(count * words);
        self.scales.clear();
        // Zeros after the last number of a row.
        self.numbers.clear();
        self.numbers.resize(words * per_word, 0);
        for (first, rows) in strips(count, kernel.rows) {
            let strip = &mut self.words[first * words..][..rows * words];
            let input = input[first * depth..].chunks_exact(depth).take(rows);
            for (row, values) in input.enumerate() {
                let largest = largest_of(values);
                let factor = inverse_scale(largest);
                for (number, value) in self.numbers.iter_mut().zip(values) {
                    *number = quantise(*value, factor);
                }
                let numbers = self.numbers.chunks_exact(per_word);
                for (word, numbers) in strip[row..].iter_mut().step_by(rows).zip(numbers) {
                    *word = kernel.format.left(numbers);
                }
                self.scales.push(largest / LARGEST);
            }
        }
    }
}

/// Cuts rows into as few strips as there can be, as even as can be: the first row
/// of each, and how many there are.
#[inline(always)]
fn strips(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = rows.div_ceil(most);
    let bound = move |strip: usize| strip * rows / count;
    (0..count).map(move |strip| (bound(strip), bound(strip + 1) - bound(strip)))
}

/// The largest magnitude; what is not a number is larger than all.
#[inline(always)]
fn largest_of(values: &[f32]) -> f32 {
    const SIGN: u32 = 1 << 31;
    let bits = values.iter().map(|value| value.to_bits() & !SIGN);
    f32::from_bits(bits.fold(0, u32::max))
}

fn larger(largest: f32, value: f32) -> f32 {
    largest_of(&[largest, value])
}

/// What values are multiplied by for the largest to become 127.
#[inline(always)]
fn inverse_scale(largest: f32) -> f32 {
    // A smaller one has no inverse.
    const SMALLEST: f32 = 1e-30;
    if largest < SMALLEST {
        return 0.0;
    }
    LARGEST / largest
}

/// The nearest whole number, and the even one of two.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the lowest byte is the number"
)]
fn quantise(value: f32, factor: f32) -> i8 {
    /// Values from here on are whole numbers, 1 apart: adding it rounds.
    const WHOLE: f32 = 12_582_912.0;
    let sum = value * factor + WHOLE;
    sum.to_bits().wrapping_sub(WHOLE.to_bits()) as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::lanes::{Isa, Lanes, Task};

    /// Values that are not all multiples of few.
    fn values(count: usize, seed: usize) -> Vec<f32> {
        let values = (seed..seed + count).map(|place| (place * 7919 % 1009) as f32);
        values.map(|value| value / 97.0 - 5.0).collect()
    }

    struct Product<'a> {
        panels: &'a Panels,
        input: &'a [f32],
        biases: &'a [f32],
        output: RowsMut<'a>,
    }

    impl Task for Product<'_> {
        type Output = ();

        #[inline(always)]
        fn run<V: Lanes>(mut self) {
            let memory = &mut Memory::default();
            self.panels
                .multiply(self.input, self.biases, memory, &mut self.output);
        }
    }

    fn multiply(
        kernel: Kernel,
        input: &[f32],
        weights: &[f32],
        (depth, columns): (usize, usize),
    ) -> Vec<f32> {
        let panels = Panels::read_for(kernel, (depth, columns), |first, rows| {
            rows.copy_from_slice(&weights[first * columns..][..rows.len()]);
            Ok::<_, ()>(())
        });
        let panels = panels.unwrap();
        let mut biases = values(columns, 5);
        biases.resize(panels.width(), 0.0);
        let mut output = vec![f32::NAN; input.len() / depth * columns];
        Isa::in_use().run(Product {
            panels: &panels,
            input,
            biases: &biases,
            output: RowsMut {
                values: &mut output,
                stride: columns,
                width: columns,
            },
        });
        output
    }

    /// What is computed, in the plainest way.
    fn expected(input: &[f32], weights: &[f32], (depth, columns): (usize, usize)) -> Vec<f32> {
        let to_whole = |value: f32, largest: f32| (value * (127.0 / largest)).round_ties_even();
        let column = |column: usize| weights.iter().skip(column).step_by(columns);
        let largest = |values: &mut dyn Iterator<Item = &f32>| {
            values.fold(0.0f32, |largest, value| largest.max(value.abs()))
        };
        let biases = values(columns, 5);
        let mut output = Vec::new();
        for row in input.chunks(depth) {
            let of_row = largest(&mut row.iter());
            for (place, bias) in biases.iter().enumerate() {
                let of_column = largest(&mut column(place));
                let terms = row.iter().zip(column(place));
                let sum: f32 = terms
                    .map(|(a, b)| to_whole(*a, of_row) * to_whole(*b, of_column))
                    .sum();
                output.push(sum * (of_row / 127.0 * (of_column / 127.0)) + bias);
            }
        }
        output
    }

    #[test]
    fn every_kernel_computes_the_same_exact_sums() {
        let shapes = [
            (1, 1, 1),
            (3, 7, 9),
            (12, 64, 32),
            (26, 130, 70),
            (64, 33, 65),
        ];
        for kernel in Kernel::up_to(Isa::in_use()) {
            for (rows, depth, columns) in shapes {
                let (input, weights) = (values(rows * depth, 0), values(depth * columns, 3));
                let output = multiply(kernel, &input, &weights, (depth, columns));
                let expected = expected(&input, &weights, (depth, columns));
                for (place, (value, expected)) in output.iter().zip(expected).enumerate() {
                    let what = format!("{kernel:?}: {rows} × {depth} × {columns} at {place}");
                    assert_eq!(value.to_bits(), expected.to_bits(), "{what}");
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_rows_beside_it() {
        let (depth, columns) = (40, 33);
        let (input, weights) = (values(30 * depth, 0), values(depth * columns, 3));
        let kernel = Kernel::best();
        let all = multiply(kernel, &input, &weights, (depth, columns));
        for (row, input) in input.chunks(depth).enumerate() {
            let one = multiply(kernel, input, &weights, (depth, columns));
            assert_eq!(one, all[row * columns..][..columns], "row {row}");
        }
    }

    #[test]
    fn zeros_tiny_values_and_what_is_no_number() {
        let weights = [1.0, -1.0];
        let product = |input: &[f32]| multiply(Kernel::best(), input, &weights, (2, 1));
        let bias = values(1, 5)[0];
        for input in [[0.0, 0.0], [1e-38, 0.0], [f32::MIN_POSITIVE / 8.0, 0.0]] {
            assert!((product(&input)[0] - bias).abs() < 1e-6, "{input:?}");
        }
        assert!(product(&[f32::NAN, 1.0])[0].is_nan());
        assert!(!product(&[f32::INFINITY, 1.0])[0].is_finite());
    }
}
