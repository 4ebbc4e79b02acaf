//! Matrices that are multiplied by, packed as this machine computes.

use super::Computing;
use super::activation::Activation;
use super::buffer::Buffer;
use super::int8;
use super::lanes::{Isa, Lanes, Task};
use super::product::{self, Left, Rows, RowsMut};
use crate::cores::Cores;
use crate::weights::{Matrix, WeightsError};
use encoderfile_proto::Compute;
use std::sync::Arc;

/// Rows that are computed before what is after the product: with 1536 values each,
/// they leave half of a second-level cache of 1 MB to the weights.
const BLOCK_ROWS: usize = 64;

/// A multiple of the rows of most tiles.
const TILE_ROWS: usize = 12;

/// Matrices of fewer values are computed in float32: they take no time, and those
/// of a classifier's last step are worth their precision.
const INT8_VALUES_MIN: usize = 1 << 14;

/// A packed matrix of `[depth, columns]`.
#[derive(Debug)]
pub(super) struct Weights {
    panels: Panels,
    isa: Isa,
    cores: Arc<Cores>,
    depth: usize,
    columns: usize,
}

#[derive(Debug)]
enum Panels {
    Float32(Buffer),
    Int8(int8::Panels),
}

impl Weights {
    /// Reads a matrix of `[depth, columns]` from where it is stored.
    pub(super) fn read(matrix: &Matrix, computing: &Computing) -> Result<Self, WeightsError> {
        let isa = Isa::best();
        let (depth, columns) = (matrix.rows(), matrix.columns());
        let panels = if in_int8(depth, columns, computing.compute) {
            let read = |first: usize, rows: &mut [f32]| matrix.read_rows(first, rows);
            Panels::Int8(int8::Panels::read((depth, columns), read)?)
        } else {
            Panels::Float32(read_panels(matrix, isa.panel_width())?)
        };
        matrix.release();
        Ok(Self {
            panels,
            isa,
            cores: Arc::clone(&computing.cores),
            depth,
            columns,
        })
    }

    /// Packs `[depth, columns]`, or its transpose.
    pub(super) fn new(
        matrix: &[f32],
        depth: usize,
        transposed: bool,
        computing: &Computing,
    ) -> Self {
        let isa = Isa::best();
        let columns = matrix.len() / depth;
        let width = isa.panel_width();
        let mut float32 = Buffer::default();
        let panels = if in_int8(depth, columns, computing.compute) {
            Panels::Int8(int8_panels(matrix, (depth, columns), transposed))
        } else if transposed {
            product::pack_panels_transposed(Rows::dense(matrix, depth), width, &mut float32);
            Panels::Float32(float32)
        } else {
            product::pack_panels(Rows::dense(matrix, columns), width, &mut float32);
            Panels::Float32(float32)
        };
        Self {
            panels,
            isa,
            cores: Arc::clone(&computing.cores),
            depth,
            columns,
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Columns of whole panels: of so many the biases are given.
    pub(super) fn width(&self) -> usize {
        match &self.panels {
            Panels::Float32(panels) => panels.len() / self.depth,
            Panels::Int8(panels) => panels.width(),
        }
    }

    /// `activation(input · weights + biases)`, of whole rows.
    pub(super) fn multiply(
        &self,
        input: &[f32],
        biases: &[f32],
        activation: Activation,
        output: &mut [f32],
    ) {
        let rows = input.len() / self.depth;
        let parts = self.cores.parts([rows, self.depth, self.columns]);
        // Whole strips, so that no part has a smaller one than all together.
        let rows = rows.div_ceil(parts).max(1).next_multiple_of(TILE_ROWS);
        let inputs = input.chunks(rows * self.depth);
        let parts = inputs.zip(output.chunks_mut(rows * self.columns));
        self.cores.each(parts, |(input, output)| {
            self.isa.run(Product {
                weights: self,
                input,
                biases,
                activation,
                output,
            });
        });
    }
}

fn in_int8(depth: usize, columns: usize, compute: Compute) -> bool {
    let is_large = depth * columns >= INT8_VALUES_MIN;
    compute == Compute::Int8 && is_large && depth <= int8::DEPTH_MAX
}

fn read_panels(matrix: &Matrix, panel_width: usize) -> Result<Buffer, WeightsError> {
    let (depth, columns) = (matrix.rows(), matrix.columns());
    let mut panels = Buffer::zeros(columns.next_multiple_of(panel_width) * depth);
    let mut rows = vec![0.0; BLOCK_ROWS.min(depth) * columns];
    for first in (0..depth).step_by(BLOCK_ROWS) {
        let count = BLOCK_ROWS.min(depth - first);
        let rows = &mut rows[..count * columns];
        matrix.read_rows(first, rows)?;
        for (place, row) in rows.chunks_exact(columns).enumerate() {
            product::pack_row(row, first + place, depth, panel_width, &mut panels);
        }
    }
    Ok(panels)
}

fn int8_panels(matrix: &[f32], (depth, columns): (usize, usize), transposed: bool) -> int8::Panels {
    let read = |first: usize, rows: &mut [f32]| {
        if transposed {
            for (row, values) in rows.chunks_exact_mut(columns).enumerate() {
                let column = matrix.iter().skip(first + row).step_by(depth);
                for (value, from) in values.iter_mut().zip(column) {
                    *value = *from;
                }
            }
        } else {
            rows.copy_from_slice(&matrix[first * columns..][..rows.len()]);
        }
        Ok::<_, std::convert::Infallible>(())
    };
    let Ok(panels) = int8::Panels::read((depth, columns), read);
    panels
}

/// Rows to be multiplied.
struct Product<'a> {
    weights: &'a Weights,
    input: &'a [f32],
    biases: &'a [f32],
    activation: Activation,
    output: &'a mut [f32],
}

impl Task for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Weights { depth, columns, .. } = *self.weights;
        let mut memory = Buffer::default();
        let mut int8_memory = int8::Memory::default();
        let outputs = self.output.chunks_mut(BLOCK_ROWS * columns);
        for (input, values) in self.input.chunks(BLOCK_ROWS * depth).zip(outputs) {
            let mut output = RowsMut {
                values,
                stride: columns,
                width: columns,
            };
            match &self.weights.panels {
                Panels::Float32(panels) => {
                    let left = Left::of::<V>(Rows::dense(input, depth), &mut memory);
                    product::multiply::<V>(left, panels, Some(self.biases), &mut output);
                }
                Panels::Int8(panels) => {
                    panels.multiply(input, self.biases, &mut int8_memory, &mut output);
                }
            }
            self.activation.apply::<V>(output.values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: usize = 300;
    const COLUMNS: usize = 410;

    fn values(count: usize) -> Vec<f32> {
        let values = (0..count).map(|place| (place * 7919 % 1009) as f32);
        values.map(|value| value / 97.0 - 5.0).collect()
    }

    #[test]
    fn products_are_the_same_on_any_number_of_cores() {
        let (matrix, biases) = (values(DEPTH * COLUMNS), values(COLUMNS + 64));
        for compute in [Compute::F32, Compute::Int8] {
            let cores = Arc::new(Cores::one());
            let computing = Computing {
                compute,
                cores: Arc::clone(&cores),
            };
            let weights = Weights::new(&matrix, DEPTH, false, &computing);
            for rows in [1, 100, 131] {
                let input = values(rows * DEPTH);
                let results = [1, 2, 3].map(|count| {
                    cores.allow(count);
                    let mut output = vec![f32::NAN; rows * COLUMNS];
                    let biases = &biases[..weights.width()];
                    weights.multiply(&input, biases, Activation::Gelu, &mut output);
                    output
                });
                let parts = cores.parts([rows, DEPTH, COLUMNS]);
                assert_eq!(parts, 3, "{rows} rows");
                assert!(results[0].iter().all(|value| value.is_finite()));
                assert!(results.iter().all(|it| *it == results[0]), "{rows} rows");
            }
        }
    }

    #[test]
    fn small_matrices_are_computed_in_float32() {
        let computing = Computing {
            compute: Compute::Int8,
            cores: Arc::new(Cores::one()),
        };
        let is_int8 = |depth: usize, columns: usize| {
            let weights = Weights::new(&values(depth * columns), depth, false, &computing);
            matches!(weights.panels, Panels::Int8(_))
        };
        assert!(is_int8(128, 128) && !is_int8(128, 3));
    }
}
