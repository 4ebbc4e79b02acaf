//! Tensors outside the graph: ONNX `external_data` entries that point into the
//! weights artifact, and how their values lie there.
//!
//! The entries are ONNX's own (`location`, `offset`, `length`), with two more. `encoding` is how
//! the values of a float32 tensor are stored ([`WeightsEncoding`]), absent for the tensor's plain
//! little-endian bytes. `layout` is `panels16` for matrices that are multiplied by where they
//! are: [`PANEL`] columns after [`PANEL`] columns, each row after row, with zeros for columns
//! beyond the last; `panels16-of-stack` for matrices `[…, rows, columns]` of one tensor, which lie as
//! one matrix of all their rows does; absent for row-major. What a group's scale is shared by, and how int4 is
//! packed, is said where it is decoded, in `encoderfile_kernels`.

use crate::source::{Section, Source};
use encoderfile_proto::onnx::{StringStringEntryProto, TensorProto, tensor_proto::DataLocation};
use std::str::FromStr;
use std::sync::Arc;
use zerocopy::{FromBytes, IntoBytes};

pub use encoderfile_kernels::{GroupLen, NoSuchEncoding, PANEL, WeightsEncoding};

#[cfg(target_endian = "big")]
compile_error!("the weights artifact is read in place as little endian");

/// The name that `location` has in every graph of ours.
pub const LOCATION: &str = "weights";

/// Tensors are read in place by 64-byte vectors: each begins at a multiple of
/// this, with zeros before it.
pub const TENSOR_ALIGNMENT: u64 = 64;

/// The entry of [`Layout::Panels`], for a matrix.
const PANELS: &str = "panels16";

/// The same for a tensor of more axes, a stack of matrices.
const PANELS_OF_STACK: &str = "panels16-of-stack";

/// The order in which the values of one matrix are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Row-major. Groups are along the rows: `[outputs, inputs]`, or one embedding a row.
    #[default]
    Rows,
    /// [`PANEL`] columns after [`PANEL`] columns: `[panels, rows, 16]`, row-major, with zeros for
    /// columns beyond the last. Groups are down the columns: `[inputs, outputs]`, as `MatMul` has
    /// it. All axes but the last are rows.
    Panels,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// In bytes, from the start of the artifact.
    pub offset: u64,
    /// In bytes, of scales and values together.
    pub length: u64,
    /// How its values are stored; as the tensor's own type where it is float32.
    pub encoding: WeightsEncoding,
    /// In which order.
    pub layout: Layout,
}

impl External {
    /// The `external_data` entries of this place, for a tensor of so many axes.
    pub fn to_entries(&self, axes: usize) -> Vec<StringStringEntryProto> {
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: key.into(),
            value,
        };
        let mut entries = vec![
            entry("location", LOCATION.into()),
            entry("offset", self.offset.to_string()),
            entry("length", self.length.to_string()),
        ];
        if self.encoding != WeightsEncoding::F32 {
            entries.push(entry("encoding", self.encoding.to_string()));
        }
        if self.layout == Layout::Panels {
            let layout = if axes > 2 { PANELS_OF_STACK } else { PANELS };
            entries.push(entry("layout", layout.into()));
        }
        entries
    }

    /// Reads the entries of a tensor; `None` if it has its data in the graph.
    ///
    /// # Errors
    /// [`WeightsError`] where `offset` or `length` is missing or no number, and for an
    /// unknown encoding or layout. Whether the place is within the artifact is not checked here.
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
        let encoding = value("encoding").map(WeightsEncoding::from_str);
        let encoding = encoding.transpose().map_err(|it| fail(it.to_string()))?;
        let axes = tensor.dims.len();
        let layout = match value("layout") {
            None => Layout::Rows,
            Some(PANELS) if axes == 2 => Layout::Panels,
            Some(PANELS_OF_STACK) if axes > 2 => Layout::Panels,
            Some(known @ (PANELS | PANELS_OF_STACK)) => {
                return Err(fail(format!("layout `{known}` of {axes} axes")));
            }
            Some(other) => return Err(fail(format!("unknown layout `{other}`"))),
        };
        Ok(Some(Self {
            offset: number("offset")?,
            length: number("length")?,
            encoding: encoding.unwrap_or_default(),
            layout,
        }))
    }
}

/// The lengths of a tensor's axes.
///
/// # Errors
/// [`WeightsError`] for one that is negative, or more than memory can have.
pub fn dims(tensor: &TensorProto) -> Result<Vec<usize>, WeightsError> {
    let dims = tensor.dims.iter().map(|dim| usize::try_from(*dim));
    let dims = dims.collect::<Result<_, _>>();
    dims.map_err(|_| WeightsError::new(&tensor.name, format!("its shape is {:?}", tensor.dims)))
}

/// A float32 matrix that stays where it is stored; rows are decoded on demand.
pub struct Matrix {
    name: String,
    source: Section,
    rows: usize,
    columns: usize,
    encoding: WeightsEncoding,
    layout: Layout,
    /// Of a row, or of a panel.
    unit_len: usize,
}

impl Matrix {
    /// A tensor at `place` in `weights` as a matrix: its first axis and all others together, or in
    /// panels its last and all before it.
    ///
    /// # Errors
    /// As [`Matrix::new`], and for a shape that is none.
    pub fn of(
        tensor: &TensorProto,
        place: &External,
        weights: &Arc<dyn Source>,
    ) -> Result<Self, WeightsError> {
        let dims = dims(tensor)?;
        let (rows, columns) = match place.layout {
            Layout::Rows => dims.split_at(dims.len().min(1)),
            Layout::Panels => dims.split_at(dims.len().saturating_sub(1)),
        };
        let length = |axes: &[usize]| {
            axes.iter()
                .try_fold(1_usize, |all, it| all.checked_mul(*it))
        };
        let shape = length(rows).zip(length(columns));
        let shape = shape.ok_or_else(|| {
            WeightsError::new(&tensor.name, format!("its shape is {:?}", tensor.dims))
        })?;
        Self::new(&tensor.name, shape, place, weights)
    }

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
        let (units, unit_len) = units(rows, columns, place.encoding, place.layout)
            .ok_or_else(|| fail(format!("{rows} × {columns} values overflow")))?;
        let expected = (units as u64).checked_mul(unit_len as u64);
        let expected =
            expected.ok_or_else(|| fail(format!("{rows} × {columns} values overflow")))?;
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
            layout: place.layout,
            unit_len,
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
        match (self.layout, self.encoding) {
            (Layout::Rows, WeightsEncoding::F32) => {
                self.read(product([first, self.unit_len]), out.as_mut_bytes())
            }
            (Layout::Rows, _) => self.decode_rows(first, out),
            (Layout::Panels, _) => self.gather_rows(first, out),
        }
    }

    /// How its values are stored.
    pub fn encoding(&self) -> WeightsEncoding {
        self.encoding
    }

    /// In which order they are stored.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// All bytes where they are, if that is in memory, at a place where no vector is in two
    /// cache lines.
    pub fn mapped(&self) -> Option<&[u8]> {
        let bytes = self.source.mapped(0, self.source.len())?;
        let is_aligned = (bytes.as_ptr().addr() as u64).is_multiple_of(TENSOR_ALIGNMENT);
        Some(bytes).filter(|_| is_aligned)
    }

    /// All bytes.
    ///
    /// # Errors
    /// [`WeightsError`] where they cannot be read.
    pub fn read_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        let length = usize::try_from(self.source.len());
        let length = length.map_err(|error| self.fail(error.to_string()))?;
        let mut bytes = vec![0; length];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The panels where they are, row-major `[panels, rows, 16]`, if they are stored as float32
    /// and in memory ([`Matrix::mapped`]).
    pub fn mapped_panels(&self) -> Option<&[f32]> {
        let is_usable = self.panels().is_some() && self.encoding == WeightsEncoding::F32;
        let bytes = self.mapped().filter(|_| is_usable)?;
        <[f32]>::ref_from_bytes(bytes).ok()
    }

    /// Whether it is stored in panels, and how many.
    pub fn panels(&self) -> Option<usize> {
        (self.layout == Layout::Panels).then_some(self.columns.div_ceil(PANEL))
    }

    /// Reads stored panels, as many as `out` holds, from the panel `first`: `out` is
    /// row-major `[count, rows, 16]`. Only for a matrix that is stored in panels of float32.
    ///
    /// # Errors
    /// [`WeightsError`] where the bytes are not within the matrix or cannot be read.
    pub fn read_panels(&self, first: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        self.read(product([first, self.unit_len]), out.as_mut_bytes())
    }

    fn decode_rows(&self, first: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        let mut bytes = vec![0; self.unit_len];
        for (row, out) in out.chunks_exact_mut(self.columns).enumerate() {
            let offset = product([first.saturating_add(row), self.unit_len]);
            self.read(offset, &mut bytes)?;
            let decoded = self.encoding.decode::<1>(&bytes, out);
            decoded.map_err(|error| self.fail(error.to_string()))?;
        }
        Ok(())
    }

    /// From panels: of each the groups that the rows are in.
    fn gather_rows(&self, first: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        let count = out.len().checked_div(self.columns).unwrap_or_default();
        let group = self.encoding.group_len().map_or(1, GroupLen::get);
        let skipped = first.checked_rem(group).unwrap_or_default();
        let end = first.saturating_add(count).checked_next_multiple_of(group);
        let depth = first.saturating_sub(skipped)..end.unwrap_or(usize::MAX).min(self.rows);
        let part = self.encoding.part_of_unit(depth.clone(), PANEL);
        let part = part.ok_or_else(|| self.fail("rows of no groups".into()))?;
        let mut bytes = vec![0; part.len()];
        let mut steps = vec![0.0; product([depth.len(), PANEL])];
        for panel in 0..self.columns.div_ceil(PANEL) {
            let offset = product([panel, self.unit_len]).saturating_add(part.start);
            self.read(offset, &mut bytes)?;
            let decoded = self.encoding.decode::<PANEL>(&bytes, &mut steps);
            decoded.map_err(|error| self.fail(error.to_string()))?;
            let steps = steps.chunks_exact(PANEL).skip(skipped);
            for (row, values) in out.chunks_exact_mut(self.columns).zip(steps) {
                let columns = row.iter_mut().skip(product([panel, PANEL]));
                columns.zip(values).for_each(|(to, value)| *to = *value);
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

/// How many rows or panels a matrix is stored as, and the bytes of one.
fn units(
    rows: usize,
    columns: usize,
    encoding: WeightsEncoding,
    layout: Layout,
) -> Option<(usize, usize)> {
    Some(match layout {
        Layout::Rows => (rows, encoding.unit_len(columns, 1)?),
        Layout::Panels => (columns.div_ceil(PANEL), encoding.unit_len(rows, PANEL)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file may say so.
    #[test]
    fn a_matrix_without_values_is_refused() {
        let quantised = WeightsEncoding::Int4(GroupLen::G32);
        for (encoding, layout) in [
            (WeightsEncoding::F32, Layout::Rows),
            (WeightsEncoding::F32, Layout::Panels),
            (WeightsEncoding::F16, Layout::Panels),
            (quantised, Layout::Rows),
        ] {
            let source: Arc<dyn Source> = Arc::new(Vec::new());
            let place = External {
                offset: 0,
                length: 0,
                encoding,
                layout,
            };
            for shape in [(3, 0), (0, 1 << 40)] {
                let matrix = Matrix::new("test", shape, &place, &source);
                assert!(matrix.is_err(), "{encoding:?} {shape:?}");
            }
        }
    }
}
