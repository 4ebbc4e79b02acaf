//! NumPy's `.npy`, version 1.0: an array `[rows, dimensions]` in row-major order, little endian.

use super::{Layout, Output};
use anyhow::Context;
use encoderfile::precision::Precision;

/// What the header's length is a multiple of.
const ALIGNMENT: usize = 64;
const MAGIC: [u8; 8] = *b"\x93NUMPY\x01\x00";

/// Sentence embeddings.
pub(crate) struct Array {
    pub(crate) dimensions: usize,
    pub(crate) precision: Precision,
}

impl Layout for Array {
    fn write(&mut self, output: &Output<'_>, _: u64, part: &mut Vec<u8>) -> anyhow::Result<()> {
        let vector = output.vector.as_ref().context("no embedding")?;
        vector.write_bytes(part);
        Ok(())
    }

    fn head(&self, rows: u64) -> Vec<u8> {
        let kind = match self.precision {
            Precision::Float32 => "<f4",
            Precision::Float16 => "<f2",
            Precision::Int8 | Precision::Binary => "|i1",
            Precision::Uint8 | Precision::Ubinary => "|u1",
        };
        let width = self.precision.width(self.dimensions);
        let mut header =
            format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
        let before = MAGIC.len() + size_of::<u16>();
        let padded = (before + header.len() + 1).next_multiple_of(ALIGNMENT) - before;
        header = format!("{header:<width$}\n", width = padded - 1);
        let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
        [&MAGIC, length.to_le_bytes().as_slice(), header.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        let array = Array {
            dimensions: 384,
            precision: Precision::Float32,
        };
        let head = array.head(1000);
        assert_eq!(head.len() % ALIGNMENT, 0);
        // As numpy.save writes it.
        let expected = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1000, 384), }";
        assert!(head.starts_with(expected), "{}", head.escape_ascii());
        assert!(head.ends_with(b" \n"));
    }
}
