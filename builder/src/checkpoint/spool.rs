//! Values that are not as the graph wants them: bfloat16, matrices the other way round, and what
//! quantised ones stand for.
//!
//! Large ones go into a temporary file that has no name any more and is mapped, so that a
//! build takes no more memory than one of a file that is used as it lies.

use bytes::Bytes;
use encoderfile::file::MappedFile;
use half::{bf16, f16};
use std::io::{self, BufWriter, Write};
use tempfile::NamedTempFile;

/// Values of fewer bytes stay in memory.
const SMALL: usize = 1 << 20;

/// Columns that are transposed at a time: cache lines of the source are read whole.
const BAND: usize = 64;

/// Stored values, little-endian.
#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    F32(&'a [u8]),
    F16(&'a [u8]),
    Bf16(&'a [u8]),
}

impl Values<'_> {
    /// `stored`, where those are the values themselves; bfloat16 as float32.
    pub(super) fn in_place(self, stored: &Bytes) -> io::Result<Bytes> {
        let Self::Bf16(bytes) = self else {
            return Ok(stored.clone());
        };
        let (values, _) = bytes.as_chunks();
        write(4 * values.len(), |out| {
            values
                .iter()
                .try_for_each(|it| out.write_all(&widened(*it)))
        })
    }

    /// All of them as float32.
    pub(super) fn to_vec(self) -> Vec<f32> {
        let pairs = |bytes: &[u8], value: fn([u8; 2]) -> f32| {
            let (pairs, _) = bytes.as_chunks();
            pairs.iter().map(|it| value(*it)).collect()
        };
        match self {
            Self::F32(bytes) => {
                let (values, _) = bytes.as_chunks();
                values.iter().map(|it| f32::from_le_bytes(*it)).collect()
            }
            Self::F16(bytes) => pairs(bytes, |it| f16::from_le_bytes(it).to_f32()),
            Self::Bf16(bytes) => pairs(bytes, |it| bf16::from_le_bytes(it).to_f32()),
        }
    }

    /// The matrix `[rows, columns]` as `[columns, rows]`.
    pub(super) fn transposed(self, rows: usize, columns: usize) -> io::Result<Bytes> {
        match self {
            Self::F32(bytes) => transpose(bytes.as_chunks().0, rows, columns, |it: [u8; 4]| it),
            Self::F16(bytes) => transpose(bytes.as_chunks().0, rows, columns, |it: [u8; 2]| it),
            Self::Bf16(bytes) => transpose(bytes.as_chunks().0, rows, columns, widened),
        }
    }
}

fn widened(value: [u8; 2]) -> [u8; 4] {
    bf16::from_le_bytes(value).to_f32().to_le_bytes()
}

fn transpose<const N: usize, const M: usize>(
    values: &[[u8; N]],
    rows: usize,
    columns: usize,
    convert: impl Fn([u8; N]) -> [u8; M],
) -> io::Result<Bytes> {
    write(M * values.len(), |out| {
        let mut band = vec![[0; M]; BAND * rows];
        for first in (0..columns).step_by(BAND) {
            let width = BAND.min(columns - first);
            for (row, stored) in values.chunks_exact(columns).enumerate() {
                for (column, value) in stored[first..first + width].iter().enumerate() {
                    band[column * rows + row] = convert(*value);
                }
            }
            out.write_all(band[..width * rows].as_flattened())?;
        }
        Ok(())
    })
}

/// What `fill` writes, which is `length` bytes.
///
/// # Errors
/// What the system says of a temporary file.
pub(crate) fn write(
    length: usize,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Bytes> {
    if length < SMALL {
        let mut bytes = Vec::with_capacity(length);
        fill(&mut bytes)?;
        return Ok(bytes.into());
    }
    let file = NamedTempFile::new()?;
    let mut out = BufWriter::with_capacity(SMALL, file.as_file());
    fill(&mut out)?;
    out.flush()?;
    drop(out);
    // The name goes when `file` does; the mapping stays.
    Ok(Bytes::from_owner(MappedFile::open(file.path())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: impl IntoIterator<Item = f32>) -> Bytes {
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        bytes.into()
    }

    #[test]
    fn a_matrix_is_turned_in_memory_and_in_a_file() {
        for (rows, columns) in [(1, 1), (3, 2), (2, 150), (150, 2), (700, 600)] {
            let values = |turned: bool| {
                let (first, second) = if turned {
                    (columns, rows)
                } else {
                    (rows, columns)
                };
                bytes((0..first * second).map(move |index| {
                    let (i, j) = (index / second, index % second);
                    let (row, column) = if turned { (j, i) } else { (i, j) };
                    (row * columns + column) as f32
                }))
            };
            let stored = values(false);
            let turned = Values::F32(&stored).transposed(rows, columns).unwrap();
            assert!(turned == values(true), "{rows} × {columns}");
        }
    }

    #[test]
    fn bfloat16_becomes_float32() {
        let halves: Vec<u8> = [1.5, -2.0, 0.25, 3.0]
            .iter()
            .flat_map(|it| bf16::from_f32(*it).to_le_bytes())
            .collect();
        let stored = Bytes::from(halves);
        let values = Values::Bf16(&stored);
        assert_eq!(
            values.in_place(&stored).unwrap(),
            bytes([1.5, -2.0, 0.25, 3.0])
        );
        assert_eq!(
            values.transposed(2, 2).unwrap(),
            bytes([1.5, 0.25, -2.0, 3.0])
        );
    }
}
