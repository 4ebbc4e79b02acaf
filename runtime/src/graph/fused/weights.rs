//! Matrices that are multiplied by, packed as this machine computes.

use super::activation::Activation;
use super::buffer::Buffer;
use super::int8;
use super::lanes::{Isa, Lanes, Task};
use super::product::{self, Left, Rows, RowsMut};
use crate::weights::{Matrix, WeightsError};
use encoderfile_proto::Compute;

/// Rows that are computed before what is after the product: with 1536 values each,
/// they leave half of a second-level cache of 1 MB to the weights.
const BLOCK_ROWS: usize = 64;

/// Matrices of fewer values are computed in float32: they take no time, and those
/// of a classifier's last step are worth their precision.
const INT8_VALUES_MIN: usize = 1 << 14;

/// A packed matrix of `[depth, columns]`.
#[derive(Debug)]
pub(super) struct Weights {
    panels: Panels,
    isa: Isa,
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
    pub(super) fn read(matrix: &Matrix, compute: Compute) -> Result<Self, WeightsError> {
        let isa = Isa::best();
        let (depth, columns) = (matrix.rows(), matrix.columns());
        let panels = if in_int8(depth, columns, compute) {
            let read = |first: usize, rows: &mut [f32]| matrix.read_rows(first, rows);
            Panels::Int8(int8::Panels::read((depth, columns), read)?)
        } else {
            Panels::Float32(read_panels(matrix, isa.panel_width())?)
        };
        matrix.release();
        Ok(Self {
            panels,
            isa,
            depth,
            columns,
        })
    }

    /// Packs `[depth, columns]`, or its transpose.
    pub(super) fn new(matrix: &[f32], depth: usize, transposed: bool, compute: Compute) -> Self {
        let isa = Isa::best();
        let columns = matrix.len() / depth;
        let width = isa.panel_width();
        let mut float32 = Buffer::default();
        let panels = if in_int8(depth, columns, compute) {
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
        self.isa.run(Product {
            weights: self,
            input,
            biases,
            activation,
            output,
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
