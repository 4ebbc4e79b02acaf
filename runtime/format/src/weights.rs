//! Tensors outside the graph: ONNX `external_data` entries that point into the
//! weights artifact, and the encodings they may have there.
//!
//! The entries are ONNX's own (`location`, `offset`, `length`), with two more:
//! `encoding`, absent for the tensor's plain little-endian bytes, and
//! `group_axis` where the encoding is `int8`.
//!
//! `panels` is float32 in another order, in which matrices are multiplied by where
//! they are: [`PANEL`] columns after [`PANEL`] columns, each row after row, with
//! zeros for columns beyond the last.
//!
//! `int8` is symmetric: a value is `scale × q` with `q` in −127..=127, and one
//! float16 scale for each [`GROUP_LEN`] consecutive values along `group_axis`.
//! The scales come first, in row-major order of the matrix shrunk along that
//! axis, then one byte per value in row-major order.

use crate::source::{Section, Source};
use encoderfile_proto::onnx::{StringStringEntryProto, TensorProto, tensor_proto::DataLocation};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::str::FromStr;
use std::sync::Arc;
use zerocopy::{FromBytes, IntoBytes};

#[cfg(target_endian = "big")]
compile_error!("the weights artifact is read in place as little endian");

/// The name that `location` has in every graph of ours.
pub const LOCATION: &str = "weights";

/// Tensors are read in place by 64-byte vectors: each begins at a multiple of
/// this, with zeros before it.
pub const TENSOR_ALIGNMENT: u64 = 64;

/// How many values share a scale. Over 1,000 passages the worst cosine of
/// all-MiniLM-L6-v2 to float32 is 0.9995 with groups of 64 and 0.9990 with one
/// scale per output channel.
pub const GROUP_LEN: usize = 64;

/// How many columns are side by side in [`Encoding::Panels`]: a cache line of them.
pub const PANEL: usize = 16;

/// How the values of one matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As the tensor's own type.
    Plain,
    /// float32, [`PANEL`] columns after [`PANEL`] columns: `[panels, rows, 16]`, row-major,
    /// with zeros for columns beyond the last.
    Panels,
    /// float32 rounded to float16.
    F16,
    /// float32 as int8 with group scales.
    Int8 {
        /// The axis along which values share a scale: the input dimension.
        group_axis: GroupAxis,
    },
}

/// The axis of a matrix along which values share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupAxis {
    /// Down the columns: `[inputs, outputs]`, as `MatMul` has it.
    Rows,
    /// Along the rows: `[outputs, inputs]`, or one embedding a row.
    Columns,
}

/// A tensor outside the graph that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tensor `{tensor}`: {problem}")]
pub struct WeightsError {
    tensor: String,
    problem: String,
}

impl WeightsError {
    /// Of a tensor by name.
    pub fn new(tensor: &str, problem: String) -> Self {
        Self {
            tensor: tensor.into(),
            problem,
        }
    }
}

/// Where a tensor lies in the weights artifact, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// In bytes, from the start of the artifact.
    pub offset: u64,
    /// In bytes, of scales and values together.
    pub length: u64,
    /// How its values are stored.
    pub encoding: Encoding,
}

impl External {
    /// The `external_data` entries of this place.
    pub fn to_entries(&self) -> Vec<StringStringEntryProto> {
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: key.into(),
            value,
        };
        let mut entries = vec![
            entry("location", LOCATION.into()),
            entry("offset", self.offset.to_string()),
            entry("length", self.length.to_string()),
        ];
        match self.encoding {
            Encoding::Plain => {}
            Encoding::Panels => entries.push(entry("encoding", "panels16".into())),
            Encoding::F16 => entries.push(entry("encoding", "f16".into())),
            Encoding::Int8 { group_axis } => {
                entries.push(entry("encoding", "int8".into()));
                let axis = match group_axis {
                    GroupAxis::Rows => "0",
                    GroupAxis::Columns => "1",
                };
                entries.push(entry("group_axis", axis.into()));
            }
        }
        entries
    }

    /// Reads the entries of a tensor; `None` if it has its data in the graph.
    ///
    /// # Errors
    /// [`WeightsError`] where `offset` or `length` is missing or no number, and for an
    /// unknown encoding. Whether the place is within the artifact is not checked here.
    pub fn of(tensor: &TensorProto) -> Result<Option<Self>, WeightsError> {
        if tensor.data_location() != DataLocation::External {
            return Ok(None);
        }
        let fail = |problem: String| WeightsError::new(&tensor.name, problem);
        let value = |key: &str| {
            let entry = tensor.external_data.iter().find(|entry| entry.key == key);
            entry.map(|entry| entry.value.as_str())
        };
        let number = |key: &str| {
            let text = value(key).ok_or_else(|| fail(format!("external_data has no `{key}`")))?;
            u64::from_str(text).map_err(|error| fail(format!("external_data `{key}`: {error}")))
        };
        let encoding = match (value("encoding"), value("group_axis")) {
            (None, _) => Encoding::Plain,
            (Some("panels16"), _) => Encoding::Panels,
            (Some("f16"), _) => Encoding::F16,
            (Some("int8"), Some("0")) => Encoding::Int8 {
                group_axis: GroupAxis::Rows,
            },
            (Some("int8"), Some("1")) => Encoding::Int8 {
                group_axis: GroupAxis::Columns,
            },
            (Some(other), axis) => {
                return Err(fail(format!("unknown encoding `{other}`, axis {axis:?}")));
            }
        };
        Ok(Some(Self {
            offset: number("offset")?,
            length: number("length")?,
            encoding,
        }))
    }
}

/// A float32 matrix that stays where it is stored; rows are decoded on demand.
pub struct Matrix {
    name: String,
    source: Section,
    rows: usize,
    columns: usize,
    encoding: Encoding,
}

impl Matrix {
    /// The matrix `name` of `rows` × `columns` at `place` in `weights`.
    ///
    /// # Errors
    /// [`WeightsError`] where the shape has no values, the length is not what the shape
    /// takes in this encoding, or the place is not within `weights`.
    pub fn new(
        name: &str,
        (rows, columns): (usize, usize),
        place: &External,
        weights: &Arc<dyn Source>,
    ) -> Result<Self, WeightsError> {
        let fail = |problem: String| WeightsError::new(name, problem);
        // Rows of nothing would cost nothing in the file and much in memory.
        if rows == 0 || columns == 0 {
            return Err(fail(format!("{rows} × {columns} values are none")));
        }
        let expected = stored_len(rows, columns, place.encoding)
            .ok_or_else(|| fail(format!("{rows} × {columns} values overflow")))?;
        if place.length != expected {
            return Err(fail(format!(
                "{} bytes stored for {rows} × {columns} values, expected {expected}",
                place.length
            )));
        }
        let source = Section::new(Arc::clone(weights), place.offset, place.length)
            .map_err(|error| fail(error.to_string()))?;
        Ok(Self {
            name: name.into(),
            source,
            rows,
            columns,
            encoding: place.encoding,
        })
    }

    /// The tensor's name in the graph.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of values in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Decodes whole rows, as many as `out` holds, from row `first`: `out` is row-major
    /// `[count, columns]`.
    ///
    /// # Errors
    /// [`WeightsError`] where `out` is not whole rows, a row is beyond the last, or the
    /// bytes cannot be read.
    pub fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        let count = out.len().checked_div(self.columns).unwrap_or_default();
        let within = first.checked_add(count).is_some_and(|end| end <= self.rows);
        if !within || count.saturating_mul(self.columns) != out.len() {
            return Err(self.fail(format!(
                "rows {first}..+{count} are not within {}",
                self.rows
            )));
        }
        if out.is_empty() {
            return Ok(());
        }
        match self.encoding {
            Encoding::Plain => self.read(product([first, self.columns, 4]), out.as_mut_bytes()),
            Encoding::Panels => self.gather_rows(first, out),
            Encoding::F16 => {
                let mut halves = vec![f16::ZERO; out.len()];
                self.read(product([first, self.columns, 2]), halves.as_mut_bytes())?;
                halves.convert_to_f32_slice(out);
                Ok(())
            }
            Encoding::Int8 { group_axis } => self.read_int8(first, out, group_axis),
        }
    }

    /// The panels where they are, row-major `[panels, rows, 16]`, if they are stored, and in
    /// memory at a place where no vector is in two cache lines.
    pub fn mapped_panels(&self) -> Option<&[f32]> {
        let bytes = self.source.mapped(0, self.source.len())?;
        let is_aligned = (bytes.as_ptr().addr() as u64).is_multiple_of(TENSOR_ALIGNMENT);
        let usable = is_aligned && self.encoding == Encoding::Panels;
        <[f32]>::ref_from_bytes(bytes).ok().filter(|_| usable)
    }

    /// Whether it is stored in panels, and how many.
    pub fn panels(&self) -> Option<usize> {
        let panels = self.columns.div_ceil(PANEL);
        (self.encoding == Encoding::Panels).then_some(panels)
    }

    /// Reads stored panels, as many as `out` holds, from the panel `first`: `out` is
    /// row-major `[count, rows, 16]`. Only for a matrix that is stored in panels:
    /// [`Matrix::panels`].
    ///
    /// # Errors
    /// [`WeightsError`] where the bytes are not within the matrix or cannot be read.
    pub fn read_panels(&self, first: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        let offset = product([first, self.rows, PANEL, 4]);
        self.read(offset, out.as_mut_bytes())
    }

    fn gather_rows(&self, first: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        for (row, out) in out.chunks_exact_mut(self.columns).enumerate() {
            for (panel, out) in out.chunks_mut(PANEL).enumerate() {
                let group = product([panel, self.rows]).saturating_add(first);
                let offset = product([group.saturating_add(row), PANEL, 4]);
                self.read(offset, out.as_mut_bytes())?;
            }
        }
        Ok(())
    }

    /// Says that no row will be read again.
    pub fn release(&self) {
        // With the zeros up to the next tensor.
        let padded = self.source.len().next_multiple_of(TENSOR_ALIGNMENT);
        self.source.release(0, padded);
    }

    fn read_int8(
        &self,
        first: usize,
        out: &mut [f32],
        group_axis: GroupAxis,
    ) -> Result<(), WeightsError> {
        let columns = self.columns;
        let (scale_rows, scale_columns) = scale_shape(self.rows, columns, group_axis);
        let values = product([scale_rows, scale_columns, 2]);
        let values = values.saturating_add(product([first, columns]));
        let mut quantised = vec![0_i8; out.len()];
        self.read(values, quantised.as_mut_bytes())?;

        let mut halves = vec![f16::ZERO; scale_columns];
        let mut scales = vec![0_f32; scale_columns];
        let mut loaded = None;
        let rows = out
            .chunks_exact_mut(columns)
            .zip(quantised.chunks_exact(columns));
        for (row, (out, quantised)) in rows.enumerate() {
            let scale_row = match group_axis {
                GroupAxis::Rows => first.saturating_add(row) / GROUP_LEN,
                GroupAxis::Columns => first.saturating_add(row),
            };
            if loaded != Some(scale_row) {
                let offset = product([scale_row, scale_columns, 2]);
                self.read(offset, halves.as_mut_bytes())?;
                halves.convert_to_f32_slice(&mut scales);
                loaded = Some(scale_row);
            }
            dequantise_row(quantised, &scales, group_axis, out);
        }
        Ok(())
    }

    fn read(&self, offset: usize, buffer: &mut [u8]) -> Result<(), WeightsError> {
        self.source
            .read_at(offset as u64, buffer)
            .map_err(|error| self.fail(error.to_string()))
    }

    fn fail(&self, problem: String) -> WeightsError {
        WeightsError::new(&self.name, problem)
    }
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}, {}]", self.name, self.rows, self.columns)
    }
}

/// Where something is, from counts that a file says. What is too far to be said is past
/// the end of the file as well, and refused when it is read.
fn product<const COUNT: usize>(factors: [usize; COUNT]) -> usize {
    factors.into_iter().fold(1, usize::saturating_mul)
}

/// The shape of the scales of a `rows` × `columns` matrix.
pub fn scale_shape(rows: usize, columns: usize, group_axis: GroupAxis) -> (usize, usize) {
    match group_axis {
        GroupAxis::Rows => (rows.div_ceil(GROUP_LEN), columns),
        GroupAxis::Columns => (rows, columns.div_ceil(GROUP_LEN)),
    }
}

/// One row of int8 values times its scales: one scale for each column with
/// [`GroupAxis::Rows`], or one for each [`GROUP_LEN`] columns with [`GroupAxis::Columns`].
///
/// `quantised` and `out` are `[columns]`, `scales` is a row of [`scale_shape`]. The caller
/// makes them so: what one of them has beyond the others is left as it is.
pub fn dequantise_row(quantised: &[i8], scales: &[f32], group_axis: GroupAxis, out: &mut [f32]) {
    match group_axis {
        GroupAxis::Rows => {
            for ((out, quantised), scale) in out.iter_mut().zip(quantised).zip(scales) {
                *out = f32::from(*quantised) * scale;
            }
        }
        GroupAxis::Columns => {
            let groups = out
                .chunks_mut(GROUP_LEN)
                .zip(quantised.chunks(GROUP_LEN))
                .zip(scales);
            for ((out, quantised), scale) in groups {
                for (out, quantised) in out.iter_mut().zip(quantised) {
                    *out = f32::from(*quantised) * scale;
                }
            }
        }
    }
}

fn stored_len(rows: usize, columns: usize, encoding: Encoding) -> Option<u64> {
    let values = rows.checked_mul(columns)?;
    let bytes = match encoding {
        Encoding::Plain => values.checked_mul(4)?,
        Encoding::Panels => {
            let columns = columns.checked_next_multiple_of(PANEL)?;
            rows.checked_mul(columns)?.checked_mul(4)?
        }
        Encoding::F16 => values.checked_mul(2)?,
        Encoding::Int8 { group_axis } => {
            let (scale_rows, scale_columns) = scale_shape(rows, columns, group_axis);
            let scales = scale_rows.checked_mul(scale_columns)?.checked_mul(2)?;
            values.checked_add(scales)?
        }
    };
    Some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file may say so.
    #[test]
    fn a_matrix_without_values_is_refused() {
        let int8 = Encoding::Int8 {
            group_axis: GroupAxis::Columns,
        };
        for encoding in [Encoding::Plain, Encoding::Panels, Encoding::F16, int8] {
            let source: Arc<dyn Source> = Arc::new(Vec::new());
            let place = External {
                offset: 0,
                length: 0,
                encoding,
            };
            for shape in [(3, 0), (0, 1 << 40)] {
                let matrix = Matrix::new("test", shape, &place, &source);
                assert!(matrix.is_err(), "{encoding:?} {shape:?}");
            }
        }
    }
}
