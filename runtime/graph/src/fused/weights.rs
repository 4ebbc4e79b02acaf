//! Matrices that are multiplied by: packed as this machine computes, or so stored.

use super::Computing;
use super::activation::Activation;
use super::buffer::Buffer;
use super::int8;
use super::lanes::{Isa, Lanes, Task};
use super::product::{self, Left, Rows, RowsMut};
use crate::cores::Cores;
use encoderfile_format::manifest::Compute;
use encoderfile_format::weights::{Matrix, PANEL, WeightsError};
use std::sync::Arc;

/// Rows that are computed before what is after the product, while they are in a cache
/// of the second level. The weights, which are not, are read once for as many: with 64
/// a text of 128 tokens takes 4 % longer in models of 768 columns.
const BLOCK_ROWS: usize = 128;

/// A multiple of the rows of most tiles.
const TILE_ROWS: usize = 12;

/// Matrices of fewer values are computed in float32: they take no time, and those
/// of a classifier's last step are worth their precision.
const INT8_VALUES_MIN: usize = 1 << 14;

/// A matrix of `[depth, columns]`.
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
    Float32 {
        panels: Buffer,
        width: usize,
    },
    /// Where they are stored.
    Mapped(Arc<Matrix>),
    Int8(int8::Panels),
}

impl Weights {
    /// Reads a matrix of `[depth, columns]` from where it is stored, unless it can be
    /// multiplied by there.
    pub(super) fn read(matrix: &Arc<Matrix>, computing: &Computing) -> Result<Self, WeightsError> {
        let isa = Isa::in_use();
        let (depth, columns) = (matrix.rows(), matrix.columns());
        let panels = if in_int8(depth, columns, computing.compute) {
            let read = |first: usize, rows: &mut [f32]| matrix.read_rows(first, rows);
            Panels::Int8(int8::Panels::read((depth, columns), read)?)
        } else if isa.reads_wide_panels() && matrix.mapped_panels().is_some() {
            Panels::Mapped(Arc::clone(matrix))
        } else {
            read_float32(matrix, isa)?
        };
        if !matches!(panels, Panels::Mapped(_)) {
            matrix.release();
        }
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
        let isa = Isa::in_use();
        let columns = matrix.len() / depth;
        let width = isa.panel_width();
        let mut panels = Buffer::default();
        let panels = if in_int8(depth, columns, computing.compute) {
            Panels::Int8(int8_panels(matrix, (depth, columns), transposed))
        } else if transposed {
            product::pack_panels_transposed(Rows::dense(matrix, depth), width, &mut panels);
            Panels::Float32 { panels, width }
        } else {
            product::pack_panels(Rows::dense(matrix, columns), width, &mut panels);
            Panels::Float32 { panels, width }
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
            Panels::Float32 { width, .. } => self.columns.next_multiple_of(*width),
            Panels::Mapped(_) => self.columns.next_multiple_of(PANEL),
            Panels::Int8(panels) => panels.width(),
        }
    }

    /// In float32, or else in int8.
    #[inline(always)]
    fn float32(&self) -> Result<product::Panels<'_>, &int8::Panels> {
        match &self.panels {
            Panels::Float32 { panels, width } => Ok(product::Panels {
                values: panels,
                width: *width,
            }),
            Panels::Mapped(matrix) => {
                let Some(values) = matrix.mapped_panels() else {
                    unreachable!("mapped when it was read")
                };
                Ok(product::Panels {
                    values,
                    width: PANEL,
                })
            }
            Panels::Int8(panels) => Err(panels),
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

fn read_float32(matrix: &Matrix, isa: Isa) -> Result<Panels, WeightsError> {
    let narrow = isa.panel_width();
    let (panels, width) = match matrix.panels() {
        Some(count) if isa.reads_wide_panels() => {
            let mut panels = Buffer::zeros(count * matrix.rows() * PANEL);
            matrix.read_panels(0, &mut panels)?;
            (panels, PANEL)
        }
        Some(count) => (read_narrow(matrix, count, narrow)?, narrow),
        None => (read_rows(matrix, narrow)?, narrow),
    };
    Ok(Panels::Float32 { panels, width })
}

/// Cuts stored panels into narrow ones.
fn read_narrow(matrix: &Matrix, count: usize, narrow: usize) -> Result<Buffer, WeightsError> {
    let (depth, columns) = (matrix.rows(), matrix.columns());
    let mut panels = Buffer::zeros(columns.next_multiple_of(narrow) * depth);
    let mut wide = vec![0.0; depth * PANEL];
    for (place, panels) in panels.chunks_mut(depth * PANEL).take(count).enumerate() {
        matrix.read_panels(place, &mut wide)?;
        let columns = panels.len() / depth;
        for (place, row) in wide.chunks_exact(PANEL).enumerate() {
            product::pack_row(&row[..columns], place, depth, narrow, panels);
        }
    }
    Ok(panels)
}

fn read_rows(matrix: &Matrix, panel_width: usize) -> Result<Buffer, WeightsError> {
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
            let biases = self.biases;
            match self.weights.float32() {
                Ok(panels) => {
                    let left = Left::of::<V>(Rows::dense(input, depth), &mut memory);
                    product::multiply::<V>(left, panels, Some(biases), &mut output);
                }
                Err(panels) => panels.multiply(input, biases, &mut int8_memory, &mut output),
            }
            self.activation.apply::<V>(output.values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile_format::source::{ReadError, Source};
    use encoderfile_format::weights::{Encoding, External};

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

    /// Values in memory, aligned, and perhaps to be multiplied by there.
    struct Memory {
        values: Buffer,
        mapped: bool,
    }

    impl Memory {
        fn bytes(&self) -> &[u8] {
            // SAFETY: a float32 is four bytes.
            unsafe { self.values.align_to().1 }
        }
    }

    impl Source for Memory {
        fn len(&self) -> u64 {
            Source::len(self.bytes())
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
            self.bytes().read_at(offset, buffer)
        }

        fn mapped(&self, offset: u64, length: u64) -> Option<&[u8]> {
            let [start, length] = [offset, length].map(|it| usize::try_from(it).unwrap());
            self.mapped.then(|| &self.bytes()[start..start + length])
        }
    }

    #[test]
    fn matrices_stored_in_panels_are_the_same_ones() {
        let rows = values(DEPTH * COLUMNS);
        let mut panels = Buffer::default();
        product::pack_panels(Rows::dense(&rows, COLUMNS), PANEL, &mut panels);
        let stored = |values: &[f32], encoding, mapped| {
            let mut buffer = Buffer::zeros(values.len());
            buffer.copy_from_slice(values);
            let memory = Arc::new(Memory {
                values: buffer,
                mapped,
            });
            let place = External {
                offset: 0,
                length: Source::len(&*memory),
                encoding,
            };
            let memory: Arc<dyn Source> = memory;
            Arc::new(Matrix::new("test", (DEPTH, COLUMNS), &place, &memory).unwrap())
        };
        let biases = values(COLUMNS.next_multiple_of(PANEL));
        for compute in [Compute::F32, Compute::Int8] {
            let computing = Computing {
                compute,
                cores: Arc::new(Cores::one()),
            };
            let product = |matrix: &Arc<Matrix>| {
                let weights = Weights::read(matrix, &computing).unwrap();
                let mut output = vec![f32::NAN; 7 * COLUMNS];
                let (input, biases) = (values(7 * DEPTH), &biases[..weights.width()]);
                weights.multiply(&input, biases, Activation::None, &mut output);
                (output, matches!(weights.panels, Panels::Mapped(_)))
            };
            let (expected, _) = product(&stored(&rows, Encoding::Plain, true));
            let [read, mapped] = [false, true];
            for mapped in [read, mapped] {
                let (output, is_mapped) = product(&stored(&panels, Encoding::Panels, mapped));
                assert!(output == expected, "{compute:?}, mapped: {mapped}");
                let wide = Isa::in_use().reads_wide_panels() && compute == Compute::F32;
                assert_eq!(is_mapped, mapped && wide);
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
