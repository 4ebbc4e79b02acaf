//! Matrices that are multiplied by: packed for this machine, or so stored and used where
//! the file is mapped (zero-copy), in fewer bits too: those stay as small in memory.

use super::Backend;
use encoderfile_format::manifest::Compute;
use encoderfile_format::weights::{Matrix, PANEL, WeightsEncoding, WeightsError};
use encoderfile_kernels::{
    EncodedB, INT8_DEPTH_MAX, Int8Matrix, Order, PackedB, PackedMatrix, ShapeError, Weights,
};
use std::sync::Arc;

/// Matrices of fewer values are computed in float32: they take no time, and those
/// of a classifier's last step are worth their precision.
const INT8_VALUES_MIN: usize = 1 << 14;

/// A matrix of `[depth, columns]`.
pub(crate) struct LinearWeights {
    /// Of the tensor, where it is stored outside the graph.
    name: Option<String>,
    panels: Panels,
    pub(crate) backend: Backend,
    depth: usize,
    columns: usize,
}

enum Panels {
    F32(PackedMatrix),
    /// Where they are stored.
    Mapped(Arc<Matrix>),
    /// In fewer bits than float32.
    Encoded(Encoded),
    Int8(Int8Matrix),
}

/// Panels in fewer bits than float32, as they are stored.
struct Encoded {
    matrix: Arc<Matrix>,
    /// A copy, where they are not in memory.
    copy: Option<Vec<u8>>,
}

impl Encoded {
    fn read(matrix: &Arc<Matrix>) -> Result<Self, WeightsError> {
        let copy = match matrix.mapped() {
            Some(_) => None,
            None => Some(matrix.read_bytes()?),
        };
        Ok(Self {
            matrix: Arc::clone(matrix),
            copy,
        })
    }

    fn as_b(&self) -> Result<EncodedB<'_>, ShapeError> {
        // They were mapped when the matrix was read, and stay so.
        let mapped = || self.matrix.mapped().unwrap_or_default();
        let bytes = self.copy.as_deref().unwrap_or_else(mapped);
        let shape = (self.matrix.rows(), self.matrix.columns());
        EncodedB::new(bytes, shape, self.matrix.encoding())
    }

    fn is_mapped(&self) -> bool {
        self.copy.is_none()
    }
}

/// Why a matrix cannot be read.
#[derive(Debug)]
enum ReadError {
    Weights(WeightsError),
    Shape(ShapeError),
}

impl From<WeightsError> for ReadError {
    fn from(error: WeightsError) -> Self {
        Self::Weights(error)
    }
}

impl From<ShapeError> for ReadError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

impl LinearWeights {
    /// Reads a matrix of `[depth, columns]` from where it is stored, unless it can be
    /// multiplied by there.
    pub(crate) fn read(matrix: &Arc<Matrix>, backend: &Backend) -> Result<Self, WeightsError> {
        let panels = read_panels(matrix, backend).map_err(|error| match error {
            ReadError::Weights(error) => error,
            ReadError::Shape(error) => WeightsError::new(&format!("{matrix:?}"), error.to_string()),
        })?;
        let is_in_use = match &panels {
            Panels::Mapped(_) => true,
            Panels::Encoded(encoded) => encoded.is_mapped(),
            Panels::F32(_) | Panels::Int8(_) => false,
        };
        if !is_in_use {
            matrix.release();
        }
        Ok(Self {
            name: Some(matrix.name().into()),
            panels,
            backend: backend.clone(),
            depth: matrix.rows(),
            columns: matrix.columns(),
        })
    }

    /// Packs `[depth, columns]`, or its transpose.
    pub(crate) fn new(
        matrix: &[f32],
        depth: usize,
        order: Order,
        backend: &Backend,
    ) -> Result<Self, ShapeError> {
        let columns = matrix.len() / depth.max(1);
        let shape = (depth, columns);
        let panels = if in_int8(depth, columns, backend.compute) {
            Panels::Int8(Int8Matrix::new(backend.isa, matrix, shape, order)?)
        } else {
            Panels::F32(PackedMatrix::new(backend.isa, matrix, shape, order)?)
        };
        Ok(Self {
            name: None,
            panels,
            backend: backend.clone(),
            depth,
            columns,
        })
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Columns of whole panels: of so many the biases are given.
    pub(crate) fn padded_columns(&self) -> usize {
        match &self.panels {
            Panels::F32(packed) => packed.as_b().padded_columns(),
            Panels::Mapped(_) | Panels::Encoded(_) => self.columns.next_multiple_of(PANEL),
            Panels::Int8(packed) => packed.padded_columns(),
        }
    }

    /// Whether products with it are computed in int8.
    pub(crate) fn are_int8(&self) -> bool {
        matches!(self.panels, Panels::Int8(_))
    }

    #[cfg(test)]
    pub(crate) fn are_mapped(&self) -> bool {
        matches!(self.panels, Panels::Mapped(_))
    }

    /// As what kernels multiply by. Only int8 weights take factors ([`Weights::Int8`]).
    pub(crate) fn as_factor<'a>(
        &'a self,
        smoothing: Option<&'a [f32]>,
    ) -> Result<Weights<'a>, ShapeError> {
        Ok(match &self.panels {
            Panels::F32(packed) => Weights::F32(packed.as_b()),
            Panels::Mapped(matrix) => {
                // They were mapped when the matrix was read, and stay so.
                let panels = matrix.mapped_panels().unwrap_or_default();
                let shape = (self.depth, self.columns);
                Weights::F32(PackedB::new(panels, shape, PANEL)?)
            }
            Panels::Encoded(encoded) => Weights::Encoded(encoded.as_b()?),
            Panels::Int8(matrix) => Weights::Int8 { matrix, smoothing },
        })
    }
}

/// Whether products with a matrix of that shape are computed in int8, in a model that is
/// computed in int8.
pub fn is_computed_in_int8(depth: usize, columns: usize) -> bool {
    depth.saturating_mul(columns) >= INT8_VALUES_MIN && depth <= INT8_DEPTH_MAX
}

fn in_int8(depth: usize, columns: usize, compute: Compute) -> bool {
    compute == Compute::Int8 && is_computed_in_int8(depth, columns)
}

fn read_panels(matrix: &Arc<Matrix>, backend: &Backend) -> Result<Panels, ReadError> {
    let Backend { isa, compute, .. } = *backend;
    let shape = (matrix.rows(), matrix.columns());
    let read_rows = |first: usize, rows: &mut [f32]| -> Result<(), ReadError> {
        Ok(matrix.read_rows(first, rows)?)
    };
    if in_int8(shape.0, shape.1, compute) {
        return Ok(Panels::Int8(Int8Matrix::read_rows(isa, shape, read_rows)?));
    }
    if isa.reads_panels_of(PANEL) && matrix.mapped_panels().is_some() {
        return Ok(Panels::Mapped(Arc::clone(matrix)));
    }
    let is_float32 = matrix.encoding() == WeightsEncoding::F32;
    if matrix.panels().is_some() && !is_float32 {
        return Ok(Panels::Encoded(Encoded::read(matrix)?));
    }
    let read_stored = |first: usize, panels: &mut [f32]| matrix.read_panels(first, panels);
    let packed = match matrix.panels() {
        Some(_) => PackedMatrix::read_panels(isa, shape, PANEL, read_stored)?,
        None => PackedMatrix::read_rows(isa, shape, read_rows)?,
    };
    Ok(Panels::F32(packed))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cores::Cores;
    use crate::ops::isa_of_tests;
    use encoderfile_format::source::{ReadError, Source};
    use encoderfile_format::weights::{External, Layout};
    use encoderfile_kernels::{
        Activation, Epilogue, LinearLayer, PANEL_ALIGNMENT, Parallel, linear,
    };

    const DEPTH: usize = 300;
    const COLUMNS: usize = 410;

    fn values(count: usize) -> Vec<f32> {
        let values = (0..count).map(|place| (place * 7919 % 1009) as f32);
        values.map(|value| value / 97.0 - 5.0).collect()
    }

    fn backend(compute: Compute) -> Backend {
        Backend {
            isa: isa_of_tests(),
            compute,
            cores: Arc::new(Cores::one()),
        }
    }

    /// What weights make of so many rows.
    fn product(weights: &LinearWeights, rows: usize, activation: Activation) -> Vec<f32> {
        let bias = values(weights.padded_columns());
        let epilogue = Epilogue {
            bias: &bias,
            activation,
        };
        let mut output = vec![f32::NAN; rows * weights.columns()];
        let input = values(rows * weights.depth());
        let layer = LinearLayer {
            weights: weights.as_factor(None).unwrap(),
            epilogue,
            outputs: vec![&mut output],
        };
        let Backend { isa, cores, .. } = &weights.backend;
        linear(*isa, &**cores, &[(&input, rows)], vec![layer]).unwrap();
        output
    }

    #[test]
    fn products_are_the_same_on_any_number_of_cores() {
        let matrix = values(DEPTH * COLUMNS);
        for compute in [Compute::F32, Compute::Int8] {
            let backend = backend(compute);
            let weights = LinearWeights::new(&matrix, DEPTH, Order::Rows, &backend).unwrap();
            for rows in [1, 100, 131] {
                let results = [1, 2, 3].map(|count| {
                    backend.cores.allow(count);
                    product(&weights, rows, Activation::Gelu)
                });
                let parts = backend.cores.parts(rows * DEPTH * COLUMNS);
                assert!(parts >= 3, "{rows} rows in {parts} parts");
                assert!(results[0].iter().all(|value| value.is_finite()));
                assert!(results.iter().all(|it| *it == results[0]), "{rows} rows");
            }
        }
    }

    /// Bytes in memory, as aligned as a mapped file's, and perhaps to be used there.
    pub(crate) struct Memory {
        bytes: Vec<u8>,
        start: usize,
        mapped: bool,
    }

    impl Memory {
        pub(crate) fn new(values: &[f32], mapped: bool) -> Self {
            let mut bytes = vec![0; values.len() * 4 + PANEL_ALIGNMENT];
            let start = bytes.as_ptr().align_offset(PANEL_ALIGNMENT);
            let (places, _) = bytes[start..].as_chunks_mut::<4>();
            for (place, value) in places.iter_mut().zip(values) {
                *place = value.to_le_bytes();
            }
            bytes.truncate(start + values.len() * 4);
            Self {
                bytes,
                start,
                mapped,
            }
        }

        fn bytes(&self) -> &[u8] {
            &self.bytes[self.start..]
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

    /// As [`Layout::Panels`] has them.
    pub(crate) fn in_panels(rows: &[f32], columns: usize) -> Vec<f32> {
        let mut panels = Vec::new();
        for first in (0..columns).step_by(PANEL) {
            for row in rows.chunks_exact(columns) {
                let columns = first..first + PANEL;
                panels.extend(columns.map(|column| row.get(column).copied().unwrap_or(0.0)));
            }
        }
        panels
    }

    #[test]
    fn matrices_stored_in_panels_are_the_same_ones() {
        let rows = values(DEPTH * COLUMNS);
        let panels = in_panels(&rows, COLUMNS);
        let stored = |values: &[f32], layout, mapped| {
            let memory = Arc::new(Memory::new(values, mapped));
            let place = External {
                offset: 0,
                length: Source::len(&*memory),
                encoding: WeightsEncoding::F32,
                layout,
            };
            let memory: Arc<dyn Source> = memory;
            Arc::new(Matrix::new("test", (DEPTH, COLUMNS), &place, &memory).unwrap())
        };
        for compute in [Compute::F32, Compute::Int8] {
            let backend = backend(compute);
            let multiplied = |matrix: &Arc<Matrix>| {
                let weights = LinearWeights::read(matrix, &backend).unwrap();
                let output = product(&weights, 7, Activation::None);
                (output, weights.are_mapped())
            };
            let (expected, _) = multiplied(&stored(&rows, Layout::Rows, true));
            let [read, mapped] = [false, true];
            for mapped in [read, mapped] {
                let (output, is_mapped) = multiplied(&stored(&panels, Layout::Panels, mapped));
                assert!(output == expected, "{compute:?}, mapped: {mapped}");
                // On every instruction set, whatever the width of its own panels.
                assert_eq!(is_mapped, mapped && compute == Compute::F32);
            }
        }
    }

    #[test]
    fn small_matrices_are_computed_in_float32() {
        let backend = backend(Compute::Int8);
        let is_int8 = |depth: usize, columns: usize| {
            let matrix = values(depth * columns);
            let weights = LinearWeights::new(&matrix, depth, Order::Rows, &backend).unwrap();
            weights.are_int8()
        };
        assert!(is_int8(128, 128) && !is_int8(128, 3));
    }
}
